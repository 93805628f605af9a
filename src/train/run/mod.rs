//! A run: from a configuration to a trained model, in one process or many.
//!
//! ```text
//! RUN/
//!   config.toml            as it was resolved
//!   sources.json           what it reads, by contents
//!   metrics.jsonl          what was measured, a line every few steps
//!   checkpoints/step-N/    what a run resumes from (see `checkpoint`)
//!   final/                 the trained model for Hugging Face, and model.onnx
//!   .lock                  held by the process that trains here
//! ```
//!
//! Everything that can be known to fail is looked at before the first step: settings, provenance of
//! labels and tokens, enough sequences for all steps, memory, whether the output can be written.
//!
//! A run that stops (a signal, a damaged shard, a full disk, `kill -9`) resumes from its latest
//! checkpoint, and then does bit for bit what it would have done: the order of sequences is a
//! function of seed and position, schedules are functions of the step, and the state of everything
//! else is in the checkpoint. `metrics.jsonl` is cut back to the checkpoint first, so that it too
//! ends up the same but for its times.
//!
//! A branch (`branch_from`) begins at a checkpoint of another run, its trunk, as if it had been that
//! run up to there: steps, tokens and seconds count on from the trunk's. Its `metrics.jsonl` has its
//! own lines only: those up to the branch point are in the trunk's.

mod compare;
mod directory;
mod error;
mod finish;
mod identity;
mod inputs;
mod log;
mod memory;
mod observer;
mod origin;
mod pace;
mod profile;
mod state;
mod step;
mod trainer;
mod validation;
mod variances;

pub use crate::interrupt::Interrupt;
pub use directory::{CONFIG_NAME, Start};
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

use crate::train::TrainError;
use crate::train::config::RunConfig;
use crate::train::data::{Coverage, Loader, LoaderPosition};
use crate::train::ops::sgemm_peak_flops;
use directory::RunDir;
use finish::final_dir;
use origin::{Origin, check_trunk};
use pace::Peak;
use std::path::{Path, PathBuf};
use trainer::{StartPoint, Trainer};

/// More threads than any machine that this is for has cores; so many only stand in line.
const MAX_THREADS: usize = 256;

/// Opens all that `config` names and computes what the run needs; writes nothing.
///
/// # Errors
/// Whatever is wrong with a setting or an input, or between them; too little memory.
pub fn prepare(config: &RunConfig) -> Result<Prepared, TrainError> {
    prepare_as_of(config, recorded_labels(config, Start::Fresh)?.as_deref())
}

/// [`prepare`] with the labels as they were when their fingerprint was `labels_then`, where they were
/// extended since.
///
/// # Errors
/// Those of [`prepare`].
pub fn prepare_as_of(
    config: &RunConfig,
    labels_then: Option<&str>,
) -> Result<Prepared, TrainError> {
    Prepared::of(open(config, labels_then)?)
}

fn open(config: &RunConfig, labels_then: Option<&str>) -> Result<Inputs, TrainError> {
    check_threads(config.train.threads())?;
    let opened = Inputs::open_as_of(config, labels_then);
    opened.map_err(|error| missing_shard(error, config.data.labels.as_deref()))
}

/// Of the labels' own files, one that is not there is damage to them; of others, a wrong path.
fn missing_shard(error: TrainError, labels: Option<&Path>) -> TrainError {
    let TrainError::Data(data) = &error else {
        return error;
    };
    match (data.missing_file(), labels) {
        (Some(path), Some(dir)) if path.starts_with(dir) => {
            let path = path.to_path_buf();
            RunError::MissingShard { path }.into()
        }
        _ => error,
    }
}

/// A run that could begin.
pub struct Prepared {
    inputs: Inputs,
    memory: MemoryNeed,
    room: Option<MemoryRoom>,
    coverage: Coverage,
    /// At the beginning. To make one may read a whole corpus, so it is made once.
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

    /// Why a new run would not begin in its directory as that is now; a resumed run may.
    pub fn refused_by_output(&self) -> Option<TrainError> {
        directory::refuse_what_is_there(&self.inputs.config.output).err()
    }

    /// What is known of it.
    pub fn overview(&self) -> Overview<'_> {
        Overview {
            inputs: &self.inputs,
            memory: self.memory,
            room: self.room.clone(),
            coverage: self.coverage,
        }
    }
}

/// Trains from `start` to the end, in a pool of the configuration's threads.
///
/// # Errors
/// What [`prepare`] refuses; a directory that is in use, or that is not to be resumed from; and
/// whatever stops it on the way, with what is saved and how to resume.
pub fn run(
    config: &RunConfig,
    start: Start,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    run_as_of(config, None, start, interrupt, observer)
}

/// [`run`], where it has not begun with the labels as they were when their fingerprint was
/// `labels_then`, should they have been extended since; one that has begun keeps to its own.
///
/// # Errors
/// Those of [`run`].
pub fn run_as_of(
    config: &RunConfig,
    labels_then: Option<&str>,
    start: Start,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    let pool = pool_of(config.train.threads())?;
    let own = recorded_labels(config, start)?;
    let then = own.as_deref().or(labels_then);
    pool.install(|| run_in_pool(config, then, start, interrupt, observer))
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

/// A pool that a run of so many threads works in.
///
/// # Errors
/// Too many threads, or more than the system gives.
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
    labels_then: Option<&str>,
    start: Start,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<Outcome, TrainError> {
    let inputs = open(config, labels_then)?;
    // A run that may be finished is asked first: if it is, nothing else that it needs matters.
    let may_be_finished = start != Start::Fresh && final_dir(&inputs.config.output).is_dir();
    let claimed = may_be_finished.then(|| ClaimedRun::take(&inputs, start));
    let claimed = claimed.transpose()?;
    if let Some((claimed, model)) = claimed
        .as_ref()
        .and_then(|claimed| Some((claimed, claimed.finished_model()?)))
    {
        claimed.keep_sources()?;
        return Ok(Outcome::AlreadyFinished { model });
    }
    let prepared = Prepared::of(inputs)?;
    let claimed = match claimed {
        Some(claimed) => claimed,
        None => ClaimedRun::take(&prepared.inputs, start)?,
    };
    (observer.on_start)(&prepared.overview());
    train(prepared, claimed, interrupt, observer)
}

/// The fingerprint that the labels had when this run, or the one that it branches off from, began.
fn recorded_labels(config: &RunConfig, start: Start) -> Result<Option<String>, TrainError> {
    let own = match start {
        Start::Fresh => None,
        Start::Latest | Start::LatestInGrid | Start::At(_) => Sources::recorded(&config.output)?,
    };
    let of_trunk = || Sources::of_checkpoint(config.branch_from.as_deref()?);
    Ok(own.or_else(of_trunk).and_then(|sources| sources.labels))
}

/// The directory of a run, and where the run stands.
struct ClaimedRun {
    dir: RunDir,
    origin: Origin,
    state: TrainState,
}

impl ClaimedRun {
    fn take(inputs: &Inputs, start: Start) -> Result<Self, TrainError> {
        let dir = RunDir::claim(&inputs.config.output, start)?;
        let (origin, state) = Origin::of(inputs, &dir)?;
        Ok(Self { dir, origin, state })
    }

    /// Of a finished run of a version that recorded them after its end, which may not have come to it.
    /// Its last checkpoint, where it is still there, was found to be of these inputs.
    fn keep_sources(&self) -> Result<(), TrainError> {
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
    // Before the first step: a model without it would be one of unknown inputs.
    start_point.sources().write(&dir.path)?;
    let n_threads = inputs.config.train.threads();
    let peak = Peak::new(move || sgemm_peak_flops(n_threads));
    let mut trainer = Trainer::new(inputs, dir, start_point, peak, interrupt, observer)?;
    trainer.train()?;
    Ok(Outcome::Finished(Box::new(trainer.finish()?)))
}
