//! A container's environment: what its spec says, with every reference filled in.
//!
//! Called by `container_config.rs`. Upstream: `pkg/kubelet/kubelet_pods.go`
//! (makeEnvironmentVariables).
//!
//! 1. `env` wins over `envFrom`, and what is said later over what is said before.
//! 2. An optional object or key that is missing leaves the variable out; any other that is missing
//!    is an error.
//!
//! As in v1.33, where names of variables may hold any printable character but `=`, no key of
//! `envFrom` is passed over. Left out: variables of services.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::KindId;
use wavetank_informer::Key;

use crate::context::Shared;
use crate::downward;
use crate::pod::{Container, EnvFrom, EnvSource, KeyRef};
use crate::worker::Worker;

type Text = Arc<str>;

/// The variables by name, or why one cannot be had.
pub(crate) fn environment(
    worker: &Worker,
    spec: &Container,
    shared: &Shared,
) -> Result<BTreeMap<Text, Text>, String> {
    let mut known = BTreeMap::new();
    for from in &spec.env_from {
        take_all(worker, from, shared, &mut known)?;
    }
    for variable in &spec.env {
        let value = match &variable.value_from {
            Some(source) if variable.value.is_empty() => resolve(worker, spec, source, shared)?,
            _ => Some(expand(&variable.value, &known)),
        };
        known.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(known)
}

/// Every key of an object becomes a variable.
fn take_all(
    worker: &Worker,
    from: &EnvFrom,
    shared: &Shared,
    known: &mut BTreeMap<Text, Text>,
) -> Result<(), String> {
    let (kind, of) = match (&from.config_map_ref, &from.secret_ref) {
        (Some(of), _) => (KindId::ConfigMap, of),
        (None, Some(of)) => (KindId::Secret, of),
        (None, None) => return Ok(()),
    };
    let reference = (kind, sibling(worker, &of.name));
    if let Some(data) = shared.sources.find(&reference, of.optional)? {
        for key in data.text_keys() {
            let name = match from.prefix.is_empty() {
                true => key.clone(),
                false => format!("{}{key}", from.prefix).into(),
            };
            known.extend(data.text(kind, key).map(|value| (name, value)));
        }
    }
    Ok(())
}

/// The object of this name beside the pod.
fn sibling(worker: &Worker, name: &Text) -> Key {
    Key::new(worker.pod.meta().namespace.clone(), name.clone())
}

fn resolve(
    worker: &Worker,
    spec: &Container,
    source: &EnvSource,
    shared: &Shared,
) -> Result<Option<Text>, String> {
    match source {
        EnvSource::FieldRef(of) => downward::field(worker, &of.field_path, shared)
            .map(Some)
            .ok_or_else(|| format!("unsupported fieldPath: {}", of.field_path)),
        EnvSource::ResourceFieldRef(of) => {
            downward::resource_field(worker, Some(spec), of, shared).map(Some)
        }
        EnvSource::ConfigMapKeyRef(key) => value(worker, KindId::ConfigMap, key, shared),
        EnvSource::SecretKeyRef(key) => value(worker, KindId::Secret, key, shared),
    }
}

/// What lies under one key of an object.
fn value(
    worker: &Worker,
    kind: KindId,
    of: &KeyRef,
    shared: &Shared,
) -> Result<Option<Text>, String> {
    let reference = (kind, sibling(worker, &of.name));
    let Some(data) = shared.sources.find(&reference, of.optional)? else {
        return Ok(None);
    };
    match data.text(kind, &of.key) {
        None if !of.optional => {
            let (KeyRef { key, .. }, object) = (of, &reference.1);
            Err(format!(
                "couldn't find key {key} in {} {object}",
                kind.info().kind
            ))
        }
        value => Ok(value),
    }
}

/// Replaces `$(NAME)` by the variable's value; `$$` is a dollar sign, an unknown name stays
/// (`third_party/forked/golang/expansion`).
pub(crate) fn expand(text: &Text, known: &BTreeMap<Text, Text>) -> Text {
    if !text.contains('$') {
        return text.clone();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), &**text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            tail
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|a| a.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            tail
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_variables_are_expanded_as_upstream_expands_them() {
        let known = BTreeMap::from([("A".into(), "x".into()), ("B".into(), "y z".into())]);
        for (text, want) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "x-y z"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("cost: $5 $", "cost: $5 $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(&*expand(&text.into(), &known), want, "{text}");
        }
    }
}
