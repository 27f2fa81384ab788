//! Names in scenarios: kinds, and single objects.
//!
//! Book: `book/src/simulator/scenarios.md`.

use wavetank_api::json::Value;
use wavetank_api::kinds::KindId;

/// The kind of a manifest.
pub(crate) fn manifest_kind(object: &Value) -> Result<KindId, String> {
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    KindId::by_kind(api_version, kind)
        .ok_or_else(|| format!("no matches for kind {kind:?} in version {api_version:?}"))
}

/// The kind of a resource name: `pods`, `deployments.apps`.
pub(crate) fn resource_kind(resource: &str) -> Result<KindId, String> {
    KindId::all()
        .find(|kind| kind.info().group_resource() == resource)
        .ok_or_else(|| {
            format!("no resource {resource:?} (write plural.group, as deployments.apps)")
        })
}

/// One object in a scenario: `pods/default/web-0`, `nodes/node-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Its kind.
    pub kind: KindId,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name; with a `*` at the end, the first that begins so.
    pub name: String,
}

impl ObjectName {
    /// Reads `resource/namespace/name`, or `resource/name` for cluster-scoped kinds.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let kind = resource_kind(parts.next().unwrap_or_default())?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, name) = match (kind.info().namespaced, rest.as_slice()) {
            (true, [namespace, name]) => (*namespace, *name),
            (false, [name]) => ("", *name),
            (true, _) => return Err(format!("{text:?} is not resource/namespace/name")),
            (false, _) => return Err(format!("{text:?} is not resource/name")),
        };
        Ok(ObjectName {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Where it is stored.
    pub fn key(&self) -> String {
        self.kind.key(&self.namespace, &self.name)
    }

    /// Where the API serves it.
    pub fn path(&self) -> String {
        format!(
            "{}/{}",
            collection_path(self.kind, &self.namespace),
            self.name
        )
    }
}

/// Where the API serves the objects of a kind: of one namespace, or of all when it is empty.
pub(crate) fn collection_path(kind: KindId, namespace: &str) -> String {
    let info = kind.info();
    let root = info.root_path();
    if info.namespaced && !namespace.is_empty() {
        format!("{root}/namespaces/{namespace}/{}", info.plural)
    } else {
        format!("{root}/{}", info.plural)
    }
}
