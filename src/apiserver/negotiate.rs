//! Content negotiation: in which form and encoding the answer goes out, and what the body is.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go`.
//!
//! Left out: protobuf and CBOR answers (clients that ask for protobuf take JSON as well), and
//! quality values: the first media range that we can serve wins, as upstream's clients order them.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::{Headers, Status};

use crate::present::{Form, Include};
use crate::query::Query;
use crate::reply::Refusal;

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accept {
    /// Which form objects take.
    pub form: Form,
    /// YAML instead of JSON.
    pub yaml: bool,
}

/// One media range of an `accept` header: `application/json;as=Table;v=v1;g=meta.k8s.io`.
struct Range<'a> {
    media: &'a str,
    parameters: &'a str,
}

impl<'a> Range<'a> {
    fn all(header: &'a str) -> impl Iterator<Item = Self> {
        header.split(',').map(|range| {
            let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
            Range {
                media: media.trim(),
                parameters,
            }
        })
    }

    fn parameter(&self, name: &str) -> &'a str {
        let pairs = self
            .parameters
            .split(';')
            .filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(n, _)| n.trim() == name);
        found
            .next()
            .map_or("", |(_, value)| value.trim().trim_matches('"'))
    }
}

/// Reads the `accept` header. 406 when nothing in it can be served.
pub(crate) fn accept(headers: &Headers, query: &Query) -> Result<Accept, Refusal> {
    let header = headers.value("accept").unwrap_or_default();
    if header.trim().is_empty() {
        return Ok(Accept::default());
    }
    for range in Range::all(header) {
        let yaml = match range.media {
            "application/json" | "application/*" | "*/*" => false,
            "application/yaml" => true,
            _ => continue,
        };
        if let Some(form) = form(&range, query)? {
            return Ok(Accept { form, yaml });
        }
    }
    Err(Status::not_acceptable(&[JSON, YAML]).into())
}

/// The form that the parameters ask for; `None` when it is none of ours.
fn form(range: &Range<'_>, query: &Query) -> Result<Option<Form>, Refusal> {
    let beta = match (range.parameter("g"), range.parameter("v")) {
        ("" | "meta.k8s.io", "" | "v1") => false,
        ("meta.k8s.io", "v1beta1") => true,
        _ => return Ok(None),
    };
    Ok(match range.parameter("as") {
        "" => Some(Form::Object),
        "Table" => Some(Form::Table {
            include: include(query)?,
            headers: true,
            beta,
        }),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Form::Metadata),
        _ => None,
    })
}

fn include(query: &Query) -> Result<Include, Refusal> {
    match query.get("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        other => Err(Status::bad_request(format!(
            "unrecognized includeObject value: {}",
            wavetank_api::status::quote(other)
        ))
        .into()),
    }
}

/// Whether the client can take gzip.
pub(crate) fn accepts_gzip(headers: &Headers) -> bool {
    let offered = headers.value("accept-encoding").unwrap_or_default();
    offered
        .split(',')
        .any(|coding| coding.split(';').next().is_some_and(|c| c.trim() == "gzip"))
}

/// The media type of the body, without parameters; JSON when it is not said.
pub(crate) fn content_type(headers: &Headers) -> &str {
    let header = headers.value("content-type").unwrap_or_default();
    match header.split(';').next().unwrap_or_default().trim() {
        "" => JSON,
        media => media,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(header: &str) -> Result<Accept, u16> {
        let mut headers = Headers::default();
        headers.push("accept", header);
        accept(&headers, &Query::default()).map_err(|status| status.code)
    }

    #[test]
    fn the_first_range_that_can_be_served_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let form = negotiate(table).unwrap().form;
        assert_eq!(
            form,
            Form::Table {
                include: Include::Metadata,
                headers: true,
                beta: false
            }
        );
        let typed = format!("{PROTOBUF},application/json");
        assert_eq!(negotiate(&typed), Ok(Accept::default()));
        assert_eq!(
            negotiate("application/json;as=Nonsense;v=v1;g=meta.k8s.io"),
            Err(406)
        );
        assert_eq!(negotiate("text/html"), Err(406));
        assert_eq!(negotiate("text/html, */*"), Ok(Accept::default()));
    }
}
