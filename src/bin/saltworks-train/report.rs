//! `saltworks-train report`: an experiment as one page.

use super::opened::end_when_interrupted;
use super::samples;
use crate::common::arguments::{Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::invocation;
use crate::common::print::{self, out, say};
use saltworks::experiment::report::{ReportInputs, read_results, write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks-train report experiment
  saltworks-train report experiment --prompt \"The sea\"
  saltworks-train report experiment --labels labels --tokenizer tokenizer.json --output page";

/// Write the report of an experiment: one HTML file that opens from disk, and its figures as SVG and PNG.
///
/// Sections without the inputs they need are left out. An experiment in progress is reported so
/// far.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of an experiment, with results.json.
    experiment: PathBuf,
    /// Labels whose scores, teacher, and with positions whose text, are shown.
    #[arg(long, help_heading = "What is shown", value_name = "DIR")]
    labels: Option<PathBuf>,
    /// The labels whose scores the selection was made from, where they are others.
    #[arg(long, help_heading = "What is shown", value_name = "DIR")]
    scores: Option<PathBuf>,
    /// The selection, shaded in the scores.
    #[arg(long, help_heading = "What is shown", value_name = "FILE")]
    selection: Option<PathBuf>,
    /// The tokenizer.json that the tokens were made with; without one, ids are shown.
    #[arg(
        long,
        help_heading = "What is shown",
        value_name = "FILE",
        requires = "labels"
    )]
    tokenizer: Option<PathBuf>,
    /// Labels by the same teacher of text that it was not trained on, for bounds on its divergence from the data.
    #[arg(
        long,
        help_heading = "What is shown",
        value_name = "DIR",
        requires = "labels"
    )]
    held_out: Option<PathBuf>,
    /// Where to; the experiment's own directory unless given.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    samples: samples::Options,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    end_when_interrupted()?;
    let results = read_results(&args.experiment)?;
    if args.samples.prompt.is_some() {
        samples::write(&args.experiment, &results, &args.samples)?;
        invocation::record(&args.experiment);
    }
    let output = args.output.unwrap_or_else(|| args.experiment.clone());
    let inputs = ReportInputs {
        root: args.experiment,
        labels: args.labels,
        scores: args.scores,
        selection: args.selection,
        tokenizer: args.tokenizer,
        held_out: args.held_out,
        overwrite: args.overwrite.overwrite,
        ..ReportInputs::default()
    };
    let written = write(&output, &results, &inputs)?;
    if args.json.is_asked {
        let page = written.page.display().to_string();
        let facts = serde_json::json!({ "page": page, "notes": written.notes });
        print::json(&facts, true)?;
        return Ok(());
    }
    for note in &written.notes {
        say!("note: {note}");
    }
    out!("{}", written.page.display());
    Ok(())
}
