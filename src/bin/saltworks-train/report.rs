//! `saltworks-train report`: an experiment as one page.

use anyhow::Context;
use saltworks::experiment::report::{ReportInputs, TeacherFigures, read_results, write};
use std::path::{Path, PathBuf};

/// Write the report of an experiment: one HTML file that opens from disk, and its figures as SVG and PNG.
///
/// What is not given is left out of it. An experiment in progress is reported as far as it is.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of an experiment, with results.json.
    experiment: PathBuf,
    /// Labels whose scores, and with positions whose text, are shown.
    #[arg(long, value_name = "DIR")]
    labels: Option<PathBuf>,
    /// The selection of those labels, shaded in their scores.
    #[arg(long, value_name = "FILE", requires = "labels")]
    selection: Option<PathBuf>,
    /// The tokenizer.json that the tokens were made with; without one, ids are shown.
    #[arg(long, value_name = "FILE", requires = "labels")]
    tokenizer: Option<PathBuf>,
    /// What the labels say of the teacher, as JSON: `bounds` and `nll`.
    #[arg(long, value_name = "FILE")]
    teacher: Option<PathBuf>,
    /// Where to; the experiment's own directory unless given.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let results = read_results(&args.experiment)?;
    let output = args.output.unwrap_or_else(|| args.experiment.clone());
    let inputs = ReportInputs {
        root: args.experiment,
        labels: args.labels,
        selection: args.selection,
        tokenizer: args.tokenizer,
        teacher: args.teacher.as_deref().map(teacher_figures).transpose()?,
        ..ReportInputs::default()
    };
    let written = write(&output, &results, &inputs)?;
    for note in &written.notes {
        anstream::eprintln!("note: {note}");
    }
    anstream::println!("{}", written.page.display());
    Ok(())
}

fn teacher_figures(path: &Path) -> anyhow::Result<TeacherFigures> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} does not say what labels say of a teacher: expected JSON with `bounds` and `nll`",
            path.display()
        )
    })
}
