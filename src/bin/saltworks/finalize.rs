//! `saltworks finalize`.

use crate::common::print::out;
use indicatif::{BinaryBytes, HumanCount};
use saltworks::shards;
use std::path::PathBuf;

/// Write the manifest of a directory whose every shard is done.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    /// Accept shards made by different runtimes: other ONNX Runtime versions, providers or
    /// instruction sets give labels that differ in their last bits.
    #[arg(long)]
    allow_mixed_runtime: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let manifest = shards::finalize(&args.labels, args.allow_mixed_runtime)?;
    out!(
        "{}: {} shards, {} sequences, {} targets, {}",
        args.labels.join(shards::MANIFEST_NAME).display(),
        HumanCount(manifest.shards.len() as u64),
        HumanCount(manifest.n_rows),
        HumanCount(manifest.n_targets),
        BinaryBytes(manifest.n_bytes),
    );
    for runtime in &manifest.runtimes {
        out!("made by {runtime}");
    }
    Ok(())
}
