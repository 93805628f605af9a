//! Whether a run with one configuration may be continued with another, as the same run or as a branch.

use crate::config::{self, is_path_key};
use crate::storage::is_url;
use crate::train::config::{ConfigError, RunConfig, TransitionKind, require};
use crate::train::schedule::learning_rate;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};
use toml::{Table, Value};

/// Keys that do not affect what is learnt; one that ends in a dot stands for a whole table.
const FREE_KEYS: &[&str] = &[
    "output",
    "log.",
    "checkpoint.",
    "eval.",
    "data.prefetch",
    "train.memory_limit",
];

/// Further keys in which a branch may differ from its trunk: the number of steps, and how the learning rate decays,
/// which must not have started before the branch point. `init` is free because a branch starts from the checkpoint,
/// whatever its trunk started from.
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
/// Keys that are also free for a branch that takes its dimensions from the checkpoint.
const MODEL_KEYS: &[&str] = &["model."];

/// One key on which two configurations differ.
struct Difference {
    /// The dotted key.
    key: String,
    /// Its value here, as TOML; `not set` if it is absent.
    ours: String,
    /// Its value in the other configuration.
    theirs: String,
}

impl RunConfig {
    /// The first key in alphabetical order on which the two differ and that is in none of the lists in `free`. Keys of
    /// the schedule come last, since their defaults depend on other keys. Paths differ if they lead to different
    /// places, except for the keys in `same`, whose contents are known to be the same.
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

    /// Refuses to resume the run in `run`, whose configuration is `recorded`, if this configuration would
    /// learn something else. Free to change are `output`, `log.*`, `checkpoint.*`, `eval.*`,
    /// `data.prefetch` and `train.memory_limit`. Paths of the keys in `same` may differ: their contents are known to
    /// be the same. Both configurations should be resolved.
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

    /// Refuses to branch from `checkpoint`, which a run of `trunk` saved after `step` steps, if the result would differ
    /// from a run of this configuration from its first step on. What [`RunConfig::check_resumes`] leaves free is free
    /// here too. So are `train.steps`, `schedule.shape`, `schedule.min_lr` and `schedule.decay_steps`, as long as the
    /// learning rate of every step up to the branch point is the same, and paths of the keys in `same`. Both
    /// configurations should be resolved.
    ///
    /// # Errors
    /// [`ConfigError::OtherTrunk`], naming the key and both values; [`ConfigError::Value`] if `train.steps` is not
    /// beyond the branch point; [`ConfigError::OtherRate`].
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

    /// Checks that the learning rate of every step before `step` is that of `trunk`.
    fn check_rates(&self, trunk: &Self, step: u64, checkpoint: &Path) -> Result<(), ConfigError> {
        let rate = |config: &Self, step| learning_rate(&config.schedule, config.train.steps, step);
        let other = (0..step).find(|&step| rate(self, step) != rate(trunk, step));
        other.map_or(Ok(()), |at| {
            Err(ConfigError::OtherRate {
                step: at + 1,
                ours: rate(self, at),
                theirs: rate(trunk, at),
                checkpoint: checkpoint.into(),
                // The first step of a decay still has the full rate.
                most: self.train.steps - step + 1,
            })
        })
    }

    /// Every value by its dotted key. Keys that did not exist when the run was recorded have the default that the run
    /// used.
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

/// Whether two paths, each with its configuration, lead to the same file or directory. A path that no longer exists
/// also counts as the same if it is equal relative to the parents of the run directories, which may have been moved
/// together.
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
            "{} (relative to the directory that the run was started in: resume it from there)",
            shown(value)
        ),
        false => shown(value),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("not set".to_owned(), Value::to_string)
}
