//! EndpointSlice: up to a thousand of the addresses behind a service, each with its conditions.
//!
//! Sources: `pkg/registry/discovery/endpointslice/strategy.go`, `pkg/apis/discovery/validation`.
//!
//! 1. The address type never changes: a dual-stack service has slices of both.
//!
//! Book: `book/src/control-plane/kinds.md`.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

use super::endpoints::{PROTOCOLS, first_few};
use super::{age, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["ports"],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::update_as_sent,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: true,
    create_on_update: false,
    unconditional_update: true,
    fields: plain::no_fields,
    field_paths: &[],
    columns: COLUMNS,
    row,
    row_paths: &["addressType", "endpoints.addresses", "ports"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("AddressType", "string", ".addressType"),
    plain::column("Ports", "string", ".ports"),
    plain::column("Endpoints", "string", ".endpoints"),
    plain::AGE,
];

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1_000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;

fn default(slice: &mut Value) {
    for port in edit::items(slice, "ports") {
        edit::default_to(port, "name", "");
        edit::default_to(port, "protocol", "TCP");
    }
}

fn validate(slice: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(slice);
    let address_type = root.child("addressType");
    address_type.required_one_of(&mut errors, &ADDRESS_TYPES);
    validate_endpoints(&root.child("endpoints"), address_type.str(), &mut errors);
    validate_ports(&root.child("ports"), &mut errors);
    errors
}

fn validate_endpoints(endpoints: &Field<'_, '_>, address_type: &str, errors: &mut Errors) {
    if endpoints.len() > ENDPOINTS_MAX {
        return endpoints.too_many(errors, ENDPOINTS_MAX);
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.child("addresses");
        if addresses.is_empty() {
            addresses.required(errors, "must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            addresses.too_many(errors, ADDRESSES_MAX);
        }
        for address in addresses.items() {
            validate_address(&address, address_type, errors);
        }
        if endpoint.child("nodeName").is_set() {
            endpoint
                .child("nodeName")
                .must_be(errors, names::dns1123_subdomain);
        }
        if endpoint.child("hostname").is_set() {
            endpoint
                .child("hostname")
                .must_be(errors, names::dns1123_label);
        }
        let hints = endpoint.child("hints");
        let zones = hints.child("forZones");
        let mut seen = BTreeSet::new();
        for zone in zones.items() {
            let name = zone.child("name");
            if !seen.insert(name.str()) {
                name.duplicate(errors);
            }
            name.must_be(errors, names::label_value);
        }
    }
}

fn validate_address(address: &Field<'_, '_>, address_type: &str, errors: &mut Errors) {
    match address_type {
        "IPv4" => {
            if address.str().parse::<Ipv4Addr>().is_err() {
                address.invalid_as(errors, address.str(), "must be a valid IPv4 address");
            }
            address.endpoint_address(errors);
        }
        "IPv6" => {
            if address.str().parse::<Ipv6Addr>().is_err() {
                address.invalid_as(errors, address.str(), "must be a valid IPv6 address");
            }
            address.endpoint_address(errors);
        }
        "FQDN" => address.must_be(errors, fully_qualified),
        _ => {}
    }
}

fn fully_qualified(name: &str) -> Vec<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if !name.contains('.') {
        return vec!["should be a domain with at least two segments separated by dots".into()];
    }
    names::dns1123_subdomain(name)
}

fn validate_ports(ports: &Field<'_, '_>, errors: &mut Errors) {
    if ports.len() > PORTS_MAX {
        return ports.too_many(errors, PORTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.child("name");
        name.may_be(errors, names::dns1123_label);
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        if port.child("port").is_set() {
            port.child("port").port_number(errors);
        }
        port.child("protocol").required_one_of(errors, &PROTOCOLS);
        if port.child("appProtocol").is_set() {
            port.child("appProtocol")
                .must_be(errors, names::qualified_name);
        }
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let before = Field::root(old);
    Field::root(new)
        .child("addressType")
        .immutable(&mut errors, &before.child("addressType"));
    errors
}

fn row(slice: &Value, now: Time) -> Vec<Value> {
    let ports: Vec<String> = edit::list(slice, &["ports"])
        .iter()
        .map(|port| match edit::at(port, &["port"]) {
            Some(number) => number.to_string(),
            None => edit::at(port, &["name"])
                .map_or("*", |name| name.as_str().unwrap_or_default())
                .to_string(),
        })
        .collect();
    let addresses: Vec<String> = edit::list(slice, &["endpoints"])
        .iter()
        .flat_map(|endpoint| edit::list(endpoint, &["addresses"]))
        .map(|address| address.as_str().unwrap_or_default().to_string())
        .collect();
    vec![
        plain::name(slice),
        edit::text(slice, &["addressType"]).into(),
        or_unset(first_few(&ports)).into(),
        or_unset(first_few(&addresses)).into(),
        age::of_object(slice, now).into(),
    ]
}

fn or_unset(text: String) -> String {
    if text.is_empty() {
        "<unset>".into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_slices_are_refused_in_upstreams_words() {
        let slice = json!({"addressType": "IPv4", "endpoints": [
            {"addresses": []}, {"addresses": ["169.254.0.1"]}],
            "ports": [{"name": "a", "protocol": "TCP"}, {"name": "a", "protocol": "FTP"}]});
        assert_eq!(
            validate(&slice).to_string(),
            "[endpoints[0].addresses: Required value: must contain at least 1 address, \
             endpoints[1].addresses[0]: Invalid value: \"169.254.0.1\": may not be in the \
             link-local range (169.254.0.0/16, fe80::/10), \
             ports[1].name: Duplicate value: \"a\", \
             ports[1].protocol: Unsupported value: \"FTP\": supported values: \
             \"SCTP\", \"TCP\", \"UDP\"]"
        );
    }

    #[test]
    fn the_address_type_of_a_slice_stays() {
        let (old, new) = (
            json!({"addressType": "IPv4"}),
            json!({"addressType": "IPv6"}),
        );
        assert_eq!(
            validate_update(&new, &old).to_string(),
            "addressType: Invalid value: \"IPv6\": field is immutable"
        );
    }

    #[test]
    fn a_port_without_a_number_is_shown_by_its_name() {
        let slice = json!({"metadata": {"name": "web"}, "addressType": "IPv4",
            "ports": [{"port": 80}, {"name": "any"}, {}]});
        let cells = json!(["web", "IPv4", "80,any,*", "<unset>", "<unknown>"]);
        assert_eq!(Value::from(row(&slice, Time::EPOCH)), cells);
    }
}
