//! The legend beneath the panels.

use super::canvas::{Anchor, Canvas, Drawn, GREY, INK, Spot};
use super::panel::Look;
use plotters::backend::DrawingBackend;
use plotters::drawing::DrawingAreaErrorKind;

const TEXT_SIZE: f64 = 14.0;
pub(super) const ROW_HEIGHT: f64 = 24.0;
/// Width of the sample of a line, with the room after it.
const SAMPLE: f64 = 34.0;
/// Room between columns.
const COLUMN_GAP: f64 = 28.0;
/// Longest text of an entry, characters.
const MAX_CHARS: usize = 72;

/// One line of the legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// `None` is the dashed grey of a change of stage.
    pub(super) look: Option<Look>,
    pub(super) text: String,
}

/// Entries in columns, as many as fit.
pub(super) struct Legend {
    entries: Vec<Entry>,
    column_width: f64,
    n_columns: usize,
}

impl Legend {
    /// Lays `entries` out over `width` points.
    pub(super) fn new<DB: DrawingBackend>(
        canvas: &Canvas<DB>,
        entries: Vec<Entry>,
        width: f64,
    ) -> Result<Self, DrawingAreaErrorKind<DB::ErrorType>> {
        let mut widest: f64 = 0.0;
        for entry in &entries {
            widest = widest.max(canvas.width(&shortened(&entry.text), TEXT_SIZE)?);
        }
        let column_width = SAMPLE + widest + COLUMN_GAP;
        let fitting = ((width + COLUMN_GAP) / column_width).max(1.0) as usize;
        Ok(Self {
            n_columns: fitting.min(entries.len().max(1)),
            entries,
            column_width,
        })
    }

    /// Points that it takes.
    pub(super) fn height(&self) -> f64 {
        self.entries.len().div_ceil(self.n_columns) as f64 * ROW_HEIGHT
    }

    /// Draws it from its top left corner, filling rows first.
    pub(super) fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        (left, top): Spot,
    ) -> Drawn<DB> {
        for (i, entry) in self.entries.iter().enumerate() {
            let x = left + (i % self.n_columns) as f64 * self.column_width;
            let y = top + ((i / self.n_columns) as f64 + 0.5) * ROW_HEIGHT;
            let ends = [(x, y), (x + SAMPLE - 8.0, y)];
            match entry.look {
                None => canvas.dashes(&ends, (5.0, 5.0), 0.0, GREY, 1.3)?,
                Some(look) if look.is_dashed => {
                    canvas.dashes(&ends, (7.0, 4.0), 0.0, look.color, 2.5)?;
                }
                Some(look) => canvas.line(&ends, look.color, 2.5)?,
            }
            let at = (x + SAMPLE, y);
            canvas.text(&shortened(&entry.text), at, Anchor::Left, TEXT_SIZE, INK)?;
        }
        Ok(())
    }
}

/// The end of a long text tells more than its beginning: it has the run's own name, and the value.
fn shortened(text: &str) -> String {
    let n_chars = text.chars().count();
    if n_chars <= MAX_CHARS {
        return text.to_owned();
    }
    let end: String = text.chars().skip(n_chars - MAX_CHARS + 3).collect();
    format!("...{end}")
}
