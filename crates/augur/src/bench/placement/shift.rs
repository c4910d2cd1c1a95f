//! What a shift costs, and for how long. Entry points: [`text`], [`by_hour`].
//!
//! Troubles after the shift are not those before it, nor is the load, so that figures from before tell little of what to expect
//! after it. Each policy is therefore compared with itself where nodes were from the start as they are after the shift: from half
//! time on the same nodes have the same troubles, and the same pods come. It has recovered when it does as well as there.

use std::ops::Range;

use super::Measured;
use super::policy::Policy;
use super::result::{Estimate, RunResult};
use super::table::{per_thousand, pooled};

/// How much more goes wrong than where something else was done, as a share of what goes wrong there: the sum over seeds, with a
/// 95 % interval from the differences seed by seed.
fn excess(runs: &[RunResult], against: &[RunResult], hours: Range<usize>) -> Estimate {
    let bad = |run: &RunResult| {
        run.hourly.get(hours.clone()).unwrap_or_default().iter().map(|tally| tally.all_bad() as f64).sum::<f64>()
    };
    let (runs, against): (Vec<f64>, Vec<f64>) = (runs.iter().map(bad).collect(), against.iter().map(bad).collect());
    let mean = Estimate::of(&against).mean.max(1e-9);
    let Estimate { mean: by, low, high } = Estimate::paired(&runs, &against);
    Estimate { mean: by / mean, low: low / mean, high: high / mean }
}

/// By hour since the shift, how much more goes wrong for a policy than if nodes had been so from the start.
pub fn by_hour(measured: &Measured, policy: usize) -> Vec<Estimate> {
    let (half, end) = ((measured.hours / 2.0).ceil() as usize, measured.hours as usize);
    let Some(settled) = measured.settled.get(policy) else { return Vec::new() };
    (half..end).map(|hour| excess(&measured.runs[policy], settled, hour..hour + 1)).collect()
}

fn percent(estimate: Estimate) -> String {
    format!("{:+.0} % [{:+.0}, {:+.0}]", 100.0 * estimate.mean, 100.0 * estimate.low, 100.0 * estimate.high)
}

/// Hour by hour what became of placements, and since the shift against worlds that did not shift and against other policies.
pub fn text(measured: &Measured) -> String {
    let (half, end) = ((measured.hours / 2.0).ceil() as usize, measured.hours as usize);
    let name = |at: usize| measured.policies[at].name();
    let mut out = "bad per 1,000 by hour of placement, over all seeds; in brackets where nodes had been so from the start:\nhour  ".to_owned();
    (0..measured.policies.len()).for_each(|at| out += &format!(" {:>18}", name(at)));
    for hour in 0..end {
        out += &format!("\n{:>4}{} ", hour + 1, if hour == half { " <" } else { "  " });
        for (runs, settled) in measured.runs.iter().zip(&measured.settled) {
            let of = |runs| per_thousand(pooled(runs, hour..hour + 1));
            let after = if hour >= half { format!(" ({:5.1})", of(settled)) } else { " ".repeat(8) };
            out += &format!(" {:>18}", format!("{:.1}{after}", of(runs)));
        }
    }
    out += "\n\n";
    for at in (0..measured.policies.len()).filter(|at| measured.policies[*at] != Policy::Default) {
        out += &format!("{}: bad outcomes against the same where nodes had been so from the start:", name(at));
        for from in (half..end).step_by(2) {
            let hours = from..(from + 2).min(end);
            let excess = excess(&measured.runs[at], &measured.settled[at], hours.clone());
            out += &format!(
                "\n  hours {:>2} and {:>2} after the shift {}",
                from + 1 - half,
                hours.end - half,
                percent(excess)
            );
        }
        let shown = by_hour(measured, at).iter().rposition(|excess| excess.low > 0.0);
        out += &match shown {
            Some(hour) => format!("\n  the last hour that is worse for certain (95 %): {}\n", hour + 1),
            None => "\n  no hour is worse for certain (95 %)\n".to_owned(),
        };
    }
    let Some(learning) = measured.find(Policy::Augur) else { return out + "\n" };
    for other in [Policy::Enhanced, Policy::Default] {
        let Some(base) = measured.find(other) else { continue };
        let hours: Vec<Estimate> =
            (0..end).map(|hour| excess(&measured.runs[learning], &measured.runs[base], hour..hour + 1)).collect();
        let over = |of: fn(&Estimate) -> f64| hours.iter().filter(|excess| of(excess) > 0.05).count();
        let Some(worst) = hours.iter().max_by(|a, b| a.mean.total_cmp(&b.mean)) else { continue };
        out += &format!(
            "augur against {}: worst hour {}; more than 5 % worse in {} of {end} hours as measured, in {} for certain (95 %); \
             all hours {}\n",
            other.name(),
            percent(*worst),
            over(|excess| excess.mean),
            over(|excess| excess.low),
            percent(excess(&measured.runs[learning], &measured.runs[base], 0..end))
        );
    }
    out + "\n"
}
