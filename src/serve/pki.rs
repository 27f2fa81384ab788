//! The cluster's own certificate authority, and the certificates it gives.
//!
//! Kept in the data directory's `pki` as kubeadm keeps them: `ca.crt`, `ca.key`. Serving and client
//! certificates are made anew at each start: they cost a millisecond, and never expire on a shelf.
//!
//! 1. Keys are readable by their owner alone.
//! 2. The CA is made once; clients that trust it go on trusting.
//!
//! Left out: other people's CAs, intermediate ones, rotation of a running server.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::error::ServeError;
use crate::file_log::{private, private_dir};

/// What a certificate of the API server is called inside a cluster, whatever its address.
const SERVICE_NAMES: &[&str] = &[
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

/// The certificate authority of one cluster.
pub struct Pki {
    dir: PathBuf,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// The authority kept in this directory, made if there is none.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, ServeError> {
        let dir = dir.into();
        private_dir(&dir).map_err(ServeError::file("create", &dir))?;
        let key_pem = read_or_make(&dir.join("ca.key"), || {
            Ok(KeyPair::generate()
                .map_err(failed("make the CA's key"))?
                .serialize_pem())
        })?;
        let key = KeyPair::from_pem(&key_pem).map_err(failed("read the CA's key"))?;
        let params = authority();
        let ca_pem = read_or_make(&dir.join("ca.crt"), || {
            Ok(params
                .self_signed(&key)
                .map_err(failed("sign the CA's certificate"))?
                .pem())
        })?;
        Ok(Pki {
            dir,
            ca_pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// What clients trust, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A certificate for a server at these addresses and under the names that pods use.
    pub fn server(&self, addresses: &[IpAddr]) -> Result<Identity, ServeError> {
        let mut params = leaf("kube-apiserver", &[], ExtendedKeyUsagePurpose::ServerAuth);
        for name in SERVICE_NAMES {
            let name = (*name)
                .try_into()
                .map_err(failed("name the server's certificate"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let addresses = addresses.iter().map(|address| SanType::IpAddress(*address));
        params.subject_alt_names.extend(addresses);
        self.sign(&params)
    }

    /// A certificate for a client: `user` is its common name, `groups` its organisations.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity, ServeError> {
        self.sign(&leaf(user, groups, ExtendedKeyUsagePurpose::ClientAuth))
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity, ServeError> {
        let key = KeyPair::generate().map_err(failed("make a key"))?;
        let signed = params
            .signed_by(&key, &self.issuer)
            .map_err(failed("sign a certificate"))?;
        Ok(Identity {
            certificate_pem: signed.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// A secret of this cluster by name, made if there is none: read only by its owner.
    pub(crate) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, ServeError>,
    ) -> Result<String, ServeError> {
        read_or_make(&self.dir.join(name), make)
    }
}

fn failed(what: &'static str) -> impl FnOnce(rcgen::Error) -> ServeError {
    move |cause| ServeError::certificate(what, cause)
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "kubernetes");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 3650 * DAY).into();
    params
}

fn leaf(user: &str, groups: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    for group in groups {
        params
            .distinguished_name
            .push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, user);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 365 * DAY).into();
    params
}

/// The text of a file; made and written, whole or not at all, when there is no such file.
fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<String, ServeError>,
) -> Result<String, ServeError> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(ServeError::file("read", path)(error)),
    }
    let text = make()?;
    write_private(path, &text)?;
    Ok(text)
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), ServeError> {
    let partial = path.with_extension("partial");
    let write = || {
        // Removed first: an old file would keep its mode.
        if fs::exists(&partial)? {
            fs::remove_file(&partial)?;
        }
        let mut file = private().create_new(true).write(true).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(ServeError::file("write", path))
}
