//! The lines that prevent a known bug, named where they stand.
//!
//! A component holds a [`Guards`] value and asks it where a guard stands (`guards.on(Guard::M08)`).
//! All are on. A test of the simulator takes one away and must then find the bug (a *mutant*); the
//! number says which bug, in the catalogue of the book.
//!
//! 1. `Guards::default()` has every guard on.
//! 2. Only `sim` and tests take guards away (`tests/tidy.rs`).
//!
//! Book: `book/src/control-plane/informers.md`.

/// Makes [`Guard`] out of the table below: the doc comment of a row is also what
/// [`Guard::says`] says.
macro_rules! table {
    ($($(#[doc = $says:literal])+ $name:ident = $number:literal,)+) => {
        /// One guard. The numbers are those of the catalogue of known bugs; each variant says whose
        /// it is, and what stands there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Guard {
            $($(#[doc = $says])+ $name = $number,)+
        }

        impl Guard {
            /// Every guard, by number.
            pub fn all() -> impl Iterator<Item = Guard> {
                [$(Guard::$name),+].into_iter()
            }

            /// `M08`.
            pub fn name(self) -> &'static str {
                match self { $(Guard::$name => stringify!($name),)+ }
            }

            /// Whose guard it is, and what stands there, in a line.
            pub fn says(self) -> &'static str {
                match self { $(Guard::$name => concat!($($says),+).trim_ascii_start(),)+ }
            }
        }
    };
}

table! {
    /// ReplicaSet: nothing is scaled before the last plan's writes have been seen.
    M01 = 1,
    /// ReplicaSet: expectations are evaluated before the pods are listed, not after.
    M02 = 2,
    /// ReplicaSet: what is awaited is awaited for ever, and not for five minutes (KEP-5647).
    M03 = 3,
    /// ReplicaSet: an expected delete is counted once, by UID, however many events tell of it.
    M04 = 4,
    /// ReplicaSet: creates that failed or were never sent are not awaited.
    M05 = 5,
    /// ReplicaSet: pods that are terminating or finished are not counted.
    M06 = 6,
    /// ReplicaSet: the pods worth least go first (unassigned, pending, not ready, ...).
    M07 = 7,
    /// all owners: a live read says that the owner is not being deleted before it adopts.
    M08 = 8,
    /// all owners: a patch that adopts or releases names the UID.
    M09 = 9,
    /// Deployment: a set of the wanted name is taken for ours only by owner and template.
    M10 = 10,
    /// Deployment: pods count as available only if the set's status is about its present spec.
    M11 = 11,
    /// Deployment: old sets go only when they have no pods, by a status about their present spec.
    M12 = 12,
    /// Deployment: maxSurge and maxUnavailable never both round to nothing.
    M13 = 13,
    /// DaemonSet: creates are awaited before the next are made.
    M14 = 14,
    /// DaemonSet: a daemon pod is pinned to its node by name.
    M15 = 15,
    /// StatefulSet: the predecessor is Running and Ready before the next pod is made.
    M16 = 16,
    /// StatefulSet: an identity is made again only when its terminating pod is gone.
    M17 = 17,
    /// StatefulSet: a delete names the UID (stricter than upstream).
    M18 = 18,
    /// StatefulSet: with whenScaled=Delete, a claim that belongs to an earlier pod is not used.
    M19 = 19,
    /// StatefulSet: ordinals below the partition keep the old revision.
    M20 = 20,
    /// StatefulSet: in a rolling update a broken pod may be replaced.
    M21 = 21,
    /// Job: uncounted UIDs are in the status before a pod's finalizer goes.
    M22 = 22,
    /// Job: a pod that stands among the uncounted is not counted again.
    M23 = 23,
    /// Job: removals of finalizers are awaited, by UID.
    M24 = 24,
    /// Job: creates are awaited before the next are made.
    M25 = 25,
    /// Job: the pods of a deleted Job lose their finalizers.
    M26 = 26,
    /// CronJob: a Job's name follows from its scheduled time.
    M27 = 27,
    /// CronJob: a Job that exists already is ours only by the owner's UID.
    M28 = 28,
    /// CronJob: missed runs are bounded, by startingDeadlineSeconds and by a hundred.
    M29 = 29,
    /// GC: a live read says that the owner is gone; caches do not.
    M30 = 30,
    /// GC: an owner of the right name and another UID is not the owner.
    M31 = 31,
    /// GC: a delete names the revision it had decided on.
    M32 = 32,
    /// GC: the dependents that an owner waits for are listed past the caches.
    M33 = 33,
    /// GC: an owner that is absent in one namespace may exist in another.
    M34 = 34,
    /// Namespace: nothing is created in a terminating namespace.
    M35 = 35,
    /// Namespace: it goes only when every discovered kind was listed, and was empty.
    M36 = 36,
    /// TTL-after-finished: a live read and the UID come before the delete.
    M37 = 37,
    /// PodGC: a node is gone only after a quarantine and a live read.
    M38 = 38,
    /// PodGC: a forced delete names the UID (stricter than upstream).
    M39 = 39,
    /// Quota: usage is charged by compare and swap, and tried again.
    M40 = 40,
    /// Finalizers: none is added once an object is being deleted.
    M41 = 41,
    /// Scheduler cache: assumed pods count, and do not expire.
    M42 = 42,
    /// Scheduler: a bind whose answer was lost stays assumed until a live read tells.
    M43 = 43,
    /// Binding API: a pod that has a node is not bound again.
    M44 = 44,
    /// Binding API: the Binding names the UID.
    M45 = 45,
    /// Binding API: a pod that is being deleted or gated is not bound.
    M46 = 46,
    /// Scheduler cache: a node that was made again has a new generation.
    M47 = 47,
    /// Scheduler cache: a deleted node's pods are kept until they are deleted too.
    M48 = 48,
    /// Queue: what happens while a pod is in flight is remembered for it.
    M49 = 49,
    /// Queue: a bound pod that is deleted or shrinks wakes those that may fit now.
    M50 = 50,
    /// Queue: backoff has a most, and a gate that is lifted ends it.
    M51 = 51,
    /// Preemption: only pods of strictly lower priority are victims.
    M52 = 52,
    /// Preemption: pods nominated on a node count when others are fitted there.
    M53 = 53,
    /// Preemption: a victim's delete names the UID (stricter than upstream).
    M54 = 54,
    /// Preemption: victims that need not go are reprieved.
    M55 = 55,
    /// Filters: the anti-affinity of pods that are there counts against a newcomer.
    M56 = 56,
    /// Node lifecycle: when every zone has fallen silent, nobody is evicted.
    M57 = 57,
    /// Node lifecycle: silence is counted since a lease was seen to change, by the own clock.
    M58 = 58,
    /// Node lifecycle: after a deaf spell of its own every node has its whole grace again.
    M59 = 59,
    /// Node lifecycle: a zone's nodes are tainted at a limited rate.
    M60 = 60,
    /// Taint eviction: a timer ends when its taint goes or the toleration changes.
    M61 = 61,
    /// Taint eviction: the delete names the UID that the timer was set for.
    M62 = 62,
    /// Taint eviction: a delete that failed is tried again.
    M63 = 63,
    /// Kubelet: a pod is started only if it fits.
    M64 = 64,
    /// Kubelet: room is held until the containers are really gone.
    M65 = 65,
    /// Kubelet: a static pod's old instance ends before the new one starts.
    M66 = 66,
    /// Kubelet: a status is written only to the UID it is about.
    M67 = 67,
    /// Kubelet: a phase that is terminal stays; what has terminated does not run again.
    M68 = 68,
    /// Kubelet: the API object goes only when its containers are gone.
    M69 = 69,
    /// Kubelet, clients: the first list of a process is a consistent read.
    M70 = 70,
    /// Eviction API: a budget is charged by compare and swap, and remembers the evicted.
    M71 = 71,
    /// Eviction API: a budget counts only if its status is about its present spec.
    M72 = 72,
    /// Eviction API: an unready pod goes past the budget only at the revision that was unready.
    M73 = 73,
    /// EndpointSlice: nothing is written before the cache has what was written last.
    M74 = 74,
    /// EndpointSlice: pods that are finished are no endpoints.
    M75 = 75,
    /// Service IPs: an address is given out once, by compare and swap in the store.
    M76 = 76,
    /// NodeIPAM: ranges in use are occupied at the start, and kept when an outcome is unknown.
    M77 = 77,
    /// PVC protection: a live list of pods comes before the finalizer goes.
    M78 = 78,
    /// PV binder: a volume's claim is told by UID.
    M79 = 79,
    /// Attach/detach: nothing is detached by force from a node that is healthy.
    M80 = 80,
    /// HPA: pods that are not ready or have no metrics count conservatively.
    M81 = 81,
    /// HPA: within the stabilisation window the largest recommendation holds.
    M82 = 82,
    /// Workqueue: a key is never worked on twice at a time.
    M83 = 83,
    /// Informer: what a list no longer has is told as deleted.
    M84 = 84,
    /// Informer: no list older than the last revision seen is taken in.
    M85 = 85,
    /// Watch cache: a watch from r begins after r, and a delete has the revision of the delete.
    M86 = 86,
    /// Watch cache: a bookmark follows all events up to its revision.
    M87 = 87,
    /// Store, watch cache: a watch from a revision that is forgotten is refused (410).
    M88 = 88,
    /// Store: a write based on another revision than the present is a conflict.
    M89 = 89,
    /// API server: a write of the status leaves the spec alone, and the other way round.
    M90 = 90,
    /// Leader election: a leader stops acting before its lease can have run out.
    M91 = 91,
    /// Leader election: a lease runs out by the own clock, since it was last seen to change.
    M92 = 92,
}

impl Guard {
    /// The guard of this name; `None` when there is none.
    pub fn parse(name: &str) -> Option<Guard> {
        Guard::all().find(|guard| guard.name() == name)
    }
}

/// The set of guards that a component keeps; a value, so that one binary can try every mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// One bit per guard, by number.
    on: u128,
}

impl Default for Guards {
    fn default() -> Self {
        Guards { on: u128::MAX }
    }
}

impl Guards {
    /// Whether the guard is kept.
    pub fn on(self, guard: Guard) -> bool {
        self.on & bit(guard) != 0
    }

    /// All guards but these. For the simulator and its tests only.
    #[doc(hidden)]
    pub fn without(guards: &[Guard]) -> Self {
        let off = guards.iter().fold(0, |bits, guard| bits | bit(*guard));
        Guards { on: !off }
    }
}

fn bit(guard: Guard) -> u128 {
    1 << guard as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_guards_are_on_until_one_is_taken_away() {
        assert!(Guard::all().all(|guard| Guards::default().on(guard)));
        for gone in Guard::all() {
            let mutant = Guards::without(&[gone]);
            let off: Vec<Guard> = Guard::all().filter(|guard| !mutant.on(*guard)).collect();
            assert_eq!(off, [gone]);
        }
    }

    #[test]
    fn a_guard_is_found_by_its_name_and_says_in_a_line_what_it_is() {
        for guard in Guard::all() {
            assert_eq!(guard.name(), format!("M{:02}", guard as u8));
            assert_eq!(Guard::parse(guard.name()), Some(guard));
            let says = guard.says();
            assert!(says.contains(": ") && says.ends_with('.') && !says.contains('\n'));
        }
        assert_eq!(Guard::all().count(), 92);
        for unknown in ["", "M", "M00", "M1", "M93", "m01", "M01 "] {
            assert_eq!(Guard::parse(unknown), None);
        }
    }
}
