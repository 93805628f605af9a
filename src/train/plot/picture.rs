//! The whole picture, as SVG and as PNG.

use super::axis::XAxis;
use super::curves::{Curves, read_runs};
use super::error::PlotError;
use super::overtaking::{Overtaking, TeacherLevel, overtakings, read_teachers};
use crate::figure::{
    Axis, Entry, Kind, N_ARM_COLORS, Paint, Panel, Picture, Point, Shape, changes, png, range_of,
    settled, smoothed,
};
use crate::storage;
use crate::train::metrics::first_at_most;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Width in points without the margins, which make it 1200.
const WIDTH: f64 = 1168.0;
/// Fraction of a run at its start that is ignored for the y range, since the initial fall would flatten the
/// rest.
const START: f64 = 0.05;
/// All colours but the baseline's, solid and dashed.
const MAX_RUNS: usize = 2 * (N_ARM_COLORS - 1);

/// How to draw.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlotOptions {
    /// What the curves are drawn over.
    pub x: XAxis,
    /// A line above the panels.
    pub title: Option<String>,
    /// The teachers' own runs, of which only the last validation is drawn.
    pub teachers: Vec<PathBuf>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Plotted {
    /// The SVG.
    pub svg: PathBuf,
    /// The PNG, 1200 pixels wide.
    pub png: PathBuf,
    /// Where each run becomes better than each teacher.
    pub overtakings: Vec<Overtaking>,
}

/// Draws the metrics of `runs`, directories of `saltworks-train run`, to `output.svg` and `output.png`; an
/// ending `.svg` or `.png` of `output` is dropped. Existing files are replaced. Runs in progress are drawn up
/// to their latest step.
///
/// # Errors
/// A directory that is not a run or has no steps yet, by name; a teacher that was validated on other text; damaged metrics;
/// the filesystem's.
pub fn plot_runs(
    runs: &[PathBuf],
    output: &Path,
    options: &PlotOptions,
) -> Result<Plotted, PlotError> {
    if runs.is_empty() || runs.len() > MAX_RUNS {
        return Err(PlotError::Count {
            most: MAX_RUNS,
            got: runs.len(),
        });
    }
    let runs = read_runs(runs, options.x)?;
    let teachers = read_teachers(&options.teachers, &runs)?;
    let picture = picture(&runs, &teachers, options);
    let plotted = Plotted {
        overtakings: overtakings(&runs, &teachers),
        svg: with_ending(output, "svg"),
        png: with_ending(output, "png"),
    };
    let svg = picture.standalone(WIDTH, "Curves of training runs");
    let pixels = png(&svg, 1.0).map_err(|source| PlotError::Draw {
        path: plotted.png.clone(),
        source,
    })?;
    for (path, bytes) in [(&plotted.svg, svg.as_bytes()), (&plotted.png, &pixels)] {
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
            let dir = if dir.as_os_str().is_empty() {
                Path::new(".")
            } else {
                dir
            };
            storage::sweep_abandoned(dir, name)?;
        }
        storage::replace(path, bytes)?;
    }
    Ok(plotted)
}

/// `output` with `.ending`, which replaces `.svg` or `.png`; a name such as `lr-0.1` keeps its own ending.
fn with_ending(output: &Path, ending: &str) -> PathBuf {
    let is_ours = output.extension().is_some_and(|e| e == "svg" || e == "png");
    let mut name = if is_ours {
        output.with_extension("")
    } else {
        output.to_owned()
    }
    .into_os_string();
    name.push(format!(".{ending}"));
    name.into()
}

/// A quantity that a panel shows: its heading, its points, and how they are drawn.
type Quantity = (&'static str, fn(&Curves) -> &[Point], Look);

/// How a quantity is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    /// A mark at each point, and the level of each teacher.
    Validation,
    /// Smoothed, over the values in a light tone.
    Smoothed,
}

const UPPER: [Quantity; 2] = [
    (
        "Training cross-entropy (smoothed), nats/token",
        |run| &run.ce,
        Look::Smoothed,
    ),
    (
        "Validation NLL, nats/token",
        |run| &run.val_nll,
        Look::Validation,
    ),
];
/// Quantities with a y axis from zero.
const LOWER: [Quantity; 3] = [
    ("Learning rate", |run| &run.lr, Look::Plain),
    (
        "Omega, fraction of distillation in the loss",
        |run| &run.omega,
        Look::Plain,
    ),
    (
        "Gradient norm (smoothed)",
        |run| &run.grad_norm,
        Look::Smoothed,
    ),
];

fn picture(runs: &[Curves], teachers: &[TeacherLevel], options: &PlotOptions) -> Picture {
    let points = runs
        .iter()
        .flat_map(|run| run.ce.iter().chain(&run.val_nll));
    let end = points.map(|point| point.0).fold(0.0, f64::max);
    // A run without length still needs an axis.
    let range = 0.0..=if end > 0.0 { end } else { 1.0 };
    let x = Axis::of(range, options.x.unit(end)).with_grid();
    let upper = UPPER.iter().filter_map(|quantity| {
        let levels = match quantity.2 {
            Look::Validation => teachers,
            Look::Plain | Look::Smoothed => &[],
        };
        let y = y_range(quantity, runs, levels, end)?;
        let mut panel = panel(quantity, runs, &x, y, [330.0, 280.0]);
        panel.shapes.extend(level_shapes(levels, runs, &x));
        Some(panel)
    });
    let lower = LOWER.iter().filter_map(|quantity| {
        let top = *y_range(quantity, runs, &[], end)?.end();
        let mut points = runs.iter().flat_map(quantity.1);
        let has_any = points.any(|point| point.1 > 0.0);
        has_any.then(|| panel(quantity, runs, &x, 0.0..=top, [150.0, 150.0]))
    });
    Picture {
        title: options.title.clone(),
        legend: legend(runs, teachers),
        rows: vec![upper.collect(), lower.collect()],
    }
}

/// `None` if no run has finite values.
fn y_range(
    quantity: &Quantity,
    runs: &[Curves],
    levels: &[TeacherLevel],
    end: f64,
) -> Option<RangeInclusive<f64>> {
    let lines: Vec<Vec<Point>> = runs.iter().map(|run| line(quantity, run)).collect();
    let values = settled(lines.iter().map(Vec::as_slice), START * end);
    range_of(values.iter().copied())?;
    range_of(
        values
            .into_iter()
            .chain(levels.iter().map(|level| level.val_nll)),
    )
}

/// A level line for each teacher, and a circle where a run falls to it.
fn level_shapes(levels: &[TeacherLevel], runs: &[Curves], x: &Axis) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for TeacherLevel { name, val_nll } in levels {
        let ends = vec![(*x.range.start(), *val_nll), (*x.range.end(), *val_nll)];
        let tip = format!("{name}, the teacher: validation {val_nll:.3}");
        shapes.push(Shape::line(ends, 1.4, Paint::Ink).tip(tip));
        for (arm, run) in (1..).zip(runs) {
            let at = first_at_most(&run.val_nll, *val_nll);
            let mark = |at| Shape::hollow_mark((at, *val_nll), 7.0, Paint::Arm(arm));
            shapes.extend(at.map(|at| mark(at).tip(format!("{} overtakes {name}", run.name))));
        }
    }
    shapes
}

fn panel(
    quantity: &Quantity,
    runs: &[Curves],
    x: &Axis,
    y: RangeInclusive<f64>,
    heights: [f64; 2],
) -> Panel {
    let &(heading, of, look) = quantity;
    let (mut raw, mut lines, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for (arm, run) in (1..).zip(runs) {
        let (points, paint) = (|| of(run).to_vec(), Paint::Arm(arm));
        lines.push(Shape::line(line(quantity, run), 2.0, paint).tip(&*run.name));
        match look {
            Look::Plain => {}
            Look::Validation => lines.push(Shape::new(Kind::Mark, points(), 3.6, paint)),
            Look::Smoothed => raw.push(Shape::line(points(), 1.0, paint).opacity(0.3)),
        }
        let name = run.name.as_str();
        starts.extend(run.stage_starts.iter().map(|&x| (x, arm, name)));
    }
    let changes = changes(starts.into_iter(), &x.range, &y);
    Panel {
        heading: heading.to_owned(),
        x: x.clone(),
        y: Axis::values(y),
        heights,
        shapes: raw.into_iter().chain(changes).chain(lines).collect(),
    }
}

/// The line of a quantity.
fn line(&(_, of, look): &Quantity, run: &Curves) -> Vec<Point> {
    match look {
        Look::Smoothed => smoothed(of(run)),
        Look::Plain | Look::Validation => of(run).to_vec(),
    }
}

/// No run is the baseline, so arms begin at 1.
fn legend(runs: &[Curves], teachers: &[TeacherLevel]) -> Vec<Entry> {
    let entry = |(arm, run): (usize, &Curves)| {
        let text = match run.val_nll.last() {
            Some((_, nll)) => format!("{}: validation {nll:.3}", run.name),
            None => run.name.clone(),
        };
        Entry::new(Kind::Line, Paint::Arm(arm), text)
    };
    let mut entries: Vec<Entry> = (1..).zip(runs).map(entry).collect();
    for TeacherLevel { name, val_nll } in teachers {
        let text = format!("{name}, the teacher: validation {val_nll:.3}");
        entries.push(Entry::new(Kind::Line, Paint::Ink, text));
    }
    if runs.iter().any(|run| !run.stage_starts.is_empty()) {
        entries.push(Entry::new(
            Kind::Dashes,
            Paint::Muted,
            "change from labels to tokens",
        ));
    }
    entries
}
