//! What an API server is told once, at its start.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::net::Ipv4Addr;

use wavetank_api::Guards;

use crate::step::Address;

/// Everything a shell decides about an API server.
pub struct Config {
    /// Name of this server among several (its audit ids begin with it).
    pub name: String,
    /// Where UIDs, name suffixes and addresses are drawn from. Two servers on one store must have
    /// different seeds.
    pub seed: [u8; 32],
    /// Signs and checks service account tokens.
    pub signer: Box<dyn TokenSigner>,
    /// `iss` of service account tokens, and their default audience.
    pub issuer: String,
    /// Where cluster IPs of Services are taken from.
    pub service_cidr: Cidr,
    /// Where node ports of Services are taken from.
    pub node_port_range: RangeInclusive<u16>,
    /// The cluster's CA, PEM.
    pub ca_pem: String,
    /// Bearer tokens that stand for a user.
    pub tokens: Vec<StaticToken>,
    /// How long an Event is kept after its last change; zero: for ever (`--event-ttl`).
    pub event_ttl: Duration,
    /// Where clients reach this server.
    pub advertise: Address,
    /// The guards that are kept.
    pub guards: Guards,
}

impl Config {
    /// A server with upstream's defaults: services in 10.96.0.0/12, node ports 30000 to 32767,
    /// events kept for an hour.
    pub fn new(name: impl Into<String>, seed: [u8; 32], signer: Box<dyn TokenSigner>) -> Self {
        Config {
            name: name.into(),
            seed,
            signer,
            issuer: "https://kubernetes.default.svc.cluster.local".to_string(),
            service_cidr: Cidr {
                base: Ipv4Addr::new(10, 96, 0, 0),
                bits: 12,
            },
            node_port_range: 30000..=32767,
            ca_pem: String::new(),
            tokens: Vec::new(),
            event_ttl: Duration::from_secs(3600),
            advertise: Address {
                ip: Ipv4Addr::LOCALHOST,
                port: 6443,
            },
            guards: Guards::default(),
        }
    }
}

/// An IPv4 network: `10.96.0.0/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// First address.
    pub base: Ipv4Addr,
    /// Leading bits that all addresses share; at most 32.
    pub bits: u8,
}

impl Cidr {
    /// How many addresses it has.
    pub fn size(self) -> u64 {
        1_u64 << (32 - u32::from(self.bits.min(32)))
    }

    /// Its address number `at`, counted from the base.
    pub fn nth(self, at: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(at).ok().filter(|_| at < self.size())?;
        u32::from(self.base).checked_add(offset).map(Ipv4Addr::from)
    }

    /// Whether the address lies in it.
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        let (ip, base) = (u64::from(u32::from(ip)), u64::from(u32::from(self.base)));
        ip >= base && ip - base < self.size()
    }
}

/// A bearer token and whom it stands for (upstream's `--token-auth-file`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticToken {
    /// The secret.
    pub token: String,
    /// User name.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// The keys of service account tokens. Signing is deterministic given key and claims, or else the
/// shell makes it so: the core only passes texts.
pub trait TokenSigner: Send {
    /// The whole JWT (`header.claims.signature`) over these claims.
    fn sign(&self, claims_json: &str) -> String;
    /// The claims of a JWT whose signature is good. Times and audiences are the core's to check.
    fn verify(&self, token: &str) -> Option<String>;
}
