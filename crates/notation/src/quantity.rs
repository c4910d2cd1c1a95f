//! Amounts such as `500m`, `1.5Gi` or `2e3`, as Kubernetes' `resource.Quantity` reads and prints them.
//!
//! [`Quantity::parse`] reads every legal notation exactly, down to the nano that is the smallest part Kubernetes
//! knows. `Display` prints the canonical form; [`Quantity::as_stored`] is what the API gives back for a text.

use std::cmp::Ordering;
use std::fmt;

/// The family of suffixes an amount is printed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `n u m k M G T P E`.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// `e3`, `E-6`.
    DecimalExponent,
}

/// Why a text is no quantity, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// A sign or a point without digits.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// A suffix that does not exist.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The smallest power of ten that is kept.
const NANO: i32 = -9;
/// The largest amount in the binary family; more is cut to it.
const BINARY_MAX: i128 = i64::MAX as i128;

/// An exact amount with the family it was written in.
///
/// Up to 38 significant digits are kept, far more than resources have; digits beyond are rounded away from zero, as
/// parts below a nano are. Equality and order are those of the amount; the family does not count.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// Without factors of ten unless `scale` could not grow further; zero has scale zero.
    mantissa: i128,
    /// The power of ten.
    scale: i32,
    format: Format,
}

impl Quantity {
    /// Nothing, in the decimal family.
    pub const ZERO: Quantity = Quantity { mantissa: 0, scale: 0, format: Format::DecimalSi };

    /// A whole number in the given family.
    #[must_use]
    pub fn of(value: i64, format: Format) -> Quantity {
        Quantity::normal(i128::from(value), 0, format)
    }

    /// A number of thousandths in the decimal family.
    #[must_use]
    pub fn of_milli(milli: i64) -> Quantity {
        Quantity::normal(i128::from(milli), -3, Format::DecimalSi)
    }

    /// A number of billionths in the decimal family, as usage of CPU is told.
    #[must_use]
    pub fn of_nano(nano: i64) -> Quantity {
        Quantity::normal(i128::from(nano), NANO, Format::DecimalSi)
    }

    /// Reads an amount.
    ///
    /// # Errors
    /// Text that is no quantity.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        Parts::split(text)?.read()
    }

    /// The text that the API keeps for a quantity that was given as `text`: the text itself where it is canonical or
    /// near to it, the canonical form otherwise. (Resource lists are rounded up to thousandths before; see
    /// [`Quantity::round_up`].)
    ///
    /// # Errors
    /// Text that is no quantity.
    pub fn as_stored(text: &str) -> Result<String, QuantityError> {
        let parts = Parts::split(text)?;
        let quantity = parts.read()?;
        Ok(if text == "0" || parts.is_kept() { text.to_owned() } else { quantity.to_string() })
    }

    /// The text that the API keeps in a resource list (requests, limits, allocatable, capacity) for `text`.
    ///
    /// # Errors
    /// Text that is no quantity.
    pub fn as_stored_resource(text: &str) -> Result<String, QuantityError> {
        let parts = Parts::split(text)?;
        let quantity = parts.read()?;
        Ok(if text == "0" || (parts.is_kept() && quantity.scale >= -3) {
            text.to_owned()
        } else {
            quantity.round_up(-3).to_string()
        })
    }

    /// The amount rounded away from zero to a multiple of the given power of ten.
    #[must_use]
    pub fn round_up(self, scale: i32) -> Quantity {
        if self.scale >= scale {
            return self;
        }
        let mantissa = shrink(self.mantissa, scale.abs_diff(self.scale));
        Quantity::normal(mantissa, scale, self.format)
    }

    /// The family.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }

    /// Whole units, rounded away from zero, at most what an `i64` holds.
    #[must_use]
    pub fn value(self) -> i64 {
        self.scaled(0)
    }

    /// Thousandths, rounded away from zero, at most what an `i64` holds.
    #[must_use]
    pub fn milli(self) -> i64 {
        self.scaled(-3)
    }

    /// Billionths, at most what an `i64` holds.
    #[must_use]
    pub fn nano(self) -> i64 {
        self.scaled(NANO)
    }

    /// The nearest floating-point number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.mantissa as f64 * 10f64.powi(self.scale)
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// The sum, in the family of the first that is not zero.
    #[must_use]
    pub fn plus(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        if self.is_zero() || other.is_zero() {
            let nonzero = if self.is_zero() { other } else { self };
            return Quantity { format, ..nonzero };
        }
        let (larger, smaller) = if self.scale >= other.scale { (self, other) } else { (other, self) };
        let apart = larger.scale.abs_diff(smaller.scale);
        match grow(larger.mantissa, apart).and_then(|grown| grown.checked_add(smaller.mantissa)) {
            Some(sum) => Quantity::normal(sum, smaller.scale, format),
            // So far apart that the smaller is below the last digit of the larger.
            None => Quantity { format, ..larger },
        }
    }

    /// The amount with the opposite sign.
    #[must_use]
    pub fn negated(self) -> Quantity {
        Quantity { mantissa: self.mantissa.saturating_neg(), ..self }
    }

    fn normal(mut mantissa: i128, mut scale: i32, format: Format) -> Quantity {
        if mantissa == 0 {
            return Quantity { mantissa: 0, scale: 0, format };
        }
        while mantissa % 10 == 0 && scale < i32::MAX {
            mantissa /= 10;
            scale += 1;
        }
        Quantity { mantissa, scale, format }
    }

    fn scaled(self, scale: i32) -> i64 {
        let scaled = if self.scale >= scale {
            grow(self.mantissa, self.scale.abs_diff(scale))
        } else {
            Some(shrink(self.mantissa, scale.abs_diff(self.scale)))
        };
        let limit = if self.is_negative() { i64::MIN } else { i64::MAX };
        scaled.and_then(|scaled| i64::try_from(scaled).ok()).unwrap_or(limit)
    }

    /// The whole number that the amount is, if it is one and fits.
    fn whole(self) -> Option<i128> {
        if self.scale >= 0 { grow(self.mantissa, self.scale.unsigned_abs()) } else { None }
    }
}

/// Multiplied by a power of ten; nothing if that does not fit.
fn grow(mantissa: i128, tens: u32) -> Option<i128> {
    if mantissa == 0 { Some(0) } else { 10i128.checked_pow(tens)?.checked_mul(mantissa) }
}

/// Divided by a power of ten, rounded away from zero.
fn shrink(mantissa: i128, tens: u32) -> i128 {
    match 10i128.checked_pow(tens) {
        Some(power) => mantissa / power + if mantissa % power == 0 { 0 } else { mantissa.signum() },
        None => mantissa.signum(),
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs != Ordering::Equal {
            return signs;
        }
        let (larger, smaller) = if self.scale >= other.scale { (self, other) } else { (other, self) };
        let by_size = match grow(larger.mantissa, larger.scale.abs_diff(smaller.scale)) {
            Some(grown) => grown.cmp(&smaller.mantissa),
            // Too large to be written out in units of the smaller: further from zero.
            None => larger.mantissa.signum().cmp(&0),
        };
        if self.scale >= other.scale { by_size } else { by_size.reverse() }
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some(mut whole) = self.whole()
            && whole.unsigned_abs() >= 1024
        {
            let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
            let mut suffix = suffixes.next().unwrap_or_default();
            while whole % 1024 == 0
                && let Some(next) = suffixes.next()
            {
                whole /= 1024;
                suffix = next;
            }
            return write!(f, "{whole}{suffix}");
        }
        // A multiple of three, rounded down: the number gets up to two zeros.
        let exponent = self.scale - self.scale.rem_euclid(3);
        write!(f, "{}", self.mantissa)?;
        f.write_str(match self.scale - exponent {
            1 => "0",
            2 => "00",
            _ => "",
        })?;
        let suffix = match exponent {
            _ if self.format == Format::DecimalExponent => None,
            -9 => Some("n"),
            -6 => Some("u"),
            -3 => Some("m"),
            3 => Some("k"),
            6 => Some("M"),
            9 => Some("G"),
            12 => Some("T"),
            15 => Some("P"),
            18 => Some("E"),
            _ => None,
        };
        match suffix {
            _ if exponent == 0 => Ok(()),
            Some(suffix) => f.write_str(suffix),
            None => write!(f, "e{exponent}"),
        }
    }
}

/// A text taken apart.
struct Parts<'a> {
    negative: bool,
    /// Digits in front of the point, without leading zeros.
    whole: &'a str,
    /// Digits behind the point.
    fraction: &'a str,
    /// Whether there was any digit at all; without one only some notations are legal.
    has_number: bool,
    suffix: &'a str,
}

/// A suffix: a power of the base.
enum Suffix {
    Ten(i32, Format),
    Two(u32),
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Parts<'a>, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let stripped = unsigned.trim_start_matches('0');
        if stripped.is_empty() {
            return Ok(Parts { negative, whole: "", fraction: "", has_number: true, suffix: "" });
        }
        let (whole, rest) = digits(stripped);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        let has_number = unsigned.starts_with(|c: char| c.is_ascii_digit()) || !fraction.is_empty();
        let letters = rest.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
        let (_, beyond) = digits(letters.strip_prefix(['-', '+']).unwrap_or(letters));
        if !beyond.is_empty() {
            return Err(QuantityError::Format);
        }
        Ok(Parts { negative, whole, fraction, has_number, suffix: rest })
    }

    fn suffix(&self) -> Result<Suffix, QuantityError> {
        let si = |power| Ok(Suffix::Ten(power, Format::DecimalSi));
        match self.suffix {
            "n" => si(-9),
            "u" => si(-6),
            "m" => si(-3),
            "" => si(0),
            "k" => si(3),
            "M" => si(6),
            "G" => si(9),
            "T" => si(12),
            "P" => si(15),
            "E" => si(18),
            "Ki" => Ok(Suffix::Two(10)),
            "Mi" => Ok(Suffix::Two(20)),
            "Gi" => Ok(Suffix::Two(30)),
            "Ti" => Ok(Suffix::Two(40)),
            "Pi" => Ok(Suffix::Two(50)),
            "Ei" => Ok(Suffix::Two(60)),
            other => {
                let exponent = other.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
                let exponent = exponent.parse().map_err(|_| QuantityError::Suffix)?;
                Ok(Suffix::Ten(exponent, Format::DecimalExponent))
            }
        }
    }

    fn read(&self) -> Result<Quantity, QuantityError> {
        let suffix = self.suffix()?;
        let (mantissa, scale) = self.number();
        let quantity = match suffix {
            Suffix::Ten(power, format) => {
                let scale = scale.saturating_add(power);
                Quantity::normal(mantissa, scale, format).round_up(NANO)
            }
            Suffix::Two(power) => binary(mantissa, scale, power),
        };
        let numberless = !self.has_number && self.takes_slow_path();
        if numberless {
            return Err(QuantityError::Number);
        }
        Ok(if self.negative { quantity.negated() } else { quantity })
    }

    /// The digits as a number and a power of ten, rounded up when they are too many.
    fn number(&self) -> (i128, i32) {
        let mut mantissa: i128 = 0;
        let mut scale = 0;
        let mut full = false;
        let mut rest = false;
        let digits = self.whole.bytes().map(|digit| (digit, 1)).chain(self.fraction.bytes().map(|digit| (digit, 0)));
        for (digit, of_whole) in digits {
            let digit = i128::from(digit - b'0');
            if !full {
                match mantissa.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
                    Some(longer) => {
                        mantissa = longer;
                        scale -= 1 - of_whole;
                        continue;
                    }
                    None => full = true,
                }
            }
            rest |= digit != 0;
            scale += of_whole;
        }
        (mantissa + i128::from(rest), scale)
    }

    /// Whether kube-apiserver would leave its quick way with 64-bit numbers. Only there it minds an absent number, and
    /// only on the quick way it keeps the text.
    fn takes_slow_path(&self) -> bool {
        let count = self.whole.len().max(1) + self.fraction.len();
        match self.suffix() {
            Ok(Suffix::Ten(power, _)) => {
                count > 18 || i64::from(power) - (self.fraction.len() as i64) < i64::from(NANO)
            }
            Ok(Suffix::Two(power)) => !self.fraction.is_empty() || count + power as usize * 3 / 10 + 1 > 15,
            Err(_) => true,
        }
    }

    /// Whether the API gives the text back as it is.
    fn is_kept(&self) -> bool {
        if self.takes_slow_path() {
            return false;
        }
        let (mantissa, _) = self.number();
        match self.suffix() {
            Ok(Suffix::Ten(power, _)) => {
                let scale = i64::from(power) - self.fraction.len() as i64;
                let ends_in_zeros = format!("{}{}", self.whole, self.fraction).ends_with("000");
                scale % 3 == 0 && !ends_in_zeros && !self.whole.is_empty()
            }
            Ok(Suffix::Two(_)) => mantissa & 7 != 0,
            Err(_) => false,
        }
    }
}

/// The digits at the front, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// `mantissa · 10^scale · 2^power` for a scale of at most the digits lost to the left, cut to [`BINARY_MAX`].
fn binary(mantissa: i128, scale: i32, power: u32) -> Quantity {
    let whole_and_rest =
        if scale >= 0 {
            grow(mantissa, scale.unsigned_abs()).map(|whole| (whole, 0, 1))
        } else {
            let unit = 10i128.checked_pow(scale.unsigned_abs());
            // With more digits behind the point than fit, all that counts is that something is there.
            Some(unit.map_or((0, i128::from(mantissa != 0), 10i128.pow(37)), |unit| {
                (mantissa / unit, mantissa % unit, unit)
            }))
        };
    let Some((whole, mut rest, unit)) = whole_and_rest else {
        return Quantity::normal(BINARY_MAX, 0, Format::BinarySi);
    };
    let Some(mut value) = whole.checked_mul(1 << power).filter(|value| *value <= BINARY_MAX) else {
        return Quantity::normal(BINARY_MAX, 0, Format::BinarySi);
    };
    // The fraction doubles `power` times; what passes one is carried over. Halving the unit instead of doubling the
    // rest would lose digits.
    let mut carried: i128 = 0;
    for _ in 0..power {
        carried *= 2;
        match rest.checked_mul(2) {
            Some(twice) if twice < unit => rest = twice,
            _ => {
                rest -= unit - rest;
                carried += 1;
            }
        }
    }
    value += carried;
    // Nine more digits of the fraction, rounded up.
    let mut nanos: i128 = 0;
    for _ in 0..9 {
        let mut digit = 0;
        let mut ten_times = 0;
        for _ in 0..10 {
            if ten_times >= unit - rest {
                ten_times -= unit - rest;
                digit += 1;
            } else {
                ten_times += rest;
            }
        }
        nanos = nanos * 10 + digit;
        rest = ten_times;
    }
    nanos += i128::from(rest != 0);
    let quantity = Quantity::normal(value * 1_000_000_000 + nanos, NANO, Format::BinarySi);
    if quantity > Quantity::normal(BINARY_MAX, 0, Format::BinarySi) {
        return Quantity::normal(BINARY_MAX, 0, Format::BinarySi);
    }
    // Less than one is told in decimal parts.
    let format = if value == 0 && !quantity.is_zero() { Format::DecimalSi } else { Format::BinarySi };
    Quantity { format, ..quantity }
}

#[cfg(test)]
#[path = "quantity_tests.rs"]
mod tests;
