//! `saltworks label`.

use super::progress::{ProgressDisplay, show_graph};
use crate::common::arguments::{Configuration, Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::print::{self, counted, out, say};
use crate::common::signals;
use saltworks::config::Typed;
use saltworks::label::{
    self, Estimate, LabelConfig, LabelInputs, LabelOptions, LabelOutcome, Observer, WithoutNll,
};
use saltworks::shards::Plan;

/// Seconds of work that an interruption may cost without a warning.
const LONG_SHARD_SECONDS: f64 = 600.0;

const EXAMPLES: &str = "\
Examples:
  saltworks label --teacher model.onnx --tokens tokens --seq-len 2048 --output labels
  saltworks label --config label.toml --task 1/8
  saltworks label --config label.toml --task auto
  saltworks label --teacher model.onnx --tokens tokens --seq-len 2048 --output labels --dry-run";

/// Label a token corpus: plan, run the teacher, write shards, finalize.
///
/// An unfinished directory is resumed; a finished one is extended by another range of sequences.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Typed<LabelOptions>,

    #[command(flatten)]
    pub(crate) configuration: Configuration,

    /// Run the teacher for a few seconds, print the estimated time and size, and write no labels. (The
    /// graph of a checkpoint is written to --teacher-cache, as in a run.)
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) dry_run: bool,

    /// Print the time spent in each stage at the end.
    #[arg(long, help_heading = OUTPUT, conflicts_with = "json")]
    pub(crate) profile: bool,

    #[command(flatten)]
    pub(crate) json: Json,
}

impl Args {
    /// Flags over `--set` over the file.
    pub(crate) fn options(&self) -> Result<LabelOptions> {
        let Configuration { config, set } = &self.configuration;
        Ok(self.options.clone().over(config.as_deref(), set)?)
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let options = args.options()?;
    if options.batch_tokens.is_some() {
        say!(
            "note: --batch-tokens has no effect: the shape of a call depends only on its sequences"
        );
    }
    if args.dry_run {
        let estimate = label::estimate(&options.before_tasks().resolve()?, &show_graph)?;
        match args.json.is_asked {
            true => print_estimate_json(&estimate)?,
            false => print_estimate(&estimate),
        }
        return Ok(());
    }
    let config = options.resolve()?;
    say_task(&config);
    let display = ProgressDisplay::new();
    let observer = Observer {
        on_graph: &show_graph,
        on_start: &say,
        on_progress: &|snapshot| display.show(snapshot),
    };
    let interrupt = signals::unheeded_interrupt()?;
    let outcome = label::label(&config, &interrupt, &observer)?;
    warn_of_missing_nll(&outcome.without_nll);
    print_notes(&outcome.notes);
    match args.json.is_asked {
        true => print_outcome_json(&config, &outcome)?,
        false => print_outcome(&config, &outcome),
    }
    if args.profile {
        super::profile::print(&outcome.profile);
    }
    Ok(())
}

/// The part that an engine gave this process: with a wrong one, shards are made twice or not at all.
fn say_task(config: &LabelConfig) {
    if let Some(source) = &config.task_source {
        say!("task {} from {source}", config.task);
    }
}

/// What a user should know before the long work.
pub(crate) fn say(inputs: &LabelInputs, plan: &Plan) {
    let info = inputs.teacher.info();
    for teacher in std::iter::once(&inputs.teacher).chain(&inputs.more_teachers) {
        for note in &teacher.info().notes {
            say!("note: {note}");
        }
    }
    say!(
        "ONNX Runtime {} on {}, logits reduced by --reduce {} ({}, found by {})",
        inputs.runtime.version,
        info.provider,
        info.reduction,
        inputs.runtime.path.display(),
        inputs.runtime.found_by
    );
    print_notes(&inputs.notes);
    if inputs.tokenizer.is_none() {
        say!(
            "note: the tokens do not record their tokenizer, so only the range of ids was checked; pass --tokenizer to check more"
        );
    }
    say!(
        "labelling sequences {}: {}, {}",
        sequences(plan),
        counted(plan.sequences.n_targets, "target"),
        counted(plan.n_shards().into(), "shard")
    );
}

pub(crate) fn print_notes(notes: &[String]) {
    for note in notes {
        say!("note: {note}");
    }
}

fn print_outcome(config: &LabelConfig, outcome: &LabelOutcome) {
    let output = config.output.display();
    if outcome.n_made == 0 {
        out!(
            "nothing to do: {} already exist and were checked",
            counted(outcome.n_before, "shard")
        );
    } else {
        out!(
            "{} written, {} already existed; {:.0} tokens/s",
            counted(outcome.n_made, "shard"),
            outcome.n_before,
            outcome.tokens_per_s
        );
    }
    match &outcome.manifest {
        Some(_) => out!("labels are complete in {output} (saltworks stats {output})"),
        None => out!(
            "task {} is done; when all tasks are done, run: saltworks finalize {output}",
            config.task
        ),
    }
}

/// They were allowed, but a user should know which they are.
fn warn_of_missing_nll(without_nll: &WithoutNll) {
    if without_nll.n > 0 {
        let ids: Vec<String> = without_nll.first.iter().map(u64::to_string).collect();
        let more = if without_nll.n > ids.len() as u64 {
            ", ..."
        } else {
            ""
        };
        say!(
            "warning: {} of the sequences labelled now contain a token that the teacher gives zero probability; their NLL scores are null: seq_id {}{more}",
            without_nll.n,
            ids.join(", ")
        );
    }
}

fn print_outcome_json(config: &LabelConfig, outcome: &LabelOutcome) -> Result<()> {
    let facts = serde_json::json!({
        "output": config.output.display().to_string(),
        "n_shards_made": outcome.n_made,
        "n_shards_before": outcome.n_before,
        "tokens_per_s": outcome.tokens_per_s,
        "is_complete": outcome.manifest.is_some(),
    });
    Ok(print::json(&facts, true)?)
}

fn print_estimate_json(estimate: &Estimate) -> Result<()> {
    let plan = &estimate.plan;
    let facts = serde_json::json!({
        "n_sequences": plan.n_sequences(),
        "n_targets": plan.sequences.n_targets,
        "n_shards": plan.n_shards(),
        "bytes": estimate.bytes(),
        "bytes_per_token": estimate.bytes_per_token,
        "seconds": estimate.seconds(),
        "tokens_per_s": estimate.tokens_per_s,
        "seconds_per_shard": estimate.seconds_per_shard(),
        "notes": estimate.notes,
    });
    Ok(print::json(&facts, true)?)
}

fn print_estimate(estimate: &Estimate) {
    print_notes(&estimate.notes);
    let plan = &estimate.plan;
    out!("sequences  {}", sequences(plan));
    out!("tokens     {}", plan.sequences.n_targets);
    out!(
        "shards     {} of up to {} rows",
        plan.n_shards(),
        plan.layout.rows_per_shard
    );
    out!(
        "size       {} ({:.1} B/token)",
        indicatif::HumanBytes(estimate.bytes() as u64),
        estimate.bytes_per_token
    );
    out!(
        "time       {} at {:.0} tokens/s",
        indicatif::HumanDuration(std::time::Duration::from_secs_f64(estimate.seconds())),
        estimate.tokens_per_s
    );
    out!(
        "probe      {} tokens labelled; no labels were written",
        estimate.n_targets_probed
    );
    warn_of_long_shards(estimate.seconds_per_shard());
}

/// An interruption loses the unfinished shard, so long shards should be made smaller.
pub(crate) fn warn_of_long_shards(seconds_per_shard: f64) {
    if seconds_per_shard > LONG_SHARD_SECONDS {
        say!(
            "warning: a shard takes about {:.0} minutes here, which an interruption would lose; use a smaller --shard-bytes",
            seconds_per_shard / 60.0
        );
    }
}

/// Which sequences a plan labels, in words.
fn sequences(plan: &Plan) -> String {
    let sequences = &plan.sequences;
    let (start, end, n_total) = (sequences.start, sequences.end, sequences.n_total);
    match &sequences.selection {
        None => format!("{start}..{end} of {n_total}"),
        Some(selection) => format!(
            "selected from {start}..{end}, {} of {n_total}",
            selection.n_rows
        ),
    }
}
