//! Shows label sets to a person: decoded rows, drawn distributions.
//!
//! Rows: [`describe_row`] joins a stored row with its text into plain data that serialises to JSON;
//! [`render_row`] draws it for a terminal, with each token coloured by how surprising it was to the teacher.
//! Index t of a row's lists predicts the token at offset t + 1; here values are listed with the predicted
//! token, at its own offset.
//!
//! Distributions: [`StatsCollector`] takes rows one at a time and keeps fixed bins, so memory does not grow
//! with the set; means, minima and maxima are exact, quantiles to a bin's width.
//!
//! The text that this room returns is safe to print: control characters in the corpus are escaped, and the only
//! escape sequences are colours, which a writer such as `anstream` strips where they are not supported.

mod columns;
mod draw;
mod error;
mod histogram;
mod pieces;
pub mod report;
mod row;
mod row_text;
mod scores;
mod selection_text;
mod set;
mod stats;
mod stats_text;
mod surprise;
mod teacher_text;

pub use crate::page::{PageError, grouped};
pub use crate::visible::{is_unseen, printable, printable_but, printable_json};
pub use columns::{ColumnBytes, add_column_bytes};
pub use draw::{bar_lines, sparkline};
pub use error::ViewError;
pub use histogram::{Bar, Summary};

pub use pieces::{Span, pieces, spans};
pub use row::{
    Alternative, DocumentStart, Drawn, RowView, TokenNames, TokenView, coloured_text, describe_row,
};
pub use row_text::render_row;
pub use selection_text::{render_document_selection, render_selection};
pub use set::{ColumnCost, RowChoice, SetStats, collect_stats, read_row};
pub use stats::{Distribution, LabelStats, StatsCollector, TruncationLoss};
pub use stats_text::render_stats;
pub use surprise::{SURPRISE_LEGEND, Surprise};
pub use teacher_text::{render_held_out, render_teacher};
