//! What is posted and answered, never stored: who am I, whose token is this, may I do that, and the
//! Binding that names its pod only in the body.
//!
//! Called for the resources of the table [`wavetank_api::kinds::POSTED`]. Upstream:
//! `pkg/registry/{authentication,authorization}/*/`, `pkg/apis/authorization/validation`.
//!
//! 1. A review says what the request that it asks about would be told: both ask
//!    [`authorize::allows`].
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::kinds::{Posted, VirtualId};
use wavetank_api::status::{Cause, Named};
use wavetank_api::{KindId, Status, Time};

use crate::auth::{self, User};
use crate::authorize::{self, Attributes};
use crate::call::Call;
use crate::core::{Core, Next};
use crate::field::{Errors, Field, FieldErrorKind};
use crate::reply::{Answer, Refusal};
use crate::route::{Route, no_such_path};
use crate::subresources::binding;
use crate::{managed, metadata};

/// Begins the POST of what is only posted.
pub(crate) fn begin(
    core: &mut Core,
    call: &mut Call,
    posted: &Posted,
    namespace: &str,
    now: Time,
) -> Result<Next, Refusal> {
    if posted.kind == VirtualId::Binding {
        return bind(core, call, namespace, now);
    }
    let options = call.write_options("CreateOptions")?;
    let mut review = call.decode_virtual(posted.kind, options.validation)?;
    metadata::check_namespace(&mut review, namespace)?;
    managed::posted(&mut review, posted.kind, "", &options, now);
    let status = match posted.kind {
        // Upstream answers these two with objects of its own, and the others with what was posted.
        VirtualId::SelfSubjectReview => {
            review["metadata"] = json!({"creationTimestamp": now.to_rfc3339()});
            json!({"userInfo": user_info(&call.user)})
        }
        VirtualId::SelfSubjectRulesReview => {
            let rules = rules(&call.user, &review)?;
            review["metadata"] = json!({});
            review["spec"] = json!({});
            rules
        }
        VirtualId::TokenReview => token_review(core, &review, now),
        VirtualId::SelfSubjectAccessReview => {
            validate(posted.kind, &review)?;
            access(&call.user, &review)
        }
        VirtualId::LocalSubjectAccessReview | VirtualId::SubjectAccessReview => {
            validate(posted.kind, &review)?;
            access(&subject(&review), &review)
        }
        _ => return Err(no_such_path()),
    };
    review["status"] = status;
    Ok(Next::Done(Answer::Value(201, review)))
}

/// `POST …/bindings`: the same as `POST …/pods/{name}/binding`.
fn bind(core: &mut Core, call: &mut Call, namespace: &str, now: Time) -> Result<Next, Refusal> {
    let options = call.write_options("CreateOptions")?;
    let binding = call.decode_virtual(VirtualId::Binding, options.validation)?;
    let name = metadata::text(&binding, "name").to_owned();
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required.").into());
    }
    let route = Route {
        kind: KindId::Pod,
        namespace: namespace.to_owned(),
        name,
        subresource: "binding",
    };
    binding::bind(core, call, route, binding, now)
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn token_review(core: &Core, review: &Value, now: Time) -> Value {
    let token = review.pointer("/spec/token").and_then(Value::as_str);
    let found = auth::token_user(token.unwrap_or_default(), &core.config, &core.cache, now);
    match found {
        Some(found) => json!({"authenticated": true, "user": user_info(&found)}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }
}

/// Whom a SubjectAccessReview is about.
fn subject(review: &Value) -> User {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let text = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or_default();
    let groups = spec.get("groups").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(Value::as_str);
    User {
        name: text("user").to_owned(),
        uid: text("uid").to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..User::default()
    }
}

fn access(user: &User, review: &Value) -> Value {
    let asked = review.get("spec").and_then(Attributes::of_review);
    let allowed = asked.is_some_and(|asked| authorize::allows(user, &asked));
    json!({"allowed": allowed})
}

/// The rules of somebody who may do everything, or of nobody.
fn rules(user: &User, review: &Value) -> Result<Value, Refusal> {
    let namespace = review.pointer("/spec/namespace").and_then(Value::as_str);
    if namespace.is_none_or(str::is_empty) {
        return Err(Status::bad_request("no namespace on request").into());
    }
    let anything = authorize::allows(user, &Attributes::Resource(authorize::Resource::default()));
    let (resources, paths) = match anything {
        true => (
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
            json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        ),
        false => (
            json!([]),
            json!([{"verbs": ["get"], "nonResourceURLs": authorize::PUBLIC}]),
        ),
    };
    Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
}

fn validate(kind: VirtualId, review: &Value) -> Result<(), Refusal> {
    let mut errors = Errors::new();
    let root = Field::root(review);
    let spec = root.child("spec");
    let (resource, path) = (
        spec.child("resourceAttributes"),
        spec.child("nonResourceAttributes"),
    );
    match (resource.is_set(), path.is_set()) {
        (true, true) => path.invalid(
            &mut errors,
            "cannot be specified in combination with resourceAttributes",
        ),
        (false, false) => {
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let mut error = resource.error(FieldErrorKind::Invalid, why);
            error.value = "null".into();
            errors.push(error);
        }
        _ => {}
    }
    if kind != VirtualId::SelfSubjectAccessReview {
        let (user, groups) = (spec.child("user"), spec.child("groups"));
        if user.is_empty() && groups.is_empty() {
            let why = "at least one of user or group must be specified";
            let mut error = user.error(FieldErrorKind::Invalid, why);
            error.value = "".into();
            errors.push(error);
        }
    }
    validate_place(kind, &root, &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    // Upstream's internal object has lost the name of its kind.
    let of = Named {
        group: kind.info().group,
        resource: "",
    };
    let cause =
        |e: &crate::field::FieldError| Cause::new(e.kind.reason(), e.body(), e.path.clone());
    Err(Status::invalid(of, "", errors.iter().map(cause).collect()).into())
}

/// Metadata is empty, but for the namespace of a local review.
fn validate_place(kind: VirtualId, root: &Field<'_, '_>, errors: &mut Errors) {
    let is_local = kind == VirtualId::LocalSubjectAccessReview;
    let metadata = root.child("metadata");
    let is_allowed = |name: &str| name == "managedFields" || is_local && name == "namespace";
    let fields = metadata.value().and_then(Value::as_object);
    let mut given = fields
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null());
    if given.any(|(name, _)| !is_allowed(name)) {
        metadata.invalid(
            errors,
            match is_local {
                true => "must be empty except for namespace",
                false => "must be empty",
            },
        );
    }
    if !is_local {
        return;
    }
    let spec = root.child("spec");
    let resource = spec.child("resourceAttributes");
    let (asked, own) = (resource.child("namespace"), metadata.child("namespace"));
    if resource.is_set() && asked.text().unwrap_or_default() != own.text().unwrap_or_default() {
        asked.invalid(errors, "must match metadata.namespace");
    }
    let path = spec.child("nonResourceAttributes");
    if path.is_set() {
        path.invalid(errors, "disallowed on this kind of request");
    }
}
