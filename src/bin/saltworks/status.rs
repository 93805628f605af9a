//! `saltworks status`.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{counted, out};
use crate::common::progress::time_left;
use indicatif::{BinaryBytes, HumanCount, HumanDuration};
use saltworks::shards::{LabelSet, SetStatus, ShardRange, ShardsError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  saltworks status labels
  saltworks status labels --json";

/// Ranges of missing shards that are printed.
const LISTED: usize = 8;

/// Show how far labelling is, over all tasks: shards done and missing, size, speed, time left.
///
/// Reads only names, sizes and times in the directory, not the shards, so it is quick and may run while tasks work.
/// The speed is that of the shards finished in the last ten minutes, or in the last hour if those are few. Exits
/// with 0 if every shard is done, else with 1. `verify` checks whether shards are sound.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let status = LabelSet::open(&args.labels)?.status()?;
    if !args.json.print(&status)? {
        print(&args.labels, &status);
    }
    match status.is_complete() {
        true => Ok(()),
        false => Err(missing(&status).into()),
    }
}

fn print(labels: &Path, status: &SetStatus) {
    out!(
        "shards     {} of {} done ({:.1}%)",
        HumanCount(status.n_shards_done),
        HumanCount(status.n_shards),
        100.0 * status.n_shards_done as f64 / status.n_shards.max(1) as f64
    );
    out!(
        "targets    {} of {}, {}",
        HumanCount(status.n_targets_done),
        HumanCount(status.n_targets),
        BinaryBytes(status.n_bytes)
    );
    if !status.missing.is_empty() {
        out!("missing    {}", ranges(&status.missing));
    }
    if let (Some(pace), false) = (status.pace, status.is_complete()) {
        let span = HumanDuration(Duration::from_secs_f64(pace.seconds));
        let n_shards = counted(pace.n_shards, "shard");
        out!(
            "speed      {:.0} tokens/s ({n_shards} in the last {span})",
            pace.tokens_per_s
        );
        out!("left       {}", time_left(status.eta_s));
    }
    match (status.is_complete(), status.is_finalized) {
        (true, true) => out!("finalized  yes"),
        (true, false) => out!("finalized  no: run saltworks finalize {}", labels.display()),
        (false, _) => {}
    }
}

fn ranges(missing: &[ShardRange]) -> String {
    let words = missing.iter().take(LISTED);
    let words = words.map(|range| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    });
    let words = words.collect::<Vec<_>>().join(", ");
    match missing.len() > LISTED {
        true => format!("{words}, ..."),
        false => words,
    }
}

fn missing(status: &SetStatus) -> ShardsError {
    let all = status.missing.iter().flat_map(|gap| gap.first..=gap.last);
    ShardsError::MissingShards {
        n_missing: status.n_shards - status.n_shards_done,
        n_shards: status.n_shards,
        first: all.take(LISTED).collect(),
    }
}
