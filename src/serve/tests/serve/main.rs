//! The shell as clients meet it: real sockets, real TLS, real files, real deaths.
//!
//! Book: `book/src/control-plane/serving.md`.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests of a shell"
)]

mod cluster;
mod driver;
mod exec;
mod https;
mod kill;
mod logs;
mod remote;
