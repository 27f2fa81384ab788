//! Impersonation: a user who may asks in the name of another (`kubectl --as`).
//!
//! Called once the user has proved who it is; what it then may do is what the other may do.
//! Upstream: `k8s.io/apiserver/pkg/endpoints/filters/impersonation`.
//!
//! 1. Nobody is impersonated by a user who may not impersonate each part: name, groups, UID, extra.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::Status;
use wavetank_api::http::Headers;

use crate::auth::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};
use crate::authorize::{self, Attributes, Resource};
use crate::query;
use crate::reply::Refusal;

const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// One part of who is to be impersonated (upstream's `ObjectReference`).
enum Part {
    ServiceAccount { namespace: String, name: String },
    User(String),
    Group(String),
    Extra { key: String, value: String },
    Uid(String),
}

/// Who the request is to be made as: the other user if headers name one, else the user itself.
pub(crate) fn impersonate(headers: &Headers, user: User) -> Result<User, Refusal> {
    let parts = parts(headers)?;
    if parts.is_empty() {
        return Ok(user);
    }
    for part in &parts {
        let attributes = Attributes::Resource(part.asked());
        if !authorize::allows(&user, &attributes) {
            return Err(authorize::forbidden(&user, &attributes));
        }
    }
    Ok(become_user(parts))
}

fn parts(headers: &Headers) -> Result<Vec<Part>, Refusal> {
    let all = |wanted: &str| {
        let values = headers.iter().filter(|(name, _)| *name == wanted);
        values
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    let one = |wanted: &str| {
        all(wanted)
            .into_iter()
            .next()
            .filter(|value| !value.is_empty())
    };
    let mut parts = Vec::new();
    let user = one("impersonate-user");
    let has_user = user.is_some();
    parts.extend(user.map(|name| match service_account(&name) {
        Some((namespace, name)) => Part::ServiceAccount { namespace, name },
        None => Part::User(name),
    }));
    parts.extend(all("impersonate-group").into_iter().map(Part::Group));
    for (name, value) in headers.iter() {
        if let Some(key) = name.strip_prefix(EXTRA) {
            let (key, value) = (query::decode(key, false), value.to_owned());
            parts.push(Part::Extra { key, value });
        }
    }
    parts.extend(one("impersonate-uid").map(Part::Uid));
    if !has_user && !parts.is_empty() {
        let parts: Vec<_> = parts.iter().map(Part::shown).collect();
        let parts = parts.join(" ");
        let message = format!("requested [{parts}] without impersonating a user");
        return Err(Status::bad_request(message).into());
    }
    Ok(parts)
}

/// Namespace and name in `system:serviceaccount:default:robot`.
fn service_account(user: &str) -> Option<(String, String)> {
    let rest = user.strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = rest.split_once(':')?;
    let is_good = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    is_good.then(|| (namespace.to_owned(), name.to_owned()))
}

impl Part {
    /// What the user must be allowed.
    fn asked(&self) -> Resource {
        let (group, resource, name) = match self {
            Part::ServiceAccount { name, .. } => ("", "serviceaccounts", name),
            Part::User(name) => ("", "users", name),
            Part::Group(name) => ("", "groups", name),
            Part::Extra { value, .. } => (AUTHENTICATION, "userextras", value),
            Part::Uid(uid) => (AUTHENTICATION, "uids", uid),
        };
        let (mut subresource, mut namespace) = (String::new(), String::new());
        match self {
            Part::Extra { key, .. } => subresource.clone_from(key),
            Part::ServiceAccount { namespace: of, .. } => namespace.clone_from(of),
            _ => {}
        }
        Resource {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource,
            namespace,
            name: name.clone(),
        }
    }

    /// As Go prints an `ObjectReference`: kind, namespace, name, UID, API version,
    /// resourceVersion, field path.
    fn shown(&self) -> String {
        match self {
            Part::ServiceAccount { namespace, name } => {
                format!("{{ServiceAccount {namespace} {name}    }}")
            }
            Part::User(name) => format!("{{User  {name}    }}"),
            Part::Group(name) => format!("{{Group  {name}    }}"),
            Part::Extra { key, value } => {
                format!("{{UserExtra  {value}  {AUTHENTICATION}/v1  {key}}}")
            }
            Part::Uid(uid) => format!("{{UID  {uid}  {AUTHENTICATION}/v1  }}"),
        }
    }
}

fn become_user(parts: Vec<Part>) -> User {
    let has_groups = parts.iter().any(|part| matches!(part, Part::Group(_)));
    let mut user = User::default();
    for part in parts {
        match part {
            Part::ServiceAccount { namespace, name } => {
                user.name = format!("system:serviceaccount:{namespace}:{name}");
                if !has_groups {
                    user.groups.push("system:serviceaccounts".to_owned());
                    user.groups
                        .push(format!("system:serviceaccounts:{namespace}"));
                }
            }
            Part::User(name) => user.name = name,
            Part::Group(name) => user.groups.push(name),
            Part::Extra { key, value } => user.extra.entry(key).or_default().push(value),
            Part::Uid(uid) => user.uid = uid,
        }
    }
    let has = |group: &str| user.groups.iter().any(|g| g == group);
    if user.name == ANONYMOUS {
        if !has(UNAUTHENTICATED) {
            user.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in pairs {
            headers.push(*name, *value);
        }
        headers
    }

    fn admin() -> User {
        User {
            name: "admin".into(),
            ..User::default()
        }
    }

    #[test]
    fn a_request_is_made_as_the_user_that_headers_name() {
        let headers = headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "dev"),
            ("impersonate-group", "ops"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-example.org%2fteam", "a"),
            ("impersonate-extra-example.org%2fteam", "b"),
        ]);
        let user = impersonate(&headers, admin()).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "7"));
        assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(user.extra["example.org/team"], ["a", "b"]);
    }

    #[test]
    fn a_service_account_has_its_groups_and_nobody_has_its_own() {
        let account = [("impersonate-user", "system:serviceaccount:shop:robot")];
        let account = impersonate(&headers(&account), admin()).unwrap();
        let groups = [
            "system:serviceaccounts",
            "system:serviceaccounts:shop",
            AUTHENTICATED,
        ];
        assert_eq!(account.groups, groups);
        let nobody = [("impersonate-user", ANONYMOUS)];
        let nobody = impersonate(&headers(&nobody), admin()).unwrap();
        assert_eq!(nobody, User::anonymous());
    }

    #[test]
    fn a_group_without_a_user_is_a_bad_request() {
        let refusal = impersonate(&headers(&[("impersonate-group", "dev")]), admin()).unwrap_err();
        let words = "requested [{Group  dev    }] without impersonating a user";
        assert_eq!((refusal.code, refusal.message.as_str()), (400, words));
    }

    proptest! {
        /// Invariant 1.
        #[test]
        fn nobody_impersonates_nobody(
            user in "[a-z:]{1,9}", groups in prop::collection::vec("[a-z:]{1,9}", 0..3),
        ) {
            let mut pairs = vec![("impersonate-user", user.as_str())];
            pairs.extend(groups.iter().map(|group| ("impersonate-group", group.as_str())));
            let refusal = impersonate(&headers(&pairs), User::anonymous()).unwrap_err();
            prop_assert_eq!(refusal.code, 403);
            prop_assert!(refusal.message.contains("User \"system:anonymous\" cannot impersonate"));
        }
    }
}
