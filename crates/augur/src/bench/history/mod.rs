//! `augur bench history`: what seven days of memory cost at the size of a large cluster.
//!
//! Days pass as fast as history takes them in, with a reading every five minutes, which is what is left of old readings anyway.
//! The last hours have one every 30 s, as in production; these are measured. At the end a copy of the open file, which is what
//! a crash leaves, is opened.

mod features;
mod folder;
mod pause;
mod progress;
mod world;

use std::time::{Duration, Instant};

use augur_history::{History, HistoryHandle, HistoryOptions, UnixMillis};
use serde_json::json;

use self::features::{CHANGED, features};
use self::folder::Folder;
use self::pause::Pauses;
use self::progress::Progress;
use self::world::{Cluster, ROUND_MS, at};
use super::process;
use crate::cli::BenchHistoryArgs;
use crate::output;

/// Rounds in an hour.
const HOUR_ROUNDS: i64 = 3_600_000 / ROUND_MS;
/// Of the days before the last hours one round of so many is read: one in five minutes.
const SPARSE: i64 = 10;
/// Nodes handed over in one turn of the scheduler thread, as the engine does.
const NODES_PER_TURN: usize = 128;

/// What was measured.
struct Figures {
    round_cpu: Duration,
    pauses: Pauses,
    resident: u64,
    file: u64,
    series: u64,
    decisions: (u64, u64),
    features: Duration,
    reopening: Duration,
    reopening_cpu: Duration,
    rounds: i64,
    refused: u64,
}

/// Runs the measurement and prints it.
///
/// # Errors
/// When the history cannot be opened or read.
pub fn run(args: &BenchHistoryArgs) -> anyhow::Result<()> {
    let folder = Folder::new("bench")?;
    let mut cluster = Cluster::new(args.nodes, args.pods);
    let before = process::resident_bytes().unwrap_or(0);
    let history = History::open(&HistoryOptions::new(&folder.0))?;
    let h = history.handle();
    cluster.come(&h);
    let all = i64::from(args.hours.max(args.full_hours)) * HOUR_ROUNDS;
    let full = all - i64::from(args.full_hours) * HOUR_ROUNDS;
    let per_hour = args.decisions_per_day as f64 / 24.0;

    let mut progress = Progress::new(u32::try_from(full.div_euclid(SPARSE) + all - full)?);
    let mut pauses = Pauses::default();
    let mut decided = 0.0;
    let (mut cpu_before, mut rounds) = (Duration::ZERO, 0);
    for round in 0..all {
        if round < full && round % SPARSE != 0 {
            continue;
        }
        if round == full {
            settle(&h, full)?;
            cpu_before = history_cpu();
        }
        progress.at(round, &h);
        let due = per_hour * (round + 1) as f64 / HOUR_ROUNDS as f64;
        let mut place = 0;
        while decided < due {
            (decided, place) = (decided + 1.0, place + 1);
        }
        // Made while history still takes in the round before.
        let readings = cluster.readings(round);
        h.flush();
        if round < full {
            play(&h, &mut cluster, round, place, &mut Pauses::default());
            h.observe_usage(readings);
            if round % HOUR_ROUNDS == 0 {
                // What grew old within the hour becomes coarse in many small commits.
                (0..20).for_each(|_| touch(&h, round));
            }
        } else {
            h.observe_usage(readings);
            play(&h, &mut cluster, round, place, &mut pauses);
            rounds += 1;
        }
    }
    h.flush();
    let round_cpu = (history_cpu().saturating_sub(cpu_before)) / u32::try_from(rounds.max(1))?;
    let resident = process::resident_bytes().unwrap_or(0).saturating_sub(before);
    progress.end();
    // What waits for its turn to be coarse, and the crash in the midst of commits.
    settle(&h, all)?;
    let summary = h.summary()?;
    let features = features(&h, &cluster);
    let image = folder.crash()?;
    let (began, cpu) = (Instant::now(), process::cpu_time());
    let again = History::open(&HistoryOptions::new(&image.0))?;
    let known = again.handle().rates();
    let reopening = began.elapsed();
    let reopening_cpu = process::cpu_time().zip(cpu).map_or(Duration::ZERO, |(after, before)| after - before);
    anyhow::ensure!(known.nodes.len() == args.nodes, "{} nodes after the crash", known.nodes.len());
    anyhow::ensure!(again.handle().status().set_aside.is_none(), "the image of the crash was damaged");
    drop(again);
    let figures = Figures {
        round_cpu,
        pauses,
        resident,
        file: summary.file_bytes,
        series: summary.usage_bytes,
        decisions: (summary.decisions, summary.decision_bytes),
        features,
        reopening,
        reopening_cpu,
        rounds,
        refused: cluster.refused + h.status().dropped,
    };
    report(args, &figures)
}

/// What the scheduler thread tells in one round, in its turns, each a piece of work that must not be held up.
fn play(h: &HistoryHandle, cluster: &mut Cluster, round: i64, mut place: usize, pauses: &mut Pauses) {
    h.tick(at(round));
    cluster.end(h, round);
    let turns = cluster.nodes.len().div_ceil(NODES_PER_TURN);
    for turn in 0..turns {
        let start = turn * NODES_PER_TURN;
        cluster.refused += pauses.of(|| cluster.turn(h, round, start..start + NODES_PER_TURN));
        for _ in 0..place.div_ceil(turns - turn) {
            place -= 1;
            pauses.of(|| {
                // Rates are looked at and let go of, as for every decision.
                let rates = h.rates();
                cluster.place(h, round);
                drop(rates);
            });
        }
    }
}

/// Something small, so that there is a commit.
fn touch(h: &HistoryHandle, round: i64) {
    h.tick(UnixMillis(at(round).0 + 1));
    h.flush();
}

/// Waits until what is due is coarse.
fn settle(h: &HistoryHandle, round: i64) -> anyhow::Result<()> {
    let mut last = u64::MAX;
    for _ in 0..400 {
        (0..4).for_each(|_| touch(h, round));
        let held = h.summary()?.usage_bytes;
        if held == last {
            break;
        }
        last = held;
    }
    Ok(())
}

fn report(args: &BenchHistoryArgs, f: &Figures) -> anyhow::Result<()> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let bars = [
        ("a round", format!("{:.0} ms CPU", ms(f.round_cpu)), "1.0 s", f.round_cpu.as_secs_f64() <= 1.0),
        (
            "scheduling thread",
            format!("held for {:.2} ms at most ({:.2} ms by the clock)", ms(f.pauses.held), ms(f.pauses.clock)),
            "1 ms",
            ms(f.pauses.held) <= 1.0,
        ),
        (
            "disk",
            format!(
                "{:.0} MiB ({:.0} MiB of series, {:.0} MiB of {} decisions)",
                mib(f.file),
                mib(f.series),
                mib(f.decisions.1),
                f.decisions.0
            ),
            "4 GiB",
            f.file <= 4 << 30,
        ),
        (
            "memory",
            format!("{:.0} MiB beyond the names of the cluster", mib(f.resident)),
            "600 MiB",
            f.resident <= 600 << 20,
        ),
        (
            "features",
            format!("{:.1} µs for a pod on all nodes, {CHANGED} of them changed", us(f.features)),
            "100 µs",
            us(f.features) <= 100.0,
        ),
        (
            "reopening",
            format!(
                "{:.2} s after a crash ({:.2} s of processor time)",
                f.reopening.as_secs_f64(),
                f.reopening_cpu.as_secs_f64()
            ),
            "5 s",
            f.reopening.as_secs_f64() <= 5.0,
        ),
    ];
    output::line(&format!(
        "{} nodes, {} pods, {} decisions a day, {} h, of which {} h with a reading every 30 s; {} messages refused",
        args.nodes, args.pods, args.decisions_per_day, args.hours, args.full_hours, f.refused
    ))?;
    for (what, measured, bar, met) in &bars {
        output::line(&format!("{what:<18} {measured:<70} {} {bar}", if *met { "met:" } else { "missed:" }))?;
    }
    output::line(
        &json!({
            "history": {
                "nodes": args.nodes, "pods": args.pods, "hours": args.hours, "full_hours": args.full_hours,
                "measured_rounds": f.rounds, "refused": f.refused, "round_cpu_ms": ms(f.round_cpu),
                "longest_hold_us": us(f.pauses.held), "longest_clock_us": us(f.pauses.clock), "file_bytes": f.file,
                "series_bytes": f.series, "decisions": f.decisions.0, "decision_bytes": f.decisions.1,
                "resident_bytes": f.resident, "features_us": us(f.features), "reopen_ms": ms(f.reopening), "reopen_cpu_ms": ms(f.reopening_cpu),
                "met": bars.iter().all(|(.., met)| *met),
            }
        })
        .to_string(),
    )?;
    Ok(())
}

/// CPU time of history's thread so far.
fn history_cpu() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == "augur-history" {
            nanos += read("schedstat").split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(nanos)
}
