//! `saltworks-train report`: an experiment as one page.

use super::samples;
use crate::common::arguments::{Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::invocation;
use crate::common::print::{self, out};
use saltworks::experiment::ReportConfig;
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
    #[command(flatten)]
    shown: ReportConfig,
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
    crate::common::signals::end_on_signal()?;
    let results = read_results(&args.experiment)?;
    if args.samples.prompt.is_some() {
        samples::write(&args.experiment, &results, &args.samples)?;
        invocation::record(&args.experiment);
    }
    let output = args.output.unwrap_or_else(|| args.experiment.clone());
    let inputs = ReportInputs {
        root: args.experiment,
        shown: args.shown,
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
    print::notes(&written.notes);
    out!("{}", written.page.display());
    Ok(())
}
