//! The on-disk contract: plan, shards, sidecars, manifest.
//!
//! ```text
//! plan.json                      what is labelled, how, and which rows go into which row group
//! plan-00001.json                an extension by another range; else the same plan
//! scores/part-00000.parquet      one row a sequence, scalars only
//! positions/part-00000.parquet   one row a sequence, lists over its positions
//! part-00000.json                sidecar: rows, hashes, runtime. No sidecar = not done
//! selection.parquet              where only a selection is labelled: which sequences it keeps
//! manifest.json                  all sidecars together; appears last
//! README.md                      what the labels are, for people and for `datasets`; with the manifest
//! tokenizer.json                 where one was at hand
//! ```
//!
//! A plan is immutable and decides everything: which sequence is which row of which row group is
//! arithmetic over it ([`Plan::slot_of`]), so tasks share nothing else. Row order is that of a
//! seeded permutation ([`Permutation`]), or of the corpus. A shard appears whole: both files are
//! written as locked temporaries, checked, and published scores first, then positions, then the
//! sidecar, each by create-if-absent. The same rows make the same bytes, so whoever comes second
//! finds its own file there.
//!
//! Every invariant of a row (`check`) is asserted before it is written and again, as a typed
//! error, after it is read. `columns` is the one table of names, types, units and encodings.
//!
//! Invariant: this room knows nothing of models or corpora, only of what a plan says of them.

mod card;
mod check;
mod columns;
mod decode;
mod describe;
mod encode;
mod error;
mod finalize;
mod json;
mod label_set;
mod layout;
mod manifest;
mod names;
mod permutation;
mod place;
mod plan;
mod properties;
mod reader;
mod row;
mod row_fault;
mod row_groups;
mod score_reader;
mod selection;
mod seq_ids;
mod sidecar;
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
pub use error::ShardsError;
pub use finalize::finalize;
pub use label_set::{LabelSet, Opened, Outcome};
pub use layout::{DEFAULT_SHARD_BYTES, DEFAULT_ZSTD_LEVEL, Slot, encoded_bytes_per_target};
pub use manifest::{Manifest, ManifestSegment};
pub use names::{CARD_NAME, MANIFEST_NAME, SELECTION_NAME, TOKENIZER_NAME};
pub use permutation::Permutation;
pub use plan::{
    Attention, ENGINE_FEATURE, FORMAT_VERSION, FieldDifference, Group, IMPOSSIBLE_TARGETS_FEATURE,
    KNOWN_FEATURES, Layout, Plan, PlanCorpus, PlanEngine, PlanFile, PlanSamples, PlanSelection,
    PlanSequences, PlanSignals, PlanTeacher, PlanTokenizer, Positions, SAMPLES_FEATURE, SCORE_K,
    SELECTION_FEATURE,
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
pub use sidecar::{RuntimeStamp, ShardState, Sidecar, SidecarFile, check_finished, check_size};
pub use verify::{Finding, VerifyOptions, VerifyProgress, VerifyReport, verify_files};
pub use writer::ShardWriter;
