//! Whether a configuration goes on with a run that another one began, in its place or as a branch.

use crate::config::{self, is_path_key};
use crate::storage::is_url;
use crate::train::config::{ConfigError, RunConfig, TransitionKind, require};
use crate::train::schedule::learning_rate;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};
use toml::{Table, Value};

/// Keys that change nothing that is learnt; one that ends in a dot stands for its whole table.
const FREE_KEYS: &[&str] = &[
    "output",
    "log.",
    "checkpoint.",
    "eval.",
    "data.prefetch",
    "train.memory_limit",
];

/// Keys in which a branch may differ from its trunk beside those: how long, and how the learning rate
/// falls, which must not have begun at the branch point. A checkpoint is where it starts, whatever its
/// trunk started from.
const FREE_KEYS_OF_BRANCH: &[&str] = &[
    "branch_from",
    "init",
    "train.steps",
    "schedule.shape",
    "schedule.min_lr",
    "schedule.decay_steps",
];
/// Keys whose defaults depend on `train.steps`.
const SCHEDULE_PREFIX: &str = "schedule.";
/// Of a branch that leaves its dimensions to the checkpoint.
const MODEL_KEYS: &[&str] = &["model."];

/// One key on which two configurations differ.
struct Difference {
    /// The dotted key.
    key: String,
    /// Its value here, as TOML; `not set` where it is absent.
    ours: String,
    /// Its value there.
    theirs: String,
}

impl RunConfig {
    /// The first key, by name, that is in none of the lists in `free` and on which the two differ;
    /// one of the schedule only where no other does, for what is left out there follows the others.
    /// Paths differ where they lead to other places, but for those of `same`, whose contents are
    /// known to be the same.
    fn first_difference(
        &self,
        other: &Self,
        free: &[&[&str]],
        same: &[&str],
    ) -> Result<Option<Difference>, ConfigError> {
        let (ours, theirs) = (self.leaves()?, other.leaves()?);
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let is_free = |key: &str| free.iter().any(|keys| is_listed(key, keys));
        let leads_to_same = |key: &str| {
            let [a, b] = [&ours, &theirs].map(|leaves| paths_of(leaves.get(key)));
            let mut pairs = a.iter().zip(&b);
            is_path_key(key)
                && a.len() == b.len()
                && pairs.all(|(a, b)| is_same_place((self, a), (other, b)))
                && !a.is_empty()
        };
        let differs = |key: &&&String| {
            let is_same = |key: &str| is_free(key) || same.contains(&key) || leads_to_same(key);
            ours.get(**key) != theirs.get(**key) && !is_same(key)
        };
        let first = keys.iter().filter(differs);
        let first = first.min_by_key(|key| key.starts_with(SCHEDULE_PREFIX));
        Ok(first.map(|key| Difference {
            key: key.to_string(),
            ours: shown(ours.get(*key)),
            theirs: shown_as_recorded(key, theirs.get(*key)),
        }))
    }

    /// Refuses to resume `recorded`, the configuration of the run in `run`, where that would
    /// learn something else. Free to change are `output`, `log.*`, `checkpoint.*`, `eval.*`,
    /// `data.prefetch` and `train.memory_limit`. Paths of the keys in `same` may differ: what they lead
    /// to was found to have the same contents. Both should be resolved.
    ///
    /// # Errors
    /// [`ConfigError::OtherRun`], naming the key and both values.
    pub fn check_resumes(
        &self,
        recorded: &Self,
        run: &Path,
        same: &[&str],
    ) -> Result<(), ConfigError> {
        let Some(difference) = self.first_difference(recorded, &[FREE_KEYS], same)? else {
            return Ok(());
        };
        Err(ConfigError::OtherRun {
            key: difference.key,
            ours: difference.ours,
            theirs: difference.theirs,
            run: run.into(),
        })
    }

    /// Refuses to resume from `checkpoint`, which a run of `trunk` saved after `step` steps, where the
    /// result would not be that of a run of this configuration from its first step on. What
    /// [`RunConfig::check_resumes`] leaves free is free here too, and so are
    /// `train.steps`, `schedule.shape`, `schedule.min_lr` and `schedule.decay_steps`, as far as the
    /// learning rate of every step up to the branch point is the same, and paths of the keys in
    /// `same`. Both should be resolved.
    ///
    /// # Errors
    /// [`ConfigError::OtherTrunk`], naming the key and both values; [`ConfigError::Value`] of
    /// `train.steps` that end at the branch point or before; [`ConfigError::OtherRate`].
    pub fn check_branches(
        &self,
        trunk: &Self,
        step: u64,
        checkpoint: &Path,
        same: &[&str],
    ) -> Result<(), ConfigError> {
        let of_model = self.model.as_ref().map_or(MODEL_KEYS, |_| &[]);
        let free = [FREE_KEYS, FREE_KEYS_OF_BRANCH, of_model];
        if let Some(difference) = self.first_difference(trunk, &free, same)? {
            return Err(ConfigError::OtherTrunk {
                key: difference.key,
                ours: difference.ours,
                theirs: difference.theirs,
                checkpoint: checkpoint.into(),
            });
        }
        require(
            self.train.steps > step,
            "train.steps",
            format_args!("more than the {step} of {}", checkpoint.display()),
            self.train.steps,
            "train longer, or branch from an earlier checkpoint",
        )?;
        self.check_rates(trunk, step, checkpoint)
    }

    /// The learning rate of every step before `step` is that of `trunk`.
    fn check_rates(&self, trunk: &Self, step: u64, checkpoint: &Path) -> Result<(), ConfigError> {
        let rate = |config: &Self, step| learning_rate(&config.schedule, config.train.steps, step);
        let other = (0..step).find(|&step| rate(self, step) != rate(trunk, step));
        other.map_or(Ok(()), |at| {
            Err(ConfigError::OtherRate {
                step: at + 1,
                ours: rate(self, at),
                theirs: rate(trunk, at),
                checkpoint: checkpoint.into(),
                // The first step of a fall still has the whole rate.
                most: self.train.steps - step + 1,
            })
        })
    }

    /// Every value by its dotted key. A key that is younger than the run that was recorded has the
    /// default that the run had.
    fn leaves(&self) -> Result<Table, ConfigError> {
        let mut complete = self.clone();
        complete.kd.gate_fraction = Some(complete.kd.gate_fraction());
        if complete.kd.transition == TransitionKind::Auto {
            complete.kd.auto_margin = Some(complete.kd.auto_margin());
        }
        let table = config::to_table(&complete)?;
        Ok(config::leaves(table).into_iter().collect())
    }
}

/// A path, or the paths of a list; none of anything else.
fn paths_of(value: Option<&Value>) -> Vec<&Path> {
    let texts = match value {
        Some(Value::Array(values)) => values.iter().collect(),
        value => Vec::from_iter(value),
    };
    let texts = texts.into_iter().filter_map(Value::as_str);
    texts.map(Path::new).collect()
}

/// Whether two paths, each of a configuration, lead to the same file or directory; one that is gone
/// does where it is the same as seen from the directories of the runs, which were moved together.
fn is_same_place(ours: (&RunConfig, &Path), theirs: (&RunConfig, &Path)) -> bool {
    let whole = |path: &Path| absolute(path).ok();
    let beside = |(config, path): (&RunConfig, &Path)| {
        let (run, path) = (whole(&config.output)?, whole(path)?);
        path.strip_prefix(run.parent()?).map(Path::to_path_buf).ok()
    };
    let is_same = |place: fn(&Path) -> Option<PathBuf>| {
        place(ours.1).is_some_and(|ours| place(theirs.1) == Some(ours))
    };
    is_same(|path| path.canonicalize().ok())
        || is_same(|path| absolute(path).ok())
        || beside(ours).is_some_and(|place| beside(theirs) == Some(place))
}

fn is_listed(key: &str, free_keys: &[&str]) -> bool {
    free_keys
        .iter()
        .any(|free| key == *free || (free.ends_with('.') && key.starts_with(free)))
}

/// A relative path was recorded by a version that did not make it absolute.
fn shown_as_recorded(key: &str, value: Option<&Value>) -> String {
    let path = value.and_then(Value::as_str).filter(|_| is_path_key(key));
    let is_relative = |path: &Path| path.is_relative() && !is_url(path);
    match path.is_some_and(|path| is_relative(Path::new(path))) {
        true => format!(
            "{} (relative to the directory that it was begun in: resume it from there)",
            shown(value)
        ),
        false => shown(value),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("not set".to_owned(), Value::to_string)
}
