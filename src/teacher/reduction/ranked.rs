//! Turns a head's output for one position into what `signals` needs.

use crate::onnx::head::ReductionHead;
use crate::signals::{PositionReduction, SCORE_K, SignalsConfig};
use crate::teacher::error::TeacherError;
use crate::teacher::feeds::RunShape;
use ort::session::SessionOutputs;
use std::path::Path;

/// A head's outputs of one run, row-major, with checked shapes.
pub(super) struct Outputs<'a> {
    width: usize,
    n_ranked: usize,
    ranked_logits_btm: &'a [f32],
    ranked_ids_btm: &'a [i64],
    target_logit_bt: &'a [f32],
    other_sum_bt: &'a [f32],
    other_weighted_sum_bt: &'a [f32],
    /// `[X]`, each `[B, T]`.
    other_tempered_sums: Vec<&'a [f32]>,
}

/// One position of these outputs. d = logit - max; "others" are the ids that are not ranked.
pub(super) struct HeadPosition<'a> {
    pub(super) ranked_logits: &'a [f32],
    pub(super) ranked_ids: &'a [i64],
    pub(super) target_logit: f32,
    pub(super) other_sum: f32,
    pub(super) other_weighted_sum: f32,
    /// `[X]`
    pub(super) other_tempered_sums: Vec<f32>,
}

/// Buffers that are reused for each position.
#[derive(Debug, Default)]
pub(super) struct RankedPosition {
    /// (logit - max, id), best first, ties by id.
    ranked: Vec<(f64, u32)>,
    topk_ids: Vec<u32>,
    topk_logprobs: Vec<f32>,
    log_partitions: Vec<f64>,
}

impl<'a> Outputs<'a> {
    pub(super) fn read(
        values: &'a SessionOutputs<'_>,
        head: &ReductionHead,
        shape: RunShape,
        n_ranked: usize,
        model: &Path,
    ) -> Result<Self, TeacherError> {
        let read = Reader { values, model };
        let RunShape { n_rows, width } = shape;
        let ranked_dims = [n_rows, width, n_ranked];
        let sum = |name: &str| read.f32(name, &[n_rows, width]);
        Ok(Self {
            width,
            n_ranked,
            ranked_logits_btm: read.f32(&head.ranked_logits, &ranked_dims)?,
            ranked_ids_btm: read.i64(&head.ranked_ids, &ranked_dims)?,
            target_logit_bt: read.f32(&head.target_logits, &[n_rows, width, 1])?,
            other_sum_bt: sum(&head.other_sum)?,
            other_weighted_sum_bt: sum(&head.other_weighted_sum)?,
            other_tempered_sums: head
                .other_tempered_sums
                .iter()
                .map(|name| sum(name))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn position(&self, row_idx: usize, t_idx: usize) -> HeadPosition<'a> {
        let at = row_idx * self.width + t_idx;
        let ranked = at * self.n_ranked..(at + 1) * self.n_ranked;
        HeadPosition {
            ranked_logits: &self.ranked_logits_btm[ranked.clone()],
            ranked_ids: &self.ranked_ids_btm[ranked],
            target_logit: self.target_logit_bt[at],
            other_sum: self.other_sum_bt[at],
            other_weighted_sum: self.other_weighted_sum_bt[at],
            other_tempered_sums: self.other_tempered_sums.iter().map(|bt| bt[at]).collect(),
        }
    }
}

/// Takes outputs by name; an error says what was expected and found.
struct Reader<'a, 's, 'm> {
    values: &'a SessionOutputs<'s>,
    model: &'m Path,
}

impl<'a> Reader<'a, '_, '_> {
    fn f32(&self, name: &str, dims: &[usize]) -> Result<&'a [f32], TeacherError> {
        self.tensor(name, "float32", dims)
    }

    fn i64(&self, name: &str, dims: &[usize]) -> Result<&'a [i64], TeacherError> {
        self.tensor(name, "int64", dims)
    }

    fn tensor<T: ort::value::PrimitiveTensorElementType>(
        &self,
        name: &str,
        dtype: &str,
        dims: &[usize],
    ) -> Result<&'a [T], TeacherError> {
        let wrong = |got: String| TeacherError::HeadOutput {
            model: self.model.to_owned(),
            output: name.to_owned(),
            got,
            expected: format!("{dtype} {dims:?}"),
        };
        let value = self
            .values
            .get(name)
            .ok_or_else(|| wrong("missing".to_owned()))?;
        let found = value.try_extract_tensor::<T>();
        let (shape, data) = found.map_err(|error| wrong(error.to_string()))?;
        let same = shape
            .iter()
            .map(|&dim| dim as usize)
            .eq(dims.iter().copied());
        match same {
            true => Ok(data),
            false => Err(wrong(format!("{shape:?}"))),
        }
    }
}

impl RankedPosition {
    /// `None` if the logits have no signals: NaN or +inf among them, or only -inf.
    pub(super) fn reduce(
        &mut self,
        head: &HeadPosition<'_>,
        target: u32,
        config: &SignalsConfig,
    ) -> Option<PositionReduction<'_>> {
        let max = self.rank(head)?;
        let score_sum = exp_sum(&self.ranked[..SCORE_K.min(self.ranked.len())], 1.0);
        let ranked_sum = exp_sum(&self.ranked, 1.0);
        let others = f64::from(head.other_sum);
        let sum = ranked_sum + others;
        let ln_sum = sum.ln();
        let weighted = weighted_sum(&self.ranked) + f64::from(head.other_weighted_sum);
        let n_kept = if config.groups.topk { config.top_k } else { 0 };
        let (kept, ranked_only) = self.ranked.split_at(n_kept.min(self.ranked.len()));
        let tail = exp_sum(ranked_only, 1.0) + others;
        let target_rank = self.ranked.iter().position(|&(_, id)| id == target);
        self.topk_ids.clear();
        self.topk_ids.extend(kept.iter().map(|&(_, id)| id));
        self.topk_logprobs.clear();
        self.topk_logprobs
            .extend(kept.iter().map(|&(d, _)| (d - ln_sum) as f32));
        self.temper(head, ln_sum, config);
        let reduced = PositionReduction {
            target_logprob: f64::from(head.target_logit) - max - ln_sum,
            // If it is not ranked, the rank is at least their number, and only ranks below SCORE_K are distinguished.
            target_rank: target_rank.unwrap_or(self.ranked.len()) as u32,
            // Rounding can make the entropy of a point mass slightly negative.
            entropy: (ln_sum - weighted / sum).max(0.0),
            logsumexp: max + ln_sum,
            score_topk_mass: (score_sum / sum).clamp(0.0, 1.0),
            topk_ids: &self.topk_ids,
            topk_logprobs: &self.topk_logprobs,
            tail_mass: (tail / sum).clamp(0.0, 1.0),
            log_partitions: &self.log_partitions,
            sampled_ids: &[],
            sampled_counts: &[],
        };
        Some(reduced)
    }

    /// Fills `ranked` and returns the largest logit. Equal logits are ordered by id here, since not every device breaks
    /// ties as the standard requires.
    fn rank(&mut self, head: &HeadPosition<'_>) -> Option<f64> {
        let max = *head.ranked_logits.first()?;
        let is_usable = |&logit: &f32| logit <= max && logit < f32::INFINITY;
        let sums = [head.other_sum, head.other_weighted_sum];
        let sums = sums.iter().chain(&head.other_tempered_sums);
        let usable = max > f32::NEG_INFINITY
            && head.ranked_logits.iter().all(is_usable)
            && sums.into_iter().all(|sum| sum.is_finite());
        if !usable {
            return None;
        }
        let max = f64::from(max);
        let ids = head.ranked_ids.iter().map(|&id| id as u32);
        self.ranked.clear();
        self.ranked.extend(
            head.ranked_logits
                .iter()
                // Adding 0 makes zeros of both signs equal, as in the comparison of logits.
                .map(|&logit| f64::from(logit) - max + 0.0)
                .zip(ids),
        );
        self.ranked
            .sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Some(max)
    }

    /// log sum_v p_v^(1/tau) = log sum_v e^(d / tau) - ln_sum / tau.
    fn temper(&mut self, head: &HeadPosition<'_>, ln_sum: f64, config: &SignalsConfig) {
        self.log_partitions.clear();
        let sums = config.temperatures.iter().zip(&head.other_tempered_sums);
        let ranked = &self.ranked;
        self.log_partitions.extend(sums.map(|(tau, &others)| {
            let inv_tau = 1.0 / tau;
            (exp_sum(ranked, inv_tau) + f64::from(others)).ln() - ln_sum * inv_tau
        }));
    }
}

fn exp_sum(ranked: &[(f64, u32)], inv_tau: f64) -> f64 {
    ranked.iter().map(|(d, _)| (d * inv_tau).exp()).sum()
}

/// Sum of d e^d, where -inf counts as 0.
fn weighted_sum(ranked: &[(f64, u32)]) -> f64 {
    let finite = ranked.iter().filter(|(d, _)| *d > f64::NEG_INFINITY);
    finite.map(|(d, _)| d * d.exp()).sum()
}
