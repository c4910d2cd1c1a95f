//! The settings of the leader election, and under which name this replica stands. Start at [`ElectionArgs::lease`].

use std::path::Path;

use anyhow::Context;
use augur_kube::LeaseConfig;
use clap::{ArgAction, Args};

use crate::span::Span;

/// The file in the data folder that has the replica's identity.
const IDENTITY: &str = "identity";

/// Leader election, under kube-scheduler's names.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leader election")]
pub struct ElectionArgs {
    /// Decides only while this replica holds the lease; the others follow the cluster and stand by.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    pub leader_elect: bool,
    /// The namespace of the lease.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,
    /// The name of the lease; never that of another scheduler.
    #[arg(long, value_name = "NAME", default_value = "augur")]
    pub leader_elect_resource_name: String,
    /// How long standbys wait after the leader's last renewal before they take the lease.
    #[arg(long, value_name = "SPAN", default_value = "15s")]
    pub leader_elect_lease_duration: Span,
    /// How long the leader goes on without being able to renew.
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub leader_elect_renew_deadline: Span,
    /// Pause between attempts to take or renew the lease.
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    pub leader_elect_retry_period: Span,
}

impl ElectionArgs {
    /// The lease to be competed for; `None` when there is to be no election.
    ///
    /// # Errors
    /// When the timings cannot work, or the identity can be neither read nor written.
    pub fn lease(&self, data_dir: &Path) -> anyhow::Result<Option<LeaseConfig>> {
        if !self.leader_elect {
            return Ok(None);
        }
        let (Span(lease_duration), Span(renew_deadline), Span(retry_period)) =
            (self.leader_elect_lease_duration, self.leader_elect_renew_deadline, self.leader_elect_retry_period);
        let config = LeaseConfig {
            lease_duration,
            renew_deadline,
            retry_period,
            ..LeaseConfig::new(
                &self.leader_elect_resource_namespace,
                &self.leader_elect_resource_name,
                &identity(data_dir)?,
            )
        };
        config.validate().map_err(|why| anyhow::anyhow!("leader election: {why}"))?;
        Ok(Some(config))
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
        Flags::try_parse_from([&["augur"], flags].concat())?.election.lease(folder)
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
        let error = lease(&["--leader-elect-lease-duration", "5s"], folder.path()).unwrap_err().to_string();
        assert!(error.contains("leaseDuration 5s must be longer than renewDeadline 10s"), "{error}");
    }
}
