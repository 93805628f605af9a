//! What this machine has, and what would run on it.

mod machine;
mod report;

use crate::common::arguments::Json;
use crate::common::exit::{Context, Result, causes};
use crate::common::print;
use machine::Machine;
use report::{Device, Doctor};
use saltworks::onnx::build::{ModelBuilder, TensorData};
use saltworks::onnx::{DType, Dim};
use saltworks::teacher::{
    DeviceChoice, RuntimeLibrary, Searched, Teacher, TeacherError, TeacherOptions,
    available_providers, load_runtime,
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const EXAMPLES: &str = "\
Examples:
  saltworks doctor
  saltworks doctor --ort-lib .venv/lib/libonnxruntime.so --json";

/// Show which ONNX Runtime was found, what this machine has, and which devices work.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// ONNX Runtime's shared library, or the folder that holds it
    #[arg(long, help_heading = "Inputs", value_name = "PATH")]
    ort_lib: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// Reports everything before it fails: a missing runtime is part of the report, and sets the exit
/// code.
pub(crate) fn run(args: Args) -> Result<()> {
    let runtime = load_runtime(args.ort_lib.as_deref());
    let folder = scratch_folder();
    let doctor = examine(&runtime, &folder)?;
    if args.json.is_asked {
        print::json(&doctor, true)?;
    } else {
        print::styled(&doctor.to_string());
    }
    folder?;
    runtime
        .map(|_| ())
        .map_err(|error| without_places(error).into())
}

/// Where a tiny model goes, and what a probe of `label` is written to.
fn scratch_folder() -> Result<TempDir> {
    let folder = std::env::temp_dir();
    tempfile::tempdir_in(&folder).context(format!(
        "cannot create a temporary directory in {}: set TMPDIR to an existing, writable directory",
        folder.display()
    ))
}

fn examine(
    runtime: &Result<RuntimeLibrary, TeacherError>,
    folder: &Result<TempDir>,
) -> Result<Doctor> {
    let (searched, runtime_problem) = match runtime {
        Ok(library) => (library.searched.clone(), None),
        Err(error) => (searched(error), Some(error.to_string())),
    };
    let providers = match runtime {
        Ok(_) => Some(available_providers()?),
        Err(_) => None,
    };
    Ok(Doctor {
        saltworks_version: env!("CARGO_PKG_VERSION"),
        runtime: runtime.as_ref().ok().cloned(),
        runtime_problem,
        searched,
        devices: match &providers {
            Some(providers) => try_devices(providers, folder)?,
            None => Vec::new(),
        },
        unrun_devices: unrun_devices(),
        providers,
        machine: Machine::look(),
    })
}

fn searched(error: &TeacherError) -> Vec<Searched> {
    match error {
        TeacherError::RuntimeMissing { searched }
        | TeacherError::RuntimeTooOld { searched, .. } => searched.clone(),
        _ => Vec::new(),
    }
}

/// The report has listed them already.
fn without_places(mut error: TeacherError) -> TeacherError {
    if let TeacherError::RuntimeMissing { searched }
    | TeacherError::RuntimeTooOld { searched, .. } = &mut error
    {
        searched.clear();
    }
    error
}

/// Opens a session with a tiny model on the CPU, on CUDA and on every other device whose provider is
/// built in: a built-in provider may still not work.
fn try_devices(providers: &[String], folder: &Result<TempDir>) -> Result<Vec<Device>> {
    let Ok(folder) = folder else {
        return Ok(Vec::new());
    };
    let model = folder.path().join("tiny.onnx");
    tiny_model().write(&model)?;
    let is_worth_trying = |device: &DeviceChoice| {
        matches!(device, DeviceChoice::Cpu | DeviceChoice::Cuda(_))
            || providers.iter().any(|name| name == device.provider())
    };
    let devices = DeviceChoice::ALL.into_iter().filter(is_worth_trying);
    Ok(devices.map(|device| attempt(&model, device)).collect())
}

/// Logits `[B, T, 16]`: a row of a table for each token.
fn tiny_model() -> ModelBuilder {
    let mut model = ModelBuilder::new("tiny");
    let [b, t] = ["batch", "sequence"].map(Dim::symbol);
    let ids = model.input("input_ids", DType::I64, &[b.clone(), t.clone()]);
    let table = model.initializer("table", &[16, 16], TensorData::Fill(0.5));
    let logits = model.gather(&table, &ids, 0);
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

fn attempt(model: &Path, device: DeviceChoice) -> Device {
    let options = TeacherOptions {
        model: model.to_owned(),
        device,
        threads: 1,
        logits_output: None,
        seq_len_max: 2,
    };
    let problem = match Teacher::open(&options) {
        Ok(_) => None,
        Err(TeacherError::DeviceUnavailable { problem, .. }) => Some(problem),
        Err(error) => Some(with_causes(&error)),
    };
    Device {
        device: device.to_string(),
        works: problem.is_none(),
        problem,
    }
}

fn with_causes(error: &TeacherError) -> String {
    let causes: Vec<String> = causes(error).map(|cause| cause.to_string()).collect();
    causes.join(": ")
}

/// Devices that the project itself has never run a model on.
fn unrun_devices() -> Vec<String> {
    let unrun = DeviceChoice::ALL.into_iter().filter(|d| !d.has_run());
    unrun.map(|device| device.to_string()).collect()
}
