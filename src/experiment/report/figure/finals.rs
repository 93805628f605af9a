//! Final NLL of every seed, one row per arm.

use crate::experiment::report::compare::{Arm, Comparison};
use crate::figure::{Axis, Paint, Panel, Picture, Shape, Unit, range_of};
use crate::page::{Data, Figure, fixed};

/// Height of an arm's row, in points.
const ROW: f64 = 28.0;

/// One panel per set; `None` while no run is done.
pub(crate) fn finals(comparison: &Comparison<'_>) -> Option<Figure> {
    let sets = 0..comparison.results.sets.len();
    let panels: Vec<Panel> = sets.filter_map(|set| panel(comparison, set)).collect();
    (!panels.is_empty()).then(|| Figure {
        name: "final",
        label: "Final NLL of every arm and seed".to_owned(),
        picture: Picture::of(Vec::new(), panels.chunks(2).map(<[Panel]>::to_vec).collect()),
        shows: "NLL of each final model, one mark per seed, and the mean over seeds as a vertical line; the dashed \
            line is the baseline's mean. Further left is better."
            .to_owned(),
        caveats: "The axis does not start at zero, so compare positions, not lengths. The spread of a few seeds says \
            little about the next one."
            .to_owned(),
        data: data(comparison),
    })
}

fn data(comparison: &Comparison<'_>) -> Data {
    let mut data = Data::of(&["set", "arm", "seed", "nll"]);
    for arm in &comparison.arms {
        for (set, on_set) in comparison.results.sets.iter().zip(&arm.sets) {
            let values = on_set.nll.iter().flat_map(|nll| &nll.values);
            values.for_each(|(seed, nll)| data.add(&[&set.name, &arm.name(), seed, nll]));
        }
    }
    data
}

fn panel(comparison: &Comparison<'_>, set: usize) -> Option<Panel> {
    let spreads = comparison
        .arms
        .iter()
        .filter_map(|arm| arm.sets[set].nll.as_ref());
    let range = range_of(spreads.flat_map(|nll| [nll.min, nll.max]))?;
    let n_arms = comparison.arms.len() as f64;
    // The first arm is on top.
    let rows = comparison.arms.iter().rev();
    let names = rows
        .clone()
        .map(|arm| (arm.name().to_owned(), Some(arm.slot)));
    let baseline = comparison
        .baseline()
        .and_then(|arm| arm.sets[set].nll.as_ref());
    let baseline = baseline.map(|nll| {
        Shape::dashes(
            vec![(nll.mean, 0.0), (nll.mean, n_arms)],
            1.4,
            Paint::Arm(0),
        )
    });
    let middles = (0..).map(|row| f64::from(row) + 0.5);
    let shapes = middles.zip(rows).flat_map(|(y, arm)| row(arm, set, y));
    Some(Panel {
        heading: format!(
            "Final NLL on {}, nats per token",
            comparison.results.sets[set].name
        ),
        x: Axis::of(range, Unit::plain("")).with_grid(),
        y: Axis::names(names),
        heights: [ROW * n_arms; 2],
        shapes: baseline.into_iter().chain(shapes).collect(),
    })
}

fn row(arm: &Arm<'_>, set: usize, y: f64) -> Vec<Shape> {
    let paint = Paint::Arm(arm.slot);
    let Some(nll) = &arm.sets[set].nll else {
        return Vec::new();
    };
    let mut shapes = Vec::new();
    if nll.values.len() > 1 {
        let mean = vec![(nll.mean, y - 0.32), (nll.mean, y + 0.32)];
        let tip = format!("{}: {}", arm.name(), nll.text(4));
        shapes.push(Shape::line(vec![(nll.min, y), (nll.max, y)], 2.0, paint));
        shapes.push(Shape::line(mean, 2.6, paint).tip(tip));
    }
    shapes.extend(nll.values.iter().map(|(seed, value)| {
        let tip = format!("{}, seed {seed}: {}", arm.name(), fixed(*value, 4));
        Shape::mark((*value, y), paint).tip(tip)
    }));
    shapes
}
