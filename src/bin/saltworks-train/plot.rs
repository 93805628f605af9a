//! `saltworks-train plot`: the curves of runs as a picture.

use crate::common::arguments::{Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::print::{self, out};
use saltworks::train::plot::{PlotOptions, XAxis, plot_runs};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Example:
  saltworks-train plot runs/llm runs/salt --output curves";

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
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    crate::common::signals::end_on_signal()?;
    let options = PlotOptions {
        x: args.x,
        title: args.title,
    };
    let plotted = plot_runs(&args.runs, &args.output, &options)?;
    if args.json.is_asked {
        let [svg, png] = [&plotted.svg, &plotted.png].map(|path| path.display().to_string());
        print::json(&serde_json::json!({ "svg": svg, "png": png }), true)?;
        return Ok(());
    }
    out!("{}", plotted.svg.display());
    out!("{}", plotted.png.display());
    Ok(())
}
