//! NLL of decayed models over the fraction of a whole run's steps.

use super::line_entry;
use crate::experiment::report::compare::{Arm, Comparison};
use crate::experiment::{OverSeeds, Reach, RunResults, reach};
use crate::figure::{Axis, Entry, Kind, Paint, Panel, Picture, Point, Shape, Unit, range_of};
use crate::page::{Data, Figure, percent};

/// Mean decayed models of one arm.
struct Line<'a> {
    arm: &'a Arm<'a>,
    /// Share, and NLL over the seeds that have all of the arm's shares and a finished baseline.
    points: Vec<(f64, OverSeeds)>,
    /// Share and NLL at which the mean falls below the final mean of the baseline over the same seeds; `None`
    /// if it never does, or already does at its first branch.
    crossing: Option<Point>,
}

/// `None` if no run has more than its last branch.
pub(crate) fn shares(comparison: &Comparison<'_>) -> Option<Figure> {
    let target = comparison.baseline().and_then(Arm::nll)?.mean;
    let lines: Vec<Line<'_>> = comparison
        .arms
        .iter()
        .map(|arm| line_of(comparison, arm))
        .filter(|line| !line.points.is_empty())
        .collect();
    if lines.iter().all(|line| line.points.len() < 2) {
        return None;
    }
    let mut legend: Vec<Entry> = lines
        .iter()
        .map(|line| line_entry(line.arm.slot, line.arm.name()))
        .collect();
    let (base, set) = (&comparison.results.baseline, comparison.first_set());
    legend.push(Entry::new(
        Kind::Dashes,
        Paint::Ink,
        format!("final NLL of {base}"),
    ));
    let bars = match comparison.has_spread() {
        true => "means over seeds, whiskers from the minimum to the maximum",
        false => "of one seed",
    };
    Some(Figure {
        name: "shares",
        label: "NLL of decayed models over the fraction of the steps".to_owned(),
        picture: Picture::of(legend, vec![vec![panel(&lines, target)?]]),
        shows: format!(
            "NLL on {set} of models decayed after a fraction of the steps of a whole run ({bars}). The dashed line is \
             the baseline\u{2019}s final NLL; a hollow mark is where an arm\u{2019}s mean reaches the \
             baseline\u{2019}s over the same seeds, interpolated linearly between branches."
        ),
        caveats: "Seeds that an arm has not finished are left out of its line. Steps are not cost: an arm\u{2019}s \
            labels and teacher are paid for before the first step. The point where the mean crosses need not be the \
            mean of the points where the seeds cross, which is in the table. An arm that is below the line at its \
            first branch crosses it somewhere before that branch."
            .to_owned(),
        data: data(&lines),
    })
}

fn data(lines: &[Line<'_>]) -> Data {
    let mut data = Data::of(&["arm", "seed", "fraction_of_steps", "nll"]);
    for line in lines {
        for (share, nll) in &line.points {
            let values = nll.values.iter();
            values.for_each(|(seed, nll)| data.add(&[&line.arm.name(), seed, share, nll]));
        }
    }
    data
}

fn line_of<'a>(comparison: &Comparison<'_>, arm: &'a Arm<'a>) -> Line<'a> {
    let n_branches_max = arm.data.runs.iter().map(|run| run.branches.len()).max();
    let whole = arm.data.runs.iter().filter_map(|run| {
        let target = comparison.target(run.seed)?;
        (Some(run.branches.len()) == n_branches_max).then_some((run, (run.seed, target)))
    });
    let (runs, targets): (Vec<&RunResults>, Vec<(u64, f64)>) = whole.unzip();
    let shares = runs.first().map_or(&[][..], |run| run.branches.as_slice());
    let nll = |run: &&RunResults, share: f64| Some((run.seed, run.at(share)?.scores.first()?.nll));
    let at = |share: f64| OverSeeds::of(runs.iter().filter_map(|run| nll(run, share)).collect());
    let points: Vec<(f64, OverSeeds)> = shares
        .iter()
        .filter_map(|branch| Some((branch.share, at(branch.share)?)))
        .collect();
    let target = OverSeeds::of(targets).filter(|_| arm.slot > 0);
    let crossing = target.and_then(|target| crossing(&points, target.mean));
    Line {
        arm,
        points,
        crossing,
    }
}

fn crossing(points: &[(f64, OverSeeds)], target: f64) -> Option<Point> {
    let means: Vec<(f64, f64)> = points
        .iter()
        .map(|(share, nll)| (*share, nll.mean))
        .collect();
    match reach(&means, target) {
        Reach::At(share) => Some((share, target)),
        Reach::AtMost(_) | Reach::Never => None,
    }
}

fn panel(lines: &[Line<'_>], target: f64) -> Option<Panel> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let y = range_of(
        points()
            .flat_map(|(_, nll)| [nll.min, nll.max])
            .chain([target]),
    )?;
    let first = points().map(|(share, _)| *share).fold(1.0, f64::min);
    let room = 0.04 * (1.0 - first).max(0.1);
    let x = first - room..=1.0 + room;
    let percents = Unit {
        size: 0.01,
        suffix: "\u{202f}%",
        min_tick: 1.0,
        ..Unit::plain("fraction of a whole run\u{2019}s steps, decay included")
    };
    let target = Shape::dashes(
        vec![(*x.start(), target), (*x.end(), target)],
        1.6,
        Paint::Ink,
    );
    let crossings = lines
        .iter()
        .flat_map(|line| crossing_shapes(line, *y.start()));
    let curves = lines.iter().flat_map(line_shapes);
    Some(Panel {
        heading: "NLL of decayed models, nats per token".to_owned(),
        shapes: std::iter::once(target)
            .chain(curves)
            .chain(crossings)
            .collect(),
        x: Axis::of(x, percents),
        y: Axis::values(y),
        heights: [354.0, 274.0],
    })
}

fn line_shapes(line: &Line<'_>) -> Vec<Shape> {
    let (name, paint) = (line.arm.name(), Paint::Arm(line.arm.slot));
    let means = line.points.iter().map(|(share, nll)| (*share, nll.mean));
    let mut shapes = vec![Shape::line(means.collect(), 2.0, paint).tip(name)];
    for (share, nll) in &line.points {
        if nll.values.len() > 1 {
            shapes.push(Shape::line(
                vec![(*share, nll.min), (*share, nll.max)],
                1.4,
                paint,
            ));
        }
        let tip = format!("{name}, {} of the steps: {}", percent(*share), nll.text(4));
        shapes.push(Shape::mark((*share, nll.mean), paint).tip(tip));
    }
    shapes
}

fn crossing_shapes(line: &Line<'_>, bottom: f64) -> Vec<Shape> {
    let paint = Paint::Arm(line.arm.slot);
    let shapes = line.crossing.map(|(share, nll)| {
        let tip = format!(
            "{} crosses at {} of the steps",
            line.arm.name(),
            percent(share)
        );
        [
            Shape::dashes(vec![(share, nll), (share, bottom)], 1.2, paint),
            Shape::hollow_mark((share, nll), 5.4, paint).tip(tip),
        ]
    });
    shapes.into_iter().flatten().collect()
}
