//! All that a page shows.

use super::super::compare::Comparison;
use super::super::figure::Figure;
use super::super::gather::{Passage, TeacherNotes};
use super::super::inputs::ReportInputs;

/// All that a page shows.
pub(in crate::experiment::report) struct Contents<'a> {
    pub(in crate::experiment::report) comparison: &'a Comparison<'a>,
    pub(in crate::experiment::report) inputs: &'a ReportInputs,
    /// Over steps, tokens and time, those that there are.
    pub(in crate::experiment::report) curves: Vec<Figure>,
    pub(in crate::experiment::report) gap: Option<Figure>,
    pub(in crate::experiment::report) finals: Option<Figure>,
    pub(in crate::experiment::report) shares: Option<Figure>,
    pub(in crate::experiment::report) buckets: Option<Figure>,
    pub(in crate::experiment::report) variance: Option<Figure>,
    pub(in crate::experiment::report) bounds: Option<Figure>,
    pub(in crate::experiment::report) scores: Option<Figure>,
    pub(in crate::experiment::report) teacher: Option<TeacherNotes>,
    pub(in crate::experiment::report) passages: Vec<Passage>,
    /// What the labels and the selection say of how they were made.
    pub(in crate::experiment::report) facts: Vec<(String, String)>,
    /// What the numbers do not say, a sentence each.
    pub(in crate::experiment::report) warnings: Vec<String>,
    pub(in crate::experiment::report) notes: &'a [String],
}

impl Contents<'_> {
    /// All figures in the order of the page.
    pub(in crate::experiment::report) fn figures(&self) -> impl Iterator<Item = &Figure> {
        let others = [
            &self.finals,
            &self.shares,
            &self.gap,
            &self.buckets,
            &self.variance,
            &self.bounds,
            &self.scores,
        ];
        let others = others.into_iter().flatten();
        self.curves.iter().chain(others)
    }
}
