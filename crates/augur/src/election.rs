//! The settings of the leader election, and under which name this replica stands. Start at [`lease`].

use std::path::Path;

use anyhow::Context;
use augur_config::{GoDuration, LeaderElection};
use augur_kube::LeaseConfig;
use clap::{ArgAction, Args};

use crate::span::Span;

/// The file in the data folder that has the replica's identity.
const IDENTITY: &str = "identity";

/// Leader election, under kube-scheduler's names.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leader election")]
pub struct ElectionArgs {
    /// Decides only while this replica holds the lease; the others follow the cluster and stand by. [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    pub leader_elect: Option<bool>,
    /// The namespace of the lease. [default: kube-system]
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: Option<String>,
    /// The name of the lease; that of another scheduler only to take turns with it. [default: augur]
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,
    /// How long standbys wait after the leader's last renewal before they take the lease. [default: 15s]
    #[arg(long, value_name = "SPAN")]
    pub leader_elect_lease_duration: Option<Span>,
    /// How long the leader goes on without being able to renew. [default: 10s]
    #[arg(long, value_name = "SPAN")]
    pub leader_elect_renew_deadline: Option<Span>,
    /// Pause between attempts to take or renew the lease. [default: 2s]
    #[arg(long, value_name = "SPAN")]
    pub leader_elect_retry_period: Option<Span>,
}

/// The lease to be competed for by these settings; `None` when there is to be no election.
///
/// # Errors
/// When the timings cannot work, or the identity can be neither read nor written.
pub fn lease(election: &LeaderElection, data_dir: &Path) -> anyhow::Result<Option<LeaseConfig>> {
    if !election.leader_elect {
        return Ok(None);
    }
    let config = LeaseConfig {
        lease_duration: election.lease_duration.to_std(),
        renew_deadline: election.renew_deadline.to_std(),
        retry_period: election.retry_period.to_std(),
        ..LeaseConfig::new(&election.resource_namespace, &election.resource_name, &identity(data_dir)?)
    };
    config.validate().map_err(|why| anyhow::anyhow!("leader election: {why}"))?;
    Ok(Some(config))
}

impl ElectionArgs {
    /// Puts what is given over the settings of the configuration file.
    pub fn apply(&self, election: &mut LeaderElection) {
        fn put<T: Clone>(given: Option<&T>, place: &mut T) {
            if let Some(given) = given {
                place.clone_from(given);
            }
        }
        put(self.leader_elect.as_ref(), &mut election.leader_elect);
        put(self.leader_elect_resource_namespace.as_ref(), &mut election.resource_namespace);
        put(self.leader_elect_resource_name.as_ref(), &mut election.resource_name);
        let length = |span: Option<Span>| span.map(|Span(length)| GoDuration::of(length));
        put(length(self.leader_elect_lease_duration).as_ref(), &mut election.lease_duration);
        put(length(self.leader_elect_renew_deadline).as_ref(), &mut election.renew_deadline);
        put(length(self.leader_elect_retry_period).as_ref(), &mut election.retry_period);
    }
}

/// Host and a random number, kept in the data folder. No other process can have that folder open, so that whoever finds its
/// own name on the lease knows that nobody else acts under it, and need not wait after a crash.
fn identity(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(IDENTITY);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "augur",
        host => host,
    };
    // Each of the two is seeded by the system anew.
    let random = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    let identity = format!("{host}_{:016x}{:016x}", random(), random());
    let before = path.with_extension("new");
    std::fs::write(&before, &identity)
        .and_then(|()| std::fs::rename(&before, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        election: ElectionArgs,
    }

    fn lease(flags: &[&str], folder: &Path) -> anyhow::Result<Option<LeaseConfig>> {
        let mut election = augur_config::KubeSchedulerConfiguration::default().leader_election;
        Flags::try_parse_from([&["augur"], flags].concat())?.election.apply(&mut election);
        super::lease(&election, folder)
    }

    #[test]
    fn the_defaults_are_those_of_kube_scheduler_and_the_identity_stays() {
        let folder = tempfile::tempdir().unwrap();
        let config = lease(&[], folder.path()).unwrap().unwrap();
        assert_eq!(config, LeaseConfig::new("kube-system", "augur", &config.identity));
        assert_eq!(lease(&[], folder.path()).unwrap().unwrap().identity, config.identity);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(lease(&[], other.path()).unwrap().unwrap().identity, config.identity);
    }

    #[test]
    fn it_can_be_switched_off_and_wrong_timings_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(lease(&["--leader-elect=false"], folder.path()).unwrap(), None);
        assert!(lease(&["--leader-elect"], folder.path()).unwrap().is_some());
        let named =
            lease(&["--leader-elect-resource-name", "own", "--leader-elect-retry-period", "500ms"], folder.path());
        let named = named.unwrap().unwrap();
        assert_eq!((named.name.as_str(), named.retry_period), ("own", std::time::Duration::from_millis(500)));
        let error = lease(&["--leader-elect-lease-duration", "5s"], folder.path()).unwrap_err().to_string();
        assert!(error.contains("leaseDuration 5s must be longer than renewDeadline 10s"), "{error}");
    }
}
