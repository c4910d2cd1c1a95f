//! One transaction for all that has gathered, and retention.

use redb::{ReadableTable as _, WriteTransaction};

use super::{Gone, Keeper, PastState, Pending};
use crate::memory::kept::workload_name;
use crate::store::{self, HistoryError, decode, deflate, encode};
use crate::types::{Agreement, DecisionId, DecisionRecord, FeedbackRecord, UnixMillis};
use crate::usage::{journal, series};

/// Decisions removed in one transaction, so that no commit takes long.
const REMOVE_AT_ONCE: usize = 4_096;

impl Keeper {
    /// Writes all that has gathered. On an error the records of their moment are lost, and counted by the caller; what says how
    /// things stand is written when it can be.
    pub fn commit(&mut self) -> Result<(), HistoryError> {
        let mut pending = std::mem::take(&mut self.pending);
        let store = self.store.clone();
        let result = store.write("writing history", |tx| {
            self.put_records(tx, &mut pending)?;
            self.put_counters(tx, &pending)?;
            self.put_usage(tx, &pending)?;
            self.retain(tx)?;
            let mut meta = tx.open_table(store::META)?;
            let t = self.totals;
            for (name, value) in [
                ("decisions", t.decisions),
                ("decision_bytes", t.decision_bytes),
                ("feedback", t.feedback),
                ("contradicting", t.contradicting),
                ("last_feedback", t.last_feedback),
                ("usage_bytes", t.usage_bytes),
                ("example_bytes", t.example_bytes),
                ("last_series", self.memory.usage.next_id().into()),
            ] {
                meta.insert(name, value)?;
            }
            match self.past.state {
                PastState::Interrupted(until) => {
                    meta.insert("past_until", until.0.unsigned_abs())?;
                    meta.insert("past_series", u64::from(self.past.last_series))?;
                }
                PastState::Known => {
                    meta.remove("past_until")?;
                    meta.insert("past_known", 1)?;
                }
                PastState::Unknown | PastState::Own => {}
            }
            Ok(())
        });
        match result {
            Ok(()) => {
                self.saved = self.totals;
                for name in &pending.nodes {
                    if let Some(memory) = self.memory.nodes.get_mut(name) {
                        memory.series.written();
                    }
                }
                for key in &pending.workloads {
                    if let Some(memory) = self.memory.workloads.get_mut(key) {
                        memory.series.written();
                    }
                }
            }
            Err(_) => {
                self.totals = self.saved;
                self.pending = pending.lasting();
            }
        }
        result
    }

    fn put_records(&mut self, tx: &WriteTransaction, pending: &mut Pending) -> Result<(), redb::Error> {
        let mut decisions = tx.open_table(store::DECISIONS)?;
        let mut by_pod = tx.open_table(store::BY_POD)?;
        let mut by_node = tx.open_table(store::BY_NODE)?;
        for (id, record) in &pending.decisions {
            let bytes = deflate(record)?;
            self.totals.decision_bytes += bytes.len() as u64;
            match decisions.insert(id, bytes.as_slice())? {
                Some(old) => {
                    self.totals.decision_bytes = self.totals.decision_bytes.saturating_sub(old.value().len() as u64);
                }
                None => self.totals.decisions += 1,
            }
            by_pod.insert(store::pod_key(record).as_slice(), ())?;
            if let Some(node) = &record.node {
                by_node.insert(store::node_key(node, record.id).as_slice(), ())?;
            }
        }
        let mut outcomes = tx.open_table(store::OUTCOMES)?;
        for (id, outcome) in &pending.outcomes {
            outcomes.insert(id, encode(outcome)?.as_slice())?;
        }
        let mut feedback = tx.open_table(store::FEEDBACK)?;
        for (id, record) in &pending.feedback {
            feedback.insert(id, encode(record)?.as_slice())?;
        }
        let mut feedback_of = tx.open_table(store::FEEDBACK_OF)?;
        for (decision, id) in &pending.feedback_of {
            feedback_of.insert(decision, id)?;
        }
        let mut examples = tx.open_table(store::EXAMPLES)?;
        for (id, example) in &pending.examples {
            let bytes = deflate(example)?;
            self.totals.example_bytes += bytes.len() as u64;
            if let Some(old) = examples.insert(id, bytes.as_slice())? {
                let held = &mut self.totals.example_bytes;
                *held = held.saturating_sub(old.value().len() as u64);
            }
        }
        Ok(())
    }

    fn put_counters(&mut self, tx: &WriteTransaction, pending: &Pending) -> Result<(), redb::Error> {
        let mut pods = tx.open_table(store::PODS)?;
        for uid in &pending.pods {
            match self.memory.pods.get(uid).map(Box::as_ref).or_else(|| pending.closed.get(uid)) {
                Some(pod) => pods.insert(&**uid, encode(pod)?.as_slice())?,
                None => pods.remove(&**uid)?,
            };
        }
        let mut days = tx.open_table(store::DAYS)?;
        for day in &pending.days {
            match self.days.get(day) {
                Some(counts) => days.insert(day, encode(counts)?.as_slice())?,
                None => days.remove(day)?,
            };
        }
        let mut node_hours = tx.open_table(store::NODE_HOURS)?;
        let mut workload_hours = tx.open_table(store::WORKLOAD_HOURS)?;
        for (gone, hour) in &pending.hours_gone {
            match gone {
                Gone::Node(name) => node_hours.remove((*hour, &**name))?,
                Gone::Workload(key) => workload_hours.remove((*hour, workload_name(key).as_str()))?,
            };
        }
        let mut usage = tx.open_table(store::USAGE)?;
        for name in &pending.nodes {
            let Some(memory) = self.memory.nodes.get(name) else {
                usage.remove(&**name)?;
                continue;
            };
            for (hour, bucket) in memory.series.dirty() {
                node_hours.insert((hour, &**name), bucket.to_bytes().as_slice())?;
            }
            usage.insert(&**name, encode(&self.memory.kept_node(memory))?.as_slice())?;
        }
        let mut tallies = tx.open_table(store::WORKLOAD_TALLIES)?;
        for key in &pending.workloads {
            let name = workload_name(key);
            match self.memory.workloads.get(key) {
                Some(known) => tallies.insert(name.as_str(), encode(&self.memory.kept_workload(known))?.as_slice())?,
                None => tallies.remove(name.as_str())?,
            };
            let Some(memory) = self.memory.workloads.get(key) else { continue };
            for (hour, bucket) in memory.series.dirty() {
                workload_hours.insert((hour, name.as_str()), bucket.to_bytes().as_slice())?;
            }
        }
        let mut cells = tx.open_table(store::NODE_CELLS)?;
        for (node, workload) in &pending.cells {
            let name = workload_name(workload);
            match self.memory.cell_of(node, workload) {
                Some(cell) => cells.insert((&**node, name.as_str()), cell.to_bytes().as_slice())?,
                None => cells.remove((&**node, name.as_str()))?,
            };
        }
        let mut cluster = tx.open_table(store::CLUSTER)?;
        cluster.insert("recent", encode(&self.memory.kept_cluster())?.as_slice())?;
        Ok(())
    }

    fn put_usage(&mut self, tx: &WriteTransaction, pending: &Pending) -> Result<(), redb::Error> {
        let mut histograms = tx.open_table(store::WORKLOAD_USAGE)?;
        for key in &pending.workloads {
            if self.memory.workloads.find(key).is_none() {
                histograms.remove(workload_name(key).as_str())?;
            }
        }
        for (key, usage) in &pending.usage {
            if self.memory.workloads.find(key).is_some() {
                histograms.insert(workload_name(key).as_str(), encode(usage)?.as_slice())?;
            }
        }
        let mut peaks = tx.open_table(store::POD_PEAKS)?;
        for (name, peak) in &pending.peaks {
            match peak {
                Some(peak) => peaks.insert(name.as_str(), peak.to_bytes().as_slice())?,
                None => peaks.remove(name.as_str())?,
            };
        }
        let now = self.memory.now();
        let held = &mut self.totals.usage_bytes;
        if let Some(until) = self.past.clear.take() {
            series::clear_past(tx, until, held)?;
        }
        let (reached, window) = (self.past.reached(), self.memory.window_ms());
        series::write(tx, now, &pending.series_created, &pending.series_ended, &pending.sealed, reached, held)?;
        journal::write(tx, &pending.rounds, &pending.pods_ended, pending.journal_until)?;
        self.compacting = series::compact(tx, now, window, reached, held)?;
        series::keep_within(tx, self.usage_budget, held)?;
        self.compacting |= *held > self.usage_budget;
        Ok(())
    }

    /// Forgets decisions, feedback and examples that left the window, and the oldest decisions above the byte budget.
    fn retain(&mut self, tx: &WriteTransaction) -> Result<(), redb::Error> {
        let over = self.totals.decision_bytes > self.byte_budget || self.totals.example_bytes > self.example_budget;
        if !over && self.memory.now().0 - self.retained_at < 60_000 {
            return Ok(());
        }
        self.retained_at = self.memory.now().0;
        let oldest = UnixMillis(self.memory.now().0 - self.memory.window_ms());
        let first = DecisionId::first_at(oldest).0;
        let mut decisions = tx.open_table(store::DECISIONS)?;
        let mut by_pod = tx.open_table(store::BY_POD)?;
        let mut by_node = tx.open_table(store::BY_NODE)?;
        let mut outcomes = tx.open_table(store::OUTCOMES)?;
        let mut feedback_of = tx.open_table(store::FEEDBACK_OF)?;
        for _ in 0..REMOVE_AT_ONCE {
            let Some((id, record, bytes)) = decisions
                .first()?
                .map(|(k, v)| (k.value(), decode::<DecisionRecord>(v.value(), "decision"), v.value().len() as u64))
            else {
                break;
            };
            if id >= first && self.totals.decision_bytes <= self.byte_budget {
                break;
            }
            decisions.remove(id)?;
            outcomes.remove(id)?;
            feedback_of.remove(id)?;
            self.totals.decisions = self.totals.decisions.saturating_sub(1);
            self.totals.decision_bytes = self.totals.decision_bytes.saturating_sub(bytes);
            if let Ok(record) = record {
                by_pod.remove(store::pod_key(&record).as_slice())?;
                if let Some(node) = &record.node {
                    by_node.remove(store::node_key(node, record.id).as_slice())?;
                }
            }
        }
        // Also what belongs to decisions that the byte budget removed earlier.
        outcomes.retain_in(..first, |_, _| false)?;
        feedback_of.retain_in(..first, |_, _| false)?;
        let mut examples = tx.open_table(store::EXAMPLES)?;
        for _ in 0..REMOVE_AT_ONCE {
            let oldest = examples.first()?.map(|(id, bytes)| (id.value(), bytes.value().len() as u64));
            let held = &mut self.totals.example_bytes;
            let Some((id, bytes)) = oldest.filter(|(id, _)| *id < first || *held > self.example_budget) else { break };
            examples.remove(id)?;
            *held = held.saturating_sub(bytes);
        }
        let mut feedback = tx.open_table(store::FEEDBACK)?;
        for _ in 0..REMOVE_AT_ONCE {
            let Some((id, record)) =
                feedback.first()?.map(|(k, v)| (k.value(), serde_json::from_slice::<FeedbackRecord>(v.value())))
            else {
                break;
            };
            if record.as_ref().is_ok_and(|record| record.at >= oldest) {
                break;
            }
            feedback.remove(id)?;
            self.totals.feedback = self.totals.feedback.saturating_sub(1);
            let contradicts = record.is_ok_and(|r| r.agreement == Agreement::Contradicts);
            self.totals.contradicting = self.totals.contradicting.saturating_sub(u64::from(contradicts));
        }
        Ok(())
    }
}
