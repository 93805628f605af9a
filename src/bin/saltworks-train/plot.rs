//! `saltworks-train plot`: the curves of runs as a picture.

use crate::common::arguments::{Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::print::{self, out};
use saltworks::train::plot::{Overtaking, PlotOptions, XAxis, plot_runs};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Example:
  saltworks-train plot runs/llm runs/salt --output curves
  saltworks-train plot runs/llm runs/salt --teacher runs/slm --output curves";

/// Plot the curves of runs, as SVG and PNG.
///
/// Plots training cross-entropy, validation NLL, learning rate, omega and gradient norm, with one
/// colour per run and a dashed line where a run changes from labels to tokens. Runs in progress are
/// plotted up to their last step.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directories or URLs of `saltworks-train run`.
    #[arg(required = true, value_name = "RUN|URL")]
    runs: Vec<PathBuf>,
    /// Output path without an extension: .svg and .png are added.
    #[arg(long, help_heading = OUTPUT, short, value_name = "PATH", default_value = "curves")]
    output: PathBuf,
    /// The x axis.
    #[arg(long, help_heading = "Picture", value_enum, default_value_t)]
    x: XAxis,
    /// Title of the figure.
    #[arg(long, help_heading = "Picture", value_name = "TEXT")]
    title: Option<String>,
    /// The teacher's own run. Its last validation NLL is drawn as a level line, and printed is where each run falls
    /// below it. May be repeated.
    #[arg(long, help_heading = "Picture", value_name = "RUN|URL")]
    teacher: Vec<PathBuf>,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    crate::common::signals::end_on_signal()?;
    let options = PlotOptions {
        x: args.x,
        title: args.title,
        teachers: args.teacher,
    };
    let plotted = plot_runs(&args.runs, &args.output, &options)?;
    if args.json.is_asked {
        let [svg, png] = [&plotted.svg, &plotted.png].map(|path| path.display().to_string());
        let overtakings = &plotted.overtakings;
        let plotted = serde_json::json!({ "svg": svg, "png": png, "overtakings": overtakings });
        print::json(&plotted, true)?;
        return Ok(());
    }
    out!("{}", plotted.svg.display());
    out!("{}", plotted.png.display());
    for Overtaking {
        run,
        teacher,
        teacher_val_nll,
        at,
    } in &plotted.overtakings
    {
        match at {
            Some(at) => out!(
                "{run} falls to {teacher}'s {teacher_val_nll:.4} nats/token at {}",
                args.x.place(*at)
            ),
            None => out!("{run} stays above {teacher}'s {teacher_val_nll:.4} nats/token"),
        }
    }
    Ok(())
}
