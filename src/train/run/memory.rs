//! The memory that a run needs, compared with what is available, before anything is allocated.

use super::RunError;
use super::inputs::Inputs;
use crate::shards::Group;
use crate::train::TrainError;
use crate::train::config::RunConfig;
use crate::train::data::LabelSource;
use crate::train::example::Example;
use crate::train::model::{Capacity, MemoryPlan, ModelSpec};
use std::path::{Path, PathBuf};

/// From this many bytes of data on, an error also names the keys that reduce them.
const LARGE_DATA_BYTES: u64 = 256 << 20;
/// Fraction of the free memory that a run may use.
const MAX_FREE_FRACTION: f64 = 0.9;
/// More memory than any machine has: 2^47 bytes, the address space of a process.
const MAX_BYTES: u64 = 1 << 47;
/// Bytes that AdamW keeps per parameter: two f32.
const MOMENT_BYTES: u64 = 8;
/// Overhead of the allocator per allocation, bytes.
const ALLOCATION_BYTES: u64 = 16;
/// Steps in memory besides the prefetched ones: one that the loader assembles, one that is being trained on.
const STEPS_IN_FLIGHT: u64 = 2;
/// Row groups in memory besides a window: the next one, once in decoded form and once as sequences.
const GROUPS_IN_FLIGHT: u64 = 2;

/// Memory that a run holds from its first step to its last, bytes.
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
    /// Sequences read ahead, and the targets of a micro-batch.
    pub data: u64,
}

/// Memory that a run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRoom {
    /// How many.
    pub bytes: u64,
    /// Where the number comes from, for messages.
    pub source: String,
}

impl MemoryNeed {
    /// What a run of `inputs` needs, if that is within `room` (or, without one, within what any machine has).
    ///
    /// # Errors
    /// [`RunError::Memory`], with the keys that reduce it.
    pub(super) fn within(room: Option<&MemoryRoom>, inputs: &Inputs) -> Result<Self, TrainError> {
        let (spec, capacity) = (&inputs.spec, inputs.capacity());
        let most = room.map_or(MAX_BYTES, |room| room.bytes);
        let data = data_bytes(inputs);
        let lower_bound = lower_bound_bytes(spec, &capacity, data);
        if lower_bound > u128::from(most) {
            // Sizes that would overflow the arithmetic of an exact plan end here.
            let parts = "parameters, gradients, moments, inputs of the blocks, and data only";
            let needed = format!("at least {}", at_least(lower_bound));
            return Err(too_much(needed, parts.to_owned(), room, inputs, data));
        }
        let need = Self::of(spec, &capacity, data);
        if need.total() > most {
            return Err(too_much(
                mebibytes(need.total()),
                need.describe(),
                room,
                inputs,
                data,
            ));
        }
        Ok(need)
    }

    fn of(spec: &ModelSpec, capacity: &Capacity, data: u64) -> Self {
        let plan = MemoryPlan::of(spec, capacity);
        Self {
            parameters: plan.parameters,
            gradients: plan.gradients,
            moments: MOMENT_BYTES * spec.n_parameters() as u64,
            activations: plan.activations,
            data,
        }
    }

    /// The sum, which is the peak.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.moments + self.activations + self.data
    }

    /// The parts, in MiB.
    pub fn describe(&self) -> String {
        format!(
            "parameters {}, gradients {}, moments {}, activations {}, data {}",
            mebibytes(self.parameters),
            mebibytes(self.gradients),
            mebibytes(self.moments),
            mebibytes(self.activations),
            mebibytes(self.data)
        )
    }
}

/// A lower bound whose arithmetic does not overflow for any valid model.
fn lower_bound_bytes(spec: &ModelSpec, capacity: &Capacity, data: u64) -> u128 {
    let block_inputs = [
        capacity.n_positions,
        spec.d_model,
        spec.n_layers,
        size_of::<f32>(),
    ];
    let block_inputs = block_inputs.into_iter().fold(1, |bytes: u128, factor| {
        bytes.saturating_mul(factor as u128)
    });
    // Parameters, gradients, and two moments.
    let of_parameters = spec.n_parameters() as u128 * (4 * size_of::<f32>() as u128);
    of_parameters
        .saturating_add(block_inputs)
        .saturating_add(u128::from(data))
}

/// What determines the memory of one sequence of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SequenceSize {
    /// T.
    seq_len: u64,
    /// Whether each position has log-probability, rank, entropy and logsumexp.
    has_stats: bool,
    /// K of the stored ids; `None` if there are none.
    top_k: Option<u64>,
    /// Maximum number of distinct ids drawn at a position; `None` if there are no draws.
    draws: Option<u64>,
    /// X.
    n_temperatures: u64,
}

impl SequenceSize {
    fn unlabelled(seq_len: u64) -> Self {
        Self {
            seq_len,
            has_stats: false,
            top_k: None,
            draws: None,
            n_temperatures: 0,
        }
    }

    fn of(labels: &LabelSource, seq_len: u64) -> Self {
        let signals = &labels.plan().signals;
        let has = |group| labels.groups().contains(&group);
        let vocab_size = labels.vocab_size();
        let n_distinct = |n_draws: u16| u64::from(u32::from(n_draws).min(vocab_size));
        let samples = signals.samples.filter(|_| has(Group::Samples));
        Self {
            seq_len,
            has_stats: has(Group::Stats),
            top_k: has(Group::Topk).then(|| u64::from(signals.top_k)),
            draws: samples.map(|samples| n_distinct(samples.n_draws)),
            n_temperatures: match has(Group::Topk) {
                true => signals.temperatures.len() as u64,
                false => 0,
            },
        }
    }

    /// Maximum number of ids per position that a loss learns from.
    fn n_learnt(self) -> Option<u64> {
        self.top_k.max(self.draws)
    }

    /// Maximum size of one [`Example`], bytes: a document may start at every token.
    fn bytes(self) -> u64 {
        // Id and start; then f32, u16, f32, f32; ids and f32, tail, and log-partitions; ids and counts
        // of draws, and their offset.
        let of_stats = if self.has_stats { 14 } else { 0 };
        let of_topk = match self.top_k {
            Some(k) => 8 * k + 4 + 4 * self.n_temperatures,
            None => 0,
        };
        let of_draws = self.draws.map_or(0, |n_distinct| 6 * n_distinct + 4);
        let lists = 13 + self.n_temperatures;
        let fixed =
            size_of::<Example>() as u64 + lists * (ALLOCATION_BYTES + size_of::<Vec<f32>>() as u64);
        let positions = self.seq_len.saturating_add(1);
        positions
            .saturating_mul(8 + of_stats + of_topk + of_draws)
            .saturating_add(fixed)
    }
}

/// Maximum memory of the loader and of the targets of one micro-batch, bytes.
fn data_bytes(inputs: &Inputs) -> u64 {
    let seq_len = inputs.seq_len() as u64;
    let config = &inputs.config;
    let n_steps = (config.data.prefetch() as u64).saturating_add(STEPS_IN_FLIGHT);
    let n_waiting = n_steps.saturating_mul(config.train.batch_size as u64);
    let labels = inputs.labels.as_ref();
    let labels = labels.filter(|_| inputs.stages.max_labelled_steps() > 0);
    let of_labels = labels.map_or(0, |labels| {
        let n_groups = config.data.shuffle_row_groups() as u64;
        let n_decoded = n_decoded(labels, n_groups);
        let n_sequences = n_waiting.saturating_add(n_decoded);
        let of_teachers = labels.teachers().enumerate().map(|(i, labels)| {
            // Further teachers hold the rows of the first one's window, and row groups of their own.
            let own = labels.plan().layout.rows_per_row_group;
            let own = GROUPS_IN_FLIGHT.saturating_mul(own.min(labels.n_sequences()));
            let n_sequences = n_sequences.saturating_add(if i == 0 { 0 } else { own });
            let size = SequenceSize::of(labels, seq_len).bytes();
            size.saturating_mul(n_sequences)
        });
        of_teachers.fold(0, u64::saturating_add)
    });
    let of_tokens = SequenceSize::unlabelled(seq_len)
        .bytes()
        .saturating_mul(n_waiting);
    let of_teacher = |labels| SequenceSize::of(labels, seq_len).n_learnt().unwrap_or(0);
    let learnt = labels.filter(|_| inputs.policy.is_some());
    let learnt = learnt.map(|labels| LearntPerPosition {
        n_ids: labels.teachers().map(of_teacher).sum(),
        n_teachers: labels.teachers().count() as u64,
    });
    // The stream of stage 1 ends before that of stage 2 starts.
    of_labels
        .max(of_tokens)
        .saturating_add(target_bytes(inputs.capacity().n_positions as u64, learnt))
}

/// Sequences in a window of `n_groups` row groups and in the next row group.
fn n_decoded(labels: &LabelSource, n_groups: u64) -> u64 {
    let per_group = labels.plan().layout.rows_per_row_group;
    let window = n_groups.saturating_mul(per_group);
    let next = GROUPS_IN_FLIGHT.saturating_mul(per_group);
    let n_sequences = labels.n_sequences();
    window.min(n_sequences) + next.min(GROUPS_IN_FLIGHT.saturating_mul(n_sequences))
}

/// Upper bounds on what one position learns from its teachers.
#[derive(Debug, Clone, Copy)]
struct LearntPerPosition {
    /// Ids of all teachers together.
    n_ids: u64,
    n_teachers: u64,
}

/// Bytes of a micro-batch of `n_positions`. Its lists of ids and probabilities grow as they are filled, to at most
/// twice their length.
fn target_bytes(n_positions: u64, learnt: Option<LearntPerPosition>) -> u64 {
    // Id, target, weight; then omega, the teacher's NLL, offset, negentropy twice, tails twice; and per id:
    // the id, its probability, and the teachers in whose tail it is, all twice.
    let of_kd = learnt.map_or(0, |LearntPerPosition { n_ids, n_teachers }| {
        let of_id = 8 + if n_teachers > 1 { n_teachers } else { 0 };
        20 + 8 * n_teachers + 2 * of_id * n_ids
    });
    n_positions.saturating_mul(12 + of_kd)
}

fn too_much(
    needed: String,
    parts: String,
    room: Option<&MemoryRoom>,
    inputs: &Inputs,
    data: u64,
) -> TrainError {
    let no_machine = || "more than any machine has".to_owned();
    RunError::Memory {
        needed,
        parts,
        room: at_most(room.map_or(MAX_BYTES, |room| room.bytes)),
        source_of_room: room.map_or_else(no_machine, |room| room.source.clone()),
        remedy: remedy(&inputs.config, inputs.seq_len(), data),
    }
    .into()
}

/// The keys that reduce the need, those that change no result first; `data` is the size of that part, bytes.
fn remedy(config: &RunConfig, seq_len: usize, data: u64) -> String {
    let micro_batch_size = config.train.micro_batch_size();
    let mut keys = Vec::new();
    if micro_batch_size > 1 {
        keys.push(format!("train.micro_batch_size (now {micro_batch_size})"));
    }
    if !config.train.recompute {
        keys.push("train.recompute = true".to_owned());
    }
    if data > LARGE_DATA_BYTES {
        keys.push(format!("data.prefetch (now {})", config.data.prefetch()));
        let n_groups = config.data.shuffle_row_groups();
        keys.push(format!("data.shuffle_row_groups (now {n_groups})"));
    }
    keys.push(format!("data.seq_len (now {seq_len})"));
    if config.init.is_none() && config.branch_from.is_none() {
        keys.push("the dimensions under [model]".to_owned());
    }
    if config.train.memory_limit.is_some() {
        keys.push("a higher train.memory_limit".to_owned());
    }
    format!("change {}", keys.join(", "))
}

impl MemoryRoom {
    /// `limit` if given, else 90% of what is still free in the system, or in the control group of the process;
    /// `None` if neither is known.
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
            bytes: (free as f64 * MAX_FREE_FRACTION) as u64,
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

/// The minimum of the free bytes of the control groups (version 2 or 1) that contain the process.
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

/// The group and all of its ancestors, including the root.
fn ancestors(root: &Path, group: &str) -> Vec<PathBuf> {
    let relative = Path::new(group.trim_start_matches('/'));
    relative.ancestors().map(|part| root.join(part)).collect()
}

/// Limit minus usage of one group; the inactive file cache counts as free.
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

/// Below this many bytes a need or a limit is shown in KiB.
const SMALL_BYTES: u64 = 10 << 20;

/// A need, rounded up.
fn at_least(bytes: u128) -> String {
    match bytes < u128::from(SMALL_BYTES) {
        true => format!("{} KiB", bytes.div_ceil(1 << 10)),
        false => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

/// A limit, rounded down: a need above it is never shown as equal.
fn at_most(bytes: u64) -> String {
    match bytes < SMALL_BYTES {
        true => format!("{} KiB", bytes >> 10),
        false => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_above_a_limit_is_shown_as_larger() {
        assert_eq!((at_least(1), at_most(0)), ("1 KiB".into(), "0 KiB".into()));
        let limit = 12 << 20;
        assert_eq!(at_most(limit), "12 MiB");
        assert_eq!(at_least(u128::from(limit) + 1), "13 MiB");
    }

    use crate::signals::PositionSignals;
    use crate::train::batch::KdLoss;
    use crate::train::loss::{KdPolicy, StepKd, targets_of};

    #[test]
    fn no_dimensions_of_a_valid_model_overflow_the_lower_bound() {
        let most = 1 << 24;
        let spec = ModelSpec {
            vocab_size: most,
            d_model: most,
            n_layers: most,
            n_heads: most,
            n_kv_heads: most,
            head_dim: most,
            d_ff: most,
            max_seq_len: most,
            rope_theta: 1e4,
            rope_scaling: None,
            norm_eps: 1e-5,
            tie_embeddings: false,
        };
        spec.validate().unwrap();
        let capacity = Capacity {
            n_positions: usize::MAX,
            seq_len: most,
            threads: 1,
            training: true,
            recompute: true,
        };
        let lower_bound = lower_bound_bytes(&spec, &capacity, u64::MAX);
        assert!(lower_bound > u128::from(MAX_BYTES));
    }

    /// Bytes of the lists of an example with everything that labels can hold, without spare capacity.
    fn example_bytes(t: usize, k: usize, x: usize, d: usize) -> u64 {
        let signals = PositionSignals {
            target_logprob_t: vec![0.0; t],
            target_rank_t: vec![0; t],
            entropy_t: vec![0.0; t],
            logsumexp_t: vec![0.0; t],
            topk_ids_tk: vec![0; t * k],
            topk_logprobs_tk: vec![0.0; t * k],
            tail_mass_t: vec![0.0; t],
            log_partition_xt: vec![vec![0.0; t]; x],
            sampled_ids: vec![0; t * d],
            sampled_counts: vec![0; t * d],
            sample_offsets: vec![0; if d > 0 { t + 1 } else { 0 }],
        };
        let words = signals.target_logprob_t.len()
            + signals.entropy_t.len()
            + signals.logsumexp_t.len()
            + signals.topk_ids_tk.len()
            + signals.topk_logprobs_tk.len()
            + signals.tail_mass_t.len()
            + signals.log_partition_xt.iter().flatten().count()
            + signals.sampled_ids.len()
            + signals.sample_offsets.len();
        let of_signals =
            4 * words + 2 * signals.target_rank_t.len() + 2 * signals.sampled_counts.len();
        (of_signals + 4 * (t + 1) + size_of::<Example>()) as u64
    }

    #[test]
    fn the_estimated_size_of_a_sequence_is_a_tight_upper_bound() {
        let sizes = [
            (1, 2, 0, 0),
            (32, 8, 2, 0),
            (1024, 128, 0, 0),
            (1024, 1, 3, 0),
            (1, 2, 0, 9),
            (512, 0, 0, 50),
        ];
        for (t, k, x, d) in sizes {
            let size = SequenceSize {
                seq_len: t as u64,
                has_stats: true,
                top_k: Some(k as u64),
                draws: (d > 0).then_some(d as u64),
                n_temperatures: x as u64,
            };
            let (got, want) = (size.bytes(), example_bytes(t, k, x, d));
            let overhead = 1024;
            assert!(want <= got, "{want} and {got}");
            assert!(got < want + want / 4 + overhead, "{want} and {got}");
        }
        let plain = SequenceSize::unlabelled(1024).bytes();
        assert!((8192..9216).contains(&plain), "{plain}");
    }

    #[test]
    fn the_estimated_size_of_targets_is_an_upper_bound() {
        let examples: Vec<Example> = (0..3)
            .map(|seq_id| Example {
                seq_id,
                input_ids: vec![1; 33],
                doc_starts: vec![0],
                signals: Some(PositionSignals {
                    topk_ids_tk: vec![0; 32 * 8],
                    topk_logprobs_tk: vec![-1.0; 32 * 8],
                    tail_mass_t: vec![0.1; 32],
                    ..PositionSignals::default()
                }),
                ..Example::default()
            })
            .collect();
        let policy = KdPolicy::of(KdLoss::TailBucket);
        let batch = targets_of(
            &examples,
            Some(StepKd::new(&policy, 0.5, &examples, false)),
            false,
        );
        let kd = batch.kd.as_ref().unwrap();
        let words = [
            batch.ids_n.capacity(),
            batch.targets_n.capacity(),
            batch.weights_n.capacity(),
            kd.omega_n.capacity(),
            kd.teacher_nll_n.capacity(),
            kd.ids.capacity(),
            kd.probs.capacity(),
            kd.tails.capacity(),
            kd.negentropy_n.capacity(),
        ];
        let got = 4 * words.into_iter().sum::<usize>() as u64;
        let learnt = LearntPerPosition {
            n_ids: 8,
            n_teachers: 1,
        };
        let most = target_bytes(3 * 32, Some(learnt));
        assert!(got <= most && most < 2 * got, "{got} and {most}");
        assert!(target_bytes(3 * 32, None) < most);
    }

    #[test]
    fn the_lower_bound_is_below_the_need_and_close_to_it() {
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
            rope_scaling: None,
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
            let need = MemoryNeed::of(&spec, &capacity, 0).total();
            let lower_bound = lower_bound_bytes(&spec, &capacity, 0) as u64;
            assert!(
                lower_bound <= need && need < 8 * lower_bound,
                "{lower_bound} and {need}"
            );
        }
    }

    const MEMINFO: &str = "MemTotal:  100 kB\nMemFree:   5 kB\nMemAvailable:   1000 kB\n";

    /// Files as in Linux's /proc and /sys.
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
    fn an_explicit_limit_wins_over_the_system() {
        let room = room(&[("proc/meminfo", MEMINFO)], Some(77)).unwrap();
        assert_eq!((room.bytes, &*room.source), (77, "train.memory_limit"));
    }

    #[test]
    fn nine_tenths_of_the_available_memory_may_be_used() {
        let room = room(&[("proc/meminfo", MEMINFO)], None).unwrap();
        assert_eq!(room.bytes, 921_600);
        assert!(room.source.contains("available"), "{}", room.source);
    }

    #[test]
    fn an_unknown_system_sets_no_limit() {
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
