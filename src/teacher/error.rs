//! Errors of loading and running a model.

use super::choice::ReduceChoice;
use super::cuda::CudaError;
use super::search::{Searched, list_searched};
use super::unsuitable::Unsuitable;
use crate::error::{Classified, Kind};
use crate::onnx::OnnxError;
use crate::signals::SignalsError;
use std::path::PathBuf;

/// ONNX Runtime missing or unfit, a model that cannot be run, or a run that failed.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// No ONNX Runtime anywhere.
    #[error(
        "ONNX Runtime was not found; install it with `pip install onnxruntime`, or point --ort-lib or ORT_DYLIB_PATH at its library{}",
        list_searched(searched)
    )]
    RuntimeMissing {
        /// Every place, with what was there.
        searched: Vec<Searched>,
    },
    /// The requested library is not an ONNX Runtime.
    #[error("{} (from {named_by}) cannot be used as ONNX Runtime: {problem}; expected libonnxruntime of version {min_version} or newer: `pip install onnxruntime`", path.display())]
    RuntimeUnfit {
        /// The library.
        path: PathBuf,
        /// The flag or variable that named it.
        named_by: String,
        /// What is wrong with it.
        problem: String,
        /// The oldest that works.
        min_version: &'static str,
    },
    /// Only versions that are too old were found.
    #[error(
        "ONNX Runtime {found} is too old, expected {min_version} or newer: `pip install --upgrade onnxruntime`{}",
        list_searched(searched)
    )]
    RuntimeTooOld {
        /// The newest version that was found.
        found: String,
        /// The oldest that works.
        min_version: &'static str,
        /// Every place, with what was there.
        searched: Vec<Searched>,
    },
    /// A process can load only one runtime.
    #[error("ONNX Runtime is already loaded from {}, so it cannot be loaded from {} too; name one library", loaded.display(), requested.display())]
    RuntimeAlreadyLoaded {
        /// The loaded one.
        loaded: PathBuf,
        /// The one requested now.
        requested: PathBuf,
    },
    /// Loading the runtime failed inside the library binding.
    #[error("ONNX Runtime at {} cannot be initialized", path.display())]
    RuntimeLoad {
        /// The library.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A fault of the model file itself.
    #[error(transparent)]
    Model(#[from] OnnxError),
    /// Sequences longer than the model accepts.
    #[error("sequences of {seq_len} tokens exceed the limit of {limit} of {} (from {limit_source}); lower --seq-len to {limit} or less", model.display())]
    SeqLenBeyondModel {
        /// The model.
        model: PathBuf,
        /// The requested length.
        seq_len: u32,
        /// The longest allowed.
        limit: u64,
        /// Where the limit is declared.
        limit_source: String,
    },
    /// The requested device does not work.
    #[error("--device {device} cannot be used: {problem}; {remedy}")]
    DeviceUnavailable {
        /// As requested.
        device: String,
        /// What ONNX Runtime said.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The session cannot be created.
    #[error("ONNX Runtime {ort_version} cannot load {} on {device}: {hint}", model.display())]
    SessionOpen {
        /// The model.
        model: PathBuf,
        /// Which device.
        device: String,
        /// The runtime's version.
        ort_version: String,
        /// What may help.
        hint: String,
        /// What ONNX Runtime said.
        #[source]
        source: ort::Error,
    },
    /// A batch that contradicts itself or the model's fixed dimensions.
    #[error("batch of {n_rows} rows and {width} tokens does not fit the model: {problem}")]
    BadBatch {
        /// B.
        n_rows: usize,
        /// T.
        width: usize,
        /// Why not.
        problem: String,
    },
    /// A run failed inside the runtime.
    #[error("the teacher failed on a batch of {n_rows} sequences of {width} tokens{hint}")]
    Run {
        /// B as run.
        n_rows: usize,
        /// T as run.
        width: usize,
        /// What may help; empty or begins with "; ".
        hint: String,
        /// What ONNX Runtime said.
        #[source]
        source: ort::Error,
    },
    /// The first run failed: the model cannot be fed as its signature says.
    #[error("{} fails on {n_rows} sequence of {width} tokens: its export is broken, or it needs inputs that its signature does not describe; export it again", model.display())]
    FirstRun {
        /// The model.
        model: PathBuf,
        /// B as run.
        n_rows: usize,
        /// T as run.
        width: usize,
        /// What ONNX Runtime said.
        #[source]
        source: ort::Error,
    },
    /// The logits do not have the expected shape.
    #[error("output {output} of {} is {got:?}, expected [{n_rows}, {width}, V]: {remedy}", model.display())]
    LogitsShape {
        /// The model.
        model: PathBuf,
        /// The output's name.
        output: String,
        /// Its shape.
        got: Vec<i64>,
        /// B as run.
        n_rows: usize,
        /// T as run.
        width: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// The logits have an unsupported dtype.
    #[error(
        "output {output} is {got}, expected float32, float16 or bfloat16; name the logits with --logits-output"
    )]
    LogitsDtype {
        /// The output's name.
        output: String,
        /// Its dtype.
        got: String,
    },
    /// The model runs, but cannot be a teacher.
    #[error("{} cannot be a teacher: {problem}; to label with it anyway, pass --allow-any-teacher", model.display())]
    Unsuitable {
        /// The model.
        model: PathBuf,
        /// What was measured.
        problem: Unsuitable,
    },
    /// A CUDA device cannot reduce logits, or failed to.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// The logits have no signals.
    #[error(transparent)]
    Signals(#[from] SignalsError),
    /// Signals that are not available where the logits are reduced.
    #[error(
        "--reduce {place} does not support {groups}, which need all logits of a position; leave them out with --groups topk, or use --reduce host"
    )]
    Groups {
        /// Where.
        place: ReduceChoice,
        /// Names of the groups, joined.
        groups: String,
    },
    /// The reduction was prepared for other signals.
    #[error(
        "--reduce {place} was prepared for other signals than are requested now; prepare it for these"
    )]
    OtherSignals {
        /// Where.
        place: ReduceChoice,
    },
    /// The head's output is impossible.
    #[error(
        "output {output} of the appended nodes on {} is {got}, expected {expected}: the device computes it wrongly; use --reduce host", model.display()
    )]
    HeadOutput {
        /// The model.
        model: PathBuf,
        /// The head's output.
        output: String,
        /// Its value.
        got: String,
        /// What it should be.
        expected: String,
    },
    /// Somebody called [`super::Canceller::cancel`].
    #[error("cancelled")]
    Cancelled,
    /// A file that the fingerprint needs cannot be read.
    #[error("cannot read {} for the teacher's fingerprint", path.display())]
    Fingerprint {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What a machine may temporarily lack, in ONNX Runtime's words.
const TRANSIENT_FAULTS: [&str; 5] = ["memory", "alloc", "CUDA", "CUBLAS", "CUDNN"];

/// Whether the run may succeed at another time.
pub(super) fn is_transient_fault(error: &ort::Error) -> bool {
    let message = error.message();
    TRANSIENT_FAULTS.iter().any(|fault| message.contains(fault))
}

/// Whether a lookup by an id failed, as far as the message tells.
pub(super) fn is_past_embedding(message: &str) -> bool {
    message.contains("Gather node") && message.contains("out of data bounds")
}

impl TeacherError {
    /// Whether the run will fail in the same way every time.
    pub fn is_permanent_failure(&self) -> bool {
        matches!(self, Self::Run { source, .. } if !is_transient_fault(source))
    }
}

impl Classified for TeacherError {
    fn kind(&self) -> Kind {
        match self {
            Self::Model(error) => error.kind(),
            Self::Signals(error) => error.kind(),
            Self::Cuda(error) => error.kind(),
            Self::Cancelled => Kind::Interrupted,
            Self::Run { source, .. } if is_past_embedding(source.message()) => Kind::Usage,
            Self::Run { .. }
            | Self::HeadOutput { .. }
            | Self::Fingerprint { .. }
            | Self::RuntimeLoad { .. } => Kind::Failed,
            _ => Kind::Usage,
        }
    }
}
