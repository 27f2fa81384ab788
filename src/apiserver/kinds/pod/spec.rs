//! The rules of a pod spec, in a pod or in a template.
//!
//! Called by `pod.rs` and `template.rs`; the parts are in the files beside. Source:
//! `ValidatePodSpec` in `pkg/apis/core/validation`, in its order.
//!
//! 1. A spec that passes in a template passes in the pods made from it.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::names;

use super::{containers, resources, scheduling, security, volumes};
use crate::field::{Errors, Field};
use crate::kinds::priority_class;
use crate::kinds::rules::MAX_INT32;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2_048;

/// Whose spec it is.
#[derive(Clone, Copy)]
pub(crate) enum Of<'a> {
    /// A pod's of this name.
    Pod(&'a str),
    /// A template's.
    Template,
}

/// Rules for a pod spec.
pub(crate) fn validate(spec: &Field<'_, '_>, of: Of<'_>, errors: &mut Errors) {
    let grace = spec.child("terminationGracePeriodSeconds");
    if !grace.is_set() {
        grace.required(errors, "");
    }
    let pod_name = if let Of::Pod(name) = of { name } else { "" };
    let volumes = volumes::validate(&spec.child("volumes"), pod_name, errors);
    let pod = containers::Pod {
        volumes: &volumes,
        grace: grace.integer(),
        restart_policy: spec.child("restartPolicy").str(),
        host_users: spec.child("hostUsers").boolean() != Some(false),
    };
    containers::validate(spec, &pod, errors);
    validate_host_network(spec, of, errors);
    validate_policies(spec, errors);
    spec.child("nodeSelector").labels(errors);
    security::validate_pod(spec, errors);
    scheduling::validate_affinity(&spec.child("affinity"), errors);
    validate_dns(spec, errors);
    scheduling::validate_gates(spec, errors);
    scheduling::validate_spread(&spec.child("topologySpreadConstraints"), errors);
    security::validate_host_users(spec, errors);
    validate_names(spec, errors);
    scheduling::validate_tolerations(&spec.child("tolerations"), errors);
    for alias in spec.child("hostAliases").items() {
        alias.child("ip").ip_address(errors);
        for name in alias.child("hostnames").items() {
            name.must_be(errors, names::dns1123_subdomain);
        }
    }
    spec.child("priorityClassName")
        .may_be(errors, names::dns1123_subdomain);
    if spec.child("runtimeClassName").is_set() {
        spec.child("runtimeClassName")
            .must_be(errors, names::dns1123_subdomain);
    }
    priority_class::preemption_policy(&spec.child("preemptionPolicy"), errors);
    resources::validate_overhead(&spec.child("overhead"), errors);
    security::validate_os(spec, errors);
}

/// On the host's network a container's port is the host's port.
fn validate_host_network(spec: &Field<'_, '_>, of: Of<'_>, errors: &mut Errors) {
    if !spec.child("hostNetwork").is_true() {
        return;
    }
    for container in spec.child("containers").items() {
        for port in container.child("ports").items() {
            let (host, own) = (port.child("hostPort"), port.child("containerPort"));
            let must_match = matches!(of, Of::Pod(_)) || host.number() != 0;
            if must_match && host.number() != own.number() {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                host.invalid_as(errors, host.number(), detail);
            }
        }
    }
}

fn validate_policies(spec: &Field<'_, '_>, errors: &mut Errors) {
    const RESTART: [&str; 3] = ["Always", "OnFailure", "Never"];
    const DNS: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    for (name, supported) in [("restartPolicy", &RESTART[..]), ("dnsPolicy", &DNS[..])] {
        let policy = spec.child(name);
        match policy.required_text(errors) {
            Some(text) if !supported.contains(&text) => policy.not_one_of(errors, supported),
            _ => {}
        }
    }
}

fn validate_dns(spec: &Field<'_, '_>, errors: &mut Errors) {
    let config = spec.child("dnsConfig");
    let (servers, searches) = (config.child("nameservers"), config.child("searches"));
    if spec.child("dnsPolicy").str() == "None" {
        if !config.is_set() {
            let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
            return config.required(errors, detail);
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return servers.required(errors, detail);
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        servers.invalid(errors, detail);
    }
    for server in servers.items() {
        server.ip_address(errors);
    }
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        searches.invalid(errors, detail);
    }
    let characters: usize = searches.items().map(|search| search.str().len() + 1).sum();
    if characters > SEARCH_CHARACTERS_MAX + 1 {
        let detail = format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the \
             search list"
        );
        searches.invalid(errors, detail);
    }
    for search in searches.items().filter(|search| search.str() != ".") {
        let domain = search.str().strip_suffix('.').unwrap_or(search.str());
        // Resolvers know names with underscores, so search domains may have them.
        for complaint in names::dns1123_subdomain(&domain.replace('_', "-")) {
            search.invalid_as(errors, domain, complaint);
        }
    }
    for option in config.child("options").items() {
        if option.child("name").is_empty() {
            option.required(errors, "must not be empty");
        }
    }
}

fn validate_names(spec: &Field<'_, '_>, errors: &mut Errors) {
    spec.child("serviceAccountName")
        .may_be(errors, names::dns1123_subdomain);
    spec.child("nodeName")
        .may_be(errors, names::dns1123_subdomain);
    let deadline = spec.child("activeDeadlineSeconds");
    if deadline
        .integer()
        .is_some_and(|seconds| !(1..=MAX_INT32).contains(&seconds))
    {
        deadline.invalid(
            errors,
            format!("must be between 1 and {MAX_INT32}, inclusive"),
        );
    }
    spec.child("hostname").may_be(errors, names::dns1123_label);
    spec.child("subdomain").may_be(errors, names::dns1123_label);
}
