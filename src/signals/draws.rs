//! Draws from one position's distribution, for random-sampling KD (arXiv 2503.16870).
//!
//! The j-th of N uniforms in [0, 1) is a pure function of (seed, seq_id, position, j), so draws
//! depend neither on batch, thread, task or resuming, nor on K. A uniform u picks the id at which
//! the cumulative sum of e^((z_v - max) / tau_s), in order of ids, exceeds u times the total: sums
//! of blocks find the block, and only there are individual terms examined. Uniforms are sorted
//! first, so that a single walk over the blocks serves them all, and ids come out in increasing
//! order.

use super::exp::{BLOCK, Isa, padded};
use super::philox::philox;
use super::types::Sampling;

/// 2^-53: a uniform has the 53 bits of an f64's fraction.
const UNIFORM_STEP: f64 = 1.0 / (1_u64 << 53) as f64;

/// Identifies the draws of one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DrawKey {
    pub(super) seq_id: u64,
    pub(super) position: u32,
}

/// A row and the exponents of its sums: d = (logit - max) * inv_tau.
#[derive(Debug, Clone, Copy)]
pub(super) struct SummedRow<'a> {
    pub(super) row: &'a [f32],
    pub(super) max: f32,
    pub(super) inv_tau: f32,
    /// `sum e^d` of each block.
    pub(super) exp_b: &'a [f32],
}

/// Buffers of one thread, and the draws of the latest position.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    uniforms: Vec<f64>,
    /// The sum of all blocks up to and including each one.
    cumulative_b: Vec<f64>,
    /// Distinct ids, ascending.
    pub(super) ids: Vec<u32>,
    /// How often each was drawn.
    pub(super) counts: Vec<u16>,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            uniforms: Vec::new(),
            cumulative_b: Vec::new(),
            ids: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// 1 / tau_s.
    pub(super) fn inv_tau(&self) -> f32 {
        (1.0 / self.sampling.tau) as f32
    }

    /// Fills `ids` and `counts`. At least one term of the row must be positive.
    pub(super) fn draw(&mut self, isa: Isa, summed: SummedRow<'_>, key: DrawKey) {
        sorted_uniforms(self.sampling, key, &mut self.uniforms);
        let total = self.fill_cumulative(summed.exp_b);
        // Kept below the total even if rounding would reach it, so that a block with a term is
        // found.
        let last = total.next_down();
        self.ids.clear();
        self.counts.clear();
        let mut block = Block::default();
        for u in &self.uniforms {
            let level = (u * total).min(last);
            while self.cumulative_b[block.idx] <= level {
                block = Block::at(block.idx + 1, self.cumulative_b[block.idx]);
            }
            let id = block.pick(isa, summed, level);
            if self.ids.last() == Some(&id) {
                *self.counts.last_mut().expect("as long as ids") += 1;
            } else {
                self.ids.push(id);
                self.counts.push(1);
            }
        }
    }

    fn fill_cumulative(&mut self, exp_b: &[f32]) -> f64 {
        let mut total = 0.0;
        self.cumulative_b.clear();
        self.cumulative_b.extend(exp_b.iter().map(|&sum| {
            total += f64::from(sum);
            total
        }));
        total
    }
}

/// The current block of the walk, and the position in it.
#[derive(Debug, Default)]
struct Block {
    idx: usize,
    /// The block's terms and the last lane with a positive one, computed on demand.
    terms: Option<([f32; BLOCK], usize)>,
    /// The current lane.
    lane: usize,
    /// The sum of all terms before that lane, including those of earlier blocks.
    before: f64,
}

impl Block {
    fn at(idx: usize, before: f64) -> Self {
        Self {
            idx,
            before,
            ..Self::default()
        }
    }

    /// The id whose term spans `level`. Levels must not decrease from call to call.
    fn pick(&mut self, isa: Isa, summed: SummedRow<'_>, level: f64) -> u32 {
        let start = self.idx * BLOCK;
        let (terms, last) = self.terms.get_or_insert_with(|| {
            let end = (start + BLOCK).min(summed.row.len());
            let block = padded(&summed.row[start..end]);
            let terms = isa.exp_values(&block, summed.max, summed.inv_tau);
            let last = terms.iter().rposition(|&term| term > 0.0);
            (terms, last.expect("a block without a term spans no level"))
        });
        // The block's sum was rounded in another order: if part of a level is left at its end, the
        // last id with a positive term gets it.
        while self.lane < *last && self.before + f64::from(terms[self.lane]) <= level {
            self.before += f64::from(terms[self.lane]);
            self.lane += 1;
        }
        (start + self.lane) as u32
    }
}

/// N sorted uniforms in [0, 1).
fn sorted_uniforms(sampling: Sampling, key: DrawKey, uniforms: &mut Vec<f64>) {
    let seed = halves(sampling.seed);
    let [low, high] = halves(key.seq_id);
    let pair = |pair_idx: u32| {
        let [a, b, c, d] = philox(seed, [low, high, key.position, pair_idx]);
        [uniform(a, b), uniform(c, d)]
    };
    let n_draws = usize::from(sampling.n_draws);
    uniforms.clear();
    uniforms.extend((0..).flat_map(pair).take(n_draws));
    uniforms.sort_unstable_by(f64::total_cmp);
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

fn uniform(low: u32, high: u32) -> f64 {
    let bits = u64::from(high) << 32 | u64::from(low);
    (bits >> 11) as f64 * UNIFORM_STEP
}

#[cfg(test)]
mod tests;
