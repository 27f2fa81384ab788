//! More words for the cursor: the rules that many fields share, each in upstream's words.
//!
//! Used by the kinds' validation. The rules of names themselves are in `wavetank_api::names`.
//! Source: `k8s.io/apimachinery/pkg/util/validation`, `pkg/apis/core/validation`.
//!
//! 1. A method reports and goes on; none stops at the first error unless upstream does.
//!
//! Book: `book/src/control-plane/kinds.md`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wavetank_api::json::Value;
use wavetank_api::names;

use crate::field::{Errors, Field, FieldError, FieldErrorKind};

/// The largest value of an `int32` field.
pub(crate) const MAX_INT32: i64 = i32::MAX as i64;

impl<'v> Field<'_, 'v> {
    /// The text; empty when it is absent or no text, as in Go.
    pub(crate) fn str(&self) -> &'v str {
        self.text().unwrap_or_default()
    }

    /// The whole number; 0 when it is absent or no number, as in Go.
    pub(crate) fn number(&self) -> i64 {
        self.integer().unwrap_or_default()
    }

    /// The truth value; false when it is absent or none, as in Go.
    pub(crate) fn is_true(&self) -> bool {
        self.boolean().unwrap_or_default()
    }

    /// Reports an invalid value that is not the one at this place.
    pub(crate) fn invalid_as(
        &self,
        errors: &mut Errors,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) {
        let (path, kind) = (self.path(), FieldErrorKind::Invalid);
        errors.push(FieldError {
            path,
            kind,
            value: value.into(),
            detail: detail.into(),
        });
    }

    /// Reports a value that must be unique, and is not, as another value.
    pub(crate) fn duplicate_as(&self, errors: &mut Errors, value: impl Into<Value>) {
        let (path, kind) = (self.path(), FieldErrorKind::Duplicate);
        errors.push(FieldError {
            path,
            kind,
            value: value.into(),
            detail: String::new(),
        });
    }

    /// Reports that what the value names does not exist.
    pub(crate) fn not_found(&self, errors: &mut Errors) {
        let mut error = self.error(FieldErrorKind::NotFound, "");
        error.value = self.str().into();
        errors.push(error);
    }

    /// Reports a text (or a whole map) of more than `limit` bytes.
    pub(crate) fn too_long(&self, errors: &mut Errors, limit: usize) {
        let mut error = self.error(
            FieldErrorKind::TooLong,
            format!("may not be more than {limit} bytes"),
        );
        error.value = Value::Null;
        errors.push(error);
    }

    /// Reports a list of more than `limit` items.
    pub(crate) fn too_many(&self, errors: &mut Errors, limit: usize) {
        let mut error = self.error(
            FieldErrorKind::TooMany,
            format!("must have at most {limit} items"),
        );
        error.value = self.len().into();
        errors.push(error);
    }

    /// The text, absent counting as empty, must obey a rule of names.
    pub(crate) fn must_be(&self, errors: &mut Errors, rule: fn(&str) -> Vec<String>) {
        for complaint in rule(self.str()) {
            self.invalid_as(errors, self.str(), complaint);
        }
    }

    /// The text, if there is one, must obey a rule of names.
    pub(crate) fn may_be(&self, errors: &mut Errors, rule: fn(&str) -> Vec<String>) {
        if !self.str().is_empty() {
            self.must_be(errors, rule);
        }
    }

    /// A text must be given, and must obey a rule of names.
    pub(crate) fn required_name(&self, errors: &mut Errors, rule: fn(&str) -> Vec<String>) {
        if self.required_text(errors).is_some() {
            self.must_be(errors, rule);
        }
    }

    /// A text must be given, and must be one of `supported`.
    pub(crate) fn required_one_of(&self, errors: &mut Errors, supported: &[&str]) {
        match self.required_text(errors) {
            Some(text) if !supported.contains(&text) => self.not_supported(errors, supported),
            _ => {}
        }
    }

    /// Like [`Field::not_supported`], in the order given: upstream sorts sets, but not slices.
    pub(crate) fn not_one_of(&self, errors: &mut Errors, supported: &[&str]) {
        let names: Vec<String> = supported.iter().map(|name| format!("\"{name}\"")).collect();
        let detail = format!("supported values: {}", names.join(", "));
        let mut error = self.error(FieldErrorKind::NotSupported, detail);
        if !self.is_set() {
            error.value = "".into();
        }
        errors.push(error);
    }

    /// A port number, from 1 to 65535.
    pub(crate) fn port_number(&self, errors: &mut Errors) {
        for complaint in names::port_number(self.number()) {
            self.invalid_as(errors, self.number(), complaint);
        }
    }

    /// A port number, or the name of a port.
    pub(crate) fn port_number_or_name(&self, errors: &mut Errors) {
        match self.text() {
            Some(_) => self.must_be(errors, names::port_name),
            None => self.port_number(errors),
        }
    }

    /// A user or group number, from 0 to 2³¹−1, if it is given.
    pub(crate) fn id_number(&self, errors: &mut Errors) {
        if let Some(id) = self.integer()
            && !(0..=MAX_INT32).contains(&id)
        {
            self.invalid(
                errors,
                format!("must be between 0 and {MAX_INT32}, inclusive"),
            );
        }
    }

    /// File permissions, if they are given.
    pub(crate) fn file_mode(&self, errors: &mut Errors) {
        if self
            .integer()
            .is_some_and(|mode| !(0..=0o777).contains(&mode))
        {
            self.invalid(
                errors,
                "must be a number between 0 and 0777 (octal), both inclusive",
            );
        }
    }

    /// A path without a `..` element.
    pub(crate) fn path_without_backsteps(&self, errors: &mut Errors) {
        if self.str().split('/').any(|element| element == "..") {
            self.invalid(errors, "must not contain '..'");
        }
    }

    /// A relative path without a `..` element.
    pub(crate) fn descending_path(&self, errors: &mut Errors) {
        if self.str().starts_with('/') {
            self.invalid(errors, "must be a relative path");
        }
        self.path_without_backsteps(errors);
    }

    /// A relative path that does not begin with `..` either, which the kubelet keeps for itself.
    pub(crate) fn unreserved_path(&self, errors: &mut Errors) {
        self.descending_path(errors);
        if self.str().starts_with("..") && !self.str().starts_with("../") {
            self.invalid(errors, "must not start with '..'");
        }
    }

    /// An IP address.
    pub(crate) fn ip_address(&self, errors: &mut Errors) -> Option<IpAddr> {
        let address = self.str().parse().ok();
        if address.is_none() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            self.invalid_as(errors, self.str(), detail);
        }
        address
    }

    /// A network in CIDR notation.
    pub(crate) fn cidr(&self, errors: &mut Errors) {
        if !is_cidr(self.str().trim()) {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            self.invalid_as(errors, self.str(), detail);
        }
    }

    /// An IP address at which a service's endpoint can really be (`ValidateNonSpecialIP`).
    pub(crate) fn endpoint_address(&self, errors: &mut Errors) {
        let Ok(address) = self.str().parse::<IpAddr>() else {
            return self.invalid_as(errors, self.str(), "must be a valid IP address");
        };
        if address.is_unspecified() {
            self.invalid(errors, format!("may not be unspecified ({})", self.str()));
        }
        if address.is_loopback() {
            self.invalid(
                errors,
                "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            );
        }
        if is_link_local(address) {
            let detail = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
            self.invalid(errors, detail);
        }
        if is_link_local_multicast(address) {
            let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
            self.invalid(errors, detail);
        }
    }

    /// Labels: keys are qualified names, values are label values.
    pub(crate) fn labels(&self, errors: &mut Errors) {
        for (key, value) in self.entries() {
            for complaint in names::qualified_name(key) {
                self.invalid_as(errors, key, complaint);
            }
            for complaint in names::label_value(value.str()) {
                self.invalid_as(errors, value.str(), complaint);
            }
        }
    }

    /// Annotations: keys are qualified names in any case; all together at most 256 KiB.
    pub(crate) fn annotations(&self, errors: &mut Errors) {
        const LIMIT: usize = 256 << 10;
        let mut size = 0;
        for (key, value) in self.entries() {
            size += key.len() + value.str().len();
            for complaint in names::qualified_name(&key.to_lowercase()) {
                self.invalid_as(errors, key, complaint);
            }
        }
        if size > LIMIT {
            self.too_long(errors, LIMIT);
        }
    }
}

/// Names that are DNS subdomains: most kinds.
pub(crate) fn subdomain_name(name: &str, prefix: bool) -> Vec<String> {
    named(name, prefix, names::dns1123_subdomain)
}

/// Names that are DNS labels: namespaces.
pub(crate) fn label_name(name: &str, prefix: bool) -> Vec<String> {
    named(name, prefix, names::dns1123_label)
}

/// Names that are DNS labels and begin with a letter: services.
pub(crate) fn service_name(name: &str, prefix: bool) -> Vec<String> {
    named(name, prefix, names::dns1035_label)
}

fn named(name: &str, prefix: bool, rule: fn(&str) -> Vec<String>) -> Vec<String> {
    if prefix {
        names::generate_name(name, rule)
    } else {
        rule(name)
    }
}

/// Whether a text is an IPv6 address.
pub(crate) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Whether a list of addresses has one of each family and no more.
pub(crate) fn is_dual_stack(addresses: &[&str]) -> bool {
    let six = addresses.iter().filter(|text| is_ipv6(text)).count();
    addresses.len() == 2 && six == 1
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let Ok(length) = length.parse::<u8>() else {
        return false;
    };
    match address.parse() {
        Ok(IpAddr::V4(_)) => length <= 32,
        Ok(IpAddr::V6(_)) => length <= 128,
        Err(_) => false,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four
            .octets()
            .starts_with(&Ipv4Addr::new(224, 0, 0, 0).octets()[..3]),
        IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
    }
}
