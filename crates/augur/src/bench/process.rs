//! What this process uses, as the kernel tells.

use std::time::Duration;

/// Resident memory in bytes; `None` where the kernel does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    memory("VmRSS:")
}

/// The most resident memory that there was, in bytes; `None` where the kernel does not tell.
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    memory("VmHWM:")
}

fn memory(what: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// CPU time used by all threads so far; `None` where the kernel does not tell. In steps of 10 ms.
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold spaces; the fields after it do not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let ballast = vec![1u8; 64 << 20];
        assert!(resident_bytes().unwrap() > ballast.len() as u64);
        assert!(cpu_time().is_some());
    }
}
