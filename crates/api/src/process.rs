//! What the process uses, under the names of Prometheus' client libraries. Entry point: [`gauges`].

use crate::prometheus::Gauges;

/// Adds what the kernel tells of this process; nothing where it does not tell (anything but Linux).
pub(crate) fn gauges(gauges: &mut Gauges) {
    let Some(stat) = Stat::read() else { return };
    gauges.add_seconds("process_cpu_seconds", "User and system time used", stat.cpu_seconds);
    gauges.add("process_resident_memory_bytes", "Resident memory", Some(stat.resident_bytes));
    gauges.add("process_virtual_memory_bytes", "Virtual memory", Some(stat.virtual_bytes));
    gauges.add("process_start_time_seconds", "Start, in seconds since 1970", stat.started_seconds);
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    gauges.add("process_open_fds", "Open files and sockets", open);
}

/// `/proc/self/stat`, whose times are in hundredths of a second on every architecture that Linux' ABI knows.
struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    started_seconds: Option<f64>,
}

impl Stat {
    fn read() -> Option<Stat> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name, in parentheses, may hold spaces; the fields after it, from the third on, do not.
        let fields: Vec<f64> =
            stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / 100.0,
            resident_bytes: resident.parse::<f64>().ok()? * 1024.0,
            virtual_bytes: field(23)?,
            started_seconds: boot.zip(field(22)).map(|(boot, ticks)| boot + ticks / 100.0),
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let stat = Stat::read().unwrap();
        assert!(stat.resident_bytes > 1e5 && stat.virtual_bytes >= stat.resident_bytes && stat.cpu_seconds >= 0.0);
        assert!(stat.started_seconds.unwrap() > 1.6e9);
    }
}
