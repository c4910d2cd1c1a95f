//! Leader election by a `Lease`, with the rules and timings of client-go, and the fence that keeps a deposed leader from acting.
//!
//! [`campaign`] competes for the lease for as long as it runs and tells of it through a [`Leadership`]; whatever changes the
//! cluster asks [`Fence::permit`] right before each request. A leader that cannot renew stops sending after the renew deadline
//! and cuts off what is under way when the lease ends, which is before any other replica may take it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use augur_clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Spread of the pauses between attempts at the lease, as in client-go (`JitterFactor`).
const JITTER: f64 = 1.2;

/// Which lease is competed for, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name; replicas of one scheduler share it, and no other scheduler has it.
    pub name: String,
    /// What this replica is called; unique among them.
    pub identity: String,
    /// How long others wait after the last renewal that they saw (15 s in client-go).
    pub lease_duration: Duration,
    /// How long the leader goes on without being able to renew (10 s); shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// Pause between attempts (2 s); shorter than `renew_deadline`.
    pub retry_period: Duration,
}

impl LeaseConfig {
    /// client-go's timings.
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        LeaseConfig {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// client-go's own checks.
    ///
    /// # Errors
    /// A sentence that names the setting and its bound.
    pub fn validate(&self) -> Result<(), String> {
        // The lease tells others in whole seconds when they may take it.
        if self.lease_duration.subsec_nanos() != 0 {
            return Err(format!("leaseDuration {:?} must be whole seconds", self.lease_duration));
        }
        if self.lease_duration <= self.renew_deadline {
            return Err(format!(
                "leaseDuration {:?} must be longer than renewDeadline {:?}",
                self.lease_duration, self.renew_deadline
            ));
        }
        if self.renew_deadline <= self.retry_period.mul_f64(JITTER) {
            return Err(format!(
                "renewDeadline {:?} must be longer than {JITTER} times retryPeriod {:?}",
                self.renew_deadline, self.retry_period
            ));
        }
        if self.retry_period.is_zero() {
            return Err("retryPeriod must be above zero".to_owned());
        }
        if self.name.is_empty() || self.namespace.is_empty() || self.identity.is_empty() {
            return Err("resourceName, resourceNamespace and the identity must not be empty".to_owned());
        }
        Ok(())
    }
}

/// How the election stands for this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// There is no election; this replica leads.
    Alone,
    /// This replica leads.
    Leader,
    /// Another replica leads, or nobody does yet.
    Standby {
        /// Who holds the lease, as far as known.
        holder: Option<String>,
        /// Why the last attempt failed, unless somebody else simply holds the lease.
        error: Option<String>,
    },
}

impl Leadership {
    /// Whether this replica may decide.
    pub fn leads(&self) -> bool {
        !matches!(self, Leadership::Standby { .. })
    }
}

/// Whether requests that change the cluster may be sent. Cheap to clone; all clones show the same.
#[derive(Debug, Clone)]
pub struct Fence(Option<Arc<Term>>);

/// What the fence of an election is made of.
#[derive(Debug)]
struct Term {
    /// When the renewal was sent that last went through, by monotonic and by wall time: the former stands still while a machine
    /// is suspended, the latter may be set back.
    renewed: Mutex<Option<(Instant, Timestamp)>>,
    clock: Clock,
    renew_deadline: Duration,
    lease_duration: Duration,
    /// Told when the fence is closed.
    closing: Notify,
}

impl Fence {
    /// The fence of a replica that leads without an election: never closed.
    pub fn open() -> Self {
        Fence(None)
    }

    /// The fence of an election, closed until the lease is held; `clock` tells the wall time.
    pub fn closed(config: &LeaseConfig, clock: Clock) -> Self {
        Fence(Some(Arc::new(Term {
            renewed: Mutex::new(None),
            clock,
            renew_deadline: config.renew_deadline,
            lease_duration: config.lease_duration,
            closing: Notify::new(),
        })))
    }

    /// How long a request that is sent now may be under way at most; `None` when none may be sent.
    pub fn permit(&self) -> Option<Duration> {
        let Some(term) = &self.0 else { return Some(Duration::MAX) };
        let (instant, wall) = (*term.renewed.lock().unwrap_or_else(PoisonError::into_inner))?;
        let by_wall = Duration::try_from(term.clock.wall().duration_since(wall)).unwrap_or_default();
        let since = instant.elapsed().max(by_wall);
        (since < term.renew_deadline).then(|| term.lease_duration.saturating_sub(since))
    }

    /// The machine's time.
    fn wall(&self) -> Timestamp {
        self.0.as_ref().map_or_else(Timestamp::now, |term| term.clock.wall())
    }

    /// The lease was renewed by a request sent at this time.
    fn renewed(&self, at: (Instant, Timestamp)) {
        self.set(Some(at));
    }

    /// The lease is lost or given back.
    fn close(&self) {
        self.set(None);
        if let Some(term) = &self.0 {
            term.closing.notify_waiters();
        }
    }

    /// Waits for an answer until the fence is closed; `None` when it was. What is under way then is given up, whatever came of it.
    pub(crate) async fn while_open<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let Some(term) = &self.0 else { return Some(answer.await) };
        let mut closing = std::pin::pin!(term.closing.notified());
        // From here on no closing is missed; one that came before shows by the missing permit.
        closing.as_mut().enable();
        self.permit()?;
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = closing => None,
        }
    }

    fn set(&self, renewed: Option<(Instant, Timestamp)>) {
        if let Some(term) = &self.0 {
            *term.renewed.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        }
    }
}

/// What was seen of the lease, and when by our own clock: clocks of replicas are never compared.
struct Observed {
    lease: Lease,
    at: Instant,
}

/// Competes for the lease until `stop` is true, then gives it back if it is held. Tells how it stands through `told`, and opens
/// and closes `fence`. Calls `elected` when it has come to the lease, before the fence opens. The caller sets `stop` only after its own requests have ended.
pub async fn campaign(
    client: Client,
    config: LeaseConfig,
    fence: Fence,
    told: Arc<watch::Sender<Leadership>>,
    elected: impl Fn() + Send,
    mut stop: watch::Receiver<bool>,
) {
    let leases: Api<Lease> = Api::namespaced(client, &config.namespace);
    let mut campaign = Campaign { leases, config, fence, told, elected, observed: None, renewed: None };
    loop {
        campaign.turn().await;
        let pause = campaign.pause();
        tokio::select! {
            biased;
            // A sender that is gone will not stop anything any more: whoever ran this has ended.
            _ = stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    campaign.release().await;
}

struct Campaign<F> {
    leases: Api<Lease>,
    config: LeaseConfig,
    fence: Fence,
    told: Arc<watch::Sender<Leadership>>,
    elected: F,
    observed: Option<Observed>,
    /// When the renewal was sent that last went through, while leading.
    renewed: Option<Instant>,
}

/// What an attempt came to.
enum Attempt {
    /// The lease is ours, by a request sent at this time.
    Held(Instant, Timestamp),
    /// Somebody else holds it.
    Other(String),
}

impl<F: Fn() + Send> Campaign<F> {
    /// One attempt, and what follows from it.
    async fn turn(&mut self) {
        // A leader gives an attempt what is left of its time; others may wait as long as for a lost leader.
        let left = self
            .renewed
            .map_or(self.config.renew_deadline, |renewed| self.config.renew_deadline.saturating_sub(renewed.elapsed()));
        let attempt = tokio::time::timeout(left, self.attempt()).await;
        match attempt.unwrap_or_else(|_| Err(format!("no answer within {left:?}"))) {
            Ok(Attempt::Held(instant, wall)) => {
                if self.renewed.is_none() {
                    (self.elected)();
                }
                self.fence.renewed((instant, wall));
                if self.renewed.replace(instant).is_none() {
                    tracing::info!(lease = %self.path(), identity = %self.config.identity, "leads");
                    self.told.send_replace(Leadership::Leader);
                }
            }
            Ok(Attempt::Other(holder)) => {
                self.depose(&format!("{holder} holds it"));
                self.stand_by(Leadership::Standby { holder: Some(holder), error: None });
            }
            Err(error) => {
                if let Some(renewed) = self.renewed {
                    tracing::warn!(lease = %self.path(), %error, "the lease is not renewed");
                    if renewed.elapsed() < self.config.renew_deadline {
                        return;
                    }
                    self.depose(&error);
                }
                // What was seen may have changed unseen; it is read again before anything is written.
                if let Some(observed) = &mut self.observed {
                    observed.lease.metadata.resource_version = None;
                }
                let holder = self.observed.as_ref().and_then(|observed| holder(&observed.lease)).map(str::to_owned);
                self.stand_by(Leadership::Standby { holder, error: Some(error) });
            }
        }
    }

    /// Ends the term, if there is one.
    fn depose(&mut self, why: &str) {
        self.fence.close();
        if self.renewed.take().is_some() {
            tracing::error!(lease = %self.path(), why, "the lease is lost; nothing is bound until it is held again");
        }
    }

    fn stand_by(&self, state: Leadership) {
        self.told.send_if_modified(|told| {
            let changed = *told != state;
            *told = state;
            changed
        });
    }

    fn path(&self) -> String {
        format!("{}/{}", self.config.namespace, self.config.name)
    }

    /// A leader renews evenly; candidates vary, so that they do not all come at once.
    fn pause(&self) -> Duration {
        match self.renewed {
            Some(renewed) => {
                let left = self.config.renew_deadline.saturating_sub(renewed.elapsed());
                self.config.retry_period.min(left)
            }
            None => crate::Backoff::new(self.config.retry_period.mul_f64(JITTER), Duration::MAX).pause(),
        }
    }

    /// Takes or renews the lease, as `tryAcquireOrRenew` of client-go does.
    async fn attempt(&mut self) -> Result<Attempt, String> {
        // While leading, what was written last is what is there; a conflict shows when it is not.
        let known = self
            .observed
            .as_ref()
            .filter(|observed| self.renewed.is_some() && observed.lease.metadata.resource_version.is_some());
        let lease = match known {
            Some(observed) => observed.lease.clone(),
            None => match self.leases.get_opt(&self.config.name).await {
                Ok(Some(lease)) => self.observe(lease),
                Ok(None) => return self.create().await,
                Err(error) => return Err(format!("cannot get the lease: {}", text(error))),
            },
        };
        if let Some(other) = holder(&lease).filter(|holder| *holder != self.config.identity) {
            let duration = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
            let duration = Duration::from_secs(u64::try_from(duration).unwrap_or(0));
            let seen = self.observed.as_ref().map_or(Duration::ZERO, |observed| observed.at.elapsed());
            if seen < duration {
                return Ok(Attempt::Other(other.to_owned()));
            }
        }
        let next = self.next(Some(&lease));
        let sent = (Instant::now(), self.fence.wall());
        match self.leases.replace(&self.config.name, &PostParams::default(), &next).await {
            Ok(lease) => {
                self.observe(lease);
                Ok(Attempt::Held(sent.0, sent.1))
            }
            Err(error) => {
                // What is known is not what is there.
                if let Some(observed) = &mut self.observed {
                    observed.lease.metadata.resource_version = None;
                }
                Err(format!("cannot write the lease: {}", text(error)))
            }
        }
    }

    async fn create(&mut self) -> Result<Attempt, String> {
        let lease = self.next(None);
        let sent = (Instant::now(), self.fence.wall());
        match self.leases.create(&PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observe(lease);
                Ok(Attempt::Held(sent.0, sent.1))
            }
            Err(error) => Err(format!("cannot create the lease: {}", text(error))),
        }
    }

    /// Keeps what was seen; its age begins anew only when it changed.
    fn observe(&mut self, lease: Lease) -> Lease {
        let unchanged = self.observed.as_ref().filter(|observed| observed.lease.spec == lease.spec);
        let at = unchanged.map_or_else(Instant::now, |observed| observed.at);
        self.observed = Some(Observed { lease: lease.clone(), at });
        lease
    }

    /// The lease as this replica would hold it.
    fn next(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(self.fence.wall());
        let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.config.identity);
        let transitions = spec.lease_transitions.unwrap_or(0);
        Lease {
            metadata: match before {
                Some(lease) => lease.metadata.clone(),
                None => ObjectMeta {
                    name: Some(self.config.name.clone()),
                    namespace: Some(self.config.namespace.clone()),
                    ..ObjectMeta::default()
                },
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.config.identity.clone()),
                lease_duration_seconds: Some(seconds(self.config.lease_duration)),
                acquire_time: if ours { spec.acquire_time.clone() } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(if ours || before.is_none() {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                ..spec
            }),
        }
    }

    /// Gives the lease back, so that another replica need not wait for its end.
    async fn release(&mut self) {
        self.fence.close();
        let (Some(_), Some(observed)) = (self.renewed.take(), &self.observed) else { return };
        let mut lease = observed.lease.clone();
        if let Some(spec) = &mut lease.spec {
            let now = MicroTime(self.fence.wall());
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            (spec.acquire_time, spec.renew_time) = (Some(now.clone()), Some(now));
        }
        let params = PostParams::default();
        let written = self.leases.replace(&self.config.name, &params, &lease);
        match tokio::time::timeout(self.config.retry_period, written).await {
            Ok(Ok(_)) => tracing::info!(lease = %self.path(), "given back"),
            Ok(Err(error)) => tracing::warn!(lease = %self.path(), error = %text(error), "not given back"),
            Err(_) => tracing::warn!(lease = %self.path(), "not given back in time"),
        }
        self.stand_by(Leadership::Standby { holder: None, error: None });
    }
}

/// Who holds the lease; nobody does when the name is empty.
fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Whole seconds, at least one, as the API wants them.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)
}

/// The server's own words where there are some.
fn text(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
