//! Rows of one shard as given by an engine: a Parquet file of unrounded numbers.
//!
//! Columns are lists over the positions of a sequence: `target_logprob`, `target_rank`, `entropy` and
//! `score_topk_mass`, needed for the scores; `logsumexp` with the group `stats`; `topk_ids` and `topk_logprobs` (flat,
//! K each), `tail_mass` and `log_partition_0`, … (one per temperature) with `topk`; `sampled_ids`, `sampled_counts` and
//! `sample_offsets` with `samples`. Others are ignored.

use super::ImportError;
use crate::label::error::LabelError;
use crate::label::pieces::Labelled;
use crate::shards::{Group, Plan, Row};
use crate::signals::{PositionReduction, SequenceBuilder, SignalsConfig};
use crate::storage::{self, StorageError};
use crate::tokens::Sequence;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::ArrowNativeType;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file of one shard's rows.
pub(super) struct Staged<'a> {
    path: PathBuf,
    file: File,
    footer: ArrowReaderMetadata,
    plan: &'a Plan,
}

impl<'a> Staged<'a> {
    /// The file at `path`, which must have exactly `n_groups` row groups, as extra rows must not be ignored.
    pub(super) fn open(path: &Path, plan: &'a Plan, n_groups: usize) -> Result<Self, LabelError> {
        let file = storage::open_regular(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => {
                let expected = "a Parquet file with the rows of the shard";
                let got = format_args!("{}, which does not exist", path.display());
                LabelError::option("--rows", expected, got)
            }
            _ => StorageError::io("read", path, source).into(),
        })?;
        let footer = ArrowReaderMetadata::load(&file, Default::default());
        let footer = footer.map_err(|error| fault(path, error.to_string()))?;
        check_row_groups(path, footer.metadata().num_row_groups(), n_groups)?;
        Ok(Self {
            path: path.to_path_buf(),
            footer,
            file,
            plan,
        })
    }

    /// Row group `group`, which must have these sequences.
    pub(super) fn rows(
        &mut self,
        group: usize,
        sequences: Vec<Sequence>,
        signals: &SignalsConfig,
    ) -> Result<Vec<Row>, LabelError> {
        let batch = self.read(group, sequences.len())?;
        let columns = Columns::of(&batch, self.plan);
        let columns = columns.map_err(|reason| fault(&self.path, reason))?;
        let rows = sequences.into_iter().enumerate().map(|(row, sequence)| {
            let seq_id = sequence.seq_id;
            let made = columns.row(row, sequence, signals);
            made.map_err(|reason| {
                let reason =
                    format!("row {row} of row group {group} (sequence {seq_id}): {reason}");
                LabelError::from(fault(&self.path, reason))
            })
        });
        rows.collect()
    }

    fn read(&self, group: usize, n_rows: usize) -> Result<RecordBatch, LabelError> {
        let io = |source| StorageError::io("open", &self.path, source);
        let file = self.file.try_clone().map_err(io)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone());
        let damaged = |error: String| LabelError::from(fault(&self.path, error));
        // One row more than expected, so that a larger row group is not taken for a complete one.
        let builder = builder
            .with_row_groups(vec![group])
            .with_batch_size(n_rows + 1);
        let mut batches = builder
            .build()
            .map_err(|error| damaged(error.to_string()))?;
        let batch = batches.next().transpose();
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        let got = batch.as_ref().map_or(0, RecordBatch::num_rows);
        batch.filter(|_| got == n_rows).ok_or_else(|| {
            damaged(format!(
                "row group {group} has {got} rows, expected {n_rows}"
            ))
        })
    }
}

fn check_row_groups(path: &Path, got: usize, expected: usize) -> Result<(), ImportError> {
    match got == expected {
        true => Ok(()),
        false => Err(fault(
            path,
            format!("it has {got} row groups, expected the {expected} of the plan's shard"),
        )),
    }
}

fn fault(path: &Path, reason: String) -> ImportError {
    ImportError::Rows {
        path: path.to_path_buf(),
        reason,
    }
}

/// Values of one column, and where each row begins.
struct Lists<'a, T> {
    name: String,
    values: &'a [T],
    offsets: &'a [i32],
}

impl<'a, T: ArrowNativeType> Lists<'a, T> {
    fn of<P: ArrowPrimitiveType<Native = T>>(
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<Self, String> {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| format!("there is no column {name}"))?;
        let other = || {
            format!(
                "{name} is {}, expected a list of {}",
                column.data_type(),
                P::DATA_TYPE
            )
        };
        let lists = column.as_list_opt::<i32>().ok_or_else(other)?;
        let values = lists.values().as_primitive_opt::<P>().ok_or_else(other)?;
        if lists.null_count() > 0 || values.null_count() > 0 {
            return Err(format!("{name} has nulls, expected none"));
        }
        Ok(Self {
            name: name.to_owned(),
            values: values.values(),
            offsets: lists.offsets(),
        })
    }

    /// The list in one row, which must have `n_items` items.
    fn list(&self, row: usize, n_items: usize) -> Result<&'a [T], String> {
        let list = self.any_list(row);
        if list.len() == n_items {
            return Ok(list);
        }
        Err(format!(
            "{} has {} items, expected {n_items}",
            self.name,
            list.len()
        ))
    }

    fn any_list(&self, row: usize) -> &'a [T] {
        &self.values[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// The columns required by a plan.
struct Columns<'a> {
    vocab_size: u32,
    seq_ids: &'a [u64],
    target_logprob: Lists<'a, f64>,
    target_rank: Lists<'a, u32>,
    entropy: Lists<'a, f64>,
    score_topk_mass: Lists<'a, f64>,
    logsumexp: Option<Lists<'a, f64>>,
    topk: Option<TopkColumns<'a>>,
    samples: Option<SampleColumns<'a>>,
}

struct TopkColumns<'a> {
    k: usize,
    ids: Lists<'a, u32>,
    logprobs: Lists<'a, f32>,
    tail_mass: Lists<'a, f64>,
    log_partitions: Vec<Lists<'a, f64>>,
}

struct SampleColumns<'a> {
    ids: Lists<'a, u32>,
    counts: Lists<'a, u16>,
    offsets: Lists<'a, u32>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch, plan: &Plan) -> Result<Self, String> {
        let has = |group| plan.signals.has(group);
        let seq_ids = batch.column_by_name("seq_id");
        let seq_ids = seq_ids.and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let floats = |name: &str| Lists::of::<Float64Type>(batch, name);
        Ok(Self {
            vocab_size: plan.teacher.vocab_size,
            seq_ids: seq_ids
                .ok_or("there is no column seq_id of uint64")?
                .values(),
            target_logprob: floats("target_logprob")?,
            target_rank: Lists::of::<UInt32Type>(batch, "target_rank")?,
            entropy: floats("entropy")?,
            score_topk_mass: floats("score_topk_mass")?,
            logsumexp: has(Group::Stats).then(|| floats("logsumexp")).transpose()?,
            topk: has(Group::Topk)
                .then(|| TopkColumns::of(batch, plan))
                .transpose()?,
            samples: has(Group::Samples)
                .then(|| SampleColumns::of(batch))
                .transpose()?,
        })
    }

    fn row(&self, row: usize, sequence: Sequence, signals: &SignalsConfig) -> Result<Row, String> {
        if self.seq_ids[row] != sequence.seq_id {
            return Err(format!("it is sequence {}", self.seq_ids[row]));
        }
        let n_targets = sequence.input_ids.len().saturating_sub(1);
        let mut builder = SequenceBuilder::new(signals, n_targets);
        for position in self.positions(row, n_targets)? {
            builder.push(&position.reduction());
        }
        let labelled = Labelled::new(&sequence, builder.finish());
        Ok(labelled.into_row(sequence, true))
    }

    fn positions(&self, row: usize, n: usize) -> Result<Vec<Position<'a>>, String> {
        let target_logprob = self.target_logprob.list(row, n)?;
        let target_rank = self.target_rank.list(row, n)?;
        let entropy = self.entropy.list(row, n)?;
        let mass = self.score_topk_mass.list(row, n)?;
        let logsumexp = self
            .logsumexp
            .as_ref()
            .map(|lists| lists.list(row, n))
            .transpose()?;
        // Checked before they are stored as u16, where all larger ones are the same.
        if let Some(t) = target_rank.iter().position(|&rank| rank >= self.vocab_size) {
            return Err(format!(
                "target_rank is {} at position {t}, expected below the vocabulary, {}",
                target_rank[t], self.vocab_size
            ));
        }
        let of_position = |t: usize| Position {
            target_logprob: target_logprob[t],
            target_rank: target_rank[t],
            entropy: entropy[t],
            score_topk_mass: mass[t],
            logsumexp: logsumexp.map_or(0.0, |values| values[t]),
            ..Position::default()
        };
        let mut positions: Vec<Position<'a>> = (0..n).map(of_position).collect();
        if let Some(topk) = &self.topk {
            topk.fill(row, &mut positions)?;
        }
        if let Some(samples) = &self.samples {
            samples.fill(row, &mut positions)?;
        }
        Ok(positions)
    }
}

impl<'a> TopkColumns<'a> {
    fn of(batch: &'a RecordBatch, plan: &Plan) -> Result<Self, String> {
        let n_temperatures = plan.signals.temperatures.len();
        let partition = |x: usize| Lists::of::<Float64Type>(batch, &format!("log_partition_{x}"));
        Ok(Self {
            k: plan.signals.top_k as usize,
            ids: Lists::of::<UInt32Type>(batch, "topk_ids")?,
            logprobs: Lists::of::<Float32Type>(batch, "topk_logprobs")?,
            tail_mass: Lists::of::<Float64Type>(batch, "tail_mass")?,
            log_partitions: (0..n_temperatures)
                .map(partition)
                .collect::<Result<_, _>>()?,
        })
    }

    fn fill(&self, row: usize, positions: &mut [Position<'a>]) -> Result<(), String> {
        let (k, n) = (self.k, positions.len());
        let ids = self.ids.list(row, n * k)?;
        let logprobs = self.logprobs.list(row, n * k)?;
        let tail_mass = self.tail_mass.list(row, n)?;
        if let Some(at) = logprobs.iter().position(|logprob| logprob.is_nan()) {
            return Err(format!("topk_logprobs is NaN at position {}", at / k));
        }
        for (t, position) in positions.iter_mut().enumerate() {
            position.topk_ids = &ids[t * k..(t + 1) * k];
            position.topk_logprobs = &logprobs[t * k..(t + 1) * k];
            position.tail_mass = tail_mass[t];
        }
        for lists in &self.log_partitions {
            let values = lists.list(row, n)?;
            for (position, &value) in positions.iter_mut().zip(values) {
                position.log_partitions.push(value);
            }
        }
        Ok(())
    }
}

impl<'a> SampleColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        Ok(Self {
            ids: Lists::of::<UInt32Type>(batch, "sampled_ids")?,
            counts: Lists::of::<UInt16Type>(batch, "sampled_counts")?,
            offsets: Lists::of::<UInt32Type>(batch, "sample_offsets")?,
        })
    }

    fn fill(&self, row: usize, positions: &mut [Position<'a>]) -> Result<(), String> {
        let ids = self.ids.any_list(row);
        let counts = self.counts.list(row, ids.len())?;
        let offsets = self.offsets.list(row, positions.len() + 1)?;
        for (position, span) in positions.iter_mut().zip(offsets.windows(2)) {
            let span = span[0] as usize..span[1] as usize;
            let wrong = || format!("sample_offsets goes over {span:?} of {} ids", ids.len());
            position.sampled_ids = ids.get(span.clone()).ok_or_else(wrong)?;
            position.sampled_counts = &counts[span.clone()];
        }
        Ok(())
    }
}

/// One position before rounding.
#[derive(Default)]
struct Position<'a> {
    target_logprob: f64,
    target_rank: u32,
    entropy: f64,
    logsumexp: f64,
    score_topk_mass: f64,
    topk_ids: &'a [u32],
    topk_logprobs: &'a [f32],
    tail_mass: f64,
    log_partitions: Vec<f64>,
    sampled_ids: &'a [u32],
    sampled_counts: &'a [u16],
}

impl Position<'_> {
    fn reduction(&self) -> PositionReduction<'_> {
        PositionReduction {
            target_logprob: self.target_logprob,
            target_rank: self.target_rank,
            entropy: self.entropy,
            logsumexp: self.logsumexp,
            score_topk_mass: self.score_topk_mass,
            topk_ids: self.topk_ids,
            topk_logprobs: self.topk_logprobs,
            tail_mass: self.tail_mass,
            log_partitions: &self.log_partitions,
            sampled_ids: self.sampled_ids,
            sampled_counts: self.sampled_counts,
        }
    }
}
