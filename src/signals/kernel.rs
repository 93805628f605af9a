//! Reduces one row of logits: the best ids, logsumexp, entropy, target, tail, temperatures, draws.
//!
//! Passes over a row that fits in the second-level cache:
//! 1. the maximum of each block of 64, and whether all values are usable (half-precision values
//!    are widened in the same pass);
//! 2. the few blocks that can contain one of the best ids are searched (`ranking`);
//! 3. exponentials, one sum per block. A block with ranked ids is summed again without them, and these
//!    are added separately in f64: so the tail is a sum of its own terms and never a difference of
//!    two nearly equal numbers, and a sharp peak costs the rest no precision;
//! 4. the same for each extra temperature;
//! 5. a walk over sums of blocks for the draws (`draws`).
//!
//! The sums treat the `SCORE_K` best ids separately whatever K is, so only the tail depends on K.

use super::draws::{DrawKey, Sampler, SummedRow};
use super::exp::{Ahead, BLOCK, Halves, Isa, RowScan};
use super::ranking::Ranking;
use super::types::{SCORE_K, SignalsConfig};

/// Buffers for one thread's rows; they grow to the largest row seen and never shrink.
#[derive(Debug)]
pub(super) struct RowReducer {
    isa: Isa,
    /// K; 0 if no list of ids is requested.
    top_k: usize,
    inv_taus: Vec<f32>,
    /// The latest row of half-precision logits, widened.
    widened: Vec<f32>,
    block_maxima: Vec<f32>,
    /// `sum e^d` of each block, d = logit - max.
    exp_b: Vec<f32>,
    /// `sum d * e^d` of each block.
    weighted_b: Vec<f32>,
    /// `sum e^d` of each block at another temperature.
    tempered_b: Vec<f32>,
    /// Some of the ranked ids in increasing order.
    masked_ids: Vec<u32>,
    /// The best ids of the latest row: K, or `SCORE_K` if that is more.
    pub(super) ranking: Ranking,
    /// `[X]` log-partitions of the latest row at the extra temperatures, nats.
    pub(super) log_partitions: Vec<f64>,
    /// Draws from the latest row, if requested.
    pub(super) sampler: Option<Sampler>,
}

/// A row of the teacher's output.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowLogits<'a> {
    F32(&'a [f32]),
    Half(Halves<'a>),
}

/// The results for a row, besides the lists in the reducer. Nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowSignals {
    pub(super) logsumexp: f64,
    /// ln of the sum of exponentials shifted by the maximum: logprob = shifted logit - this.
    pub(super) ln_sum: f64,
    pub(super) entropy: f64,
    pub(super) target_logprob: f64,
    pub(super) target_rank: u32,
    /// Probability outside the K best, from its own terms.
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
    pub(super) fn new(isa: Isa, config: &SignalsConfig) -> Self {
        let (top_k, temperatures) = match config.groups.topk {
            true => (config.top_k, config.temperatures.as_slice()),
            false => (0, [].as_slice()),
        };
        Self {
            isa,
            top_k,
            inv_taus: temperatures.iter().map(|tau| (1.0 / tau) as f32).collect(),
            widened: Vec::new(),
            block_maxima: Vec::new(),
            exp_b: Vec::new(),
            weighted_b: Vec::new(),
            tempered_b: Vec::new(),
            masked_ids: Vec::new(),
            ranking: Ranking::new(top_k.max(SCORE_K)),
            log_partitions: Vec::new(),
            sampler: config.sampling.map(Sampler::new),
        }
    }

    /// Reduces a row of `[V]` logits for the target id `target` (< V). `key` identifies the draws.
    pub(super) fn reduce(
        &mut self,
        row: RowLogits<'_>,
        target: u32,
        key: DrawKey,
    ) -> Result<RowSignals, RowDefect> {
        let mut widened = std::mem::take(&mut self.widened);
        let signals = match row {
            RowLogits::F32(row) => {
                self.resize(row.len());
                let scan = self.isa.scan(row, &mut self.block_maxima);
                self.reduce_scanned(row, scan, Ahead::behind(row), target, key)
            }
            RowLogits::Half(halves) => {
                let (n, ahead) = halves.len_and_ahead();
                self.resize(n);
                widened.resize(n, 0.0);
                let maxima = &mut self.block_maxima;
                let scan = self.isa.widen_and_scan(halves, &mut widened, maxima);
                self.reduce_scanned(&widened, scan, ahead, target, key)
            }
        };
        self.widened = widened;
        signals
    }

    fn reduce_scanned(
        &mut self,
        row: &[f32],
        scan: RowScan,
        ahead: Ahead,
        target: u32,
        key: DrawKey,
    ) -> Result<RowSignals, RowDefect> {
        if !scan.usable {
            return Err(first_not_finite(row));
        }
        if scan.max == f32::NEG_INFINITY {
            return Err(RowDefect::AllMasked);
        }
        self.ranking
            .rank(self.isa, row, &self.block_maxima, scan.max);
        let (exp_b, weighted_b) = (&mut self.exp_b, &mut self.weighted_b);
        self.isa.exp_sums(row, scan.max, ahead, exp_b, weighted_b);
        self.draw_untempered(row, scan.max, key);
        let signals = self.sum(row, scan.max, target);
        self.temper(row, scan.max, signals.ln_sum, key);
        Ok(signals)
    }

    fn resize(&mut self, vocab_size: usize) {
        let n_blocks = vocab_size.div_ceil(BLOCK);
        for list in [
            &mut self.block_maxima,
            &mut self.exp_b,
            &mut self.weighted_b,
            &mut self.tempered_b,
        ] {
            list.resize(n_blocks, 0.0);
        }
    }

    /// From the sums over all ids to the signals. Leaves block sums without the ranked ids.
    fn sum(&mut self, row: &[f32], max: f32, target: u32) -> RowSignals {
        let n_apart = SCORE_K.min(row.len());
        self.mask(row, max, n_apart);
        let mass_of =
            |shifted: &[f32]| -> f64 { shifted.iter().map(|&d| f64::from(d).exp()).sum() };
        let best = &self.ranking.shifted;
        let score_mass = mass_of(&best[..n_apart]);
        let outside = self.isa.total(&self.exp_b);
        let sum = score_mass + outside;
        let apart = best[..n_apart].iter().map(|&d| weighted_exp(d));
        let weighted = self.isa.total(&self.weighted_b) + apart.sum::<f64>();
        let top_k = self.top_k.min(row.len());
        let tail = if top_k > n_apart {
            self.mask(row, max, top_k);
            self.isa.total(&self.exp_b)
        } else {
            outside + mass_of(&best[top_k..n_apart])
        };
        let ln_sum = sum.ln();
        RowSignals {
            logsumexp: f64::from(max) + ln_sum,
            ln_sum,
            // Rounding can make the entropy of a point mass slightly negative.
            entropy: (ln_sum - weighted / sum).max(0.0),
            target_logprob: f64::from(row[target as usize] - max) - ln_sum,
            target_rank: self.target_rank(row, target),
            tail_mass: (tail / sum).clamp(0.0, 1.0),
            score_topk_mass: (score_mass / sum).clamp(0.0, 1.0),
        }
    }

    /// Sums the blocks of the best `n_masked` ids again, without those ids.
    fn mask(&mut self, row: &[f32], max: f32, n_masked: usize) {
        self.masked_ids.clear();
        self.masked_ids
            .extend_from_slice(&self.ranking.ids[..n_masked]);
        self.masked_ids.sort_unstable();
        let block_of = |id: u32| id as usize / BLOCK;
        let same_block = |&a: &u32, &b: &u32| block_of(a) == block_of(b);
        for ids in self.masked_ids.chunk_by(same_block) {
            let block_idx = block_of(ids[0]);
            let start = block_idx * BLOCK;
            let mut block = super::exp::padded(&row[start..(start + BLOCK).min(row.len())]);
            for &id in ids {
                block[id as usize - start] = f32::NEG_INFINITY;
            }
            let here = block_idx..block_idx + 1;
            let (exp, weighted) = (&mut self.exp_b[here.clone()], &mut self.weighted_b[here]);
            self.isa
                .exp_sums(&block, max, Ahead::NOTHING, exp, weighted);
        }
    }

    /// log sum_v p_v^(1/tau) = log sum_v e^((z_v - max) / tau) - ln_sum / tau, for each tau; and
    /// the draws, from one of these distributions or another.
    fn temper(&mut self, row: &[f32], max: f32, ln_sum: f64, key: DrawKey) {
        self.log_partitions.clear();
        let sampled = self.sampler.as_ref().map(Sampler::inv_tau);
        let mut is_drawn = sampled.is_none_or(|inv_tau| inv_tau == 1.0);
        for &inv_tau in &self.inv_taus {
            self.isa
                .tempered_sums(row, max, inv_tau, &mut self.tempered_b);
            let sum = self.isa.total(&self.tempered_b);
            self.log_partitions
                .push(sum.ln() - ln_sum * f64::from(inv_tau));
            if sampled == Some(inv_tau) {
                draw(&mut self.sampler, self.isa, row, max, &self.tempered_b, key);
                is_drawn = true;
            }
        }
        if let (Some(inv_tau), false) = (sampled, is_drawn) {
            self.isa
                .tempered_sums(row, max, inv_tau, &mut self.tempered_b);
            draw(&mut self.sampler, self.isa, row, max, &self.tempered_b, key);
        }
    }

    fn draw_untempered(&mut self, row: &[f32], max: f32, key: DrawKey) {
        if self
            .sampler
            .as_ref()
            .is_some_and(|sampler| sampler.inv_tau() == 1.0)
        {
            draw(&mut self.sampler, self.isa, row, max, &self.exp_b, key);
        }
    }

    /// How many ids come before `target` by (descending logit, ascending id).
    fn target_rank(&self, row: &[f32], target: u32) -> u32 {
        if let Some(rank) = self.ranking.ids.iter().position(|&id| id == target) {
            return rank as u32;
        }
        self.isa.rank_of(row, &self.block_maxima, target as usize)
    }
}

fn draw(
    sampler: &mut Option<Sampler>,
    isa: Isa,
    row: &[f32],
    max: f32,
    exp_b: &[f32],
    key: DrawKey,
) {
    if let Some(sampler) = sampler {
        let inv_tau = sampler.inv_tau();
        let summed = SummedRow {
            row,
            max,
            inv_tau,
            exp_b,
        };
        sampler.draw(isa, summed, key);
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

fn first_not_finite(row: &[f32]) -> RowDefect {
    let found = row
        .iter()
        .zip(0_u32..)
        .find(|&(&z, _)| z.is_nan() || z == f32::INFINITY);
    let (&value, id) = found.expect("the scan saw such a value in this row");
    RowDefect::NotFinite { id, value }
}
