//! Scores of all sequences, and which of them were kept.

use super::chart::Chart;
use super::legend::{self, Sample};
use super::palette::Paint;
use super::scene::Scene;
use super::{Figure, is_wide};
use crate::experiment::report::gather::ScoreBins;
use crate::experiment::report::numbers::grouped;
use crate::train::plot::axis::Unit;

/// Bars of all sequences, the kept part of each below in another colour.
pub(crate) fn score_histogram(bins: &ScoreBins) -> Figure {
    let label = format!("Histogram of {} over all sequences", bins.name);
    let figure = Figure::new("scores", label, |width| scene(width, bins));
    let kept = match bins.n_kept {
        Some(kept) => format!(
            " Shaded: the {} of {} sequences that the selection keeps.",
            grouped(kept),
            grouped(bins.n_rows)
        ),
        None => String::new(),
    };
    let meaning = match bins.name {
        "score_salt" => ": the higher, the more challenging among what is learnable",
        _ => "",
    };
    let missing = match bins.n_without {
        0 => String::new(),
        n => format!(" {} sequences have no score and are not drawn.", grouped(n)),
    };
    let far = match bins.n_outside {
        0 => String::new(),
        n => format!(
            " {} lie outside of the axis, one in 500 at most on either side.",
            grouped(n)
        ),
    };
    figure.caption(
        format!(
            "How many sequences have which {}{meaning}.{kept}",
            bins.name
        ),
        format!("What a sequence says: the coloured text has some of them.{missing}{far}"),
    )
}

fn scene(width: f64, bins: &ScoreBins) -> Scene {
    let mut scene = Scene::new(width);
    let entries: &[(Sample, String)] = &match bins.n_kept {
        Some(_) => vec![
            (Sample::Block(Paint::Chosen), "kept for stage 1".to_owned()),
            (Sample::Block(Paint::Rest), "left out".to_owned()),
        ],
        None => Vec::new(),
    };
    let top = legend::draw(&mut scene, 0.0, entries);
    scene.heading("Sequences", (4.0, top + 14.0));
    let height = if is_wide(width) { 280.0 } else { 230.0 };
    let most = bins
        .bars
        .iter()
        .map(|bar| bar.n_rows)
        .max()
        .unwrap_or(1)
        .max(1);
    let chart = Chart::new(
        &scene,
        (top + 34.0, height),
        bins.low..=bins.high,
        0.0..=1.05 * most as f64,
    );
    chart.draw_y(&mut scene);
    let step = (bins.high - bins.low) / bins.bars.len().max(1) as f64;
    for (i, bar) in bins.bars.iter().enumerate() {
        let (low, high) = (bins.low + i as f64 * step, bins.low + (i + 1) as f64 * step);
        let (left, right) = (chart.x_of(low) + 0.5, chart.x_of(high) - 0.5);
        let y = |n: u64| chart.y_of(n as f64);
        let (kept, paint) = match bins.n_kept {
            Some(_) => (bar.n_kept, Paint::Rest),
            None => (0, Paint::Chosen),
        };
        let mut text = format!("{low:.2} to {high:.2}: {}", grouped(bar.n_rows));
        if bins.n_kept.is_some() {
            text += &format!(", {} kept", grouped(bar.n_kept));
        }
        scene
            .bar((left, y(kept)), (right, y(bar.n_rows)), 1.0, paint)
            .tip(text.clone());
        if kept > 0 {
            scene
                .bar((left, y(0)), (right, y(kept)), 1.0, Paint::Chosen)
                .tip(text);
        }
    }
    let unit = Unit {
        name: bins.axis,
        size: 1.0,
    };
    chart.draw_x_at(&mut scene, unit, 0.0);
    scene.height = top + 34.0 + height;
    scene
}
