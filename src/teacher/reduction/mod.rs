//! From logits to signals, wherever that is done: one file a place.
//!
//! [`host`] runs the model and lends its logits to the kernel of `signals`. [`graph`] appends a
//! head to the model, so that whatever device runs the model ranks and sums its logits too, and
//! only the kept ids of a position come back. On CUDA [`super::cuda`] leaves the logits on the device
//! and reduces them there by a kernel of its own. Wherever positions were reduced, `signals` makes
//! lists and scores of them.

mod choice;
mod graph;
mod host;
mod ranked;

pub use choice::ReduceChoice;

use super::calls::TokenBatch;
use super::cuda::{self, DeviceReducer};
use super::error::TeacherError;
use super::model::Model;
use super::session::TeacherOptions;
use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig};

/// The place, with what is held there.
pub(super) enum Reduction {
    /// On this processor.
    Host,
    /// In the model's graph.
    Graph(Box<graph::GraphHead>),
    /// On the model's CUDA device.
    Cuda(Box<DeviceReducer>),
}

impl Reduction {
    /// Prepares the chosen place for `config`; gives the model back, loaded again where it had to be.
    pub(super) fn choose(
        choice: ReduceChoice,
        options: &TeacherOptions,
        model: Model,
        config: &SignalsConfig,
        n_logits: u32,
    ) -> Result<(Model, Self), TeacherError> {
        match choice.on(model.device) {
            ReduceChoice::Auto | ReduceChoice::Host => Ok((model, Self::Host)),
            ReduceChoice::Graph => {
                let (model, head) = graph::append(options, model, config, n_logits)?;
                Ok((model, Self::Graph(Box::new(head))))
            }
            ReduceChoice::Cuda => {
                let (number, mut model) = (cuda::number_of(model.device)?, model);
                let mut reducer = DeviceReducer::new(number, config)?;
                cuda::self_check(&mut model, &mut reducer, options.seq_len_max, config)?;
                Ok((model, Self::Cuda(Box::new(reducer))))
            }
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
            Self::Graph(head) => head.reduce(model, batch, sequences, config),
            Self::Cuda(reducer) => {
                check_signals(ReduceChoice::Cuda, reducer.config(), config)?;
                cuda::reduce(model, reducer, batch, sequences)
            }
        }
    }

    pub(super) fn choice(&self) -> ReduceChoice {
        match self {
            Self::Host => ReduceChoice::Host,
            Self::Graph(_) => ReduceChoice::Graph,
            Self::Cuda(_) => ReduceChoice::Cuda,
        }
    }
}

/// A place prepared for some signals gives no others.
fn check_signals(
    place: ReduceChoice,
    prepared_for: &SignalsConfig,
    asked: &SignalsConfig,
) -> Result<(), TeacherError> {
    match asked == prepared_for {
        true => Ok(()),
        false => Err(TeacherError::OtherSignals { place }),
    }
}

#[cfg(test)]
mod tests;
