//! `saltworks-train run`.

use super::progress::ProgressDisplay;
use crate::common::arguments::{Configuration, Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::invocation;
use crate::common::print::{self, out, say};
use crate::common::signals;
use saltworks::config::text_override;
use saltworks::train::checkpoint::step_of;
use saltworks::train::config::RunConfig;
use saltworks::train::data::LabelSource;
use saltworks::train::loss::Teachers;
use saltworks::train::run::{self, Finished, Inputs, Observer, Outcome, Overview, Start};

const EXAMPLES: &str = "\
Examples:
  saltworks-train run --config runs/llm/run.toml
  saltworks-train run --config runs/llm/run.toml --resume
  saltworks-train run --config runs/llm/run.toml --set train.steps=2000 --set kd.mode=salt --output runs/salt";

/// Train a model from token files and from labels, without running the teacher.
///
/// A stopped run resumes with --resume, bit for bit.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    configuration: Configuration,

    /// Directory of the run, or a URL (s3://, gs://, az://); overrides the file's `output`.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR|URL")]
    output: Option<String>,

    /// Resume from the latest checkpoint, or start if there is none yet.
    #[arg(long, help_heading = "Resuming")]
    resume: bool,

    /// Resume from this checkpoint.
    #[arg(long, help_heading = "Resuming", value_name = "step-N", value_parser = parse_step)]
    resume_from: Option<u64>,

    /// Print the time spent in each part of a step at the end.
    #[arg(long, help_heading = OUTPUT)]
    profile: bool,

    /// Print what a new run would need, and write nothing.
    #[arg(long, help_heading = OUTPUT, conflicts_with_all = ["resume", "resume_from"])]
    dry_run: bool,

    #[command(flatten)]
    json: Json,
}

fn parse_step(text: &str) -> Result<u64, String> {
    let step = step_of(text).or_else(|| text.parse().ok());
    step.ok_or_else(|| "expected the name of a checkpoint, such as step-500".to_owned())
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = read(&args)?;
    if args.dry_run {
        let prepared = run::prepare(&config)?;
        if let Some(refused) = prepared.output_error() {
            say!("note: this run would not start: {refused}");
        }
        print_overview(&prepared.overview());
        return Ok(());
    }
    let display = ProgressDisplay::new();
    let observer = Observer {
        on_start: &|overview| {
            record(overview);
            say(overview);
        },
        on_note: &|text| display.say(text),
        on_progress: &|snapshot| display.show(snapshot),
    };
    let interrupt = signals::interrupt_that_saves()?;
    let outcome = run::run(&config, start(&args), &interrupt, &observer)?;
    match args.json.is_asked {
        true => print_json(&outcome)?,
        false => print_outcome(&outcome),
    }
    if let (Outcome::Finished(finished), true) = (&outcome, args.profile) {
        print_profile(finished);
    }
    Ok(())
}

/// This call, where the run is worked on; a place that is none was refused before.
fn record(overview: &Overview<'_>) {
    if let Ok(dir) = run::run_dir(&overview.inputs.config) {
        invocation::record(&dir);
    }
}

/// The file, `--set` over it, and `--output` over both.
fn read(args: &Args) -> Result<RunConfig> {
    let mut configuration = args.configuration.clone();
    let output = args.output.iter();
    let output = output.map(|output| text_override("output", output));
    configuration.set.extend(output);
    Ok(configuration.layers()?.into_options()?)
}

fn start(args: &Args) -> Start {
    match (args.resume_from, args.resume) {
        (Some(step), _) => Start::At(step),
        (None, true) => Start::Latest,
        (None, false) => Start::Fresh,
    }
}

/// What a user should know before the long part.
fn say(overview: &Overview<'_>) {
    print::notes(&overview.inputs.notes);
    for (what, text) in describe(overview) {
        say!("{what:<12}{text}");
    }
}

fn print_overview(overview: &Overview<'_>) {
    print::notes(&overview.inputs.notes);
    for (what, text) in describe(overview) {
        out!("{what:<12}{text}");
    }
    out!("nothing was written");
}

fn describe(overview: &Overview<'_>) -> Vec<(&'static str, String)> {
    let inputs = overview.inputs;
    let (config, spec) = (&inputs.config, &inputs.spec);
    let room = overview.room.as_ref();
    vec![
        (
            "model",
            format!(
                "{} parameters: d {}, {} layers, {} heads, V {}",
                spec.n_parameters(),
                spec.d_model,
                spec.n_layers,
                spec.n_heads,
                spec.vocab_size
            ),
        ),
        (
            "memory",
            format!(
                "{} MiB at the peak: {}{}",
                overview.memory.total().div_ceil(1 << 20),
                overview.memory.describe(),
                room.map_or_else(String::new, |room| format!(
                    "; limit {} MiB",
                    room.bytes >> 20
                ))
            ),
        ),
        ("data", describe_data(overview)),
        ("stages", describe_stages(overview)),
        (
            "schedule",
            format!(
                "{} steps of {} sequences on {} threads; lr {} {}, warm-up of {} steps",
                config.train.steps,
                config.train.batch_size,
                config.train.threads(),
                config.schedule.lr,
                format!("{:?}", config.schedule.shape).to_lowercase(),
                config.schedule.warmup_steps(config.train.steps)
            ),
        ),
    ]
}

fn describe_data(overview: &Overview<'_>) -> String {
    let (coverage, inputs) = (&overview.coverage, overview.inputs);
    let mut parts = Vec::new();
    if inputs.labels.is_some() {
        parts.push(format!(
            "{} of {} labelled sequences{}",
            coverage.labelled_needed,
            coverage.labelled_available,
            describe_teachers(inputs)
        ));
    }
    if inputs.tokens.is_some() {
        let excluded = match coverage.tokens_excluded {
            0 => String::new(),
            n => format!(" ({n} more are reserved for stage 1)"),
        };
        parts.push(format!(
            "{} of {} sequences of the corpus{excluded}",
            coverage.tokens_needed, coverage.tokens_available
        ));
    }
    let train = &inputs.config.train;
    let n_sequences = train.steps.saturating_mul(train.batch_size as u64);
    let n_tokens = n_sequences.saturating_mul(inputs.seq_len() as u64);
    format!("{}; up to {n_tokens} tokens", parts.join(", "))
}

/// How several teachers are learnt from.
fn describe_teachers(inputs: &Inputs) -> String {
    let n_teachers = inputs.labels.iter().flat_map(LabelSource::teachers).count();
    match (n_teachers, inputs.config.kd.teachers) {
        (0 | 1, _) => String::new(),
        (n, Teachers::Mix) => format!(" by {n} teachers, mixed"),
        (n, Teachers::LowerNll) => format!(" by {n} teachers, of the lower NLL at each position"),
    }
}

fn describe_stages(overview: &Overview<'_>) -> String {
    let (stages, config) = (&overview.inputs.stages, &overview.inputs.config);
    let labelled = stages.max_labelled_steps();
    let kd = &config.kd;
    let rate = match kd.lr_factor {
        1.0 => String::new(),
        factor => format!(", learning rate times {factor}"),
    };
    let learnt = match (stages.has_kd(), kd.loss) {
        (true, Some(loss)) => format!("KD {loss}, tau {}, omega {}{rate}", kd.tau, kd.omega),
        (true, None) => format!("KD, omega {}{rate}", kd.omega),
        (false, _) => "CE".to_owned(),
    };
    match (labelled, config.train.steps - labelled) {
        (0, n) => format!("{n} steps of CE on the corpus"),
        (n, 0) => format!("{n} steps on labelled sequences ({learnt})"),
        (n, rest) => {
            let most = if stages.auto_transition().is_some() {
                "at most "
            } else {
                ""
            };
            format!(
                "{most}{n} steps on labelled sequences ({learnt}), then {rest} of CE on the corpus"
            )
        }
    }
}

fn print_outcome(outcome: &Outcome) {
    match outcome {
        Outcome::AlreadyFinished { model } => {
            out!(
                "nothing to do: the run is finished; its model is in {}",
                model.display()
            );
        }
        Outcome::Finished(finished) => print_finished(finished),
    }
}

fn print_json(outcome: &Outcome) -> Result<()> {
    let facts = match outcome {
        Outcome::AlreadyFinished { model } => {
            serde_json::json!({ "model": model.display().to_string(), "was_finished": true })
        }
        Outcome::Finished(finished) => serde_json::json!({
            "model": finished.model.display().to_string(),
            "was_finished": false,
            "n_steps": finished.n_steps,
            "n_tokens": finished.n_tokens,
            "seconds": finished.seconds,
            "loss": finished.last_step.as_ref().map(|step| step.loss),
            "validation_nll": finished.validation.as_ref().map(|validation| validation.nll),
        }),
    };
    Ok(print::json(&facts, true)?)
}

fn print_finished(finished: &Finished) {
    out!(
        "{} steps, {} tokens, {:.0} s",
        finished.n_steps,
        finished.n_tokens,
        finished.seconds
    );
    if let Some(step) = &finished.last_step {
        out!(
            "loss {:.4} in the last step, {:.0} tokens/s, MFU {:.0}%",
            step.loss,
            step.tokens_per_s,
            100.0 * step.mfu
        );
    }
    if let Some(validation) = &finished.validation {
        out!(
            "validation NLL {:.4} nats/token, perplexity {:.2}",
            validation.nll,
            validation.nll.exp()
        );
    }
    out!("the model is in {}", finished.model.display());
}

fn print_profile(finished: &Finished) {
    out!("fraction of the step time:");
    for (name, share) in finished.profile.shares() {
        out!("  {name:<24}{:>5.1}%", 100.0 * share);
    }
}
