//! TLS as a client speaks it: whom to trust, what to show, which protocol to ask for.
//!
//! Made by [`access`](crate::access) of what a kubeconfig says, used by
//! [`connections`](crate::connections).
//!
//! 1. A server is trusted by the authority that the kubeconfig names, else by the system's; by
//!    nothing only where the kubeconfig says so.
//!
//! Left out: certificates that are replaced while the process runs.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::fs;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::pki::Identity;

/// Where systems keep the authorities that they trust (Go's `crypto/x509/root_linux.go`, and the
/// Mac's).
const SYSTEM_ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How a connection is made private.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub config: Arc<ClientConfig>,
    /// Whom the server's certificate must name.
    pub name: ServerName<'static>,
}

/// By whom a server's certificate must be signed.
pub(crate) enum Trust {
    Authorities(RootCertStore),
    /// `insecure-skip-tls-verify`.
    Anybody,
}

impl Trust {
    /// The authorities of a PEM file.
    pub fn authority(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let found = certificates(pem)?;
        let (added, _) = roots.add_parsable_certificates(found);
        match added {
            0 => Err("unable to load root certificates: no certificate found".to_owned()),
            _ => Ok(Trust::Authorities(roots)),
        }
    }

    /// The authorities that this machine trusts.
    pub fn system() -> Result<Self, String> {
        let pem = SYSTEM_ROOTS.iter().find_map(|path| fs::read(path).ok());
        let nothing = "not specified, and this system has no file of trusted authorities";
        Trust::authority(&pem.ok_or(nothing)?)
    }
}

impl Tls {
    /// TLS with a server that is called `name`; `identity` is what to show.
    pub fn new(trust: Trust, identity: Option<&Identity>, name: &str) -> Result<Self, String> {
        let provider = Arc::new(default_provider());
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match trust {
            Trust::Authorities(roots) => builder.with_root_certificates(roots),
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
        };
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(
                    |error| match error {
                        pem::Error::NoItemsFound => {
                            "tls: failed to find any PEM data in key input".to_owned()
                        }
                        error => error.to_string(),
                    },
                )?;
                let chain = certificates(identity.certificate_pem.as_bytes())?;
                if chain.is_empty() {
                    return Err("tls: failed to find any PEM data in certificate input".to_owned());
                }
                let built = builder.with_client_auth_cert(chain, key);
                built.map_err(|error| error.to_string())?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        Ok(Tls { config, name })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    all.map_err(|error| error.to_string())
}

/// Takes any certificate, but still wants the server to hold its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
