//! `saltworks report`: a label set as one page.

use crate::common::arguments::{Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::print::{self, out};
use crate::common::progress::Display;
use crate::stats::n_targets;
use saltworks::shards::LabelSet;
use saltworks::view::report::{PageInputs, write_label_page};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks report labels
  saltworks report labels --held-out labels-held-out --output labels.html";

/// Write a page about a label set: one HTML file that opens from disk.
///
/// It shows what `stats` prints as figures, some sequences with the probability of each token, how the labels were
/// made and, at the top, what to know before using them. Every figure comes with its numbers as CSV.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of labels, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    /// The file, or a directory for report.html. Default: the directory of the labels.
    #[arg(long, help_heading = OUTPUT, short, value_name = "FILE|URL")]
    output: Option<PathBuf>,
    /// Labels by the same teacher of text that it was not trained on, for bounds on its divergence from the data.
    #[arg(long, help_heading = "What is shown", value_name = "LABELS|URL")]
    held_out: Option<PathBuf>,
    /// A selection of these sequences, shown in the histogram of the scores.
    #[arg(long, help_heading = "What is shown", value_name = "FILE|URL")]
    selection: Option<PathBuf>,
    /// The tokenizer.json that the tokens were made with. Default: the one next to plan.json; without one, ids are
    /// shown.
    #[arg(long, help_heading = "What is shown", value_name = "FILE|URL")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let set = LabelSet::open(&args.labels)?;
    let inputs = PageInputs {
        tokenizer: args.tokenizer,
        held_out: args.held_out,
        selection: args.selection,
        overwrite: args.overwrite.overwrite,
    };
    let display = Display::new(n_targets(&set), "targets");
    let written = write_label_page(&set, args.output.as_deref(), &inputs, |n| display.at(n));
    display.finish();
    let written = written?;
    let page = written.page.display().to_string();
    if args.json.is_asked {
        print::json(
            &serde_json::json!({ "page": page, "warnings": written.warnings }),
            true,
        )?;
        return Ok(());
    }
    print::notes(&written.warnings);
    out!("{page}");
    Ok(())
}
