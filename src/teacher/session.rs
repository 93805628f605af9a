//! One ONNX Runtime session, from a model file to lent logits.

use super::cuda_libs::preload;
use super::device::DeviceChoice;
use super::error::TeacherError;
use super::feeds::{Feeds, RunShape, run_shape};
use super::runtime::{RuntimeLibrary, available_providers, environment};
use crate::onnx::{DType, Signature, read_signature};
use crate::signals::{Logits, LogitsData};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::{DynValue, TensorElementType};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        let run_options = &self.canceller.state.run_options;
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

const CPU: &str = "CPUExecutionProvider";
const CUDA: &str = "CUDAExecutionProvider";

struct Opened {
    session: Session,
    provider: &'static str,
    notes: Vec<String>,
}

fn open_session(
    environment: &Environment,
    library: &RuntimeLibrary,
    options: &TeacherOptions,
) -> Result<Opened, TeacherError> {
    let on_cpu = |notes| {
        let session = commit(environment, options, None)
            .map_err(|source| open_error(&options.model, CPU, library, source))?;
        Ok(Opened {
            session,
            provider: CPU,
            notes,
        })
    };
    let on_cuda = |number| cuda_session(environment, library, options, number);
    match options.device {
        DeviceChoice::Cpu => on_cpu(Vec::new()),
        DeviceChoice::Cuda(number) => {
            on_cuda(number).map_err(|problem| TeacherError::DeviceUnavailable {
                device: options.device.to_string(),
                problem,
            })
        }
        DeviceChoice::Auto => on_cuda(0).or_else(|problem| {
            on_cpu(vec![format!(
                "running on the CPU: CUDA cannot be used: {problem}"
            )])
        }),
    }
}

/// `Err` says why CUDA does not work here. That the provider is in the library proves nothing, so
/// a session is made with it.
fn cuda_session(
    environment: &Environment,
    library: &RuntimeLibrary,
    options: &TeacherOptions,
    number: u32,
) -> Result<Opened, String> {
    let providers = available_providers().map_err(|error| error.to_string())?;
    if !providers.iter().any(|provider| provider == CUDA) {
        return Err(format!(
            "ONNX Runtime {} was built without CUDA",
            library.version
        ));
    }
    preload(&library.path);
    let session = commit(environment, options, Some(number))
        .map_err(|error| cuda_problem(error.message()))?;
    Ok(Opened {
        session,
        provider: CUDA,
        notes: Vec::new(),
    })
}

/// The part of ONNX Runtime's message that a user can act on, without its source lines.
pub(super) fn cuda_problem(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
    let core = after("with error: ")
        .or_else(|| after("FAIL : "))
        .unwrap_or(line)
        .trim();
    let remedy = match core {
        _ if core.contains("libcuda.so") => "the NVIDIA driver is not installed",
        _ if core.contains("cannot open shared object file") => {
            "CUDA's libraries are not installed: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        }
        _ => return core.to_owned(),
    };
    format!("{core}; {remedy}")
}

fn commit(
    environment: &Environment,
    options: &TeacherOptions,
    cuda: Option<u32>,
) -> Result<Session, ort::Error> {
    let mut builder = configure(environment, options)?;
    if let Some(number) = cuda {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let provider = ort::ep::CUDA::default().with_device_id(number).build();
        builder = builder.with_execution_providers([provider.error_on_failure()])?;
    }
    builder.commit_from_file(&options.model)
}

/// Spinning is off: between runs the same cores reduce the logits, and ONNX Runtime's idle threads
/// would burn them (measured with two threads on two cores: the reduction takes 1.2 to 1.6 times as
/// long with spinning, and the runs are no faster).
fn configure(
    environment: &Environment,
    options: &TeacherOptions,
) -> Result<SessionBuilder, ort::Error> {
    let builder = Session::builder(environment)?
        .with_intra_threads(options.threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_deterministic_compute(true)?;
    Ok(builder)
}

fn open_error(
    model: &Path,
    device: &str,
    library: &RuntimeLibrary,
    source: ort::Error,
) -> TeacherError {
    TeacherError::SessionOpen {
        model: model.to_owned(),
        device: device.to_owned(),
        ort_version: library.version.clone(),
        hint: "a newer ONNX Runtime may know its operators".to_owned(),
        source,
    }
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

/// What a message about an output needs.
struct LogitsView<'a> {
    model: &'a Path,
    output: &'a str,
    shape: RunShape,
}

impl LogitsView<'_> {
    /// Checks dtype and shape; cuts rows that only padded the batch.
    fn lend<'v>(&self, value: &'v DynValue, n_rows: usize) -> Result<Logits<'v>, TeacherError> {
        let dtype = value.dtype();
        let dims: Vec<i64> = dtype
            .tensor_shape()
            .map(|dims| dims.to_vec())
            .unwrap_or_default();
        let vocab_size = self.check_shape(&dims)?;
        let n_used = n_rows * self.shape.width * vocab_size;
        let run = |source| TeacherError::Run {
            n_rows,
            width: self.shape.width,
            hint: String::new(),
            source,
        };
        let data = match dtype.tensor_type() {
            Some(TensorElementType::Float32) => {
                LogitsData::F32(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            Some(TensorElementType::Float16) => {
                LogitsData::F16(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            Some(TensorElementType::Bfloat16) => {
                LogitsData::Bf16(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            other => {
                let got = other.map_or("not a tensor".to_owned(), |dtype| dtype.to_string());
                return Err(TeacherError::LogitsDtype {
                    output: self.output.to_owned(),
                    got,
                });
            }
        };
        Ok(Logits {
            data,
            n_rows,
            width: self.shape.width,
            vocab_size,
        })
    }

    fn check_shape(&self, dims: &[i64]) -> Result<usize, TeacherError> {
        let RunShape { n_rows, width } = self.shape;
        match dims {
            [b, t, v] if *b == n_rows as i64 && *t == width as i64 && *v > 0 => Ok(*v as usize),
            _ => Err(TeacherError::LogitsShape {
                model: self.model.to_owned(),
                output: self.output.to_owned(),
                got: dims.to_vec(),
                n_rows,
                width,
                remedy: match dims {
                    [_, 1, _] | [_, _] => {
                        "the model keeps the last position only; export it with the logits of every position"
                    }
                    _ => {
                        "name the logits with --logits-output, or export the model with [B, T, V] logits"
                    }
                },
            }),
        }
    }
}

/// Stops a teacher from another thread: a run in progress returns [`TeacherError::Cancelled`] after
/// the node that it is in, and so does every later run.
#[derive(Clone)]
pub struct Canceller {
    state: Arc<CancelState>,
}

struct CancelState {
    cancelled: AtomicBool,
    run_options: RunOptions<HasSelectedOutputs>,
}

// SAFETY: the binding withholds Sync from run options with selected outputs because they may hold a
// preallocated output that two runs would write to. These hold none, and the only thing done from
// another thread is `terminate`, which sets a flag that ONNX Runtime reads for this very purpose.
unsafe impl Sync for CancelState {}

impl Canceller {
    fn new(run_options: RunOptions<HasSelectedOutputs>) -> Self {
        Self {
            state: Arc::new(CancelState {
                cancelled: AtomicBool::new(false),
                run_options,
            }),
        }
    }

    /// Stops the run in progress, and every later one.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::SeqCst);
        // Setting a flag cannot fail; and if it did, the next run would still see `cancelled`.
        let _ = self.state.run_options.terminate();
    }

    /// Whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), TeacherError> {
        if self.is_cancelled() {
            Err(TeacherError::Cancelled)
        } else {
            Ok(())
        }
    }
}
