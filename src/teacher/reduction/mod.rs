//! From logits to signals, wherever that is done: one file a place.
//!
//! [`host`] runs the model and lends its logits to the kernel of `signals`. Wherever positions were
//! reduced, `signals` turns them into lists and scores.

mod choice;
mod host;

pub use choice::ReduceChoice;

use super::error::TeacherError;
use super::model::Model;
use super::session::TokenBatch;
use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig};

/// The place, with what is held there.
pub(super) enum Reduction {
    /// On this processor.
    Host,
}

impl Reduction {
    /// Prepares the chosen place for `config`; gives the model back, loaded again where it had to be.
    pub(super) fn choose(
        choice: ReduceChoice,
        model: Model,
        _config: &SignalsConfig,
    ) -> Result<(Model, Self), TeacherError> {
        match choice {
            ReduceChoice::Auto | ReduceChoice::Host => Ok((model, Self::Host)),
        }
    }

    pub(super) fn reduce(
        &mut self,
        model: &mut Model,
        batch: &TokenBatch,
        sequences: &[SequenceTargets<'_>],
        config: &SignalsConfig,
    ) -> Result<Vec<SequenceSignals>, TeacherError> {
        match self {
            Self::Host => host::reduce(model, batch, sequences, config),
        }
    }

    pub(super) fn choice(&self) -> ReduceChoice {
        match self {
            Self::Host => ReduceChoice::Host,
        }
    }
}
