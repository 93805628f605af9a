//! `saltworks stats`: a label set at a glance.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print;
use crate::common::progress::Display;
use crate::terminal;
use saltworks::bounds::{
    BoundsError, HeldOut, TeacherCollector, TeacherFigures, compare_held_out, teacher_figures,
};
use saltworks::shards::{LabelSet, Row};
use saltworks::view::{SetStats, collect_stats, render_held_out, render_stats, render_teacher};
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks stats labels
  saltworks stats labels --held-out labels-held-out --json";

/// Show a label set at a glance.
///
/// Rows, tokens and bytes a column; distributions of target NLL, entropy, tail mass, distinct draws and every
/// score; what keeping only the top K loses; bounds on the teacher's divergence from the data. Shards that are not
/// finished are left out, and counted. docs/method.md says what each figure bounds and what it does not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of labels.
    labels: PathBuf,
    /// Labels by the same teacher of text that it was not trained on: shows by how much the labels of its own
    /// training text flatter it, the gap that `kd.auto_margin` of the trainer is meant for.
    #[arg(long, help_heading = "Bounds", value_name = "LABELS")]
    held_out: Option<PathBuf>,
    /// How many of the best ids the bounds look at; all that are stored by default, whose mass is exact. The
    /// mass of fewer is read from rounded log-probabilities.
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
        .map(|other| beside(&set, &teacher, &other, args.bound_k))
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
    let mut collector = TeacherCollector::new(set, k)?;
    let display = Display::new(n_targets(set), "targets");
    let mut n_done = 0;
    let stats = collect_stats(set, |rows: &[Row]| {
        for row in rows {
            collector.add(row);
            n_done += u64::from(row.n_targets);
        }
        display.at(n_done);
    });
    display.finish();
    let stats = stats?;
    let teacher = collector.finish();
    let teacher = teacher.ok_or_else(|| BoundsError::NothingFinished {
        dir: set.dir.clone(),
    })?;
    Ok((stats, teacher))
}

fn beside(
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

fn n_targets(set: &LabelSet) -> u64 {
    let plans = set.segments.iter();
    plans.map(|plan| plan.sequences.n_targets).sum()
}
