use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::kubeconfig::Kubeconfig;
use crate::pki::Pki;

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wavetank-access-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A kubeconfig of one cluster and one user with these fields.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    )
}

fn open(text: &str) -> Result<Access, String> {
    let folder = Folder::new();
    let path = folder.write("config", text);
    let error = |error: ServeError| {
        error
            .to_string()
            .replace(&format!("{}/", folder.0.display()), "")
    };
    Access::open(&path, None).map_err(error)
}

const SERVER: &str = "server: \"https://127.0.0.1:6443\"";

#[test]
fn what_up_writes_is_read_back() {
    let folder = Folder::new();
    let pki = Pki::open(folder.0.join("pki")).unwrap();
    let identity = pki.client("admin", &["system:masters"]).unwrap();
    let written = Kubeconfig {
        name: "wavetank",
        server: "https://127.0.0.1:6443",
        ca_pem: pki.ca_pem(),
        identity: &identity,
        token: "secret",
    };
    let path = folder.write("config", &written.text());
    let access = Access::open(&path, None).unwrap();
    assert_eq!(access.server(), "127.0.0.1:6443");
    assert!(access.tls.is_some());
    assert_eq!(access.credentials.authorization().unwrap(), "Bearer secret");
    let other = Access::open(&path, Some("prod")).unwrap_err().to_string();
    assert!(other.ends_with("contexts: context was not found for specified context: prod"));
}

#[test]
fn files_are_named_relative_to_the_kubeconfig() {
    let folder = Folder::new();
    let pki = Pki::open(folder.0.join("pki")).unwrap();
    let identity = pki.client("admin", &[]).unwrap();
    folder.write("c.crt", &identity.certificate_pem);
    folder.write("c.key", &identity.key_pem);
    folder.write("t", "of-the-file\n");
    let cluster =
        format!("{SERVER}, certificate-authority: pki/ca.crt, tls-server-name: localhost");
    let user = "client-certificate: c.crt, client-key: c.key, tokenFile: t, token: not-this";
    let path = folder.write("config", &config(&cluster, user));
    let access = Access::open(&path, Some("x")).unwrap();
    assert_eq!(
        access.credentials.authorization().unwrap(),
        "Bearer of-the-file"
    );
    let name = access.tls.unwrap().name;
    assert_eq!(name.to_str(), "localhost");
}

#[test]
fn addresses_are_read_as_client_go_reads_them() {
    let skip = "insecure-skip-tls-verify: true";
    let cases = [
        (
            "https://h/k8s/clusters/c-1/",
            skip,
            "h:443",
            "/k8s/clusters/c-1",
            true,
        ),
        ("https://[::1]:6443", skip, "::1:6443", "", true),
        ("127.0.0.1:8001", "", "127.0.0.1:8001", "", false),
        ("127.0.0.1:6443", skip, "127.0.0.1:6443", "", true),
        ("http://localhost", "", "localhost:80", "", false),
    ];
    for (server, more, address, base, is_tls) in cases {
        let access = open(&config(&format!("server: \"{server}\", {more}"), "")).unwrap();
        assert_eq!(access.server(), address);
        assert_eq!(
            (access.base.as_str(), access.tls.is_some()),
            (base, is_tls),
            "{server}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_refused_by_file_and_field() {
    let with = |cluster: &str, user: &str| config(&format!("{SERVER}, {cluster}"), user);
    let user = |user: &str| config(&format!("{SERVER}, insecure-skip-tls-verify: true"), user);
    let cases = [
        (
            "current-context: x",
            "config: contexts: context was not found for specified context: x",
        ),
        (
            "apiVersion: v1",
            "config: current-context: no context chosen",
        ),
        ("", "config: current-context: no context chosen"),
        (
            "kind: Pod\napiVersion: v1",
            "no kind \"Pod\" is registered for version \"v1\"",
        ),
        ("{a: [}", "error loading config file \"config\": "),
        ("clusters: 5", "error loading config file \"config\": "),
        (
            &config("", ""),
            "clusters[c].cluster.server: no server found for cluster \"c\"",
        ),
        (
            &config("server: \"ftp://h\"", ""),
            "clusters[c].cluster.server: unsupported protocol scheme \"ftp\"",
        ),
        (
            &config("server: \"ht!tp://x y\"", ""),
            "host must be a URL or a host:port pair: \"ht!tp://x y\"",
        ),
        (
            &with("certificate-authority: /nope", ""),
            "clusters[c].cluster.certificate-authority: unable to read certificate-authority \
             /nope for c due to no such file or directory",
        ),
        (
            &with("certificate-authority-data: \"***\"", ""),
            "clusters[c].cluster.certificate-authority-data: illegal base64 data",
        ),
        (
            &with("certificate-authority-data: aGFsbG8=", ""),
            "unable to load root certificates",
        ),
        (
            &with(
                "insecure-skip-tls-verify: true, certificate-authority-data: aGFsbG8=",
                "",
            ),
            "specifying a root certificates file with the insecure flag is not allowed",
        ),
        (
            &with("proxy-url: \"http://p\"", ""),
            "clusters[c].cluster.proxy-url: proxies",
        ),
        (
            &user("client-certificate: /nope, client-key: /nope"),
            "users[u].user.client-certificate: unable to read client-cert /nope for u due to no \
             such file or directory",
        ),
        (
            &user("client-certificate-data: aGFsbG8="),
            "client-key-data or client-key must be specified for u",
        ),
        (
            &user("client-certificate-data: aGFsbG8=, client-key-data: aGFsbG8="),
            "tls: failed to find any PEM data in",
        ),
        (
            &user("tokenFile: /nope"),
            "users[u].user.tokenFile: open /nope: no such file or directory",
        ),
        (
            &user("token: a, username: b, password: c"),
            "more than one authentication method found for u",
        ),
        (
            &user("exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}"),
            "users[u].user.exec: exec credential plugins are not built",
        ),
        (
            &user("auth-provider: {name: gcp}"),
            "users[u].user.auth-provider: auth providers",
        ),
        (
            &user("as: somebody"),
            "users[u].user.as: impersonation is not built",
        ),
    ];
    for (text, expected) in cases {
        let said = open(text).expect_err(text);
        assert!(said.contains(expected), "{text}\n{said}");
    }
    let text = config(SERVER, "").replace("cluster: c,", "cluster: cc,");
    let said = open(&text).unwrap_err();
    let expected = "contexts[x].context.cluster: cluster \"cc\" was not found for context \"x\"";
    assert!(said.contains(expected), "{said}");
    let missing = Access::open(Path::new("/nope"), None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        missing,
        "error loading config file \"/nope\": no such file or directory"
    );
}

proptest! {
    #[test]
    fn any_text_is_an_access_or_an_error(text in "[a-z0-9:{}\\[\\],\"\n -]{0,200}") {
        let _ = parse(&text).map(|file| file.access(None, Path::new("/")).is_ok());
    }

    #[test]
    fn any_fields_are_an_access_or_an_error(server in "\\PC{0,40}", token in "\\PC{0,20}") {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let cluster = format!("server: {}", quoted(&server));
        let user = format!("token: {}", quoted(&token));
        let file = parse(&config(&cluster, &user));
        let _ = file.map(|file| file.access(None, Path::new("/")).is_ok());
    }
}
