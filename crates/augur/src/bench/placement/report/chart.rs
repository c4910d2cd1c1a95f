//! The plots of the report as inline SVG.

use super::super::Measured;
use super::super::ledger::{CAUSES, Tally};
use super::super::result::{Estimate, METRICS, Metric};
use super::super::world::{HOUR, START};
use super::colour;

const CAUSE_COLOURS: [&str; CAUSES.len()] = ["#0ea5e9", "#a16207", "#f97316", "#dc2626", "#8b5cf6", "#94a3b8"];
const LEFT: f64 = 130.0;

/// A round step that divides a range into about five.
fn step(range: f64) -> f64 {
    let raw = (range / 5.0).max(1e-9);
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw).unwrap_or(10.0);
    factor * power
}

/// A number as short as it can be at the given step.
fn shown(value: f64, step: f64) -> String {
    let digits = (-step.log10()).ceil().clamp(0.0, 4.0) as usize;
    format!("{value:.digits$}")
}

/// Vertical lines with their values below.
fn grid(out: &mut String, high: f64, width: f64, height: f64) {
    let step = step(high);
    let mut value = 0.0;
    while value <= high {
        let x = LEFT + width * value / high;
        *out += &format!(
            "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{height}\"/>\
             <text class=\"soft\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height + 16.0,
            shown(value, step)
        );
        value += step;
    }
}

fn whisker(out: &mut String, estimate: Estimate, y: f64, scale: impl Fn(f64) -> f64) {
    let (low, high) = (scale(estimate.low.max(0.0)), scale(estimate.high));
    *out += &format!(
        "<path d=\"M{low:.1} {y:.1}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8\" stroke=\"var(--ink)\" stroke-width=\"1.5\" fill=\"none\"/>",
        y - 4.0,
        y - 4.0
    );
}

/// Bars by cause, one a policy, with the interval of their sum.
pub fn causes(measured: &Measured) -> String {
    const ROW: f64 = 34.0;
    const WIDTH: f64 = 820.0;
    let sums: Vec<Estimate> =
        (0..measured.policies.len()).map(|at| Estimate::of(&measured.values(at, METRICS[0].of))).collect();
    let high = sums.iter().map(|sum| sum.high).fold(1.0, f64::max) * 1.05;
    let height = ROW * sums.len() as f64;
    let mut out = String::from("<div class=\"legend\">");
    for (cause, colour) in CAUSES.iter().zip(CAUSE_COLOURS) {
        out += &format!("<span><i style=\"background:{colour}\"></i>{cause}</span>");
    }
    out += &format!("</div><svg viewBox=\"0 -4 {} {}\" role=\"img\">", LEFT + WIDTH + 60.0, height + 28.0);
    grid(&mut out, high, WIDTH, height);
    let scale = |value: f64| LEFT + WIDTH * value / high;
    for (at, policy) in measured.policies.iter().enumerate() {
        let y = ROW * at as f64;
        out += &format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            y + ROW / 2.0 + 4.0,
            policy.name()
        );
        let mut from = 0.0;
        for (cause, colour) in CAUSE_COLOURS.iter().enumerate() {
            let value = Estimate::of(&measured.values(at, METRICS[1 + cause].of)).mean;
            out += &format!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"><title>{}: {} {value:.1}</title></rect>",
                scale(from),
                y + 6.0,
                scale(value) - LEFT,
                ROW - 12.0,
                policy.name(),
                CAUSES[cause]
            );
            from += value;
        }
        whisker(&mut out, sums[at], y + ROW / 2.0, scale);
        out += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\">{:.1}</text>",
            scale(sums[at].high) + 8.0,
            y + ROW / 2.0 + 4.0,
            sums[at].mean
        );
    }
    out + "</svg>"
}

/// Bad outcomes by hour of placement.
pub fn over_time(measured: &Measured) -> String {
    const WIDTH: f64 = 980.0;
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 40.0;
    let hours = measured.hours.ceil().max(1.0) as usize;
    let rate = |at: usize, hour: usize| {
        let of = |count: fn(&Tally) -> u64| {
            measured.runs[at].iter().filter_map(|run| run.hourly.get(hour)).map(count).sum::<u64>() as f64
        };
        1_000.0 * of(Tally::all_bad) / of(|tally| tally.placements).max(1.0)
    };
    let series: Vec<Vec<f64>> =
        (0..measured.policies.len()).map(|at| (0..hours).map(|hour| rate(at, hour)).collect()).collect();
    let high = series.iter().flatten().copied().fold(1.0, f64::max) * 1.05;
    let x = |hour: f64| LEFT + WIDTH * hour / hours as f64;
    let y = |value: f64| HEIGHT * (1.0 - value / high);
    let mut out = format!("<svg viewBox=\"0 -8 {} {}\" role=\"img\">", LEFT + WIDTH + 84.0, HEIGHT + 92.0);
    let step = step(high);
    let mut value = 0.0;
    while value <= high {
        out += &format!(
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text class=\"soft\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            y(value),
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            shown(value, step)
        );
        value += step;
    }
    for hour in (0..=hours).step_by((hours / 12).max(1)) {
        out += &format!(
            "<text class=\"soft\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{hour} h</text>",
            x(hour as f64),
            HEIGHT + 18.0
        );
    }
    for (policy, values) in measured.policies.iter().zip(&series) {
        let points: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(hour, value)| format!("{:.1},{:.1}", x(hour as f64 + 0.5), y(*value)))
            .collect();
        out += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\"><title>{}</title></polyline>",
            points.join(" "),
            colour(*policy),
            policy.name()
        );
    }
    out += &moments(measured, x, HEIGHT);
    out + "</svg>"
}

/// What happened to models, a row of marks below the plot for each kind.
fn moments(measured: &Measured, x: impl Fn(f64) -> f64, height: f64) -> String {
    const KINDS: [(&str, &str); 4] =
        [("promoted", "#0d9488"), ("forced", "#7c3aed"), ("rolled back", "#dc2626"), ("drift", "#a16207")];
    let mut out = String::new();
    for (row, (kind, colour)) in KINDS.iter().enumerate() {
        let y = height + 36.0 + 14.0 * row as f64;
        let all = measured.runs.iter().flatten().flat_map(|run| &run.moments).filter(|moment| moment.kind == *kind);
        let mut marks = String::new();
        for moment in all {
            let hour = (moment.at - START) as f64 / HOUR as f64;
            marks += &format!(
                "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"3.5\" fill=\"{colour}\" fill-opacity=\"0.55\"><title>{kind} after {hour:.1} h</title></circle>",
                x(hour)
            );
        }
        if !marks.is_empty() {
            out += &format!(
                "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"start\">{kind}</text>{marks}",
                x(measured.hours) + 8.0,
                y + 4.0
            );
        }
    }
    out
}

/// One column: a point with its interval for each policy.
pub fn points(measured: &Measured, metric: &Metric) -> String {
    const ROW: f64 = 20.0;
    const WIDTH: f64 = 210.0;
    let estimates: Vec<Estimate> =
        (0..measured.policies.len()).map(|at| Estimate::of(&measured.values(at, metric.of))).collect();
    let high = estimates.iter().map(|estimate| estimate.high).fold(0.0, f64::max);
    let high = if high > 0.0 { high * 1.08 } else { 1.0 };
    let height = ROW * estimates.len() as f64;
    let mut out = format!(
        "<div><h2 style=\"font-size:14px\">{}</h2><svg viewBox=\"0 -4 {} {}\" role=\"img\">",
        metric.title,
        LEFT + WIDTH + 20.0,
        height + 28.0
    );
    grid(&mut out, high, WIDTH, height);
    let scale = |value: f64| LEFT + WIDTH * value / high;
    for (at, policy) in measured.policies.iter().enumerate() {
        let y = ROW * at as f64 + ROW / 2.0;
        whisker(&mut out, estimates[at], y, scale);
        let digits = metric.digits;
        out += &format!(
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{}\"><title>{:.digits$}</title></circle>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            scale(estimates[at].mean),
            colour(*policy),
            estimates[at].mean,
            LEFT - 10.0,
            y + 4.0,
            policy.name()
        );
    }
    out + "</svg></div>"
}
