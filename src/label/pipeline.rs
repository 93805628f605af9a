//! Reading, the teacher, and writing, in parallel.
//!
//! ```text
//! reader thread            this thread                       writer thread
//! sequences of a row group ─▶ batches ▶ teacher ▶ reduction ─▶ encode ▶ seal ▶ publish
//!                 (bounded queue)                   (bounded queue)
//! ```
//!
//! The stages pass on one row group at a time, or a window of eight if sequences share calls, so each
//! worker holds only a few row groups in memory, whatever the size of the corpus. The teacher and the
//! reduction take turns on all cores; reading and encoding use what is left. A stage that fails closes
//! its channels, and its neighbours stop at their next send or receive.
//!
//! Every teacher (one per device) is a worker with three threads of its own. Workers take whole
//! shards from one queue, and share nothing else.

use super::batches::{self, Batch};
use super::error::LabelError;
use super::pieces::Labelled;
use super::planning::check_tokens_untouched;
use super::profile::{Clock, PipelineStage};
use super::progress::Progress;
use super::runtime_stamp::runtime_stamp;
use crate::interrupt::Interrupt;
use crate::shards::{Plan, Row, RuntimeStamp, ShardWriter, Sidecar};
use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig, SignalsError};
use crate::teacher::{CallRule, CallShape, Teacher, TeacherError, TokenBatch};
use crate::tokens::{Packing, Sequence, SequenceView, TokensError};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Windows of row groups read ahead, and row groups that wait for the writer.
const QUEUE_LENGTH: usize = 1;
/// Row groups whose rows share calls, if calls have several rows: the last call of each width is seldom
/// full, and a larger window has fewer of those.
const SHARED_WINDOW_ROW_GROUPS: usize = 8;

/// What the stages of a pipeline share.
pub(super) struct Work<'a, 'p> {
    pub(super) dir: &'a Path,
    pub(super) plan: &'a Plan,
    pub(super) view: &'a SequenceView<'a>,
    pub(super) shards: ShardQueue<'a>,
    /// Threads of the reduction, divided among the workers.
    pub(super) threads: usize,
    pub(super) clock: &'a Clock,
    pub(super) signals: &'a SignalsConfig,
    pub(super) calls: CallRule,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: &'a Mutex<Progress<'p>>,
}

/// Shards to make, in order; a worker takes the next one.
pub(super) struct ShardQueue<'a> {
    shards: &'a [u32],
    next: AtomicUsize,
    /// A worker has failed, so the others stop.
    has_failed: AtomicBool,
}

impl<'a> ShardQueue<'a> {
    pub(super) fn new(shards: &'a [u32]) -> Self {
        Self {
            shards,
            next: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
        }
    }

    fn take(&self) -> Option<u32> {
        let idx = self.next.fetch_add(1, Ordering::Relaxed);
        self.shards.get(idx).copied()
    }

    /// Stops all workers.
    fn fail(&self) {
        self.next.store(self.shards.len(), Ordering::Relaxed);
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

/// Stops the other workers when dropped, after an error or a panic; disarmed after success.
struct FailQueueOnDrop<'w>(Option<&'w ShardQueue<'w>>);

impl Drop for FailQueueOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            queue.fail();
        }
    }
}

impl Work<'_, '_> {
    fn is_stopped(&self) -> bool {
        self.interrupt.is_requested() || self.shards.has_failed.load(Ordering::Relaxed)
    }
}

/// Rows on their way through the pipeline.
struct RowGroup<T> {
    shard: u32,
    is_last_of_shard: bool,
    rows: Vec<T>,
}

/// Makes every shard of `work`, with a worker for each teacher.
///
/// # Errors
/// The first worker's error; the others then drop their current shards. Published shards stay.
pub(super) fn run(work: &Work<'_, '_>, teachers: Vec<&mut Teacher>) -> Result<(), LabelError> {
    let threads = (work.threads / teachers.len().max(1)).max(1);
    let pools = teachers.iter().map(|_| thread_pool(threads));
    let pools = pools.collect::<Result<Vec<_>, LabelError>>()?;
    std::thread::scope(|scope| {
        let workers = teachers.into_iter().zip(pools);
        let start = |(teacher, pool): (_, rayon::ThreadPool)| {
            scope.spawn(move || {
                let mut failing = FailQueueOnDrop(Some(&work.shards));
                let result = pool.install(|| run_worker(work, teacher));
                if result.is_ok() {
                    failing.0 = None;
                }
                result
            })
        };
        let running: Vec<_> = workers.map(start).collect();
        let results: Vec<_> = running.into_iter().map(joined).collect();
        // An error that stopped the other workers comes before their cancellations.
        let (stopped, others): (Vec<_>, Vec<_>) = results.into_iter().partition(is_cancellation);
        others.into_iter().chain(stopped).collect()
    })
}

fn joined<R>(thread: std::thread::ScopedJoinHandle<'_, R>) -> R {
    let result = thread.join();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn is_cancellation(result: &Result<(), LabelError>) -> bool {
    matches!(result, Err(LabelError::Teacher(TeacherError::Cancelled)))
}

fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, LabelError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| LabelError::Spawn {
        what: "the reduction's threads",
        source: std::io::Error::other(error),
    })
}

fn run_worker(work: &Work<'_, '_>, teacher: &mut Teacher) -> Result<(), LabelError> {
    let (to_label, unlabelled) = bounded(QUEUE_LENGTH);
    let (to_write, labelled) = bounded(QUEUE_LENGTH);
    std::thread::scope(|scope| {
        scope.spawn(move || read(work, &to_label));
        let runtime = runtime_stamp(teacher);
        let writer = scope.spawn(move || write(work, &runtime, &labelled));
        let labelling = label(work, teacher, &unlabelled, to_write);
        drop(unlabelled);
        // If the writer failed, labelling only sees that its channel is closed.
        joined(writer).and(labelling)
    })
}

/// Sequences that go to the teacher together, or why they could not be read.
type Window = Result<Vec<RowGroup<Sequence>>, TokensError>;

fn read(work: &Work<'_, '_>, to_label: &Sender<Window>) {
    while let Some(shard) = work.shards.take() {
        let row_groups = work.plan.row_groups(shard);
        let last = row_groups.len().saturating_sub(1);
        let numbered: Vec<_> = row_groups.into_iter().enumerate().collect();
        for window in numbered.chunks(window_row_groups(work)) {
            let read_one = |(i, seq_ids): &(usize, Vec<u64>)| {
                let rows = seq_ids.iter().map(|&id| work.view.read(id));
                Ok(RowGroup {
                    shard,
                    is_last_of_shard: *i == last,
                    rows: rows.collect::<Result<_, _>>()?,
                })
            };
            let window: Window = work.clock.time(PipelineStage::Reading, || {
                window.iter().map(read_one).collect()
            });
            if work.is_stopped() || to_label.send(window).is_err() {
                return;
            }
        }
    }
}

/// Number of row groups whose rows are divided into calls together; 1 if sequences do not share calls.
fn window_row_groups(work: &Work<'_, '_>) -> usize {
    let longest = work.calls.shape(work.plan.sequences.seq_len as usize);
    let is_shared = match work.plan.sequences.packing {
        Packing::Concat => longest.max_sequences > 1,
        Packing::Document => !work.calls.is_alone,
    };
    if is_shared {
        SHARED_WINDOW_ROW_GROUPS
    } else {
        1
    }
}

fn label(
    work: &Work<'_, '_>,
    teacher: &mut Teacher,
    unlabelled: &Receiver<Window>,
    to_write: Sender<RowGroup<Row>>,
) -> Result<(), LabelError> {
    let clock = work.clock;
    // Discards the time that the trial of the teacher took.
    teacher.take_timings();
    while let Ok(window) = clock.time(PipelineStage::WaitingForTokens, || unlabelled.recv()) {
        let started = Instant::now();
        let labelled = label_window(window?, teacher, work)?;
        let (all, spent) = (started.elapsed(), teacher.take_timings());
        clock.add(PipelineStage::Teacher, spent.forward);
        clock.add(PipelineStage::Reduction, spent.reduction);
        let rest = all.saturating_sub(spent.forward + spent.reduction);
        clock.add(PipelineStage::Assembly, rest);
        for row_group in labelled {
            let sent = clock.time(PipelineStage::WaitingForWriter, || to_write.send(row_group));
            if sent.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Labels the rows of some row groups together.
fn label_window(
    window: Vec<RowGroup<Sequence>>,
    teacher: &mut Teacher,
    work: &Work<'_, '_>,
) -> Result<Vec<RowGroup<Row>>, LabelError> {
    let mut empty = Vec::with_capacity(window.len());
    let mut sequences = Vec::new();
    for mut row_group in window {
        empty.push((
            row_group.shard,
            row_group.is_last_of_shard,
            row_group.rows.len(),
        ));
        sequences.append(&mut row_group.rows);
    }
    let mut rows = label_sequences(sequences, teacher, work)?.into_iter();
    let filled = empty
        .into_iter()
        .map(|(shard, is_last_of_shard, n_rows)| RowGroup {
            shard,
            is_last_of_shard,
            rows: rows.by_ref().take(n_rows).collect(),
        });
    Ok(filled.collect())
}

/// Runs the teacher over sequences, batch by batch, and returns their rows in the same order.
fn label_sequences(
    sequences: Vec<Sequence>,
    teacher: &mut Teacher,
    work: &Work<'_, '_>,
) -> Result<Vec<Row>, LabelError> {
    let mut labelled: Vec<Option<Labelled>> = vec![None; sequences.len()];
    let lengths: Vec<usize> = sequences.iter().map(n_targets).collect();
    for batch in batches::cut(&lengths, &work.calls) {
        if work.is_stopped() {
            return Err(TeacherError::Cancelled.into());
        }
        let signals = label_batch(&sequences, &batch, teacher, work)?;
        work.clock.ran(batch.shape.n_rows * batch.shape.width);
        let n_labelled: usize = batch.rows.iter().map(|&row| lengths[row]).sum();
        lock(work.progress).labelled(n_labelled as u64);
        for (row, signals) in batch.rows.into_iter().zip(signals) {
            labelled[row] = Some(signals);
        }
    }
    let keeps_positions = work.plan.signals.has_positions();
    let labelled = labelled
        .into_iter()
        .map(|labelled| labelled.expect("every row is in a batch"));
    Ok(sequences
        .into_iter()
        .zip(labelled)
        .map(|(sequence, labelled)| labelled.into_row(sequence, keeps_positions))
        .collect())
}

fn label_batch(
    sequences: &[Sequence],
    batch: &Batch,
    teacher: &mut Teacher,
    work: &Work<'_, '_>,
) -> Result<Vec<Labelled>, LabelError> {
    let chosen: Vec<&Sequence> = batch.rows.iter().map(|&row| &sequences[row]).collect();
    let signals = signals_of(&chosen, batch.shape, teacher, work.signals, work.view)?;
    for (sequence, signals) in chosen.iter().zip(&signals) {
        if !signals.scores.has_nll() {
            if !work.plan.signals.impossible_targets {
                return Err(impossible_target(sequence, signals, work.view));
            }
            lock(work.progress).labelled_without_nll(sequence.seq_id);
        }
    }
    let labelled = chosen.into_iter().zip(signals);
    Ok(labelled
        .map(|(sequence, signals)| Labelled::new(sequence, signals))
        .collect())
}

/// The signals of one sequence, from a call of the same shape as in labelling.
pub(super) fn signals_alone(
    sequence: &Sequence,
    teacher: &mut Teacher,
    config: &SignalsConfig,
    view: &SequenceView<'_>,
) -> Result<SequenceSignals, LabelError> {
    let shape = teacher.info().calls.shape(n_targets(sequence));
    let mut signals = signals_of(&[sequence], shape, teacher, config, view)?;
    Ok(signals.remove(0))
}

/// The teacher's signals of some sequences, from one call.
fn signals_of(
    sequences: &[&Sequence],
    shape: CallShape,
    teacher: &mut Teacher,
    config: &SignalsConfig,
    view: &SequenceView<'_>,
) -> Result<Vec<SequenceSignals>, LabelError> {
    let targets: Vec<SequenceTargets> = sequences
        .iter()
        .map(|sequence| SequenceTargets {
            seq_id: sequence.seq_id,
            targets: &sequence.input_ids[1..],
        })
        .collect();
    teacher
        .reduce(&token_batch(sequences, shape), &targets, config)
        .map_err(|error| match error {
            TeacherError::Signals(source) => with_sequence(source, sequences, view),
            error => error.into(),
        })
}

/// The error for a target of probability 0: its sequence has no NLL, and so no scores.
fn impossible_target(
    sequence: &Sequence,
    signals: &SequenceSignals,
    view: &SequenceView<'_>,
) -> LabelError {
    let logprobs = signals.positions.target_logprob_t.iter();
    let target = match logprobs.clone().position(|&l| l == f32::NEG_INFINITY) {
        Some(t) => format!("id {} at position {t}", sequence.input_ids[t + 1]),
        None => "one of its ids".to_owned(),
    };
    LabelError::ImpossibleTarget {
        seq_id: sequence.seq_id,
        token_offset: view.token_offset(sequence.seq_id),
        target,
    }
}

/// Adds to an error which sequence of the corpus a batch row was.
pub(super) fn with_sequence(
    source: SignalsError,
    sequences: &[&Sequence],
    view: &SequenceView<'_>,
) -> LabelError {
    let seq_id = sequences[source.row_idx().unwrap_or(0)].seq_id;
    LabelError::Sequence {
        seq_id,
        token_offset: view.token_offset(seq_id),
        source,
    }
}

/// The inputs of a call: all ids but the last of each sequence, which is only a target.
pub(super) fn token_batch(sequences: &[&Sequence], shape: CallShape) -> TokenBatch {
    let inputs = sequences
        .iter()
        .map(|sequence| &sequence.input_ids[..n_targets(sequence)]);
    TokenBatch::new(inputs, shape)
}

pub(super) fn n_targets(sequence: &Sequence) -> usize {
    sequence.input_ids.len() - 1
}

fn write(
    work: &Work<'_, '_>,
    runtime: &RuntimeStamp,
    labelled: &Receiver<RowGroup<Row>>,
) -> Result<(), LabelError> {
    let mut open: Option<ShardWriter> = None;
    for row_group in labelled {
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => ShardWriter::create_with_pieces(work.dir, work.plan, row_group.shard)?,
        };
        work.clock.time(PipelineStage::Encoding, || {
            writer.write_row_group(&row_group.rows)
        })?;
        if row_group.is_last_of_shard {
            // The token files may have been overwritten while they were read.
            check_tokens_untouched(work.view.corpus(), &work.plan.corpus, false)?;
            let sidecar = work.clock.time(PipelineStage::Publishing, || {
                writer.seal_and_publish(runtime)
            })?;
            lock(work.progress).published(sidecar.n_targets, n_bytes(&sidecar));
        } else {
            open = Some(writer);
        }
    }
    // A shard that is still open was interrupted: dropping the writer removes its temporaries.
    Ok(())
}

pub(super) fn n_bytes(sidecar: &Sidecar) -> u64 {
    sidecar.files.iter().map(|file| file.bytes).sum()
}

/// Progress is only counters, which stay valid after a panic of another thread.
fn lock<'m, 'p>(progress: &'m Mutex<Progress<'p>>) -> std::sync::MutexGuard<'m, Progress<'p>> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
