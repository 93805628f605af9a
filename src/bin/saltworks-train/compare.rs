//! `saltworks-train compare`: a grid of runs, and what it shows.

use super::opened::{end_now, end_when_interrupted};
use crate::common::arguments::{Configuration, Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use crate::common::progress::{Display, time_left};
use saltworks::experiment::report::{self, ReportInputs};
use saltworks::experiment::{
    self, Choice, Experiment, ExperimentConfig, GridSnapshot, Results, Watch,
};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks-train compare --config examples/experiment.toml
  saltworks-train compare --config examples/experiment.toml --only baseline,salt --seeds 0";

/// Train every arm with every seed, evaluate them, and compare.
///
/// Runs that were stopped go on, and what is finished is not done again: the same command does
/// everything that is missing. Results are written after every cell.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    configuration: Configuration,

    /// Only these arms.
    #[arg(
        long,
        help_heading = "Part of the grid",
        value_name = "ARM",
        value_delimiter = ','
    )]
    only: Vec<String>,

    /// Only these seeds.
    #[arg(
        long,
        help_heading = "Part of the grid",
        value_name = "SEED",
        value_delimiter = ','
    )]
    seeds: Vec<u64>,

    /// Open everything, say what there is to do, and write nothing.
    #[arg(long, help_heading = OUTPUT)]
    dry_run: bool,

    /// Write the results of what is there, and train nothing; also while another process trains.
    #[arg(long, help_heading = OUTPUT, conflicts_with_all = ["dry_run", "only", "seeds"])]
    report_only: bool,

    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = ExperimentConfig::of(args.configuration.layers()?)?;
    let output = config.output.clone();
    let report = config.report_inputs();
    let results = if args.report_only {
        end_when_interrupted()?;
        experiment::write(&config)?
    } else {
        let choice = Choice {
            arms: args.only,
            seeds: args.seeds,
        };
        let experiment = Experiment::open(config, &choice)?;
        for (what, text) in experiment.describe()? {
            say!("{what:<12}{text}");
        }
        for note in experiment.notes() {
            say!("note: {note}");
        }
        if args.dry_run {
            out!("nothing was written");
            return Ok(());
        }
        work(&experiment)?
    };
    if !args.json.print(&results)? {
        print::block(&format!("{}\n", experiment::to_text(&results)));
        for name in [experiment::RESULTS_NAME, experiment::MARKDOWN_NAME] {
            out!("{}", output.join(name).display());
        }
    }
    let page = write_report(&output, &results, &report)?;
    if let Some(page) = page.filter(|_| !args.json.is_asked) {
        out!("{}", page.display());
    }
    Ok(())
}

/// The page, where there is one yet.
fn write_report(
    output: &Path,
    results: &Results,
    inputs: &ReportInputs,
) -> Result<Option<PathBuf>> {
    if results.arms.iter().all(|arm| arm.runs.is_empty()) {
        say!("note: no report yet: no run is finished");
        return Ok(None);
    }
    if results.arm(&results.baseline).is_none() {
        let baseline = &results.baseline;
        say!("note: no report yet: it compares with the arm {baseline}, which has not begun");
        return Ok(None);
    }
    let written = report::write(output, results, inputs)?;
    for note in &written.notes {
        say!("note: {note}");
    }
    Ok(Some(written.page))
}

fn work(experiment: &Experiment) -> Result<experiment::Results> {
    let display = Display::new(0, "steps");
    let watch = Watch {
        on_note: &|text| display.say(text),
        on_progress: &|snapshot| show(&display, snapshot),
    };
    let interrupt = super::signals::interrupt()?;
    let results = experiment.run(&interrupt, &watch)?;
    // What is left is the report, which is made anew by the next call.
    interrupt.when_requested(end_now);
    display.finish();
    Ok(results)
}

fn show(display: &Display, snapshot: &GridSnapshot) {
    display.show(
        || snapshot,
        false,
        |bar| {
            bar.set_length(snapshot.step.n_steps);
            bar.set_position(snapshot.step.step);
            bar.set_message(format!(
                "cell {} of {}: {}, seed {}, {}  loss {:.4}  {:.0} tokens/s  {} left of all",
                snapshot.cell,
                snapshot.n_cells,
                snapshot.arm,
                snapshot.seed,
                snapshot.run,
                snapshot.step.loss,
                snapshot.step.tokens_per_s,
                time_left(snapshot.experiment_eta_s)
            ));
        },
    );
}
