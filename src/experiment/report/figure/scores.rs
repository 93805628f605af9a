//! Scores of all sequences, and which of them were kept.

use super::Figure;
use crate::experiment::report::gather::ScoreBins;
use crate::experiment::report::numbers::grouped;
use crate::figure::{Axis, Entry, Kind, Paint, Panel, Picture, Shape, Unit};

/// Bars of all sequences, the kept part of each below in another colour.
pub(crate) fn score_histogram(bins: &ScoreBins) -> Figure {
    let kept = bins.n_kept.map_or(String::new(), |kept| {
        format!(
            " Shaded: the {} of {} sequences that the selection keeps.",
            grouped(kept),
            grouped(bins.n_rows)
        )
    });
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
    let legend = match bins.n_kept {
        Some(_) => vec![
            Entry::new(Kind::Area, Paint::Chosen, "kept for stage 1"),
            Entry::new(Kind::Area, Paint::Rest, "left out"),
        ],
        None => Vec::new(),
    };
    Figure {
        name: "scores",
        label: format!("Histogram of {} over all sequences", bins.name),
        picture: Picture::of(legend, vec![vec![panel(bins)]]),
        shows: format!(
            "How many sequences have which {}{meaning}.{kept}",
            bins.name
        ),
        hides: format!("What a sequence says: the coloured text has some of them.{missing}{far}"),
    }
}

fn panel(bins: &ScoreBins) -> Panel {
    let largest = bins
        .bars
        .iter()
        .map(|bar| bar.n_rows)
        .max()
        .unwrap_or(1)
        .max(1);
    let bars = bins.bars.iter().flat_map(|bar| {
        let (low, high) = (bar.low, bar.high);
        let inset = 0.03 * (high - low);
        let (left, right) = (low + inset, high - inset);
        let (n_kept, paint, said) = match bins.n_kept {
            Some(_) => (
                bar.n_kept,
                Paint::Rest,
                format!(", {} kept", grouped(bar.n_kept)),
            ),
            None => (0, Paint::Chosen, String::new()),
        };
        let tip = format!("{low:.2} to {high:.2}: {}{said}", grouped(bar.n_rows));
        let (kept, all) = (n_kept as f64, bar.n_rows as f64);
        let bars = [(kept, all, paint), (0.0, kept, Paint::Chosen)];
        bars.map(|(from, to, paint)| Shape::bar((left, from), (right, to), paint).tip(&*tip))
    });
    Panel {
        heading: "Sequences".to_owned(),
        x: Axis::of(
            bins.bars[0].low..=bins.bars[bins.bars.len() - 1].high,
            Unit::plain(bins.axis),
        ),
        y: Axis::of(0.0..=1.05 * largest as f64, Unit::counted("", 1.0)).with_grid(),
        heights: [234.0, 184.0],
        shapes: bars
            .filter(|bar| bar.points[0].1 < bar.points[2].1)
            .collect(),
    }
}
