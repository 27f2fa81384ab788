//! Probes and hooks: what the kubelet does to a container to see how it is, or tell it something.
//!
//! Called by `pod/containers.rs` and `pod/defaults.rs`. Source: `validateProbe`, `validateHandler`
//! and `validateLifecycle` in `pkg/apis/core/validation`.
//!
//! 1. A probe or hook has exactly one handler.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::names;

use crate::field::{Errors, Field};
use crate::kinds::edit;

const PROBE_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];

/// A container's probes, in the order of upstream's validation.
pub(crate) const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Defaults of one probe.
pub(crate) fn default_probe(probe: &mut Value) {
    edit::default_number(probe, "timeoutSeconds", 1);
    edit::default_number(probe, "periodSeconds", 10);
    edit::default_number(probe, "successThreshold", 1);
    edit::default_number(probe, "failureThreshold", 3);
    if let Some(grpc) = probe.get_mut("grpc") {
        edit::default_to(grpc, "service", "");
    }
    default_handler(probe);
}

/// Defaults of a handler: where it asks over HTTP.
pub(crate) fn default_handler(handler: &mut Value) {
    if let Some(http) = handler.get_mut("httpGet") {
        edit::default_text(http, "path", "/");
        edit::default_text(http, "scheme", "HTTP");
    }
}

/// Rules for all hooks and probes of a container that may have them. `grace` is the pod's
/// termination grace period.
pub(crate) fn validate_all(container: &Field<'_, '_>, grace: Option<i64>, errors: &mut Errors) {
    let lifecycle = container.child("lifecycle");
    for hook in ["postStart", "preStop"] {
        let hook = lifecycle.child(hook);
        if hook.is_set() {
            validate_handler(&hook, &HOOK_HANDLERS, grace, errors);
        }
    }
    for name in PROBES {
        let probe = container.child(name);
        if probe.is_set() {
            validate_probe(&probe, name, grace, errors);
        }
    }
}

fn validate_probe(probe: &Field<'_, '_>, name: &str, grace: Option<i64>, errors: &mut Errors) {
    validate_handler(probe, &PROBE_HANDLERS, grace, errors);
    for number in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        probe.child(number).non_negative(errors);
    }
    let own_grace = probe.child("terminationGracePeriodSeconds");
    if own_grace.integer().is_some_and(|seconds| seconds <= 0) {
        own_grace.invalid(errors, "must be greater than 0");
    }
    if name == "readinessProbe" {
        if own_grace.is_set() {
            own_grace.invalid(errors, "must not be set for readinessProbes");
        }
    } else if probe.child("successThreshold").number() != 1 {
        let threshold = probe.child("successThreshold");
        threshold.invalid_as(errors, threshold.number(), "must be 1");
    }
}

fn validate_handler(
    handler: &Field<'_, '_>,
    kinds: &[&str],
    grace: Option<i64>,
    errors: &mut Errors,
) {
    let mut found = 0;
    for kind in kinds {
        let action = handler.child(kind);
        if !action.is_set() {
            continue;
        }
        found += 1;
        if found > 1 {
            action.forbidden(errors, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if action.child("command").is_empty() => {
                action.child("command").required(errors, "");
            }
            "httpGet" => validate_http(&action, errors),
            "tcpSocket" | "grpc" => action.child("port").port_number_or_name(errors),
            "sleep" => validate_sleep(&action, grace, errors),
            _ => {}
        }
    }
    if found == 0 {
        handler.required(errors, "must specify a handler type");
    }
}

fn validate_http(action: &Field<'_, '_>, errors: &mut Errors) {
    if action.child("path").is_empty() {
        action.child("path").required(errors, "");
    }
    action.child("port").port_number_or_name(errors);
    let scheme = action.child("scheme");
    if !["HTTP", "HTTPS"].contains(&scheme.str()) {
        scheme.not_one_of(errors, &["HTTP", "HTTPS"]);
    }
    let headers = action.child("httpHeaders");
    for header in headers.items() {
        let name = header.child("name").str();
        for complaint in names::http_header_name(name) {
            headers.invalid_as(errors, name, complaint);
        }
    }
}

fn validate_sleep(action: &Field<'_, '_>, grace: Option<i64>, errors: &mut Errors) {
    let seconds = action.child("seconds").number();
    if let Some(grace) = grace
        && !(0..=grace).contains(&seconds)
    {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        action.invalid_as(errors, seconds, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_probes_are_refused_in_upstreams_words() {
        for (mut container, expected) in [
            (
                json!({"livenessProbe": {}}),
                "livenessProbe: Required value: must specify a handler type",
            ),
            (
                json!({"livenessProbe": {"exec": {"command": ["true"]}, "successThreshold": 2}}),
                "livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ),
            (
                json!({"readinessProbe": {"tcpSocket": {"port": 0}, "grpc": {"port": 1}}}),
                "[readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, \
                 inclusive, \
                 readinessProbe.grpc: Forbidden: may not specify more than 1 handler type]",
            ),
            (
                json!({"startupProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}}),
                "startupProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \
                 \"HTTP\", \"HTTPS\"",
            ),
            (
                json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
                "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than \
                 terminationGracePeriodSeconds (30)",
            ),
        ] {
            for probe in PROBES {
                if let Some(probe) = container.get_mut(probe) {
                    default_probe(probe);
                }
            }
            let mut errors = Errors::new();
            validate_all(&Field::root(&container), Some(30), &mut errors);
            assert_eq!(errors.to_string(), expected);
        }
    }
}
