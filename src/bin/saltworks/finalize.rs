//! `saltworks finalize`.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{counted, out, say};
use indicatif::BinaryBytes;
use saltworks::shards;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Example:
  saltworks finalize labels";

/// Write the manifest of a label directory in which every shard is finished.
///
/// Also writes README.md, which describes the labels for people and for the `datasets` library. A
/// README.md that finalize did not write is left unchanged.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    /// Accept shards made by different runtimes: labels from other ONNX Runtime versions, providers
    /// or instruction sets differ in their last bits.
    #[arg(long, help_heading = "Checks")]
    allow_mixed_runtime: bool,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let manifest = shards::finalize(&args.labels, args.allow_mixed_runtime)?;
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
