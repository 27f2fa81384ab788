//! `pods/{name}/binding`: the scheduler's only write that counts, once per pod.
//!
//! Upstream: `pkg/registry/core/pod/storage/storage.go`, `BindingREST` and `assignPod`.
//!
//! 1. A pod is bound at most once (P1, guard M44).
//! 2. With a UID in the Binding, only the pod with that UID is bound (I1, guard M45).
//! 3. A pod that is being deleted, or has scheduling gates, is not bound (H5, guard M46).
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::kinds::VirtualId;
use wavetank_api::status::{Cause, Named};
use wavetank_api::{Guard, Guards, Status, Time};

use crate::call::Call;
use crate::core::{Core, Next};
use crate::metadata;
use crate::reply::Refusal;
use crate::route::{Route, no_such_path};
use crate::subresources::created;
use crate::write::{Current, Decision, Op, Outcome, Reply, Write};

/// A binding on its way.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    route: Route,
    binding: Value,
}

/// Begins the POST of a Binding.
pub(crate) fn begin(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let options = call.write_options("CreateOptions")?;
    let route = call.route.clone().ok_or_else(no_such_path)?;
    let binding = call.decode_virtual(VirtualId::Binding, options.validation)?;
    bind(core, call, route, binding, now)
}

/// Binds the pod at `route` as the Binding says.
pub(crate) fn bind(
    core: &mut Core,
    call: &mut Call,
    route: Route,
    mut binding: Value,
    now: Time,
) -> Result<Next, Refusal> {
    metadata::check_namespace(&mut binding, &route.namespace)?;
    let named = metadata::text(&binding, "name");
    if !named.is_empty() && named != route.name {
        let message = format!("name in URL does not match name in Binding object: {named}");
        return Err(Status::bad_request(message).into());
    }
    check_target(&binding)?;
    let (kind, key) = (route.kind, route.key());
    let op = Op::Bind(Bind { route, binding });
    Ok(Write::new(op, kind, key, Vec::new()).attempt(core, call, now))
}

/// `ValidatePodBinding`.
fn check_target(binding: &Value) -> Result<(), Refusal> {
    let target = |field: &str| {
        binding
            .pointer("/target")
            .and_then(|t| t.get(field))
            .and_then(Value::as_str)
    };
    let mut causes = Vec::new();
    if !matches!(target("kind"), None | Some("" | "Node")) {
        let shown = wavetank_api::status::quote(target("kind").unwrap_or_default());
        let message = format!("Unsupported value: {shown}: supported values: \"\", \"Node\"");
        causes.push(Cause::new("FieldValueNotSupported", message, "target.kind"));
    }
    if target("name").is_none_or(str::is_empty) {
        causes.push(Cause::new(
            "FieldValueRequired",
            "Required value",
            "target.name",
        ));
    }
    if causes.is_empty() {
        return Ok(());
    }
    let of = Named {
        group: "",
        resource: "Binding",
    };
    Err(Status::invalid(of, metadata::text(binding, "name"), causes).into())
}

impl Bind {
    // ANCHOR: bind
    /// Decides on a binding: the pod must be this one, free, and not on its way out.
    pub fn decide(
        self,
        current: &Current<'_>,
        guards: Guards,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let Some(pod) = current.value else {
            return Err(self.route.not_found());
        };
        let refuse = |why: String| -> Result<Decision, Refusal> {
            Err(Status::conflict(named_binding(), &self.route.name, &why).into())
        };
        let (wanted, uid) = (
            metadata::text(&self.binding, "uid"),
            metadata::text(pod, "uid"),
        );
        if !wanted.is_empty() && wanted != uid {
            return refuse(format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
            ));
        }
        if metadata::is_terminating(pod) && guards.on(Guard::M46) {
            let name = &self.route.name;
            return refuse(format!(
                "pod {name} is being deleted, cannot be assigned to a host"
            ));
        }
        let node = pod
            .pointer("/spec/nodeName")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !node.is_empty() && guards.on(Guard::M44) {
            let name = &self.route.name;
            return refuse(format!("pod {name} is already assigned to node \"{node}\""));
        }
        let gates = pod
            .pointer("/spec/schedulingGates")
            .and_then(Value::as_array);
        if gates.is_some_and(|gates| !gates.is_empty()) && guards.on(Guard::M46) {
            let name = &self.route.name;
            return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        let new = self.bound(pod, now);
        Ok(Decision::new(Outcome::Put(new), Reply::Status(created())))
    }
    // ANCHOR_END: bind

    fn bound(&self, pod: &Value, now: Time) -> Value {
        let mut new = pod.clone();
        let node = self
            .binding
            .pointer("/target/name")
            .cloned()
            .unwrap_or_default();
        if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("nodeName", node);
        }
        let annotations = self
            .binding
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        if let Some(added) = annotations.filter(|added| !added.is_empty()) {
            let all = metadata::of(&mut new)
                .entry("annotations")
                .or_insert_with(|| json!({}));
            if let Some(all) = all.as_object_mut() {
                all.extend(added.clone());
            }
        }
        set_scheduled(&mut new, now);
        new
    }
}

fn named_binding() -> Named<'static> {
    Named {
        group: "",
        resource: "pods/binding",
    }
}

/// The condition `PodScheduled` becomes true.
fn set_scheduled(pod: &mut Value, now: Time) {
    let Some(object) = pod.as_object_mut() else {
        return;
    };
    let status = object.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else {
        return;
    };
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    let is_it = |c: &Value| c.get("type").and_then(Value::as_str) == Some("PodScheduled");
    conditions.retain(|condition| !is_it(condition));
    conditions.push(
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
                           "lastTransitionTime": now.to_rfc3339()}),
    );
}
