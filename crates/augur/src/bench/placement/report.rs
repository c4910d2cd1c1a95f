//! The report: one HTML file with inline SVG and nothing to load. Entry point: [`html`].

mod chart;

use std::fmt::Write;

use super::Measured;
use super::policy::Policy;
use super::result::{Estimate, METRICS};
use super::table::{CAVEAT, paired, relative};

const STYLE: &str = "
:root { --bg: #fbfbfa; --card: #fff; --ink: #1d2430; --soft: #667085; --line: #e4e7ec; --accent: #0f766e; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --bg: #12151b; --card: #1a1f28; --ink: #e6e9ef; --soft: #98a2b3; --line: #2c3440; --accent: #2dd4bf } }
* { box-sizing: border-box } body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px } h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 17px; margin: 0 0 2px }
p { margin: 4px 0 12px; color: var(--soft) } section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px; margin-top: 20px; overflow-x: auto }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 14px; margin-top: 20px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px } .card b { display: block; font-size: 24px; font-variant-numeric: tabular-nums }
.card span { color: var(--soft); font-size: 13px } .note { border-left: 3px solid var(--accent); padding-left: 12px }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 22px }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100% } th, td { padding: 5px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 500 } td:first-child, th:first-child { text-align: left } td small { color: var(--soft) }
svg { display: block; max-width: 100%; height: auto } svg text { fill: var(--ink); font: 12px system-ui, sans-serif } svg .soft { fill: var(--soft) } svg .rule { stroke: var(--line) }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--soft); margin: 8px 0 } .legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px }
";

/// The colour of a policy, the same in all plots.
pub fn colour(policy: Policy) -> &'static str {
    match policy {
        Policy::Default => "#64748b",
        Policy::MostAllocated => "#a16207",
        Policy::RandomFeasible => "#a3a3a3",
        Policy::TrimaranTlp => "#2563eb",
        Policy::TrimaranLvrb => "#7c3aed",
        Policy::Enhanced => "#ea580c",
        Policy::Augur => "#0d9488",
        Policy::Oracle => "#be185d",
    }
}

/// The whole report.
pub fn html(measured: &Measured) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Placement: {name}</title><style>{STYLE}</style></head><body><main>\n<h1>Placement: {name}</h1>\n\
         <p>{nodes} nodes, {hours} simulated hours, {seeds} seeds; every policy meets the same arrivals and the same hidden \
         troubles. Bars and points are means over seeds, whiskers 95 % intervals.</p>\n<p class=\"note\">{CAVEAT} {usage}</p>\n",
        usage = measured.usage,
        name = measured.scenario.name(),
        nodes = measured.nodes,
        hours = measured.hours,
        seeds = measured.seeds.len(),
    );
    cards(&mut out, measured);
    section(&mut out, "Bad outcomes per 1,000 placements", CAUSES_NOTE, &chart::causes(measured));
    section(&mut out, "Over time", TIME_NOTE, &(legend(measured) + &chart::over_time(measured)));
    let mut small = String::from("<div class=\"grid\">");
    METRICS[7..].iter().for_each(|metric| small += &chart::points(measured, metric));
    section(&mut out, "What else it costs", "Smaller is better everywhere but for placements.", &(small + "</div>"));
    section(&mut out, "All figures", "Mean ± half of the 95 % interval.", &table(measured));
    out + "</main></body></html>\n"
}

const CAUSES_NOTE: &str = "Placements whose pod came to harm through its node within an hour, by the first cause that the simulation \
knows; what would have happened on any node is not in it.";
const TIME_NOTE: &str =
    "By hour of placement, mean over seeds. The marks below are what happened to Augur's models, over all seeds.";

fn section(out: &mut String, title: &str, note: &str, body: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "<section><h2>{title}</h2><p>{note}</p>{body}</section>");
}

fn cards(out: &mut String, measured: &Measured) {
    let Some(base) = measured.find(Policy::Default) else { return };
    *out += "<div class=\"cards\">";
    for (at, policy) in measured.policies.iter().enumerate() {
        let estimate = Estimate::of(&measured.values(at, METRICS[0].of));
        let against = if at == base {
            "what the others are compared with".to_owned()
        } else {
            let difference = paired(measured, at, base, &METRICS[0]);
            let percent = 100.0 * relative(measured, at, base);
            format!("{percent:+.0} % against default [{:+.1}, {:+.1}]", difference.low, difference.high)
        };
        let _ = write!(
            out,
            "<div class=\"card\" style=\"border-top:3px solid {}\"><span>{}</span><b>{:.1}</b><span>{against}</span></div>",
            colour(*policy),
            policy.name(),
            estimate.mean
        );
    }
    *out += "</div>";
}

fn legend(measured: &Measured) -> String {
    let entry =
        |policy: &Policy| format!("<span><i style=\"background:{}\"></i>{}</span>", colour(*policy), policy.name());
    format!("<div class=\"legend\">{}</div>", measured.policies.iter().map(entry).collect::<String>())
}

fn table(measured: &Measured) -> String {
    let mut out = String::from("<table><tr><th>policy</th>");
    METRICS.iter().for_each(|metric| out += &format!("<th>{}</th>", metric.title));
    out += "</tr>";
    for (at, policy) in measured.policies.iter().enumerate() {
        out += &format!("<tr><td>{}</td>", policy.name());
        for metric in &METRICS {
            let estimate = Estimate::of(&measured.values(at, metric.of));
            let (digits, half) = (metric.digits, estimate.high - estimate.mean);
            out += &format!("<td>{:.digits$} <small>± {half:.digits$}</small></td>", estimate.mean);
        }
        out += "</tr>";
    }
    out + "</table>"
}
