//! Feedback against what the cluster showed.
//!
//! [`Keeper::feedback`] finds the decision, compares, counts, and keeps the record for the next commit. What contradicts the
//! cluster is kept and marked, and neither counted nor trained on.

use crate::keeper::Keeper;
use crate::store::HistoryError;
use crate::types::{
    Agreement, DecisionId, DecisionRecord, Feedback, FeedbackReceipt, FeedbackRecord, Outcome, OutcomeLabel,
    OutcomeState, UnixMillis,
};

impl Keeper {
    /// Takes in one feedback; it is on disk after the next commit.
    pub fn feedback(&mut self, mut feedback: Feedback, at: UnixMillis) -> Result<FeedbackReceipt, HistoryError> {
        self.advance(at);
        let decision = match (feedback.decision_id, &feedback.pod) {
            (Some(id), _) => self.find_decision(id)?,
            (None, Some(pod)) => {
                let predicted = feedback.predicted_node.as_deref();
                self.newest_decision_of(pod)?.filter(|d| predicted.is_none() || d.node.as_deref() == predicted)
            }
            (None, None) => None,
        };
        feedback.decision_id = feedback.decision_id.or(decision.as_ref().map(|d| d.id));
        if let Some(record) = feedback.decision_id.map_or(Ok(None), |id| self.find_feedback_of(id))? {
            return Ok(FeedbackReceipt { record, total: self.totals.feedback, duplicate: true });
        }
        let outcome = feedback.decision_id.map_or(Ok(None), |id| self.find_outcome(id))?;
        let (agreement, agreement_reason) = compare(&feedback, decision.as_ref(), outcome.as_ref());
        if agreement != Agreement::Contradicts {
            self.judge(&feedback, decision.as_ref(), outcome.as_ref(), at);
        }
        self.totals.last_feedback += 1;
        self.totals.feedback += 1;
        self.totals.contradicting += u64::from(agreement == Agreement::Contradicts);
        let record = FeedbackRecord {
            feedback_id: self.totals.last_feedback,
            at,
            feedback,
            agreement,
            agreement_reason,
            trainable: agreement != Agreement::Contradicts,
        };
        self.keep_feedback(record.clone());
        Ok(FeedbackReceipt { record, total: self.totals.feedback, duplicate: false })
    }

    /// Counts feedback as a verdict where the cluster has given none.
    fn judge(&mut self, said: &Feedback, decision: Option<&DecisionRecord>, outcome: Option<&Outcome>, at: UnixMillis) {
        let followed = said.predicted_node.as_deref().or(decision.and_then(|d| d.node.as_deref()));
        // Where the prediction was not followed, the pod's fate says nothing about it.
        if followed.is_some_and(|node| *node != *said.actual_node) {
            return;
        }
        match (decision, outcome) {
            (_, Some(outcome)) if outcome.label != OutcomeLabel::Immature => {}
            (Some(decision), Some(_)) => {
                let Some(pod) = self.tracked_mut(decision) else { return };
                pod.judged = Some(said.success);
                self.count_feedback(decision.id.at(), said.success, decision.p_bad);
            }
            (Some(decision), None) => self.count_feedback(decision.id.at(), said.success, decision.p_bad),
            (None, _) => self.count_feedback(at, said.success, None),
        }
    }

    fn count_feedback(&mut self, day: UnixMillis, good: bool, p_bad: Option<f64>) {
        let day = self.day(day);
        day.judge(good, p_bad, 1);
        day.from_feedback += 1;
    }

    /// The cluster has given a verdict that differs from what feedback said before.
    pub(crate) fn contradict(&mut self, id: DecisionId, good: bool) {
        match self.find_feedback_of(id) {
            Ok(Some(mut record)) if record.agreement != Agreement::Contradicts => {
                record.agreement = Agreement::Contradicts;
                record.agreement_reason =
                    format!("the cluster showed later that it went {}", if good { "well" } else { "bad" });
                record.trainable = false;
                self.totals.contradicting += 1;
                self.keep_feedback(record);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, decision = %id, "feedback cannot be compared with its outcome"),
        }
    }
}

fn compare(said: &Feedback, decision: Option<&DecisionRecord>, outcome: Option<&Outcome>) -> (Agreement, String) {
    use Agreement::{Consistent, Contradicts, Unverified};
    if let (Some(decision), Some(predicted)) = (decision, said.predicted_node.as_deref())
        && decision.node.as_deref() != Some(predicted)
    {
        let named = decision.node.as_deref().unwrap_or("no node");
        return (Contradicts, format!("decision {} named {named}, not {predicted}", decision.id));
    }
    let Some(outcome) = outcome else {
        let why = match (said.decision_id, decision) {
            (_, Some(_)) => "the decision bound no pod that was seen",
            (Some(_), None) => "the decision is not in history",
            (None, None) => "it names no decision",
        };
        return (Unverified, why.to_owned());
    };
    if *outcome.node != *said.actual_node {
        return (Contradicts, format!("the cluster showed the pod on {}", outcome.node));
    }
    let matured = outcome.label != OutcomeLabel::Immature;
    match (outcome.state, said.success) {
        (OutcomeState::Bad, false) => (Consistent, "the cluster showed it go bad".to_owned()),
        (OutcomeState::Bad, true) if outcome.label == OutcomeLabel::Good => {
            (Consistent, "it went bad only after the horizon".to_owned())
        }
        (OutcomeState::Bad, true) => (Contradicts, "the cluster showed it go bad".to_owned()),
        (OutcomeState::Succeeded, false) => (Contradicts, "the cluster showed it complete".to_owned()),
        (OutcomeState::Running, false) if matured => (Contradicts, "the cluster showed it run on".to_owned()),
        (OutcomeState::Running | OutcomeState::Succeeded, true) => {
            (Consistent, "the cluster showed it go well".to_owned())
        }
        (OutcomeState::Running, false) => (Unverified, "the cluster has shown no trouble so far".to_owned()),
        (OutcomeState::Starting | OutcomeState::Preempted | OutcomeState::Deleted, _) => {
            (Unverified, "the cluster did not show how it went".to_owned())
        }
    }
}
