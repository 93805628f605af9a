//! Reads the runs' directories into plain data.

mod curves;
mod history;
mod settings;
mod variance;
mod warnings;

pub(super) use curves::{ArmCurve, CurvePoint, Gathered, gather_runs};
pub(super) use history::History;
pub(super) use settings::Settings;
pub(super) use variance::ArmVariance;
pub(super) use warnings::warnings;
