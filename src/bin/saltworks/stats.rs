//! `saltworks stats`: a label set at a glance.

use crate::terminal;
use anyhow::Context;
use saltworks::shards::LabelSet;
use saltworks::view::{SetStats, collect_stats, render_stats};
use std::path::PathBuf;

/// Show a label set at a glance.
///
/// Rows, tokens and bytes a column; distributions of target NLL, entropy, tail mass, distinct draws and every
/// score; what keeping only the top K loses. Shards that are not finished are left out, and counted.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of labels.
    labels: PathBuf,
    /// One JSON object in place of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let stats = collect(&LabelSet::open(&args.labels)?)?;
    if args.json {
        let json = serde_json::to_string_pretty(&stats).context("cannot write JSON")?;
        return terminal::print(&(json + "\n"));
    }
    terminal::print(&render_stats(&stats, terminal::width()))
}

/// With a progress bar on standard error, where that is a terminal.
fn collect(set: &LabelSet) -> anyhow::Result<SetStats> {
    let n_targets = set
        .segments
        .iter()
        .map(|plan| plan.sequences.n_targets)
        .sum();
    let bar = indicatif::ProgressBar::new(n_targets);
    let stats = collect_stats(set, |n_done| bar.set_position(n_done));
    bar.finish_and_clear();
    Ok(stats?)
}
