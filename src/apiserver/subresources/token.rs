//! `serviceaccounts/{name}/token`: a signed statement of who a pod is.
//!
//! Upstream: `pkg/registry/core/serviceaccount/storage/token.go` and
//! `pkg/serviceaccount/claims.go`.
//!
//! Left out: node bindings of tokens, and the audit annotations.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::time::Duration;

use wavetank_api::json::{Value, json};

use wavetank_api::kinds::VirtualId;
use wavetank_api::status::{Cause, Named};
use wavetank_api::{KindId, Status, Time};

use crate::call::Call;
use crate::core::{Core, Next, Task};
use crate::reply::{Answer, Refusal};
use crate::route::{Route, named, no_such_path};
use crate::{managed, metadata};

/// Shortest and longest life of a token, in seconds.
const LIFE: core::ops::RangeInclusive<i64> = 600..=(1 << 32);
/// Life of a token when the request does not say.
const LIFE_DEFAULT: i64 = 3600;

/// Begins the POST of a TokenRequest.
pub(crate) fn begin(call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let options = call.write_options("CreateOptions")?;
    let mut request = call.decode_virtual(VirtualId::TokenRequest, options.validation)?;
    let seconds = expiration(&request);
    if !LIFE.contains(&seconds) {
        let message = match seconds < *LIFE.start() {
            true => {
                format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes")
            }
            false => format!(
                "Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds"
            ),
        };
        let cause = Cause::new("FieldValueInvalid", message, "spec.expirationSeconds");
        let of = Named {
            group: "authentication.k8s.io",
            resource: "TokenRequest",
        };
        return Err(Status::invalid(of, "", vec![cause]).into());
    }
    let route = call.route.as_ref().ok_or_else(no_such_path)?;
    metadata::check_namespace(&mut request, &route.namespace)?;
    request["spec"]["expirationSeconds"] = seconds.into(); // defaulting comes before ownership
    managed::posted(
        &mut request,
        VirtualId::TokenRequest,
        "token",
        &options,
        now,
    );
    Ok(Next::Revision(Task::Token(request)))
}

fn expiration(request: &Value) -> i64 {
    request
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(LIFE_DEFAULT)
}

/// The cache is as new as the request: check what the token names, and sign it.
pub(crate) fn sign(core: &mut Core, call: &mut Call, request: &Value, now: Time) -> Next {
    match signed(core, call, request, now) {
        Ok(answer) => Next::Done(Answer::Value(201, answer)),
        Err(refusal) => Next::Done(refusal.into()),
    }
}

fn signed(core: &mut Core, call: &Call, request: &Value, now: Time) -> Result<Value, Refusal> {
    let route = call.route.clone().ok_or_else(no_such_path)?;
    let account = core.cache.get(route.kind, &route.namespace, &route.name);
    let account = account.ok_or_else(|| route.not_found())?.value();
    let bound = bound_object(core, &route, request)?;
    let audiences = match request.pointer("/spec/audiences").and_then(Value::as_array) {
        Some(list) if !list.is_empty() => list.clone(),
        _ => [Value::from(core.config.issuer.as_str())]
            .into_iter()
            .collect(),
    };
    let expires = now + Duration::from_secs(u64::try_from(expiration(request)).unwrap_or(0));
    let mut private = json!({
        "namespace": route.namespace,
        "serviceaccount": {"name": route.name, "uid": metadata::text(&account, "uid")},
    });
    if let Some((field, reference)) = bound {
        private[field] = reference;
    }
    let claims = json!({
        "aud": Value::Array(audiences.clone()), "iss": core.config.issuer,
        "jti": core.chance.uuid(),
        "iat": now.as_secs(), "nbf": now.as_secs(), "exp": expires.as_secs(),
        "sub": format!("system:serviceaccount:{}:{}", route.namespace, route.name),
        "kubernetes.io": private,
    });
    let mut answer = request.clone();
    answer["metadata"] = json!({"name": route.name, "namespace": route.namespace,
                                "creationTimestamp": now.to_rfc3339(),
                                "managedFields": request["metadata"]["managedFields"]});
    answer["spec"]["audiences"] = audiences.into();
    answer["status"] = json!({"token": core.config.signer.sign(&claims.to_string()),
                              "expirationTimestamp": expires.to_rfc3339()});
    Ok(answer)
}

/// The object whose end is the token's end too.
fn bound_object(
    core: &Core,
    route: &Route,
    request: &Value,
) -> Result<Option<(&'static str, Value)>, Refusal> {
    let Some(reference) = request.pointer("/spec/boundObjectRef") else {
        return Ok(None);
    };
    let text = |field: &str| {
        reference
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, field) = match (text("apiVersion"), text("kind")) {
        ("v1", "Pod") => (KindId::Pod, "pod"),
        ("v1", "Secret") => (KindId::Secret, "secret"),
        (version, kind) => {
            let message = format!(
                "cannot bind token for serviceaccount {} to object of type {version}, \
                                   Kind={kind}",
                wavetank_api::status::quote(&route.name)
            );
            return Err(Status::bad_request(message).into());
        }
    };
    let object = core.cache.get(kind, &route.namespace, text("name"));
    let object = object
        .ok_or_else(|| Status::not_found(named(kind), text("name")))?
        .value();
    let (wanted, uid) = (text("uid"), metadata::text(&object, "uid"));
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in \
                           record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(named(kind), text("name"), &why).into());
    }
    Ok(Some((field, json!({"name": text("name"), "uid": uid}))))
}
