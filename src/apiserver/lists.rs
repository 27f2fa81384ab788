//! The options of lists and watches, and the continue token.
//!
//! Upstream: `apimachinery/pkg/apis/meta/internalversion/validation`, and the table of semantics in
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use serde::{Deserialize, Serialize};

use wavetank_api::selector::{FieldSelector, LabelSelector};
use wavetank_api::status::{Cause, Named, quote};
use wavetank_api::{KindId, Revision, Status};

use crate::call::unsupported;
use crate::kinds::event;
use crate::query::Query;
use crate::registry;
use crate::reply::Refusal;

/// Which state a list or the start of a watch is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// At least as new as anything acknowledged before the request (A3).
    MostRecent,
    /// Whatever the cache has.
    Any,
    /// At least this revision.
    NotOlderThan(Revision),
    /// Exactly this revision.
    Exact(Revision),
}

/// The options of a list or watch, checked.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
    /// Which state.
    pub at: At,
    /// Most objects in the answer; 0: all.
    pub limit: usize,
    /// Where an earlier page ended.
    pub from: Option<Token>,
    /// Watches: seconds until the end; `None`: the server chooses.
    pub timeout_seconds: Option<u64>,
    /// Watches: send bookmarks.
    pub bookmarks: bool,
    /// Watches: `sendInitialEvents`.
    pub initial_events: Option<bool>,
}

/// Where a page of a list ended (the `continue` token, opaque to clients).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Always `meta.k8s.io/v1`.
    v: String,
    /// The revision of the list; -1: the client takes what is there now.
    pub rv: i64,
    /// The last key of the page before, without the scope's prefix.
    pub start: String,
    /// How many objects were left, if that was known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left: Option<usize>,
}

impl Token {
    pub fn new(rv: i64, start: &str, left: Option<usize>) -> Self {
        Token {
            v: "meta.k8s.io/v1".to_string(),
            rv,
            start: start.to_string(),
            left,
        }
    }

    /// The revision of the list; `None` when it goes on with what is there now.
    pub fn revision(&self) -> Option<Revision> {
        u64::try_from(self.rv).ok().map(Revision)
    }

    /// JSON in hexadecimal digits: opaque enough, and goes into a URL as it is.
    pub fn encode(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn decode(text: &str) -> Option<Self> {
        let digits: Vec<char> = text.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect::<Option<_>>()?;
        let token: Token = serde_json::from_slice(&bytes).ok()?;
        (token.v == "meta.k8s.io/v1" && token.rv >= -1).then_some(token)
    }
}

impl ListOptions {
    /// Reads and checks the options; `name` is that of a watch on one object's path.
    pub fn read(query: &Query, kind: KindId, is_watch: bool) -> Result<Self, Refusal> {
        let bad =
            |error: &dyn core::fmt::Display| Refusal::from(Status::bad_request(error.to_string()));
        let number = |name: &str| query.number(name).map_err(|error| bad(&error));
        let labels = LabelSelector::parse(query.get("labelSelector"))
            .map_err(|error| bad(&format!("unable to parse requirement: {error}")))?;
        let mut fields =
            FieldSelector::parse(query.get("fieldSelector")).map_err(|error| bad(&error))?;
        convert_fields(kind, &mut fields)?;
        check(query, is_watch)?;
        let limit = usize::try_from(number("limit")?.unwrap_or(0)).unwrap_or(0);
        let from = token(query)?;
        let at = at(query, limit, is_watch)?;
        if from.is_some() && !matches!(query.get("resourceVersion"), "" | "0") {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(message).into());
        }
        // As upstream: a list at "0" is answered whole from the cache.
        let limit = if at == At::Any && from.is_none() {
            0
        } else {
            limit
        };
        Ok(ListOptions {
            labels,
            fields,
            at,
            limit,
            from,
            timeout_seconds: number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()),
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query
                .has("sendInitialEvents")
                .then(|| query.flag("sendInitialEvents")),
        })
    }
}

fn token(query: &Query) -> Result<Option<Token>, Refusal> {
    let text = query.get("continue");
    if text.is_empty() {
        return Ok(None);
    }
    match Token::decode(text) {
        Some(token) => Ok(Some(token)),
        None => Err(Status::bad_request(
            "continue key is not valid: encoded start key is not valid",
        )
        .into()),
    }
}

// ANCHOR: at
/// The table of resourceVersion semantics.
fn at(query: &Query, limit: usize, is_watch: bool) -> Result<At, Refusal> {
    let revision = match query.get("resourceVersion") {
        "" => return Ok(At::MostRecent),
        "0" => return Ok(At::Any),
        text => Revision(text.parse().map_err(|_| bad_version(text))?),
    };
    Ok(match query.get("resourceVersionMatch") {
        "Exact" => At::Exact(revision),
        "" if limit > 0 && !is_watch => At::Exact(revision),
        _ => At::NotOlderThan(revision),
    })
}
// ANCHOR_END: at

fn bad_version(text: &str) -> Refusal {
    let message = format!(
        "Invalid value: {}: strconv.ParseUint: parsing {}: invalid syntax",
        quote(text),
        quote(text)
    );
    let of = Named {
        group: "",
        resource: "resourceVersion",
    };
    Status::invalid(
        of,
        "",
        vec![Cause::new("FieldValueInvalid", message, "resourceVersion")],
    )
    .into()
}

/// Names fields as the stored kind does, and refuses those that cannot be selected.
fn convert_fields(kind: KindId, fields: &mut FieldSelector) -> Result<(), Refusal> {
    let known = (registry::strategy(kind.stored_as()).fields)(&wavetank_api::json::Value::Null);
    for term in &mut fields.terms {
        if matches!(term.field.as_str(), "metadata.name" | "metadata.namespace") {
            continue;
        }
        let stored = match kind {
            KindId::EventsEvent => event::stored_field(&term.field),
            _ => Some(term.field.clone()),
        };
        let stored = stored.filter(|stored| known.iter().any(|(name, _)| name == stored));
        let Some(stored) = stored else {
            let message = format!("field label not supported: {}", term.field);
            return Err(Status::bad_request(message).into());
        };
        term.field = stored;
    }
    Ok(())
}

/// `ValidateListOptions`: which options go together.
fn check(query: &Query, is_watch: bool) -> Result<(), Refusal> {
    let version_match = query.get("resourceVersionMatch");
    let forbidden = if is_watch {
        forbidden_watch(query)
    } else {
        forbidden_list(query)
    };
    let mut causes: Vec<Cause> = forbidden
        .into_iter()
        .map(|(field, why)| Cause::new("FieldValueForbidden", format!("Forbidden: {why}"), field))
        .collect();
    if !matches!(version_match, "" | "Exact" | "NotOlderThan") {
        let supported = ["Exact", "NotOlderThan", ""];
        causes.push(unsupported(
            "resourceVersionMatch",
            &quote(version_match),
            &supported,
        ));
    }
    if causes.is_empty() {
        return Ok(());
    }
    let of = Named {
        group: "meta.k8s.io",
        resource: "ListOptions",
    };
    Err(Status::invalid(of, "", causes).into())
}

/// Which option is forbidden, and why.
type Forbidden = Vec<(&'static str, &'static str)>;

fn forbidden_watch(query: &Query) -> Forbidden {
    let mut found = Vec::new();
    let version_match = query.get("resourceVersionMatch");
    let has_initial = query.has("sendInitialEvents");
    if !version_match.is_empty() && !has_initial {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        found.push(("resourceVersionMatch", why));
    }
    if has_initial && version_match != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        found.push(("resourceVersionMatch", why));
    }
    if !query.get("continue").is_empty() {
        found.push(("continue", "continue is forbidden for watch"));
    }
    found
}

fn forbidden_list(query: &Query) -> Forbidden {
    let mut found = Vec::new();
    let (version_match, version) = (
        query.get("resourceVersionMatch"),
        query.get("resourceVersion"),
    );
    if query.has("sendInitialEvents") {
        found.push((
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    if !version_match.is_empty() && version.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        found.push(("resourceVersionMatch", why));
    }
    if !version_match.is_empty() && !query.get("continue").is_empty() {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        found.push(("resourceVersionMatch", why));
    }
    if version_match == "Exact" && version == "0" {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        found.push(("resourceVersionMatch", why));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Target;

    fn read(query: &str) -> Result<At, u16> {
        let query = Target::parse(query).query;
        let is_watch = query.flag("watch");
        let options = ListOptions::read(&query, KindId::Pod, is_watch);
        options
            .map(|options| options.at)
            .map_err(|status| status.code)
    }

    #[test]
    fn resource_versions_mean_what_the_table_says() {
        assert_eq!(read("?"), Ok(At::MostRecent));
        assert_eq!(read("?limit=5&resourceVersion=0"), Ok(At::Any));
        assert_eq!(
            read("?resourceVersion=7"),
            Ok(At::NotOlderThan(Revision(7)))
        );
        assert_eq!(
            read("?limit=5&resourceVersion=7"),
            Ok(At::Exact(Revision(7)))
        );
        assert_eq!(read("?resourceVersionMatch=Exact"), Err(422));
        assert_eq!(
            read("?resourceVersionMatch=Exact&resourceVersion=0"),
            Err(422)
        );
        assert_eq!(
            read("?resourceVersionMatch=Exact&resourceVersion=7"),
            Ok(At::Exact(Revision(7)))
        );
        assert_eq!(read("?watch=1&sendInitialEvents=true"), Err(422));
        assert_eq!(read("?resourceVersion=abc"), Err(422));
        assert_eq!(read("?continue=abc"), Err(400));
        assert_eq!(read("?fieldSelector=spec.nonsense=1"), Err(400));
    }

    #[test]
    fn a_token_reads_back() {
        let token = Token::new(7, "default/web-0_1", Some(3));
        assert_eq!(Token::decode(&token.encode()), Some(token));
    }
}
