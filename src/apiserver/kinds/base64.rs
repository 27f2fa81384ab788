//! Base64 as Go's JSON writes `[]byte` fields: the standard alphabet with padding.
//!
//! Used by ConfigMap (sizes) and Secret (`stringData` becomes `data`).
//!
//! 1. What is encoded decodes to itself: `what_is_encoded_decodes_to_itself`.
//!
//! Book: `book/src/control-plane/kinds.md`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of some bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = 0u32;
        for at in 0..3 {
            word = word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let index = (word >> (18 - 6 * at) & 63) as usize;
            let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// The bytes of a text; `None` when it is not base64. Line breaks do not count, as in Go.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let letters: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    if !letters.len().is_multiple_of(4) {
        return None;
    }
    let padding = letters
        .iter()
        .rev()
        .take_while(|byte| **byte == b'=')
        .count();
    if padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3);
    for chunk in letters.chunks(4) {
        let mut word = 0u32;
        for letter in chunk {
            let padded = *letter == b'=';
            let value = if padded { 0 } else { value_of(*letter)? };
            word = word << 6 | value;
        }
        bytes.extend(word.to_be_bytes().iter().skip(1));
    }
    let inner = letters.len() - padding;
    if letters.iter().take(inner).any(|byte| *byte == b'=') {
        return None;
    }
    bytes.truncate(bytes.len() - padding);
    Some(bytes)
}

/// How many bytes a text stands for, without decoding it.
pub(crate) fn decoded_len(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

fn value_of(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_those_of_rfc_4648_section_10() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Zg=", "Z===", "Zg==Zg==", "!!!!"] {
            assert_eq!(decode(bad), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert_eq!(decoded_len(&text), bytes.len());
            prop_assert_eq!(decode(&text), Some(bytes));
        }
    }
}
