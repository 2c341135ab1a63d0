//! What the process takes of the machine, as far as the system says so.

use std::fs;

use super::{Family, Value, catalogue as metrics};

/// Nothing where there is no `/proc`.
pub fn now() -> Vec<Family> {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    let mut families = vec![Family::single(&metrics::CPU, Value::Seconds(cpu))];
    if let Some(bytes) = resident() {
        families.push(Family::single(&metrics::MEMORY, Value::Gauge(bytes as f64)));
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        families.push(Family::single(&metrics::DESCRIPTORS, Value::Gauge(descriptors.count() as f64)));
    }
    families
}

/// In bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
