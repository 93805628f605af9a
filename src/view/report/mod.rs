//! A label set as one page, and the parts of it that an experiment's report shows too.
//!
//! ```text
//! shards ─collect─▶ stats, figures of the teacher ─┐
//! scores, selection ───────────────────────────────┼─▶ sections ─▶ report.html
//! documents ───────────────────────────────────────┤
//! a few rows, tokenizer ───────────────────────────┘
//! ```

mod collect;
mod distributions;
mod documents;
mod documents_section;
mod facts;
mod histogram;
mod label_page;
mod passages;
mod scores;
mod selection;
mod teacher;
mod text;

pub use label_page::{LabelPage, PageInputs, write_label_page};
pub use passages::matching_tokenizer;

pub use collect::collect_labels;
#[cfg(feature = "train")]
pub(crate) use {
    facts::label_facts,
    passages::{Passage, passages},
    scores::{score_figure, scored_sequences},
    selection::{SelectionRows, read_selection},
    teacher::{TeacherNotes, teacher_figure, teacher_notes, teacher_text},
    text::text_section,
};
