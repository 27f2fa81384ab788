//! The rows: names, scopes, verbs and subresources as `api/discovery/*.json` of Kubernetes v1.33
//! lists them, for the kinds and subresources that are served here.
//!
//! Order: groups by upstream's priority (`pkg/controlplane/apiserver/aggregator.go`), resources
//! alphabetically. kubectl takes the first group that has a name, so `events` means `v1`.
//!
//! Book: `book/src/ground/wire.md`.

use super::{Kind, KindId, Posted, Subresource, SubresourceKind, Virtual, VirtualId};

/// Groups in the order of discovery; the core group is empty.
pub static GROUPS: [&str; 8] = [
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
];

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Namespaces cannot be deleted as a collection.
const NAMESPACE_VERBS: &[&str] = &[
    "create", "delete", "get", "list", "patch", "update", "watch",
];

const CREATE: &[&str] = &["create"];
const CREATE_GET: &[&str] = &["create", "get"];
const GET: &[&str] = &["get"];
const UPDATE: &[&str] = &["update"];
const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];

const fn below(name: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource {
        name,
        kind: SubresourceKind::Parent,
        verbs,
    }
}

const fn speaks(
    name: &'static str,
    kind: VirtualId,
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource {
        name,
        kind: SubresourceKind::Virtual(kind),
        verbs,
    }
}

const STATUS: Subresource = below("status", GET_PATCH_UPDATE);
const SCALE: Subresource = speaks("scale", VirtualId::Scale, GET_PATCH_UPDATE);

/// What most kinds of the core group have in common; each row names the rest.
const CORE: Kind = Kind {
    id: KindId::ConfigMap,
    group: "",
    version: "v1",
    api_version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: ALL_VERBS,
    subresources: &[],
    storage_prefix: "",
    schema: "",
};
const APPS: Kind = Kind {
    group: "apps",
    api_version: "apps/v1",
    categories: &["all"],
    ..CORE
};

/// Every stored kind, in the order of discovery; indexed by [`KindId`].
pub static KINDS: [Kind; 15] = [
    Kind {
        id: KindId::ConfigMap,
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        storage_prefix: "/registry/configmaps/",
        schema: "io.k8s.api.core.v1.ConfigMap",
        ..CORE
    },
    Kind {
        id: KindId::Endpoints,
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        storage_prefix: "/registry/endpoints/",
        schema: "io.k8s.api.core.v1.Endpoints",
        ..CORE
    },
    Kind {
        id: KindId::Event,
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        storage_prefix: "/registry/events/",
        schema: "io.k8s.api.core.v1.Event",
        ..CORE
    },
    Kind {
        id: KindId::Namespace,
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        verbs: NAMESPACE_VERBS,
        subresources: &[below("finalize", UPDATE), STATUS],
        storage_prefix: "/registry/namespaces/",
        schema: "io.k8s.api.core.v1.Namespace",
        ..CORE
    },
    Kind {
        id: KindId::Node,
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        subresources: &[STATUS],
        storage_prefix: "/registry/nodes/",
        schema: "io.k8s.api.core.v1.Node",
        ..CORE
    },
    // ANCHOR: pod
    Kind {
        id: KindId::Pod,
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            speaks("attach", VirtualId::PodAttachOptions, CREATE_GET),
            speaks("binding", VirtualId::Binding, CREATE),
            below("ephemeralcontainers", GET_PATCH_UPDATE),
            speaks("eviction", VirtualId::Eviction, CREATE),
            speaks("exec", VirtualId::PodExecOptions, CREATE_GET),
            below("log", GET),
            speaks("portforward", VirtualId::PodPortForwardOptions, CREATE_GET),
            STATUS,
        ],
        storage_prefix: "/registry/pods/",
        schema: "io.k8s.api.core.v1.Pod",
        ..CORE
    },
    // ANCHOR_END: pod
    Kind {
        id: KindId::Secret,
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        storage_prefix: "/registry/secrets/",
        schema: "io.k8s.api.core.v1.Secret",
        ..CORE
    },
    Kind {
        id: KindId::ServiceAccount,
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        subresources: &[speaks("token", VirtualId::TokenRequest, CREATE)],
        storage_prefix: "/registry/serviceaccounts/",
        schema: "io.k8s.api.core.v1.ServiceAccount",
        ..CORE
    },
    Kind {
        id: KindId::Service,
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[STATUS],
        storage_prefix: "/registry/services/",
        schema: "io.k8s.api.core.v1.Service",
        ..CORE
    },
    Kind {
        id: KindId::Deployment,
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        subresources: &[SCALE, STATUS],
        storage_prefix: "/registry/deployments.apps/",
        schema: "io.k8s.api.apps.v1.Deployment",
        ..APPS
    },
    Kind {
        id: KindId::ReplicaSet,
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        subresources: &[SCALE, STATUS],
        storage_prefix: "/registry/replicasets.apps/",
        schema: "io.k8s.api.apps.v1.ReplicaSet",
        ..APPS
    },
    Kind {
        id: KindId::EventsEvent,
        group: "events.k8s.io",
        api_version: "events.k8s.io/v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        storage_prefix: "/registry/events/",
        schema: "io.k8s.api.events.v1.Event",
        ..CORE
    },
    Kind {
        id: KindId::PriorityClass,
        group: "scheduling.k8s.io",
        api_version: "scheduling.k8s.io/v1",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        namespaced: false,
        storage_prefix: "/registry/priorityclasses.scheduling.k8s.io/",
        schema: "io.k8s.api.scheduling.v1.PriorityClass",
        ..CORE
    },
    Kind {
        id: KindId::Lease,
        group: "coordination.k8s.io",
        api_version: "coordination.k8s.io/v1",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        storage_prefix: "/registry/leases.coordination.k8s.io/",
        schema: "io.k8s.api.coordination.v1.Lease",
        ..CORE
    },
    Kind {
        id: KindId::EndpointSlice,
        group: "discovery.k8s.io",
        api_version: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        storage_prefix: "/registry/endpointslices.discovery.k8s.io/",
        schema: "io.k8s.api.discovery.v1.EndpointSlice",
        ..CORE
    },
];

const fn spoken(
    id: VirtualId,
    (group, version, api_version): (&'static str, &'static str, &'static str),
    kind: &'static str,
    schema: Option<&'static str>,
) -> Virtual {
    Virtual {
        id,
        group,
        version,
        api_version,
        kind,
        schema,
    }
}

const V1: (&str, &str, &str) = ("", "v1", "v1");
const AUTHENTICATION: (&str, &str, &str) =
    ("authentication.k8s.io", "v1", "authentication.k8s.io/v1");
const AUTHORIZATION: (&str, &str, &str) = ("authorization.k8s.io", "v1", "authorization.k8s.io/v1");

const fn posted(kind: VirtualId, plural: &'static str, singular: &'static str) -> Posted {
    Posted {
        kind,
        plural,
        singular,
        namespaced: false,
    }
}

/// Every resource that can only be created, in alphabetical order within its group.
pub static POSTED: [Posted; 7] = [
    Posted {
        namespaced: true,
        ..posted(VirtualId::Binding, "bindings", "binding")
    },
    posted(
        VirtualId::SelfSubjectReview,
        "selfsubjectreviews",
        "selfsubjectreview",
    ),
    posted(VirtualId::TokenReview, "tokenreviews", "tokenreview"),
    Posted {
        namespaced: true,
        ..posted(
            VirtualId::LocalSubjectAccessReview,
            "localsubjectaccessreviews",
            "localsubjectaccessreview",
        )
    },
    posted(
        VirtualId::SelfSubjectAccessReview,
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
    ),
    posted(
        VirtualId::SelfSubjectRulesReview,
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
    ),
    posted(
        VirtualId::SubjectAccessReview,
        "subjectaccessreviews",
        "subjectaccessreview",
    ),
];

/// Every kind that is spoken but not stored; indexed by [`VirtualId`].
pub static VIRTUALS: [Virtual; 15] = [
    spoken(
        VirtualId::Binding,
        V1,
        "Binding",
        Some("io.k8s.api.core.v1.Binding"),
    ),
    spoken(
        VirtualId::DeleteOptions,
        V1,
        "DeleteOptions",
        Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
    ),
    spoken(
        VirtualId::Status,
        V1,
        "Status",
        Some("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ),
    spoken(
        VirtualId::Scale,
        ("autoscaling", "v1", "autoscaling/v1"),
        "Scale",
        Some("io.k8s.api.autoscaling.v1.Scale"),
    ),
    spoken(
        VirtualId::Eviction,
        ("policy", "v1", "policy/v1"),
        "Eviction",
        Some("io.k8s.api.policy.v1.Eviction"),
    ),
    spoken(
        VirtualId::TokenRequest,
        AUTHENTICATION,
        "TokenRequest",
        Some("io.k8s.api.authentication.v1.TokenRequest"),
    ),
    spoken(
        VirtualId::TokenReview,
        AUTHENTICATION,
        "TokenReview",
        Some("io.k8s.api.authentication.v1.TokenReview"),
    ),
    spoken(
        VirtualId::SelfSubjectReview,
        AUTHENTICATION,
        "SelfSubjectReview",
        Some("io.k8s.api.authentication.v1.SelfSubjectReview"),
    ),
    spoken(
        VirtualId::LocalSubjectAccessReview,
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        Some("io.k8s.api.authorization.v1.LocalSubjectAccessReview"),
    ),
    spoken(
        VirtualId::SelfSubjectAccessReview,
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        Some("io.k8s.api.authorization.v1.SelfSubjectAccessReview"),
    ),
    spoken(
        VirtualId::SelfSubjectRulesReview,
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        Some("io.k8s.api.authorization.v1.SelfSubjectRulesReview"),
    ),
    spoken(
        VirtualId::SubjectAccessReview,
        AUTHORIZATION,
        "SubjectAccessReview",
        Some("io.k8s.api.authorization.v1.SubjectAccessReview"),
    ),
    spoken(VirtualId::PodExecOptions, V1, "PodExecOptions", None),
    spoken(VirtualId::PodAttachOptions, V1, "PodAttachOptions", None),
    spoken(
        VirtualId::PodPortForwardOptions,
        V1,
        "PodPortForwardOptions",
        None,
    ),
];
