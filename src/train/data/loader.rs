//! Batches of both stages, read ahead on separate threads.

use super::error::n_needed;
use super::label_stream::{LABELLED, LabelStream};
use super::tokens::TokenStream;
use super::{DataError, LabelSource, TokenSource};
use crate::train::example::Example;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const TOKEN: &str = "token";

/// What a run will read, as known before its first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    /// Maximum steps of labelled sequences; the transition `auto` may end them earlier.
    pub labelled_steps: u64,
    /// Maximum steps of token sequences; with `auto`, all steps minus the minimum of stage 1.
    pub token_steps: u64,
    /// Sequences per step, at least 1.
    pub batch_size: usize,
    /// How often a labelled sequence may be read, at least 1.
    pub label_epochs: u32,
    /// How often a sequence of the token corpus may be read, at least 1.
    pub token_epochs: u32,
}

/// Sequences returned so far, of each stream; a checkpoint stores this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderPosition {
    /// Labelled sequences.
    pub labelled: u64,
    /// Token sequences.
    pub tokens: u64,
}

/// Sequences needed and available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Maximum labelled sequences that the steps need.
    pub labelled_needed: u64,
    /// Distinct labelled sequences available.
    pub labelled_available: u64,
    /// Maximum token sequences that the steps need.
    pub tokens_needed: u64,
    /// Distinct token sequences available.
    pub tokens_available: u64,
    /// Sequences of the token corpus that are excluded because stage 1 may use them.
    pub tokens_excluded: u64,
}

/// Returns the sequences of each step. Each stream starts its thread on first use, and reads up to `prefetch`
/// steps ahead. The sequences of a step depend only on seed and position.
pub struct Loader {
    stages: Stages,
    prefetch: usize,
    labels: Option<LabelSource>,
    tokens: Option<TokenSource>,
    position: LoaderPosition,
    labelled: Option<Stream>,
    token: Option<Stream>,
}

impl Loader {
    /// Checks that there are enough sequences for all steps, and excludes from `tokens` those that stage 1 may
    /// use: the first `labelled_steps * batch_size` in the labels' order, if both are of one corpus. They stay
    /// excluded even if `auto` ends stage 1 before it has read them all, so some may never be read. Continues
    /// after `position`.
    ///
    /// # Errors
    /// [`DataError::Budget`], [`DataError::NoSource`], [`DataError::Setting`], [`DataError::Position`]; a
    /// mismatch of labels and corpus.
    pub fn new(
        labels: Option<LabelSource>,
        tokens: Option<TokenSource>,
        stages: Stages,
        prefetch: usize,
        position: LoaderPosition,
    ) -> Result<Self, DataError> {
        check_stages(&stages)?;
        let n_labelled = n_needed(stages.labelled_steps, stages.batch_size);
        let tokens = match (tokens, &labels) {
            (Some(tokens), Some(labels)) => Some(tokens.without_labelled(labels, n_labelled)?),
            (tokens, _) => tokens,
        };
        let loader = Loader {
            stages,
            prefetch,
            labels,
            tokens,
            position,
            labelled: None,
            token: None,
        };
        loader.check_budget()?;
        loader.check_position()?;
        Ok(loader)
    }

    /// Sequences needed and available.
    pub fn coverage(&self) -> Coverage {
        let (labels, tokens) = (self.labels.as_ref(), self.tokens.as_ref());
        Coverage {
            labelled_needed: n_needed(self.stages.labelled_steps, self.stages.batch_size),
            labelled_available: labels.map_or(0, LabelSource::n_sequences),
            tokens_needed: n_needed(self.stages.token_steps, self.stages.batch_size),
            tokens_available: tokens.map_or(0, TokenSource::n_available),
            tokens_excluded: tokens.map_or(0, TokenSource::n_excluded),
        }
    }

    /// Sequences returned so far.
    pub fn position(&self) -> LoaderPosition {
        self.position
    }

    /// Continues after `position`, as a new loader would; sequences that were read ahead are
    /// dropped.
    ///
    /// # Errors
    /// [`DataError::Position`]; the loader must not be used afterwards.
    pub fn resume_after(&mut self, position: LoaderPosition) -> Result<(), DataError> {
        (self.labelled, self.token) = (None, None);
        self.position = position;
        self.check_position()
    }

    /// The labelled sequences of the next step, with the signals of the groups that are read.
    ///
    /// # Errors
    /// The first damaged shard among theirs, by file, after all earlier steps were returned; a step past the
    /// budget.
    pub fn next_labelled(&mut self) -> Result<Vec<Example>, DataError> {
        let end = n_needed(self.stages.labelled_steps, self.stages.batch_size);
        self.check_step(LABELLED, self.position.labelled, end)?;
        let stream = match self.labelled.take() {
            Some(stream) => stream,
            None => self.start_labelled(end)?,
        };
        // After an error the stream is gone; the next call starts a new one at this position.
        let batch = stream.next()?;
        self.labelled = Some(stream);
        self.position.labelled += batch.len() as u64;
        Ok(batch)
    }

    /// The sequences of the next step from the token corpus. Ends the labelled stream to free its memory; if
    /// needed again, it restarts where it was.
    ///
    /// # Errors
    /// A step past the budget.
    pub fn next_tokens(&mut self) -> Result<Vec<Example>, DataError> {
        self.labelled = None;
        let end = n_needed(self.stages.token_steps, self.stages.batch_size);
        self.check_step(TOKEN, self.position.tokens, end)?;
        let stream = match self.token.take() {
            Some(stream) => stream,
            None => self.start_tokens(end)?,
        };
        let batch = stream.next()?;
        self.token = Some(stream);
        self.position.tokens += batch.len() as u64;
        Ok(batch)
    }

    fn start_labelled(&self, end: u64) -> Result<Stream, DataError> {
        let Some(labels) = self.labels.clone() else {
            return Err(no_labels());
        };
        let position = self.position.labelled;
        Stream::start(
            LABELLED,
            self.prefetch,
            move |pump| {
                let stop = Arc::clone(&pump.stop);
                let mut stream = LabelStream::new(labels, position, end, stop);
                pump.run(|| stream.next_example());
            },
            self.batches(position, end),
        )
    }

    fn start_tokens(&self, end: u64) -> Result<Stream, DataError> {
        let Some(tokens) = self.tokens.clone() else {
            return Err(no_tokens());
        };
        let position = self.position.tokens;
        Stream::start(
            TOKEN,
            self.prefetch,
            move |pump| {
                let mut stream = TokenStream::new(&tokens, position);
                pump.run(|| stream.next_example());
            },
            self.batches(position, end),
        )
    }

    fn batches(&self, position: u64, end: u64) -> Batches {
        Batches {
            batch_size: self.stages.batch_size,
            n_left: (end - position) / self.stages.batch_size as u64,
        }
    }

    fn check_step(&self, kind: &'static str, position: u64, end: u64) -> Result<(), DataError> {
        let batch_size = self.stages.batch_size as u64;
        if end.saturating_sub(position) >= batch_size {
            return Ok(());
        }
        Err(DataError::PastBudget {
            kind,
            step: position / batch_size + 1,
            announced: end / batch_size,
        })
    }

    fn check_budget(&self) -> Result<(), DataError> {
        let coverage = self.coverage();
        if coverage.labelled_needed > 0 && self.labels.is_none() {
            return Err(no_labels());
        }
        if coverage.tokens_needed > 0 && self.tokens.is_none() {
            return Err(no_tokens());
        }
        self.check_enough(Requirement {
            kind: LABELLED,
            n_steps: self.stages.labelled_steps,
            needed: coverage.labelled_needed,
            available: coverage.labelled_available,
            left_out: self.unselected(),
            epochs: self.stages.label_epochs,
            key: "data.label_epochs",
            remedy: "label more sequences, use fewer steps of stage 1 (kd.n_kd; train.steps for rkd)",
        })?;
        let left_out = match coverage.tokens_excluded {
            0 => String::new(),
            n => format!(" (not counting {n} that stage 1 may use)"),
        };
        self.check_enough(Requirement {
            kind: TOKEN,
            n_steps: self.stages.token_steps,
            needed: coverage.tokens_needed,
            available: coverage.tokens_available,
            left_out,
            epochs: self.stages.token_epochs,
            key: "data.token_epochs",
            remedy: "give a longer data.tokens, use fewer steps (train.steps)",
        })
    }

    fn unselected(&self) -> String {
        let labels = self.labels.as_ref();
        match labels.filter(|labels| labels.n_kept().is_some()) {
            None => String::new(),
            Some(labels) => format!(
                " (the selection keeps them, of {} labelled)",
                labels.n_labelled()
            ),
        }
    }

    fn check_enough(&self, requirement: Requirement) -> Result<(), DataError> {
        if requirement.needed
            <= requirement
                .available
                .saturating_mul(u64::from(requirement.epochs))
        {
            return Ok(());
        }
        if requirement.available == 0 {
            return Err(DataError::NoSource {
                kind: requirement.kind,
                remedy: "stage 1 may use every sequence of data.tokens: give a longer corpus, or fewer steps of stage 1 (kd.n_kd)",
            });
        }
        Err(DataError::Budget {
            kind: requirement.kind,
            n_steps: requirement.n_steps,
            batch_size: self.stages.batch_size,
            available: requirement.available,
            left_out: requirement.left_out,
            epochs: requirement.epochs,
            key: requirement.key,
            remedy: requirement.remedy,
        })
    }

    fn check_position(&self) -> Result<(), DataError> {
        let coverage = self.coverage();
        for (kind, got, most) in [
            (LABELLED, self.position.labelled, coverage.labelled_needed),
            (TOKEN, self.position.tokens, coverage.tokens_needed),
        ] {
            if got > most {
                return Err(DataError::Position { kind, got, most });
            }
        }
        Ok(())
    }
}

/// One side of the budget.
struct Requirement {
    kind: &'static str,
    n_steps: u64,
    needed: u64,
    available: u64,
    left_out: String,
    epochs: u32,
    key: &'static str,
    remedy: &'static str,
}

fn no_labels() -> DataError {
    DataError::NoSource {
        kind: LABELLED,
        remedy: "give data.labels",
    }
}

fn no_tokens() -> DataError {
    DataError::NoSource {
        kind: TOKEN,
        remedy: "give data.tokens",
    }
}

fn check_stages(stages: &Stages) -> Result<(), DataError> {
    for (key, value) in [
        ("train.batch_size", stages.batch_size as u64),
        ("data.label_epochs", u64::from(stages.label_epochs)),
        ("data.token_epochs", u64::from(stages.token_epochs)),
    ] {
        if value == 0 {
            return Err(DataError::Setting {
                key,
                expected: "at least 1".to_owned(),
                got: "0".to_owned(),
            });
        }
    }
    Ok(())
}

type Batch = Result<Vec<Example>, DataError>;

/// Size and remaining number of a stream's batches.
#[derive(Debug, Clone, Copy)]
struct Batches {
    batch_size: usize,
    n_left: u64,
}

/// The sending side of a stream, on its thread.
struct Pump {
    sender: Sender<Batch>,
    stop: Arc<AtomicBool>,
    batches: Batches,
}

impl Pump {
    /// Sends batches until all are sent, one fails, or the receiver is gone.
    fn run(&self, mut next: impl FnMut() -> Result<Example, DataError>) {
        for _ in 0..self.batches.n_left {
            let batch: Batch = (0..self.batches.batch_size).map(|_| next()).collect();
            let is_last = batch.is_err();
            if self.sender.send(batch).is_err() || is_last {
                return;
            }
        }
    }
}

/// A thread that reads ahead. After a drop it ends within the time it takes to read a row group.
struct Stream {
    kind: &'static str,
    receiver: Option<Receiver<Batch>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    fn start(
        kind: &'static str,
        prefetch: usize,
        work: impl FnOnce(&Pump) + Send + 'static,
        batches: Batches,
    ) -> Result<Self, DataError> {
        let (sender, receiver) = bounded(prefetch);
        let stop = Arc::new(AtomicBool::new(false));
        let pump = Pump {
            sender,
            stop: Arc::clone(&stop),
            batches,
        };
        let thread = std::thread::Builder::new()
            .name(format!("{kind} loader"))
            .spawn(move || work(&pump))
            .map_err(|error| DataError::Thread {
                kind,
                what: format!("could not be started: {error}"),
            })?;
        Ok(Stream {
            kind,
            receiver: Some(receiver),
            stop,
            thread: Some(thread),
        })
    }

    fn next(&self) -> Batch {
        let received = self.receiver.as_ref().and_then(|r| r.recv().ok());
        // The thread sends every announced batch or an error; only a panic ends it earlier.
        received.unwrap_or_else(|| {
            Err(DataError::Thread {
                kind: self.kind,
                what: "ended by a panic".to_owned(),
            })
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A blocked sender then fails and the thread ends.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic was reported by `next`, or concerns batches that are not needed.
            let _ = thread.join();
        }
    }
}
