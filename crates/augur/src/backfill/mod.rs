//! The days before the first start, from a Prometheus-compatible server: [`Backfill::run`].
//!
//! A span of hours is asked for, turned into steps ([`Replay`]), and handed to history step by step; the next span follows when
//! these are taken in. Scheduling goes on meanwhile, by what the present tells. Nothing counts before all is told, so that a
//! process that dies on the way leaves nothing half known: the next one begins anew.

mod replay;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use augur_clock::Clock;
use augur_history::{HistoryHandle, PastProgress, PastState, PastStep, UnixMillis};
use augur_kube::{PastHours, Prometheus, PrometheusOptions, UsageSource};
use jiff::Timestamp;
use kube::Client;
use tokio::sync::oneshot;

use crate::config::{Metrics, MetricsSource};
use replay::Replay;

/// The span that is asked for first.
const FIRST_SPAN: Duration = Duration::from_secs(3600);
/// The longest one: 1,440 points of a series at a minute's step, of the 11,000 that Prometheus gives.
const LONGEST_SPAN: Duration = Duration::from_secs(24 * 3600);
/// A span that was told so fast may be followed by a longer one.
const FAST: Duration = Duration::from_secs(5);
/// One that took so long is followed by a shorter one.
const SLOW: Duration = Duration::from_secs(60);
/// Usage is told at every coarse step, what happens to pods and nodes at every so many parts of it.
const PARTS: u32 = 5;
/// The longest wait before a question that failed is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long history's queue is given to empty before the next attempt to put something into it.
const BUSY: Duration = Duration::from_millis(50);
/// Steps handed over at once: what history takes in without keeping anybody else waiting for long.
const STEPS_AT_ONCE: usize = 5;

/// The server, if there is one.
///
/// # Errors
/// When the settings cannot be used.
pub fn prometheus(config: &Metrics) -> anyhow::Result<Option<Prometheus>> {
    let section = &config.prometheus;
    let Some(url) = section.url.clone().filter(|url| !url.is_empty()) else { return Ok(None) };
    let options = PrometheusOptions {
        url,
        bearer_token_file: section.bearer_token_file.as_ref().map(Into::into),
        ca_file: section.ca_file.as_ref().map(Into::into),
        insecure_skip_verify: section.insecure_skip_verify,
        tenant: section.tenant.clone(),
        node_label: section.node_label.clone(),
        rate_window: section.rate_window.0,
        timeout: config.api_timeout.0,
    };
    Prometheus::new(&options).map(Some).context("metrics.prometheus")
}

/// Who tells what nodes and pods use.
///
/// # Errors
/// When that is Prometheus and its address is not given.
pub fn usage_source(config: &Metrics, client: &Client, prometheus: Option<&Prometheus>) -> anyhow::Result<UsageSource> {
    match config.source {
        MetricsSource::MetricsApi => Ok(UsageSource::MetricsApi(client.clone(), config.api_timeout.0)),
        MetricsSource::Prometheus => prometheus
            .map(|prometheus| UsageSource::Prometheus(prometheus.clone()))
            .context("metrics.source is prometheus: give its address as metrics.prometheus.url or --prometheus-url"),
    }
}

/// Tells history the days before.
pub struct Backfill {
    /// Who is asked.
    pub prometheus: Prometheus,
    /// Who is told.
    pub history: HistoryHandle,
    /// The time.
    pub clock: Clock,
    /// How far back.
    pub window: Duration,
    /// Time between readings of usage.
    pub step: Duration,
}

impl Backfill {
    /// Tells them, if history is empty or an earlier attempt did not come to its end. What fails is tried again until the process
    /// ends.
    pub async fn run(self) {
        let step = self.step.max(Duration::from_secs(1));
        let until = match self.history.past_state() {
            PastState::Known | PastState::Own => return,
            PastState::Unknown => self.clock.now(),
            PastState::Interrupted(until) => Timestamp::from_millisecond(until.0).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let until = floor(until, step);
        let from = floor(until.checked_sub(self.window).unwrap_or(Timestamp::UNIX_EPOCH), step);
        let mut progress = PastProgress {
            source: self.prometheus.name().clone(),
            from: millis(from),
            until: millis(until),
            reached: millis(from),
            ..PastProgress::default()
        };
        self.history.tell_past_progress(progress.clone());
        tracing::info!(source = %progress.source, %from, %until, "taking in the days before the first start");
        let at = millis(until);
        self.tell(|done| self.history.begin_past(at, done)).await;
        let fine = (step / PARTS).max(Duration::from_secs(1));
        let mut replay = Replay::new();
        let (mut reached, mut span, mut wait) = (from, FIRST_SPAN.max(step), Duration::from_millis(500));
        while reached < until {
            let end = reached.checked_add(span).unwrap_or(until).min(until);
            let asked = tokio::time::Instant::now();
            match self.prometheus.past((reached, end), (step, fine)).await {
                Ok(hours) => {
                    note(&mut progress, &hours);
                    for steps in replay.steps(hours).chunks(STEPS_AT_ONCE) {
                        let steps: Arc<[PastStep]> = steps.into();
                        self.tell(|done| self.history.past(steps.clone(), done)).await;
                    }
                    (reached, wait) = (end, Duration::from_millis(500));
                    span = match asked.elapsed() {
                        took if took < FAST => (2 * span).min(LONGEST_SPAN),
                        took if took > SLOW => (span / 2).max(step),
                        _ => span,
                    };
                    (progress.reached, progress.error) = (millis(reached), None);
                    tracing::info!(%reached, %until, "the days before: taken in so far");
                }
                Err(error) if error.is_too_much() && span > step => {
                    tracing::info!(%error, "the days before: asking for less at once");
                    span = (span / 2).max(step);
                    // On the grid of steps, or points would be asked for twice.
                    span = Duration::from_millis((span.as_millis() / step.as_millis() * step.as_millis()) as u64);
                }
                Err(error) => {
                    tracing::warn!(%error, "the days before: asking again later");
                    progress.error = Some(error.to_string());
                    self.history.tell_past_progress(progress.clone());
                    tokio::time::sleep(wait).await;
                    wait = (2 * wait).min(LONGEST_WAIT);
                }
            }
            for (reason, count) in replay.take_rejected() {
                *progress.rejected.entry(reason).or_default() += count;
            }
            self.history.tell_past_progress(progress.clone());
        }
        self.tell(|done| self.history.end_past(done)).await;
        progress.done = true;
        tracing::info!(rejected = ?progress.rejected, "the days before the first start are taken in");
        self.history.tell_past_progress(progress);
    }

    /// Hands something to history, and waits until it has been taken in.
    async fn tell(&self, post: impl Fn(Box<dyn FnOnce() + Send>) -> bool) {
        loop {
            let (sender, done) = oneshot::channel();
            // The receiver is gone only when the process ends.
            let done_with = move || sender.send(()).unwrap_or_default();
            if post(Box::new(done_with)) {
                // Without an answer history has been closed, and the process ends.
                let _ = done.await;
                return;
            }
            tokio::time::sleep(BUSY).await;
        }
    }
}

fn note(progress: &mut PastProgress, hours: &PastHours) {
    for (reason, count) in &hours.rejected {
        *progress.rejected.entry(reason).or_default() += count;
    }
    if let Some(warning) = hours.warnings.last() {
        progress.warning = Some(warning.clone());
    }
}

fn millis(at: Timestamp) -> UnixMillis {
    UnixMillis(at.as_millisecond())
}

/// The last multiple of `step` at or before `at`.
fn floor(at: Timestamp, step: Duration) -> Timestamp {
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_millisecond(at.as_millisecond().div_euclid(step) * step).unwrap_or(Timestamp::UNIX_EPOCH)
}
