//! A selection: the sequences for stage 1, as one Parquet file. `format` has its columns and version, `write` and
//! `rows` are the writer and the reader.
//!
//! ```text
//! seq_id u64, score f64 or null, rank u64 or null (0 = best by the policy), kept bool
//! ```
//!
//! One row per sequence, by increasing `seq_id`. Readers need only `seq_id`, of any integer type, and `kept` unless
//! every row is kept; they ignore other columns and accept rows in any order. A sequence that is not listed is not
//! kept. The file contains its own checksum (`seal`). The key-value metadata records what it was made from:
//! `LABELS_FINGERPRINT_KEY` the labels whose scores were read, and `VIEW_FINGERPRINT_KEY` the sequences themselves
//! (`ViewIdentity`): the same corpus divided in the same way has the same `seq_id`s whoever labels it, so a selection
//! by the scores of an early checkpoint is valid for labels of the final one.

mod format;
mod kept;
mod provenance;
mod rows;
mod view;
mod write;

pub(super) use format::{FILE_KEY, KEPT, SCORE, VERSION_KEY};
pub use format::{
    LABELS_FINGERPRINT_KEY, POLICY_KEY, SELECTION_VERSION, SelectionColumn, SelectionHead,
    SelectionRow, VIEW_FINGERPRINT_KEY, describe_selection,
};
pub use kept::Selection;
pub(super) use kept::{attach, copy_into};
pub use provenance::{Provenance, is_of_labels, labels_fingerprint};
pub use rows::{is_selection, read_selection_rows};
pub use view::{ViewIdentity, check_view};
pub(crate) use write::SelectionWriter;
