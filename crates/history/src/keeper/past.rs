//! The days before this history began, as somebody else remembers them: played through a memory of their own, then added to the
//! present in one transaction.
//!
//! Series go to disk as they come; all else only with the last step, so that what was half told when the process died leaves
//! nothing behind: the next attempt removes its series and begins anew.

use std::collections::HashMap;

use super::Keeper;
use crate::memory::{Memory, PastStep};
use crate::types::UnixMillis;
use crate::usage::PAST_SERIES;

/// How far the days before are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PastState {
    /// The history is empty: all of its window is unknown.
    Unknown,
    /// They were half told when the process ended; they end at this moment.
    Interrupted(UnixMillis),
    /// They have been told.
    Known,
    /// History has gone on for itself; nothing is asked for.
    #[default]
    Own,
}

/// What is kept of the days before.
#[derive(Default)]
pub(crate) struct Past {
    pub state: PastState,
    /// While they are being told.
    pub memory: Option<Box<Memory>>,
    /// What an attempt left behind that ended early is to be removed: what lies before this moment.
    pub clear: Option<UnixMillis>,
    /// The number of the last series, so that none is given twice.
    pub last_series: u32,
}

impl Past {
    /// Up to when readings of the days before are on their way to disk; later ones may still come.
    pub fn reached(&self) -> Option<UnixMillis> {
        self.memory.as_ref().map(|memory| memory.now())
    }
}

impl Keeper {
    /// Begins to take in the days before `until`; whatever an earlier attempt left behind goes.
    pub fn begin_past(&mut self, until: UnixMillis) {
        if let PastState::Interrupted(before) = self.past.state {
            self.past.clear = Some(before);
        }
        self.past.state = PastState::Interrupted(until);
        let mut memory = Memory::new(std::time::Duration::from_millis(self.memory.window_ms().unsigned_abs()));
        memory.usage.resume(self.past.last_series.max(PAST_SERIES), HashMap::new());
        self.past.memory = Some(Box::new(memory));
    }

    /// Takes in what is known of some moments, each later than the one before.
    pub fn past(&mut self, steps: &[PastStep]) {
        let Some(memory) = &mut self.past.memory else { return };
        steps.iter().for_each(|step| memory.step(step));
        self.take_series();
    }

    /// Adds what was told to what is known.
    pub fn end_past(&mut self) {
        if let Some(memory) = &mut self.past.memory {
            memory.seal();
            memory.end_series();
        }
        self.take_series();
        if let Some(memory) = self.past.memory.take() {
            self.past.state = PastState::Known;
            // The histograms that go to disk have the readings of the journal in them.
            self.memory.seal();
            self.memory.take_in(*memory);
            self.take_changes();
        }
    }

    /// Of what changed in the days before only the series go to disk at once.
    fn take_series(&mut self) {
        let Some(memory) = &mut self.past.memory else { return };
        let changes = memory.drain();
        self.past.last_series = memory.usage.next_id();
        self.pending.series_created.extend(changes.series_created);
        self.pending.series_ended.extend(changes.series_ended);
        self.pending.sealed.extend(changes.sealed);
    }
}
