//! The target of a request: path segments and query parameters, decoded.
//!
//! 1. Any text is a target: what is not valid percent-encoding stands for itself.
//!
//! Book: `book/src/control-plane/apiserver.md`.

/// A decoded target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The path as it came, without the query.
    pub path: String,
    /// The query.
    pub query: Query,
}

/// Query parameters in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Target {
    pub fn parse(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name, true), decode(value, true))
            });
        Target {
            path: path.to_string(),
            query: Query(pairs.collect()),
        }
    }

    /// The path's segments, decoded; empty ones (of doubled or trailing slashes) are left out.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part, false))
            .collect()
    }
}

impl Query {
    /// The first value of a parameter; empty when it is not given.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the parameter is given at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// A flag as upstream reads it (`Convert_Slice_string_To_bool`): given and neither `false` nor
    /// `0` is true, so `?watch` and `?watch=1` are.
    pub fn flag(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0")
    }

    /// A whole number; `None` when it is not given, or empty.
    pub fn number(&self, name: &str) -> Result<Option<i64>, String> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                let quoted = wavetank_api::status::quote(text);
                format!("strconv.ParseInt: parsing {quoted}: invalid syntax")
            }),
        }
    }
}

pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => match bytes.get(at..at + 2).and_then(hex) {
                Some(value) => {
                    out.push(value);
                    at += 2;
                }
                None => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = core::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 16)
        .ok()
        .filter(|_| !text.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_read_as_upstream_reads_them() {
        let target =
            Target::parse("/api/v1/pods?watch&labelSelector=a%3Db%2Cc+in+(d)&limit=5&x=%zz");
        assert_eq!(target.segments(), ["api", "v1", "pods"]);
        assert!(target.query.flag("watch"));
        assert_eq!(target.query.get("labelSelector"), "a=b,c in (d)");
        assert_eq!(target.query.number("limit"), Ok(Some(5)));
        assert_eq!(target.query.get("x"), "%zz");
    }

    proptest! {
        #[test]
        fn any_text_is_a_target(text in "\\PC{0,40}") {
            let target = Target::parse(&text);
            prop_assert!(target.segments().iter().all(|segment| !segment.is_empty()));
        }
    }
}
