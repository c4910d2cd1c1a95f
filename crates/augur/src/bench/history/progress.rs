//! How far the days are, on stderr: a bar on a terminal, elsewhere a line for every twelve hours ([`Progress`]).

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use augur_history::HistoryHandle;
use indicatif::{ProgressBar, ProgressStyle};

use super::HOUR_ROUNDS;

/// Hours from one line to the next.
const LINE_HOURS: i64 = 12;

/// Tells how far it is.
pub struct Progress {
    bar: Option<ProgressBar>,
    rounds: u32,
    read: u32,
    began: Instant,
    line_at: i64,
}

impl Progress {
    /// So many rounds are to be read.
    pub fn new(rounds: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(rounds.into()));
        if let Some(bar) = &bar
            && let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} % of the rounds, {eta} left")
        {
            bar.set_style(style);
        }
        Self { bar, rounds, read: 0, began: Instant::now(), line_at: LINE_HOURS * HOUR_ROUNDS }
    }

    /// The next round that is read begins, at so many rounds since the first day began.
    pub fn at(&mut self, round: i64, h: &HistoryHandle) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.read.into());
        } else if round >= self.line_at {
            self.line_at += LINE_HOURS * HOUR_ROUNDS;
            let passed = self.began.elapsed();
            let left = passed * (self.rounds - self.read) / self.read.max(1);
            let minutes = |time: Duration| time.as_secs_f64() / 60.0;
            let file = std::fs::metadata(h.path()).map_or(0, |file| file.len());
            // Nobody may be reading.
            let _ = writeln!(
                std::io::stderr(),
                "{} h in {:.1} min, the file has {} MiB; {:.0} min left if it goes on so",
                round / HOUR_ROUNDS,
                minutes(passed),
                file >> 20,
                minutes(left)
            );
        }
        self.read += 1;
    }

    /// The days are over.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
