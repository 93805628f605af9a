//! What a run will hold, against what there is: known before anything is allocated.

use super::RunError;
use super::inputs::Inputs;
use crate::train::TrainError;
use crate::train::config::RunConfig;
use crate::train::model::{Capacity, MemoryPlan, ModelSpec};
use std::path::{Path, PathBuf};

/// Share of what is free that a run may take.
const SHARE_OF_FREE: f64 = 0.9;
/// Bytes that no machine has: 2^47, the address space of a process.
const MOST_BYTES: u64 = 1 << 47;
/// Bytes that AdamW keeps a parameter: two f32.
const MOMENT_BYTES: u64 = 8;

/// Bytes that a run holds, from its first step to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Parameters.
    pub parameters: u64,
    /// Gradients.
    pub gradients: u64,
    /// First and second moments.
    pub moments: u64,
    /// Activations and scratch.
    pub activations: u64,
}

/// Bytes that a run may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRoom {
    /// How many.
    pub bytes: u64,
    /// What says so, for messages.
    pub source: String,
}

impl MemoryNeed {
    /// What training of `inputs` needs, if that is no more than `room`, or than any machine has.
    ///
    /// # Errors
    /// [`RunError::Memory`], with the keys that make it less.
    pub(super) fn within(room: Option<&MemoryRoom>, inputs: &Inputs) -> Result<Self, TrainError> {
        let (spec, capacity) = (&inputs.spec, inputs.capacity());
        let most = room.map_or(MOST_BYTES, |room| room.bytes);
        let least = least_bytes(spec, &capacity);
        if least > u128::from(most) {
            // Sizes that would not fit the arithmetic of an exact plan are among these.
            let parts = "parameters, gradients and moments alone, and the inputs of the blocks";
            let needed = format!("at least {} MiB", least >> 20);
            return Err(too_much(needed, parts.to_owned(), room, inputs));
        }
        let need = Self::of(spec, &capacity);
        if need.total() > most {
            return Err(too_much(
                mebibytes(need.total()),
                need.describe(),
                room,
                inputs,
            ));
        }
        Ok(need)
    }

    fn of(spec: &ModelSpec, capacity: &Capacity) -> Self {
        let plan = MemoryPlan::of(spec, capacity);
        Self {
            parameters: plan.parameters,
            gradients: plan.gradients,
            moments: MOMENT_BYTES * spec.n_parameters() as u64,
            activations: plan.activations,
        }
    }

    /// All of it: the peak.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.moments + self.activations
    }

    /// The parts, in MiB.
    pub fn describe(&self) -> String {
        format!(
            "parameters {}, gradients {}, moments {}, activations {}",
            mebibytes(self.parameters),
            mebibytes(self.gradients),
            mebibytes(self.moments),
            mebibytes(self.activations)
        )
    }
}

/// A lower bound that no dimensions overflow.
fn least_bytes(spec: &ModelSpec, capacity: &Capacity) -> u128 {
    let product = |factors: &[usize]| {
        let factors = factors.iter().map(|&factor| factor as u128);
        factors.fold(1, u128::saturating_mul)
    };
    let (d, layers) = (spec.d_model, spec.n_layers);
    let weights = [
        product(&[spec.vocab_size, d]),
        product(&[layers, 2, d, spec.n_heads, spec.head_dim]),
        product(&[layers, 3, d, spec.d_ff]),
    ];
    let n_parameters = weights.into_iter().fold(0, u128::saturating_add);
    let block_inputs = product(&[capacity.n_positions, d, layers, size_of::<f32>()]);
    // Parameters, gradients, and two moments.
    let of_parameters = n_parameters.saturating_mul(4 * size_of::<f32>() as u128);
    of_parameters.saturating_add(block_inputs)
}

fn too_much(
    needed: String,
    parts: String,
    room: Option<&MemoryRoom>,
    inputs: &Inputs,
) -> TrainError {
    let no_machine = || "more than any machine has".to_owned();
    RunError::Memory {
        needed,
        parts,
        room: mebibytes(room.map_or(MOST_BYTES, |room| room.bytes)),
        source_of_room: room.map_or_else(no_machine, |room| room.source.clone()),
        remedy: remedy(&inputs.config, inputs.seq_len()),
    }
    .into()
}

/// The keys that make it less, those that change no result first.
fn remedy(config: &RunConfig, seq_len: usize) -> String {
    let micro_batch_size = config.train.micro_batch_size();
    let mut keys = Vec::new();
    if micro_batch_size > 1 {
        keys.push(format!("train.micro_batch_size (now {micro_batch_size})"));
    }
    if !config.train.recompute {
        keys.push("train.recompute = true".to_owned());
    }
    keys.push(format!("data.seq_len (now {seq_len})"));
    if config.init.is_none() {
        keys.push("the dimensions under [model]".to_owned());
    }
    if config.train.memory_limit.is_some() {
        keys.push("a higher train.memory_limit".to_owned());
    }
    format!("change {}", keys.join(", "))
}

impl MemoryRoom {
    /// `limit` where one is given, else 90% of what the system, or the control group that the
    /// process is in, still has; `None` where neither tells.
    pub fn of_system(limit: Option<u64>) -> Option<Self> {
        Self::of_files(limit, Path::new("/proc"), Path::new("/sys/fs/cgroup"))
    }

    fn of_files(limit: Option<u64>, proc: &Path, cgroups: &Path) -> Option<Self> {
        if let Some(bytes) = limit {
            let source = "train.memory_limit".to_owned();
            return Some(Self { bytes, source });
        }
        let system = available(&read(&proc.join("meminfo"))?)?;
        let group = free_in_cgroups(
            &read(&proc.join("self/cgroup")).unwrap_or_default(),
            cgroups,
        );
        let (free, what) = match group {
            Some(group) if group < system => (group, "the control group's limit"),
            _ => (system, "the available memory"),
        };
        Some(Self {
            bytes: (free as f64 * SHARE_OF_FREE) as u64,
            source: format!("90% of {what}, {}", mebibytes(free)),
        })
    }
}

/// MemAvailable of `/proc/meminfo`, bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Least free bytes of the control groups that the process is in, of version 2 or 1.
fn free_in_cgroups(membership: &str, root: &Path) -> Option<u64> {
    let groups = membership.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next(), fields.next(), fields.next());
        match (controllers, path) {
            (Some(""), Some(path)) => ancestors(root, path),
            (Some(list), Some(path)) if list.split(',').any(|name| name == "memory") => {
                ancestors(&root.join("memory"), path)
            }
            _ => Vec::new(),
        }
    });
    groups.filter_map(|group| free_in(&group)).min()
}

/// The group and all that it lies in, the root among them.
fn ancestors(root: &Path, group: &str) -> Vec<PathBuf> {
    let relative = Path::new(group.trim_start_matches('/'));
    relative.ancestors().map(|part| root.join(part)).collect()
}

/// Limit less use of one group; the cache of files that nobody works with counts as free.
fn free_in(group: &Path) -> Option<u64> {
    let number = |name: &str| read(&group.join(name))?.trim().parse::<u64>().ok();
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let stat = read(&group.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        let is_cache = key == "inactive_file" || key == "total_inactive_file";
        is_cache.then(|| value.trim().parse::<u64>().ok())?
    });
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `bytes` in MiB, rounded up.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dimensions_overflow_the_lower_bound() {
        let spec = ModelSpec {
            vocab_size: usize::MAX,
            d_model: usize::MAX,
            n_layers: usize::MAX,
            n_heads: usize::MAX,
            n_kv_heads: 1,
            head_dim: usize::MAX,
            d_ff: usize::MAX,
            max_seq_len: 8,
            rope_theta: 1e4,
            norm_eps: 1e-5,
            tie_embeddings: false,
        };
        let capacity = Capacity {
            n_positions: usize::MAX,
            seq_len: 8,
            threads: 1,
            training: true,
            recompute: true,
        };
        assert!(least_bytes(&spec, &capacity) > u128::from(MOST_BYTES));
    }

    #[test]
    fn the_lower_bound_is_below_what_is_needed_and_not_far() {
        let spec = ModelSpec {
            vocab_size: 8192,
            d_model: 256,
            n_layers: 6,
            n_heads: 8,
            n_kv_heads: 8,
            head_dim: 32,
            d_ff: 688,
            max_seq_len: 256,
            rope_theta: 1e4,
            norm_eps: 1e-5,
            tie_embeddings: true,
        };
        for recompute in [false, true] {
            let capacity = Capacity {
                n_positions: 8 * 256,
                seq_len: 256,
                threads: 2,
                training: true,
                recompute,
            };
            let need = MemoryNeed::of(&spec, &capacity).total();
            let least = least_bytes(&spec, &capacity) as u64;
            assert!(least <= need && need < 8 * least, "{least} and {need}");
        }
    }

    const MEMINFO: &str = "MemTotal:  100 kB\nMemFree:   5 kB\nMemAvailable:   1000 kB\n";

    /// A system of files as Linux has them.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn room(files: &[(&str, &str)], limit: Option<u64>) -> Option<MemoryRoom> {
        let dir = system(files);
        MemoryRoom::of_files(limit, &dir.path().join("proc"), &dir.path().join("cgroup"))
    }

    #[test]
    fn a_limit_goes_before_what_the_system_says() {
        let room = room(&[("proc/meminfo", MEMINFO)], Some(77)).unwrap();
        assert_eq!((room.bytes, &*room.source), (77, "train.memory_limit"));
    }

    #[test]
    fn nine_tenths_of_what_is_available_may_be_taken() {
        let room = room(&[("proc/meminfo", MEMINFO)], None).unwrap();
        assert_eq!(room.bytes, 921_600);
        assert!(room.source.contains("available"), "{}", room.source);
    }

    #[test]
    fn a_system_that_does_not_tell_sets_no_limit() {
        assert_eq!(room(&[], None), None);
    }

    #[test]
    fn the_tightest_control_group_above_the_process_counts_less_its_idle_cache() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("cgroup/outer/memory.max", "500000\n"),
            ("cgroup/outer/memory.current", "300000\n"),
            ("cgroup/outer/memory.stat", "anon 1\ninactive_file 100000\n"),
            ("cgroup/outer/inner/memory.max", "max\n"),
            ("cgroup/outer/inner/memory.current", "5\n"),
        ];
        let room = room(&files, None).unwrap();
        assert_eq!(room.bytes, 270_000);
        assert!(room.source.contains("control group"), "{}", room.source);
    }

    #[test]
    fn control_groups_of_version_1_count_too() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/box\n"),
            ("cgroup/memory/box/memory.limit_in_bytes", "400000\n"),
            ("cgroup/memory/box/memory.usage_in_bytes", "100000\n"),
        ];
        assert_eq!(room(&files, None).unwrap().bytes, 270_000);
    }
}
