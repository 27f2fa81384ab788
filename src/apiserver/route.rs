//! Paths: which resource, which object, which subresource, and what is to be done.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go` for the reading of paths, and
//! `installer.go` for which verbs exist where.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::kinds::{KINDS, Kind, Posted, Subresource};
use wavetank_api::status::{Named, Reason};
use wavetank_api::{KindId, Method, Status};

use crate::query::Query;
use crate::reply::Refusal;

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// exec, attach, port-forward: GET or POST.
    Connect,
}

impl Verb {
    /// As discovery, metrics and messages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Connect => "connect",
        }
    }

    /// As the label of metrics.
    pub fn as_metric(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::List => "LIST",
            Verb::Watch => "WATCH",
            Verb::Create => "POST",
            Verb::Update => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
            Verb::DeleteCollection => "DELETECOLLECTION",
            Verb::Connect => "CONNECT",
        }
    }

    /// Whether it changes something.
    pub fn writes(self) -> bool {
        !matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }
}

/// A path below a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The kind as the client speaks of it.
    pub kind: KindId,
    /// Namespace; empty for cluster-scoped kinds and for lists over all namespaces.
    pub namespace: String,
    /// Name; empty for collections.
    pub name: String,
    /// Subresource; empty for the resource itself.
    pub subresource: &'static str,
}

/// Everything a path can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A resource, and what is to be done there.
    Resource(Route, Verb),
    /// What is only posted, and to which namespace (empty: none).
    Posted(&'static Posted, String),
    /// Anything else: discovery, health, metrics … by its segments.
    Other(Vec<String>),
}

impl Route {
    /// The kind's row of the table.
    pub fn info(&self) -> &'static Kind {
        self.kind.info()
    }

    /// Group and resource, as most messages name it.
    pub fn resource(&self) -> Named<'static> {
        named(self.kind)
    }

    /// The store's key of the object.
    pub fn key(&self) -> String {
        self.kind.stored_as().key(&self.namespace, &self.name)
    }

    /// 404 for the object.
    pub fn not_found(&self) -> Refusal {
        Status::not_found(self.resource(), &self.name).into()
    }
}

/// Group and resource of a kind.
pub(crate) fn named(kind: KindId) -> Named<'static> {
    Named {
        group: kind.info().group,
        resource: kind.info().plural,
    }
}

/// Reads a path and a method.
pub(crate) fn route(
    method: Method,
    segments: Vec<String>,
    query: &Query,
) -> Result<Place, Refusal> {
    let Some((group, version, rest)) = group_version(&segments) else {
        return Ok(Place::Other(segments));
    };
    if let Some((posted, namespace)) = posted(group, version, rest) {
        return match method {
            Method::Post => Ok(Place::Posted(posted, namespace)),
            _ => Err(method_not_allowed()),
        };
    }
    if rest.is_empty()
        || !KINDS
            .iter()
            .any(|k| k.group == group && k.version == version)
    {
        return Ok(Place::Other(segments));
    }
    let route = resource(group, version, rest).ok_or_else(no_such_path)?;
    let verb = verb(method, &route, query)?;
    Ok(Place::Resource(route, verb))
}

/// 404 for a path that leads nowhere.
pub(crate) fn no_such_path() -> Refusal {
    Status::no_such_resource().into()
}

fn group_version(segments: &[String]) -> Option<(&str, &str, &[String])> {
    match segments {
        [api, version, rest @ ..] if api == "api" => Some(("", version, rest)),
        [apis, group, version, rest @ ..] if apis == "apis" => Some((group, version, rest)),
        _ => None,
    }
}

fn posted(group: &str, version: &str, rest: &[String]) -> Option<(&'static Posted, String)> {
    let (plural, namespace) = match rest {
        [plural] => (plural, ""),
        [first, namespace, plural] if first == "namespaces" => (plural, namespace.as_str()),
        _ => return None,
    };
    let posted = Posted::by_resource(group, version, plural)?;
    (posted.namespaced != namespace.is_empty()).then(|| (posted, namespace.to_owned()))
}

fn resource(group: &str, version: &str, rest: &[String]) -> Option<Route> {
    let find = |plural: &String| KindId::by_resource(group, version, plural);
    let at =
        |kind: KindId, namespace: &str, below: &[String]| below_resource(kind, namespace, below);
    match rest {
        // `/namespaces/{ns}/{resource}…`, but `/namespaces/{name}/{subresource}` of namespaces.
        [first, namespace, plural, below @ ..] if first == "namespaces" => match find(plural) {
            Some(kind) if kind.info().namespaced => at(kind, namespace, below),
            _ if below.is_empty() && group.is_empty() => {
                below_resource(find(first)?, "", rest.get(1..)?)
            }
            _ => None,
        },
        [plural, below @ ..] => {
            let kind = find(plural)?;
            if kind.info().namespaced && !below.is_empty() {
                return None;
            }
            at(kind, "", below)
        }
        [] => None,
    }
}

fn below_resource(kind: KindId, namespace: &str, below: &[String]) -> Option<Route> {
    let (name, subresource) = match below {
        [] => ("", ""),
        [name] => (name.as_str(), ""),
        [name, sub] => (name.as_str(), kind.info().subresource(sub)?.name),
        _ => return None,
    };
    let (namespace, name) = (namespace.to_string(), name.to_string());
    Some(Route {
        kind,
        namespace,
        name,
        subresource,
    })
}

fn verb(method: Method, route: &Route, query: &Query) -> Result<Verb, Refusal> {
    let is_object = !route.name.is_empty();
    let connects = matches!(route.subresource, "exec" | "attach" | "portforward");
    let verb = match method {
        Method::Get | Method::Post if connects => Verb::Connect,
        Method::Get | Method::Head if is_object => Verb::Get,
        Method::Get | Method::Head if query.flag("watch") => Verb::Watch,
        Method::Get | Method::Head => Verb::List,
        Method::Post if !is_object || !route.subresource.is_empty() => Verb::Create,
        Method::Put if is_object => Verb::Update,
        Method::Patch if is_object => Verb::Patch,
        Method::Delete if is_object => Verb::Delete,
        Method::Delete => Verb::DeleteCollection,
        _ => return Err(method_not_allowed()),
    };
    let allowed = match route.info().subresource(route.subresource) {
        Some(Subresource { .. }) if verb == Verb::Connect => true,
        Some(subresource) => subresource.verbs.contains(&verb.as_str()),
        None => route.info().allows(verb.as_str()),
    };
    // A namespaced collection over all namespaces can be read, not written.
    let needs_namespace = route.info().namespaced && route.namespace.is_empty();
    let reads = matches!(verb, Verb::List | Verb::Watch);
    match allowed && (reads || !needs_namespace) {
        true => Ok(verb),
        false => Err(method_not_allowed()),
    }
}

/// 405, as upstream answers a method that a path does not have.
pub(crate) fn method_not_allowed() -> Refusal {
    let message = "the server does not allow this method on the requested resource";
    Status::failure(405, Reason::MethodNotAllowed, message.to_string())
        .with(wavetank_api::status::Details::default())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Target;

    fn read(method: Method, target: &str) -> Result<Place, Refusal> {
        let target = Target::parse(target);
        route(method, target.segments(), &target.query)
    }

    fn place(method: Method, target: &str) -> String {
        match read(method, target) {
            Ok(Place::Resource(r, verb)) => {
                let Route {
                    kind,
                    namespace,
                    name,
                    subresource,
                } = r;
                format!(
                    "{} {kind:?} {namespace}/{name}/{subresource}",
                    verb.as_str()
                )
            }
            Ok(Place::Posted(posted, namespace)) => format!("post {namespace}/{}", posted.plural),
            Ok(Place::Other(_)) => "other".to_string(),
            Err(status) => status.code.to_string(),
        }
    }

    #[test]
    fn paths_lead_where_upstreams_lead() {
        use Method::{Delete, Get, Post, Put};
        assert_eq!(
            place(Get, "/api/v1/namespaces/default/pods/web-0/status"),
            "get Pod default/web-0/status"
        );
        assert_eq!(place(Get, "/api/v1/pods?watch=1"), "watch Pod //");
        assert_eq!(
            place(Get, "/apis/apps/v1/namespaces/a/deployments/"),
            "list Deployment a//"
        );
        assert_eq!(
            place(Post, "/api/v1/namespaces/a/pods/p/binding"),
            "create Pod a/p/binding"
        );
        assert_eq!(
            place(Get, "/api/v1/namespaces/a/pods/p/exec?command=ls"),
            "connect Pod a/p/exec"
        );
        assert_eq!(
            place(Put, "/api/v1/namespaces/a/finalize"),
            "update Namespace /a/finalize"
        );
        assert_eq!(place(Get, "/api/v1/namespaces/a"), "get Namespace /a/");
        assert_eq!(
            place(Delete, "/api/v1/namespaces/a/pods"),
            "deletecollection Pod a//"
        );
        let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert_eq!(place(Post, reviews), "post /selfsubjectaccessreviews");
        assert_eq!(place(Get, reviews), "405");
        assert_eq!(
            place(Post, "/api/v1/namespaces/a/bindings"),
            "post a/bindings"
        );
        assert_eq!(place(Post, "/api/v1/bindings"), "404");
        assert_eq!(place(Delete, "/api/v1/pods"), "405");
        assert_eq!(place(Delete, "/api/v1/namespaces"), "405");
        assert_eq!(place(Get, "/api/v1/namespaces/a/nonsense"), "404");
        assert_eq!(place(Get, "/api/v1/namespaces/a/pods/p/nonsense"), "404");
        assert_eq!(place(Get, "/api/v1"), "other");
        assert_eq!(place(Get, "/apis/nonsense/v1/things"), "other");
    }
}
