//! CPU, memory and disk, as the operating system reports them.

use crate::common::invocation::{cpu_name, meminfo};
use std::path::Path;

/// Properties of this machine that matter for labelling, in bytes; `None` if unknown.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Machine {
    pub(crate) architecture: &'static str,
    pub(crate) cpu: Option<String>,
    /// Instruction sets that the kernels use, with whether this CPU has them.
    pub(crate) cpu_features: Vec<(&'static str, bool)>,
    /// Threads that this process may run at once (affinity and cgroup quota included).
    pub(crate) cores: usize,
    pub(crate) memory_total: Option<u64>,
    pub(crate) memory_available: Option<u64>,
    /// The tightest cgroup limit on this process, if any.
    pub(crate) memory_limit: Option<u64>,
    pub(crate) disk_path: String,
    pub(crate) disk_free: Option<u64>,
    /// Where inputs behind URLs are copied to.
    pub(crate) cache_path: String,
    pub(crate) cache_free: Option<u64>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let folder = std::env::current_dir().unwrap_or_else(|_| ".".into());
        let cache = saltworks::storage::cache_dir();
        Self {
            architecture: std::env::consts::ARCH,
            cpu: cpu_name(),
            cpu_features: cpu_features(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_total: meminfo("MemTotal:"),
            memory_available: meminfo("MemAvailable:"),
            memory_limit: cgroup_memory_limit(),
            disk_free: saltworks::storage::free_bytes(&folder),
            disk_path: folder.display().to_string(),
            cache_free: free_bytes_near(&cache),
            cache_path: cache.display().to_string(),
        }
    }
}

/// Free bytes where `dir` is, or would be made.
fn free_bytes_near(dir: &Path) -> Option<u64> {
    let mut there = dir.ancestors().filter(|dir| dir.is_dir());
    there.find_map(saltworks::storage::free_bytes)
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<(&'static str, bool)> {
    vec![
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<(&'static str, bool)> {
    vec![("neon", std::arch::is_aarch64_feature_detected!("neon"))]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// The least `memory.max` (version 2) or `limit_in_bytes` (version 1) from this process's cgroup up
/// to the root.
fn cgroup_memory_limit() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let limits = membership.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        };
        let applies = controllers.is_empty() || controllers.split(',').any(|c| c == "memory");
        let path = Path::new(path.trim_start_matches('/')).to_owned();
        let folders: Vec<_> = path.ancestors().map(|p| Path::new(root).join(p)).collect();
        folders
            .into_iter()
            .filter(move |_| applies)
            .filter_map(move |folder| {
                std::fs::read_to_string(folder.join(file))
                    .ok()?
                    .trim()
                    .parse::<u64>()
                    .ok()
            })
    });
    // Version 1 writes "no limit" as a number near 2^63.
    limits.filter(|limit| *limit < 1 << 60).min()
}
