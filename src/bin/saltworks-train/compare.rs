//! `saltworks-train compare`: a grid of runs, and what it shows.

use super::samples;
use crate::common::arguments::{Configuration, Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::invocation;
use crate::common::print::{self, out, say};
use crate::common::progress::{Display, time_left};
use crate::common::signals;
use saltworks::experiment::report::{self, ReportInputs};
use saltworks::experiment::{
    self, Experiment, ExperimentConfig, GridSnapshot, Results, RunFilter, RunsConfig, Watch,
};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks-train compare --config examples/experiment.toml
  saltworks-train compare --config examples/experiment.toml --only baseline,salt --seeds 0
  saltworks-train compare --runs baseline=runs/llm --runs salt=runs/salt --output compared";

/// Train every arm with every seed, evaluate all models, and compare them.
///
/// The same command resumes a stopped experiment and does what is missing; finished runs are not
/// repeated. Results are written after every run.
///
/// With --runs nothing is trained: finished runs of saltworks-train and of the Python trainer are compared
/// by the validation NLL that they have logged.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
#[command(next_help_heading = "Part of the grid")]
pub(crate) struct Args {
    #[command(flatten)]
    configuration: Configuration,

    /// Only these arms.
    #[arg(long, value_name = "ARM", value_delimiter = ',')]
    only: Vec<String>,

    /// Only these seeds.
    #[arg(long, value_name = "SEED", value_delimiter = ',')]
    seeds: Vec<u64>,

    /// Open all inputs, print what there is to do, and write nothing.
    #[arg(long, help_heading = OUTPUT)]
    dry_run: bool,

    /// Write the results so far and train nothing, even while another process trains.
    #[arg(long, help_heading = OUTPUT, conflicts_with_all = ["dry_run", "only", "seeds"])]
    report_only: bool,

    #[command(flatten)]
    finished: FinishedRuns,

    #[command(flatten)]
    json: Json,
}

/// Runs that are there already, instead of a grid.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Finished runs")]
struct FinishedRuns {
    /// A finished run and the name of its arm; given once for every run, and several runs of an arm are its seeds.
    #[arg(
        long,
        value_name = "ARM=DIR",
        requires = "output",
        conflicts_with_all = ["config", "set", "only", "seeds", "dry_run", "report_only"]
    )]
    runs: Vec<String>,

    /// The arm that the others are compared with; the first unless given.
    #[arg(long, requires = "runs", value_name = "ARM")]
    baseline: Option<String>,

    /// Directory of the results.
    #[arg(long, short, requires = "runs", value_name = "DIR")]
    output: Option<PathBuf>,

    #[command(flatten)]
    overwrite: Overwrite,
}

impl FinishedRuns {
    /// Results of the runs, which are written; `None` where a grid is asked for.
    fn results(&self) -> Result<Option<(PathBuf, Results)>> {
        let Some(output) = self.output.clone() else {
            return Ok(None);
        };
        signals::end_on_signal()?;
        let config = RunsConfig::of(output.clone(), self.baseline.clone(), &self.runs)?;
        let results = experiment::write_runs(&config)?;
        invocation::record(&output);
        Ok(Some((output, results)))
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    if let Some((output, results)) = args.finished.results()? {
        let inputs = ReportInputs {
            root: output.clone(),
            overwrite: args.finished.overwrite.overwrite,
            ..ReportInputs::default()
        };
        show_tables(&output, &results, args.json)?;
        return show_page(&output, &results, &inputs, args.json);
    }
    let config = ExperimentConfig::of(args.configuration.layers()?)?;
    let output = config.output.clone();
    let report = config.report_inputs();
    let prompt = config.report.prompt.clone();
    let results = if args.report_only {
        signals::end_on_signal()?;
        experiment::write(&config)?
    } else {
        let filter = RunFilter {
            arms: args.only,
            seeds: args.seeds,
        };
        let experiment = Experiment::open(config, &filter)?;
        for (what, text) in experiment.describe()? {
            say!("{what:<12}{text}");
        }
        print::notes(experiment.notes());
        if args.dry_run {
            out!("nothing was written");
            return Ok(());
        }
        work(&experiment, &output)?
    };
    show_tables(&output, &results, args.json)?;
    if let Some(prompt) = prompt.filter(|_| !args.report_only) {
        samples::write(&output, &results, &samples::Options::of(prompt))?;
    }
    show_page(&output, &results, &report, args.json)
}

fn show_tables(output: &Path, results: &Results, json: Json) -> Result<()> {
    if !json.print(results)? {
        print::block(&format!("{}\n", experiment::to_text(results)));
        for name in [experiment::RESULTS_NAME, experiment::MARKDOWN_NAME] {
            out!("{}", output.join(name).display());
        }
    }
    Ok(())
}

/// Writes the report, and says where it is.
fn show_page(output: &Path, results: &Results, inputs: &ReportInputs, json: Json) -> Result<()> {
    let page = write_report(output, results, inputs)?;
    if let Some(page) = page.filter(|_| !json.is_asked) {
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
        say!("note: no report yet: it compares with the arm {baseline}, which has not started");
        return Ok(None);
    }
    let written = report::write(output, results, inputs)?;
    print::notes(&written.notes);
    Ok(Some(written.page))
}

fn work(experiment: &Experiment, output: &Path) -> Result<experiment::Results> {
    let display = Display::new(0, "steps");
    let watch = Watch {
        on_start: &|| invocation::record(output),
        on_note: &|text| display.say(text),
        on_progress: &|snapshot| show_progress(&display, snapshot),
    };
    let interrupt = signals::interrupt_that_saves()?;
    let results = experiment.run(&interrupt, &watch)?;
    // What is left is the report, which is made again by the next call.
    interrupt.when_requested(signals::end_now);
    display.finish();
    Ok(results)
}

fn show_progress(display: &Display, snapshot: &GridSnapshot) {
    display.show(
        || snapshot,
        false,
        |bar| {
            bar.set_length(snapshot.step.n_steps);
            bar.set_position(snapshot.step.step);
            bar.set_message(format!(
                "run {} of {}: {}, seed {}, {}  loss {:.4}  {:.0} tokens/s  {} left in total",
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
