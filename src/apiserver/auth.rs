//! Who asks: client certificates, in-process components, bearer tokens, service accounts.
//!
//! Upstream: `k8s.io/apiserver/pkg/authentication`. What they may do, `authorize.rs` says.
//!
//! 1. A service account's token is good only while its ServiceAccount (and the object it is bound
//!    to) exists with the UID in the token.
//!
//! Left out: OIDC, webhooks, and what upstream notes in a user's `extra`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::collections::BTreeMap;

use wavetank_api::json::Value;

use wavetank_api::http::Peer;
use wavetank_api::{KindId, Request, Status, Time};

use crate::cache::Cache;
use crate::config::Config;
use crate::reply::Refusal;

/// An authenticated user (`user.Info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    /// Name.
    pub name: String,
    /// UID, if the authenticator knows one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known, in words of the authenticator.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The name of nobody.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The group of nobody.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of whoever has proved an identity.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";

impl User {
    /// Nobody.
    pub fn anonymous() -> Self {
        User {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..User::default()
        }
    }

    fn new(name: &str, uid: &str, groups: &[String]) -> Self {
        let mut groups = groups.to_vec();
        groups.push(AUTHENTICATED.to_owned());
        User {
            name: name.to_string(),
            uid: uid.to_string(),
            groups,
            ..User::default()
        }
    }
}

/// Finds out who asks: `Ok(None)` is nobody, an error is a credential that is not good.
pub(crate) fn authenticate(
    request: &Request,
    config: &Config,
    cache: &Cache,
    now: Time,
) -> Result<Option<User>, Refusal> {
    match &request.peer {
        Peer::Certificate {
            common_name,
            organizations,
        } => {
            return Ok(Some(User::new(common_name, "", organizations)));
        }
        Peer::Component(name) => {
            return Ok(Some(User::new(name, "", &["system:masters".to_string()])));
        }
        Peer::Unknown => {}
    }
    let Some(header) = request.headers.value("authorization") else {
        return Ok(None);
    };
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Ok(None);
    }
    match token_user(token, config, cache, now) {
        Some(user) => Ok(Some(user)),
        None => Err(unauthorized()),
    }
}

/// 401 as upstream words it.
pub(crate) fn unauthorized() -> Refusal {
    Status::unauthorized("Unauthorized").into()
}

/// The user that a bearer token stands for.
pub(crate) fn token_user(token: &str, config: &Config, cache: &Cache, now: Time) -> Option<User> {
    if let Some(known) = config
        .tokens
        .iter()
        .find(|known| is_same(&known.token, token))
    {
        return Some(User::new(&known.user, "", &known.groups));
    }
    let claims: Value = serde_json::from_str(&config.signer.verify(token)?).ok()?;
    service_account(&claims, config, cache, now)
}

/// Compares without stopping at the first difference, so that time tells nothing of the secret.
fn is_same(a: &str, b: &str) -> bool {
    let differences = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |acc, (a, b)| acc | (a ^ b));
    a.len() == b.len() && differences == 0
}

/// `pkg/serviceaccount/claims.go`: times, audience, and that everything named still exists.
fn service_account(claims: &Value, config: &Config, cache: &Cache, now: Time) -> Option<User> {
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let is_issuer = claims.get("iss").and_then(Value::as_str) == Some(&config.issuer);
    let mut audiences = claims
        .get("aud")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str);
    let is_in_time =
        seconds("exp")? > now.as_secs() && seconds("nbf").is_none_or(|nbf| nbf <= now.as_secs());
    if !is_issuer || !is_in_time || !audiences.any(|audience| audience == config.issuer) {
        return None;
    }
    let private = claims.get("kubernetes.io")?;
    let namespace = private.get("namespace")?.as_str()?;
    let account = private.get("serviceaccount")?;
    let (name, uid) = (
        account.get("name")?.as_str()?,
        account.get("uid")?.as_str()?,
    );
    let exists = |kind: KindId, namespace: &str, reference: &Value| {
        let name = reference
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let object = cache
            .get(kind, namespace, name)
            .map(|object| object.value());
        let uid = object
            .as_ref()
            .and_then(|object| object.pointer("/metadata/uid"));
        uid.is_some() && uid == reference.get("uid")
    };
    let bound = [("pod", KindId::Pod), ("secret", KindId::Secret)];
    let is_bound = bound.iter().all(|(field, kind)| {
        private
            .get(*field)
            .is_none_or(|reference| exists(*kind, namespace, reference))
    });
    if !exists(KindId::ServiceAccount, namespace, account) || !is_bound {
        return None;
    }
    let groups = [
        "system:serviceaccounts".to_string(),
        format!("system:serviceaccounts:{namespace}"),
    ];
    Some(User::new(
        &format!("system:serviceaccount:{namespace}:{name}"),
        uid,
        &groups,
    ))
}
