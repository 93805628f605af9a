//! `saltworks finalize`.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{out, say};
use indicatif::{BinaryBytes, HumanCount};
use saltworks::shards;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Example:
  saltworks finalize labels";

/// Write the manifest of a directory whose every shard is done.
///
/// And README.md, which says for people and for the `datasets` library what the labels are; one that
/// finalize did not write stays as it is.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    /// Accept shards made by different runtimes: other ONNX Runtime versions, providers or
    /// instruction sets give labels that differ in their last bits.
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
        "{}: {} shards, {} sequences, {} targets, {}",
        args.labels.join(shards::MANIFEST_NAME).display(),
        HumanCount(manifest.shards.len() as u64),
        HumanCount(manifest.n_rows),
        HumanCount(manifest.n_targets),
        BinaryBytes(manifest.n_bytes),
    );
    if shards::card_state(&args.labels)? == shards::CardState::Theirs {
        say!(
            "note: {} is not one that finalize wrote, and stays as it is",
            args.labels.join(shards::CARD_NAME).display()
        );
    }
    for runtime in &manifest.runtimes {
        out!("made by {runtime}");
    }
    Ok(())
}
