//! Runs at URLs: whatever fails, and wherever they are resumed, they end with the files of a run in a directory. The
//! training here is fake, but it writes the files that a run writes.

use super::RunError;
use super::directory::{RunDir, Start, open_working_copy};
use super::finish::final_dir;
use super::working_copy::WorkingCopy;
use crate::error::{Classified, Kind};
use crate::storage::testing::put_tree;
use crate::storage::{
    self, Fault, Faults, hash_file, install_counted, install_faulty, list_all, replace, working_dir,
};
use crate::train::TrainError;
use crate::train::checkpoint::{CheckpointStore, SEAL_NAME};
use crate::train::export::{SpecialIds, write_hf};
use crate::train::metrics::{METRICS_NAME, MetricsLine, MetricsWriter, ValidLine, read_metrics};
use crate::train::model::{ModelSpec, Params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const N_STEPS: u64 = 6;
/// Steps between two checkpoints.
const EVERY: u64 = 2;
/// More processes than any run here needs.
const MAX_TRIES: usize = 10;

/// Called after each step.
type AfterStep<'a> = &'a dyn Fn(u64);

fn line(step: u64) -> MetricsLine {
    MetricsLine::Valid(ValidLine {
        step,
        tokens: 100 * step,
        seconds: 0.0,
        val_nll: 1.0 / step as f64,
        val_n_targets: 1,
    })
}

fn params() -> Params {
    let spec = ModelSpec {
        vocab_size: 12,
        d_model: 4,
        n_layers: 1,
        n_heads: 2,
        n_kv_heads: 2,
        head_dim: 2,
        d_ff: 6,
        max_seq_len: 8,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings: true,
    };
    Params::init(&spec, 3)
}

/// A process that trains at `output`, and calls `after` with each finished step.
fn train(output: &Path, start: Start, after: AfterStep<'_>) -> Result<(), TrainError> {
    let dir = train_until(N_STEPS, output, start, after)?;
    write_hf(
        &final_dir(&dir.path),
        &params(),
        &SpecialIds::default(),
        None,
    )?;
    dir.mirror_final()
}

/// The same, killed after the step `last`.
fn train_until(
    last: u64,
    output: &Path,
    start: Start,
    after: AfterStep<'_>,
) -> Result<RunDir, TrainError> {
    let copy = open_working_copy(output, start, &|_| ())?;
    let dir = RunDir::claim(&working_dir(output)?, start)?;
    let begin = dir.checkpoint()?.map(|checkpoint| checkpoint.step);
    let dir = dir.mirrored_from(copy, begin)?;
    dir.go_back()?;
    let step = begin.unwrap_or(0);
    let mut log = MetricsWriter::resume(&dir.path.join(METRICS_NAME), step)?;
    for step in step + 1..=last {
        log.write(&line(step))?;
        if step % EVERY == 0 {
            save(&dir, step)?;
        }
        after(step);
    }
    if let Some(begin) = begin {
        dir.retain(begin, 1, |_| false)?;
    }
    Ok(dir)
}

fn save(dir: &RunDir, step: u64) -> Result<(), TrainError> {
    dir.checkpoints.save(step, |part| {
        for name in ["model.safetensors", "state.json"] {
            replace(
                &part.join(name),
                format!("{name} of step {step}").as_bytes(),
            )?;
        }
        Ok(())
    })?;
    dir.mirror_checkpoint(step)?;
    dir.retain(step, 1, |_| false)
}

/// Hashes by name of the files at `dir` that a run in a directory has too.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let names = list_all(dir).unwrap().into_iter().map(|entry| entry.name);
    let names = names.map(|name| name.into_string().unwrap());
    let names = names.filter(|name| !name.starts_with('.') && !name.starts_with("attempts/"));
    names
        .map(|name| (name.clone(), hash_file(&dir.join(&name)).unwrap().blake3))
        .collect()
}

/// The files of a run in a directory.
fn expected() -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), Start::Fresh, &|_| ()).unwrap();
    files(dir.path())
}

/// Removes the working copy, as on another machine.
fn on_another_machine(output: &Path) {
    storage::remove_tree(&working_dir(output).unwrap()).unwrap();
}

/// Asserts that the run at `output` can be resumed: its newest checkpoint is complete and the log reaches it.
fn assert_resumable(output: &Path) -> Option<u64> {
    let checkpoints = CheckpointStore::of_run(output);
    let newest = checkpoints.newest_sealed().unwrap()?;
    checkpoints.at(newest).unwrap();
    let lines = read_metrics(&output.join(METRICS_NAME)).unwrap();
    assert!(lines.len() as u64 >= newest, "{newest}: {lines:?}");
    Some(newest)
}

fn message_of(result: Result<(), TrainError>, kind: Kind) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

#[test]
fn a_run_at_a_url_has_the_files_of_one_in_a_directory_and_is_not_begun_again() {
    let (bucket, _) = install_counted("run-whole");
    let run = bucket.join("a/run");
    train(&run, Start::Fresh, &|_| ()).unwrap();
    assert_eq!(files(&run), expected());
    let message = message_of(train(&run, Start::Fresh, &|_| ()), Kind::Usage);
    assert!(
        message.contains("s3://run-whole/a/run has checkpoints already"),
        "{message}"
    );
    storage::remove_tree(&run.join("checkpoints")).unwrap();
    let message = message_of(train(&run, Start::Fresh, &|_| ()), Kind::Usage);
    assert!(message.contains("a trained model already"), "{message}");
}

/// Trains at `output` until it is done: the first process with `start`, the others with `--resume`.
fn finish(output: &Path, between: impl Fn()) -> usize {
    let mut start = Start::Fresh;
    for n_tries in 1..=MAX_TRIES {
        match train(output, start, &|_| ()) {
            Ok(()) => return n_tries,
            Err(error) => assert_eq!(error.kind(), Kind::Failed, "{error:?}"),
        }
        start = Start::Latest;
        between();
    }
    panic!("{} is never done", output.display());
}

fn n_requests_of_a_run(name: &str) -> u64 {
    let (bucket, faults) = install_counted(name);
    train(&bucket.join("run"), Start::Fresh, &|_| ()).unwrap();
    faults.n_requests()
}

fn failing_once(name: &str, fault: Fault, at: u64) -> (PathBuf, Arc<Faults>) {
    let (bucket, faults, _) = install_faulty(&format!("{name}-{at}"), fault, at, 1);
    (bucket.join("run"), faults)
}

#[test]
fn a_run_stopped_at_any_request_resumes_on_another_machine_to_the_same_bytes() {
    let (expected, n_requests) = (expected(), n_requests_of_a_run("run-elsewhere-counted"));
    let mut n_stopped = 0;
    for at in 1..=n_requests {
        let (run, faults) = failing_once("run-elsewhere", Fault::Reset, at);
        let n_tries = finish(&run, || {
            assert_resumable(&run);
            on_another_machine(&run);
        });
        assert_eq!(faults.n_injected(), 1, "request {at}");
        assert_eq!(files(&run), expected, "request {at}");
        n_stopped += usize::from(n_tries > 1);
    }
    assert!(
        n_stopped > 30,
        "only {n_stopped} of {n_requests} requests stop a run"
    );
}

#[test]
fn a_run_with_any_lost_response_resumes_on_the_same_machine() {
    let (expected, n_requests) = (expected(), n_requests_of_a_run("run-here-counted"));
    for at in 1..=n_requests {
        let (run, _) = failing_once("run-here", Fault::LostAnswer, at);
        finish(&run, || {
            let here = CheckpointStore::of_run(&working_dir(&run).unwrap());
            assert!(assert_resumable(&run) <= here.steps().unwrap().last().copied());
        });
        assert_eq!(files(&run), expected, "request {at}");
    }
}

#[test]
fn an_error_names_the_run_and_the_command_to_resume() {
    let n_requests = n_requests_of_a_run("run-told-counted");
    let (run, _) = failing_once("run-told", Fault::Internal, n_requests - 1);
    let message = message_of(train(&run, Start::Fresh, &|_| ()), Kind::Failed);
    let dir = working_dir(&run).unwrap();
    for words in [
        "s3://run-told-",
        dir.to_str().unwrap(),
        "the same command with --resume",
    ] {
        assert!(message.contains(words), "{words} in: {message}");
    }
}

/// Another process takes the run over after `step` steps of this one.
fn taken_over_after(run: &Path, step: u64) -> Result<(), TrainError> {
    train(run, Start::Fresh, &|done| {
        if done == step {
            let next = run.join("attempts/000002");
            replace(&next, b"elsewhere.7.0123456789abcdef").unwrap();
        }
    })
}

#[test]
fn a_process_whose_run_was_taken_over_stops_before_it_writes() {
    let (bucket, _) = install_counted("run-taken");
    let run = bucket.join("run");
    let message = message_of(taken_over_after(&run, 3), Kind::Usage);
    assert!(
        message.contains("elsewhere.7.0123456789abcdef"),
        "{message}"
    );
    assert_eq!(assert_resumable(&run), Some(2));
    // It has step 4 and the store does not; the store's state counts.
    let here = CheckpointStore::of_run(&working_dir(&run).unwrap());
    assert_eq!(here.steps().unwrap(), [2, 4]);
    train(&run, Start::Latest, &|step| assert!(step > 2)).unwrap();
    assert_eq!(files(&run), expected());
}

#[test]
fn one_of_two_processes_that_resume_at_once_is_refused() {
    let (bucket, _) = install_counted("run-at-once");
    let run = bucket.join("run");
    message_of(taken_over_after(&run, 5), Kind::Usage);
    // This one has seen two attempts, and the other one takes the third.
    let copy = open_working_copy(&run, Start::Latest, &|_| ()).unwrap();
    replace(&run.join("attempts/000003"), b"elsewhere").unwrap();
    let dir = RunDir::claim(&working_dir(&run).unwrap(), Start::Latest).unwrap();
    let refused = dir.mirrored_from(copy, Some(4)).unwrap_err();
    assert!(refused.to_string().contains("taken over"), "{refused}");
}

#[test]
fn a_process_that_still_writes_after_the_run_was_opened_is_detected() {
    let (bucket, _) = install_counted("run-alive");
    let run = bucket.join("run");
    message_of(taken_over_after(&run, 3), Kind::Usage);
    let copy = open_working_copy(&run, Start::Latest, &|_| ()).unwrap();
    replace(
        &CheckpointStore::of_run(&run).path(4).join(SEAL_NAME),
        b"{}",
    )
    .unwrap();
    let dir = RunDir::claim(&working_dir(&run).unwrap(), Start::Latest).unwrap();
    let error = dir.mirrored_from(copy, Some(2)).unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    assert!(matches!(error, TrainError::Run(error) if matches!(*error, RunError::Advanced { .. })));
}

#[test]
fn a_checkpoint_removed_by_a_living_process_while_it_is_copied_is_not_called_damaged() {
    let (bucket, _) = install_counted("run-retired");
    let run = bucket.join("run");
    message_of(taken_over_after(&run, 3), Kind::Usage);
    let copy = WorkingCopy::open(&run).unwrap().unwrap();
    let checkpoints = CheckpointStore::of_run(&run);
    let newest = checkpoints.newest_sealed().unwrap().unwrap();
    for entry in storage::list(&checkpoints.path(newest)).unwrap() {
        storage::remove_file(&checkpoints.path(newest).join(entry.name)).unwrap();
    }
    let error = copy.fetch(None).unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    assert!(matches!(error, TrainError::Run(error) if matches!(*error, RunError::Advanced { .. })));
}

#[test]
fn late_writes_of_an_older_process_are_removed_with_the_next_checkpoint() {
    let (bucket, _) = install_counted("run-late");
    let run = bucket.join("run");
    let late = |step| {
        if step == 3 {
            let seal = CheckpointStore::of_run(&run).path(6).join(SEAL_NAME);
            replace(&seal, b"{}").unwrap();
        }
        if step == 5 {
            assert_eq!(assert_resumable(&run), Some(4));
        }
    };
    train(&run, Start::Fresh, &late).unwrap();
    assert_eq!(files(&run), expected());
}

#[test]
fn a_second_process_of_this_machine_is_refused_at_once() {
    let (bucket, _) = install_counted("run-locked");
    let run = bucket.join("run");
    train(&run, Start::Fresh, &|_| {
        let message = message_of(train(&run, Start::Latest, &|_| ()), Kind::Failed);
        assert!(
            message.contains("another process is training in s3://run-locked/run"),
            "{message}"
        );
    })
    .unwrap();
}

#[test]
fn a_started_run_without_a_checkpoint_can_be_resumed_but_not_started_again() {
    let (bucket, _) = install_counted("run-begun");
    let run = bucket.join("run");
    replace(&run.join("attempts/000001"), b"elsewhere").unwrap();
    let message = message_of(train(&run, Start::Fresh, &|_| ()), Kind::Usage);
    assert!(
        message.contains("(elsewhere)") && message.contains("--resume"),
        "{message}"
    );
    train(&run, Start::Latest, &|_| ()).unwrap();
    assert_eq!(files(&run), expected());
}

#[test]
fn a_stale_working_copy_is_not_used_for_a_new_run_at_the_same_url() {
    let (bucket, _) = install_counted("run-again");
    let run = bucket.join("run");
    message_of(taken_over_after(&run, 3), Kind::Usage);
    storage::remove_tree(&run).unwrap();
    train(&run, Start::Fresh, &|_| ()).unwrap();
    assert_eq!(files(&run), expected());
}

#[test]
fn a_run_that_was_copied_to_a_url_is_resumed_there() {
    let (bucket, _) = install_counted("run-copied");
    let (run, dir) = (bucket.join("run"), tempfile::tempdir().unwrap());
    drop(train_until(3, dir.path(), Start::Fresh, &|_| ()).unwrap());
    put_tree(dir.path(), &run);
    train(&run, Start::Latest, &|step| assert!(step > 2)).unwrap();
    assert_eq!(files(&run), expected());
}

#[test]
fn a_run_that_goes_back_is_resumed_from_there_on_every_machine() {
    let (bucket, _) = install_counted("run-back");
    let run = bucket.join("run");
    train(&run, Start::Fresh, &|_| ()).unwrap();
    // An earlier one, as `keep_every` keeps it.
    let kept = tempfile::tempdir().unwrap();
    drop(train_until(2, kept.path(), Start::Fresh, &|_| ()).unwrap());
    put_tree(&kept.path().join("checkpoints"), &run.join("checkpoints"));
    on_another_machine(&run);
    let message = message_of(train(&run, Start::At(4), &|_| ()), Kind::Usage);
    assert!(
        message.contains("choose one of step-2, step-6"),
        "{message}"
    );
    let checkpoints = CheckpointStore::of_run(&run);
    let steps_then = |step| match step {
        3 => assert_eq!(checkpoints.steps().unwrap(), [2]),
        _ => assert!(step > 2),
    };
    train(&run, Start::At(2), &steps_then).unwrap();
    on_another_machine(&run);
    train(&run, Start::Latest, &|_| panic!("it is finished")).unwrap();
    assert_eq!(files(&run), expected());
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_last_good_one_named() {
    let (bucket, _) = install_counted("run-damaged");
    let run = bucket.join("run");
    message_of(taken_over_after(&run, 5), Kind::Usage);
    on_another_machine(&run);
    replace(
        &run.join("checkpoints/step-4/state.json"),
        b"state.json of step 5",
    )
    .unwrap();
    let message = message_of(train(&run, Start::Latest, &|_| ()), Kind::BadData);
    assert!(
        message.contains("s3://run-damaged/run/checkpoints/step-4 is damaged"),
        "{message}"
    );
    assert!(
        message.contains("there is no good one before it"),
        "{message}"
    );
}
