//! Which labelled sequences are used: all, or those that a selection keeps.
//!
//! A selection is one Parquet file with the columns `seq_id` (u64) and `kept` (bool), of which
//! others are ignored, and with `saltworks.labels_fingerprint` in its key-value metadata: that of
//! the labels that it was made from ([`labels_fingerprint`]); one without it is taken, with a note.
//! Labelled sequences that it does not list are not kept.

use super::DataError;
use crate::shards::{LabelSet, Plan};
use crate::storage::{self, StorageError};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Metadata key of the labels that a selection was made from.
pub const LABELS_FINGERPRINT_KEY: &str = "saltworks.labels_fingerprint";
const BATCH_ROWS: usize = 1 << 16;

/// One identity for all labels of a directory: `blake3:` and 64 hex digits over the fingerprints
/// of its plans, in their order. An extension by another range makes it another one.
pub fn labels_fingerprint(set: &LabelSet) -> String {
    let plans: Vec<String> = set.segments.iter().map(Plan::fingerprint).collect();
    storage::fingerprint_of(plans.iter().map(String::as_str))
}

/// A set of sequence numbers below a bound, a bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeqIdSet {
    words: Vec<u64>,
    n: u64,
}

impl SeqIdSet {
    pub(super) fn below(bound: u64) -> Self {
        SeqIdSet {
            words: vec![0; bound.div_ceil(64) as usize],
            n: 0,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.n
    }

    /// Whether it is inside; nothing past the bound is.
    pub(super) fn contains(&self, seq_id: u64) -> bool {
        let word = self.words.get((seq_id / 64) as usize);
        word.is_some_and(|word| word >> (seq_id % 64) & 1 == 1)
    }

    /// BLAKE3 of the bits, 64 hex digits.
    pub(super) fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for word in &self.words {
            hasher.update(&word.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Adds one that is below the bound; false if it was there.
    pub(super) fn insert(&mut self, seq_id: u64) -> bool {
        let word = &mut self.words[(seq_id / 64) as usize];
        let is_new = *word >> (seq_id % 64) & 1 == 0;
        *word |= 1 << (seq_id % 64);
        self.n += u64::from(is_new);
        is_new
    }
}

/// What a selection says.
#[derive(Debug)]
pub(super) struct Selection {
    /// The sequences that it keeps.
    pub(super) kept: SeqIdSet,
    /// Whether it names the labels that it was made from.
    pub(super) names_labels: bool,
}

/// The selection at `path`, which is one of `set`.
pub(super) fn read_selection(path: &Path, set: &LabelSet) -> Result<Selection, DataError> {
    let file = File::open(path).map_err(|source| StorageError::io("read", path, source))?;
    // Asserts of the Parquet decoder panic on some damaged files.
    let read = catch_unwind(AssertUnwindSafe(|| read_file(path, file, set)));
    read.unwrap_or_else(|_| {
        Err(DataError::SelectionParquet {
            path: path.to_path_buf(),
            source: ParquetError::General("the decoder gave up".to_owned()),
        })
    })
}

fn read_file(path: &Path, file: File, set: &LabelSet) -> Result<Selection, DataError> {
    let parquet = |source| DataError::SelectionParquet {
        path: path.to_path_buf(),
        source,
    };
    let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, as_stored).map_err(parquet)?;
    let names_labels = names_labels(path, &builder, set)?;
    let mut roots = Vec::new();
    for (name, data_type) in [("seq_id", DataType::UInt64), ("kept", DataType::Boolean)] {
        let Some((root, field)) = builder.schema().fields().find(name) else {
            return Err(fault(path, format!("the column {name} is not there")));
        };
        if *field.data_type() != data_type {
            let got = field.data_type();
            return Err(fault(
                path,
                format!("the column {name} is {got}, expected {data_type}"),
            ));
        }
        roots.push(root);
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batches = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(parquet)?;
    let bound = set.segments.iter().map(|plan| plan.sequences.end).max();
    let mut rows = Rows {
        path,
        set,
        listed: SeqIdSet::below(bound.unwrap_or(0)),
        kept: SeqIdSet::below(bound.unwrap_or(0)),
    };
    for batch in batches {
        rows.push(&batch.map_err(|error| parquet(error.into()))?)?;
    }
    Ok(Selection {
        kept: rows.kept,
        names_labels,
    })
}

/// Whether the file names its labels, which are then these.
fn names_labels(
    path: &Path,
    builder: &ParquetRecordBatchReaderBuilder<File>,
    set: &LabelSet,
) -> Result<bool, DataError> {
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let entry = entries
        .into_iter()
        .flatten()
        .find(|entry| entry.key == LABELS_FINGERPRINT_KEY);
    let Some(entry) = entry else {
        return Ok(false);
    };
    let expected = labels_fingerprint(set);
    let got = entry.value.clone().unwrap_or_default();
    if got == expected {
        return Ok(true);
    }
    Err(DataError::SelectionOfOthers {
        path: path.to_path_buf(),
        expected,
        got,
    })
}

struct Rows<'a> {
    path: &'a Path,
    set: &'a LabelSet,
    listed: SeqIdSet,
    kept: SeqIdSet,
}

impl Rows<'_> {
    fn push(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        let seq_ids = batch.column_by_name("seq_id").and_then(|column| {
            column
                .as_primitive_opt::<UInt64Type>()
                .filter(|column| column.null_count() == 0)
        });
        let kept = batch.column_by_name("kept").and_then(|column| {
            column
                .as_boolean_opt()
                .filter(|column| column.null_count() == 0)
        });
        let (Some(seq_ids), Some(kept)) = (seq_ids, kept) else {
            return Err(fault(self.path, "seq_id or kept has nulls".to_owned()));
        };
        for (&seq_id, is_kept) in seq_ids.values().iter().zip(kept.values()) {
            self.push_row(seq_id, is_kept)?;
        }
        Ok(())
    }

    fn push_row(&mut self, seq_id: u64, is_kept: bool) -> Result<(), DataError> {
        if self.set.segment_of_sequence(seq_id).is_none() {
            let dir = self.set.dir.display();
            return Err(fault(
                self.path,
                format!("it lists seq_id {seq_id}, which {dir} has no labels of"),
            ));
        }
        if !self.listed.insert(seq_id) {
            return Err(fault(
                self.path,
                format!("it lists seq_id {seq_id} more than once"),
            ));
        }
        if is_kept {
            self.kept.insert(seq_id);
        }
        Ok(())
    }
}

fn fault(path: &Path, reason: String) -> DataError {
    DataError::Selection {
        path: path.to_path_buf(),
        reason,
    }
}
