//! `verify --teacher` with a teacher other than the labels' own: how far apart the two are, so that a user can decide
//! whether a quantised teacher is good enough.

use super::error::LabelError;
use super::inputs::{LabelInputs, view_of};
use super::options::LabelConfig;
use super::pipeline::{n_targets, token_batch, with_sequence};
use super::planning::{check_tokens_whole, make_plan};
use super::relabel::{RelabelReport, each_sampled_row, relabel};
use crate::checkpoint_graph::OnWork;
use crate::shards::{Group, LabelSet, Plan, Row};
use crate::signals::{KeptSequence, PositionDivergence, divergence_batch};
use crate::teacher::Teacher;
use crate::tokens::SequenceView;

/// Labels compared with a reference teacher, over the positions of a sample.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct DivergenceReport {
    /// Sequences compared.
    pub n_sequences: u64,
    /// Their positions.
    pub n_positions: u64,
    /// Mean KL(reference || labels), nats per token, over stored ids and tail: at most the divergence
    /// over all ids.
    pub kl_nats_mean: f64,
    /// 99% of the positions have at most this KL.
    pub kl_nats_p99: f64,
    /// The largest KL of any position.
    pub kl_nats_max: f64,
    /// Fraction of positions at which both have the same best id.
    pub top1_agreement: f64,
    /// Mean NLL of the targets by the reference, nats per token.
    pub reference_nll_mean: f64,
    /// The same by the labels, if they have the group `stats`.
    pub labels_nll_mean: Option<f64>,
}

/// The result of comparing labels with a teacher.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherReport {
    /// It is the labels' own: labelled again, and compared value by value.
    Own(RelabelReport),
    /// Another one with the same vocabulary: how far apart they are.
    Other(DivergenceReport),
}

/// Compares `n_sequences` of `set`, chosen by `seed`, with the teacher named in `config`, which also names the tokens;
/// settings that shape the labels are taken from the plan. `on_graph` is called before a checkpoint's graph is made, if
/// necessary.
///
/// # Errors
/// Tokens that are not the plan's, a teacher with another vocabulary, and any error of opening and reading them.
pub fn check_teacher(
    set: &LabelSet,
    config: &LabelConfig,
    n_sequences: u64,
    seed: u64,
    on_graph: OnWork<'_>,
) -> Result<TeacherReport, LabelError> {
    if config.options.device.contains(',') {
        let expected = "one device, for a sample";
        return Err(LabelError::option(
            "--device",
            expected,
            &config.options.device,
        ));
    }
    let mut inputs = LabelInputs::open(config, on_graph)?;
    if let Some(plan) = set.segments.first() {
        check_tokens_whole(&inputs.corpus, &plan.corpus)?;
    }
    let (got, Some(expected)) = (make_plan(config, &inputs)?, set.segments.first()) else {
        return Ok(TeacherReport::Own(RelabelReport::default()));
    };
    if got.corpus.fingerprint != expected.corpus.fingerprint {
        return Err(LabelError::OtherInputs {
            field: "the corpus' fingerprint",
            expected: expected.corpus.fingerprint.clone(),
            got: got.corpus.fingerprint,
        });
    }
    if got.teacher.fingerprint == expected.teacher.fingerprint {
        let report = relabel(set, config, &mut inputs, n_sequences, seed)?;
        return Ok(TeacherReport::Own(report));
    }
    let report = divergence(set, config, &mut inputs, n_sequences, seed)?;
    Ok(TeacherReport::Other(report))
}

/// Runs the reference over `n_sequences` of `set`, chosen by `seed`.
///
/// # Errors
/// Labels without stored ids; a corpus other than the labels'; any error of reading and running.
fn divergence(
    set: &LabelSet,
    config: &LabelConfig,
    LabelInputs {
        teacher, corpus, ..
    }: &mut LabelInputs,
    n_sequences: u64,
    seed: u64,
) -> Result<DivergenceReport, LabelError> {
    let view = view_of(corpus, config)?;
    let (mut positions, mut nll, mut n_rows) = (Vec::new(), Vec::new(), 0);
    each_sampled_row(set, n_sequences, seed, |plan, row| {
        if !plan.signals.has(Group::Topk) {
            return Err(LabelError::NothingToCompare);
        }
        positions.extend(of_row(row, plan, &view, teacher)?);
        nll.extend(row.signals.target_logprob_t.iter().map(|&l| -f64::from(l)));
        n_rows += 1;
        Ok(())
    })?;
    Ok(report(n_rows, &positions, &nll))
}

fn of_row(
    row: &Row,
    plan: &Plan,
    view: &SequenceView<'_>,
    teacher: &mut Teacher,
) -> Result<Vec<PositionDivergence>, LabelError> {
    let sequence = view.read(row.seq_id)?;
    let kept = KeptSequence {
        targets: &sequence.input_ids[1..],
        topk_ids_tk: &row.signals.topk_ids_tk,
        topk_logprobs_tk: &row.signals.topk_logprobs_tk,
        tail_mass_t: &row.signals.tail_mass_t,
    };
    let vocab_size = plan.teacher.vocab_size as usize;
    let shape = teacher.info().calls.shape(n_targets(&sequence));
    let held = teacher.run(&token_batch(&[&sequence], shape), |logits| {
        divergence_batch(logits, &[kept], vocab_size)
    })?;
    held.map_err(|source| with_sequence(source, &[&sequence], view))
}

fn report(n_sequences: u64, positions: &[PositionDivergence], nll: &[f64]) -> DivergenceReport {
    let n = positions.len().max(1) as f64;
    let mut kl: Vec<f64> = positions.iter().map(|position| position.kl).collect();
    kl.sort_unstable_by(f64::total_cmp);
    let p99 = (kl.len() * 99 / 100).min(kl.len().saturating_sub(1));
    let n_same = positions.iter().filter(|p| p.same_best).count();
    let reference_nll: f64 = positions.iter().map(|p| -p.target_logprob).sum();
    DivergenceReport {
        n_sequences,
        n_positions: positions.len() as u64,
        kl_nats_mean: kl.iter().sum::<f64>() / n,
        kl_nats_p99: kl.get(p99).copied().unwrap_or(0.0),
        kl_nats_max: kl.last().copied().unwrap_or(0.0),
        top1_agreement: n_same as f64 / n,
        reference_nll_mean: reference_nll / n,
        labels_nll_mean: (!nll.is_empty()).then(|| nll.iter().sum::<f64>() / nll.len() as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_means_fractions_and_the_tail() {
        let position = |i: u32| PositionDivergence {
            kl: f64::from(i),
            same_best: i.is_multiple_of(4),
            target_logprob: -2.0,
        };
        let positions: Vec<_> = (0..200).rev().map(position).collect();
        let got = report(3, &positions, &[1.0, 2.0]);
        assert_eq!((got.n_sequences, got.n_positions), (3, 200));
        assert_eq!((got.kl_nats_mean, got.kl_nats_max), (99.5, 199.0));
        assert_eq!((got.kl_nats_p99, got.top1_agreement), (198.0, 0.25));
        assert_eq!(
            (got.reference_nll_mean, got.labels_nll_mean),
            (2.0, Some(1.5))
        );
        assert_eq!(report(0, &[], &[]).labels_nll_mean, None);
    }
}
