//! `saltworks filter`: the chosen documents, unchanged.

use super::tokenize::inputs::{FileArgs, print_notes};
use crate::common::arguments::{Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::print::{counted, out};
use crate::common::progress::{BYTES, Display};
use saltworks::corpus::{Compression, Tally};
use saltworks::filter::{DEFAULT_WEIGHTS_KEY, FilterOptions, Job, Request, Skipped, Summary};
use saltworks::interrupt::Interrupt;
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks filter --input corpus/*.jsonl.zst --corpus tokens --selection documents.parquet --output kept
  saltworks filter --input corpus.parquet --corpus tokens --selection documents.parquet --scores-key scores --weights --output weighted";

/// Write the chosen documents of a corpus, unchanged.
///
/// JSON lines are copied byte for byte, Parquet rows with all columns, text files whole, in their order, each
/// input into a file of the same name. The selection must be of documents (`select --by document`); the token
/// corpus records which record of which input each document is.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// Directory of the token corpus that `tokenize` made from these inputs.
    #[arg(long, help_heading = "Selection", value_name = "DIR")]
    corpus: PathBuf,
    /// The documents to keep: a file that `select --by document` wrote.
    #[arg(long, help_heading = "Selection", value_name = "FILE")]
    selection: PathBuf,
    /// Records that were skipped at tokenization: empty documents, bad lines, blank lines.
    #[arg(long, help_heading = "Selection", value_enum, default_value_t)]
    skipped: Skipped,
    /// Directory for the outputs. Outputs that a stopped run of the same command finished are kept, and it resumes after them.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR")]
    output: PathBuf,
    /// Add the selection's scores to every document, under this key of its JSON object, or in a column of this name.
    #[arg(long, help_heading = OUTPUT, value_name = "NAME")]
    scores_key: Option<String>,
    /// Write all documents, with 1 for the chosen ones and 0 for the others under this key or in this column.
    #[arg(long, help_heading = OUTPUT, value_name = "NAME", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT_WEIGHTS_KEY)]
    weights: Option<String>,
    /// Compression of the outputs [default: that of each input]
    #[arg(long, help_heading = OUTPUT, value_enum, value_name = "NAME")]
    compression: Option<Compression>,
    #[command(flatten)]
    json: Json,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    output: &'a PathBuf,
    #[serde(flatten)]
    summary: &'a Summary,
}

pub(crate) fn run(args: Args) -> Result<()> {
    args.files.check_output(&args.output)?;
    let interrupt = crate::common::signals::interrupt()?;
    let found = args.files.find()?;
    let summary = filter_with_progress(args.request(found.paths), &interrupt)?;
    let output = &args.output;
    let report = Report {
        output,
        summary: &summary,
    };
    if !args.json.print(&report)? {
        summarize(&args, &summary);
    }
    print_notes(&found.left_out, &Tally::default());
    Ok(())
}

fn filter_with_progress(request: Request, interrupt: &Interrupt) -> Result<Summary> {
    let job = Job::open(request, interrupt)?;
    let display = Display::new(job.bytes_total(), BYTES);
    let summary = job.run(|n_bytes| display.at(n_bytes));
    display.finish();
    Ok(summary?)
}

impl Args {
    fn request(&self, inputs: Vec<PathBuf>) -> Request {
        Request {
            inputs,
            reading: self.files.reading(),
            corpus: self.corpus.clone(),
            selection: self.selection.clone(),
            output: self.output.clone(),
            options: FilterOptions {
                scores_key: self.scores_key.clone(),
                weights_key: self.weights.clone(),
                skipped: self.skipped,
                compression: self.compression,
            },
        }
    }
}

fn summarize(args: &Args, summary: &Summary) {
    let counts = &summary.counts;
    let share = 100.0 * counts.n_text_bytes_kept as f64 / counts.n_text_bytes.max(1) as f64;
    let skipped = match args.skipped {
        Skipped::Drop => "left out",
        Skipped::Keep => "kept as they are",
    };
    let lines = [
        ("documents", counts.n_documents.to_string()),
        (
            "kept",
            format!("{}, {share:.1}% of the bytes of text", counts.n_kept),
        ),
        ("written", counts.n_written.to_string()),
        ("skipped", format!("{}, {skipped}", counts.n_skipped)),
        (
            "bytes",
            format!("{} in, {} out", counts.n_bytes_in, counts.n_bytes_out),
        ),
        ("files", files_text(summary)),
        ("output", args.output.display().to_string()),
    ];
    for (name, value) in lines {
        out!("{name:<12} {value}");
    }
}

fn files_text(summary: &Summary) -> String {
    let files = counted(summary.n_files, "file");
    match summary.n_files_done_before {
        0 => files,
        n => format!("{files}, {n} of them already done"),
    }
}
