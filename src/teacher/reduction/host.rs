//! Reduction on this CPU: the logits are lent, uncopied, to the kernel of `signals`.

use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig, reduce_batch};
use crate::teacher::calls::TokenBatch;
use crate::teacher::error::TeacherError;
use crate::teacher::model::Model;

pub(super) fn reduce(
    model: &mut Model,
    batch: &TokenBatch,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
) -> Result<Vec<SequenceSignals>, TeacherError> {
    let reduced = model.lend(batch, |logits| reduce_batch(logits, sequences, config))?;
    Ok(reduced?)
}
