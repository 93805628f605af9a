//! What a report is made from beside the results, and what it leaves behind.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a report may show beside the results. Everything but `root` may be left out, and its
/// section with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportInputs {
    /// The experiment's directory, from which the runs' directories are counted.
    pub root: PathBuf,
    /// A label set: its scores, and with positions its text.
    pub labels: Option<PathBuf>,
    /// Which sequences of the labels stage 1 saw.
    pub selection: Option<PathBuf>,
    /// The tokenizer.json of the labels; without it tokens are shown as ids.
    pub tokenizer: Option<PathBuf>,
    /// What the labels say of the teacher.
    pub teacher: Option<TeacherFigures>,
    /// What made all this, in order: name and value, such as versions and fingerprints.
    pub provenance: Vec<(String, String)>,
    /// The command lines that made it, in order.
    pub commands: Vec<String>,
}

/// What stored signals say of how far a teacher is from the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TeacherFigures {
    /// Overall first, then by bucket.
    pub bounds: Vec<TeacherBounds>,
    /// The teacher's NLL on texts, such as its own training text and text held out.
    pub nll: Vec<TeacherNll>,
}

/// Bounds on the divergence between the data's conditional P and the teacher's T, means over
/// positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherBounds {
    /// Which positions: `all`, `easy`, `medium`, `hard`.
    pub name: String,
    /// Positions.
    pub n_targets: u64,
    /// Total variation is at least this: | mean `[rank < k]` - mean top-k mass |.
    pub tv_lower: f64,
    /// Total variation is at most this: mean (1 - p of the target).
    pub tv_upper: f64,
    /// KL(P, T) is at least this, nats: 2 * `tv_lower`^2.
    pub kl_lower: f64,
    /// KL(P, T) is at most this, nats: the mean NLL, of which the data's entropy is the rest.
    pub kl_upper: f64,
}

/// The teacher's mean NLL on one text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherNll {
    /// Which text.
    pub name: String,
    /// Positions.
    pub n_targets: u64,
    /// Nats a token.
    pub nll: f64,
}

/// The files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.html`: opens from disk, with nothing beside it.
    pub page: PathBuf,
    /// Each figure as vectors and as pixels, in the order of the page.
    pub figures: Vec<PathBuf>,
    /// What is left out of the page and why, a sentence each.
    pub notes: Vec<String>,
}
