//! Labelling from start to end, and its parts for many processes.

use super::changed::name_option;
use super::error::LabelError;
use super::finalize::finalize_labelled;
use super::inputs::{LabelInputs, view_of};
use super::options::LabelConfig;
use super::output::check_output;
use super::pipeline::{self, ShardQueue, Work};
use super::planning::{check_tokens_untouched, make_plan};
use super::profile::{Clock, Profile};
use super::progress::{Progress, Snapshot, Totals, WithoutNll};
use super::record::{RECORD_NAME, write_record};
use super::reduction::signals_config;
use super::runtime_stamp::runtime_stamp;
use super::task::Task;
use super::tokenizer_copy::copy_tokenizer;
use crate::checkpoint_graph::OnWork;
use crate::interrupt::Interrupt;
use crate::shards::{
    self, LabelSet, Manifest, Plan, RuntimeStamp, ShardState, ShardsError, Sidecar,
};
use crate::signals::SequenceTargets;
use crate::teacher::{Canceller, Teacher, TeacherError, TokenBatch};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The outcome of [`label`].
#[derive(Debug, Clone, PartialEq)]
pub struct LabelOutcome {
    /// The plan.
    pub plan: Plan,
    /// Shards of this task that this run wrote.
    pub n_made: u64,
    /// Shards of this task that were finished before.
    pub n_before: u64,
    /// Targets per second of this run.
    pub tokens_per_s: f64,
    /// Sequences of this run that have no NLL.
    pub without_nll: WithoutNll,
    /// Time spent in each stage.
    pub profile: Profile,
    /// The manifest, if every shard of the set is finished.
    pub manifest: Option<Manifest>,
    /// Notes for the user about its documents.
    pub notes: Vec<String>,
}

/// Callbacks during a run.
pub struct Observer<'a> {
    /// Before the graph of a checkpoint is made, if necessary.
    pub on_graph: OnWork<'a>,
    /// Once, when everything is open and planned.
    pub on_start: &'a (dyn Fn(&LabelInputs, &Plan) + Sync),
    /// After every batch and every shard, from any thread of the pipeline.
    pub on_progress: &'a (dyn Fn(&Snapshot) + Sync),
}

impl Observer<'_> {
    /// No callbacks.
    pub const NONE: Observer<'static> = Observer {
        on_graph: &|_| Box::new(|_| ()),
        on_start: &|_, _| (),
        on_progress: &|_| (),
    };
}

/// Writes the plan for `config`, or compares it with the existing one. `on_graph` is called before a checkpoint's graph
/// is made, if necessary; `on_open` is called with the opened inputs, whose notes are for the user.
///
/// # Errors
/// Inputs that do not match; a directory with another plan.
pub fn plan(
    config: &LabelConfig,
    on_graph: OnWork<'_>,
    on_open: impl FnOnce(&LabelInputs),
) -> Result<Plan, LabelError> {
    let (inputs, plan) = open_and_plan(config, on_graph)?;
    on_open(&inputs);
    Ok(plan)
}

/// Plans, labels this task's shards, and finalizes if there is only one task.
///
/// # Errors
/// Whatever stops the run; finished shards are kept, and the same call resumes.
pub fn label(
    config: &LabelConfig,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<LabelOutcome, LabelError> {
    let (mut inputs, plan) = open_and_plan(config, observer.on_graph)?;
    (observer.on_start)(&inputs, &plan);
    let teachers = inputs.teachers().into_iter();
    let cancellers: Vec<_> = teachers.map(|teacher| teacher.canceller()).collect();
    interrupt.when_requested(move || cancellers.iter().for_each(Canceller::cancel));
    interrupt.heed();
    let mut outcome = label_task(config, &mut inputs, plan, interrupt, observer)?;
    check_tokens_untouched(&inputs.corpus, &outcome.plan.corpus, true)?;
    if config.task == Task::WHOLE {
        let (dir, allows_mixed) = (&config.output, config.options.allow_mixed_runtime);
        let finalized = finalize_labelled(dir, allows_mixed, &config.tokens)?;
        outcome.manifest = Some(finalized.manifest);
        outcome.notes = finalized.notes;
    }
    Ok(outcome)
}

/// Everything that can fail early: inputs, plan, the longest sequence, the output directory.
fn open_and_plan(
    config: &LabelConfig,
    on_graph: OnWork<'_>,
) -> Result<(LabelInputs, Plan), LabelError> {
    check_output(config)?;
    let mut inputs = LabelInputs::open(config, on_graph)?;
    let plan = make_plan(config, &inputs)?;
    for teacher in inputs.teachers() {
        try_longest(teacher, &plan)?;
    }
    let selection = config.options.selection.as_deref();
    let opened =
        LabelSet::create_or_match(&config.output, &plan, selection).map_err(name_option)?;
    copy_tokenizer(config, opened.plan())?;
    if !write_record(config)? {
        inputs.notes.push(format!(
            "{RECORD_NAME} is not written: TOML cannot express a path that is not Unicode, or a number of 2^63 or more"
        ));
    }
    Ok((inputs, opened.plan().clone()))
}

fn label_task(
    config: &LabelConfig,
    inputs: &mut LabelInputs,
    plan: Plan,
    interrupt: &Interrupt,
    observer: &Observer<'_>,
) -> Result<LabelOutcome, LabelError> {
    let (done, todo) = split_by_progress(&config.output, &plan, config.task)?;
    if !todo.is_empty() && !config.options.allow_mixed_runtime {
        check_one_runtime(&done, &inputs.teachers())?;
    }
    let totals = Totals {
        n_tokens_before: done.iter().map(|sidecar| sidecar.n_targets).sum(),
        n_tokens: n_targets_of(&plan, config.task),
        n_shards_before: done.len() as u64,
        n_shards: (done.len() + todo.len()) as u64,
    };
    let progress = Mutex::new(Progress::start(totals, observer.on_progress));
    let clock = Clock::start();
    let result = make_shards(config, inputs, &plan, &todo, interrupt, &progress, &clock);
    let progress = progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    progress.finish();
    match result {
        // Stopped during a call of the teacher, between two calls, or after the last read.
        Err(LabelError::Teacher(TeacherError::Cancelled)) | Ok(())
            if progress.n_shards() < totals.n_shards =>
        {
            Err(LabelError::Interrupted {
                n_done: progress.n_shards(),
                n_shards: totals.n_shards,
            })
        }
        Err(error) => Err(error),
        Ok(()) => Ok(LabelOutcome {
            plan,
            n_made: todo.len() as u64,
            n_before: done.len() as u64,
            tokens_per_s: progress.tokens_per_s(),
            without_nll: progress.without_nll(),
            profile: clock.profile(progress.n_labelled(), inputs.teachers().len()),
            manifest: None,
            notes: Vec::new(),
        }),
    }
}

/// `finalize` would refuse a mixture of runtimes, hours later; this refuses it before the work.
fn check_one_runtime(done: &[Sidecar], teachers: &[&mut Teacher]) -> Result<(), ShardsError> {
    let ours: Vec<RuntimeStamp> = teachers.iter().map(|t| runtime_stamp(t)).collect();
    let recorded = done.iter().map(|sidecar| &sidecar.runtime);
    match recorded.chain(&ours).find(|runtime| **runtime != ours[0]) {
        None => Ok(()),
        Some(other) => Err(ShardsError::MixedRuntimes {
            runtimes: vec![other.to_string(), ours[0].to_string()],
        }),
    }
}

/// Labels `todo` into `config.output`.
pub(super) fn make_shards(
    config: &LabelConfig,
    inputs: &mut LabelInputs,
    plan: &Plan,
    todo: &[u32],
    interrupt: &Interrupt,
    progress: &Mutex<Progress<'_>>,
    clock: &Clock,
) -> Result<(), LabelError> {
    let view = view_of(&inputs.corpus, config)?;
    let signals = signals_config(&plan.signals, plan.teacher.vocab_size);
    let work = Work {
        dir: &config.output,
        plan,
        view: &view,
        shards: ShardQueue::new(todo),
        threads: config.threads,
        clock,
        signals: &signals,
        calls: inputs.teacher.info().calls,
        interrupt,
        progress,
    };
    let more = inputs.more_teachers.iter_mut();
    // Not by `LabelInputs::teachers`, since the view borrows another field of `inputs`.
    let teachers = std::iter::once(&mut inputs.teacher).chain(more).collect();
    pipeline::run(&work, teachers)
}

/// Estimated targets of a task, for progress.
fn n_targets_of(plan: &Plan, task: Task) -> u64 {
    let shards = plan.shards().filter(|&shard| task.has(shard));
    plan.targets_of_rows(shards.map(|shard| plan.n_rows(shard)).sum())
}

/// This task's shards: sidecars of the finished ones, which are checked, and the numbers of the others.
fn split_by_progress(
    dir: &Path,
    plan: &Plan,
    task: Task,
) -> Result<(Vec<Sidecar>, Vec<u32>), LabelError> {
    let (mut done, mut todo) = (Vec::new(), Vec::new());
    let of_task: Vec<u32> = plan.shards().filter(|&shard| task.has(shard)).collect();
    let states = shards::check_all_finished(dir, plan, &of_task)?;
    for (state, shard) in states.into_iter().zip(of_task) {
        match state {
            ShardState::Finished(sidecar) => done.push(sidecar),
            // A damaged shard is made again, and is replaced when that is published.
            ShardState::Missing | ShardState::Damaged(_) => todo.push(shard),
        }
    }
    Ok((done, todo))
}

/// Runs and reduces the longest sequence once: a model whose limit is lower fails here, in the
/// first second.
fn try_longest(teacher: &mut Teacher, plan: &Plan) -> Result<(), LabelError> {
    let width = plan.sequences.seq_len as usize;
    let ids = vec![0; width];
    let shape = teacher.info().calls.shape(width);
    let batch = TokenBatch::new([&ids[..]], shape);
    let sequence = SequenceTargets {
        seq_id: 0,
        targets: &ids,
    };
    let signals = signals_config(&plan.signals, plan.teacher.vocab_size);
    match teacher.reduce(&batch, &[sequence], &signals) {
        // The values for a made-up sequence do not matter.
        Ok(_) | Err(TeacherError::Signals(_)) => Ok(()),
        Err(source) if source.is_permanent_failure() => Err(LabelError::LongestSequence {
            seq_len: plan.sequences.seq_len,
            source,
        }),
        Err(error) => Err(error.into()),
    }
}
