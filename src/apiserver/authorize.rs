//! Who may do what: whoever has proved an identity may do everything, others may ask for health and
//! version.
//!
//! Called by the server for each request, and by the reviews that ask what would be answered.
//! Upstream: `--authorization-mode=AlwaysAllow`, and the words of
//! `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go`.
//!
//! Left out: roles and bindings.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::Value;

use wavetank_api::status::{Named, quote};
use wavetank_api::{Method, Status};

use crate::auth::{ANONYMOUS, UNAUTHENTICATED, User};
use crate::reply::Refusal;
use crate::route::{Place, Verb};

/// What somebody wants to do (`authorizer.Attributes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attributes {
    /// Something with a resource.
    Resource(Resource),
    /// Something with another path.
    Path {
        /// `get`.
        verb: String,
        /// `/healthz`.
        path: String,
    },
}

/// A resource that somebody wants to do something with; what is not said is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub(crate) struct Resource {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

impl Attributes {
    /// What a request wants (`requestinfo.go`).
    pub fn of(method: Method, path: &str, place: &Result<Place, Refusal>) -> Self {
        let http = method.as_str().to_ascii_lowercase();
        match place {
            Ok(Place::Resource(route, verb)) => {
                let info = route.info();
                let is_namespace = info.plural == "namespaces" && info.group.is_empty();
                let namespace = match is_namespace {
                    true => &route.name,
                    false => &route.namespace,
                };
                Attributes::Resource(Resource {
                    verb: match verb {
                        Verb::Connect if method == Method::Post => "create".to_owned(),
                        Verb::Connect => "get".to_owned(),
                        verb => verb.as_str().to_owned(),
                    },
                    group: info.group.to_owned(),
                    resource: info.plural.to_owned(),
                    subresource: route.subresource.to_owned(),
                    namespace: namespace.clone(),
                    name: route.name.clone(),
                })
            }
            Ok(Place::Posted(posted, namespace)) => Attributes::Resource(Resource {
                verb: "create".to_owned(),
                group: posted.kind.info().group.to_owned(),
                resource: posted.plural.to_owned(),
                namespace: namespace.clone(),
                ..Resource::default()
            }),
            Ok(Place::Other(_)) | Err(_) => Attributes::Path {
                verb: http,
                path: path.to_owned(),
            },
        }
    }

    /// What the spec of an access review asks about, if it says.
    pub fn of_review(spec: &Value) -> Option<Self> {
        let text = |of: &Value, name: &str| {
            let text = of.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let given = |name: &str| spec.get(name).filter(|value| !value.is_null());
        if let Some(asked) = given("resourceAttributes") {
            return Some(Attributes::Resource(Resource {
                verb: text(asked, "verb"),
                group: text(asked, "group"),
                resource: text(asked, "resource"),
                subresource: text(asked, "subresource"),
                namespace: text(asked, "namespace"),
                name: text(asked, "name"),
            }));
        }
        given("nonResourceAttributes").map(|asked| Attributes::Path {
            verb: text(asked, "verb"),
            path: text(asked, "path"),
        })
    }
}

/// What anybody may get.
pub(crate) const PUBLIC: [&str; 8] = [
    "/healthz",
    "/healthz/*",
    "/livez",
    "/livez/*",
    "/readyz",
    "/readyz/*",
    "/version",
    "/version/",
];

// ANCHOR: allows
/// Whether this user may do this.
pub(crate) fn allows(user: &User, attributes: &Attributes) -> bool {
    let mut groups = user.groups.iter();
    if user.name != ANONYMOUS && !groups.any(|group| group == UNAUTHENTICATED) {
        return true;
    }
    match attributes {
        Attributes::Path { verb, path } => verb == "get" && is_public(path),
        Attributes::Resource(_) => false,
    }
}

/// Whether anybody may ask for this path.
fn is_public(path: &str) -> bool {
    let below = |public: &str| path.strip_prefix(public);
    PUBLIC.iter().any(|public| match public.strip_suffix("/*") {
        Some(folder) => below(folder).is_some_and(|rest| rest.starts_with('/')),
        None => below(public) == Some(""),
    })
}
// ANCHOR_END: allows

/// 403 in upstream's words.
pub(crate) fn forbidden(user: &User, attributes: &Attributes) -> Refusal {
    let user = quote(&user.name);
    let asked = match attributes {
        Attributes::Path { verb, path } => {
            let why = format!("User {user} cannot {verb} path {}", quote(path));
            let nameless = Named {
                group: "",
                resource: "",
            };
            return Status::forbidden(nameless, "", &why).into();
        }
        Attributes::Resource(asked) => asked,
    };
    let resource = match asked.subresource.as_str() {
        "" => asked.resource.clone(),
        below => format!("{}/{below}", asked.resource),
    };
    let place = match asked.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", quote(namespace)),
    };
    let (verb, group) = (&asked.verb, quote(&asked.group));
    let resource = quote(&resource);
    let why = format!("User {user} cannot {verb} resource {resource} in API group {group} {place}");
    let of = Named {
        group: &asked.group,
        resource: &asked.resource,
    };
    Status::forbidden(of, &asked.name, &why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_cannot_do_what_and_where() {
        let asked = Resource {
            verb: "get".into(),
            resource: "pods".into(),
            subresource: "log".into(),
            namespace: "shop".into(),
            name: "web-0".into(),
            ..Resource::default()
        };
        let refusal = forbidden(&User::anonymous(), &Attributes::Resource(asked));
        let words = "pods \"web-0\" is forbidden: User \"system:anonymous\" cannot get resource \
                     \"pods/log\" in API group \"\" in the namespace \"shop\"";
        assert_eq!((refusal.code, refusal.message.as_str()), (403, words));
        let (verb, path) = ("get".into(), "/metrics".into());
        let refusal = forbidden(&User::anonymous(), &Attributes::Path { verb, path });
        let words = "forbidden: User \"system:anonymous\" cannot get path \"/metrics\"";
        assert_eq!(refusal.message, words);
    }
}
