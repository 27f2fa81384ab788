//! What selectors ask of an object: its labels and selectable fields, in one allocation.
//!
//! The watch cache holds one of these a version. A pod has two labels and eight fields; each in a
//! string of its own they would take as much memory as the pod's bytes. Looking one up goes through
//! all before it, a dozen short texts.
//!
//! 1. What was put in comes out, whatever characters it has.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

/// The number of labels, their keys and values, the values of the fields. Each text stands behind
/// its length, and a number is written in digits of six bits that are characters too, so that the
/// whole is text and is never checked again.
#[derive(Debug)]
pub(super) struct Header(Box<str>);

/// Set in every digit of a number but the last.
const MORE: u8 = 0x40;

impl Header {
    /// Packs labels and the values of the fields, both in the order in which they are asked for.
    pub fn new<'a>(
        labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
        fields: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut packed = String::with_capacity(256);
        write_number(&mut packed, labels.len());
        for (key, value) in labels {
            write_text(&mut packed, key);
            write_text(&mut packed, value);
        }
        for value in fields {
            write_text(&mut packed, value);
        }
        Header(packed.as_str().into()) // without room to grow
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let mut rest = &*self.0;
        for _ in 0..read_number(&mut rest)? {
            let (name, value) = (read_text(&mut rest)?, read_text(&mut rest)?);
            if name == key {
                return Some(value);
            }
        }
        None
    }

    /// The value of the field at this place.
    pub fn field(&self, at: usize) -> Option<&str> {
        let mut rest = &*self.0;
        for _ in 0..2 * read_number(&mut rest)? + at {
            read_text(&mut rest)?;
        }
        read_text(&mut rest)
    }
}

fn write_number(out: &mut String, mut number: usize) {
    while number >= usize::from(MORE) {
        out.push(char::from(number as u8 & (MORE - 1) | MORE));
        number >>= 6;
    }
    out.push(char::from(number as u8));
}

fn read_number(rest: &mut &str) -> Option<usize> {
    let mut number = 0;
    for (at, digit) in rest.bytes().enumerate() {
        number |= usize::from(digit & (MORE - 1)) << (6 * at);
        if digit & MORE == 0 {
            *rest = rest.get(at + 1..)?;
            return Some(number);
        }
    }
    None
}

fn write_text(out: &mut String, text: &str) {
    write_number(out, text.len());
    out.push_str(text);
}

fn read_text<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let length = read_number(rest)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};

    use super::*;

    const TEXT: &str = "[a-z@\\x00é\u{10ffff}]{0,80}";

    proptest::proptest! {
        #[test]
        fn what_was_put_in_comes_out_whatever_characters_it_has(
            labels in btree_map(TEXT, TEXT, 0..70), fields in vec(TEXT, 0..9), absent in TEXT,
        ) {
            let texts = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let header = Header::new(texts, fields.iter().map(String::as_str));
            for (key, value) in &labels {
                assert_eq!(header.label(key), Some(value.as_str()));
            }
            let known = labels.get(&absent).map(String::as_str);
            assert_eq!(header.label(&absent), known);
            for (at, value) in fields.iter().enumerate() {
                assert_eq!(header.field(at), Some(value.as_str()));
            }
            assert_eq!(header.field(fields.len()), None);
        }
    }

    #[test]
    fn a_label_longer_than_a_digit_is_found() {
        let long = "ä\0@".repeat(2000);
        let header = Header::new([("long", &*long)].into_iter(), [&*long].into_iter());
        assert_eq!(
            (header.label("long"), header.field(0)),
            (Some(&*long), Some(&*long))
        );
    }
}
