//! The API server: the one door to the cluster's state.
//!
//! In Kubernetes this is kube-apiserver. The one idea: a request is a small state machine.
//! [`ApiServer::begin`] gives a [`Step`]; when the step asks for something (a store transaction,
//! the store's revision), the shell brings it with [`ApiServer::resume`]. Reads and watches come
//! from the watch cache, which the store's watch feeds through [`ApiServer::observe`].
//!
//! The way in: `server.rs` for how a request is read and kept, `write.rs` for the loop that every
//! write runs through, and one file per verb.
//!
//! Left out: authorization (whoever is authenticated is admin), webhooks, custom resources,
//! aggregated API servers, priority and fairness.
//!
//! Book: `book/src/control-plane/apiserver.md`.

pub mod admission;
mod admit;
mod auth;
mod authorize;
mod bootstrap;
mod cache;
mod call;
mod collection;
mod config;
mod core;
mod create;
mod delete;
pub mod field;
mod impersonate;
pub mod kinds;
mod lifetime;
mod lists;
mod managed;
mod membership;
mod metadata;
mod metrics;
mod negotiate;
mod object;
mod other;
mod present;
mod query;
mod read;
mod registry;
mod reply;
mod reviews;
mod ring;
mod rope;
mod route;
mod server;
mod services;
mod step;
pub mod strategies;
pub mod strategy;
mod stream;
mod subresources;
mod table;
mod trees;
mod update;
mod watch;
mod write;

pub use config::{Cidr, Config, StaticToken, TokenSigner};
pub use reply::Decided;
pub use server::ApiServer;
pub use step::{
    Address, Drained, Input, LogOptions, StdStreams, Step, StreamId, Ticket, Tunnel, TunnelKind,
    Unavailable,
};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
