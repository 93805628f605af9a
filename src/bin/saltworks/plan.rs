//! `saltworks plan`.

use saltworks::label;

/// Seconds of work that an interruption may cost before a user is warned.
const LONG_SHARD_SECONDS: f64 = 600.0;

/// Write the plan of a labelling, for several tasks to share.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    label: super::label::Args,

    /// Skip the probe of a few seconds that warns of shards that take long.
    #[arg(long)]
    no_probe: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let is_dry_run = args.label.dry_run;
    if is_dry_run {
        return super::label::run(args.label);
    }
    let config = super::label::resolve(args.label.options, args.label.config)?;
    if !args.no_probe {
        warn_of_long_shards(label::estimate(&config)?.seconds_per_shard());
    }
    let plan = label::plan(&config)?;
    println!(
        "planned {} targets in {} shards: {}",
        plan.sequences.n_targets,
        plan.n_shards(),
        config.output.join("plan.json").display()
    );
    println!(
        "label them with: saltworks label (the same options) --task I/N, then saltworks finalize {}",
        config.output.display()
    );
    Ok(())
}

/// An interruption loses the shard in work: long ones are worth cutting smaller.
pub(crate) fn warn_of_long_shards(seconds_per_shard: f64) {
    if seconds_per_shard > LONG_SHARD_SECONDS {
        anstream::eprintln!(
            "warning: a shard takes about {:.0} minutes here, which an interruption would lose; --shard-bytes makes them smaller",
            seconds_per_shard / 60.0
        );
    }
}
