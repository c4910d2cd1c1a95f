//! Amounts as sixteen-bit codes on a logarithmic scale: half a per cent of precision, which is more than readings have, and
//! numbers so small that compression leaves little of them.

/// No reading.
pub(crate) const MISSING: u16 = 0;
/// Less than can be told from nothing.
const NOTHING: u16 = 1;
/// From one code to the next.
const RATIO: f64 = 1.01;
/// The least CPU that is told from none, in cores.
const CPU_LEAST: f64 = 1e-4;
/// The least memory that is told from none, in bytes.
const MEMORY_LEAST: f64 = 1024.0;

fn code(value: f64, least: f64) -> u16 {
    if !value.is_finite() || value < 0.0 {
        return MISSING;
    }
    if value < least {
        return NOTHING;
    }
    let steps = (value / least).ln() / RATIO.ln();
    // 65,533 steps of one per cent are more than any number has.
    (steps.round() as u16).saturating_add(NOTHING + 1)
}

fn value(code: u16, least: f64) -> Option<f64> {
    match code {
        MISSING => None,
        NOTHING => Some(0.0),
        code => Some(least * RATIO.powi(i32::from(code - NOTHING - 1))),
    }
}

/// The code of an amount of CPU in cores; what is no amount is [`MISSING`].
pub(crate) fn of_cpu(cores: f64) -> u16 {
    code(cores, CPU_LEAST)
}

/// The code of an amount of memory in bytes.
pub(crate) fn of_memory(bytes: f64) -> u16 {
    code(bytes, MEMORY_LEAST)
}

/// Cores; `None` for no reading.
pub(crate) fn cpu(code: u16) -> Option<f64> {
    value(code, CPU_LEAST)
}

/// Bytes; `None` for no reading.
pub(crate) fn memory(code: u16) -> Option<f64> {
    value(code, MEMORY_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_come_back_within_half_a_per_cent() {
        for cores in [0.0001, 0.25, 3.7, 128.0, 99_000.0] {
            let back = cpu(of_cpu(cores)).unwrap();
            assert!((back / cores - 1.0).abs() <= 0.0051, "{cores} {back}");
        }
        for bytes in [1024.0, 3e6, 7e9, 1e15] {
            let back = memory(of_memory(bytes)).unwrap();
            assert!((back / bytes - 1.0).abs() <= 0.0051, "{bytes} {back}");
        }
        assert_eq!((cpu(of_cpu(0.0)), cpu(of_cpu(f64::NAN)), cpu(of_cpu(-1.0))), (Some(0.0), None, None));
    }
}
