//! A look at all containers from time to time, because an event may have been lost.
//!
//! Held by `kubelet.rs`. Upstream: `pkg/kubelet/pleg`; with evented PLEG it relists every 300 s,
//! without it every second.
//!
//! 1. A container that ended unheard is known to have ended within five minutes.
//!
//! Book: `book/src/node/kubelet.md`.

use core::time::Duration;
use std::collections::BTreeMap;

use wavetank_api::Time;
use wavetank_cri::container::Container;
use wavetank_cri::{Call, ContainerId, ContainerState};
use wavetank_informer::{CallId, Output};

use crate::context::{Context, Purpose, Shared};
use crate::effect::Effect;
use crate::node::call_runtime;
use crate::slot::{Op, State};
use crate::worker::Worker;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(300);

/// When the next look is, or what is being asked.
#[derive(Debug, Default)]
pub(crate) struct Relist {
    call: Option<CallId>,
    asked: Time,
    next: Option<Time>,
}

impl Relist {
    /// When it wants to be called.
    pub fn next_wake(&self) -> Option<Time> {
        self.next.filter(|_| self.call.is_none())
    }

    /// Asks when it is due; the first look is one period after the start.
    pub fn tick(&mut self, shared: &mut Shared, now: Time, out: &mut Vec<Output<Effect>>) {
        let next = *self.next.get_or_insert(now + EVERY);
        if self.call.is_none() && next <= now {
            self.call = Some(call_runtime(Call::ListContainers, shared, out));
            self.asked = now;
            self.next = Some(now + EVERY);
        }
    }

    /// Whether an answer is for the look; when it was asked.
    pub fn told(&mut self, call: CallId) -> Option<Time> {
        self.call.take_if(|id| *id == call).map(|_| self.asked)
    }
}

/// States by id, as a list tells them.
pub(crate) fn states(list: &[Container]) -> BTreeMap<ContainerId, ContainerState> {
    list.iter().map(|row| (row.id.clone(), row.state)).collect()
}

impl Worker {
    /// Compares what is believed to run since before `asked` with what the runtime lists.
    pub(crate) fn compare(
        &mut self,
        listed: &BTreeMap<ContainerId, ContainerState>,
        asked: Time,
        cx: &mut Context<'_>,
    ) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let (State::Running { since }, Some(id)) = (&slot.state, &slot.id) else {
                continue;
            };
            if *since >= asked || matches!(slot.op, Op::Create | Op::Start) {
                continue;
            }
            match listed.get(id) {
                Some(ContainerState::Running) => {}
                Some(_) => {
                    let purpose = Purpose::Look(u16::try_from(index).unwrap_or(u16::MAX));
                    cx.cri(purpose, Call::ContainerStatus(id.clone()));
                }
                None => {
                    slot.lose(cx.now);
                    self.report.is_dirty = true;
                }
            }
        }
    }
}
