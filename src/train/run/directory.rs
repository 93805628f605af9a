//! The directory of a run: its lock, where the run starts or resumes, and the store that it is mirrored to.

use super::RunError;
use super::attempts::{ATTEMPTS, Attempt};
use super::finish::final_dir;
use super::mirror::Mirror;
use super::state::SOURCES_NAME;
use super::working_copy::WorkingCopy;
use crate::storage::{self, StorageError, exists, is_file, is_url, make_dirs, working_dir};
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, CheckpointStore};
use crate::train::config::RunConfig;
use crate::train::metrics::METRICS_NAME;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Locked while a process trains here.
const LOCK_NAME: &str = ".lock";
/// The resolved configuration.
pub const CONFIG_NAME: &str = "config.toml";

/// Where a run starts or resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At step 0; a directory with checkpoints is refused.
    Fresh,
    /// At the latest checkpoint, or at step 0 if there is none.
    Latest,
    /// The same, for runs of `compare`.
    LatestInGrid,
    /// At the checkpoint of this step.
    At(u64),
}

impl Start {
    /// The command that resumes a run that was started this way.
    pub(super) fn same_command(self) -> &'static str {
        match self {
            Start::Fresh | Start::Latest => "the same command with --resume",
            Start::LatestInGrid => "the same command",
            Start::At(_) => "the same command with --resume instead of --resume-from",
        }
    }
}

/// Files by which directories of other kinds are recognised; a run must not write into those.
const FOREIGN: [(&str, &str); 3] = [
    ("plan.json", "labels"),
    ("corpus.json", "a token corpus"),
    ("config.json", "a model"),
];

/// What a run may have in its directory without a `config.toml`: a kill may come before that, and a store may have
/// got the others alone.
const WITHOUT_CONFIG: [&str; 5] = [
    ATTEMPTS,
    "checkpoints",
    "invocations.jsonl",
    METRICS_NAME,
    SOURCES_NAME,
];

/// The directory of a run, locked by this process for as long as the value lives.
#[derive(Debug)]
pub(super) struct RunDir {
    pub(super) path: PathBuf,
    pub(super) start: Start,
    pub(super) checkpoints: CheckpointStore,
    /// Where `output` is a URL.
    mirror: Option<Mirror>,
    _lock: File,
}

/// The directory on this machine in which a run of `config` is trained.
///
/// # Errors
/// A URL that cannot be written to.
pub fn run_dir(config: &RunConfig) -> Result<PathBuf, StorageError> {
    working_dir(&config.output)
}

/// The working copy of a run at a URL, with what `start` needs; `None` if `output` is a directory. `note` is told what
/// was copied.
pub(super) fn open_working_copy(
    output: &Path,
    start: Start,
    note: &dyn Fn(&str),
) -> Result<Option<WorkingCopy>, TrainError> {
    // Before the store is looked at, which another process may be writing to meanwhile.
    if start == Start::Latest && is_url(output) {
        refuse_others(output)?;
    }
    let Some(copy) = WorkingCopy::open(output)? else {
        return Ok(None);
    };
    let copied = match start {
        Start::Fresh => {
            refuse_existing_output(output)?;
            copy.clear()?;
            None
        }
        Start::Latest | Start::LatestInGrid => copy.fetch(None)?,
        Start::At(step) => copy.fetch(Some(step))?,
    };
    copied.iter().for_each(|text| note(text));
    Ok(Some(copy))
}

impl RunDir {
    /// Creates the directory if it does not exist, checks that it can be written to, and locks it.
    pub(super) fn claim(path: &Path, start: Start) -> Result<Self, TrainError> {
        // Checked before anything is written to a directory of another kind.
        match start {
            Start::Fresh => refuse_existing_output(path)?,
            Start::Latest | Start::At(_) => refuse_others(path)?,
            // The grid has checked its own directory.
            Start::LatestInGrid => {}
        }
        let checkpoints = CheckpointStore::of_run(path);
        make_dirs(&path.join("checkpoints"))?;
        let Some(lock) = storage::lock_file(&path.join(LOCK_NAME))? else {
            let dir = path.to_path_buf();
            return Err(RunError::Locked { dir }.into());
        };
        checkpoints.sweep()?;
        // All temporaries here are the run's own, whatever their names.
        storage::sweep_abandoned_where(path, |_| true)?;
        if start == Start::Fresh {
            // The sweep may have put a checkpoint back, and another process may have saved one.
            refuse_existing_output(path)?;
        }
        Ok(Self {
            start,
            path: path.to_path_buf(),
            checkpoints,
            mirror: None,
            _lock: lock,
        })
    }

    /// The same directory, mirrored from now on to the store of `copy`. `resumed` is the step of the checkpoint that
    /// the run resumes from.
    pub(super) fn mirrored_from(
        self,
        copy: Option<WorkingCopy>,
        resumed: Option<u64>,
    ) -> Result<Self, TrainError> {
        let mirror = copy.map(|copy| copy.claim(resumed)).transpose()?;
        Ok(Self { mirror, ..self })
    }

    /// The place of the run for users: its URL, or the directory.
    pub(super) fn place(&self) -> &Path {
        let mirror = self.mirror.as_ref();
        mirror.map_or(&self.path, |mirror| &mirror.url)
    }

    /// The place of the checkpoint of `step` for users.
    pub(super) fn place_of(&self, step: u64) -> PathBuf {
        CheckpointStore::of_run(self.place()).path(step)
    }

    /// Uploads the checkpoint of `step`, if `output` is a URL.
    pub(super) fn mirror_checkpoint(&self, step: u64) -> Result<(), TrainError> {
        self.mirror_by(|mirror| mirror.put_checkpoint(step))
    }

    /// The same for the trained model.
    pub(super) fn mirror_final(&self) -> Result<(), TrainError> {
        self.mirror_by(Mirror::put_final)
    }

    fn mirror_by(
        &self,
        put: impl FnOnce(&Mirror) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let Some(mirror) = &self.mirror else {
            return Ok(());
        };
        put(mirror).map_err(|error| match error {
            TrainError::Storage(source) => RunError::NotMirrored {
                url: mirror.url.clone(),
                dir: self.path.clone(),
                resume: self.start.same_command(),
                source: Box::new(source),
            }
            .into(),
            error => error,
        })
    }

    /// Removes the checkpoints up to step `newest` that are not to be kept, here and in the store.
    pub(super) fn retain(
        &self,
        newest: u64,
        keep_last: usize,
        is_kept: impl Fn(u64) -> bool,
    ) -> Result<(), TrainError> {
        let retained = self.checkpoints.retain(newest, keep_last, &is_kept);
        retained.map_err(|source| RunError::Retain {
            step: newest,
            resume: self.start.same_command(),
            source: source.without_remedy(),
        })?;
        self.mirror_by(|mirror| {
            let steps = mirror.checkpoints();
            mirror.remove(&steps.superfluous(newest, keep_last, is_kept)?)
        })
    }

    /// The checkpoint to resume from, checked; `None` for step 0.
    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>, TrainError> {
        Ok(match self.start {
            Start::Fresh => None,
            Start::Latest | Start::LatestInGrid => self.checkpoints.latest()?,
            Start::At(step) => Some(self.checkpoints.at(step)?),
        })
    }

    /// Whether there is a trained model, of whatever step.
    pub(super) fn has_final_model(&self) -> bool {
        final_dir(&self.path).is_dir()
    }

    /// If the run goes back to an earlier checkpoint, moves the later ones aside, so that its latest checkpoint is the
    /// one to resume from. Returns a note for each. To be called once the checkpoint was read.
    pub(super) fn go_back(&self) -> Result<Vec<String>, TrainError> {
        let Start::At(step) = self.start else {
            return Ok(Vec::new());
        };
        let moved = self.checkpoints.abandon_after(step)?;
        let note = |dir: PathBuf| {
            format!(
                "{} is later than step {step}: it is renamed, and no longer a checkpoint of this run",
                dir.display()
            )
        };
        Ok(moved.into_iter().map(note).collect())
    }

    /// Writes `config.toml`.
    pub(super) fn write_config(&self, config: &RunConfig) -> Result<(), TrainError> {
        Ok(config.write(&self.path.join(CONFIG_NAME))?)
    }
}

/// Refuses a path that is a file.
pub(super) fn refuse_file(path: &Path) -> Result<(), TrainError> {
    if path.is_dir() || !path.exists() {
        return Ok(());
    }
    Err(RunError::Setting {
        key: "output",
        expected: "a directory for the run".to_owned(),
        got: format!("{}, which is a file", path.display()),
        remedy: "choose another one".to_owned(),
    }
    .into())
}

/// Refuses to start a new run at `path` if there is a run with a checkpoint, a model or an attempt, or anything that is
/// not a run.
pub(super) fn refuse_existing_output(path: &Path) -> Result<(), TrainError> {
    let dir = path.to_path_buf();
    refuse_file(path)?;
    if let Some(&step) = CheckpointStore::of_run(path).steps()?.last() {
        return Err(RunError::NotResumed { dir, step }.into());
    }
    if exists(&final_dir(path))? {
        return Err(RunError::Finished { dir }.into());
    }
    if let Some(attempt) = Attempt::last(path)? {
        let (url, by) = (dir, attempt.name);
        return Err(RunError::AlreadyStarted { url, by }.into());
    }
    refuse_foreign_files(path)
}

/// Refuses a directory of another kind, or with files that are not a run's: they would be mixed.
fn refuse_others(path: &Path) -> Result<(), TrainError> {
    refuse_file(path)?;
    let is_run = !CheckpointStore::of_run(path).steps()?.is_empty() || exists(&final_dir(path))?;
    match is_run {
        true => Ok(()),
        false => refuse_foreign_files(path),
    }
}

/// Refuses what [`refuse_others`] refuses, in a directory without checkpoints and a trained model.
fn refuse_foreign_files(path: &Path) -> Result<(), TrainError> {
    for (name, what) in FOREIGN {
        if is_file(&path.join(name))? {
            return Err(not_its_own(path, &format!("{what} ({name})")));
        }
    }
    let config = path.join(CONFIG_NAME);
    if is_file(&config)? {
        let read = RunConfig::read(&config, &[]);
        return read.map(drop).map_err(|error| {
            RunError::NotARun {
                reason: error.to_string(),
                path: config,
            }
            .into()
        });
    }
    let is_own = |name: &str| {
        WITHOUT_CONFIG.contains(&name) || name.contains("tfevents") || is_of_its_start(name)
    };
    match storage::others_in(path, is_own)?.first() {
        Some(name) => Err(not_its_own(path, &format!("{name:?} and no run"))),
        None => Ok(()),
    }
}

/// Whether a file may be there before the work begins: the configuration, or what the process prints.
pub(crate) fn is_of_its_start(name: &str) -> bool {
    [".toml", ".log", ".out", ".err"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn not_its_own(path: &Path, holds: &str) -> TrainError {
    RunError::Setting {
        key: "output",
        expected: "a directory for the run only: new, empty, or with the run in it".to_owned(),
        got: format!("{}, which contains {holds}", path.display()),
        remedy: "choose another one".to_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_run_refuses_a_checkpoint_left_under_its_temporary_name() {
        let run = tempfile::tempdir().unwrap();
        let old = run.path().join("checkpoints/.step-500.old");
        std::fs::create_dir_all(&old).unwrap();
        let refused = RunDir::claim(run.path(), Start::Fresh).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("the latest at step 500"), "{message}");
        assert!(run.path().join("checkpoints/step-500").is_dir());
        let claimed = RunDir::claim(run.path(), Start::Latest).unwrap();
        assert_eq!(claimed.checkpoints.steps().unwrap(), [500]);
    }

    #[test]
    fn a_directory_of_another_kind_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), "[package]\n").unwrap();
        let refused = RunDir::claim(dir.path(), Start::Fresh).unwrap_err();
        assert!(refused.to_string().contains("config.toml"), "{refused}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_with_files_that_are_no_runs_is_refused_whether_it_begins_or_resumes() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
        for name in ["run.toml", "slurm-1.out", ".profile"] {
            write(name);
        }
        std::fs::create_dir(dir.path().join("checkpoints")).unwrap();
        assert!(refuse_existing_output(dir.path()).is_ok());
        write("thesis.tex");
        for start in [Start::Fresh, Start::Latest] {
            let refused = RunDir::claim(dir.path(), start).unwrap_err().to_string();
            for words in ["\"thesis.tex\" and no run", "new, empty", "choose another"] {
                assert!(refused.contains(words), "{refused}");
            }
        }
        assert!(!dir.path().join(LOCK_NAME).exists());
        // A run's own directory may hold what people put there.
        std::fs::create_dir(dir.path().join("checkpoints/step-5")).unwrap();
        assert!(RunDir::claim(dir.path(), Start::Latest).is_ok());
    }

    #[test]
    fn only_a_run_that_goes_back_moves_later_checkpoints_aside() {
        let run = tempfile::tempdir().unwrap();
        for step in [5, 10, 15] {
            let dir = run.path().join(format!("checkpoints/step-{step}"));
            std::fs::create_dir_all(dir).unwrap();
        }
        let steps_after = |start| {
            let dir = RunDir::claim(run.path(), start).unwrap();
            let notes = dir.go_back().unwrap();
            (notes.len(), dir.checkpoints.steps().unwrap())
        };
        assert_eq!(steps_after(Start::Latest), (0, vec![5, 10, 15]));
        assert_eq!(steps_after(Start::At(10)), (1, vec![5, 10]));
        assert_eq!(steps_after(Start::At(10)), (0, vec![5, 10]));
    }
}
