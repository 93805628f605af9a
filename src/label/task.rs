//! Which shards belong to this process: as typed, or according to the environment variables of the engine that started
//! it.
//!
//! Engines number the processes that they start, each with its own variables (`PAIRS`, and Slurm's). An engine that
//! started only one process yields to one that started several; two that disagree are refused, since a wrong choice
//! would leave shards unmade or make them twice.

use super::error::LabelError;

/// The word that requests the engine's number.
pub(super) const AUTO: &str = "auto";
/// What `--task auto` looks for, for messages.
const KNOWN: &str = "the variables of an engine: SLURM_ARRAY_TASK_ID (an array), SLURM_PROCID (a step of srun), \
     JOB_COMPLETION_INDEX (Kubernetes, with --tasks N), SKYPILOT_JOB_RANK and SKYPILOT_NUM_JOBS, \
     RANK and WORLD_SIZE; or give --task I/N";

/// Task `index` of `count`: it has the shards with `shard % count == index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Task {
    /// All of the work in one process.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether this task makes `shard`.
    pub fn has(self, shard: u32) -> bool {
        shard % self.count == self.index
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// A task, and the variables that it came from unless it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) task: Task,
    pub(super) source: Option<String>,
}

/// The task of `--task` and `--tasks` in this process.
///
/// # Errors
/// Those of [`choose`].
pub(super) fn of_process(task: Option<&str>, n_tasks: Option<u32>) -> Result<Choice, LabelError> {
    let lookup =
        |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    choose(task, n_tasks, &lookup)
}

/// The same; `lookup` is the environment.
///
/// # Errors
/// [`LabelError::Option`]: an impossible task; `auto` without an engine, with two that disagree, or with invalid or
/// incomplete variables.
fn choose(
    task: Option<&str>,
    n_tasks: Option<u32>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Choice, LabelError> {
    let typed = |task| Choice { task, source: None };
    match (task, n_tasks) {
        (Some(AUTO), n_tasks) => by_environment(&Environment { lookup, n_tasks }),
        (_, Some(n)) => Err(LabelError::option("--tasks", "--task auto with it", n)),
        (Some(text), None) => parse(text).map(typed),
        (None, None) => Ok(typed(Task::WHOLE)),
    }
}

fn parse(text: &str) -> Result<Task, LabelError> {
    let parsed = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((index, count)) if index < count => Ok(Task { index, count }),
        _ => Err(LabelError::option(
            "--task",
            "i/n with i from 0 to n - 1, such as 0/4, or auto",
            text,
        )),
    }
}

/// What an engine tells this process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EngineTask {
    engine: &'static str,
    /// Its variables and their values.
    variables: String,
    task: Task,
}

fn by_environment(environment: &Environment<'_>) -> Result<Choice, LabelError> {
    let mut found = Vec::from_iter(environment.slurm()?);
    for pair in &PAIRS {
        found.extend(environment.pair(pair)?);
    }
    if found.iter().any(|other| other.task != Task::WHOLE) {
        found.retain(|other| other.task != Task::WHOLE);
    }
    let Some(first) = found.first() else {
        return Err(LabelError::option("--task", KNOWN, "auto, and none is set"));
    };
    if let Some(other) = found.iter().find(|other| other.task != first.task) {
        return Err(environment.contradiction(first, other));
    }
    let words = found
        .iter()
        .map(|found| format!("{} ({})", found.engine, found.variables));
    Ok(Choice {
        task: first.task,
        source: Some(words.collect::<Vec<_>>().join(" and ")),
    })
}

/// An engine that gives a number, and usually the number of tasks, each in a variable.
struct Pair {
    engine: &'static str,
    index: &'static str,
    count: Option<&'static str>,
}

const PAIRS: [Pair; 3] = [
    Pair {
        engine: "Kubernetes",
        index: "JOB_COMPLETION_INDEX",
        count: None,
    },
    Pair {
        engine: "SkyPilot",
        index: "SKYPILOT_JOB_RANK",
        count: Some("SKYPILOT_NUM_JOBS"),
    },
    Pair {
        engine: "torchrun or the like",
        index: "RANK",
        count: Some("WORLD_SIZE"),
    },
];

/// The variables, and `--tasks`, which gives the number of tasks instead of an engine.
struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    n_tasks: Option<u32>,
}

impl Environment<'_> {
    /// An empty variable counts as unset.
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &'static str) -> Result<Option<u32>, LabelError> {
        let parsed = |value: String| {
            let parsed = value.parse();
            parsed.map_err(|_| unexpected_value(name, &value, "a whole number from 0"))
        };
        self.text(name).map(parsed).transpose()
    }

    /// A number that must be set, since the variable `beside` is.
    fn needed(&self, name: &'static str, beside: &str) -> Result<u32, LabelError> {
        let missing = || {
            let expected = format!("{name} as well as {beside}; or give --task I/N");
            LabelError::option("--task", expected, format!("auto, and {name} is not set"))
        };
        self.number(name)?.ok_or_else(missing)
    }

    /// An index alone does not tell how many tasks there are, and a count alone does not tell which one this is.
    fn pair(&self, pair: &Pair) -> Result<Option<EngineTask>, LabelError> {
        let Some(index) = self.number(pair.index)? else {
            return Ok(None);
        };
        let own = pair.count.map(|name| self.number(name)).transpose()?;
        let own = own.flatten();
        let count = match (own, self.n_tasks) {
            (Some(own), Some(n)) if own != n => return Err(self.other_count(pair, own)),
            (own, n_tasks) => own.or(n_tasks).ok_or_else(|| missing_count(pair, index))?,
        };
        let (index_name, count_name) = (pair.index, pair.count.filter(|_| own.is_some()));
        let count_name = count_name.unwrap_or("--tasks");
        let variables = format!("{index_name}={index}, {count_name}={count}");
        engine_task(pair.engine, variables, index.into(), count.into()).map(Some)
    }

    /// An array numbers its jobs, and a step of srun its processes.
    fn slurm(&self) -> Result<Option<EngineTask>, LabelError> {
        let array = self.slurm_array()?;
        let step = self.slurm_step()?;
        let parts: Vec<Part> = array.into_iter().chain(step).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let (mut index, mut count) = (0, 1);
        for part in &parts {
            index = index * part.count + part.index;
            count *= part.count;
        }
        let mut variables: Vec<String> = parts.into_iter().map(|part| part.variables).collect();
        if let Some(n) = self.n_tasks {
            count = n.into();
            variables.push(format!("--tasks={n}"));
        }
        engine_task("Slurm", variables.join(", "), index, count).map(Some)
    }

    /// Indices of an array start at its minimum; for a part of an array, whose total is given by `--tasks`, at 0.
    fn slurm_array(&self) -> Result<Option<Part>, LabelError> {
        const ID: &str = "SLURM_ARRAY_TASK_ID";
        let Some(id) = self.number(ID)? else {
            return Ok(None);
        };
        if self.n_tasks.is_some() {
            return Ok(Some(Part {
                index: id.into(),
                count: 1,
                variables: format!("{ID}={id}"),
            }));
        }
        let [min, max, count] = [
            "SLURM_ARRAY_TASK_MIN",
            "SLURM_ARRAY_TASK_MAX",
            "SLURM_ARRAY_TASK_COUNT",
        ]
        .map(|name| self.needed(name, ID));
        let (min, max, count) = (min?, max?, count?);
        let step = self.number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1);
        let places = step_places(min, max, step);
        let is_whole = places == Some(u64::from(count));
        if !is_whole || !(min..=max).contains(&id) || (id - min) % step != 0 {
            let got = format!("auto, and this is {id} of {count} from {min} to {max} by {step}");
            let expected = "an array without gaps, such as --array=0-63; or --tasks N, which counts ids from 0 to N - 1";
            return Err(LabelError::option("--task", expected, got));
        }
        Ok(Some(Part {
            index: u64::from((id - min) / step),
            count: count.into(),
            variables: format!("{ID}={id} of {count} from {min} to {max}"),
        }))
    }

    /// A batch script has SLURM_PROCID too, for itself alone: only in a step does it distinguish processes.
    fn slurm_step(&self) -> Result<Option<Part>, LabelError> {
        const ID: &str = "SLURM_PROCID";
        if self.text("SLURM_STEP_ID").is_none() {
            return Ok(None);
        }
        let Some(index) = self.number(ID)? else {
            return Ok(None);
        };
        let count = match self.number("SLURM_STEP_NUM_TASKS")? {
            Some(count) => count,
            None => self.needed("SLURM_NTASKS", ID)?,
        };
        // Checked before it is multiplied, as otherwise another process' number could result.
        let variables = format!("{ID}={index} of {count}");
        engine_task("Slurm", variables.clone(), index.into(), count.into())?;
        Ok(Some(Part {
            index: index.into(),
            count: count.into(),
            variables,
        }))
    }

    fn other_count(&self, pair: &Pair, own: u32) -> LabelError {
        let name = pair.count.unwrap_or(pair.index);
        let expected = format!("{name}, which is {own}; or leave it out");
        LabelError::option("--tasks", expected, self.n_tasks.unwrap_or_default())
    }

    fn contradiction(&self, first: &EngineTask, other: &EngineTask) -> LabelError {
        let words = |found: &EngineTask| {
            format!("{} ({}) says {}", found.engine, found.variables, found.task)
        };
        let got = format!("auto, but {}, and {}", words(first), words(other));
        LabelError::option("--task", "one engine, or the task written as I/N", got)
    }
}

/// An index among several.
struct Part {
    index: u64,
    count: u64,
    variables: String,
}

/// How many numbers from `min` to `max` by `step`, both ends included; `None` if they do not hit `max`.
fn step_places(min: u32, max: u32, step: u32) -> Option<u64> {
    let length = max.checked_sub(min)?;
    (length.checked_rem(step)? == 0).then(|| u64::from(length / step) + 1)
}

fn engine_task(
    engine: &'static str,
    variables: String,
    index: u64,
    count: u64,
) -> Result<EngineTask, LabelError> {
    let narrow = |n: u64| u32::try_from(n).ok();
    match (narrow(index), narrow(count)) {
        (Some(index), Some(count)) if index < count => Ok(EngineTask {
            engine,
            variables,
            task: Task { index, count },
        }),
        _ => Err(LabelError::option(
            "--task",
            "a number from 0 to below how many there are",
            format!("auto, and {engine} ({variables}) says {index} of {count}"),
        )),
    }
}

fn missing_count(pair: &Pair, index: u32) -> LabelError {
    let expected = match pair.count {
        Some(count) => format!("{count} as well as {}, or --tasks N", pair.index),
        None => format!("--tasks N as well as {}: the Job's completions", pair.index),
    };
    LabelError::option(
        "--task",
        expected,
        format!("auto, and {}={index}", pair.index),
    )
}

fn unexpected_value(name: &str, value: &str, expected: &str) -> LabelError {
    LabelError::option("--task", expected, format!("auto, and {name} is {value:?}"))
}

#[cfg(test)]
mod tests;
