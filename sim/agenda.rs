//! What will happen, in order: a queue of events by virtual time.
//!
//! 1. Events come out by time; of one time, in the order they were put in. Nothing else decides.
//!
//! Book: `book/src/simulator/world.md`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use wavetank_api::Time;

use crate::trace::EventId;

/// An event that waits, and the event that caused it.
struct Waiting<E> {
    cause: EventId,
    event: E,
}

/// A queue of events. Events lie in slots, so that the heap moves only small keys.
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slots: Vec<Option<Waiting<E>>>,
    free: Vec<u32>,
    order: u64,
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Self {
        Agenda {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            order: 0,
        }
    }

    /// Lets `event` happen at `at`.
    pub(crate) fn add(&mut self, at: Time, cause: EventId, event: E) {
        let waiting = Some(Waiting { cause, event });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = waiting;
                slot
            }
            None => {
                self.slots.push(waiting);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.order += 1;
        self.heap.push(Reverse((at, self.order, slot)));
    }

    /// When the next event happens.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next event out: its time, its cause and itself.
    pub(crate) fn pop(&mut self) -> Option<(Time, EventId, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let waiting = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some((at, waiting.cause, waiting.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_by_time_and_then_in_the_order_they_were_put_in() {
        let mut agenda = Agenda::new();
        let at = Time::from_secs;
        for (time, name) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            agenda.add(at(time), 0, name);
        }
        let order: String = std::iter::from_fn(|| agenda.pop())
            .map(|(_, _, name)| name)
            .collect();
        assert_eq!(order, "abcd");
    }
}
