//! What labels say of their teacher.

use crate::bounds::{HeldOut, TeacherFigures, compare_held_out, teacher_figures};
use crate::experiment::report::error::ReportError;
use crate::shards::LabelSet;
use std::path::Path;

/// The teacher on the text that was labelled, and on text that is new to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TeacherNotes {
    pub(crate) labelled: TeacherFigures,
    pub(crate) held_out: Option<HeldOut>,
}

impl TeacherNotes {
    /// Of the text on which bounds hold, where it is there.
    pub(crate) fn best(&self) -> &TeacherFigures {
        let held_out = self.held_out.as_ref().map(|held_out| &held_out.figures);
        held_out.unwrap_or(&self.labelled)
    }
}

/// Reads all finished labels of `set`, and of `held_out`.
pub(crate) fn teacher_notes(
    set: &LabelSet,
    held_out: Option<&Path>,
) -> Result<TeacherNotes, ReportError> {
    let labelled = teacher_figures(set, None, |_| {})?;
    let held_out = match held_out {
        None => None,
        Some(dir) => {
            let other = LabelSet::open(dir)?;
            let figures = teacher_figures(&other, None, |_| {})?;
            Some(compare_held_out(set, &labelled, &other, figures)?)
        }
    };
    Ok(TeacherNotes { labelled, held_out })
}
