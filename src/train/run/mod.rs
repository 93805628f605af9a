//! A run: from a configuration to a trained model, in one process or many.
//!
//! ```text
//! RUN/
//!   config.toml            the resolved configuration
//!   sources.json           hashes of its inputs
//!   metrics.jsonl          metrics, a line every few steps
//!   invocations.jsonl      the command lines that were run here, recorded by the program
//!   checkpoints/step-N/    what a run resumes from (see `checkpoint`)
//!   final/                 the trained model for Hugging Face, and model.onnx
//!   .lock                  held by the process that trains here
//! ```
//!
//! Everything that can fail is checked before the first step: settings, provenance of labels and tokens,
//! enough sequences for all steps, memory, and whether the output can be written.
//!
//! A run that stops (a signal, a damaged shard, a full disk, `kill -9`) resumes from its latest
//! checkpoint, and gives the same bits as without the stop: the order of sequences is a function of seed
//! and position, schedules are functions of the step, and all other state is in the checkpoint.
//! `metrics.jsonl` is first truncated to the checkpoint, so it is the same too, except for times.
//!
//! A run at a URL is trained in a directory on this machine (`working_copy`), like any other run, and mirrored to the
//! store (`mirror`) by one process at a time (`attempts`).
//!
//! A branch (`branch_from`) starts at a checkpoint of another run, its trunk, as if it had been that run
//! up to there: steps, tokens and seconds continue from the trunk's. Its `metrics.jsonl` has only its own
//! lines; those up to the branch point are in the trunk's.

mod attempts;
mod compare;
mod directory;
mod error;
mod finish;
mod identity;
mod inputs;
mod log;
mod memory;
mod mirror;
mod observer;
mod origin;
mod pace;
mod profile;
mod state;
mod step;
#[cfg(feature = "object-stores")]
#[cfg(test)]
mod store_tests;
mod trainer;
mod validation;
mod variances;
mod working_copy;

pub use crate::interrupt::Interrupt;
pub(crate) use directory::is_of_its_start;
pub use directory::{CONFIG_NAME, Start, run_dir};
pub use error::RunError;
pub use identity::{corpus_identity, identity_in_plan, labelled_identity};
pub use inputs::Inputs;
pub use memory::{MemoryNeed, MemoryRoom};
pub use observer::{Finished, Observer, Outcome, Overview};
pub use pace::Snapshot;
pub use profile::StepProfile;
pub use state::{SOURCES_NAME, Seen, Sources, TrainState};
pub use step::StepReport;
pub use validation::ValidationReport;

use crate::threads::MAX_THREADS;
use crate::train::TrainError;
use crate::train::config::{LabelDirs, RunConfig};
use crate::train::data::{Coverage, Loader, LoaderPosition};
use crate::train::ops::sgemm_peak_flops;
use directory::{RunDir, open_working_copy};
use finish::final_dir;
use origin::{Origin, check_trunk};
use pace::Peak;
use std::path::PathBuf;
use trainer::{StartPoint, Trainer};
use working_copy::WorkingCopy;

/// Opens all inputs of `config` and computes what the run needs; writes nothing.
///
/// # Errors
/// Invalid settings or inputs, or inputs that do not match; too little memory.
pub fn prepare(config: &RunConfig) -> Result<Prepared, TrainError> {
    prepare_as_of(config, &recorded_labels(config, Start::Fresh)?)
}

/// [`prepare`] with the labels of each teacher as they were when they had the fingerprint in
/// `label_fingerprints`, if they have been extended since.
///
/// # Errors
/// Those of [`prepare`].
pub fn prepare_as_of(
    config: &RunConfig,
    label_fingerprints: &[String],
) -> Result<Prepared, TrainError> {
    Prepared::of(open(config, label_fingerprints)?)
}

fn open(config: &RunConfig, label_fingerprints: &[String]) -> Result<Inputs, TrainError> {
    check_threads(config.train.threads())?;
    let opened = Inputs::open_as_of(config, label_fingerprints);
    let labels = config.data.labels.as_ref().map_or(&[][..], LabelDirs::all);
    opened.map_err(|error| missing_shard(error, labels))
}

/// A missing file of the labels means damaged labels; any other missing file is a wrong path.
fn missing_shard(error: TrainError, labels: &[PathBuf]) -> TrainError {
    let TrainError::Data(data) = &error else {
        return error;
    };
    match data.missing_file() {
        Some(path) if labels.iter().any(|dir| path.starts_with(dir)) => {
            let path = path.to_path_buf();
            RunError::MissingShard { path }.into()
        }
        _ => error,
    }
}

/// A run that is ready to start.
pub struct Prepared {
    inputs: Inputs,
    memory: MemoryNeed,
    room: Option<MemoryRoom>,
    coverage: Coverage,
    /// Positioned at the first step. Opening it may read a whole corpus, so it is opened once.
    loader: Loader,
}

impl Prepared {
    fn of(inputs: Inputs) -> Result<Self, TrainError> {
        check_trunk(&inputs)?;
        let loader = inputs.loader(LoaderPosition::default())?;
        let room = MemoryRoom::of_system(inputs.config.train.memory_limit);
        Ok(Self {
            memory: MemoryNeed::within(room.as_ref(), &inputs)?,
            room,
            coverage: loader.coverage(),
            loader,
            inputs,
        })
    }

    /// Why a new run could not start in its output directory as it is now; a resumed run may.
    pub fn output_error(&self) -> Option<TrainError> {
        directory::refuse_existing_output(&self.inputs.config.output).err()
    }

    /// What is known before the first step.
    pub fn overview(&self) -> Overview<'_> {
        Overview {
            inputs: &self.inputs,
            memory: self.memory,
            room: self.room.clone(),
            coverage: self.coverage,
        }
    }
}

/// Trains from `start` to the end, in a thread pool of `train.threads` threads.
///
/// # Errors
/// Those of [`prepare`]; a directory that is in use, or that cannot be resumed from; whatever stops the run
/// before its end, with what was saved and how to resume.
pub fn run(
    config: &RunConfig,
    start: Start,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    run_as_of(config, &[], start, interrupt, observer)
}

/// [`run`]; a new run reads the labels of each teacher as they were when they had the fingerprint in
/// `label_fingerprints`, if they have been extended since. A resumed run reads the labels that it started with.
///
/// # Errors
/// Those of [`run`].
pub fn run_as_of(
    config: &RunConfig,
    label_fingerprints: &[String],
    start: Start,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    // Checked before anything is copied.
    config.validate()?;
    let pool = pool_of(config.train.threads())?;
    let copy = open_working_copy(&config.output, start, &observer.on_note)?;
    let own = recorded_labels(config, start)?;
    let then = if own.is_empty() {
        label_fingerprints
    } else {
        &own
    };
    pool.install(|| run_in_pool(config, then, start, copy, interrupt, observer))
}

fn check_threads(n_threads: usize) -> Result<(), RunError> {
    if n_threads <= MAX_THREADS {
        return Ok(());
    }
    Err(RunError::Setting {
        key: "train.threads",
        expected: format!("at most {MAX_THREADS}"),
        got: n_threads.to_string(),
        remedy: "omit it to use all cores".to_owned(),
    })
}

/// The thread pool of a run with `n_threads` threads.
///
/// # Errors
/// Too many threads, or more than the system can start.
pub fn pool_of(n_threads: usize) -> Result<rayon::ThreadPool, RunError> {
    check_threads(n_threads)?;
    let builder = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|i| format!("train {i}"));
    let built = builder.build();
    built.map_err(|source| RunError::Threads { n_threads, source })
}

fn run_in_pool(
    config: &RunConfig,
    label_fingerprints: &[String],
    start: Start,
    mut copy: Option<WorkingCopy>,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    let inputs = open(config, label_fingerprints)?;
    // Checked first: a finished run needs none of its other inputs.
    let may_be_finished = start != Start::Fresh && final_dir(&run_dir(config)?).is_dir();
    let claimed = may_be_finished.then(|| ClaimedRun::take(&inputs, start, copy.take()));
    let claimed = claimed.transpose()?;
    if let Some((claimed, model)) = claimed
        .as_ref()
        .and_then(|claimed| Some((claimed, claimed.finished_model()?)))
    {
        claimed.write_missing_sources()?;
        claimed.dir.mirror_final()?;
        return Ok(Outcome::AlreadyFinished { model });
    }
    let prepared = Prepared::of(inputs)?;
    let claimed = match claimed {
        Some(claimed) => claimed,
        None => ClaimedRun::take(&prepared.inputs, start, copy)?,
    };
    (observer.on_start)(&prepared.overview());
    train(prepared, claimed, interrupt, observer)
}

/// The fingerprints that the labels had when this run, or the run that it branches from, started.
fn recorded_labels(config: &RunConfig, start: Start) -> Result<Vec<String>, TrainError> {
    let own = match start {
        Start::Fresh => None,
        Start::Latest | Start::LatestInGrid | Start::At(_) => Sources::recorded(&run_dir(config)?)?,
    };
    let of_trunk = || Sources::of_checkpoint(config.branch_from.as_deref()?);
    let sources = own.or_else(of_trunk);
    Ok(sources.map_or(Vec::new(), |sources| sources.label_fingerprints()))
}

/// The locked directory of a run, and the state of the run.
struct ClaimedRun {
    dir: RunDir,
    origin: Origin,
    state: TrainState,
}

impl ClaimedRun {
    /// Other processes are locked out of the run in the store only once it is known that this process can resume it.
    fn take(inputs: &Inputs, start: Start, copy: Option<WorkingCopy>) -> Result<Self, TrainError> {
        let dir = RunDir::claim(&run_dir(&inputs.config)?, start)?;
        let (origin, state) = Origin::of(inputs, &dir)?;
        let dir = dir.mirrored_from(copy, origin.own_step())?;
        Ok(Self { dir, origin, state })
    }

    /// Writes `sources.json` if it is missing. Earlier versions wrote it after the end of a run, so a finished run
    /// may lack it; if its last checkpoint still exists, that checkpoint was checked against these inputs.
    fn write_missing_sources(&self) -> Result<(), TrainError> {
        let is_known = matches!(self.origin, Origin::Own(_));
        match is_known && !self.dir.path.join(SOURCES_NAME).exists() {
            true => Ok(self.state.sources.write(&self.dir.path)?),
            false => Ok(()),
        }
    }

    fn finished_model(&self) -> Option<PathBuf> {
        self.origin.finished_model(&self.dir, &self.state)
    }
}

fn train(
    prepared: Prepared,
    claimed: ClaimedRun,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    let (inputs, dir) = (&prepared.inputs, &claimed.dir);
    let note = |text: String| (observer.on_note)(&text);
    claimed.origin.describe(dir).into_iter().for_each(note);
    let start_point = StartPoint::new(inputs, &claimed.origin, claimed.state, prepared.loader)?;
    dir.go_back()?.into_iter().for_each(note);
    dir.write_config(&inputs.config)?;
    // Before the first step, so that the inputs of every model are known.
    start_point.sources().write(&dir.path)?;
    let n_threads = inputs.config.train.threads();
    let peak = Peak::new(move || sgemm_peak_flops(n_threads));
    let mut trainer = Trainer::new(inputs, dir, start_point, peak, interrupt, observer)?;
    trainer.train()?;
    Ok(Outcome::Finished(Box::new(trainer.finish()?)))
}
