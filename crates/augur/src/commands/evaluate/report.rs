//! The result for people: [`text`] for a terminal, [`page`] as one HTML file without anything from elsewhere.

use std::fmt::Write;

use augur_forest::{RELIABILITY_BINS, Ranking, ReliabilityBin, reliability};
use serde_json::Value;

use super::Verdict;
use super::prepare::Prepared;

/// Side of a plot in its own units, and its margins.
const SIZE: f64 = 300.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 12.0;
/// Features shown by importance.
const FEATURES: usize = 20;
/// Points of a curve; more could not be told apart.
const POINTS: usize = 400;

const METRICS: [(&str, &str, &str); 5] = [
    ("auc", "AUC", "chance that a row of label 1 scores above one of label 0"),
    ("average_precision", "average precision", "area under precision against recall"),
    ("brier", "Brier score", "mean squared error of the probability; lower is better"),
    ("log_loss", "log-loss", "in nats; lower is better"),
    ("ece", "ECE", "how far probabilities are from rates, 15 equal-width bins; lower is better"),
];

/// The result in lines.
pub fn text(prepared: &Prepared, verdict: &Verdict) -> String {
    let json = &verdict.json;
    let mut out = String::new();
    let _ = writeln!(out, "{:<20} {:>8}   95 % interval", "on the test rows", "");
    for (key, name, _) in METRICS {
        let _ = writeln!(out, "{name:<20} {:>8}   {}", show(&json[key]), interval(json, key));
    }
    let _ = writeln!(out, "{:<20} {:>8}", "Brier skill", show(&json["brier_skill"]));
    let _ = writeln!(out, "\n{}", summary(json));
    let _ = writeln!(out, "\n{:>13} {:>7} {:>10} {:>9}", "probability", "rows", "predicted", "observed");
    for bin in json["reliability"].as_array().into_iter().flatten().filter(|b| b["rows"] != 0) {
        let range = format!("{} - {}", show2(&bin["from"]), show2(&bin["to"]));
        let (rows, predicted, observed) = (&bin["rows"], show(&bin["predicted"]), show(&bin["observed"]));
        let _ = writeln!(out, "{range:>13} {rows:>7} {predicted:>10} {observed:>9}");
    }
    let _ = writeln!(out, "\nlog-loss rises when a feature is permuted");
    for (name, cost) in verdict.importance.iter().take(FEATURES) {
        let _ = writeln!(out, "{cost:>9.4}  {name}");
    }
    ended(out, prepared)
}

/// The lines with what the preparation of the table has to tell after them.
pub(super) fn ended(mut out: String, prepared: &Prepared) -> String {
    for (name, why) in &prepared.ignored {
        let _ = writeln!(out, "ignored column {name}: {why}");
    }
    for note in &prepared.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.truncate(out.trim_end().len());
    out
}

fn summary(json: &Value) -> String {
    let count = |key: &str| json[key].as_u64().unwrap_or(0);
    format!(
        "{}\ncalibrated by {} on {} training rows, each predicted by {}; trained on {} rows in {} s, tested on {} \
         rows of {} groups",
        json["model"].as_str().unwrap_or_default(),
        json["calibration"].as_str().unwrap_or_default(),
        count("validated_rows"),
        json["validated_by"].as_str().unwrap_or_default(),
        count("n_train"),
        show(&json["train_seconds"]),
        count("n_test"),
        count("test_groups"),
    )
}

pub(super) fn show(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |v| format!("{v:.4}"))
}

fn show2(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |v| format!("{v:.2}"))
}

pub(super) fn interval(json: &Value, key: &str) -> String {
    let interval = &json[format!("{key}_interval")];
    if interval.is_null() { String::new() } else { format!("[{}, {}]", show(&interval[0]), show(&interval[1])) }
}

/// The result as a page.
pub fn page(title: &str, prepared: &Prepared, verdict: &Verdict) -> String {
    let json = &verdict.json;
    let labels = &prepared.test.labels;
    let ranking = Ranking::new(labels, &verdict.predictions);
    let bins = reliability(labels, &verdict.predictions, &[], RELIABILITY_BINS);
    let mut cards = String::new();
    for (key, name, meaning) in METRICS {
        let _ = write!(
            cards,
            "<div class=card title=\"{}\"><b>{}</b><span>{}</span><small>{}</small></div>",
            escape(meaning),
            show(&json[key]),
            escape(name),
            interval(json, key)
        );
    }
    let roc = curve(&ranking.roc_curve(), "false positive rate", "true positive rate", Guide::Diagonal);
    let pr = curve(&ranking.precision_recall_curve(), "recall", "precision", Guide::Level(prepared.test.rate()));
    let mut body =
        format!("<h1>{}</h1><p class=lead>{}</p>", escape(title), escape(&summary(json)).replace('\n', "<br>"));
    let _ = write!(body, "<div class=cards>{cards}</div><div class=plots>");
    for (name, plot, note) in [
        ("Receiver operating characteristic", roc, "Dashed: chance."),
        ("Precision and recall", pr, "Dashed: the share of label 1."),
        (
            "Reliability",
            calibration(&bins),
            "Dots: observed rate by mean probability, as large as the bin has rows. Bars: rows.",
        ),
        (
            "Importance",
            bars(&verdict.importance),
            "How much log-loss on the test rows rises when the feature is permuted.",
        ),
    ] {
        let _ = write!(body, "<figure><figcaption>{name}</figcaption>{plot}<small>{note}</small></figure>");
    }
    body.push_str("</div>");
    body.push_str(&tables(json, &bins));
    let ignored = prepared.ignored.iter().map(|(name, why)| format!("Ignored column {name}: {why}."));
    let notes: Vec<String> = ignored.chain(prepared.notes.iter().cloned()).collect();
    if !notes.is_empty() {
        let items: String = notes.iter().map(|n| format!("<li>{}</li>", escape(n))).collect();
        let _ = write!(body, "<h2>Notes</h2><ul>{items}</ul>");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{}</title>\
         <style>{STYLE}</style><main>{body}</main></html>\n",
        escape(title)
    )
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2733;--soft:#667;--line:#d5dae1;--paper:#fbfcfd;--card:#fff;--main:#2563a8;--warm:#c2571a}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa4b2;--line:#353d48;--paper:#14181d;--card:#1b2027;\
--main:#6aa9ee;--warm:#ee9a5f}}\
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:1020px;margin:0 auto;padding:32px 20px}h1{font-size:24px;margin:0}h2{font-size:17px;margin:28px 0 8px}\
.lead,small,figcaption+svg+small{color:var(--soft)}.cards{display:grid;gap:12px;\
grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}.card{background:var(--card);border:1px solid var(--line);\
border-radius:8px;padding:12px 14px;display:flex;flex-direction:column}.card b{font-size:24px;font-variant-numeric:tabular-nums}\
.plots{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));margin-top:16px}\
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px}\
figcaption{font-weight:600;margin-bottom:6px}svg{width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:3px 14px 3px 0;text-align:right;\
border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}";

fn tables(json: &Value, bins: &[ReliabilityBin]) -> String {
    let mut out = String::from("<h2>Reliability</h2><table><tr><th>probability<th>rows<th>predicted<th>observed</tr>");
    for bin in bins.iter().filter(|b| b.rows > 0) {
        let (from, to, rows, predicted, observed) = (bin.from, bin.to, bin.rows, bin.predicted, bin.observed);
        let _ = write!(out, "<tr><td>{from:.3} – {to:.3}<td>{rows}<td>{predicted:.3}<td>{observed:.3}</tr>");
    }
    out.push_str(
        "</table><h2>What was tried</h2><table><tr><th>model<th>log-loss ahead, within the training rows</tr>",
    );
    for candidate in json["candidates"].as_array().into_iter().flatten() {
        let (name, loss) = (candidate["model"].as_str().unwrap_or_default(), show(&candidate["validated_log_loss"]));
        let chosen = candidate["model"] == json["model"];
        let name = if chosen { format!("<b>{}</b> (chosen)", escape(name)) } else { escape(name) };
        let _ = write!(out, "<tr><td>{name}<td>{loss}</tr>");
    }
    out.push_str("</table>");
    out
}

/// What a curve is compared with.
#[derive(Clone, Copy)]
enum Guide {
    Diagonal,
    Level(f64),
}

fn x(value: f64) -> f64 {
    LEFT + value * SIZE
}

fn y(value: f64) -> f64 {
    TOP + (1.0 - value) * SIZE
}

/// Axes from 0 to 1 with their names.
fn axes(horizontal: &str, vertical: &str) -> String {
    let mut out = String::new();
    for step in 0..=5 {
        let at = f64::from(step) / 5.0;
        let (left, right, top, bottom) = (x(0.0), x(1.0), y(1.0), y(0.0));
        let (across, up) = (x(at), y(at));
        let _ = write!(
            out,
            "<path d=\"M{left} {up:.1}H{right}M{across:.1} {top}V{bottom}\" stroke=\"var(--line)\"/>\
             <text x={across:.1} y={:.1} text-anchor=middle>{at}</text>\
             <text x={:.1} y={:.1} text-anchor=end>{at}</text>",
            bottom + 15.0,
            left - 6.0,
            up + 4.0
        );
    }
    let _ = write!(
        out,
        "<text x={:.1} y={:.1} text-anchor=middle>{horizontal}</text>\
         <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=middle>{vertical}</text>",
        x(0.5),
        y(0.0) + 32.0,
        y(0.5)
    );
    out
}

fn plot(content: &str) -> String {
    let (width, height) = (LEFT + SIZE + 12.0, TOP + SIZE + 38.0);
    format!("<svg viewBox=\"0 0 {width} {height}\" role=img>{content}</svg>")
}

fn curve(points: &[(f64, f64)], horizontal: &str, vertical: &str, guide: Guide) -> String {
    let mut content = axes(horizontal, vertical);
    let (from, to) = match guide {
        Guide::Diagonal => (0.0, 1.0),
        Guide::Level(level) => (level, level),
    };
    let _ = write!(
        content,
        "<path d=\"M{} {:.1}L{} {:.1}\" stroke=\"var(--soft)\" stroke-dasharray=\"4 4\"/>",
        x(0.0),
        y(from),
        x(1.0),
        y(to)
    );
    let step = points.len().div_ceil(POINTS).max(1);
    let last = points.last().filter(|_| !(points.len() - 1).is_multiple_of(step));
    let mut path = String::new();
    for (across, up) in points.iter().step_by(step).chain(last) {
        let _ = write!(path, "{}{:.1} {:.1}", if path.is_empty() { "M" } else { "L" }, x(*across), y(*up));
    }
    let _ = write!(content, "<path d=\"{path}\" fill=none stroke=\"var(--main)\" stroke-width=2 />");
    plot(&content)
}

fn calibration(bins: &[ReliabilityBin]) -> String {
    let mut content = axes("mean probability", "observed rate");
    let _ = write!(
        content,
        "<path d=\"M{} {}L{} {}\" stroke=\"var(--soft)\" stroke-dasharray=\"4 4\"/>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0)
    );
    let most = bins.iter().map(|b| b.rows).max().unwrap_or(1).max(1) as f64;
    let mut path = String::new();
    for bin in bins.iter().filter(|b| b.rows > 0) {
        let share = bin.rows as f64 / most;
        let (left, width) = (x(bin.from) + 1.0, (bin.to - bin.from) * SIZE - 2.0);
        let height = share * SIZE * 0.25;
        let _ = write!(
            content,
            "<rect x={left:.1} y={:.1} width={width:.1} height={height:.1} fill=\"var(--main)\" opacity=.18 />",
            y(0.0) - height
        );
        let (across, up) = (x(bin.predicted), y(bin.observed));
        let _ = write!(path, "{}{across:.1} {up:.1}", if path.is_empty() { "M" } else { "L" });
        let radius = 2.5 + 5.0 * share.sqrt();
        let _ = write!(
            content,
            "<circle cx={across:.1} cy={up:.1} r={radius:.1} fill=\"var(--warm)\"><title>{} rows: predicted {:.3}, observed \
             {:.3}</title></circle>",
            bin.rows, bin.predicted, bin.observed
        );
    }
    let _ = write!(content, "<path d=\"{path}\" fill=none stroke=\"var(--warm)\" stroke-width=1.5 />");
    plot(&content)
}

fn bars(importance: &[(String, f64)]) -> String {
    let shown = &importance[..importance.len().min(FEATURES)];
    let most = shown.iter().map(|(_, cost)| *cost).fold(1e-9, f64::max);
    let row = (SIZE / shown.len().max(1) as f64).clamp(12.0, 24.0);
    let mut content = String::new();
    for (index, (name, cost)) in shown.iter().enumerate() {
        let top = TOP + index as f64 * row;
        let width = (cost.max(0.0) / most) * 170.0;
        let _ = write!(
            content,
            "<text x=124 y={:.1} text-anchor=end>{}</text>\
             <rect x=130 y={top:.1} width={width:.1} height={:.1} rx=2 fill=\"var(--main)\"/>\
             <text x={:.1} y={:.1}>{cost:.4}</text>",
            top + row * 0.7,
            escape(&shorten(name)),
            row * 0.75,
            134.0 + width,
            top + row * 0.7
        );
    }
    plot(&content)
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= 20 { name.to_owned() } else { name.chars().take(19).chain(['…']).collect() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
