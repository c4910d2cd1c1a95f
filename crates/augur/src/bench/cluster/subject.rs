//! The processes of a measurement: the scheduler under test, and an API server if none was named. [`Subject`] tells what one uses.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

/// A running command with all processes that it started; killed when dropped.
pub struct Subject {
    child: Child,
}

impl Subject {
    /// Starts a command in a process group of its own, with its output in the file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Subject> {
        let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Subject { child })
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for `work`.
    ///
    /// # Errors
    /// Those of the work; or that the command ended before it was done.
    pub async fn until<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut look = tokio::time::interval(Duration::from_millis(100));
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = look.tick() => if let Some(status) = self.ended()? {
                    anyhow::bail!("the scheduler under test ended with {status}");
                },
            }
        }
    }

    /// Waits until half a second took no more CPU time than keeping up does, for a minute at most.
    pub async fn quiet(&self) {
        for _ in 0..120 {
            let before = self.cpu_time();
            tokio::time::sleep(Duration::from_millis(500)).await;
            if self.cpu_time().saturating_sub(before) <= Duration::from_millis(20) {
                return;
            }
        }
    }

    /// Gives the command a core of its own, the others to this process and what it starts from now on. False where that cannot
    /// be, for want of cores or of `taskset`.
    pub fn set_apart(&self) -> bool {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            return false;
        }
        let pin = |cores: String, process: u32| {
            let mut taskset = Command::new("taskset");
            taskset.args(["-a", "-c", "-p", &cores, &process.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
            taskset.status().is_ok_and(|status| status.success())
        };
        pin("0".to_owned(), self.child.id()) && pin(format!("1-{}", cores - 1), std::process::id())
    }

    /// CPU time of the whole group, in steps of 10 ms. What children used that have ended is part of it.
    pub fn cpu_time(&self) -> Duration {
        let ticks: u64 = self.group().map(|fields| fields[11..15].iter().sum::<u64>()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The most resident memory that each process of the group had, summed, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let peak = |pid: u64| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.pids().filter_map(peak).sum::<u64>() * 1024
    }

    /// Fields of `/proc/PID/stat` after the name, for each process of the group.
    fn group(&self) -> impl Iterator<Item = Vec<u64>> {
        self.pids().filter_map(|pid| stat(pid).map(|(_, fields)| fields))
    }

    fn pids(&self) -> impl Iterator<Item = u64> {
        let group = u64::from(self.child.id());
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        pids.filter(move |pid| stat(*pid).is_some_and(|(of, _)| of == group))
    }
}

/// CPU time of this process, in steps of 10 ms.
pub fn own_cpu_time() -> Duration {
    let ticks: u64 = stat(std::process::id().into()).map_or(0, |(_, fields)| fields[11..13].iter().sum());
    Duration::from_millis(ticks * 10)
}

/// The process group, and the fields after the name as numbers (what is none counts as 0).
fn stat(pid: u64) -> Option<(u64, Vec<u64>)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<u64> =
        stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    (fields.len() > 15).then(|| (fields[2], fields))
}

impl Drop for Subject {
    fn drop(&mut self) {
        // The whole group: a shell that ran the command must not leave it behind.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}
