//! A stream of labelled sequences, in the order of seed and epoch.
//!
//! While the rows of one window of decoded row groups are used, the next window is read, row group by row
//! group, so no step waits for a whole window, and about one window is in memory at any time. A row group that
//! cannot be read fails the first step that needs one of its rows.

use super::order::{EpochOrder, Group, Window};
use super::{DataError, LabelSource};
use crate::shards::{Row, ShardReader, SidecarFile, expect_equal};
use crate::storage::{StorageError, Stream, storage_error};
use crate::train::example::Example;
use crate::train::loss::join_stats;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Name of the stream in messages.
pub(super) const LABELLED: &str = "labelled";

/// Shards that are kept open; opening one again costs reading its footers.
const OPEN_SHARDS: usize = 16;

impl LabelSource {
    /// Every usable sequence once, in the order of the first epoch, read on this thread. Ends after an error.
    pub fn examples(&self) -> impl Iterator<Item = Result<Example, DataError>> {
        let n = self.n_sequences();
        let mut stream = LabelStream::new(self.clone(), 0, n, Arc::default());
        let mut n_left = n;
        std::iter::from_fn(move || {
            n_left = n_left.checked_sub(1)?;
            let example = stream.next_example();
            if example.is_err() {
                n_left = 0;
            }
            Some(example)
        })
    }
}

/// Reads row groups of verified shards.
struct Shards {
    labels: LabelSource,
    /// Shards of the other teachers.
    others: Vec<Shards>,
    /// The most recently used last.
    open: Vec<(u32, ShardReader)>,
    /// Set when no more rows are needed.
    stop: Arc<AtomicBool>,
}

impl Shards {
    fn new(labels: LabelSource, stop: Arc<AtomicBool>) -> Self {
        let others = labels.others.iter();
        let others = others.map(|other| Self::new(other.clone(), Arc::clone(&stop)));
        Shards {
            others: others.collect(),
            labels,
            open: Vec::new(),
            stop,
        }
    }

    /// The kept rows of a row group, with the signals of every teacher.
    fn read(&mut self, group: Group) -> Result<Vec<Example>, DataError> {
        let mut rows = self.rows(group.shard, group.row_group)?;
        rows.retain(|row| self.labels.inner.keeps(row.seq_id));
        let mut examples: Vec<Example> = rows.into_iter().map(Example::from).collect();
        for other in &mut self.others {
            other.join(&self.labels, &mut examples)?;
        }
        if !self.others.is_empty() {
            for example in &mut examples {
                let signals = example.signals.as_mut().expect("rows have signals");
                example.chosen_t = join_stats(signals, &example.others, &self.labels.joining);
            }
        }
        Ok(examples)
    }

    fn rows(&mut self, shard: u32, row_group: u32) -> Result<Vec<Row>, DataError> {
        let reader = self.reader(shard)?;
        Ok(reader.read_row_group(row_group as usize)?)
    }

    /// Adds this teacher's signals to `examples`, which are rows of `first` in order.
    fn join(&mut self, first: &LabelSource, examples: &mut [Example]) -> Result<(), DataError> {
        let inner = Arc::clone(&self.labels.inner);
        let (mut held, mut rows) = (None, Vec::new());
        for example in examples {
            let plan = inner.set.segment_of_sequence(example.seq_id);
            let place = plan.and_then(|plan| Some((plan.slot_of(example.seq_id)?, plan)));
            let (slot, plan) = place.expect("joined labels have the same sequences");
            let group = Some((slot.shard, slot.row_group));
            if held != group {
                rows = self.rows(slot.shard, slot.row_group)?;
                held = group;
            }
            let in_group = u64::from(slot.row) % plan.layout.rows_per_row_group;
            let row: Option<&mut Row> = rows.get_mut(in_group as usize);
            let row = row.expect("a row group has the rows of its plan");
            if (row.seq_id, &row.input_ids) != (example.seq_id, &example.input_ids) {
                let what = format!("the text of sequence {}", example.seq_id);
                let (expected, got) = (listed(&example.input_ids), listed(&row.input_ids));
                return Err(first.other_teacher(&self.labels, what, expected, got));
            }
            example.others.push(std::mem::take(&mut row.signals));
        }
        Ok(())
    }

    fn reader(&mut self, shard: u32) -> Result<&mut ShardReader, DataError> {
        let opened = match self.open.iter().position(|(open, _)| *open == shard) {
            Some(at) => self.open.remove(at),
            None => (shard, self.open_shard(shard)?),
        };
        if self.open.len() >= OPEN_SHARDS {
            self.open.remove(0);
        }
        self.open.push(opened);
        let (_, reader) = self.open.last_mut().expect("one was pushed");
        Ok(reader)
    }

    fn open_shard(&self, shard: u32) -> Result<ShardReader, DataError> {
        let labels = &self.labels.inner;
        let dir = &labels.set.dir;
        let is_verified = &labels.is_verified[shard as usize];
        if !is_verified.load(Ordering::Relaxed) {
            for file in &labels.files[shard as usize] {
                check_hash(dir, file)?;
            }
            is_verified.store(true, Ordering::Relaxed);
        }
        let (plan, groups) = (labels.plan_of(shard), self.labels.groups());
        Ok(ShardReader::open_groups(dir, plan, shard, groups)?)
    }
}

/// The beginning of a sequence, for a message.
fn listed(input_ids: &[u32]) -> String {
    let ids = input_ids.iter().take(8).map(u32::to_string);
    format!("[{}, ...]", ids.collect::<Vec<_>>().join(", "))
}

/// Compares a file's BLAKE3 with its sidecar's, on this thread, since the others train.
fn check_hash(dir: &Path, file: &SidecarFile) -> Result<(), DataError> {
    let path = dir.join(&file.name);
    let mut hasher = blake3::Hasher::new();
    let mut stream = Stream::open(&path)?;
    hasher.update_reader(&mut stream).map_err(|error| {
        storage_error(error).unwrap_or_else(|source| StorageError::io("read", &path, source))
    })?;
    let got = hasher.finalize().to_hex().to_string();
    Ok(expect_equal(&path, "blake3", file.blake3.clone(), got)?)
}

/// A row of a window.
enum Slot {
    /// Read and not yet returned.
    Ready(Box<Example>),
    /// Already returned.
    Given,
    /// In a row group that could not be read: index of the error.
    Failed(usize),
}

/// A window with the rows read so far.
struct PartialWindow {
    window: Window,
    /// Kept rows of the groups read so far, in that order.
    slots: Vec<Slot>,
    n_groups_read: usize,
    /// One error per row group that could not be read, until it is reported.
    errors: Vec<Option<DataError>>,
}

impl PartialWindow {
    fn new(window: Window) -> Self {
        PartialWindow {
            slots: Vec::with_capacity(window.n_rows as usize),
            window,
            n_groups_read: 0,
            errors: Vec::new(),
        }
    }

    /// Reads groups until `n_groups` are read, or `stop` is set.
    fn fill(&mut self, n_groups: usize, shards: &mut Shards) {
        while self.n_groups_read < n_groups.min(self.window.groups.len()) {
            if shards.stop.load(Ordering::Relaxed) {
                return;
            }
            let order = &shards.labels.inner.order;
            let group = order.groups[self.window.groups[self.n_groups_read]];
            match shards.read(group) {
                Ok(rows) => self
                    .slots
                    .extend(rows.into_iter().map(Box::new).map(Slot::Ready)),
                Err(error) => {
                    let failed = || Slot::Failed(self.errors.len());
                    self.slots.extend((0..group.n_rows).map(|_| failed()));
                    self.errors.push(Some(error));
                }
            }
            self.n_groups_read += 1;
        }
    }

    /// Returns the row at `position`, or the error of reading it.
    fn take(&mut self, position: u64) -> Result<Example, DataError> {
        let slot = self.slots.get_mut(self.window.row_at(position));
        let error = match slot.map(|slot| std::mem::replace(slot, Slot::Given)) {
            Some(Slot::Ready(example)) => return Ok(*example),
            Some(Slot::Failed(error)) => self.errors[error].take(),
            Some(Slot::Given) | None => None,
        };
        // The rest of a failed group, or a window that a stopped stream left unread.
        Err(error.unwrap_or_else(|| DataError::Thread {
            kind: LABELLED,
            what: "was stopped".to_owned(),
        }))
    }
}

/// An endless stream over the epochs of labels; the reader decides where to end.
pub(super) struct LabelStream {
    shards: Shards,
    position: u64,
    /// Nothing is read ahead from here on.
    end: u64,
    epoch: EpochOrder,
    current: PartialWindow,
    next: Option<PartialWindow>,
}

impl LabelStream {
    /// Starts after the first `position` sequences, which are neither read nor decoded, except for the window
    /// in which it starts. Once `stop` is set, it ends as soon as it can.
    pub(super) fn new(labels: LabelSource, position: u64, end: u64, stop: Arc<AtomicBool>) -> Self {
        let order = &labels.inner.order;
        let epoch = order.epoch(position / order.n_rows);
        let window = order.window(&epoch, position % order.n_rows);
        LabelStream {
            shards: Shards::new(labels, stop),
            position,
            end,
            epoch,
            current: PartialWindow::new(window),
            next: None,
        }
    }

    /// The next sequence.
    ///
    /// # Errors
    /// A damaged shard.
    pub(super) fn next_example(&mut self) -> Result<Example, DataError> {
        if self.position == self.current.window.end() {
            let next = self.next.take();
            self.current = next.unwrap_or_else(|| self.window_at(self.position));
        }
        // Reads the whole window at the start; later windows have been read ahead.
        let n_groups = self.current.window.groups.len();
        self.current.fill(n_groups, &mut self.shards);
        let example = self.current.take(self.position)?;
        self.position += 1;
        self.read_ahead();
        Ok(example)
    }

    fn window_at(&mut self, position: u64) -> PartialWindow {
        let order = &self.shards.labels.inner.order;
        if position / order.n_rows != self.epoch.epoch {
            self.epoch = order.epoch(position / order.n_rows);
        }
        PartialWindow::new(order.window(&self.epoch, position % order.n_rows))
    }

    /// Reads the next window to the extent that the current one is used up.
    fn read_ahead(&mut self) {
        let (start, end) = (self.current.window.end(), self.end);
        if start >= end {
            return;
        }
        let mut next = match self.next.take() {
            Some(next) => next,
            None => self.window_at(start),
        };
        let n_given = self.position - self.current.window.first_position;
        let n_groups = next.window.groups.len() as u64;
        let wanted = (n_given * n_groups).div_ceil(self.current.window.n_rows);
        next.fill(wanted as usize, &mut self.shards);
        self.next = Some(next);
    }
}
