//! A kubeconfig as a client reads it: where a cluster is, whom to trust, who asks.
//!
//! Read once, by who starts a [`Remote`](crate::Remote); upstream: client-go
//! `tools/clientcmd/{loader,validation}.go` and `rest/transport.go`.
//!
//! 1. Each field is honoured or refused: one that this client cannot do is an error, not ignored.
//! 2. An error names the file and the field, in kubectl's words where kubectl has words.
//!
//! Left out: more than one file (`$KUBECONFIG` with a list), `exec` and `auth-provider` plugins,
//! impersonation, proxies.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client_tls::{Tls, Trust};
use crate::credentials::Credentials;
use crate::error::ServeError;
use crate::pki::Identity;

/// All that a client needs to reach a cluster.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What comes before each path, without `/` at its end: mostly nothing.
    pub(crate) base: String,
    /// `None`: plain HTTP, as `kubectl proxy` offers it.
    pub(crate) tls: Option<Tls>,
    pub(crate) credentials: Credentials,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    clusters: Option<Vec<Cluster>>,
    users: Option<Vec<User>>,
    contexts: Option<Vec<Context>>,
    #[serde(rename = "current-context")]
    current_context: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    name: String,
    context: ContextFields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContextFields {
    cluster: String,
    user: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cluster {
    name: String,
    cluster: Option<ClusterFields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct ClusterFields {
    server: String,
    tls_server_name: String,
    insecure_skip_tls_verify: bool,
    certificate_authority: String,
    certificate_authority_data: String,
    proxy_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    name: String,
    user: Option<UserFields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct UserFields {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    password: String,
    r#as: String,
    as_uid: String,
    as_groups: Vec<String>,
    as_user_extra: BTreeMap<String, Vec<String>>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
}

/// A field's complaint: its path in the file, and what is wrong.
type Complaint = (String, String);

impl Access {
    /// Reads what the file says of a context, or of its `current-context`.
    ///
    /// # Errors
    /// Names the file and the field.
    pub fn open(path: &Path, context: Option<&str>) -> Result<Access, ServeError> {
        let loading = |cause: String| ServeError::Kubeconfig {
            path: path.to_owned(),
            cause,
        };
        let text = fs::read_to_string(path).map_err(|error| loading(words(&error)))?;
        let file = parse(&text).map_err(loading)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file.access(context, folder)
            .map_err(|(field, cause)| ServeError::KubeconfigField {
                path: path.to_owned(),
                field,
                cause,
            })
    }

    /// `127.0.0.1:6443`, as errors name the server.
    pub fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn parse(text: &str) -> Result<File, String> {
    let file: File = match text.trim() {
        "" => File::default(),
        _ => serde_saphyr::from_str(text).map_err(|error| error.to_string())?,
    };
    // client-go takes a file without either for its own version.
    let (version, kind) = (file.api_version.as_str(), file.kind.as_str());
    if !matches!(version, "" | "v1") || !matches!(kind, "" | "Config") {
        return Err(format!(
            "no kind \"{kind}\" is registered for version \"{version}\""
        ));
    }
    Ok(file)
}

impl File {
    fn access(&self, context: Option<&str>, folder: &Path) -> Result<Access, Complaint> {
        let chosen = context.unwrap_or(&self.current_context);
        if chosen.is_empty() {
            return complain("current-context", "no context chosen");
        }
        let contexts = self.contexts.as_deref().unwrap_or_default();
        let Some(found) = contexts.iter().find(|it| it.name == chosen) else {
            let what = format!("context was not found for specified context: {chosen}");
            return complain("contexts", what);
        };
        let ContextFields { cluster, user } = &found.context;
        let clusters = self.clusters.as_deref().unwrap_or_default();
        let users = self.users.as_deref().unwrap_or_default();
        let field = |name: &str| format!("contexts[{chosen}].context.{name}");
        let missing = |what: &str, name: &str| match name {
            "" => format!("{what} was not specified for context \"{chosen}\""),
            _ => format!("{what} \"{name}\" was not found for context \"{chosen}\""),
        };
        let Some(its_cluster) = clusters.iter().find(|it| it.name == *cluster) else {
            return complain(field("cluster"), missing("cluster", cluster));
        };
        let Some(its_user) = users.iter().find(|it| it.name == *user) else {
            return complain(field("user"), missing("user", user));
        };
        let cluster = Section::new("cluster", cluster, its_cluster.cluster.clone(), folder);
        let user = Section::new("user", user, its_user.user.clone(), folder);
        cluster.access(&user)
    }
}

/// The cluster or the user that was chosen, with what its errors name.
struct Section<'a, T> {
    fields: T,
    name: &'a str,
    /// `cluster` or `user`.
    kind: &'static str,
    /// Relative paths begin here.
    folder: &'a Path,
}

impl<'a, T: Default> Section<'a, T> {
    fn new(kind: &'static str, name: &'a str, fields: Option<T>, folder: &'a Path) -> Self {
        Section {
            fields: fields.unwrap_or_default(),
            name,
            kind,
            folder,
        }
    }

    fn field(&self, name: &str) -> String {
        let Section { kind, name: of, .. } = self;
        format!("{kind}s[{of}].{kind}.{name}")
    }

    fn complain<R>(&self, field: &str, cause: impl Into<String>) -> Result<R, Complaint> {
        complain(self.field(field), cause)
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// What a field holds as base64, or the file that its sister names; `None` without either.
    fn pem(&self, field: &str, data: &str, file: &str) -> Result<Option<Vec<u8>>, Complaint> {
        if !data.is_empty() {
            let packed: String = data.split_whitespace().collect();
            let decoded = STANDARD.decode(packed).map_err(|error| {
                (
                    self.field(&format!("{field}-data")),
                    format!("illegal base64 data: {error}"),
                )
            });
            return decoded.map(Some);
        }
        if file.is_empty() {
            return Ok(None);
        }
        let path = self.path(file);
        let read = fs::read(&path).map_err(|error| {
            let (path, why) = (path.display(), words(&error));
            let short = field.replace("certificate", "cert");
            let what = if self.kind == "user" {
                short.as_str()
            } else {
                field
            };
            let cause = format!(
                "unable to read {what} {path} for {} due to {why}",
                self.name
            );
            (self.field(field), cause)
        });
        read.map(Some)
    }
}

impl Section<'_, ClusterFields> {
    fn access(&self, user: &Section<'_, UserFields>) -> Result<Access, Complaint> {
        let fields = &self.fields;
        if fields.server.is_empty() {
            return self.complain(
                "server",
                format!("no server found for cluster \"{}\"", self.name),
            );
        }
        if !fields.proxy_url.is_empty() {
            return self.complain("proxy-url", "proxies are not built");
        }
        let ca = self.pem(
            "certificate-authority",
            &fields.certificate_authority_data,
            &fields.certificate_authority,
        )?;
        let credentials = user.credentials()?;
        let identity = user.identity()?;
        let insecure = fields.insecure_skip_tls_verify;
        if insecure && ca.is_some() {
            let cause = "specifying a root certificates file with the insecure flag is not allowed";
            return self.complain("insecure-skip-tls-verify", cause);
        }
        let wants_tls = insecure || ca.is_some() || identity.is_some();
        let Some(url) = Url::parse(&fields.server, wants_tls) else {
            let server = &fields.server;
            let cause = format!("host must be a URL or a host:port pair: \"{server}\"");
            return self.complain("server", cause);
        };
        let tls = match url.scheme.as_str() {
            "https" => {
                let name = match fields.tls_server_name.as_str() {
                    "" => url.host.as_str(),
                    name => name,
                };
                let failed = |cause| (user.field("client-certificate"), cause);
                let trust = self.trust(ca.as_deref())?;
                Some(Tls::new(trust, identity.as_ref(), name).map_err(failed)?)
            }
            "http" => None,
            other => {
                let cause = format!("unsupported protocol scheme \"{other}\"");
                return self.complain("server", cause);
            }
        };
        Ok(Access {
            host: url.host,
            port: url.port,
            base: url.base,
            tls,
            credentials,
        })
    }

    fn trust(&self, ca: Option<&[u8]>) -> Result<Trust, Complaint> {
        let trust = match ca {
            Some(pem) => Trust::authority(pem),
            None if self.fields.insecure_skip_tls_verify => Ok(Trust::Anybody),
            None => Trust::system(),
        };
        trust.map_err(|cause| (self.field("certificate-authority"), cause))
    }
}

impl Section<'_, UserFields> {
    fn credentials(&self) -> Result<Credentials, Complaint> {
        let user = &self.fields;
        if user.exec.is_some() {
            let cause = "exec credential plugins are not built: name a token or a certificate \
                         (`kubectl create token` makes one)";
            return self.complain("exec", cause);
        }
        if user.auth_provider.is_some() {
            return self.complain("auth-provider", "auth providers are not built");
        }
        let is_another = !user.r#as.is_empty() || !user.as_uid.is_empty();
        if is_another || !user.as_groups.is_empty() || !user.as_user_extra.is_empty() {
            return self.complain("as", "impersonation is not built");
        }
        let is_basic = !user.username.is_empty() || !user.password.is_empty();
        let has_token = !user.token.is_empty() || !user.token_file.is_empty();
        if is_basic && has_token {
            let cause = format!(
                "more than one authentication method found for {}; found [token basicAuth], \
                 only one is allowed",
                self.name
            );
            return self.complain("token", cause);
        }
        let made = if !user.token_file.is_empty() {
            Credentials::token_file(self.path(&user.token_file))
        } else if !user.token.is_empty() {
            Credentials::token(&user.token)
        } else if is_basic {
            Credentials::basic(&user.username, &user.password)
        } else {
            Ok(Credentials::None)
        };
        let field = match () {
            () if !user.token_file.is_empty() => "tokenFile",
            () if has_token => "token",
            () => "username",
        };
        made.map_err(|cause| (self.field(field), cause))
    }

    /// The certificate and its key.
    fn identity(&self) -> Result<Option<Identity>, Complaint> {
        let user = &self.fields;
        let (data, file) = (&user.client_certificate_data, &user.client_certificate);
        let Some(certificate) = self.pem("client-certificate", data, file)? else {
            return Ok(None);
        };
        let (data, file) = (&user.client_key_data, &user.client_key);
        let Some(key) = self.pem("client-key", data, file)? else {
            let cause = format!(
                "client-key-data or client-key must be specified for {} to use the clientCert \
                 authentication method",
                self.name
            );
            return self.complain("client-key", cause);
        };
        let text = |pem: Vec<u8>| String::from_utf8_lossy(&pem).into_owned();
        Ok(Some(Identity {
            certificate_pem: text(certificate),
            key_pem: text(key),
        }))
    }
}

fn complain<R>(field: impl Into<String>, cause: impl Into<String>) -> Result<R, Complaint> {
    Err((field.into(), cause.into()))
}

/// A server's address taken apart.
struct Url {
    scheme: String,
    host: String,
    port: u16,
    base: String,
}

impl Url {
    /// Without a scheme it is `https` if anything about TLS is said, as in client-go
    /// (`rest/url_utils.go`).
    fn parse(text: &str, wants_tls: bool) -> Option<Url> {
        let whole = match (text.contains("://"), wants_tls) {
            (true, _) => text.to_owned(),
            (false, true) => format!("https://{text}"),
            (false, false) => format!("http://{text}"),
        };
        let uri: hyper::Uri = whole.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let host = uri.host().filter(|host| !host.is_empty())?;
        let default = if scheme == "https" { 443 } else { 80 };
        Some(Url {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(default),
            base: uri.path().trim_end_matches('/').to_owned(),
            scheme,
        })
    }
}

/// What the system said, in the words of Go's errors.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
