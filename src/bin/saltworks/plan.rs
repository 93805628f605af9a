//! `saltworks plan`.

#[cfg(feature = "train")]
mod training;

use super::progress::show_graph;
use crate::common::arguments::OUTPUT;
use crate::common::exit::Result;
use crate::common::print::{counted, out};
use crate::common::signals;
use saltworks::label;

const EXAMPLES: &str = "\
Example:
  saltworks plan --teacher model.onnx --tokens tokens --seq-len 2048 --output labels";

/// Write the plan that several labelling tasks share, or estimate the labels that a training run
/// needs.
///
/// With --training nothing is written. It prints how many labelled sequences the run reads, the time and
/// space that they take on this machine (estimated by running the teacher for a few seconds), and the cost
/// of running the teacher inside the training loop instead.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    label: super::label::Args,

    /// Skip the probe of a few seconds that warns about slow shards.
    #[arg(long, help_heading = OUTPUT)]
    no_probe: bool,

    /// The run.toml of a training run. Its tokens, tokenizer and sequence settings are used unless
    /// flags override them.
    #[cfg(feature = "train")]
    #[arg(
        long,
        help_heading = "A training run",
        value_name = "FILE",
        conflicts_with = "no_probe"
    )]
    training: Option<std::path::PathBuf>,

    /// Number of training runs that use the same labels; count a restart from the beginning as one
    /// more.
    #[cfg(feature = "train")]
    #[arg(long, help_heading = "A training run", value_name = "N", default_value_t = 1, requires = "training",
        value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
}

pub(crate) fn run(args: Args) -> Result<()> {
    signals::end_on_signal()?;
    #[cfg(feature = "train")]
    if let Some(training) = &args.training {
        return training::run(training, args.label, args.runs);
    }
    if args.label.dry_run {
        return super::label::run(args.label);
    }
    let label = args.label;
    let config = label.options()?.before_tasks().resolve()?;
    if !args.no_probe {
        let estimate = label::estimate(&config, &show_graph)?;
        super::label::warn_of_long_shards(estimate.seconds_per_shard());
    }
    let plan = label::plan(&config, &show_graph, |inputs| {
        super::label::print_notes(&inputs.notes);
    })?;
    let facts = serde_json::json!({
        "output": config.output.display().to_string(),
        "n_targets": plan.sequences.n_targets,
        "n_shards": plan.n_shards(),
        "fingerprint": plan.fingerprint(),
    });
    if label.json.print(&facts)? {
        return Ok(());
    }
    out!(
        "planned {} in {}: {}",
        counted(plan.sequences.n_targets, "target"),
        counted(plan.n_shards().into(), "shard"),
        config.output.join("plan.json").display()
    );
    out!(
        "label them with: saltworks label (the same options) --task I/N, then saltworks finalize {}",
        config.output.display()
    );
    Ok(())
}
