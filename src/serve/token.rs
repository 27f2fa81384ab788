//! Service account tokens: JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518 section 3.4).
//!
//! The API server decides what a token says and whether it is still good; this only signs and
//! checks signatures. The key is kept in the data directory, so that tokens outlive a restart.
//!
//! 1. What `sign` gives, `verify` of the same key accepts; with one byte changed it does not.
//!
//! Left out: several keys at a time, and other algorithms: a header that names one is refused.
//!
//! Book: `book/src/control-plane/serving.md`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};

use wavetank_apiserver::TokenSigner;

use crate::error::ServeError;
use crate::pki::Pki;

/// A P-256 key that signs tokens.
pub struct Es256 {
    key: EcdsaKeyPair,
    random: SystemRandom,
    /// The header with the key's id, as it stands in each token.
    header: String,
}

impl Es256 {
    /// The key kept with the cluster's certificates (`sa.key`), made if there is none.
    pub fn open(pki: &Pki) -> Result<Self, ServeError> {
        let random = SystemRandom::new();
        let failed = |cause| ServeError::certificate("make the key of tokens", cause);
        let text = pki.secret("sa.key", || {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
                .map_err(|cause| failed(cause.to_string()))?;
            Ok(STANDARD.encode(document.as_ref()))
        })?;
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|cause| failed(cause.to_string()))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &random)
            .map_err(|cause| ServeError::certificate("read sa.key", cause))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(digest.as_ref());
        let header = serde_json::json!({ "alg": "ES256", "kid": id }).to_string();
        Ok(Es256 {
            key,
            random,
            header: URL_SAFE_NO_PAD.encode(header),
        })
    }
}

impl TokenSigner for Es256 {
    // ANCHOR: sign
    fn sign(&self, claims_json: &str) -> String {
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims_json));
        match self.key.sign(&self.random, signed.as_bytes()) {
            Ok(signature) => format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)),
            // The system has no randomness to give: a token that nobody accepts.
            Err(_) => signed,
        }
    }

    fn verify(&self, token: &str) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if header != self.header {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key());
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        key.verify(signed.as_bytes(), &signature).ok()?;
        String::from_utf8(URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
    // ANCHOR_END: sign
}

/// A secret that nobody guesses: 128 bits of the system's randomness, as text.
pub fn random_token() -> Result<String, ServeError> {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut bytes)
        .map_err(|cause| ServeError::certificate("make a token", cause))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A bearer token kept with the cluster's certificates under this name, made if there is none.
pub fn kept_token(pki: &Pki, name: &str) -> Result<String, ServeError> {
    Ok(pki.secret(name, random_token)?.trim().to_owned())
}
