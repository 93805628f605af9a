//! A whole picture, and how its panels are laid out.

use super::legend::{self, Entry};
use super::palette::Paint;
use super::panel::Panel;
use super::svg::{Anchor, Svg, TITLE_SIZE};

/// From this width in points, panels are side by side.
const WIDE: f64 = 600.0;
const GAP: f64 = 14.0;
const TITLE_HEIGHT: f64 = 34.0;

/// A picture, which has no size until drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Picture {
    pub(crate) title: Option<String>,
    pub(crate) legend: Vec<Entry>,
    /// The panels of a row are side by side if there is room, at most as wide as those of the first row.
    pub(crate) rows: Vec<Vec<Panel>>,
}

impl Picture {
    /// Without a title.
    pub(crate) fn of(legend: Vec<Entry>, rows: Vec<Vec<Panel>>) -> Self {
        let title = None;
        Self {
            title,
            legend,
            rows,
        }
    }

    /// For a page, `width` points wide.
    pub(crate) fn inline(&self, width: f64, label: &str) -> String {
        self.draw(width).inline(label)
    }

    /// For a separate file, `width` points wide plus a margin, on light ground.
    pub(crate) fn standalone(&self, width: f64, label: &str) -> String {
        self.draw(width).standalone(label)
    }

    fn draw(&self, width: f64) -> Svg {
        let mut svg = Svg::new(width);
        let mut top = 0.0;
        if let Some(title) = &self.title {
            let style = (TITLE_SIZE, Paint::Ink);
            svg.text((width / 2.0, 12.0), Anchor::Middle, style, title, None);
            top = TITLE_HEIGHT;
        }
        top = legend::draw(&mut svg, top, &self.legend);
        let is_wide = width > WIDE;
        for row in &self.rows {
            let n_columns = if is_wide {
                row.len().max(self.rows[0].len()).max(1)
            } else {
                1
            };
            for panels in row.chunks(n_columns) {
                let column = (width + GAP) / n_columns as f64;
                let lefts = (0..).map(|i| f64::from(i) * column);
                let ends = panels.iter().zip(lefts).map(|(panel, left)| {
                    let sides = (left, left + column - GAP);
                    panel.draw(&mut svg, sides, top, panel.heights[usize::from(!is_wide)])
                });
                top = ends.fold(top, f64::max) + GAP;
            }
        }
        svg.height = (top - GAP).max(0.0);
        svg
    }
}
