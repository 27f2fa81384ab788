//! One request as the verbs see it: who asks, for what, with which options, to be answered how.
//!
//! Made by `server.rs` before the verb runs, and kept while the request waits.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use bytes::Bytes;
use wavetank_api::json::Value;

use wavetank_api::kinds::VirtualId;
use wavetank_api::protobuf;
use wavetank_api::schema::{Schema, TypeId};
use wavetank_api::status::{Cause, Named};
use wavetank_api::strict::{self, Decoded, Encoding, FieldValidation};
use wavetank_api::{KindId, Status, Time};

use crate::auth::User;
use crate::negotiate::{Accept, JSON, PROTOBUF, YAML};
use crate::query::Query;
use crate::reply::Refusal;
use crate::route::{Route, Verb};
use crate::subresources::connect::Upgrade;

/// Longest body accepted (upstream's `MaxRequestBodyBytes`).
pub(crate) const BODY_MAX: usize = 3 * 1024 * 1024;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Call {
    /// What it is about; absent for discovery, health and so on.
    pub route: Option<Route>,
    /// What is to be done.
    pub verb: Verb,
    /// Query parameters.
    pub query: Query,
    /// Who asks.
    pub user: User,
    /// How the answer is to look.
    pub accept: Accept,
    /// Whether the client takes gzip.
    pub gzip: bool,
    /// Whether JSON is to be indented.
    pub pretty: bool,
    /// Whether the method was HEAD: headers only.
    pub is_head: bool,
    /// Media type of the body.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
    /// What the client offers to upgrade to (exec, attach, port-forward).
    pub upgrade: Upgrade,
    /// `user-agent`, from which the default field manager is taken.
    pub user_agent: String,
    /// Goes out as `audit-id`.
    pub audit_id: String,
    /// Go out as `warning` headers.
    pub warnings: Vec<String>,
    /// When it came in.
    pub began: Time,
    /// Whether there is a request: not where the server renews its own key.
    pub is_request: bool,
    /// Whether nothing is to be stored; set by the verbs that have options.
    pub dry_run: bool,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    /// What to do about unknown fields.
    pub validation: FieldValidation,
    /// Who is to own the fields, never empty.
    pub manager: String,
    /// Whether the client named the manager itself.
    pub has_manager: bool,
    /// Apply only: take fields from others.
    pub force: bool,
}

/// What a body is to be.
struct Wanted {
    /// `Deployment`.
    kind: &'static str,
    /// `v1`.
    version: &'static str,
    /// `apps/v1`.
    api_version: &'static str,
    ty: TypeId,
}

impl Call {
    /// The kind asked for; that of namespaces when there is none (then it is not used).
    pub fn kind(&self) -> KindId {
        self.route
            .as_ref()
            .map_or(KindId::Namespace, |route| route.kind)
    }

    /// Whether the request is to something below an object.
    pub fn is_subresource(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| !route.subresource.is_empty())
    }

    /// Reads and checks the options of a write.
    pub fn write_options(&mut self, name: &str) -> Result<WriteOptions, Refusal> {
        let mut causes = Vec::new();
        let all: Vec<&str> = self
            .query
            .all("dryRun")
            .filter(|value| !value.is_empty())
            .collect();
        if all.iter().any(|value| *value != "All") {
            let shown = serde_json::to_string(&all).unwrap_or_default();
            causes.push(unsupported("dryRun", &shown, &["All"]));
        }
        let dry_run = !all.is_empty();
        let text = self.query.get("fieldValidation");
        let validation = FieldValidation::parse(text);
        if validation.is_none() {
            let shown = wavetank_api::status::quote(text);
            causes.push(unsupported(
                "fieldValidation",
                &shown,
                &["Ignore", "Strict", "Warn"],
            ));
        }
        let manager = self.query.get("fieldManager").to_string();
        causes.extend(check_manager(&manager));
        if !causes.is_empty() {
            let of = Named {
                group: "meta.k8s.io",
                resource: name,
            };
            return Err(Status::invalid(of, "", causes).into());
        }
        let has_manager = !manager.is_empty();
        self.dry_run |= dry_run;
        Ok(WriteOptions {
            validation: validation.unwrap_or_default(),
            manager: if has_manager {
                manager
            } else {
                manager_of(&self.user_agent)
            },
            has_manager,
            force: self.query.flag("force"),
        })
    }

    /// Decodes the body as an object of the kind.
    pub fn decode_body(
        &mut self,
        kind: KindId,
        validation: FieldValidation,
    ) -> Result<Value, Refusal> {
        let info = kind.info();
        let wanted = Wanted {
            kind: info.kind,
            version: info.version,
            api_version: info.api_version,
            ty: Schema::builtin().kind(kind),
        };
        self.decode(&wanted, validation)
    }

    /// Decodes the body as one of the kinds that are never stored.
    pub fn decode_virtual(
        &mut self,
        kind: VirtualId,
        validation: FieldValidation,
    ) -> Result<Value, Refusal> {
        let info = kind.info();
        let wanted = Wanted {
            kind: info.kind,
            version: info.version,
            api_version: info.api_version,
            ty: Schema::builtin().virtual_kind(kind),
        };
        self.decode(&wanted, validation)
    }

    fn decode(&mut self, wanted: &Wanted, validation: FieldValidation) -> Result<Value, Refusal> {
        let encoding = match self.content_type.as_str() {
            PROTOBUF => {
                let value = self.decode_protobuf()?;
                let complaints = Vec::new();
                return self.accept_decoded(Decoded { value, complaints }, wanted, validation);
            }
            JSON => Encoding::Json,
            YAML => Encoding::Yaml,
            _ => return Err(Status::unsupported_media_type(&[JSON, YAML, PROTOBUF]).into()),
        };
        let decoded = strict::decode_as(&self.body, encoding, wanted.ty)
            .map_err(|error| undecodable(wanted.kind, wanted.version, &error.to_string()))?;
        self.accept_decoded(decoded, wanted, validation)
    }

    fn decode_protobuf(&self) -> Result<Value, Refusal> {
        let decoded = protobuf::decode(&self.body);
        decoded.map_err(|error| Status::bad_request(error.to_string()).into())
    }

    /// Adds warnings that are not there yet: a write may be decided on more than once.
    pub fn warn(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    fn accept_decoded(
        &mut self,
        decoded: Decoded,
        wanted: &Wanted,
        validation: FieldValidation,
    ) -> Result<Value, Refusal> {
        let Wanted {
            kind,
            version,
            api_version,
            ..
        } = *wanted;
        let mut value = decoded.value;
        let said = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let (said_version, said_kind) = (said("apiVersion"), said("kind"));
        let matches = |said: &str, is: &str| said.is_empty() || said == is;
        if !matches(said_kind, kind) || !matches(said_version, api_version) {
            let message = format!(
                "{said_kind} in version {} cannot be handled as a {kind}: converting \
                 ({said_version}, Kind={said_kind}) to ({api_version}, Kind={kind}): unknown \
                 conversion",
                wavetank_api::status::quote(said_version.rsplit('/').next().unwrap_or_default())
            );
            return Err(Status::bad_request(message).into());
        }
        match (validation, strict::strict_error(&decoded.complaints)) {
            (FieldValidation::Strict, Some(error)) => {
                return Err(undecodable(kind, version, &error));
            }
            (FieldValidation::Warn, _) => self.warn(decoded.complaints),
            _ => {}
        }
        if let Some(object) = value.as_object_mut() {
            object.insert("kind", kind.into());
            object.insert("apiVersion", api_version.into());
        }
        Ok(value)
    }
}

/// 400 for a body that is no object of the kind.
pub(crate) fn undecodable(kind: &str, version: &str, error: &str) -> Refusal {
    Status::bad_request(strict::message(kind, version, error)).into()
}

/// `kubectl/v1.33.1 (linux/amd64)…` manages as `kubectl` (`managerOrUserAgent`).
fn manager_of(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    if name.is_empty() {
        "unknown".to_string()
    } else {
        name
    }
}

fn check_manager(manager: &str) -> Option<Cause> {
    let quoted = wavetank_api::status::quote(manager);
    if manager.len() > 128 {
        let message = "Too long: may not be more than 128 bytes";
        return Some(Cause::new("FieldValueTooLong", message, "fieldManager"));
    }
    manager.chars().any(char::is_control).then(|| {
        let message = format!("Invalid value: {quoted}: should only contain printable characters");
        Cause::new("FieldValueInvalid", message, "fieldManager")
    })
}

/// A cause for an option whose value is none of a closed set.
pub(crate) fn unsupported(field: &str, shown: &str, supported: &[&str]) -> Cause {
    let quoted: Vec<String> = supported
        .iter()
        .map(|value| format!("\"{value}\""))
        .collect();
    let message = format!(
        "Unsupported value: {shown}: supported values: {}",
        quoted.join(", ")
    );
    Cause::new("FieldValueNotSupported", message, field)
}
