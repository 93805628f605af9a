//! Labels made by another engine: from its numbers to the same shards.
//!
//! A specification ([`ImportSpec`]) names the engine and the model, and has the options of `label`. A plan follows from
//! it as from an ONNX teacher. The rows then come shard by shard, each as a Parquet file of unrounded numbers (`rows`)
//! with the row groups of the plan. Rounding, scores, checks, and publication are those of every other shard, so
//! readers of labels see no difference.

mod error;
mod plan;
mod rows;
mod spec;

pub use error::ImportError;
pub use spec::ImportSpec;

use super::error::LabelError;
use super::inputs::{open_corpus, tokenizer_facts, view_of};
use super::options::LabelConfig;
use super::output::check_output;
use super::planning::check_tokens_untouched;
use super::reduction::signals_config;
use super::tokenizer_copy::copy_tokenizer;
use crate::shards::{
    self, LabelSet, Plan, PlanEngine, RuntimeStamp, ShardState, ShardWriter, ShardsError, Sidecar,
};
use crate::tokens::TokenCorpus;
use std::path::Path;

/// A directory of labels for an engine's rows.
pub struct Import {
    config: LabelConfig,
    corpus: TokenCorpus,
    plan: Plan,
}

impl Import {
    /// Reads the specification at `path`, and creates its plan in the output, or checks it against the existing one.
    ///
    /// # Errors
    /// An invalid specification; tokens that cannot be read, or have ids outside the vocabulary; a directory with other
    /// labels.
    pub fn open(path: &Path) -> Result<Self, LabelError> {
        let spec = ImportSpec::read(path)?;
        let config = spec.resolve()?;
        check_output(&config)?;
        let corpus = open_corpus(&config)?;
        let tokenizer = tokenizer_facts(&config, &corpus)?;
        let planned = plan::make_plan(&spec, &config, &corpus, tokenizer)?;
        let selection = config.options.selection.as_deref();
        let opened = LabelSet::create_or_match(&config.output, &planned, selection)?;
        copy_tokenizer(&config, opened.plan())?;
        Ok(Self {
            plan: opened.plan().clone(),
            config,
            corpus,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// This task's unfinished shards, in order.
    ///
    /// # Errors
    /// A sidecar of other labels; files that could not be read.
    pub fn todo(&self) -> Result<Vec<u32>, LabelError> {
        let mut todo = Vec::new();
        let shards = self.plan.shards().filter(|&n| self.config.task.has(n));
        let shards: Vec<u32> = shards.collect();
        let states = shards::check_all_finished(&self.config.output, &self.plan, &shards)?;
        for (state, shard) in states.into_iter().zip(shards) {
            match state {
                ShardState::Finished(_) => {}
                ShardState::Missing | ShardState::Damaged(_) => todo.push(shard),
            }
        }
        Ok(todo)
    }

    /// The sequences of `shard`, by row group, in order.
    ///
    /// # Errors
    /// No such shard.
    pub fn row_groups(&self, shard: u32) -> Result<Vec<Vec<u64>>, LabelError> {
        let shards = self.plan.shards();
        if shards.contains(&shard) {
            return Ok(self.plan.row_groups(shard));
        }
        Err(ShardsError::NoSuchShard {
            shard,
            first: shards.start,
            end: shards.end,
        }
        .into())
    }

    /// Makes `shard` from the rows in the Parquet file at `path`: those of the plan, in its order and its row groups.
    ///
    /// # Errors
    /// [`ImportError`] for columns, types and lengths; rows that break an invariant; I/O.
    pub fn write(&self, shard: u32, path: &Path) -> Result<Sidecar, LabelError> {
        let view = view_of(&self.corpus, &self.config)?;
        let signals = signals_config(&self.plan.signals, self.plan.teacher.vocab_size);
        let row_groups = self.plan.row_groups(shard);
        let mut staged = rows::Staged::open(path, &self.plan, row_groups.len())?;
        let mut writer = ShardWriter::create_with_pieces(&self.config.output, &self.plan, shard)?;
        for (group, seq_ids) in row_groups.into_iter().enumerate() {
            let sequences = seq_ids.iter().map(|&seq_id| view.read(seq_id));
            let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
            writer.write_row_group(&staged.rows(group, sequences, &signals)?)?;
        }
        check_tokens_untouched(&self.corpus, &self.plan.corpus, false)?;
        Ok(writer.seal_and_publish(&runtime_stamp(&self.plan))?)
    }
}

/// The stamp, with the engine in place of ONNX Runtime.
fn runtime_stamp(plan: &Plan) -> RuntimeStamp {
    let named = |engine: &PlanEngine| format!("{} {}", engine.name, engine.version);
    RuntimeStamp {
        ort_version: String::new(),
        provider: plan.teacher.engine.as_ref().map(named).unwrap_or_default(),
        instruction_set: String::new(),
        saltworks_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
