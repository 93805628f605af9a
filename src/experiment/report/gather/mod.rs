//! What is on disk, as plain data: curves of the runs, scores, and passages of text.

mod curves;
mod passages;
mod scores;
mod selection;
mod teacher;
mod variance;
mod warnings;

pub(super) use curves::{ArmCurve, CurvePoint, Gathered, gather_runs};
pub(super) use passages::{Passage, passages};
#[cfg(test)]
pub(super) use scores::Scored;
pub(super) use scores::{ScoreBins, score_bins, scored_sequences};
pub(super) use selection::{SelectionRows, read_selection};
pub(super) use teacher::{TeacherNotes, teacher_notes};
pub(super) use variance::ArmVariance;
pub(super) use warnings::warnings;
