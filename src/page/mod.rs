//! Pages: single HTML files that need nothing else.
//!
//! ```text
//! Page = kind + title + facts + sections ─html─▶ report.html (figures inline, no network)
//! ```
//!
//! Style and script are in the page itself, which is complete without the script. No attribute has an address
//! that a browser would load, and the page's Content-Security-Policy forbids loading, and any script but its
//! own. All text is escaped, since names and tokens may contain anything.

mod error;
mod figure;
mod file;
mod html;
mod numbers;
mod table;

pub use error::PageError;
pub(crate) use figure::{Figure, WIDE};
pub(crate) use file::{PAGE_NAME, check_replaceable, replace};
pub(crate) use html::{
    NONE, Page, Section, arm_name, cells, escape, facts, list, or_none, paragraph, tiles,
    value_cell, warnings,
};
pub use numbers::grouped;
pub(crate) use numbers::{duration, fixed, mean, percent, short, signed, uppercase_first};
pub(crate) use table::{Data, or_empty, table};
