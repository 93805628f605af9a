//! The place where a teacher's logits are reduced.

use super::graph::{self, GraphHead, check_signals};
use super::host;
use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig};
use crate::teacher::calls::TokenBatch;
use crate::teacher::choice::ReduceChoice;
use crate::teacher::cuda::{self, DeviceReducer};
use crate::teacher::error::TeacherError;
use crate::teacher::model::Model;
use crate::teacher::options::TeacherOptions;

/// The place, with its resources.
pub(in crate::teacher) enum Reduction {
    /// On this CPU.
    Host,
    /// In the model's graph.
    Graph(Box<GraphHead>),
    /// On the model's CUDA device.
    Cuda(Box<DeviceReducer>),
}

impl Reduction {
    /// Prepares the chosen place for `config`; returns the model, which may have been loaded again.
    pub(in crate::teacher) fn choose(
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

    pub(in crate::teacher) fn reduce(
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

    pub(in crate::teacher) fn choice(&self) -> ReduceChoice {
        match self {
            Self::Host => ReduceChoice::Host,
            Self::Graph(_) => ReduceChoice::Graph,
            Self::Cuda(_) => ReduceChoice::Cuda,
        }
    }
}
