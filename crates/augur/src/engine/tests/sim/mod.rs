//! Random histories of a cluster under faults, played on one thread and by simulated time, so that each can be replayed from its
//! seed. See `docs/design/0017-fault-model.md`.
//!
//! `AUGUR_SEED=n` replays one history and shows all of it, `AUGUR_SEEDS=n` plays so many from `AUGUR_FIRST` on.

mod history;
mod link;
mod model;
mod random;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use augur_history::{History, HistoryHandle, HistoryOptions};

use history::run;
pub use random::Random;

/// Histories that are played unless `AUGUR_SEEDS` says otherwise.
const SEEDS: u64 = 1000;

/// A memory that keeps nothing: what history does, it does on a thread of its own and in real time.
fn forgetful() -> HistoryHandle {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(&HistoryOptions::new(dir.path())).unwrap();
    history.handle()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn random_histories_under_faults_break_no_rule() {
    let memory = forgetful();
    if let Some(seed) = number("AUGUR_SEED") {
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .try_init();
        let played = run(seed, &memory, true);
        println!("{}", played.told);
        assert!(played.violations.is_empty(), "seed {seed}: {:#?}", played.violations);
        return;
    }
    let first = number("AUGUR_FIRST").unwrap_or(0);
    let seeds = number("AUGUR_SEEDS").unwrap_or(SEEDS);
    let (next, failed, bound) = (AtomicU64::new(first), Mutex::new(Vec::new()), AtomicU64::new(0));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let played = run(seed, &memory, false);
                    bound.fetch_add(played.bound as u64, Ordering::Relaxed);
                    if !played.violations.is_empty() {
                        println!("seed {seed}: {:#?}", played.violations);
                        failed.lock().unwrap().push((seed, played));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, played)) = failed.first() {
        panic!("AUGUR_SEED={seed} replays this:\n{}\n{:#?}", played.told, played.violations);
    }
    println!("{seeds} histories, {} pods bound at their end", bound.into_inner());
}

/// Histories that found something, each with what it found.
const FOUND: [(u64, &str); 7] = [
    (16, "a place that a nominated pod gave up was offered to nobody"),
    (24, "a conflict of the moment passed for the end of a pod that was to be evicted"),
    (53, "a new leader waited for ever for a list that it had asked for while another was under way"),
    (87, "a condition was written after the lease had been given back"),
    (88, "the place of a pod that was bound, but with its answer lost, was given away"),
    (341, "a clock set forward made bound pods be forgotten while the watch was silent"),
    (771, "a refusal that says nothing of the pod ended the doubt about its binding"),
];

#[test]
fn what_was_found_stays_mended() {
    let memory = forgetful();
    for (seed, what) in FOUND {
        let played = run(seed, &memory, false);
        assert!(played.violations.is_empty(), "seed {seed} ({what}): {:#?}", played.violations);
    }
}

#[test]
fn a_seed_replays_exactly() {
    let memory = forgetful();
    for seed in [1, 2, 3, 5, 8] {
        let (first, again) = (run(seed, &memory, true), run(seed, &memory, true));
        if first.fingerprint != again.fingerprint {
            let differs = first.told.lines().zip(again.told.lines()).enumerate().find(|(_, (a, b))| a != b);
            panic!("seed {seed} went two ways: {differs:#?}");
        }
    }
}
