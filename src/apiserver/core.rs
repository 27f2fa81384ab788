//! What all verbs work with, and what they hand back.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use wavetank_api::{KindId, Revision, Time};
use wavetank_store::Txn;

use crate::cache::Cache;
use crate::call::Call;
use crate::collection::Collection;
use crate::config::Config;
use crate::lifetime::Lifetimes;
use crate::lists::ListOptions;
use crate::membership::{self, Membership};
use crate::metrics::Metrics;
use crate::reply::Answer;
use crate::step::{StreamId, Tunnel};
use crate::stream::Streams;
use crate::write::{Commit, Write};

/// Everything of an API server but its waiting requests.
pub(crate) struct Core {
    pub config: Config,
    pub cache: Cache,
    pub streams: Streams,
    pub metrics: Metrics,
    pub chance: Chance,
    pub lifetimes: Lifetimes,
    pub membership: Membership,
}

/// The server's own source of chance, from the seed in its configuration.
pub(crate) struct Chance(ChaCha8Rng);

/// What a request does when it is gone on with.
#[derive(Debug)]
pub(crate) enum Task {
    /// Read one object.
    Get,
    /// Read many.
    List(Box<ListOptions>),
    /// Open a watch.
    Watch(Box<ListOptions>),
    /// Decide on a write once the live state is there.
    Look(Box<Write>),
    /// Decide once more, now that a lease for the object, asked for at this time, is there.
    Lease(Box<Write>, Time),
    /// End a write, or try once more.
    Commit(Box<Commit>),
    /// Delete one after the other.
    Collection(Box<Collection>),
    /// exec, attach, port-forward, log: find the pod.
    Connect,
    /// Put this server's key on the lease that was granted.
    Renew,
    /// Wait until the cache has seen this server's key.
    Renewed,
    /// Sign a token for a service account.
    Token(wavetank_api::json::Value),
}

/// What a verb wants next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Answer.
    Done(Answer),
    /// Ask the store its revision, wait until the cache has it, and go on.
    Revision(Task),
    /// Wait until the cache has this revision, and go on.
    Wait(Revision, Task),
    /// Hand this to the store, and go on with the result.
    Txn(Txn, Task),
    /// Ask the store for a lease of this length, and go on with the result.
    Grant(Duration, Task),
    /// Wait until the grant that another request asked for is there or has failed, and go on.
    Granted(Task),
    /// Answer with a stream.
    Stream(StreamId),
    /// Join the client with a kubelet.
    Tunnel(Tunnel),
}

/// Characters of generated names: no vowels and nothing that looks like another
/// (`apimachinery/pkg/util/rand`).
const NAME_CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Longest prefix that is kept before a generated suffix.
const PREFIX_MAX: usize = 58;

impl Core {
    pub fn new(config: Config) -> Self {
        Core {
            cache: Cache::new(config.guards),
            streams: Streams::new(config.guards),
            metrics: Metrics::default(),
            chance: Chance(ChaCha8Rng::from_seed(config.seed)),
            lifetimes: Lifetimes::default(),
            membership: Membership::default(),
            config,
        }
    }

    /// How long an object of this kind is kept after its last change, if not for ever.
    pub fn ttl(&self, kind: KindId) -> Option<Duration> {
        let ttl = self.config.event_ttl;
        (kind == KindId::Event && !ttl.is_zero()).then_some(ttl)
    }
}

impl Chance {
    /// A random (version 4) UUID.
    pub fn uuid(&mut self) -> String {
        let bits: u128 = self.0.random();
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_string();
        [
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32),
        ]
        .join("-")
    }

    /// `prefix` with five random characters behind it.
    pub fn generate_name(&mut self, prefix: &str) -> String {
        let mut name: String = prefix.chars().take(PREFIX_MAX).collect();
        for _ in 0..5 {
            let at = self.0.random_range(0..NAME_CHARACTERS.len());
            name.push(
                NAME_CHARACTERS
                    .get(at)
                    .map_or('b', |byte| char::from(*byte)),
            );
        }
        name
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 {
            0
        } else {
            self.0.random_range(0..end)
        }
    }
}

impl Task {
    /// Goes on after the cache has reached the revision that was waited for.
    pub fn ready(self, core: &mut Core, call: &mut Call, now: Time) -> Next {
        match self {
            Task::Get => crate::read::get(core, call),
            Task::List(options) => crate::read::list(core, call, &options),
            Task::Watch(options) => crate::watch::open(core, call, &options, now),
            Task::Collection(collection) => collection.begin(core, call, now),
            Task::Connect => crate::subresources::connect::connect(core, call),
            Task::Token(request) => crate::subresources::token::sign(core, call, &request, now),
            Task::Look(write) => write.attempt(core, call, now),
            Task::Renewed => membership::renewed(core),
            Task::Lease(..) | Task::Commit(_) | Task::Renew => {
                Next::Done(Answer::internal("this request does not wait for the cache"))
            }
        }
    }
}
