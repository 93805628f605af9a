//! Writes the chosen documents of a corpus unchanged: every byte of a JSON line, every column of a Parquet row.
//!
//! The token corpus records which record of which input each document is (`documents.parquet`), and the selection which
//! documents are kept. The inputs are read again, by the same code that read them for tokenizing (`corpus`), and their
//! records are copied or dropped in order:
//!
//! | input | output |
//! | --- | --- |
//! | JSON lines | the lines, byte for byte, compressed as the input is; keys may be added before the last brace |
//! | Parquet | all columns, the schema and the key-value metadata; columns may be added; row groups of at most as many rows as the input's largest |
//! | text | the file, byte for byte |
//!
//! An output has its input's name and its path relative to the common folder of all inputs, below `--output`. Each is
//! written under a temporary name and published whole. `_filter/` next to them has the plan (`plan.json`) and one
//! small file for every finished output, so that a killed run resumes after the last whole file. Folders of that name
//! are skipped when a folder is read as input.
//!
//! Memory is bounded by the longest line, or by the kept rows and the column chunks of one row group.
//!
//! Invariant: a kept record is copied, never parsed and written again.

mod choices;
mod columns;
mod compress;
mod counts;
mod error;
mod file;
mod inputs;
mod lines;
mod members;
mod options;
mod plan;
mod rows;
mod run;
mod schema;
mod text;

#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use error::FilterError;
pub use options::{DEFAULT_WEIGHTS_KEY, FilterOptions, Request, Skipped};
pub use run::{Job, Summary};
