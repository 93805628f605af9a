//! A report's inputs besides the results, and its output files.

use crate::experiment::config::{ExperimentConfig, ReportConfig};
use std::path::PathBuf;

/// What a report may show besides the results. Everything but `root` is optional; without it its section is
/// omitted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportInputs {
    /// The experiment's directory, to which the runs' directories are relative.
    pub root: PathBuf,
    /// Label sets and the like; `prompt` is not used here, only to generate samples.
    pub shown: ReportConfig,
    /// Directory of the teacher's own training run, which records its training text.
    pub teacher_run: Option<PathBuf>,
    /// Whether to replace a report.html that is not a report of this program.
    pub overwrite: bool,
    /// Provenance, in order: name and value, such as versions and fingerprints.
    pub provenance: Vec<(String, String)>,
    /// The command lines that made it, in order.
    pub commands: Vec<String>,
}

impl ExperimentConfig {
    /// Inputs of its report.
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
    /// `report.html`, a self-contained file.
    pub page: PathBuf,
    /// Each figure as SVG and as PNG, in the order of the page.
    pub figures: Vec<PathBuf>,
    /// What the page omits and why, and what its numbers do not show, one sentence each.
    pub notes: Vec<String>,
}
