//! `saltworks stats`: a label set at a glance.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print;
use crate::common::progress::Display;
use crate::terminal;
use saltworks::bounds::{HeldOut, TeacherFigures, compare_held_out, teacher_figures};
use saltworks::shards::LabelSet;
use saltworks::view::report::collect_labels;
use saltworks::view::{SetStats, render_held_out, render_stats, render_teacher};
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks stats labels
  saltworks stats labels --held-out labels-held-out --json";

/// Bars of a histogram.
const N_BARS: usize = 12;

/// Show statistics of a label set.
///
/// Prints rows, tokens and bytes per column; distributions of target NLL, entropy, tail mass, distinct samples and
/// every score; how much probability is outside the top K; and bounds on the teacher's divergence from the data
/// (docs/method.md explains them). Unfinished shards are left out and counted.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of labels, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    /// Labels by the same teacher of text that it was not trained on: shows how much better the teacher looks
    /// on its own training text, the gap that the trainer's `kd.auto_margin` makes up for.
    #[arg(long, help_heading = "Bounds", value_name = "LABELS|URL")]
    held_out: Option<PathBuf>,
    /// Number of top ids that the bounds use. Default: all stored ids, whose total probability is exact;
    /// that of fewer ids is computed from rounded log-probabilities.
    #[arg(long, help_heading = "Bounds", value_name = "K")]
    bound_k: Option<u32>,
    #[command(flatten)]
    json: Json,
}

/// All that is shown.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    stats: SetStats,
    teacher: TeacherFigures,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out: Option<HeldOut>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let set = LabelSet::open(&args.labels)?;
    let other = args.held_out.as_deref().map(LabelSet::open).transpose()?;
    let (stats, teacher) = collect(&set, args.bound_k)?;
    let held_out = other
        .map(|other| compare_with_held_out(&set, &teacher, &other, args.bound_k))
        .transpose()?;
    let shown = Shown {
        stats,
        teacher,
        held_out,
    };
    if args.json.print(&shown)? {
        return Ok(());
    }
    print::styled(&text(&shown));
    Ok(())
}

fn text(shown: &Shown) -> String {
    let stats = render_stats(&shown.stats, terminal::width());
    let held_out = shown.held_out.iter();
    let held_out = held_out.map(|held_out| render_held_out(&shown.teacher, held_out));
    stats + &render_teacher(&shown.teacher) + &held_out.collect::<String>()
}

fn collect(set: &LabelSet, k: Option<u32>) -> Result<(SetStats, TeacherFigures)> {
    let display = Display::new(n_targets(set), "targets");
    let collected = collect_labels(set, k, N_BARS, |n_done| display.at(n_done));
    display.finish();
    Ok(collected?)
}

fn compare_with_held_out(
    set: &LabelSet,
    teacher: &TeacherFigures,
    other: &LabelSet,
    k: Option<u32>,
) -> Result<HeldOut> {
    let display = Display::new(n_targets(other), "targets");
    let figures = teacher_figures(other, k, |n_done| display.at(n_done));
    display.finish();
    Ok(compare_held_out(set, teacher, other, figures?)?)
}

pub(crate) fn n_targets(set: &LabelSet) -> u64 {
    let plans = set.segments.iter();
    plans.map(|plan| plan.sequences.n_targets).sum()
}
