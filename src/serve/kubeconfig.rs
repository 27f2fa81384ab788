//! The file that tells kubectl where the cluster is and who asks.
//!
//! 1. Only its owner may read it.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::error::ServeError;
use crate::pki::{Identity, write_private};

/// What a kubeconfig says: one cluster, one user, one context that joins them.
pub struct Kubeconfig<'a> {
    /// Name of cluster, user and context.
    pub name: &'a str,
    /// `https://127.0.0.1:6443`.
    pub server: &'a str,
    /// The authority that the server's certificate is signed by, PEM.
    pub ca_pem: &'a str,
    /// The client's certificate.
    pub identity: &'a Identity,
    /// A bearer token of the same user, for programs that cannot show a certificate.
    pub token: &'a str,
}

impl Kubeconfig<'_> {
    /// The file's text: JSON, which is YAML too.
    pub fn text(&self) -> String {
        let encode = |pem: &str| STANDARD.encode(pem);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": self.name, "cluster": {
                "server": self.server,
                "certificate-authority-data": encode(self.ca_pem),
            }}],
            "users": [{ "name": self.name, "user": {
                "client-certificate-data": encode(&self.identity.certificate_pem),
                "client-key-data": encode(&self.identity.key_pem),
                "token": self.token,
            }}],
            "contexts": [{ "name": self.name, "context": {
                "cluster": self.name,
                "user": self.name,
            }}],
            "current-context": self.name,
        });
        format!("{config:#}\n")
    }

    /// Writes the file with mode 0600, over the one that is there.
    pub fn write(&self, path: &Path) -> Result<(), ServeError> {
        write_private(path, &self.text())
    }
}
