use proptest::prelude::*;

use super::*;

#[track_caller]
fn canonical(text: &str) -> String {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn the_canonical_form_keeps_the_family() {
    for (text, expected) in [
        ("0", "0"),
        ("0m", "0"),
        ("-0", "0"),
        ("0Ki", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("-1", "-1"),
        ("007", "7"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1.G", "1G"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1000k", "1M"),
        ("1.5G", "1500M"),
        ("100k", "100k"),
        ("10E", "10E"),
        ("1000E", "1e21"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("1.0000000001", "1000000001n"),
        ("1u", "1u"),
        ("-0.1n", "-1n"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1000Ki", "1000Ki"),
        ("0.5Ki", "512"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("512.5Ki", "524800"),
        ("1.5Ei", "1536Pi"),
        ("0.0001Ki", "102400u"),
        ("1023.5Ki", "1048064"),
        ("0.3Ki", "307200m"),
        ("1.1Mi", "1153433600m"),
        ("8Ei", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("-100Ei", "-9223372036854775807"),
        ("99999999999999999999999999999999999999999999Ki", "9223372036854775807"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e6", "12e6"),
        ("120e5", "12e6"),
        ("5e0", "5"),
        ("1e-3", "1e-3"),
        ("1e-20", "1e-9"),
        ("1e100", "10e99"),
        ("1.5e3", "1500"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("k", "0"),
        ("Ki", "0"),
        ("+", "0"),
        (".", "0"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn illegal_notations_are_refused() {
    for (text, error) in [
        ("", QuantityError::Format),
        (" 1", QuantityError::Format),
        ("1 ", QuantityError::Format),
        ("1 Gi", QuantityError::Format),
        ("abc", QuantityError::Format),
        ("1.1.M", QuantityError::Format),
        ("1..1", QuantityError::Format),
        ("1+1.0M", QuantityError::Format),
        ("0.1am", QuantityError::Format),
        ("aoeu", QuantityError::Format),
        ("1,5", QuantityError::Format),
        ("--1", QuantityError::Suffix),
        ("1Gb", QuantityError::Format),
        ("0x10", QuantityError::Format),
        ("½", QuantityError::Format),
        ("1e3.5", QuantityError::Format),
        ("0.1mi", QuantityError::Suffix),
        ("1i", QuantityError::Suffix),
        (".5i", QuantityError::Suffix),
        ("-3.01i", QuantityError::Suffix),
        ("-3.01e-", QuantityError::Suffix),
        ("1ki", QuantityError::Suffix),
        ("1K", QuantityError::Suffix),
        ("1e", QuantityError::Suffix),
        ("1mm", QuantityError::Suffix),
        ("1-2", QuantityError::Suffix),
        ("1e99999999999", QuantityError::Suffix),
        (".e-20", QuantityError::Number),
    ] {
        assert_eq!(Quantity::parse(text).map(|q| q.to_string()), Err(error), "{text}");
    }
}

#[test]
fn the_api_keeps_what_is_near_to_canonical() {
    for (text, stored, in_resources) in [
        ("0", "0", "0"),
        ("1", "1", "1"),
        ("1000m", "1", "1"),
        ("1.500", "1.500", "1.500"),
        ("1.5", "1500m", "1500m"),
        ("+5", "+5", "+5"),
        ("1Ki", "1Ki", "1Ki"),
        ("8Ki", "8Ki", "8Ki"),
        ("1025Ki", "1025Ki", "1025Ki"),
        ("2048Ki", "2Mi", "2Mi"),
        ("1.5Gi", "1536Mi", "1536Mi"),
        ("100u", "100u", "1m"),
        ("1n", "1n", "1m"),
        ("1e3", "1e3", "1e3"),
        ("1E3", "1E3", "1E3"),
        ("0.5", "500m", "500m"),
    ] {
        assert_eq!(Quantity::as_stored(text).as_deref(), Ok(stored), "{text}");
        assert_eq!(Quantity::as_stored_resource(text).as_deref(), Ok(in_resources), "{text} as a resource");
    }
}

#[test]
fn conversions_round_away_from_zero_and_saturate() {
    for (text, value, milli) in [
        ("0", 0, 0),
        ("1n", 1, 1),
        ("-1n", -1, -1),
        ("100m", 1, 100),
        ("1001m", 2, 1001),
        ("1.0001", 2, 1001),
        ("-1.5", -2, -1500),
        ("4Gi", 4 << 30, (4 << 30) * 1000),
        ("1E", 1_000_000_000_000_000_000, i64::MAX),
        ("10E", i64::MAX, i64::MAX),
        ("-10E", i64::MIN, i64::MIN),
        ("1e400", i64::MAX, i64::MAX),
    ] {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!((quantity.value(), quantity.milli()), (value, milli), "{text}");
    }
    assert_eq!(Quantity::parse("250m").unwrap().nano(), 250_000_000);
}

#[test]
fn sums_take_the_family_of_the_first() {
    let sum = |a: &str, b: &str| Quantity::parse(a).unwrap().plus(Quantity::parse(b).unwrap()).to_string();
    assert_eq!(sum("1Gi", "512Mi"), "1536Mi");
    assert_eq!(sum("0", "512Mi"), "512Mi");
    assert_eq!(sum("100m", "900m"), "1");
    assert_eq!(sum("1e100", "1n"), "10e99");
    assert_eq!(sum("1", "-1"), "0");
}

#[test]
fn order_is_that_of_the_amounts() {
    let mut texts = ["1e100", "-1e100", "1Ki", "1k", "0", "1n", "-1n", "1024001m", "2"];
    texts.sort_by_key(|text| Quantity::parse(text).unwrap());
    assert_eq!(texts, ["-1e100", "-1n", "0", "1n", "2", "1k", "1Ki", "1024001m", "1e100"]);
    assert_eq!(Quantity::parse("1Ki"), Quantity::parse("1024"));
    assert_eq!(Quantity::of_milli(1500).to_string(), "1500m");
    assert_eq!(Quantity::of(1 << 20, Format::BinarySi).to_string(), "1Mi");
}

fn notation() -> impl Strategy<Value = String> {
    let number = prop_oneof!["[0-9]{1,12}", "[0-9]{0,6}\\.[0-9]{1,12}"];
    let suffix = prop_oneof![Just(String::new()), "[numkMGTPE]", "[KMGTPE]i", "[eE]-?[0-9]{1,2}",];
    ("[+-]?", number, suffix).prop_map(|(sign, number, suffix)| format!("{sign}{number}{suffix}"))
}

proptest! {
    #[test]
    fn the_canonical_form_means_the_same_and_is_stable(text in notation()) {
        let quantity = Quantity::parse(&text).expect("legal");
        let printed = quantity.to_string();
        let again = Quantity::parse(&printed).expect("what is printed is legal");
        prop_assert_eq!(again, quantity);
        prop_assert_eq!(again.to_string(), printed);
        prop_assert_eq!(Quantity::parse(&Quantity::as_stored(&text).expect("legal")), Ok(quantity));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,20}|[0-9.+eEinumkKMGTP-]{0,60}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let _ = (quantity.value(), quantity.milli(), quantity.nano(), quantity.to_string());
        }
    }

    #[test]
    fn sums_and_order_agree_with_whole_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, s in 0usize..3) {
        let suffix = ["", "m", "Ki"][s];
        let (x, y) = (Quantity::parse(&format!("{a}{suffix}")).expect("legal"), Quantity::parse(&format!("{b}{suffix}")).expect("legal"));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(x.plus(y), Quantity::parse(&format!("{}{suffix}", a + b)).expect("legal"));
    }
}
