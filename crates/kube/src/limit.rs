//! A limit on requests to the API server, as client-go's `qps` and `burst`: [`limited`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;

use crate::client::from_service;

/// How many requests may be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestLimit {
    /// The pause between requests, over time.
    interval: Duration,
    /// By how much requests may come before their time.
    ahead: Duration,
}

impl RequestLimit {
    /// So many requests a second, and at most `burst` at once; `None` for no limit, which 0 and less stand for.
    #[must_use]
    pub fn new(qps: f32, burst: i32) -> Option<RequestLimit> {
        let interval = Duration::try_from_secs_f64(1.0 / f64::from(qps)).ok().filter(|interval| !interval.is_zero())?;
        let others = u32::try_from(burst.saturating_sub(1)).unwrap_or(0);
        Some(RequestLimit { interval, ahead: interval.saturating_mul(others) })
    }

    /// When a request may be sent that comes at `now`, and the time of the one after it; `due` is its own.
    fn admit(&self, due: Option<Instant>, now: Instant) -> (Duration, Instant) {
        let due = due.map_or(now, |due| due.max(now));
        let wait = (due - now).saturating_sub(self.ahead);
        (wait, due + self.interval)
    }
}

/// The client with a limit on its requests. Requests beyond it wait; how many there can be is up to those who send them.
#[must_use]
pub fn limited(client: Client, limit: RequestLimit) -> Client {
    let due: Arc<Mutex<Option<Instant>>> = Arc::default();
    from_service(tower::service_fn(move |request| {
        let (client, due) = (client.clone(), due.clone());
        async move {
            let wait = {
                let mut due = due.lock().unwrap_or_else(PoisonError::into_inner);
                let (wait, next) = limit.admit(*due, Instant::now());
                *due = Some(next);
                wait
            };
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            client.send(request).await
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_each_interval() {
        let limit = RequestLimit::new(10.0, 3).expect("a limit");
        let start = Instant::now();
        let mut due = None;
        let mut send = |after_ms: u64| {
            let (wait, next) = limit.admit(due, start + Duration::from_millis(after_ms));
            due = Some(next);
            wait.as_millis()
        };
        assert_eq!([send(0), send(0), send(0), send(0), send(0)], [0, 0, 0, 100, 200]);
        assert_eq!(send(1000), 0, "after a pause there is a burst again");
        assert_eq!([send(1000), send(1000), send(1000)], [0, 0, 100]);
    }

    #[test]
    fn nothing_and_less_is_no_limit() {
        assert_eq!([0.0, -1.0, f32::NAN].map(|qps| RequestLimit::new(qps, 1)), [None; 3]);
    }
}
