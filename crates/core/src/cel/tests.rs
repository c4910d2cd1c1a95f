use augur_notation::Quantity;

use super::*;
use crate::object::{DeviceAttribute, DeviceCapacity};

const DRIVER: &str = "gpu.example.com";

fn device() -> Device {
    let attribute = |name: &str, value| DeviceAttribute { name: name.into(), value };
    let capacity = |name: &str, value: &str| DeviceCapacity {
        name: name.into(),
        value: Quantity::parse(value).unwrap_or(Quantity::ZERO),
        policy: None,
    };
    Device {
        name: "gpu-0".into(),
        attributes: vec![
            attribute("model", AttributeValue::Text("large".into())),
            attribute("index", AttributeValue::Int(3)),
            attribute("ecc", AttributeValue::Bool(true)),
            attribute("driverVersion", AttributeValue::Version("1.12.3".into())),
            attribute("vendor.example.com/family", AttributeValue::Text("Ampère".into())),
        ],
        capacity: vec![capacity("memory", "40Gi"), capacity("vendor.example.com/slots", "7")],
        ..Device::default()
    }
}

fn ask(expression: &str) -> Result<bool, String> {
    Program::parse(expression)?.matches(DRIVER, &device())
}

#[test]
fn selectors_as_people_write_them() {
    for yes in [
        r#"device.driver == "gpu.example.com""#,
        r#"device.driver == 'gpu.example.com' && device.attributes["gpu.example.com"].model == "large""#,
        r#"device.capacity["gpu.example.com"].memory.compareTo(quantity("32Gi")) >= 0"#,
        r#"device.capacity["gpu.example.com"].memory.isGreaterThan(quantity("39Gi"))"#,
        r#"device.capacity["gpu.example.com"].memory.sub(quantity("40Gi")).sign() == 0"#,
        r#"device.attributes["gpu.example.com"].driverVersion.isGreaterThan(semver("1.2.0"))"#,
        r#"device.attributes["gpu.example.com"].driverVersion.major() == 1"#,
        r#"device.attributes["gpu.example.com"].ecc"#,
        r#"device.attributes["gpu.example.com"]["index"] in [1, 2, 3]"#,
        r#"has(device.attributes["gpu.example.com"].model) && !has(device.attributes["gpu.example.com"].nothing)"#,
        r#"!("family" in device.attributes["gpu.example.com"]) && "family" in device.attributes["vendor.example.com"]"#,
        r#"cel.bind(dra, device.attributes["gpu.example.com"], dra.ecc && dra.index % 2 == 1)"#,
        r#"["small", "large"].exists(m, m == device.attributes["gpu.example.com"].model)"#,
        r#"device.attributes["gpu.example.com"].all(name, name.size() > 2)"#,
        r#"device.attributes["other"].?model.orValue("large") == "large""#,
        r#"device.attributes["gpu.example.com"].?model.optMap(m, m.upperAscii()).orValue("") == "LARGE""#,
        r#"device.attributes["vendor.example.com"].family.lowerAscii().startsWith("amp")"#,
        r#"device.attributes["vendor.example.com"].family.charAt(3) == "è" "#,
        r#""a,b".split(",").map(x, x + x).join("-") == "aa-bb""#,
        r#"sets.contains([1, 2.0, 3u], [2]) && 2 == 2.0 && 1u < 2"#,
        r#"device.allowMultipleAllocations ? false : !false"#,
        r#"type(device.attributes["gpu.example.com"].index) == int && dyn(1) != "1""#,
        "true // the rest is a comment",
        r#"-2 * -3 == 6 && 7 / 2 == 3 && -7 % 3 == -1 && 0x10 == 16 && -9223372036854775808 < 0"#,
        r#"[1, 2, 3].filter(x, x > 1).map(x, x > 2, x * 10) == [30] && {"a": 1}["a"] == 1"#,
        r#"semver("v1.2", true).compareTo(semver("1.2.0")) == 0 && isQuantity("1Ki") && !isSemver("1")"#,
    ] {
        assert_eq!(ask(yes), Ok(true), "{yes}");
    }
}

#[test]
fn either_side_may_settle_it_and_errors_count_only_if_none_does() {
    let broken = r#"device.attributes["gpu.example.com"].nothing == 1"#;
    assert_eq!(ask(broken), Err("no such key: nothing".to_owned()));
    assert_eq!(ask(&format!("{broken} || true")), Ok(true));
    assert_eq!(ask(&format!("false && {broken}")), Ok(false));
    assert!(ask(&format!("{broken} && true")).is_err());
    assert_eq!(ask("[1, 0].exists(x, 1 / x == 1)"), Ok(true));
    assert_eq!(ask("[0].exists(x, 1 / x == 1)"), Err("division by zero".to_owned()));
    assert_eq!(ask(r#"device.attributes["unknown.domain"].x == 1"#), Err("no such key: x".to_owned()));
}

#[test]
fn what_cannot_be_run_says_so() {
    for (expression, why) in [
        ("1", "CEL result of type int could not be converted to bool"),
        (r#"1 < "1""#, "no such overload"),
        ("nobody", "undeclared reference to 'nobody'"),
        ("device.foo == 1", "undefined field 'foo'"),
        ("[1][2] == 1", "index out of bounds: 2"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        (r#""a".matches("b")"#, "function matches() is not implemented for these arguments"),
        ("optional.none().value()", "optional.none() dereference"),
    ] {
        assert_eq!(ask(expression), Err(why.to_owned()), "{expression}");
    }
}

#[test]
fn what_is_no_expression_says_where() {
    for broken in ["", "1 +", "(1", "[1", "'a", "a b", "1 ==", "has(a)", "x.all(1, true)", "\"\\q\"", "for", "a.1", "$"]
    {
        assert!(Program::parse(broken).is_err(), "{broken}");
    }
    assert!(Program::parse(&"(".repeat(5000)).is_err(), "nesting is bounded");
    assert!(Program::parse(&"-".repeat(5000)).is_err());
}

#[test]
fn work_is_bounded() {
    let many = (0..40).map(|n| n.to_string()).collect::<Vec<String>>().join(",");
    let expression = format!("[{many}].all(a, [{many}].all(b, [{many}].all(c, [{many}].all(d, a + b + c + d >= 0))))");
    assert_eq!(ask(&expression), Err("operation cancelled: actual cost limit exceeded".to_owned()));
}

#[test]
fn an_attribute_of_an_unknown_kind_fails_every_selector() {
    let mut device = device();
    device.attributes[0].value = AttributeValue::Unsupported;
    let program = Program::parse("true");
    assert!(program.is_ok_and(|program| program.matches(DRIVER, &device).is_err()));
}
