//! `saltworks import`.

use crate::common::exit::Result;
use crate::common::print;
use saltworks::label::Import;
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks import labels.spec.json
  saltworks import labels.spec.json --shard 3
  saltworks import labels.spec.json --shard 3 --rows part-00003.parquet";

/// Import the numbers of another engine as labels, as `LabelWriter` of the Python package does.
///
/// Without options it writes the plan, or finds the existing one, and prints which shards are still to be
/// made. With --shard it prints the sequences of that shard by row group; with --rows as well it writes the
/// shard. `saltworks finalize` completes the set.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The specification: engine, model, and options of `label`, as JSON.
    spec: PathBuf,
    /// Number of a shard.
    #[arg(long, value_name = "N")]
    shard: Option<u32>,
    /// A Parquet file with the unrounded rows of that shard.
    #[arg(long, value_name = "FILE", requires = "shard")]
    rows: Option<PathBuf>,
}

/// What is to be made.
#[derive(Serialize)]
struct ImportPlan {
    n_shards: u32,
    todo: Vec<u32>,
}

/// The sequences of one shard, those of each row group in their order.
#[derive(Serialize)]
struct ShardRows {
    shard: u32,
    row_groups: Vec<Vec<u64>>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let import = Import::open(&args.spec)?;
    let plan = import.plan();
    match (args.shard, args.rows) {
        (None, _) => {
            let todo = import.todo()?;
            print::json(
                &ImportPlan {
                    n_shards: plan.layout.n_shards,
                    todo,
                },
                true,
            )?;
        }
        (Some(shard), None) => {
            let row_groups = import.row_groups(shard)?;
            print::json(&ShardRows { shard, row_groups }, false)?;
        }
        (Some(shard), Some(rows)) => print::json(&import.write(shard, &rows)?, true)?,
    }
    Ok(())
}
