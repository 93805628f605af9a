//! Time and memory of a part of a benchmark.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::path::Path;
use std::time::Instant;

const N_REPEATS: usize = 7;

/// Seconds of the fastest of some repeats: what the machine can do when it is left alone.
pub(crate) fn fastest(mut work: impl FnMut()) -> f64 {
    let seconds = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    };
    (0..N_REPEATS).map(seconds).fold(f64::INFINITY, f64::min)
}

/// What a part took.
pub(crate) struct Measured {
    /// By the clock.
    pub(crate) seconds: f64,
    /// Of all threads.
    pub(crate) cpu_seconds: f64,
    /// Resident at most while it ran.
    pub(crate) peak_mib: f64,
    /// The same above what was resident before.
    pub(crate) above_mib: f64,
}

/// Runs a part and measures it.
pub(crate) fn measured(part: impl FnOnce()) -> Measured {
    let before = reset_peak();
    let (began, cpu_before) = (Instant::now(), cpu_seconds());
    part();
    let seconds = began.elapsed().as_secs_f64();
    let peak_mib = memory("VmHWM:");
    Measured {
        seconds,
        cpu_seconds: cpu_seconds() - cpu_before,
        peak_mib,
        above_mib: peak_mib - before,
    }
}

/// Forgets the peak so far; gives what is resident now, MiB.
fn reset_peak() -> f64 {
    // Only Linux has it; without it the peak is that of the whole bench.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    memory("VmRSS:")
}

/// Processor time of all threads so far, which a busy machine does not stretch; 0 where there is no
/// `/proc/self/stat`. Its unit is a hundredth of a second, on every Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces: fields 14 and 15 of all are user and system time.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// A line of `/proc/self/status`, MiB; 0 where there is none.
fn memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Bytes of a file, or of the files of a directory.
pub(crate) fn size_of(path: &Path) -> u64 {
    let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(path),
    }
}
