//! One ONNX Runtime session, from a model file to lent logits.

use super::cancel::Canceller;
use super::device::DeviceChoice;
use super::error::TeacherError;
use super::feeds::{Feeds, RunShape, run_shape};
use super::logits::LogitsView;
use super::open::{Opened, open_error, open_session};
use super::runtime::{RuntimeLibrary, environment};
use crate::onnx::{DType, Signature, read_signature};
use crate::signals::{Logits, LogitsData};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use std::path::{Path, PathBuf};

/// How to open a teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherOptions {
    /// The `.onnx` file; external data beside it.
    pub model: PathBuf,
    /// Where to run.
    pub device: DeviceChoice,
    /// Threads of one run; 0 is one a core.
    pub threads: usize,
    /// The logits' output, where its name and shape do not say.
    pub logits_output: Option<String>,
    /// The longest sequence that will be run, in tokens; refused at once if the model takes less.
    pub seq_len_max: u32,
}

/// What a teacher turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherInfo {
    /// V, from the shape of logits that the model gave.
    pub vocab_size: u32,
    /// `CPUExecutionProvider` or `CUDAExecutionProvider`.
    pub provider: String,
    /// Version of the runtime.
    pub ort_version: String,
    /// Dtype of the logits.
    pub logits_dtype: DType,
    /// What a user should be told, such as a fallback to the CPU.
    pub notes: Vec<String>,
    /// The most rows a batch may have, where the model fixes B.
    pub max_rows: Option<usize>,
    /// T of every run, where the model fixes it; shorter batches are padded to it.
    pub fixed_seq_len: Option<usize>,
    /// The longest sequence, in tokens, that the model declares.
    pub max_seq_len: Option<u32>,
}

/// Sequences of one run, right-padded with id 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[B, T]` row-major.
    pub ids_bt: Vec<u32>,
    /// B.
    pub n_rows: usize,
    /// T: the longest length.
    pub width: usize,
    /// `[B]` tokens of each row, 1 to T.
    pub lengths: Vec<u32>,
}

/// One model, loaded and ready.
pub struct Teacher {
    session: Session,
    signature: Signature,
    model: PathBuf,
    info: TeacherInfo,
    feeds: Feeds,
    canceller: Canceller,
}

impl Teacher {
    /// Loads the model, and runs it once on two tokens so that a model that cannot work fails here.
    pub fn open(options: &TeacherOptions) -> Result<Self, TeacherError> {
        let signature = read_signature(&options.model, options.logits_output.as_deref())?;
        check_seq_len(options, &signature)?;
        let (environment, library) = environment()?;
        let opened = open_session(environment, library, options)?;
        let run_options = select_output(&signature.logits.name)
            .map_err(|source| open_error(&options.model, opened.provider, library, source))?;
        let mut teacher = Self {
            info: info(&signature, library, &opened),
            session: opened.session,
            feeds: Feeds::new(&signature),
            model: options.model.clone(),
            signature,
            canceller: Canceller::new(run_options),
        };
        teacher.probe()?;
        Ok(teacher)
    }

    /// What this teacher turned out to be.
    pub fn info(&self) -> &TeacherInfo {
        &self.info
    }

    /// What the model's file declares.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// A handle that stops this teacher from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Runs one batch and lends its logits to `f`, without copying them.
    ///
    /// The logits have `batch.n_rows` rows; their `width` is `batch.width`, or the model's own T
    /// where that is fixed (positions past a row's length mean nothing).
    pub fn run<R>(
        &mut self,
        batch: &TokenBatch,
        f: impl FnOnce(Logits<'_>) -> R,
    ) -> Result<R, TeacherError> {
        self.canceller.check()?;
        let shape = run_shape(batch, &self.signature)?;
        self.feeds.fill(batch, shape);
        let run_options = self.canceller.run_options();
        let limit = self.signature.max_seq_len;
        let failed = |source| run_error(&self.canceller, shape, limit, source);
        let tensors = self.feeds.tensors().map_err(failed)?;
        let outputs = self
            .session
            .run_with_options(tensors, run_options)
            .map_err(failed)?;
        let output = &outputs[0];
        let view = LogitsView {
            model: &self.model,
            output: &self.signature.logits.name,
            shape,
        };
        Ok(f(view.lend(output, batch.n_rows)?))
    }

    /// Two tokens, so that logits of the last position only are told from logits of all.
    fn probe(&mut self) -> Result<(), TeacherError> {
        let width = self
            .signature
            .fixed_seq_len
            .map_or(2, |fixed| fixed.clamp(1, 2) as usize);
        let lengths = vec![width as u32];
        let batch = TokenBatch {
            ids_bt: vec![0; width],
            n_rows: 1,
            width,
            lengths,
        };
        let (vocab_size, dtype) = self.run(&batch, |logits| {
            let dtype = match logits.data {
                LogitsData::F32(_) => DType::F32,
                LogitsData::F16(_) => DType::F16,
                LogitsData::Bf16(_) => DType::Bf16,
            };
            (logits.vocab_size, dtype)
        })?;
        // ONNX dimensions that do not fit 32 bits cannot be token ids.
        self.info.vocab_size = u32::try_from(vocab_size).unwrap_or(u32::MAX);
        self.info.logits_dtype = dtype;
        Ok(())
    }
}

fn check_seq_len(options: &TeacherOptions, signature: &Signature) -> Result<(), TeacherError> {
    let declared = signature.max_seq_len.map(|limit| {
        let path = signature
            .max_seq_len_source
            .as_deref()
            .unwrap_or(Path::new("config.json"));
        (u64::from(limit), path.display().to_string())
    });
    let fixed = signature
        .fixed_seq_len
        .map(|limit| (limit, "its fixed input shape".to_owned()));
    match [fixed, declared]
        .into_iter()
        .flatten()
        .min_by_key(|(limit, _)| *limit)
    {
        Some((limit, limit_source)) if u64::from(options.seq_len_max) > limit => {
            Err(TeacherError::SeqLenBeyondModel {
                model: options.model.clone(),
                seq_len: options.seq_len_max,
                limit,
                limit_source,
            })
        }
        _ => Ok(()),
    }
}

fn info(signature: &Signature, library: &RuntimeLibrary, opened: &Opened) -> TeacherInfo {
    TeacherInfo {
        vocab_size: 0,
        provider: opened.provider.to_owned(),
        ort_version: library.version.clone(),
        logits_dtype: signature.logits.dtype,
        notes: opened.notes.clone(),
        max_rows: signature.fixed_batch.map(|n| n as usize),
        fixed_seq_len: signature.fixed_seq_len.map(|n| n as usize),
        max_seq_len: signature.max_seq_len,
    }
}

/// Only the logits: a present (key-value cache) output would be copied for nothing.
fn select_output(name: &str) -> Result<RunOptions<HasSelectedOutputs>, ort::Error> {
    Ok(RunOptions::new()?.with_outputs(OutputSelector::no_default().with(name)))
}

/// A run that was terminated is a cancellation, not a failure of the model.
fn run_error(
    canceller: &Canceller,
    RunShape { n_rows, width }: RunShape,
    limit: Option<u32>,
    source: ort::Error,
) -> TeacherError {
    if canceller.is_cancelled() {
        return TeacherError::Cancelled;
    }
    let hint = match limit {
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
