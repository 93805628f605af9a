//! The whole picture, as SVG and as PNG.

use super::axis::XAxis;
use super::bitmap::{self, AnyError};
use super::canvas::{Anchor, Canvas, Drawn, INK, Joins, SCALE};
use super::curves::{Curves, read_runs};
use super::error::PlotError;
use super::legend::{Entry, Legend};
use super::panel::{Curve, Look, Panel, XScale};
use super::series::{Point, smoothed, y_range};
use crate::storage;
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::drawing::IntoDrawingArea;
use plotters::style::RGBColor;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Width in points, and pixels of the PNG.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 16.0;
const TITLE_HEIGHT: f64 = 40.0;
const TITLE_SIZE: f64 = 20.0;
const UPPER_HEIGHT: f64 = 420.0;
const LOWER_HEIGHT: f64 = 240.0;
/// Room above the legend.
const LEGEND_GAP: f64 = 8.0;

/// Colours that the colour-blind tell apart (Okabe and Ito), without the yellow, which is too pale
/// on white.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// Each colour solid and dashed.
const MAX_RUNS: usize = 2 * COLORS.len();

/// How to draw.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlotOptions {
    /// What the curves are drawn over.
    pub x: XAxis,
    /// A line above the panels.
    pub title: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plotted {
    /// The vectors.
    pub svg: PathBuf,
    /// The pixels, 1200 wide.
    pub png: PathBuf,
}

/// Draws the metrics of `runs`, directories of `saltworks-train run`, to `output.svg` and
/// `output.png`; an ending `.svg` or `.png` of `output` itself is left away. Files that are there
/// are replaced. Runs in progress are drawn as far as they are.
///
/// # Errors
/// A directory that is no run or has no steps yet, by name; damaged metrics; the filesystem's.
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
    let picture = Picture::new(&read_runs(runs, options.x)?, options);
    let plotted = Plotted {
        svg: with_ending(output, "svg"),
        png: with_ending(output, "png"),
    };
    let svg = picture
        .svg()
        .map_err(|source| draw_error(&plotted.svg, source))?;
    let png = picture
        .png()
        .map_err(|source| draw_error(&plotted.png, source))?;
    for (path, bytes) in [(&plotted.svg, svg.as_bytes()), (&plotted.png, &png)] {
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

fn draw_error(path: &Path, source: AnyError) -> PlotError {
    PlotError::Draw {
        path: path.into(),
        source,
    }
}

/// `output` with `.ending`, in place of an ending that is one of the two; a name such as `lr-0.1`
/// keeps its own.
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

/// Everything that is drawn.
struct Picture {
    title: Option<String>,
    upper: Vec<Panel>,
    lower: Vec<Panel>,
    x: XScale,
    legend: Vec<Entry>,
}

impl Picture {
    fn new(runs: &[Curves], options: &PlotOptions) -> Self {
        let looked: Vec<(Look, &Curves)> = (0..).map(look).zip(runs).collect();
        let x = x_scale(&looked, options.x);
        let smooth = |of: fn(&Curves) -> &[Point], heading| {
            panel(heading, &looked, &x.range, |run| {
                (smoothed(of(run)), of(run).to_vec())
            })
        };
        let plain = |of: fn(&Curves) -> &[Point], heading| {
            panel(heading, &looked, &x.range, |run| {
                (of(run).to_vec(), Vec::new())
            })
        };
        let validation = plain(|run| &run.val_nll, "Validation NLL, nats/token");
        let has_omega = runs
            .iter()
            .flat_map(|run| &run.omega)
            .any(|point| point.1 > 0.0);
        let omega = plain(|run| &run.omega, "omega, share of distillation in the loss");
        let upper = [
            smooth(
                |run| &run.ce,
                "Training cross-entropy, nats/token (smoothed)",
            ),
            validation.map(|panel| Panel {
                has_marks: true,
                ..panel
            }),
        ];
        let lower = [
            plain(|run| &run.lr, "Learning rate").map(from_zero),
            omega.filter(|_| has_omega).map(from_zero),
            smooth(|run| &run.grad_norm, "Gradient norm (smoothed)").map(from_zero),
        ];
        Self {
            title: options.title.clone(),
            upper: upper.into_iter().flatten().collect(),
            lower: lower.into_iter().flatten().collect(),
            legend: legend_entries(&looked),
            x,
        }
    }

    fn svg(&self) -> Result<String, AnyError> {
        let height = self.height()?;
        let size = pixels(height);
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawn = self.draw(&Canvas::new(area, Joins::Any));
        drawn.map_err(|error| error.to_string())?;
        // Fine coordinates within, points without.
        let fine = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
        let coarse = format!("width=\"{WIDTH}\" height=\"{height}\"");
        Ok(text.replacen(&fine, &coarse, 1))
    }

    fn png(&self) -> Result<Vec<u8>, AnyError> {
        bitmap::png((WIDTH, self.height()?), |canvas| self.draw(canvas))
    }

    /// Points; the legend's rows depend on how wide its texts are.
    fn height(&self) -> Result<f64, AnyError> {
        let width = WIDTH - 2.0 * MARGIN;
        let legend = bitmap::measured(|canvas| Legend::new(canvas, self.legend.clone(), width))?;
        Ok((self.panels_end() + LEGEND_GAP + legend.height() + MARGIN).ceil())
    }

    fn panels_start(&self) -> f64 {
        if self.title.is_some() {
            TITLE_HEIGHT
        } else {
            MARGIN / 2.0
        }
    }

    fn panels_end(&self) -> f64 {
        self.panels_start() + UPPER_HEIGHT + LOWER_HEIGHT
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        canvas.clear()?;
        let start = self.panels_start();
        if let Some(title) = &self.title {
            let at = (WIDTH / 2.0, TITLE_HEIGHT / 2.0 + 4.0);
            canvas.text(title, at, Anchor::Middle, TITLE_SIZE, INK)?;
        }
        self.draw_row(canvas, &self.upper, start, start + UPPER_HEIGHT)?;
        self.draw_row(canvas, &self.lower, start + UPPER_HEIGHT, self.panels_end())?;
        let legend = Legend::new(canvas, self.legend.clone(), WIDTH - 2.0 * MARGIN)?;
        legend.draw(canvas, (MARGIN + 8.0, self.panels_end() + LEGEND_GAP))?;
        canvas.present()
    }

    fn draw_row<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        panels: &[Panel],
        top: f64,
        bottom: f64,
    ) -> Drawn<DB> {
        let width = WIDTH / panels.len().max(1) as f64;
        for (i, panel) in panels.iter().enumerate() {
            let left = i as f64 * width;
            panel.draw(canvas, (left, top), (left + width, bottom), &self.x)?;
        }
        Ok(())
    }
}

fn look(i: usize) -> Look {
    Look {
        color: COLORS[i % COLORS.len()],
        is_dashed: i >= COLORS.len(),
    }
}

fn x_scale(runs: &[(Look, &Curves)], axis: XAxis) -> XScale {
    let xs = runs
        .iter()
        .flat_map(|(_, run)| run.ce.iter().chain(&run.val_nll))
        .map(|point| point.0);
    let end = xs.fold(0.0, f64::max);
    let starts = runs
        .iter()
        .flat_map(|(look, run)| run.stage_starts.iter().map(|&start| (*look, start)));
    XScale {
        // A run of no length yet still has an axis.
        range: 0.0..=if end > 0.0 { end } else { 1.0 },
        unit: axis.unit(end),
        stage_starts: starts.collect(),
    }
}

/// A panel of what `of` gives: points to draw, and raw ones beneath. `None` where no run has any.
fn panel(
    heading: &'static str,
    runs: &[(Look, &Curves)],
    x_range: &RangeInclusive<f64>,
    of: impl Fn(&Curves) -> (Vec<Point>, Vec<Point>),
) -> Option<Panel> {
    let curve = |(look, run): &(Look, &Curves)| {
        let (points, raw) = of(run);
        Curve {
            look: *look,
            points,
            raw,
        }
    };
    let curves: Vec<Curve> = runs.iter().map(curve).collect();
    let y_range = y_range(curves.iter().map(|curve| curve.points.as_slice()), x_range)?;
    Some(Panel {
        heading,
        curves,
        y_range,
        has_marks: false,
    })
}

/// With the zero in view, where the values are to be compared with it.
fn from_zero(panel: Panel) -> Panel {
    let y_range = 0.0..=*panel.y_range.end();
    Panel { y_range, ..panel }
}

fn legend_entries(runs: &[(Look, &Curves)]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = runs
        .iter()
        .map(|(look, run)| Entry {
            look: Some(*look),
            text: match run.val_nll.last() {
                Some((_, nll)) => format!("{}: validation {nll:.3}", run.name),
                None => run.name.clone(),
            },
        })
        .collect();
    if runs.iter().any(|(_, run)| !run.stage_starts.is_empty()) {
        entries.push(Entry {
            look: None,
            text: "change from labels to tokens".to_owned(),
        });
    }
    entries
}

fn pixels(height: f64) -> (u32, u32) {
    (WIDTH as u32 * SCALE, height as u32 * SCALE)
}
