//! What a client says of itself in each request's `authorization` header.
//!
//! Made by [`access`](crate::access), asked by [`remote`](crate::remote).
//!
//! 1. A token's file is read again when what was read is a minute old: such tokens are short-lived
//!    and are replaced on disk. While it cannot be read, the last one goes on being used
//!    (client-go `transport/token_source.go`).
//! 2. What it holds is never printed.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

use crate::access::words;

/// How long a token is used before its file is read again.
const FRESH: Duration = Duration::from_secs(60);

/// Who asks, beside the certificate that TLS shows.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// The certificate says it all, or nobody in particular asks.
    None,
    /// The same header each time.
    Fixed(HeaderValue),
    /// A bearer token that somebody else renews.
    File(Arc<TokenFile>),
}

/// A token's file, and what was last read of it.
pub(crate) struct TokenFile {
    path: PathBuf,
    read: Mutex<(HeaderValue, Instant)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// A bearer token.
    pub fn token(token: &str) -> Result<Self, String> {
        header("Bearer", token).map(Credentials::Fixed)
    }

    /// A name and a password.
    pub fn basic(name: &str, password: &str) -> Result<Self, String> {
        let pair = STANDARD.encode(format!("{name}:{password}"));
        header("Basic", &pair).map(Credentials::Fixed)
    }

    /// A file that holds a bearer token.
    pub fn token_file(path: PathBuf) -> Result<Self, String> {
        let read = Mutex::new((read(&path)?, Instant::now()));
        Ok(Credentials::File(Arc::new(TokenFile { path, read })))
    }

    /// The header, if there is one to send.
    pub fn authorization(&self) -> Option<HeaderValue> {
        match self {
            Credentials::None => None,
            Credentials::Fixed(value) => Some(value.clone()),
            Credentials::File(file) => Some(file.value(Instant::now())),
        }
    }
}

impl TokenFile {
    fn value(&self, now: Instant) -> HeaderValue {
        // A panic while it was held has been reported; a value and its time are whole.
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(last.1) >= FRESH {
            last.1 = now;
            if let Ok(value) = read(&self.path) {
                last.0 = value;
            }
        }
        last.0.clone()
    }
}

fn read(path: &Path) -> Result<HeaderValue, String> {
    let opened = |why: String| format!("open {}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|error| opened(words(&error)))?;
    match text.trim() {
        "" => Err(format!("read empty token from file \"{}\"", path.display())),
        token => header("Bearer", token),
    }
}

fn header(scheme: &str, secret: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(&format!("{scheme} {secret}"));
    let mut value = value.map_err(|_| "cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_read_again_after_a_minute_and_its_loss_is_survived() {
        let path = std::env::temp_dir().join(format!("wavetank-token-{}", std::process::id()));
        fs::write(&path, "one\n").unwrap();
        let Credentials::File(file) = Credentials::token_file(path.clone()).unwrap() else {
            panic!("a file");
        };
        let began = Instant::now();
        fs::write(&path, "two").unwrap();
        assert_eq!(file.value(began), "Bearer one");
        assert_eq!(file.value(began + FRESH * 2), "Bearer two");
        fs::remove_file(&path).unwrap();
        assert_eq!(file.value(began + FRESH * 4), "Bearer two");
        let gone = Credentials::token_file(path.clone()).unwrap_err();
        assert_eq!(
            gone,
            format!("open {}: no such file or directory", path.display())
        );
    }
}
