//! An answer while it is written: text of our own, and stored bytes in between.
//!
//! Called by whatever writes an answer or a watch frame; the chunks go to the shell.
//!
//! 1. Shared bytes are never copied: the chunks are slices of them and of one buffer.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::io;

use bytes::Bytes;

/// Text, and shared bytes at places in it.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    text: Vec<u8>,
    /// What is shared, each before the text from this place on.
    shared: Vec<(usize, Bytes)>,
}

impl Rope {
    /// Adds text.
    pub fn text(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Adds a value as JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        // Writing to a rope cannot fail, and what is written has texts for keys.
        let _ = serde_json::to_writer(self, value);
    }

    /// Adds bytes that others hold too.
    pub fn share(&mut self, bytes: Bytes) {
        self.shared.push((self.text.len(), bytes));
    }

    // ANCHOR: chunks
    /// All of it, in order.
    pub fn chunks(self) -> Vec<Bytes> {
        let text = Bytes::from(self.text);
        let mut chunks = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut from = 0;
        for (upto, bytes) in self.shared {
            chunks.push(text.slice(from..upto));
            chunks.push(bytes);
            from = upto;
        }
        chunks.push(text.slice(from..));
        chunks.retain(|chunk| !chunk.is_empty());
        chunks
    }
    // ANCHOR_END: chunks
}

impl io::Write for Rope {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shared_bytes_are_never_copied(
            parts in prop::collection::vec((any::<bool>(), ".*"), 0..9),
        ) {
            let mut rope = Rope::default();
            let mut shared = Vec::new();
            for (is_shared, part) in &parts {
                if *is_shared {
                    let bytes = Bytes::from(part.clone());
                    rope.share(bytes.clone());
                    shared.push(bytes);
                } else {
                    rope.text(part);
                }
            }
            let chunks = rope.chunks();
            let whole: String = parts.iter().map(|(_, part)| part.as_str()).collect();
            prop_assert_eq!(chunks.concat(), whole.into_bytes());
            for bytes in shared.iter().filter(|bytes| !bytes.is_empty()) {
                prop_assert!(chunks.iter().any(|chunk| chunk.as_ptr() == bytes.as_ptr()));
            }
        }
    }
}
