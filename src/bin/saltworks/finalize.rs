//! `saltworks finalize`.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{counted, out, say};
use indicatif::BinaryBytes;
use saltworks::label;
use saltworks::shards::{self, DocumentsOutcome};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Example:
  saltworks finalize labels";

/// Write the manifest of a label directory in which every shard is finished.
///
/// Also writes documents/: the sums and means of each document of the corpus over its labelled targets.
/// Their ids, files and bits per byte need the list of documents in the labelled corpus.
///
/// Also writes README.md, which describes the labels for people and for the `datasets` library. A
/// README.md that finalize did not write is left unchanged.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    /// Accept shards made by different runtimes: labels from other ONNX Runtime versions, providers
    /// or instruction sets differ in their last bits.
    #[arg(long, help_heading = "Checks")]
    allow_mixed_runtime: bool,
    /// The token corpus that was labelled. Default: the path in label.toml.
    #[arg(long, help_heading = "Documents", value_name = "PATH")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let finalized = label::finalize(
        &args.labels,
        args.allow_mixed_runtime,
        args.tokens.as_deref(),
    )?;
    let manifest = finalized.manifest;
    for note in &finalized.notes {
        say!("note: {note}");
    }
    if args.json.print(&manifest)? {
        return Ok(());
    }
    out!(
        "{}: {}, {}, {}, {}",
        args.labels.join(shards::MANIFEST_NAME).display(),
        counted(manifest.shards.len() as u64, "shard"),
        counted(manifest.n_rows, "sequence"),
        counted(manifest.n_targets, "target"),
        BinaryBytes(manifest.n_bytes),
    );
    if let DocumentsOutcome::Written(index) = &finalized.documents {
        let whole = match index.has_sources {
            true => format!(", {} of them labelled whole", index.n_whole),
            false => String::new(),
        };
        out!(
            "{}: {}{whole}",
            args.labels.join("documents").display(),
            counted(index.n_documents, "document")
        );
    }
    if shards::card_state(&args.labels)? == shards::CardState::Theirs {
        say!(
            "note: {} was not written by finalize, and is left unchanged",
            args.labels.join(shards::CARD_NAME).display()
        );
    }
    for runtime in &manifest.runtimes {
        out!("made by {runtime}");
    }
    Ok(())
}
