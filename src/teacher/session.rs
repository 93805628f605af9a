//! The public interface of a loaded model: options in, logits or signals out.

use super::calls::{CallRule, TokenBatch};
use super::cancel::Canceller;
use super::choice::ReduceChoice;
use super::device::DeviceChoice;
use super::error::{TeacherError, is_transient_fault};
use super::model::Model;
use super::open::has_cuda;
use super::options::{TeacherInfo, TeacherOptions, Timings};
use super::reduction::Reduction;
use super::runtime::environment;
use super::unsuitable::Noise;
use crate::onnx::{DType, Signature, read_signature};
use crate::signals::{Logits, LogitsData, SequenceSignals, SequenceTargets, SignalsConfig};
use std::path::Path;
use std::time::{Duration, Instant};

/// The device that `choice` means on this machine: `auto` is resolved.
///
/// # Errors
/// No ONNX Runtime.
pub fn device_of(choice: DeviceChoice) -> Result<DeviceChoice, TeacherError> {
    if choice != DeviceChoice::Auto {
        return Ok(choice);
    }
    let (environment, library) = environment()?;
    Ok(match has_cuda(environment, library) {
        true => DeviceChoice::Cuda(0),
        false => DeviceChoice::Cpu,
    })
}

/// One model, loaded and ready.
pub struct Teacher {
    options: TeacherOptions,
    model: Model,
    reduction: Reduction,
    info: TeacherInfo,
    /// Time in `reduce`, since timings were last taken.
    reducing: Duration,
}

impl Teacher {
    /// Loads the model, and runs it once on a few tokens so that a model that cannot work fails here. Its logits are
    /// reduced on this CPU, unless [`Teacher::with_reduction`] chooses another place.
    pub fn open(options: &TeacherOptions) -> Result<Self, TeacherError> {
        let signature = read_signature(&options.model, options.logits_output.as_deref())?;
        check_seq_len(options, &signature)?;
        let model = Model::open(options, signature)?;
        let mut teacher = Self {
            info: info(&model, options),
            options: options.clone(),
            model,
            reduction: Reduction::Host,
            reducing: Duration::ZERO,
        };
        teacher.probe()?;
        teacher.model.forward = Duration::ZERO;
        Ok(teacher)
    }

    /// Chooses where logits are reduced to the signals of `config`.
    ///
    /// The model is loaded again if that requires another session, after the present one is dropped: take a
    /// [`Canceller`] from the result, not from `self`.
    ///
    /// # Errors
    /// Signals that are not available there, named, with a remedy; a model that no head can be appended to; a session
    /// that cannot be created; on CUDA, a device or compiler that is missing or fails, and a kernel whose signals for a
    /// few tokens differ from the CPU's.
    pub fn with_reduction(
        self,
        choice: ReduceChoice,
        config: &SignalsConfig,
    ) -> Result<Self, TeacherError> {
        let Self {
            options,
            model,
            mut info,
            ..
        } = self;
        let note = choice.note(model.device);
        let (mut model, reduction) =
            Reduction::choose(choice, &options, model, config, info.vocab_size)?;
        // Test runs of the place do not count as the caller's reductions.
        model.forward = Duration::ZERO;
        info.reduction = reduction.choice();
        info.notes.extend(note);
        Ok(Self {
            options,
            model,
            reduction,
            info,
            reducing: Duration::ZERO,
        })
    }

    /// What is known about this teacher.
    pub fn info(&self) -> &TeacherInfo {
        &self.info
    }

    /// Applies the rule of another teacher of the same model.
    pub fn set_calls(&mut self, calls: CallRule) {
        self.info.calls = calls;
    }

    pub(super) fn info_mut(&mut self) -> &mut TeacherInfo {
        &mut self.info
    }

    /// Test runs do not count as the caller's work.
    pub(super) fn forget_timings(&mut self) {
        self.take_timings();
    }

    /// What the model's file declares.
    pub fn signature(&self) -> &Signature {
        &self.model.signature
    }

    /// A handle that stops this teacher from another thread.
    pub fn canceller(&self) -> Canceller {
        self.model.canceller.clone()
    }

    /// Runs one batch and lends its logits to `f`, without copying them.
    ///
    /// The logits have `batch.n_rows` rows; their `width` is `batch.width`, or the model's own T if that is fixed
    /// (positions beyond a row's length are meaningless).
    pub fn run<R>(
        &mut self,
        batch: &TokenBatch,
        f: impl FnOnce(Logits<'_>) -> R,
    ) -> Result<R, TeacherError> {
        self.model.lend(batch, f)
    }

    /// Runs one batch and reduces its logits: position t of row b predicts `sequences[b].targets[t]`. `config` must be
    /// that of [`Teacher::with_reduction`], except that a teacher that reduces on this CPU accepts any. CPU work runs
    /// on the current rayon pool.
    ///
    /// # Errors
    /// [`TeacherError::Signals`] names batch row and position; all others are from the run itself.
    ///
    /// # Panics
    /// If the number of target lists is not the number of rows, or one is longer than the batch's width.
    pub fn reduce(
        &mut self,
        batch: &TokenBatch,
        sequences: &[SequenceTargets<'_>],
        config: &SignalsConfig,
    ) -> Result<Vec<SequenceSignals>, TeacherError> {
        let started = Instant::now();
        let signals = self
            .reduction
            .reduce(&mut self.model, batch, sequences, config);
        self.reducing += started.elapsed();
        signals
    }

    /// The time spent in [`Teacher::reduce`] since this was last called.
    pub fn take_timings(&mut self) -> Timings {
        let forward = std::mem::take(&mut self.model.forward);
        let reducing = std::mem::take(&mut self.reducing);
        Timings {
            forward,
            reduction: reducing.saturating_sub(forward),
        }
    }

    /// Names of all outputs of the session.
    #[cfg(test)]
    pub(super) fn model_outputs(&self) -> Vec<String> {
        let outputs = self.model.session.outputs();
        outputs
            .iter()
            .map(|output| output.name().to_owned())
            .collect()
    }

    /// Repeating a failed first run does not help, unless the machine temporarily lacks something.
    fn first_error(&self, error: TeacherError) -> TeacherError {
        match error {
            TeacherError::Run {
                n_rows,
                width,
                source,
                ..
            } if !is_transient_fault(&source) => TeacherError::FirstRun {
                model: self.options.model.clone(),
                n_rows,
                width,
                source,
            },
            error => error,
        }
    }

    /// Runs three tokens, so that logits of only the last position, or of all but one, are recognized.
    fn probe(&mut self) -> Result<(), TeacherError> {
        let batch = self.model.smallest_batch();
        let ran = self.run(&batch, |logits| {
            let dtype = match logits.data {
                LogitsData::F32(_) => DType::F32,
                LogitsData::F16(_) => DType::F16,
                LogitsData::Bf16(_) => DType::Bf16,
            };
            (logits.vocab_size, dtype)
        });
        let (vocab_size, dtype) = ran.map_err(|error| self.first_error(error))?;
        // ONNX dimensions that do not fit in 32 bits cannot be token ids.
        self.info.vocab_size = u32::try_from(vocab_size).unwrap_or(u32::MAX);
        let rule = CallRule::new(
            self.info.device,
            self.info.vocab_size,
            self.options.seq_len_max,
        );
        self.info.calls.call_tokens = rule.call_tokens;
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

fn info(model: &Model, options: &TeacherOptions) -> TeacherInfo {
    let signature = &model.signature;
    TeacherInfo {
        vocab_size: 0,
        device: model.device,
        provider: model.provider.to_owned(),
        ort_version: model.ort_version.clone(),
        logits_dtype: signature.logits.dtype,
        reduction: ReduceChoice::Host,
        notes: notes(model),
        calls: call_rule(model, options),
        noise: Noise::default(),
        max_seq_len: signature.max_seq_len,
    }
}

/// Whether rows affect each other's logits is determined from the model's operators, and from half precision on a CPU,
/// where the position among the rows matters; [`Teacher::examine`] finds everything else.
fn call_rule(model: &Model, options: &TeacherOptions) -> CallRule {
    let signature = &model.signature;
    let half_on_cpu = signature.has_half_precision && model.device == DeviceChoice::Cpu;
    CallRule {
        is_alone: signature.scales_by_batch || half_on_cpu,
        fixed_rows: signature.fixed_batch.map(|n| n as usize),
        fixed_width: signature.fixed_seq_len.map(|n| n as usize),
        original_width: signature.original_seq_len.map(|n| n as usize),
        ..CallRule::new(model.device, 0, options.seq_len_max)
    }
}

fn notes(model: &Model) -> Vec<String> {
    let mut notes = model.notes.clone();
    if model.signature.scales_by_batch {
        notes.push(
            "this teacher quantises its activations by the range of a whole batch, so it gets one sequence per call; `saltworks verify --teacher` with the unquantised model measures what its labels lose".to_owned(),
        );
    }
    notes
}
