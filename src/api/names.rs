//! What may be a name: DNS labels and subdomains, label keys and values, ports, variables, files.
//!
//! Validation in the API server calls these; each answers the list of what is wrong, in upstream's
//! exact words, or an empty list (`k8s.io/apimachinery/pkg/util/validation/validation.go`).
//!
//! 1. An answer is given for any text: `any_text_is_judged_without_a_panic`.
//! 2. What is made of the allowed characters in the allowed places is allowed:
//!    `well_formed_names_pass`.
//!
//! Left out: IP addresses and CIDRs, which validation parses with `core::net`.
//!
//! Book: `book/src/ground/objects.md`.

/// What is wrong with a name; empty when nothing is.
pub type Complaints = Vec<String>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_SAYS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must \
                              start and end with an alphanumeric character";

/// The most characters of a DNS label and of a label's name and value.
pub const LABEL_MAX: usize = 63;
/// The most characters of a DNS subdomain, so of most objects' names.
pub const SUBDOMAIN_MAX: usize = 253;

// ANCHOR: label
/// A namespace, or a container: lower case alphanumerics and `-`, at most 63.
pub fn dns1123_label(value: &str) -> Complaints {
    let mut errors = longest(value, LABEL_MAX);
    if !is_label(value) {
        errors.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                 characters or '-', and must start and end with an alphanumeric \
                 character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}
// ANCHOR_END: label

/// Most objects' names: DNS labels joined by dots, at most 253 characters.
pub fn dns1123_subdomain(value: &str) -> Complaints {
    let mut errors = longest(value, SUBDOMAIN_MAX);
    if !is_subdomain(value) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    errors
}

/// A service's name: a DNS label that begins with a letter.
pub fn dns1035_label(value: &str) -> Complaints {
    let mut errors = longest(value, LABEL_MAX);
    if !is_label(value) || value.starts_with(|c: char| c.is_ascii_digit()) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A label's or annotation's key: `name` or `example.com/name`.
pub fn qualified_name(value: &str) -> Complaints {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut errors = Vec::new();
    let (prefix, name) = match value.split_once('/') {
        None => (None, value),
        Some((prefix, name)) => (Some(prefix), name),
    };
    if name.contains('/') {
        let shape = regex_error(QUALIFIED_SAYS, QUALIFIED, &examples);
        let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        return vec![format!("a qualified name {shape} {tail}")];
    }
    match prefix {
        Some("") => errors.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            errors.extend(
                dns1123_subdomain(prefix)
                    .into_iter()
                    .map(|e| format!("prefix part {e}")),
            );
        }
        None => {}
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    }
    errors.extend(
        longest(name, LABEL_MAX)
            .into_iter()
            .map(|e| format!("name part {e}")),
    );
    if !is_qualified(name) {
        errors.push(format!(
            "name part {}",
            regex_error(QUALIFIED_SAYS, QUALIFIED, &examples)
        ));
    }
    errors
}

/// A label's value: empty, or like the name part of a key.
pub fn label_value(value: &str) -> Complaints {
    let mut errors = longest(value, LABEL_MAX);
    if !value.is_empty() && !is_qualified(value) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A container port's name (IANA service name): at most 15 of `a-z0-9-`, one of them a letter.
pub fn port_name(value: &str) -> Complaints {
    let mut errors = longest(value, 15);
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let mut complain = |holds: bool, what: &str| {
        if !holds {
            errors.push(what.to_owned());
        }
    };
    complain(
        !value.is_empty() && value.bytes().all(is_part),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    complain(
        value.bytes().any(|b| b.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    complain(
        !value.contains("--"),
        "must not contain consecutive hyphens",
    );
    complain(
        !value.starts_with('-') && !value.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    errors
}

/// A port's number.
pub fn port_number(port: i64) -> Complaints {
    in_range(port, 1, 65535)
}

/// A number between `low` and `high`, both allowed.
pub fn in_range(value: i64, low: i64, high: i64) -> Complaints {
    if (low..=high).contains(&value) {
        return Vec::new();
    }
    vec![format!("must be between {low} and {high}, inclusive")]
}

/// An environment variable's name by the strict rule, which `envFrom` still follows.
pub fn env_var_name(value: &str) -> Complaints {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let starts_well = value.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    let mut errors = Vec::new();
    if !starts_well || !value.bytes().all(is_part) {
        errors.push(regex_error(
            "a valid environment variable name must consist of alphabetic characters, digits, \
             '_', '-', or '.', and must not start with a digit",
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    errors.extend(no_parent_folder(value));
    errors
}

/// An environment variable's name by the rule in force since 1.32: printable ASCII but `=`.
pub fn relaxed_env_var_name(value: &str) -> Complaints {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value
        .bytes()
        .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
    {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other \
         than '='"
            .to_owned(),
    ]
}

/// A key of a ConfigMap or Secret: it becomes a file's name.
pub fn config_map_key(value: &str) -> Complaints {
    let mut errors = longest(value, SUBDOMAIN_MAX);
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if value.is_empty() || !value.bytes().all(is_part) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    errors.extend(no_parent_folder(value));
    errors
}

/// A C identifier.
pub fn c_identifier(value: &str) -> Complaints {
    let starts_well = value.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if starts_well
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return Vec::new();
    }
    vec![regex_error(
        "a valid C identifier must start with alphabetic character or '_', followed by a string \
         of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// An HTTP header's name, as probes send it.
pub fn http_header_name(value: &str) -> Complaints {
    if !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        return Vec::new();
    }
    vec![regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// `25%`, as in `maxSurge`.
pub fn percent(value: &str) -> Complaints {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// A name that can stand in a path of the API (`pkg/api/validation/path/name.go`).
pub fn path_segment(value: &str) -> Complaints {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    let illegal = ['/', '%'].into_iter().filter(|c| value.contains(*c));
    illegal.map(|c| format!("may not contain '{c}'")).collect()
}

/// A `generateName` stands for the name it will become: a trailing `-` is no fault of its own.
/// `rule` is the rule of the kind's names.
pub fn generate_name(prefix: &str, rule: fn(&str) -> Complaints) -> Complaints {
    match prefix.strip_suffix('-') {
        Some(rest) => rule(&format!("{rest}a")),
        None => rule(prefix),
    }
}

fn is_label(value: &str) -> bool {
    let is_end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    is_end(value.bytes().next()) && is_end(value.bytes().last()) && value.bytes().all(is_part)
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_qualified(value: &str) -> bool {
    let is_end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    is_end(value.bytes().next()) && is_end(value.bytes().last()) && value.bytes().all(is_part)
}

fn longest(value: &str, most: usize) -> Complaints {
    if value.len() <= most {
        return Vec::new();
    }
    vec![format!("must be no more than {most} characters")]
}

fn no_parent_folder(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn regex_error(says: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    let examples = examples.join(" or ");
    format!("{says} (e.g. {examples}regex used for validation is '{regex}')")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn complaints_are_in_upstreams_words() {
        assert_eq!(
            dns1123_label("Web_0"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
                 '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
                 '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_label(&"a".repeat(64)),
            ["must be no more than 63 characters"]
        );
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/").len(), 2);
        assert!(
            qualified_name("a/b/c")
                .concat()
                .ends_with("(e.g. 'example.com/MyName')")
        );
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert_eq!(port_name("80"), ["must contain at least one letter (a-z)"]);
        assert_eq!(config_map_key("..x"), ["must not start with '..'"]);
        assert_eq!(path_segment("a/b"), ["may not contain '/'"]);
        assert_eq!(dns1035_label("0a").len(), 1);
        assert!(generate_name("web-", dns1123_label).is_empty());
        assert!(relaxed_env_var_name("a b").is_empty());
        assert_eq!(relaxed_env_var_name("a=b").len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,80}") {
            let rules: [fn(&str) -> Complaints; 12] = [
                dns1123_label, dns1123_subdomain, dns1035_label, qualified_name, label_value,
                port_name, env_var_name, relaxed_env_var_name, config_map_key, c_identifier,
                percent, path_segment,
            ];
            for rule in rules {
                let _ = (rule(&text), generate_name(&text, rule));
            }
        }

        #[test]
        fn well_formed_names_pass(
            label in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
            name in "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
        ) {
            prop_assert!(dns1123_label(&label).is_empty());
            prop_assert!(dns1035_label(&label).is_empty());
            let (dotted, key) = (format!("{label}.{label}"), format!("{label}/{name}"));
            prop_assert!(dns1123_subdomain(&dotted).is_empty());
            prop_assert!(qualified_name(&key).is_empty());
            prop_assert!(label_value(&name).is_empty());
        }
    }
}
