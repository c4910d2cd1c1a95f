//! What became of each placement, by the simulation's own truth. Entry points: [`Ledger`] while it runs, [`Tally`] at the end.

use std::collections::HashMap;
use std::sync::Arc;

use augur_sandbox::sim::{Harm, HarmCause, Millis};
use serde::Serialize;

use super::world::{HOUR, MINUTE, START};

/// A placement is judged so long after it was made.
pub const HORIZON: Millis = HOUR;
/// A pod that is not ready by then is late.
pub const READY_WITHIN: Millis = 2 * MINUTE;

/// Why a placement turned out bad, in the order of the tables.
pub const CAUSES: [&str; 6] = ["memory", "disk", "cpu", "power", "network", "late"];
const LATE: usize = 5;

/// What really became of a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// Survived the horizon, or ended well.
    Good,
    /// Came to harm through its node; the place of the cause in [`CAUSES`].
    Bad(usize),
    /// Failed by its own doing.
    Application,
    /// Deleted without trouble before the horizon, or the simulation ended before.
    Open,
}

#[derive(Debug, Clone, Copy)]
struct Placement {
    at: Millis,
    ready: bool,
    truth: Option<Truth>,
}

impl Truth {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Truth::Good => "good",
            Truth::Bad(cause) => CAUSES[cause],
            Truth::Application => "application",
            Truth::Open => "open",
        }
    }
}

/// Counts over placements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub placements: u64,
    pub bad: [u64; CAUSES.len()],
    pub application: u64,
    pub good: u64,
    pub open: u64,
}

impl Tally {
    /// Bad outcomes of all causes.
    pub fn all_bad(&self) -> u64 {
        self.bad.iter().sum()
    }

    fn add(&mut self, truth: Truth) {
        self.placements += 1;
        match truth {
            Truth::Good => self.good += 1,
            Truth::Bad(cause) => self.bad[cause] += 1,
            Truth::Application => self.application += 1,
            Truth::Open => self.open += 1,
        }
    }
}

/// All placements of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    open: HashMap<Arc<str>, Placement>,
    pub all: Tally,
    /// By the hour in which the placement was made.
    pub hourly: Vec<Tally>,
    /// What is known of placements once they are judged, for whoever labels them by what the cluster shows.
    pub judged: HashMap<Arc<str>, Truth>,
}

impl Ledger {
    /// A pod is bound to a node.
    pub fn placed(&mut self, uid: &Arc<str>, at: Millis) {
        self.open.insert(uid.clone(), Placement { at, ready: false, truth: None });
    }

    /// A pod became ready.
    pub fn ready(&mut self, uid: &str) {
        if let Some(placement) = self.open.get_mut(uid) {
            placement.ready = true;
        }
    }

    /// A container came to harm; the first harm within the horizon counts.
    pub fn harmed(&mut self, harm: &Harm) {
        let truth = match harm.cause {
            HarmCause::Application => Truth::Application,
            HarmCause::Memory => Truth::Bad(0),
            HarmCause::Disk => Truth::Bad(1),
            HarmCause::Cpu => Truth::Bad(2),
            HarmCause::Power => Truth::Bad(3),
            HarmCause::Network => Truth::Bad(4),
        };
        self.first(&harm.uid, harm.at, truth);
    }

    /// Ends the look at whether a pod is late: to be called [`READY_WITHIN`] after it was placed.
    pub fn check_ready(&mut self, uid: &str, at: Millis) {
        if self.open.get(uid).is_some_and(|placement| !placement.ready) {
            self.first(uid, at, Truth::Bad(LATE));
        }
    }

    /// A pod ended well.
    pub fn succeeded(&mut self, uid: &str, at: Millis) {
        self.first(uid, at, Truth::Good);
    }

    /// A pod is deleted by whoever owns it.
    pub fn deleted(&mut self, uid: &str, at: Millis) {
        self.first(uid, at, Truth::Open);
    }

    fn first(&mut self, uid: &str, at: Millis, truth: Truth) {
        if let Some(placement) = self.open.get_mut(uid)
            && placement.truth.is_none()
            && at <= placement.at + HORIZON
        {
            placement.truth = Some(truth);
        }
    }

    /// The horizon has passed since the pod was placed.
    pub fn mature(&mut self, uid: &Arc<str>) {
        if let Some(placement) = self.open.remove(uid) {
            self.judge(uid.clone(), placement, Truth::Good);
        }
    }

    /// The run is over: what is open stays so.
    pub fn close(&mut self) {
        let mut open: Vec<(Arc<str>, Placement)> = self.open.drain().collect();
        open.sort_by(|a, b| a.0.cmp(&b.0));
        for (uid, placement) in open {
            self.judge(uid, placement, Truth::Open);
        }
    }

    fn judge(&mut self, uid: Arc<str>, placement: Placement, otherwise: Truth) {
        let truth = placement.truth.unwrap_or(otherwise);
        let hour = ((placement.at - START) / HOUR) as usize;
        if self.hourly.len() <= hour {
            self.hourly.resize(hour + 1, Tally::default());
        }
        self.hourly[hour].add(truth);
        self.all.add(truth);
        self.judged.insert(uid, truth);
    }
}
