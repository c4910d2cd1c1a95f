//! The JSON of the nodes of a prediction, written by hand.
//!
//! At 5,000 nodes it is two megabytes of mostly numbers. They are rounded to four digits, so that they can be written as
//! whole numbers with a point, several times faster than by the general way. Entry point: [`nodes`].

use super::prediction::NodePrediction;
use super::round;

/// Appends the list of `nodes`.
pub(super) fn nodes(out: &mut Vec<u8>, nodes: &[NodePrediction]) -> Result<(), serde_json::Error> {
    out.push(b'[');
    for (index, node) in nodes.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"node_name\":" } else { b"{\"node_name\":" });
        write(out, node)?;
    }
    out.push(b']');
    Ok(())
}

fn write(out: &mut Vec<u8>, node: &NodePrediction) -> Result<(), serde_json::Error> {
    text(out, &node.node_name)?;
    let feasible: &[u8] = if node.feasible { b",\"feasible\":true" } else { b",\"feasible\":false" };
    out.extend_from_slice(feasible);
    out.extend_from_slice(b",\"reasons\":[");
    for (index, reason) in node.reasons.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, reason)?;
    }
    out.push(b']');
    field(out, b",\"resource_score\":", node.resource_score)?;
    field(out, b",\"readiness_score\":", node.readiness_score)?;
    field(out, b",\"stability_score\":", node.stability_score)?;
    if let Some(reason) = node.stability_score_reason {
        out.extend_from_slice(b",\"stability_score_reason\":");
        text(out, reason)?;
    }
    field(out, b",\"ml_confidence\":", node.ml_confidence)?;
    out.extend_from_slice(b",\"ml_prediction\":");
    match node.ml_prediction {
        Some(class) => whole(out, class.into()),
        None => out.extend_from_slice(b"null"),
    }
    match node.ml_probabilities {
        Some([bad, good]) => {
            field(out, b",\"ml_probabilities\":[", Some(bad))?;
            field(out, b",", Some(good))?;
            out.push(b']');
        }
        None => out.extend_from_slice(b",\"ml_probabilities\":null"),
    }
    field(out, b",\"p_bad\":", node.p_bad)?;
    field(out, b",\"total_score\":", node.total_score)?;
    out.extend_from_slice(b",\"contributions\":{");
    for (index, (plugin, points)) in node.contributions.0.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, plugin)?;
        field(out, b":", Some(*points))?;
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

fn field(out: &mut Vec<u8>, name: &[u8], value: Option<f64>) -> Result<(), serde_json::Error> {
    out.extend_from_slice(name);
    match value {
        Some(value) => number(out, value),
        None => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

/// A number rounded to four digits after the point, at least one of which is written.
fn number(out: &mut Vec<u8>, value: f64) -> Result<(), serde_json::Error> {
    let scaled = (value * 10_000.0).round();
    // Up to here a double holds every such number, and its shortest form is the one written below.
    if !scaled.is_finite() || scaled.abs() >= 1e15 {
        return serde_json::to_writer(out, &round(value));
    }
    if scaled < 0.0 {
        out.push(b'-');
    }
    let scaled = scaled.abs() as u64;
    whole(out, scaled / 10_000);
    out.push(b'.');
    let mut fraction = scaled % 10_000;
    let mut unit = 1_000;
    loop {
        out.push(b'0' + (fraction / unit) as u8);
        fraction %= unit;
        unit /= 10;
        if fraction == 0 {
            return Ok(());
        }
    }
}

fn whole(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    // The last digit first, into the end of the buffer, which holds every u64.
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

fn text(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Contributions;
    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        number(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_those_of_the_general_way() {
        let mut value = 1e-5f64;
        while value < 1e20 {
            for value in [value, -value, value / 3.0, value.floor(), value + 0.5, value + 0.00005] {
                assert_eq!(written(value), serde_json::to_string(&(round(value) + 0.0)).unwrap(), "{value}");
            }
            value *= 7.3;
        }
        assert_eq!((written(0.0), written(100.0), written(f64::NAN)), ("0.0".into(), "100.0".into(), "null".into()));
    }

    #[test]
    fn nodes_are_those_of_the_general_way() {
        let plain = NodePrediction {
            node_name: "n1".into(),
            feasible: false,
            reasons: vec!["Insufficient cpu".into(), "a \"quoted\" \\ reason\n".into()],
            unresolvable: true,
            resource_score: None,
            readiness_score: None,
            stability_score: None,
            stability_score_reason: Some("nothing seen"),
            ml_confidence: None,
            ml_prediction: None,
            ml_probabilities: None,
            p_bad: None,
            total_score: None,
            contributions: Contributions::default(),
        };
        let full = NodePrediction {
            feasible: true,
            reasons: Vec::new(),
            resource_score: Some(61.25),
            readiness_score: Some(100.0),
            stability_score: Some(0.987_654_321),
            stability_score_reason: None,
            ml_confidence: Some(0.5),
            ml_prediction: Some(1),
            ml_probabilities: Some([0.25, 0.75]),
            p_bad: Some(0.25),
            total_score: Some(312.123_456),
            contributions: Contributions(vec![("NodeResourcesFit".into(), 87.0), ("Model".into(), -3.333_333)]),
            ..plain.clone()
        };
        let both = [plain, full];
        let mut out = Vec::new();
        nodes(&mut out, &both).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&both).unwrap());
    }
}
