//! `saltworks plan`.

use saltworks::label;

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
        super::label::warn_of_long_shards(label::estimate(&config)?.seconds_per_shard());
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
