//! The API described for machines: an index, and one OpenAPI v3 document per group and version.
//!
//! kubectl reads the index, then the documents it needs: `explain` prints the descriptions, `apply`
//! takes the merge keys from the `x-kubernetes-*` extensions, and every write asks whether the
//! server knows `fieldValidation`. Upstream generates the documents from Go comments
//! (`k8s.io/kube-openapi`); ours come from the table of kinds and the [`crate::schema`].
//!
//! 1. Every kind that is served is described, with its verbs: `every_verb_has_an_operation`.
//! 2. References within a document lead somewhere in it: `references_resolve`.
//! 3. A hash names its document, so clients may keep it for ever:
//!    `the_index_names_every_document_by_its_hash`.
//!
//! The same as one document of OpenAPI v2 is there for older clients.
//!
//! Left out: documents of paths that serve no kinds.
//!
//! Book: `book/src/ground/wire.md`.

use std::sync::LazyLock;

use crate::json::{Map, Value, json};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::kinds::{KINDS, POSTED, root_path};

mod gnostic;
mod operations;
mod schemas;
mod v2;

/// The description of one group and version.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name in the index: `api/v1`, `apis/apps/v1`.
    pub path: String,
    /// Names the content; also fit for an `ETag`.
    pub hash: String,
    /// The JSON text.
    pub body: Bytes,
}

static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let mut versions: Vec<(&str, &str)> = Vec::new();
    let stored = KINDS.iter().map(|kind| (kind.group, kind.version));
    let posted = POSTED.iter().map(|posted| posted.kind.info());
    for version in stored.chain(posted.map(|info| (info.group, info.version))) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
        .into_iter()
        .map(|(group, version)| describe(group, version))
        .collect()
});

static INDEX: LazyLock<Bytes> = LazyLock::new(|| {
    let entry = |document: &Document| {
        let url = format!("/openapi/v3/{}?hash={}", document.path, document.hash);
        (document.path.clone(), json!({ "serverRelativeURL": url }))
    };
    let paths: Map = DOCUMENTS.iter().map(entry).collect();
    Bytes::from(json!({ "paths": paths }).to_string())
});

/// The answer to `GET /openapi/v3`.
pub fn index() -> Bytes {
    INDEX.clone()
}

/// The document that `GET /openapi/v3/{path}` answers: `apis/apps/v1`.
pub fn document(path: &str) -> Option<&'static Document> {
    DOCUMENTS.iter().find(|document| document.path == path)
}

/// All documents, in the order of discovery. They are built on first use.
pub fn documents() -> &'static [Document] {
    &DOCUMENTS
}

/// The form of OpenAPI v2 that kubectl takes. It asks by the second name, which is no media type
/// and must not be answered (kube-openapi's `subTypeProtobufDeprecated`).
pub const V2_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

/// Both forms of the OpenAPI v2 document.
static V2: LazyLock<(Document, Document)> = LazyLock::new(|| {
    let parsed = DOCUMENTS
        .iter()
        .map(|document| serde_json::from_slice(&document.body));
    let parsed: Vec<Value> = parsed.filter_map(Result::ok).collect();
    let document = v2::document(parsed.iter());
    let protobuf = gnostic::encode(&document);
    let named = |body| Document::new("openapi/v2".to_owned(), body);
    (named(document.to_string().into()), named(protobuf.into()))
});

/// The answer to `GET /openapi/v2`, as JSON or as protobuf.
pub fn v2(protobuf: bool) -> &'static Document {
    if protobuf { &V2.1 } else { &V2.0 }
}

impl Document {
    fn new(path: String, body: Bytes) -> Self {
        let hash = format!("{:016X}", xxh3_64(&body));
        Document { path, hash, body }
    }
}

fn describe(group: &str, version: &str) -> Document {
    let document = json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.33.0" },
        "paths": operations::of_version(group, version),
        "components": {
            "schemas": schemas::of_version(group, version),
            "securitySchemes": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "in": "header", "name": "authorization", "type": "apiKey",
                },
            },
        },
    });
    let body = Bytes::from(document.to_string());
    let path = root_path(group, version);
    Document::new(path.trim_start_matches('/').to_owned(), body)
}

#[cfg(test)]
mod tests;
