//! What host and kernel exchange, as 64-bit words: no struct is cast, so the layout is written down
//! once more here, in the order of `kernel.cu`, and tests compare the two. Words are little-endian,
//! as on every machine that supports CUDA.

use super::error::CudaError;
use super::limits::{BLOCK, MAX_K, MAX_SUMMED_BLOCKS};
use crate::signals::{SequenceTargets, SignalsConfig};
use crate::teacher::dtype::LogitsDtype;

/// Threads per block; a power of two.
pub(super) const N_THREADS: u32 = 256;
/// `u64` words of one `struct Position`.
pub(super) const POSITION_WORDS: usize = 3;
/// `u64` words of one `struct Sums`.
pub(super) const SUMS_WORDS: usize = 8;

/// The kernels' names, in the order of the dtypes' numbers.
pub(super) const KERNELS: [&str; 3] = ["reduce_f32", "reduce_f16", "reduce_bf16"];

/// Row-major `[rows, stride]` logits in a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceLogits {
    /// Of the first logit.
    pub(super) address: u64,
    pub(super) dtype: LogitsDtype,
    /// B.
    pub(super) n_rows: usize,
    /// T.
    pub(super) width: usize,
    /// Logits per position; at least V.
    pub(super) stride: usize,
}

/// `struct Reduction`, with addresses as numbers.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reduction {
    logits: u64,
    position_n: u64,
    inv_tau_x: u64,
    sums_n: u64,
    log_partition_nx: u64,
    topk_id_nk: u64,
    topk_shifted_nk: u64,
    draw_nj: u64,
    seed: u64,
    draw_inv_tau: f32,
    stride: u32,
    vocab_size: u32,
    top_k: u32,
    n_temperatures: u32,
    n_draws: u32,
}

/// The requested results, within the kernel's limits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RequestedOutputs {
    vocab_size: u32,
    /// 0 if the group is not requested.
    top_k: u32,
    /// `[X]`, empty if the group is not requested.
    pub(super) inv_taus: Vec<f32>,
    /// 0 if the group is not requested.
    n_draws: u32,
    draw_inv_tau: f32,
    seed: u64,
}

impl RequestedOutputs {
    /// Refuses what the kernel cannot do, naming it.
    pub(super) fn new(config: &SignalsConfig) -> Result<Self, CudaError> {
        let (top_k, temperatures) = match config.groups.topk {
            true => (config.top_k, config.temperatures.as_slice()),
            false => (0, [].as_slice()),
        };
        if top_k > MAX_K {
            return Err(CudaError::TopK { top_k });
        }
        let n_draws = config.sampling.map_or(0, |s| u32::from(s.n_draws));
        if n_draws as usize > MAX_K {
            return Err(CudaError::Draws { n_draws });
        }
        let vocab_size = config.vocab_size;
        if n_draws > 0 && vocab_size > BLOCK * MAX_SUMMED_BLOCKS {
            return Err(CudaError::DrawsVocabulary { vocab_size });
        }
        let inverse = |tau: f64| (1.0 / tau) as f32;
        Ok(Self {
            vocab_size: vocab_size as u32,
            top_k: top_k.min(vocab_size) as u32,
            inv_taus: temperatures.iter().map(|&tau| inverse(tau)).collect(),
            n_draws,
            draw_inv_tau: config.sampling.map_or(1.0, |s| inverse(s.tau)),
            seed: config.sampling.map_or(0, |s| s.seed),
        })
    }
}

/// Appends the words of every position of `sequences`, row after row of a batch of width T.
pub(super) fn write_positions(
    sequences: &[SequenceTargets<'_>],
    width: usize,
    words: &mut Vec<u64>,
) {
    words.clear();
    for (row_idx, sequence) in sequences.iter().enumerate() {
        for (t, &target) in sequence.targets.iter().enumerate() {
            let row = (row_idx * width + t) as u64;
            words.extend([sequence.seq_id, row | (t as u64) << 32, u64::from(target)]);
        }
    }
}

/// Where each list begins in the returned words, for n positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputLayout {
    pub(super) n_temperatures: usize,
    pub(super) top_k: usize,
    pub(super) n_draws: usize,
    /// First word of `[n, X]` f64.
    pub(super) log_partitions: usize,
    /// First word of `[n, K]` u32.
    pub(super) topk_ids: usize,
    /// First word of `[n, K]` f32.
    pub(super) topk_shifted: usize,
    /// First word of `[n, N]` u32.
    pub(super) draws: usize,
    /// Total number of words, including the `struct Sums`, which come first.
    pub(super) n_words: usize,
}

impl OutputLayout {
    pub(super) fn new(requested: &RequestedOutputs, n_positions: usize) -> Self {
        let (n_temperatures, top_k) = (requested.inv_taus.len(), requested.top_k as usize);
        let n_draws = requested.n_draws as usize;
        let halves = |n_each: usize| (n_positions * n_each).div_ceil(2);
        let log_partitions = n_positions * SUMS_WORDS;
        let topk_ids = log_partitions + n_positions * n_temperatures;
        let topk_shifted = topk_ids + halves(top_k);
        let draws = topk_shifted + halves(top_k);
        Self {
            n_temperatures,
            top_k,
            n_draws,
            log_partitions,
            topk_ids,
            topk_shifted,
            draws,
            n_words: draws + halves(n_draws),
        }
    }

    /// The kernel's argument, with all addresses.
    pub(super) fn reduction(
        &self,
        requested: &RequestedOutputs,
        logits: DeviceLogits,
        addresses: Addresses,
    ) -> Reduction {
        let at = |word_idx: usize| addresses.outputs + 8 * word_idx as u64;
        Reduction {
            logits: logits.address,
            position_n: addresses.positions,
            inv_tau_x: addresses.inv_taus,
            sums_n: at(0),
            log_partition_nx: at(self.log_partitions),
            topk_id_nk: at(self.topk_ids),
            topk_shifted_nk: at(self.topk_shifted),
            draw_nj: at(self.draws),
            seed: requested.seed,
            draw_inv_tau: requested.draw_inv_tau,
            stride: logits.stride as u32,
            vocab_size: requested.vocab_size,
            top_k: requested.top_k,
            n_temperatures: self.n_temperatures as u32,
            n_draws: requested.n_draws,
        }
    }
}

/// Where the kernel finds its inputs and leaves its outputs, apart from logits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) positions: u64,
    pub(super) inv_taus: u64,
    pub(super) outputs: u64,
}
