//! Upstream's tables of canonical forms, and the properties.
//!
//! Book: `book/src/ground/objects.md`.

use super::*;
use proptest::prelude::*;

fn text(of: &str) -> String {
    Quantity::parse(of).unwrap().to_string()
}

#[test]
fn canonical_forms_are_upstreams() {
    let cases = [
        ("0", "0"),
        ("0n", "0"),
        ("1", "1"),
        ("1.5", "1500m"),
        ("0.5", "500m"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1k", "1k"),
        ("1000k", "1M"),
        ("12e6", "12e6"),
        ("12E6", "12e6"),
        ("1e3", "1e3"),
        ("1000e0", "1e3"),
        ("1E", "1E"),
        ("1Ki", "1Ki"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.3Mi", "314572800m"),
        ("-1.5", "-1500m"),
        ("0.0000000001", "1n"),
        ("-1n", "-1n"),
        ("100Ei", "9223372036854775807"),
        ("1e-3", "1e-3"),
        ("10000000000", "10G"),
        ("0.001Ki", "1024m"),
        ("5", "5"),
        (".5", "500m"),
        ("1e30", "1e30"),
        ("1e-10", "1e-9"),
    ];
    for (input, expected) in cases {
        assert_eq!(text(input), expected, "{input}");
    }
}

#[test]
fn what_upstream_refuses_is_refused_in_its_words() {
    for bad in ["", "1.1.M", "1+1.0M", "0.1am", "aoeu", " 1", "1 "] {
        assert_eq!(Quantity::parse(bad), Err(Error::Format), "{bad}");
    }
    for bad in ["0.1mi", ".5i", "1i", "-3.01i", "-3.01e-", "1e", "1KiKi"] {
        assert_eq!(Quantity::parse(bad), Err(Error::Suffix), "{bad}");
    }
    assert_eq!(
        Error::Suffix.to_string(),
        "unable to parse quantity's suffix"
    );
}

#[test]
fn stored_texts_keep_what_upstream_keeps() {
    for (input, stored) in [
        ("1.005", "1.005"),
        ("1000m", "1"),
        ("1024Ki", "1Mi"),
        ("+5", "+5"),
        ("0.5", "500m"),
    ] {
        assert_eq!(Quantity::canonical(input).unwrap(), stored);
    }
}

#[test]
fn values_round_away_from_zero() {
    let of = |text: &str| Quantity::parse(text).unwrap();
    assert_eq!(of("1m").value(), 1);
    assert_eq!(of("-1m").value(), -1);
    assert_eq!(of("1500m").value(), 2);
    assert_eq!(of("1n").milli_value(), 1);
    assert_eq!(of("2").milli_value(), 2000);
    assert_eq!(of("1e30").value(), i64::MAX);
    assert_eq!(of("500m").as_f64(), 0.5);
    assert_eq!((of("1Gi") + of("1")).to_string(), "1073741825");
    assert_eq!((Quantity::ZERO + of("1Gi")).to_string(), "1Gi");
    assert_eq!((of("1Gi") - of("1Gi")).to_string(), "0");
    assert!(of("1Gi") > of("1G") && of("-2") < of("-1500m") && of("1e3") == of("1k"));
}

proptest! {
    #[test]
    fn any_text_is_an_answer_or_an_error(text in "[-+0-9.eEinumkKMGTP ]{0,12}|\\PC{0,40}") {
        let _ = Quantity::canonical(&text);
        if let Ok(quantity) = Quantity::parse(&text) {
            let _ = (quantity.value(), quantity.milli_value());
            let _ = (quantity + quantity, quantity - quantity);
        }
    }

    #[test]
    fn canonical_text_parses_to_the_same_number(
        number in "-?[0-9]{1,9}(\\.[0-9]{0,9})?",
        suffix in "(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|e[0-9]|e-[0-9])",
    ) {
        let quantity = Quantity::parse(&format!("{number}{suffix}")).unwrap();
        let again = Quantity::parse(&quantity.to_string()).unwrap();
        prop_assert_eq!(again, quantity);
        prop_assert_eq!(again.to_string(), quantity.to_string());
        let text = format!("{number}{suffix}");
        let stored = Quantity::canonical(&text).unwrap();
        prop_assert_eq!(Quantity::parse(&stored).unwrap(), quantity);
    }

    #[test]
    fn order_and_sums_are_exact(
        a in -1_000_000_000_000_i64..1_000_000_000_000,
        b in -1_000_000_000_000_i64..1_000_000_000_000,
    ) {
        let (x, y) = (Quantity::from_milli(a), Quantity::from_milli(b));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!((x + y).milli_value(), a + b);
        prop_assert_eq!((x - y).milli_value(), a - b);
    }
}
