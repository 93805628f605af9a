//! What a report is made from beside the results, and what it leaves behind.

use crate::experiment::config::{ExperimentConfig, ReportConfig};
use std::path::PathBuf;

/// What a report may show beside the results. Everything but `root` may be left out, and its
/// section with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportInputs {
    /// The experiment's directory, from which the runs' directories are counted.
    pub root: PathBuf,
    /// Label sets and the like; its `prompt` is for whoever lets the models write.
    pub shown: ReportConfig,
    /// Directory of the teacher's own training run, which says what text that was on.
    pub teacher_run: Option<PathBuf>,
    /// Whether a report.html that is no report of this program may be replaced.
    pub overwrite: bool,
    /// What made all this, in order: name and value, such as versions and fingerprints.
    pub provenance: Vec<(String, String)>,
    /// The command lines that made it, in order.
    pub commands: Vec<String>,
}

impl ExperimentConfig {
    /// What its report is made from.
    pub fn report_inputs(&self) -> ReportInputs {
        ReportInputs {
            root: self.output.clone(),
            shown: self.report.clone(),
            overwrite: true,
            teacher_run: self.teacher.as_ref().map(|teacher| teacher.run.clone()),
            ..ReportInputs::default()
        }
    }
}

/// The files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.html`: opens from disk, with nothing beside it.
    pub page: PathBuf,
    /// Each figure as vectors and as pixels, in the order of the page.
    pub figures: Vec<PathBuf>,
    /// What is left out of the page and why, and what its numbers do not say, a sentence each.
    pub notes: Vec<String>,
}
