//! One session with all that is needed to run it. The reductions are built on it.

use super::calls::TokenBatch;
use super::cancel::Canceller;
use super::device::DeviceChoice;
use super::error::{TeacherError, is_past_embedding};
use super::feeds::{Feeds, RunShape, run_shape};
use super::logits::LogitsView;
use super::open::{Source, open_error, open_session};
use super::options::TeacherOptions;
use super::runtime::environment;
use crate::onnx::Signature;
use crate::signals::Logits;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A loaded model.
pub(super) struct Model {
    pub(super) session: Session,
    pub(super) signature: Signature,
    pub(super) path: PathBuf,
    pub(super) feeds: Feeds,
    pub(super) canceller: Canceller,
    /// The device that it actually runs on; never `auto`.
    pub(super) device: DeviceChoice,
    pub(super) provider: &'static str,
    pub(super) ort_version: String,
    pub(super) notes: Vec<String>,
    /// Time spent in runs since it was last taken.
    pub(super) forward: Duration,
}

impl Model {
    /// Loads the model from its file.
    pub(super) fn open(
        options: &TeacherOptions,
        signature: Signature,
    ) -> Result<Self, TeacherError> {
        Self::open_source(options, signature, Source::File, &[])
    }

    /// Loads the model from `source`, which has these outputs besides the signature's: those of a
    /// run with [`Canceller::reducing`].
    pub(super) fn open_source(
        options: &TeacherOptions,
        signature: Signature,
        source: Source<'_>,
        head_outputs: &[&str],
    ) -> Result<Self, TeacherError> {
        let (environment, library) = environment()?;
        let opened = open_session(environment, library, options, source)?;
        let failed = |source| open_error(&options.model, opened.provider, library, source);
        let lending = select_outputs(&[&signature.logits.name]).map_err(failed)?;
        let reducing = select_outputs(head_outputs).map_err(failed)?;
        let bound = RunOptions::new().map_err(failed)?;
        Ok(Self {
            session: opened.session,
            feeds: Feeds::new(&signature),
            path: options.model.clone(),
            signature,
            canceller: Canceller::new(lending, reducing, bound),
            device: opened.device,
            provider: opened.provider,
            ort_version: library.version.clone(),
            notes: opened.notes,
            forward: Duration::ZERO,
        })
    }

    /// Checks a batch and fills the feeds for it.
    pub(super) fn prepare(&mut self, batch: &TokenBatch) -> Result<RunShape, TeacherError> {
        self.canceller.check()?;
        let shape = run_shape(batch, &self.signature)?;
        self.feeds.fill(batch, shape);
        Ok(shape)
    }

    /// Runs one batch and lends its logits.
    pub(super) fn lend<R>(
        &mut self,
        batch: &TokenBatch,
        f: impl FnOnce(Logits<'_>) -> R,
    ) -> Result<R, TeacherError> {
        let shape = self.prepare(batch)?;
        let limit = self.signature.max_seq_len;
        let failed = |source| run_error(&self.canceller, shape, limit, source);
        let tensors = self.feeds.tensors().map_err(failed)?;
        let started = Instant::now();
        let outputs = self
            .session
            .run_with_options(tensors, self.canceller.lending())
            .map_err(failed)?;
        self.forward += started.elapsed();
        let output = &outputs[0];
        let view = LogitsView {
            model: &self.path,
            output: &self.signature.logits.name,
            shape,
        };
        Ok(f(view.lend(output, batch.n_rows)?))
    }

    /// One row of three tokens, or as many as the model accepts.
    pub(super) fn smallest_batch(&self) -> TokenBatch {
        let limits = [
            self.signature.fixed_seq_len,
            self.signature.max_seq_len.map(u64::from),
        ];
        let most = limits.into_iter().flatten().min().unwrap_or(3);
        let width = most.clamp(1, 3) as usize;
        TokenBatch {
            ids_bt: vec![0; width],
            n_rows: 1,
            width,
            lengths: vec![width as u32],
            ..TokenBatch::default()
        }
    }
}

/// Only these: a present (key-value cache) output would be copied for nothing.
fn select_outputs(names: &[&str]) -> Result<RunOptions<HasSelectedOutputs>, ort::Error> {
    let none = OutputSelector::no_default();
    let selected = names.iter().fold(none, |some, name| some.with(*name));
    Ok(RunOptions::new()?.with_outputs(selected))
}

/// A run that was terminated is a cancellation, not a failure of the model.
pub(super) fn run_error(
    canceller: &Canceller,
    RunShape { n_rows, width }: RunShape,
    limit: Option<u32>,
    source: ort::Error,
) -> TeacherError {
    if canceller.is_cancelled() {
        return TeacherError::Cancelled;
    }
    let hint = match limit {
        _ if is_past_embedding(source.message()) => "; its output has ids that its embedding lacks: pass the tokenizer that made the tokens with --tokenizer, and --mask-vocab-padding".to_owned(),
        Some(limit) if width > limit as usize => {
            format!("; its configuration allows {limit} tokens: lower --seq-len")
        }
        None => {
            "; if shorter sequences work, the model's limit is lower: lower --seq-len".to_owned()
        }
        Some(_) => String::new(),
    };
    TeacherError::Run {
        n_rows,
        width,
        hint,
        source,
    }
}
