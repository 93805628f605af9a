//! Making a session on a device.

use super::cuda_libs::preload;
use super::device::DeviceChoice;
use super::error::TeacherError;
use super::runtime::{RuntimeLibrary, available_providers};
use super::session::TeacherOptions;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use std::path::Path;

pub(super) const CPU: &str = "CPUExecutionProvider";
pub(super) const CUDA: &str = "CUDAExecutionProvider";

/// A session, where it runs, and what to tell the user.
pub(super) struct Opened {
    pub(super) session: Session,
    /// Never `auto`.
    pub(super) device: DeviceChoice,
    pub(super) provider: &'static str,
    pub(super) notes: Vec<String>,
}

/// Makes the session on the device that was chosen; `auto` falls back to the CPU and notes it.
pub(super) fn open_session(
    environment: &Environment,
    library: &RuntimeLibrary,
    options: &TeacherOptions,
) -> Result<Opened, TeacherError> {
    let on_cpu = |notes| {
        let session = commit(environment, options, None)
            .map_err(|source| open_error(&options.model, CPU, library, source))?;
        Ok(Opened {
            session,
            device: DeviceChoice::Cpu,
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
        device: DeviceChoice::Cuda(number),
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
/// would burn them. Runs alternating with a reduction, two threads on two cores: with spinning a
/// batch costs a fifth more CPU time and is never faster.
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

pub(super) fn open_error(
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
