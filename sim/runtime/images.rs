//! The node's images: which are here, which are on their way.
//!
//! 1. An image that is being pulled is pulled once, whoever asks.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_cri::image::{Image, with_default_tag};
use wavetank_informer::CallId;

/// What a pull moves in a second.
const BYTES_PER_SECOND: u64 = 50_000_000;

/// Images by name with tag.
#[derive(Debug, Default)]
pub struct Images {
    here: BTreeMap<Arc<str>, u64>,
    pulls: BTreeMap<Arc<str>, Vec<CallId>>,
}

impl Images {
    /// The image, if it is here.
    pub fn status(&self, name: &str) -> Option<Image> {
        let tagged = with_default_tag(name);
        let (name, size) = self.here.get_key_value(&*tagged)?;
        Some(image(name, *size))
    }

    /// All that are here.
    pub fn list(&self) -> Vec<Image> {
        self.here
            .iter()
            .map(|(name, size)| image(name, *size))
            .collect()
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.here.values().sum()
    }

    /// Notes that a call waits for an image; how long it takes when nobody pulls it yet.
    pub fn pull(&mut self, name: &str, call: CallId) -> (Arc<str>, Option<Duration>) {
        let name: Arc<str> = with_default_tag(name).into();
        if self.here.contains_key(&name) {
            self.pulls.entry(name.clone()).or_default().push(call);
            return (name, Some(Duration::from_millis(300))); // the registry is asked all the same
        }
        let waiting = self.pulls.entry(name.clone()).or_default();
        waiting.push(call);
        let is_first = waiting.len() == 1;
        let millis = size_of(&name).saturating_mul(1000) / BYTES_PER_SECOND;
        (name, is_first.then(|| Duration::from_millis(300 + millis)))
    }

    /// How many calls wait for an image.
    pub fn awaited(&self) -> usize {
        self.pulls.values().map(Vec::len).sum()
    }

    /// An image has arrived: who waited for it, and its id.
    pub fn arrived(&mut self, name: &Arc<str>) -> (Vec<CallId>, Arc<str>) {
        self.here.insert(name.clone(), size_of(name));
        (self.pulls.remove(name).unwrap_or_default(), id_of(name))
    }

    /// Puts an image here without a pull.
    pub fn preload(&mut self, name: &str) {
        let name: Arc<str> = with_default_tag(name).into();
        let size = size_of(&name);
        self.here.insert(name, size);
    }

    /// Removes an image.
    pub fn remove(&mut self, name: &str) {
        self.here.remove(&*with_default_tag(name));
    }

    /// Who waited has died; what is on its way arrives all the same.
    pub fn hang_up(&mut self) {
        self.pulls.values_mut().for_each(Vec::clear);
    }

    /// Nobody waits any more.
    pub fn forget_pulls(&mut self) {
        self.pulls.clear();
    }
}

fn image(name: &Arc<str>, size: u64) -> Image {
    Image {
        id: id_of(name),
        repo_tags: vec![name.clone()],
        size,
    }
}

/// FNV-1a, so that an image has the same id and size in every run and on every node.
fn hash(name: &str, start: u64) -> u64 {
    name.bytes().fold(start, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn id_of(name: &str) -> Arc<str> {
    let part = |n: u64| hash(name, 0xcbf2_9ce4_8422_2325 ^ n);
    format!(
        "sha256:{:016x}{:016x}{:016x}{:016x}",
        part(1),
        part(2),
        part(3),
        part(4)
    )
    .into()
}

/// 5 to 100 MB by name; `pause` is as small as the real one.
pub fn size_of(name: &str) -> u64 {
    if name.contains("pause") {
        return 300_000;
    }
    5_000_000 + hash(name, 0xcbf2_9ce4_8422_2325) % 95_000_000
}
