//! Reduction in the model's graph: a head ranks and sums the logits on the device that computed
//! them.

use super::ranked::{Outputs, RankedPosition};
use crate::onnx::head::{HeadSpec, ReductionHead, append_head};
use crate::signals::{
    self, SCORE_K, SequenceBuilder, SequenceSignals, SequenceTargets, SignalsConfig, SignalsError,
    reduce_batch,
};
use crate::teacher::calls::TokenBatch;
use crate::teacher::choice::ReduceChoice;
use crate::teacher::error::TeacherError;
use crate::teacher::model::{Model, run_error};
use crate::teacher::open::Source;
use crate::teacher::options::TeacherOptions;
use rayon::prelude::*;
use std::time::Instant;

/// A head, and the signals for which it was made.
pub(in crate::teacher) struct GraphHead {
    head: ReductionHead,
    config: SignalsConfig,
    /// M: ids ranked per position. The scores need `SCORE_K` of them, whatever K is.
    n_ranked: usize,
}

/// Loads the model again, with a head for `config`, on the same device.
pub(super) fn append(
    options: &TeacherOptions,
    model: Model,
    config: &SignalsConfig,
    n_logits: u32,
) -> Result<(Model, GraphHead), TeacherError> {
    check_groups(config)?;
    let n_ranked = config.top_k.max(SCORE_K).min(config.vocab_size);
    let inv_taus: Vec<f32> = config
        .temperatures
        .iter()
        .map(|t| (1.0 / t) as f32)
        .collect();
    let spec = HeadSpec {
        logits: &model.signature.logits,
        n_logits: u64::from(n_logits),
        vocab_size: config.vocab_size as u64,
        n_ranked: n_ranked as u64,
        inv_taus: &inv_taus,
    };
    let (bytes, head) = append_head(&model.path, &model.signature.opset, &spec)?;
    let options = TeacherOptions {
        device: model.device,
        ..options.clone()
    };
    let Model {
        session,
        signature,
        notes,
        ..
    } = model;
    // Two copies of the weights may exceed the device's memory.
    drop(session);
    let external_files = signature.external_files.clone();
    let source = Source::Bytes {
        model: &bytes,
        external_files: &external_files,
    };
    let mut model = Model::open_source(&options, signature, source, &head.outputs())?;
    model.notes = notes;
    model.feeds.with_targets(head.targets.clone());
    let mut head = GraphHead {
        head,
        config: config.clone(),
        n_ranked,
    };
    head.probe(&mut model)?;
    Ok((model, head))
}

/// Refuses signals that need all logits of a position, naming them.
fn check_groups(config: &SignalsConfig) -> Result<(), TeacherError> {
    let refused = [
        (config.groups.stats, "stats"),
        (config.sampling.is_some(), "samples"),
    ];
    let refused: Vec<&str> = refused
        .into_iter()
        .filter_map(|(asked, name)| asked.then_some(name))
        .collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(TeacherError::Groups {
            place: ReduceChoice::Graph,
            groups: refused.join(" and "),
        }),
    }
}

impl GraphHead {
    pub(super) fn reduce(
        &mut self,
        model: &mut Model,
        batch: &TokenBatch,
        sequences: &[SequenceTargets<'_>],
        config: &SignalsConfig,
    ) -> Result<Vec<SequenceSignals>, TeacherError> {
        check_signals(ReduceChoice::Graph, &self.config, config)?;
        check_targets(batch, sequences, config)?;
        let reduced = self.run(model, batch, sequences, |outputs| {
            let sequence = |(row_idx, sequence)| self.sequence(outputs, row_idx, sequence);
            let rows = sequences.par_iter().enumerate();
            rows.map(sequence).collect::<Option<Vec<_>>>()
        })?;
        match reduced {
            Some(reduced) => Ok(reduced),
            None => self.explain(model, batch, sequences),
        }
    }

    /// Runs a few tokens, so that a device that computes the head wrongly is found before the work.
    /// The model's values for them do not matter.
    fn probe(&mut self, model: &mut Model) -> Result<(), TeacherError> {
        let batch = model.smallest_batch();
        self.run(model, &batch, &[], |_| ())
    }

    /// Runs one batch and passes on the head's outputs.
    fn run<R>(
        &self,
        model: &mut Model,
        batch: &TokenBatch,
        sequences: &[SequenceTargets<'_>],
        f: impl FnOnce(&Outputs<'_>) -> R,
    ) -> Result<R, TeacherError> {
        let shape = model.prepare(batch)?;
        model.feeds.fill_targets(sequences, shape);
        let Model {
            session,
            signature,
            path,
            feeds,
            canceller,
            forward,
            ..
        } = model;
        let failed = |source| run_error(canceller, shape, signature.max_seq_len, source);
        let tensors = feeds.tensors().map_err(failed)?;
        let started = Instant::now();
        let values = session
            .run_with_options(tensors, canceller.reducing())
            .map_err(failed)?;
        *forward += started.elapsed();
        let outputs = Outputs::read(&values, &self.head, shape, self.n_ranked, path)?;
        Ok(f(&outputs))
    }

    /// `None` if a position's logits have no signals.
    fn sequence(
        &self,
        outputs: &Outputs<'_>,
        row_idx: usize,
        sequence: &SequenceTargets<'_>,
    ) -> Option<SequenceSignals> {
        let mut builder = SequenceBuilder::new(&self.config, sequence.targets.len());
        let mut ranked = RankedPosition::default();
        for (t_idx, &target) in sequence.targets.iter().enumerate() {
            let head = outputs.position(row_idx, t_idx);
            builder.push(&ranked.reduce(&head, target, &self.config)?);
        }
        Some(builder.finish())
    }

    /// Runs the same batch once more with all its logits, to say which one is invalid.
    fn explain(
        &self,
        model: &mut Model,
        batch: &TokenBatch,
        sequences: &[SequenceTargets<'_>],
    ) -> Result<Vec<SequenceSignals>, TeacherError> {
        model.lend(batch, |logits| {
            reduce_batch(logits, sequences, &self.config)
        })??;
        Err(TeacherError::HeadOutput {
            model: model.path.clone(),
            output: self.head.other_sum.clone(),
            got: "not finite".to_owned(),
            expected: "finite sums, since all logits are".to_owned(),
        })
    }
}

/// A place prepared for some signals computes no others.
pub(super) fn check_signals(
    place: ReduceChoice,
    prepared_for: &SignalsConfig,
    asked: &SignalsConfig,
) -> Result<(), TeacherError> {
    match asked == prepared_for {
        true => Ok(()),
        false => Err(TeacherError::OtherSignals { place }),
    }
}

/// Targets outside the vocabulary would fail inside a node, in an error that does not name them.
fn check_targets(
    batch: &TokenBatch,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
) -> Result<(), SignalsError> {
    assert_eq!(sequences.len(), batch.n_rows, "one list of targets a row");
    let fits = |sequence: &SequenceTargets| sequence.targets.len() <= batch.width;
    assert!(
        sequences.iter().all(fits),
        "targets inside the batch's width"
    );
    signals::check_targets(sequences, config.vocab_size)
}
