//! Creates a session on a device.

use super::cuda::cuda_provider;
use super::cuda_libs::preload;
use super::device::DeviceChoice;
use super::error::TeacherError;
use super::options::TeacherOptions;
use super::runtime::{RuntimeLibrary, available_providers};
use crate::onnx::build::ModelBuilder;
use crate::onnx::{DType, Dim};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where ONNX Runtime looks for external weights of a model given as bytes.
const EXTERNAL_FOLDER_KEY: &str = "session.model_external_initializers_file_folder_path";

/// A model, for ONNX Runtime to load.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// The file named in the options.
    File,
    /// This model in place of that file, and the files beside it with its weights.
    Bytes {
        model: &'a [u8],
        external_files: &'a [PathBuf],
    },
}

/// A session, where it runs, and notes for the user.
pub(super) struct Opened {
    pub(super) session: Session,
    /// Never `auto`.
    pub(super) device: DeviceChoice,
    pub(super) provider: &'static str,
    pub(super) notes: Vec<String>,
}

/// Creates the session on the chosen device; `auto` falls back to the CPU and notes it.
pub(super) fn open_session(
    environment: &Environment,
    library: &RuntimeLibrary,
    options: &TeacherOptions,
    source: Source<'_>,
) -> Result<Opened, TeacherError> {
    let opened = |device: DeviceChoice, session, notes| Opened {
        session,
        device,
        provider: device.provider(),
        notes,
    };
    let on_cpu = |notes| {
        let device = DeviceChoice::Cpu;
        let session = commit(environment, options, source, &[])
            .map_err(|source| open_error(&options.model, device.provider(), library, source))?;
        Ok(opened(device, session, notes))
    };
    let on = |device| {
        let session = session_on(environment, library, options, source, device)?;
        Ok(opened(
            device,
            session,
            unknown_note(device).into_iter().collect(),
        ))
    };
    match options.device {
        DeviceChoice::Cpu => on_cpu(Vec::new()),
        DeviceChoice::Auto => on(DeviceChoice::Cuda(0)).or_else(|problem: String| {
            on_cpu(vec![format!(
                "running on the CPU: CUDA cannot be used: {problem}"
            )])
        }),
        device => on(device).map_err(|problem| TeacherError::DeviceUnavailable {
            device: device.to_string(),
            problem,
            remedy: device.remedy(),
        }),
    }
}

/// Whether a session can be created on CUDA, in which case `auto` uses it.
pub(super) fn has_cuda(environment: &Environment, library: &RuntimeLibrary) -> bool {
    let mut model = ModelBuilder::new("nothing");
    let input = model.input("input", DType::F32, &[Dim::Fixed(1)]);
    let sum = model.add(&input, &input);
    model.output("output", &sum, DType::F32, &[Dim::Fixed(1)]);
    let options = TeacherOptions {
        model: PathBuf::new(),
        device: DeviceChoice::Cuda(0),
        threads: 1,
        logits_output: None,
        seq_len_max: 1,
    };
    let source = Source::Bytes {
        model: &model.to_bytes(),
        external_files: &[],
    };
    session_on(environment, library, &options, source, options.device).is_ok()
}

/// A note for a device about which nothing is known except that it can be requested.
fn unknown_note(device: DeviceChoice) -> Option<String> {
    let note = format!(
        "--device {device} has never been tested by this project: compare a sample with the CPU, with `saltworks verify LABELS --teacher FILE --tokens PATH --device cpu`"
    );
    (!device.has_run()).then_some(note)
}

/// `Err` says why the device does not work here. The provider being in the library proves nothing,
/// so a session is created with it.
fn session_on(
    environment: &Environment,
    library: &RuntimeLibrary,
    options: &TeacherOptions,
    source: Source<'_>,
    device: DeviceChoice,
) -> Result<Session, String> {
    let provider = device.provider();
    let available = available_providers().map_err(|error| error.to_string())?;
    if !available.iter().any(|name| name == provider) {
        return Err(format!(
            "ONNX Runtime {} was built without {provider}",
            library.version
        ));
    }
    if matches!(device, DeviceChoice::Cuda(_) | DeviceChoice::TensorRt(_)) {
        preload(&library.path);
    }
    commit(environment, options, source, &providers(device))
        .map_err(|error| device_problem(error.message()))
}

/// The providers to register, in the order in which they are offered each node; none of them may
/// fail and leave its nodes to the CPU.
fn providers(device: DeviceChoice) -> Vec<ExecutionProviderDispatch> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let cuda = |n| cuda_provider(n).build();
    let list = match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => Vec::new(),
        DeviceChoice::Cuda(n) => vec![cuda(n)],
        // What TensorRT does not support runs best on the same device.
        DeviceChoice::TensorRt(n) => vec![
            ep::TensorRT::default().with_device_id(number(n)).build(),
            cuda(n),
        ],
        DeviceChoice::MiGraphX(n) => {
            vec![ep::MIGraphX::default().with_device_id(number(n)).build()]
        }
        DeviceChoice::Rocm(n) => vec![ep::ROCm::default().with_device_id(number(n)).build()],
        DeviceChoice::OpenVino => vec![ep::OpenVINO::default().build()],
        DeviceChoice::CoreMl => vec![ep::CoreML::default().build()],
        DeviceChoice::DirectMl(n) => {
            vec![ep::DirectML::default().with_device_id(number(n)).build()]
        }
    };
    list.into_iter()
        .map(ExecutionProviderDispatch::error_on_failure)
        .collect()
}

/// The part of ONNX Runtime's message that a user can act on, without its source lines.
pub(super) fn device_problem(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
    let core = after("with error: ")
        .or_else(|| after("FAIL : "))
        .unwrap_or(line)
        .trim();
    let remedy = match core {
        // The whole line names the first failing call, which happens to query the devices.
        _ if core.contains("CUDA failure 100") => {
            return "the driver shows no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES"
                .to_owned();
        }
        _ if core.contains("CUDA failure 35") => {
            return "the NVIDIA driver is older than the CUDA that ONNX Runtime was built with; update it"
                .to_owned();
        }
        _ if core.contains("libcuda.so") => "the NVIDIA driver is not installed",
        _ if core.contains("libnvinfer") => {
            "TensorRT's libraries are not on the loader's path: `pip install tensorrt`, and add its folder to LD_LIBRARY_PATH"
        }
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
    source: Source<'_>,
    providers: &[ExecutionProviderDispatch],
) -> Result<Session, ort::Error> {
    let mut builder = configure(environment, options)?;
    if !providers.is_empty() {
        builder = builder.with_execution_providers(providers)?;
    }
    match source {
        Source::File => builder.commit_from_file(&options.model),
        Source::Bytes {
            model,
            external_files,
        } => {
            let folder = folder_of(&options.model);
            let mut builder =
                builder.with_config_entry(EXTERNAL_FOLDER_KEY, folder.to_string_lossy())?;
            for (name, bytes) in linked_files(&folder, external_files)? {
                builder = builder.with_external_initializer_file_in_memory(name, bytes)?;
            }
            builder.commit_from_memory(model)
        }
    }
}

/// Name next to the model, and bytes.
type LinkedFile = (PathBuf, Arc<[u8]>);

/// External files that are symbolic links to other folders, as in a hub's cache: ONNX Runtime
/// follows no link out of the folder of a model given as bytes.
fn linked_files(folder: &Path, external_files: &[PathBuf]) -> Result<Vec<LinkedFile>, ort::Error> {
    let failed = |error: std::io::Error| ort::Error::new(error.to_string());
    let home = folder.canonicalize().map_err(failed)?;
    let mut linked = Vec::new();
    for name in external_files {
        let place = folder.join(name).canonicalize().map_err(failed)?;
        if !place.starts_with(&home) {
            linked.push((name.clone(), std::fs::read(place).map_err(failed)?.into()));
        }
    }
    Ok(linked)
}

fn folder_of(model: &Path) -> std::path::PathBuf {
    let folder = model.parent().unwrap_or(Path::new(""));
    // Absolute, since an empty folder would mean none.
    std::path::absolute(Path::new(".").join(folder)).unwrap_or_else(|_| folder.to_owned())
}

/// Spinning is off: between runs the same cores reduce the logits, and ONNX Runtime's idle threads
/// would waste them. With runs alternating with a reduction, two threads on two cores, spinning
/// costs a fifth more CPU time per batch and is never faster.
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
        hint: open_hint(device, source.message()),
        source,
    }
}

/// What may help, judging by ONNX Runtime's message.
fn open_hint(provider: &str, message: &str) -> String {
    let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    let is_cpu = provider == DeviceChoice::Cpu.provider();
    if is_cpu && says(&["bfloat16", "BFloat16"]) {
        "its CPU provider has few bfloat16 kernels: export the model as float32 or float16, or run it on a CUDA device".to_owned()
    } else if is_cpu && says(&["float8", "Float8"]) {
        "its CPU provider has no 8-bit float kernels: export the model as float32 or int8, or run it on a CUDA device".to_owned()
    } else if says(&["INVALID_PROTOBUF", "Protobuf parsing failed", "checksum"]) {
        "the file is damaged: copy or download it again".to_owned()
    } else if says(&["allocate memory", "out of memory", "OOM", "bad_alloc"]) {
        "there is not enough memory for the model".to_owned()
    } else if says(&["external data", "External data", "external initializer"]) {
        "its external data cannot be used: put the file with its weights next to it".to_owned()
    } else {
        "a newer ONNX Runtime may support its operators, or the export is broken".to_owned()
    }
}
