//! One row of logits, reduced: the best ids, logsumexp, entropy, target, tail, temperatures.
//!
//! Three looks at a row that fits the second-level cache:
//! 1. the maximum of each block of 64; the K-th largest block maximum bounds the K-th largest
//!    logit from below, so only blocks that reach it can hold one of the K best;
//! 2. those blocks are searched, and the survivors ranked by (falling logit, rising id);
//! 3. exponentials of everything outside the ranked set are summed, with the ranked ones masked
//!    out, and then the ranked ones themselves. The tail is thus a sum of its own terms and never
//!    a difference of two nearly equal numbers.

use super::exp::{BLOCK, ExpSums, Isa};
use super::types::SCORE_K;

/// Buffers for one thread's rows; they grow to the largest row seen and stay.
#[derive(Debug)]
pub(super) struct RowReducer {
    isa: Isa,
    /// Ids ranked: at least as many as the scores look at.
    n_ranked: usize,
    inv_taus: Vec<f32>,
    block_maxima: Vec<f32>,
    order_scratch: Vec<f32>,
    candidates: Vec<u64>,
    /// The ranked ids in rising order, for walking the row once.
    ranked_by_id: Vec<u32>,
    /// The ranked ids, best first.
    pub(super) ranked_ids: Vec<u32>,
    /// `[n_ranked]` their logits minus the maximum.
    pub(super) ranked_shifted: Vec<f32>,
    /// `[X]` log-partitions at the extra temperatures, nats.
    pub(super) log_partitions: Vec<f64>,
}

/// What a row is reduced to, beside the lists in the reducer. Nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowSignals {
    pub(super) logsumexp: f64,
    /// ln of the sum of exponentials shifted by the maximum: logprob = shifted logit - this.
    pub(super) ln_sum: f64,
    pub(super) entropy: f64,
    pub(super) target_logprob: f64,
    pub(super) target_rank: u32,
    /// Probability outside the `top_k` best, from its own terms.
    pub(super) tail_mass: f64,
    /// Probability of the `SCORE_K` best.
    pub(super) score_topk_mass: f64,
}

/// Why a row has no signals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RowDefect {
    /// This id's logit is NaN or +inf.
    NotFinite { id: u32, value: f32 },
    /// Every logit is -inf.
    AllMasked,
}

impl RowReducer {
    pub(super) fn new(isa: Isa, top_k: usize, temperatures: &[f64]) -> Self {
        Self {
            isa,
            n_ranked: top_k.max(SCORE_K),
            inv_taus: temperatures.iter().map(|tau| (1.0 / tau) as f32).collect(),
            block_maxima: Vec::new(),
            order_scratch: Vec::new(),
            candidates: Vec::new(),
            ranked_by_id: Vec::new(),
            ranked_ids: Vec::new(),
            ranked_shifted: Vec::new(),
            log_partitions: Vec::new(),
        }
    }

    /// Reduces `row` (`[V]` logits) for the target id `target` (< V), with `top_k` ids kept.
    pub(super) fn reduce(
        &mut self,
        row: &[f32],
        target: u32,
        top_k: usize,
    ) -> Result<RowSignals, RowDefect> {
        self.block_maxima
            .resize(row.len().div_ceil(BLOCK), f32::NEG_INFINITY);
        let scan = self.isa.scan(row, &mut self.block_maxima);
        if !scan.usable {
            return Err(first_not_finite(row));
        }
        if scan.max == f32::NEG_INFINITY {
            return Err(RowDefect::AllMasked);
        }
        self.rank(row, scan.max);
        Ok(self.sum(row, scan.max, target, top_k.min(row.len())))
    }

    /// Fills `ranked_ids` and `ranked_shifted` with the best `n_ranked` ids.
    fn rank(&mut self, row: &[f32], max: f32) {
        let n_ranked = self.n_ranked.min(row.len());
        let threshold = self.threshold(n_ranked);
        self.candidates.clear();
        for (block_idx, _) in self
            .block_maxima
            .iter()
            .enumerate()
            .filter(|&(_, &m)| m >= threshold)
        {
            let start = block_idx * BLOCK;
            let end = (start + BLOCK).min(row.len());
            let reached = row[start..end]
                .iter()
                .zip(start as u32..)
                .filter(|&(&z, _)| z >= threshold);
            self.candidates
                .extend(reached.map(|(&z, id)| rank_key(z, id)));
        }
        if n_ranked < self.candidates.len() {
            self.candidates.select_nth_unstable(n_ranked - 1);
            self.candidates.truncate(n_ranked);
        }
        self.candidates.sort_unstable();
        self.ranked_ids.clear();
        self.ranked_ids
            .extend(self.candidates.iter().map(|&key| key as u32));
        self.ranked_shifted.clear();
        self.ranked_shifted
            .extend(self.ranked_ids.iter().map(|&id| row[id as usize] - max));
        self.ranked_by_id.clone_from(&self.ranked_ids);
        self.ranked_by_id.sort_unstable();
    }

    /// A value that at least `n_ranked` logits reach.
    fn threshold(&mut self, n_ranked: usize) -> f32 {
        if self.block_maxima.len() < n_ranked {
            return f32::NEG_INFINITY;
        }
        self.order_scratch.clone_from(&self.block_maxima);
        let (_, nth, _) = self
            .order_scratch
            .select_nth_unstable_by(n_ranked - 1, |a, b| b.total_cmp(a));
        *nth
    }

    fn sum(&mut self, row: &[f32], max: f32, target: u32, top_k: usize) -> RowSignals {
        let outside = self.sum_outside_ranked(row, max, 1.0);
        let (best, score_k) = (&self.ranked_shifted, SCORE_K.min(row.len()));
        let mass_of =
            |shifted: &[f32]| -> f64 { shifted.iter().map(|&d| f64::from(d).exp()).sum() };
        let kept = mass_of(&best[..top_k]);
        let tail = outside.exp() + mass_of(&best[top_k..]);
        let sum = kept + tail;
        let weighted = outside.weighted() + best.iter().map(|&d| weighted_exp(d)).sum::<f64>();
        let ln_sum = sum.ln();
        let signals = RowSignals {
            logsumexp: f64::from(max) + ln_sum,
            ln_sum,
            // Rounding can leave a point mass a hair below zero.
            entropy: (ln_sum - weighted / sum).max(0.0),
            target_logprob: f64::from(row[target as usize] - max) - ln_sum,
            target_rank: self.target_rank(row, target),
            tail_mass: (tail / sum).clamp(0.0, 1.0),
            score_topk_mass: (mass_of(&best[..score_k]) / sum).clamp(0.0, 1.0),
        };
        self.sum_temperatures(row, max, ln_sum);
        signals
    }

    /// Sums over all ids but the ranked ones.
    fn sum_outside_ranked(&self, row: &[f32], max: f32, inv_tau: f32) -> ExpSums {
        let mut sums = ExpSums::ZERO;
        let mut done = 0;
        let mut ranked = self.ranked_by_id.as_slice();
        while let Some(&id) = ranked.first() {
            let start = id as usize / BLOCK * BLOCK;
            let end = (start + BLOCK).min(row.len());
            self.isa
                .exp_sums(&row[done..start], max, inv_tau, &mut sums);
            let here = ranked.partition_point(|&id| (id as usize) < end);
            let mut block = [f32::NEG_INFINITY; BLOCK];
            block[..end - start].copy_from_slice(&row[start..end]);
            for &id in &ranked[..here] {
                block[id as usize - start] = f32::NEG_INFINITY;
            }
            self.isa.exp_sums(&block, max, inv_tau, &mut sums);
            (done, ranked) = (end, &ranked[here..]);
        }
        self.isa.exp_sums(&row[done..], max, inv_tau, &mut sums);
        sums
    }

    /// log sum_v p_v^(1/tau) = log sum_v e^((z_v - max) / tau) - ln_sum / tau.
    fn sum_temperatures(&mut self, row: &[f32], max: f32, ln_sum: f64) {
        self.log_partitions.clear();
        for &inv_tau in &self.inv_taus {
            let mut sums = ExpSums::ZERO;
            self.isa.exp_sums(row, max, inv_tau, &mut sums);
            self.log_partitions
                .push(sums.exp().ln() - ln_sum * f64::from(inv_tau));
        }
    }

    /// How many ids stand before `target` by (falling logit, rising id).
    fn target_rank(&self, row: &[f32], target: u32) -> u32 {
        if let Some(rank) = self.ranked_ids.iter().position(|&id| id == target) {
            return rank as u32;
        }
        let (z_target, target) = (row[target as usize], target as usize);
        self.isa.count_at_least(&row[..target], z_target)
            + self.isa.count_above(&row[target..], z_target)
    }
}

/// d * e^d, where -inf counts as probability 0.
fn weighted_exp(d: f32) -> f64 {
    let d = f64::from(d);
    if d == f64::NEG_INFINITY {
        0.0
    } else {
        d * d.exp()
    }
}

/// Rising keys stand for falling logits, ties by rising id. Zeros of both signs tie.
fn rank_key(z: f32, id: u32) -> u64 {
    let bits = (z + 0.0).to_bits();
    let rising = if bits >> 31 == 0 {
        bits | 0x8000_0000
    } else {
        !bits
    };
    (u64::from(!rising) << 32) | u64::from(id)
}

fn first_not_finite(row: &[f32]) -> RowDefect {
    let found = row
        .iter()
        .zip(0_u32..)
        .find(|&(&z, _)| z.is_nan() || z == f32::INFINITY);
    let (&value, id) = found.expect("the scan saw such a value in this row");
    RowDefect::NotFinite { id, value }
}
