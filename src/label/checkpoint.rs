//! The ONNX file that a teacher is opened from: the given one, or a checkpoint's graph in the cache.

use super::error::LabelError;
use super::files::{identify, known_plan, plan_file};
use super::options::LabelConfig;
use super::teacher_path::{TEACHER, has_weights};
use crate::checkpoint_graph::{CheckpointGraphError, GraphObserver, OnWork, cached_graph};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{Dialect, GRAPH_VERSION, GraphOptions, WeightFormat};
use crate::pretrained::Checkpoint;
use crate::shards::{PlanCheckpoint, PlanFile};
use crate::storage::{self, resolved_path, sampled_blake3};
use crate::teacher::{DeviceChoice, device_of};
use std::path::PathBuf;

/// Name of the default cache, which is next to the label directory.
const CACHE: &str = "teacher-cache";

/// What a teacher is opened from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TeacherModel {
    /// Its ONNX file.
    pub(super) path: PathBuf,
    /// The checkpoint it was made from.
    pub(super) checkpoint: Option<PlanCheckpoint>,
    /// What is already known about its files, which then need not be read whole again.
    pub(super) files: Vec<PlanFile>,
    /// Whether the standard operators may be tried if it cannot be opened.
    pub(super) has_fallback: bool,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
}

/// The model that `config` names, to run on `devices`.
///
/// # Errors
/// A checkpoint that cannot be read; a graph that cannot be written.
pub(super) fn teacher_model(
    config: &LabelConfig,
    devices: &[DeviceChoice],
    on_graph: OnWork<'_>,
) -> Result<TeacherModel, LabelError> {
    if !config.is_checkpoint {
        if !config.teacher.exists() {
            let got = format!("{}, which does not exist", config.teacher.display());
            return Err(LabelError::option("--teacher", TEACHER, got));
        }
        return Ok(TeacherModel {
            path: config.teacher.clone(),
            checkpoint: None,
            files: Vec::new(),
            has_fallback: false,
            notes: note_of_checkpoint(config).into_iter().collect(),
        });
    }
    let choice = choose_dialect(config, devices)?;
    let mut model = graph(config, choice.dialect, on_graph)?;
    let is_int8 = config.teacher_weights() == WeightFormat::Int8;
    model.has_fallback = choice.is_free && choice.dialect == Dialect::Fused && !is_int8;
    model.notes.extend(choice.note);
    Ok(model)
}

/// A note that the named folder also contains a checkpoint, besides the ONNX file that is used.
fn note_of_checkpoint(config: &LabelConfig) -> Option<String> {
    let named = config.options.teacher.as_deref()?;
    let is_folder = storage::is_dir(named).ok()?;
    (is_folder && has_weights(named).ok()?).then(|| {
        format!(
            "{} also contains a checkpoint; the teacher is its ONNX file, {} (--teacher-weights f32 uses the checkpoint)",
            named.display(),
            config.teacher.display()
        )
    })
}

/// The same with standard operators; `why` says why the others do not work.
///
/// # Errors
/// Those of [`teacher_model`].
pub(super) fn standard_model(
    config: &LabelConfig,
    why: &str,
    on_graph: OnWork<'_>,
) -> Result<TeacherModel, LabelError> {
    let mut model = graph(config, Dialect::Standard, on_graph)?;
    model.notes.push(format!(
        "the teacher's graph uses standard ONNX operators: ONNX Runtime does not accept its own operators here ({why})"
    ));
    Ok(model)
}

struct Choice {
    dialect: Dialect,
    /// Whether neither an option nor existing labels require this dialect.
    is_free: bool,
    note: Option<String>,
}

/// As requested; else as in the labels in progress; else by the kernels available on the devices.
fn choose_dialect(config: &LabelConfig, devices: &[DeviceChoice]) -> Result<Choice, LabelError> {
    let asked = |dialect| Choice {
        dialect,
        is_free: false,
        note: None,
    };
    if let Some(dialect) = config.options.teacher_dialect {
        return Ok(asked(dialect));
    }
    let known = known_plan(&config.output)?.and_then(|plan| plan.teacher.checkpoint);
    if let Some(dialect) = known.and_then(|known| Dialect::of_word(&known.dialect)) {
        return Ok(asked(dialect));
    }
    for device in devices {
        let device = device_of(*device)?;
        if device != DeviceChoice::Cpu {
            return Ok(Choice {
                dialect: standard_on(config, device)?,
                is_free: true,
                note: Some(format!(
                    "the teacher's graph uses standard ONNX operators: ONNX Runtime's own operators have f32 kernels only for the CPU, and this is {device}"
                )),
            });
        }
    }
    Ok(Choice {
        dialect: Dialect::Fused,
        is_free: true,
        note: None,
    })
}

/// 8-bit weights have no standard operators.
fn standard_on(config: &LabelConfig, device: DeviceChoice) -> Result<Dialect, LabelError> {
    match config.teacher_weights() {
        WeightFormat::Int8 => Err(LabelError::option(
            "--teacher-weights",
            format!("f32, f16 or bf16 on {device}, since int8 is for the CPU"),
            "int8",
        )),
        _ => Ok(Dialect::Standard),
    }
}

fn graph(
    config: &LabelConfig,
    dialect: Dialect,
    on_work: OnWork<'_>,
) -> Result<TeacherModel, LabelError> {
    let checkpoint = Checkpoint::open(&config.teacher).map_err(CheckpointGraphError::from)?;
    let known = known_plan(&config.output)?.and_then(|plan| plan.teacher.checkpoint);
    let known = known.map_or_else(Vec::new, |known| known.files);
    let files = identify(&checkpoint.files, &known)?;
    let options = GraphOptions {
        dialect,
        weights: config.teacher_weights(),
    };
    let cache = cache_dir(config);
    let sources = files.iter().map(|file| file.blake3.as_str());
    // Nothing is started that a signal could leave half done, so a signal may end the process.
    let observer = GraphObserver {
        interrupt: &Interrupt::new(),
        on_work,
    };
    let cached = cached_graph(&checkpoint, sources, options, &cache, observer)?;
    let made = cached.is_new.then(|| {
        let (teacher, cache) = (config.teacher.display(), cache.display());
        format!("the graph of {teacher} is kept in {cache}, for other tasks and runs")
    });
    let of_graph = cached.files.into_iter().map(|(name, hash)| {
        let sampled = sampled_blake3(&cached.model.with_file_name(&name))?;
        Ok(plan_file(name, hash, sampled))
    });
    Ok(TeacherModel {
        files: of_graph.collect::<Result<_, LabelError>>()?,
        path: cached.model,
        checkpoint: Some(PlanCheckpoint {
            files,
            dialect: dialect.word().to_owned(),
            weights: options.weights.word().to_owned(),
            graph_version: GRAPH_VERSION,
        }),
        has_fallback: false,
        notes: checkpoint.notes.iter().cloned().chain(made).collect(),
    })
}

fn cache_dir(config: &LabelConfig) -> PathBuf {
    let given = config.options.teacher_cache.clone();
    given.unwrap_or_else(|| {
        // A graph is a file that is mapped, so it must be local.
        if storage::is_url(&config.output) {
            return storage::cache_dir().join(CACHE);
        }
        // Resolved, since the name of `.` does not contain its parent directory.
        let output = resolved_path(&config.output);
        output.parent().unwrap_or(&output).join(CACHE)
    })
}
