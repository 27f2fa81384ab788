//! What the server serves, in the forms in which clients ask.
//!
//! kubectl learns here that `deploy` means `deployments` in `apps/v1`. Since 1.26 one aggregated
//! document does (`apidiscovery.k8s.io`: v2 from kubectl 1.30 on, v2beta1 before); older clients,
//! `kubectl drain` and `auth can-i` ask for the plain lists, group by group. All of them are the
//! table of kinds in another shape. Which form a request wants, the API server negotiates.
//!
//! 1. All forms name the same resources: `all_forms_name_the_same_resources`.
//! 2. Groups come in the order of the table of groups, in which kubectl prefers them:
//!    `groups_come_in_the_order_of_the_table`.
//!
//! Left out: `storageVersionHash`, and groups that are only spoken (`policy`, `autoscaling`).
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{Value, json};
use bytes::Bytes;

use crate::kinds::{GROUPS, KINDS, Kind, POSTED, Posted, Subresource, SubresourceKind};

/// The version of the aggregated document; both have the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregated {
    /// What kubectl 1.30 and later asks for.
    V2,
    /// What kubectl 1.26 to 1.29 asks for; given a v2 it finds no resources.
    V2Beta1,
}

impl Aggregated {
    /// The content type that the answer must carry.
    pub fn content_type(self) -> &'static str {
        match self {
            Aggregated::V2 => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            Aggregated::V2Beta1 => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Aggregated::V2 => "apidiscovery.k8s.io/v2",
            Aggregated::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }

    /// `GET /api`: the core group.
    pub fn core(self) -> Bytes {
        self.list(groups().filter(|group| group.is_empty()))
    }

    /// `GET /apis`: all other groups.
    pub fn groups(self) -> Bytes {
        self.list(groups().filter(|group| !group.is_empty()))
    }

    fn list(self, groups: impl Iterator<Item = &'static str>) -> Bytes {
        let items: Vec<_> = groups.map(aggregated_group).collect();
        text(json!({
            "kind": "APIGroupDiscoveryList", "apiVersion": self.api_version(),
            "metadata": {}, "items": items,
        }))
    }
}

/// `GET /api`, plain. `server_address` is where clients reach this server: `10.0.0.1:6443`.
pub fn api_versions(server_address: &str) -> Bytes {
    text(json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            { "clientCIDR": "0.0.0.0/0", "serverAddress": server_address },
        ],
    }))
}

/// `GET /apis`, plain: `APIGroupList`.
pub fn group_list() -> Bytes {
    let groups: Vec<_> = groups()
        .filter(|group| !group.is_empty())
        .map(plain_group)
        .collect();
    text(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
}

/// `GET /apis/{group}`: `APIGroup`; `None` for a group that is not served.
pub fn group(name: &str) -> Option<Bytes> {
    let name = groups().find(|group| !group.is_empty() && *group == name)?;
    let mut group = plain_group(name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Some(text(group))
}

/// `GET /api/v1` and `GET /apis/{group}/{version}`: `APIResourceList`, subresources included;
/// `None` for a version that is not served.
pub fn resource_list(group: &str, version: &str) -> Option<Bytes> {
    let resources = resources_of(group, version);
    let api_version = resources.first()?.api_version;
    let resources: Vec<_> = resources.iter().flat_map(plain_resources).collect();
    Some(text(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version,
        "resources": resources,
    })))
}

/// Group names in the order of the table; the core group is empty.
fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().copied()
}

fn versions(group: &str) -> Vec<&'static str> {
    let mut versions = Vec::new();
    for resource in resources().filter(|resource| resource.group == group) {
        if !versions.contains(&resource.version) {
            versions.push(resource.version);
        }
    }
    versions
}

/// What is told of a resource, whether its objects are stored or only posted.
struct Resource {
    group: &'static str,
    version: &'static str,
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    namespaced: bool,
    verbs: &'static [&'static str],
    /// The row of a kind whose objects are stored.
    stored: Option<&'static Kind>,
}

impl From<&'static Kind> for Resource {
    fn from(kind: &'static Kind) -> Self {
        Resource {
            group: kind.group,
            version: kind.version,
            api_version: kind.api_version,
            kind: kind.kind,
            plural: kind.plural,
            singular: kind.singular,
            namespaced: kind.namespaced,
            verbs: kind.verbs,
            stored: Some(kind),
        }
    }
}

impl From<&'static Posted> for Resource {
    fn from(posted: &'static Posted) -> Self {
        let info = posted.kind.info();
        Resource {
            group: info.group,
            version: info.version,
            api_version: info.api_version,
            kind: info.kind,
            plural: posted.plural,
            singular: posted.singular,
            namespaced: posted.namespaced,
            verbs: &["create"],
            stored: None,
        }
    }
}

impl Resource {
    fn subresources(&self) -> impl Iterator<Item = (&'static Kind, &'static Subresource)> {
        let stored = self.stored.into_iter();
        stored.flat_map(|kind| kind.subresources.iter().map(move |below| (kind, below)))
    }

    /// Adds what helps kubectl to name a stored kind.
    fn add_names(&self, to: &mut Value) {
        if let Some(kind) = self.stored {
            add(to, "shortNames", kind.short_names.into());
            add(to, "categories", kind.categories.into());
        }
    }
}

fn resources() -> impl Iterator<Item = Resource> {
    KINDS
        .iter()
        .map(Resource::from)
        .chain(POSTED.iter().map(Resource::from))
}

/// The resources of a group and version by name.
fn resources_of(group: &str, version: &str) -> Vec<Resource> {
    let is_of = |resource: &Resource| (resource.group, resource.version) == (group, version);
    let mut resources: Vec<_> = resources().filter(is_of).collect();
    resources.sort_by_key(|resource| resource.plural);
    resources
}

fn aggregated_group(group: &'static str) -> Value {
    let version = |version: &'static str| {
        let resources = resources_of(group, version);
        let resources: Vec<_> = resources.iter().map(aggregated_resource).collect();
        json!({ "version": version, "resources": resources, "freshness": "Current" })
    };
    let versions: Vec<_> = versions(group).into_iter().map(version).collect();
    let metadata = match group {
        "" => json!({}),
        name => json!({ "name": name }),
    };
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let (group, version) = (resource.group, resource.version);
    let mut told = json!({
        "resource": resource.plural,
        "responseKind": { "group": group, "version": version, "kind": resource.kind },
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    let below = resource.subresources();
    let below: Vec<_> = below
        .map(|(kind, below)| aggregated_below(kind, below))
        .collect();
    resource.add_names(&mut told);
    add(&mut told, "subresources", below.into());
    told
}

fn aggregated_below(kind: &Kind, below: &Subresource) -> Value {
    let (group, version, name) = spoken(kind, below);
    json!({
        "subresource": below.name,
        "responseKind": { "group": group, "version": version, "kind": name },
        "verbs": below.verbs,
    })
}

/// Group, version and kind that a subresource speaks.
fn spoken(kind: &Kind, below: &Subresource) -> (&'static str, &'static str, &'static str) {
    match below.kind {
        SubresourceKind::Parent => (kind.group, kind.version, kind.kind),
        SubresourceKind::Virtual(id) => (id.info().group, id.info().version, id.info().kind),
    }
}

fn plain_group(name: &'static str) -> Value {
    let version = |v: &str| json!({ "groupVersion": format!("{name}/{v}"), "version": v });
    let versions: Vec<_> = versions(name).into_iter().map(version).collect();
    let preferred = versions.first().cloned();
    json!({ "name": name, "versions": versions, "preferredVersion": preferred })
}

fn plain_resources(resource: &Resource) -> Vec<Value> {
    let mut told = json!({
        "name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": resource.verbs,
    });
    resource.add_names(&mut told);
    let mut resources = vec![told];
    for (kind, below) in resource.subresources() {
        let (group, version, name) = spoken(kind, below);
        let mut resource = json!({
            "name": format!("{}/{}", kind.plural, below.name), "singularName": "",
            "namespaced": kind.namespaced, "kind": name, "verbs": below.verbs,
        });
        if (group, version) != (kind.group, kind.version) {
            resource["group"] = group.into();
            resource["version"] = version.into();
        }
        resources.push(resource);
    }
    resources
}

/// Adds a list, unless it is empty.
fn add(to: &mut Value, name: &str, list: Value) {
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        to[name] = list;
    }
}

fn text(value: Value) -> Bytes {
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    fn items(value: &Value, name: &str) -> crate::json::List {
        value[name].as_array().cloned().unwrap_or_default()
    }

    /// `apps/v1 deployments/scale`
    fn aggregated(form: Aggregated) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let groups = [form.core(), form.groups()];
        for group in groups.iter().flat_map(|list| items(&read(list), "items")) {
            for version in items(&group, "versions") {
                let name = group["metadata"]["name"]
                    .as_str()
                    .map_or(String::new(), |n| format!("{n}/"));
                let prefix = format!("{name}{}", version["version"].as_str().unwrap());
                for resource in items(&version, "resources") {
                    let resource_name = resource["resource"].as_str().unwrap().to_string();
                    for below in items(&resource, "subresources") {
                        let below = below["subresource"].as_str().unwrap().to_string();
                        names.insert(format!("{prefix} {resource_name}/{below}"));
                    }
                    names.insert(format!("{prefix} {resource_name}"));
                }
            }
        }
        names
    }

    fn plain() -> BTreeSet<String> {
        let groups = items(&read(&group_list()), "groups");
        let names = groups
            .iter()
            .map(|group| group["name"].as_str().unwrap().to_string());
        let mut found = BTreeSet::new();
        for group in names.chain([String::new()]) {
            let list = read(&resource_list(&group, "v1").unwrap());
            let prefix = list["groupVersion"].as_str().unwrap().to_string();
            for resource in items(&list, "resources") {
                found.insert(format!("{prefix} {}", resource["name"].as_str().unwrap()));
            }
        }
        found
    }

    #[test]
    fn all_forms_name_the_same_resources() {
        assert_eq!(aggregated(Aggregated::V2), aggregated(Aggregated::V2Beta1));
        assert_eq!(aggregated(Aggregated::V2), plain());
        assert!(plain().contains("apps/v1 deployments/scale"));
        assert!(plain().contains("v1 pods/eviction"));
        assert!(plain().contains("v1 bindings"));
        assert!(plain().contains("authorization.k8s.io/v1 selfsubjectaccessreviews"));
    }

    #[test]
    fn groups_come_in_the_order_of_the_table() {
        let names: Vec<_> = groups().collect();
        assert_eq!(&names[..3], ["", "apps", "events.k8s.io"]);
        let of_kinds = KINDS.iter().map(|kind| kind.group);
        let of_posted = POSTED.iter().map(|posted| posted.kind.info().group);
        let in_use: BTreeSet<_> = of_kinds.chain(of_posted).collect();
        assert_eq!(in_use, names.iter().copied().collect());
        let plain = items(&read(&group_list()), "groups");
        let plain: Vec<_> = plain
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        assert_eq!(plain, names[1..]);
    }

    #[test]
    fn the_forms_are_upstreams() {
        let core = read(&Aggregated::V2.core());
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
        let resources = items(&core["items"][0]["versions"][0], "resources");
        let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
        assert_eq!(pods["scope"], "Namespaced");
        assert_eq!(pods["shortNames"], json!(["po"]));
        let list = read(&resource_list("", "v1").unwrap());
        let eviction = items(&list, "resources");
        let eviction = eviction
            .iter()
            .find(|r| r["name"] == "pods/eviction")
            .unwrap();
        let expected = json!({
            "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy",
            "version": "v1", "kind": "Eviction", "verbs": ["create"],
        });
        assert_eq!(eviction, &expected);
        assert_eq!(
            read(&group("apps").unwrap())["preferredVersion"]["groupVersion"],
            "apps/v1"
        );
        assert_eq!(
            (group("ghosts"), group(""), resource_list("apps", "v2")),
            (None, None, None)
        );
    }
}
