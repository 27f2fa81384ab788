//! The invariants: their letters, what they say, and under which faults they are promised.
//!
//! Letters and numbers are those of the catalogue of known bugs: A for API and store, I for what
//! controllers share, P for pods and kubelets, H for the scheduler, C for controllers, N for the
//! network, L for liveness.
//!
//! Book: `book/src/simulator/oracles.md`.

/// Makes [`Invariant`] out of the table below.
macro_rules! table {
    ($($(#[doc = $says:literal])+ $name:ident $(unless $except:literal)?,)+) => {
        /// Something that must always hold, or after faults have ended (L).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[doc = $says])+ $name,)+
        }

        impl Invariant {
            /// Every invariant, in order.
            pub fn all() -> impl Iterator<Item = Invariant> {
                [$(Invariant::$name),+].into_iter()
            }

            /// `C1`.
            pub fn name(self) -> &'static str {
                match self { $(Invariant::$name => stringify!($name),)+ }
            }

            /// What must hold.
            pub fn says(self) -> &'static str {
                match self { $(Invariant::$name => concat!($($says),+).trim_ascii_start(),)+ }
            }

            /// Under which faults it is not promised; empty: it holds under all.
            pub fn except(self) -> &'static str {
                match self { $(Invariant::$name => concat!("" $(, $except)?),)+ }
            }
        }
    };
}

table! {
    /// What a client was told has been written is in the store after a power cut.
    A3,
    /// The uid and creation time of a living object never change, and no uid comes twice.
    A9,
    /// A deletionTimestamp is never unset, and only moves earlier.
    A11,
    /// An object with finalizers is not removed, and none is added once it is being deleted.
    A12,
    /// generation changes only by one at a time; status.observedGeneration is not above it.
    A13,
    /// A pod's nodeName, once set, and a workload's selector do not change.
    A14,
    /// An object has at most one controller.
    A17,
    /// Nothing is created in a namespace that is being deleted.
    A18,
    /// What a component deletes, binds or changes has the UID that it could have decided on.
    I1,
    /// When faults have ended and the cluster has come to rest, no component writes.
    I3,
    /// A pod's nodeName changes at most once, from nothing to a node.
    P1,
    /// The containers of one pod run on one node only.
    P2,
    /// Of all pods of one name, only one has running containers, unless others were deleted by
    /// force.
    P3,
    /// A phase never goes back, and a terminal one never changes.
    P4,
    /// A pod that never restarts has each container run at most once.
    P5,
    /// When a pod leaves the store without force, none of its containers runs.
    P6,
    /// What the pods with running containers request fits the node.
    P7,
    /// Only the kubelet of its node (or a controller that may) writes a pod's status.
    P8,
    /// What unfinished pods bound to a node request fits what it has.
    H1 unless "several schedulers act, or a node shrinks",
    /// A pod is bound only to a node that is there, while it is not being deleted or gated.
    H5,
    /// A ReplicaSet never has more active pods than it asked for since the controller last looked.
    C1 unless "two managers act",
    /// A ReplicaSet's controller never deletes below what is asked for.
    C2 unless "two managers act",
    /// The garbage collector deletes nothing that has a living owner.
    C22,
    /// An owner that is deleted in the foreground goes after its dependents.
    C23,
    /// Objects are adopted only by an owner that lives and selects them.
    C24,
    /// The pod garbage collector deletes only pods of nodes that are gone, or that are over.
    C35,
    /// After faults, a ReplicaSet has as many active pods as it asks for, and says so.
    L2,
    /// After faults, a Deployment has only its newest ReplicaSet, in full.
    L3,
    /// After faults, a pod that fits a node is bound.
    L8,
    /// After faults, a pod bound to a living node runs or is over.
    L11,
    /// After faults, a pod that is being deleted goes.
    L12,
    /// After faults, what has lost all its owners goes.
    L13,
}
