//! A figure with its caption: what it shows, what it does not, and its numbers.

use super::html::escape;
use super::numbers::lowercase_first;
use super::table::Data;
use crate::figure::Picture;

/// Width of a figure in a wide window and in a file, in points.
pub(crate) const WIDE: f64 = 1000.0;
/// Width of a figure on a phone, in points.
const NARROW: f64 = 360.0;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// Base name of its files.
    pub(crate) name: &'static str,
    /// One line for screen readers.
    pub(crate) label: String,
    pub(crate) picture: Picture,
    /// What is shown.
    pub(crate) shows: String,
    /// What it does not show.
    pub(crate) caveats: String,
    pub(crate) data: Data,
}

impl Figure {
    /// Drawn for a wide window and for a phone, with its caption.
    pub(crate) fn html(&self) -> String {
        let label = &self.label;
        format!(
            "<figure>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n\
             <figcaption><p>{}</p><p><b>Not shown:</b> {}</p><p>Numbers: {}</p></figcaption>\n</figure>\n",
            self.picture.inline(WIDE, label),
            self.picture.inline(NARROW, label),
            escape(&self.shows),
            escape(&lowercase_first(&self.caveats)),
            self.data.link(&format!("{}.csv", self.name)),
        )
    }
}
