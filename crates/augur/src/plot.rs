//! Line plots as SVG text that stands alone: [`svg`] draws panels side by side, both axes logarithmic.
//!
//! Colours follow the reader's scheme (light or dark), and every line is named at its end, so that a plot can be read
//! without a legend.

use std::fmt::Write;

/// One line: a name and its points, by rising x. Points that are not above zero are left out.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Lines over the same axes.
pub struct Panel {
    pub title: String,
    /// What the horizontal axis counts.
    pub x: String,
    pub lines: Vec<Line>,
}

/// Size of a panel's plotting area, and the room around it: left for labels, right for names of lines.
const SIZE: (f64, f64) = (250.0, 230.0);
const LEFT: f64 = 58.0;
const RIGHT: f64 = 108.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 44.0;
/// Panels in a row.
const COLUMNS: usize = 2;

const COLOURS: [&str; 6] = ["#2f6fb3", "#c8622d", "#2e8b57", "#8a56ac", "#b5485d", "#7a7a2c"];
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#333}.soft{fill:#777}.grid{stroke:#ddd}\
                     .title{font-weight:600}@media(prefers-color-scheme:dark){text{fill:#ddd}.soft{fill:#999}\
                     .grid{stroke:#444}}";

/// The whole decades around all values: exponents of ten.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (low, high) = values
        .filter(|value| *value > 0.0)
        .fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0, 1);
    }
    let (low, high) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (low, high.max(low + 1))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A power of ten, in short.
fn power(exponent: i32) -> String {
    match exponent {
        6.. => format!("{}M", 10f64.powi(exponent - 6)),
        3..=5 => format!("{}k", 10f64.powi(exponent - 3)),
        _ => format!("{}", 10f64.powi(exponent)),
    }
}

/// Draws the panels, whose vertical axes are the same and count `y`.
#[must_use]
pub fn svg(title: &str, y: &str, panels: &[Panel]) -> String {
    let points = || panels.iter().flat_map(|panel| panel.lines.iter().flat_map(|line| line.points.iter().copied()));
    let vertical = decades(points().map(|(_, y)| y));
    let (width, height) = (LEFT + SIZE.0 + RIGHT, TOP + SIZE.1 + BOTTOM);
    let rows = panels.len().div_ceil(COLUMNS);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\"><style>{STYLE}</style>\
         <text class=\"title\" x=\"12\" y=\"20\">{}</text>\n",
        width * COLUMNS.min(panels.len()) as f64,
        height * rows as f64,
        escape(title)
    );
    for (at, panel) in panels.iter().enumerate() {
        let origin = (width * (at % COLUMNS) as f64 + LEFT, height * (at / COLUMNS) as f64 + TOP);
        draw(&mut out, panel, origin, vertical, y);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Panel, (left, top): (f64, f64), vertical: (i32, i32), y: &str) {
    let horizontal = decades(panel.lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x)));
    let share = |value: f64, (low, high): (i32, i32)| (value.log10() - f64::from(low)) / f64::from(high - low);
    let across = |value: f64| left + share(value, horizontal) * SIZE.0;
    let up = |value: f64| top + (1.0 - share(value, vertical)) * SIZE.1;
    let (right, bottom) = (left + SIZE.0, top + SIZE.1);
    for exponent in vertical.0..=vertical.1 {
        let at = up(10f64.powi(exponent));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            at + 4.0,
            power(exponent)
        );
    }
    for exponent in horizontal.0..=horizontal.1 {
        let at = across(10f64.powi(exponent));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/>\
             <text class=\"soft\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            power(exponent)
        );
    }
    let _ = write!(
        out,
        "<text class=\"title\" x=\"{left}\" y=\"{:.1}\">{}</text><text class=\"soft\" x=\"{left}\" y=\"{:.1}\">{}</text>\
         <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        top - 24.0,
        escape(&panel.title),
        top - 8.0,
        escape(y),
        left + SIZE.0 / 2.0,
        bottom + 34.0,
        escape(&panel.x)
    );
    // Names of lines stand at their ends, one below the other where these are close.
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (at, line) in panel.lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<(f64, f64)> = line.points.iter().copied().filter(|(x, y)| *x > 0.0 && *y > 0.0).collect();
        let mut path = String::new();
        for (x, y) in &points {
            let _ = write!(path, "{}{:.1} {:.1}", if path.is_empty() { 'M' } else { 'L' }, across(*x), up(*y));
            let _ = write!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{colour}\"/>", across(*x), up(*y));
        }
        let _ = write!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>");
        names.extend(points.last().map(|(_, y)| (up(*y), at)));
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = top;
    for (at, line) in names {
        let at = at.max(below);
        below = at + 14.0;
        let (colour, name) = (COLOURS[line % COLOURS.len()], escape(&panel.lines[line].name));
        let _ =
            write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{colour}\">{name}</text>", right + 8.0, at + 4.0);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_in_their_decades_and_named() {
        let line = Line { name: "a < b".to_owned(), points: vec![(10.0, 200.0), (1000.0, 20_000.0), (0.0, 5.0)] };
        let panel = Panel { title: "nodes".to_owned(), x: "how many".to_owned(), lines: vec![line] };
        let text = svg("Cost", "per second", &[panel]);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<circle").count(), 2, "a point that has no logarithm is left out");
        assert!(text.contains("a &lt; b") && text.contains(">100k<") && text.contains(">10<"), "{text}");
        assert_eq!(decades([3.0, 500.0].into_iter()), (0, 3));
        assert_eq!(decades(std::iter::empty()), (0, 1));
    }
}
