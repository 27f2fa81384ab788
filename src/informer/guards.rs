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

/// One guard. The numbers are those of the catalogue of known bugs; each variant says what stands
/// there, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Guard {
    /// ReplicaSet: gate "expectations satisfied" before scaling.
    M01 = 1,
    /// ReplicaSet: expectations evaluated *before* listing (evaluate after instead).
    M02 = 2,
    /// ReplicaSet: read-your-writes RV gate (KEP-5647), leaving only the 5-min TTL.
    M03 = 3,
    /// ReplicaSet: UID set in delete expectations (count both MODIFIED-with-deletionTimestamp
    /// and DELETED).
    M04 = 4,
    /// ReplicaSet: lowering expectations for failed/skipped creates.
    M05 = 5,
    /// ReplicaSet: active-pod filter excludes terminating/failed pods (drop it).
    M06 = 6,
    /// ReplicaSet: victim ranking (unassigned < pending < not-ready < ...).
    M07 = 7,
    /// all owners: `RecheckDeletionTimestamp` live read before adoption.
    M08 = 8,
    /// all owners: UID in adoption patch.
    M09 = 9,
    /// Deployment: controllerRef UID + template check on AlreadyExists (assume it is ours).
    M10 = 10,
    /// Deployment: availability taken only if rs.status.observedGeneration >= generation.
    M11 = 11,
    /// Deployment: cleanup skips rs with spec/status replicas != 0 or unobserved generation.
    M12 = 12,
    /// Deployment: maxUnavailable rounding rule (both may round to 0).
    M13 = 13,
    /// DaemonSet: create expectations.
    M14 = 14,
    /// DaemonSet: node-name affinity pinning of daemon pods.
    M15 = 15,
    /// StatefulSet: predecessor Running and Ready check.
    M16 = 16,
    /// StatefulSet: wait for terminating pod to vanish before re-creating identity.
    M17 = 17,
    /// StatefulSet: delete carries UID precondition (ours is stricter than upstream).
    M18 = 18,
    /// StatefulSet: stale-claim check (`PodClaimIsStale`) with whenScaled=Delete.
    M19 = 19,
    /// StatefulSet: partition comparison.
    M20 = 20,
    /// StatefulSet: "broken pod may be replaced" rule in rolling update.
    M21 = 21,
    /// Job: status flush (uncounted UIDs) *before* finalizer removal.
    M22 = 22,
    /// Job: consult uncounted set when counting.
    M23 = 23,
    /// Job: finalizer-removal expectations (UIDs).
    M24 = 24,
    /// Job: create expectations.
    M25 = 25,
    /// Job: remove finalizers of pods when the Job itself is deleted.
    M26 = 26,
    /// CronJob: deterministic job name from scheduled time.
    M27 = 27,
    /// CronJob: on AlreadyExists verify owner UID.
    M28 = 28,
    /// CronJob: startingDeadline / missed-run cap of 100.
    M29 = 29,
    /// GC: live GET of the owner (trust cache/graph).
    M30 = 30,
    /// GC: owner UID comparison.
    M31 = 31,
    /// GC: RV precondition on delete.
    M32 = 32,
    /// GC: foreground: wait until dependents list is observed.
    M33 = 33,
    /// GC: cross-namespace owner rejection.
    M34 = 34,
    /// Namespace: admission refuses creates in a terminating namespace.
    M35 = 35,
    /// Namespace: require empty re-list of *every* discovered kind (ignore discovery failure).
    M36 = 36,
    /// TTL-after-finished: fresh GET + UID precondition.
    M37 = 37,
    /// PodGC: quarantine + live GET of node.
    M38 = 38,
    /// PodGC: UID precondition on force delete (stricter than upstream).
    M39 = 39,
    /// Quota: CAS retry on quota status at admission.
    M40 = 40,
    /// Finalizers: "no new finalizers after deletionTimestamp".
    M41 = 41,
    /// Scheduler cache: count assumed pods (or let them expire by TTL).
    M42 = 42,
    /// Scheduler: keep assumption when bind outcome is unknown (lost response) until live read.
    M43 = 43,
    /// Binding API: reject if nodeName already set.
    M44 = 44,
    /// Binding API: UID in Binding.
    M45 = 45,
    /// Binding API: reject if deleting or gated.
    M46 = 46,
    /// Scheduler cache: fresh generation on node delete+recreate.
    M47 = 47,
    /// Scheduler cache: keep NodeInfo with pods after node delete event (ordering pods/nodes
    /// informers).
    M48 = 48,
    /// Queue: remember events that arrive while a pod is in flight.
    M49 = 49,
    /// Queue: wake on "assigned pod deleted/updated".
    M50 = 50,
    /// Queue: backoff cap / un-gate wake-up.
    M51 = 51,
    /// Preemption: strictly-lower priority test / preemptionPolicy=Never.
    M52 = 52,
    /// Preemption: nominated pods counted in filter.
    M53 = 53,
    /// Preemption: UID check/precondition on victim delete (stricter than upstream).
    M54 = 54,
    /// Preemption: reprieve loop (minimal victims).
    M55 = 55,
    /// Filters: symmetric anti-affinity check.
    M56 = 56,
    /// Node lifecycle: "all zones fully disrupted => stop evicting".
    M57 = 57,
    /// Node lifecycle: grace measured from *local observation* of lease change (use remote
    /// renewTime instead).
    M58 = 58,
    /// Node lifecycle: grace restart after controller restart / API outage.
    M59 = 59,
    /// Node lifecycle: zone rate limiter.
    M60 = 60,
    /// Taint eviction: cancel timer when taint removed / toleration changed.
    M61 = 61,
    /// Taint eviction: UID match at fire time.
    M62 = 62,
    /// Taint eviction: requeue when deletion fails.
    M63 = 63,
    /// Kubelet: re-run fit admission before starting a pod.
    M64 = 64,
    /// Kubelet: hold resources until containers are really gone.
    M65 = 65,
    /// Kubelet: terminate old instance before starting new with same full name (static pod).
    M66 = 66,
    /// Kubelet: UID comparison before status patch.
    M67 = 67,
    /// Kubelet: terminal phase is sticky; container terminated may not return to
    /// waiting/running.
    M68 = 68,
    /// Kubelet: delete the API object only after SyncTerminatedPod finished.
    M69 = 69,
    /// Kubelet / client: after reconnect never accept a list older than the last seen RV.
    M70 = 70,
    /// Eviction API: PDB decrement by CAS + `DisruptedPods`.
    M71 = 71,
    /// Eviction API: observedGeneration >= generation.
    M72 = 72,
    /// Eviction API: RV precondition when skipping PDB for unready pod.
    M73 = 73,
    /// EndpointSlice: generation tracker (`StaleSlices`).
    M74 = 74,
    /// EndpointSlice: exclude terminal/deleted pods; match by pod UID not IP.
    M75 = 75,
    /// Service IPs: unique allocation object/CAS across apiservers.
    M76 = 76,
    /// NodeIPAM: occupy existing CIDRs at start; keep CIDR when patch outcome unknown.
    M77 = 77,
    /// PVC protection: live pod list before removing finalizer.
    M78 = 78,
    /// PV binder: claimRef UID check.
    M79 = 79,
    /// Attach/detach: do not force detach unless node unhealthy + timeout.
    M80 = 80,
    /// HPA: ignore not-yet-ready / missing metrics conservatively.
    M81 = 81,
    /// HPA: stabilisation window = max over window.
    M82 = 82,
    /// Workqueue: same key never processed concurrently.
    M83 = 83,
    /// Informer: tombstone for objects missing at relist.
    M84 = 84,
    /// Informer: relist not older than last RV.
    M85 = 85,
    /// Watch cache: start after RV r means > r, and delete events carry delete RV.
    M86 = 86,
    /// Watch cache: bookmark only after preceding events delivered.
    M87 = 87,
    /// Store: 410 after compaction (serve anyway).
    M88 = 88,
    /// Store: conflict when RV differs (last-writer-wins).
    M89 = 89,
    /// apiserver: status and spec separated.
    M90 = 90,
    /// Leader election: stop acting at renewDeadline < leaseDuration.
    M91 = 91,
    /// Leader election: expiry measured on local clock since last *observed change*.
    M92 = 92,
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
        assert!(Guards::default().on(Guard::M01) && Guards::default().on(Guard::M92));
        let mutant = Guards::without(&[Guard::M01, Guard::M92]);
        assert!(!mutant.on(Guard::M01) && !mutant.on(Guard::M92));
        assert!(mutant.on(Guard::M02) && mutant.on(Guard::M91));
    }
}
