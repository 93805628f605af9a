//! Loss on a held-out corpus: the same sequences every time.

use super::Interrupt;
use super::inputs::Inputs;
use super::step::mean;
use crate::tokens::SequenceView;
use crate::train::batch::{LossSums, PositionScore};
use crate::train::data::{DataError, TokenSource};
use crate::train::eval::evenly_spaced;
use crate::train::example::Example;
use crate::train::loss::targets_of;
use crate::train::model::Network;

/// Evenly spaced sequences of a corpus.
pub(super) struct Validation<'a> {
    view: SequenceView<'a>,
    seq_ids: Vec<u64>,
    micro_batch_size: usize,
    mask_document_borders: bool,
    scores_n: Vec<PositionScore>,
}

/// Result of a validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValidationReport {
    /// Mean NLL of the targets, nats. With `data.mask_document_borders` targets across document boundaries are left
    /// out, as in training.
    pub nll: f64,
    /// Number of targets.
    pub n_targets: f64,
}

impl<'a> Validation<'a> {
    /// `eval.sequences` of `source`; 0 takes all.
    pub(super) fn new(source: &'a TokenSource, inputs: &Inputs) -> Self {
        let view = source.view();
        let config = &inputs.config;
        let n_wanted = config.eval.sequences;
        let n = if n_wanted == 0 { view.len() } else { n_wanted };
        Self {
            seq_ids: evenly_spaced(view.len(), n).collect(),
            view,
            micro_batch_size: config.train.micro_batch_size(),
            mask_document_borders: config.data.mask_document_borders,
            scores_n: vec![PositionScore::default(); inputs.capacity().n_positions],
        }
    }

    /// Evaluates all chosen sequences; `None` if a stop was requested before the last one.
    ///
    /// # Errors
    /// Tokens that cannot be read.
    pub(super) fn run(
        &mut self,
        network: &mut Network,
        interrupt: &Interrupt,
    ) -> Result<Option<ValidationReport>, DataError> {
        let mut sums = LossSums::default();
        for seq_ids in self.seq_ids.chunks(self.micro_batch_size) {
            if interrupt.is_requested() {
                return Ok(None);
            }
            let read = |&seq_id| self.view.read(seq_id).map(Example::from);
            let examples: Vec<Example> = seq_ids.iter().map(read).collect::<Result<_, _>>()?;
            let batch = targets_of(&examples, None, self.mask_document_borders);
            sums += network.evaluate(&batch, &mut self.scores_n[..batch.n_positions()]);
        }
        Ok(Some(ValidationReport {
            nll: mean(sums.ce, sums.n),
            n_targets: sums.n,
        }))
    }
}
