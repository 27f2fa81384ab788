//! Addresses for pods out of a node's network.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;

/// Hands out each address to one holder at a time, going round (as the host-local CNI plugin).
#[derive(Debug)]
pub struct Addresses {
    base: u32,
    size: u32,
    next: u32,
    used: BTreeSet<u32>,
}

impl Addresses {
    /// The network of `prefix` bits that `base` lies in. The first address is the network's, the
    /// second the gateway's, the last the broadcast's.
    pub fn new(base: Ipv4Addr, prefix: u8) -> Self {
        let bits = 32 - u32::from(prefix.min(30));
        let size = 1u32.checked_shl(bits).unwrap_or(u32::MAX);
        let base = u32::from(base) & !(size - 1);
        Addresses {
            base,
            size,
            next: 2,
            used: BTreeSet::new(),
        }
    }

    /// An address that nobody has, or `None` when all are taken.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        let last = self.size - 1;
        for _ in 2..last {
            let offset = self.next;
            self.next = if offset + 1 < last { offset + 1 } else { 2 };
            if self.used.insert(offset) {
                return Some(Ipv4Addr::from(self.base + offset));
            }
        }
        None
    }

    /// Takes an address back.
    pub fn give_back(&mut self, ip: Ipv4Addr) {
        self.used.remove(&u32::from(ip).wrapping_sub(self.base));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_once_until_they_come_back() {
        let mut addresses = Addresses::new(Ipv4Addr::new(10, 244, 1, 0), 29);
        let all: Vec<_> = core::iter::from_fn(|| addresses.take()).collect();
        assert_eq!(all.len(), 5);
        assert_eq!(all[0], Ipv4Addr::new(10, 244, 1, 2));
        addresses.give_back(all[3]);
        assert_eq!(addresses.take(), Some(all[3]));
        assert_eq!(addresses.take(), None);
    }
}
