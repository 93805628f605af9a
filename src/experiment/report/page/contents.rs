//! All that a page shows.

use super::super::compare::Comparison;
use super::super::gather::{History, Settings};
use super::super::inputs::ReportInputs;
use super::super::samples::Samples;
use crate::page::Figure;
use crate::view::report::{Passage, TeacherNotes};

/// All that a page shows.
pub(in crate::experiment::report) struct Contents<'a> {
    pub(in crate::experiment::report) comparison: &'a Comparison<'a>,
    pub(in crate::experiment::report) inputs: &'a ReportInputs,
    /// Existing figures.
    pub(in crate::experiment::report) figures: Vec<Figure>,
    pub(in crate::experiment::report) teacher: Option<TeacherNotes>,
    pub(in crate::experiment::report) passages: Vec<Passage>,
    pub(in crate::experiment::report) samples: Option<Samples>,
    pub(in crate::experiment::report) settings: Settings,
    /// The program calls that made it.
    pub(in crate::experiment::report) history: History,
    /// Facts about how the labels and the selection were made.
    pub(in crate::experiment::report) facts: Vec<(String, String)>,
    /// Reasons why the numbers may mislead, one sentence each.
    pub(in crate::experiment::report) warnings: Vec<String>,
    pub(in crate::experiment::report) notes: Vec<String>,
}

impl Contents<'_> {
    /// The figure of that name with its caption; empty if there is none.
    pub(super) fn figure(&self, name: &str) -> String {
        let mut figures = self.figures.iter();
        let found = figures.find(|figure| figure.name == name);
        found.map_or(String::new(), Figure::html)
    }
}
