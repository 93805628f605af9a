//! The file format of label sets: plan, shards, sidecars, manifest.
//!
//! ```text
//! plan.json                      what is labelled, how, and which rows go into which row group
//! plan-00001.json                the same plan for another range, if the set was extended
//! scores/part-00000.parquet      one row per sequence, scalars only
//! positions/part-00000.parquet   one row per sequence, lists over its positions
//! part-00000.json                sidecar: rows, hashes, runtime; a shard without one is unfinished
//! selection.parquet              the labelled sequences, if only a selection is labelled
//! manifest.json                  all sidecars together; written last
//! documents/                     sums and means of each document; written after the manifest
//! README.md                      describes the labels for people and for `datasets`; written with the manifest
//! tokenizer.json                 a copy of the tokenizer, if there is one
//! ```
//!
//! A plan never changes and determines everything: the row group and row of a sequence are computed from it
//! ([`Plan::slot_of`]), so tasks share nothing else. Rows are in the order of a seeded permutation ([`Permutation`]),
//! or of the corpus. A shard appears only when it is complete: both files are written as locked temporaries and
//! checked; then the scores, the positions and the sidecar are published in this order, each only if it does not exist.
//! The same rows give the same bytes, so a second task that makes the same shard finds the bytes that it would have
//! written.
//!
//! Every invariant of a row (`check`) is asserted before the row is written, and checked again, with a
//! typed error, after it is read. `columns` is the only table of names, types, units and encodings.
//!
//! Invariant: this room knows models and corpora only from what a plan says about them.

mod card;
mod check;
mod columns;
mod decode;
mod describe;
mod documents;
mod encode;
mod error;
mod finalize;
mod json;
mod label_set;
mod layout;
mod manifest;
mod names;
mod permutation;
mod piece;
mod place;
mod plan;
mod properties;
mod reader;
mod row;
mod row_fault;
mod score_reader;
mod seal;
mod selection;
mod seq_ids;
mod sidecar;
mod status;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod validate;
mod verify;
mod writer;

pub use card::{CardState, card_state};
pub use columns::ScoreId;
pub use describe::{ColumnDescription, describe_columns};
pub(crate) use documents::DocumentSelectionWriter;
pub use documents::{
    CorpusSpelling, DOCUMENT_SELECTION_VERSION, DocumentRow, DocumentRows, DocumentScore,
    DocumentSelection, DocumentSelectionHead, DocumentsIndex, DocumentsOutcome, DocumentsPart,
    ListedDocuments, SelectedDocument, open_documents, write_documents,
};
pub use error::ShardsError;
pub use finalize::finalize;
pub use label_set::{LabelSet, Opened, Outcome};
pub use layout::{DEFAULT_SHARD_BYTES, DEFAULT_ZSTD_LEVEL, Slot, encoded_bytes_per_target};
pub use manifest::{Manifest, ManifestSegment};
pub use names::{CARD_NAME, MANIFEST_NAME, SELECTION_NAME, TOKENIZER_NAME};
pub use permutation::Permutation;
pub use piece::{Piece, piece_ranges};
pub use plan::{
    Attention, ENGINE_FEATURE, FORMAT_VERSION, FieldDifference, Group, IMPOSSIBLE_TARGETS_FEATURE,
    KNOWN_FEATURES, Layout, Plan, PlanCheckpoint, PlanCorpus, PlanEngine, PlanFile, PlanSamples,
    PlanSelection, PlanSequences, PlanSignals, PlanTeacher, PlanTokenizer, Positions,
    SAMPLES_FEATURE, SCORE_K, SELECTION_FEATURE,
};
pub use reader::ShardReader;
pub use row::Row;
pub use row_fault::RowFault;
pub use score_reader::{ScoreColumns, ScoreReader};
pub(crate) use selection::SelectionWriter;
pub use selection::{
    LABELS_FINGERPRINT_KEY, POLICY_KEY, Provenance, SELECTION_VERSION, Selection, SelectionColumn,
    SelectionHead, SelectionRow, VIEW_FINGERPRINT_KEY, ViewIdentity, check_view,
    describe_selection, is_of_labels, is_selection, labels_fingerprint, read_selection_rows,
};
pub use seq_ids::{SeqIdOrder, SeqIdSet};
#[cfg(feature = "train")]
pub(crate) use sidecar::expect_equal;
pub use sidecar::{
    RuntimeStamp, ShardState, Sidecar, SidecarFile, check_all_finished, check_finished, check_size,
};
pub use status::{Pace, SetStatus, ShardRange};
pub use verify::{Finding, VerifyOptions, VerifyProgress, VerifyReport, verify_files};
pub use writer::ShardWriter;
