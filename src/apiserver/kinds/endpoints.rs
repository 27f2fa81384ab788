//! Endpoints: the addresses behind a service, in the older form with a single list.
//!
//! Sources: `pkg/registry/core/endpoint/strategy.go`, `pkg/apis/core/validation`.
//!
//! 1. A subset has at least one address, ready or not.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

use super::{age, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["subsets"],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::update_as_sent,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: false,
    create_on_update: true,
    unconditional_update: true,
    fields: plain::no_fields,
    field_paths: &[],
    columns: COLUMNS,
    row,
    row_paths: &["subsets"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Endpoints", "string", ".subsets"),
    plain::AGE,
];

/// Transport protocols, wherever a port has one.
pub(crate) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// How many addresses a row shows before it says how many more there are.
pub(crate) const SHOWN_MAX: usize = 3;

fn default(endpoints: &mut Value) {
    for subset in edit::items(endpoints, "subsets") {
        for port in edit::items(subset, "ports") {
            edit::default_text(port, "protocol", "TCP");
        }
    }
}

fn validate(endpoints: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(endpoints);
    for subset in root.child("subsets").items() {
        let (ready, not_ready) = (subset.child("addresses"), subset.child("notReadyAddresses"));
        if ready.is_empty() && not_ready.is_empty() {
            subset.required(
                &mut errors,
                "must specify `addresses` or `notReadyAddresses`",
            );
        }
        for address in ready.items().chain(not_ready.items()) {
            validate_address(&address, &mut errors);
        }
        let ports = subset.child("ports");
        for port in ports.items() {
            validate_port(&port, ports.len() > 1, &mut errors);
        }
    }
    errors
}

fn validate_address(address: &Field<'_, '_>, errors: &mut Errors) {
    address.child("ip").ip_address(errors);
    address
        .child("hostname")
        .may_be(errors, names::dns1123_label);
    if address.child("nodeName").is_set() {
        address
            .child("nodeName")
            .must_be(errors, names::dns1123_subdomain);
    }
    address.child("ip").endpoint_address(errors);
}

fn validate_port(port: &Field<'_, '_>, needs_name: bool, errors: &mut Errors) {
    if needs_name && port.child("name").is_empty() {
        port.child("name").required(errors, "");
    }
    port.child("name").may_be(errors, names::dns1123_label);
    port.child("port").port_number(errors);
    port.child("protocol").required_one_of(errors, &PROTOCOLS);
    if port.child("appProtocol").is_set() {
        port.child("appProtocol")
            .must_be(errors, names::qualified_name);
    }
}

fn validate_update(new: &Value, _: &Value) -> Errors {
    validate(new)
}

fn row(endpoints: &Value, now: Time) -> Vec<Value> {
    let shown = addresses(endpoints);
    vec![
        plain::name(endpoints),
        shown.into(),
        age::of_object(endpoints, now).into(),
    ]
}

fn addresses(endpoints: &Value) -> String {
    let mut all = Vec::new();
    for subset in edit::list(endpoints, &["subsets"]) {
        let addresses = edit::list(subset, &["addresses"]);
        let ips = || addresses.iter().map(|address| edit::text(address, &["ip"]));
        let ports = edit::list(subset, &["ports"]);
        if ports.is_empty() {
            all.extend(ips().map(str::to_string));
        }
        for port in ports {
            let port = edit::number(port, &["port"]);
            all.extend(ips().map(|ip| with_port(ip, port)));
        }
    }
    plain::or_none(&first_few(&all)).to_string()
}

fn with_port(ip: &str, port: i64) -> String {
    if rules::is_ipv6(ip) {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

/// The first three of some texts, and how many more there are.
pub(crate) fn first_few(all: &[String]) -> String {
    let shown = all
        .iter()
        .take(SHOWN_MAX)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",");
    match all.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_endpoints_are_refused_in_upstreams_words() {
        let mut endpoints = json!({"subsets": [
            {"ports": [{"port": 80}]},
            {"addresses": [{"ip": "127.0.0.1"}, {"ip": "::"}], "ports": [{"port": 0, "name": "a"}]},
        ]});
        default(&mut endpoints);
        assert_eq!(
            validate(&endpoints).to_string(),
            "[subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`, \
             subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback \
             range (127.0.0.0/8, ::1/128), \
             subsets[1].addresses[1].ip: Invalid value: \"::\": may not be unspecified (::), \
             subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive]"
        );
    }

    #[test]
    fn a_row_shows_three_addresses_and_counts_the_rest() {
        let endpoints = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"},
            {"ip": "10.0.0.3"}, {"ip": "fd00::4"}], "ports": [{"port": 80}]}]});
        assert_eq!(
            addresses(&endpoints),
            "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."
        );
        assert_eq!(addresses(&json!({})), "<none>");
    }
}
