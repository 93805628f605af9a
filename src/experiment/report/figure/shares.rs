//! NLL of decayed models over the share of a whole run's steps.

use super::chart::{Chart, roomy};
use super::legend::{self, Sample};
use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene, Spot};
use super::{Figure, is_wide};
use crate::experiment::report::compare::{Arm, Comparison};
use crate::experiment::report::numbers::percent;
use crate::experiment::{Reach, RunResults, Spread, reach};
use crate::train::plot::axis::ticks;

/// Mean decayed models of one arm.
struct Line<'a> {
    arm: &'a Arm<'a>,
    /// Share, and NLL over the seeds that have all of its shares and a finished baseline.
    points: Vec<(f64, Spread)>,
    /// Share and NLL where the mean gets under the last mean of the baseline's runs of the same seeds;
    /// `None` where it never does, or does at its first branch.
    crossing: Option<Spot>,
}

/// `None` where no run has more than its last branch.
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
    let label = "NLL of decayed models over the share of the steps".to_owned();
    let figure = Figure::new("shares", label, |width| {
        scene(width, comparison, &lines, target)
    });
    let set = comparison.first_set();
    let bars = match comparison.has_spread() {
        true => "means over seeds, whiskers from the least to the greatest",
        false => "of one seed",
    };
    Some(figure.caption(
        format!(
            "NLL on {set} of models decayed after a share of the steps of a whole run ({bars}). The dashed line is \
             the baseline\u{2019}s final NLL; a hollow mark is where an arm\u{2019}s mean comes down to that of the same seeds, \
             between branches by a straight line."
        ),
        "A seed that an arm has not finished is left out of its line. Steps are not cost: an arm\u{2019}s labels and its teacher are paid for before the first of them. The crossing of \
         the mean need not be the mean of the crossings of the seeds, which the table has. An arm that is under \
         the line at its first branch crosses somewhere before it, unseen.",
    ))
}

fn line_of<'a>(comparison: &Comparison<'_>, arm: &'a Arm<'a>) -> Line<'a> {
    let n_most = arm.data.runs.iter().map(|run| run.branches.len()).max();
    let whole = arm.data.runs.iter().filter_map(|run| {
        let target = comparison.target(run.seed)?;
        (Some(run.branches.len()) == n_most).then_some((run, (run.seed, target)))
    });
    let (runs, targets): (Vec<&RunResults>, Vec<(u64, f64)>) = whole.unzip();
    let shares = runs.first().map_or(&[][..], |run| run.branches.as_slice());
    let nll = |run: &&RunResults, share: f64| Some((run.seed, run.at(share)?.scores.first()?.nll));
    let at = |share: f64| Spread::of(runs.iter().filter_map(|run| nll(run, share)).collect());
    let points: Vec<(f64, Spread)> = shares
        .iter()
        .filter_map(|branch| Some((branch.share, at(branch.share)?)))
        .collect();
    let target = Spread::of(targets).filter(|_| arm.slot > 0);
    let crossing = target.and_then(|target| crossing(&points, target.mean));
    Line {
        arm,
        points,
        crossing,
    }
}

fn crossing(points: &[(f64, Spread)], target: f64) -> Option<Spot> {
    let means: Vec<(f64, f64)> = points
        .iter()
        .map(|(share, nll)| (*share, nll.mean))
        .collect();
    match reach(&means, target) {
        Reach::At(share) => Some((share, target)),
        Reach::AtMost(_) | Reach::Never => None,
    }
}

fn scene(width: f64, comparison: &Comparison<'_>, lines: &[Line<'_>], target: f64) -> Scene {
    let mut scene = Scene::new(width);
    let mut entries: Vec<(Sample, String)> = lines
        .iter()
        .map(|line| {
            (
                Sample::Line(Paint::Arm(line.arm.slot)),
                line.arm.name().to_owned(),
            )
        })
        .collect();
    let base = &comparison.results.baseline;
    entries.push((Sample::Dashes(Paint::Ink), format!("final NLL of {base}")));
    let top = legend::draw(&mut scene, 0.0, &entries);
    scene.heading("NLL of decayed models, nats per token", (4.0, top + 14.0));
    let height = if is_wide(width) { 400.0 } else { 320.0 };
    let chart = chart(&scene, lines, target, (top + 34.0, height));
    chart.draw_y(&mut scene);
    draw_shares(&mut scene, &chart);
    let y = chart.y_of(target);
    scene.dashed(vec![(chart.left, y), (chart.right, y)], 1.6, Paint::Ink);
    for line in lines {
        draw_line(&mut scene, &chart, line);
    }
    for line in lines {
        draw_crossing(&mut scene, &chart, line);
    }
    scene.height = top + 34.0 + height;
    scene
}

fn chart(scene: &Scene, lines: &[Line<'_>], target: f64, place: (f64, f64)) -> Chart {
    let points = || lines.iter().flat_map(|line| &line.points);
    let low = points().map(|(_, nll)| nll.min).fold(target, f64::min);
    let high = points().map(|(_, nll)| nll.max).fold(target, f64::max);
    let first = points().map(|(share, _)| *share).fold(1.0, f64::min);
    let room = 0.04 * (1.0 - first).max(0.1);
    Chart::new(scene, place, first - room..=1.0 + room, roomy(low, high))
}

fn draw_shares(scene: &mut Scene, chart: &Chart) {
    let in_percent = chart.x.start() * 100.0..=chart.x.end() * 100.0;
    let n = ((chart.right - chart.left) / 70.0).max(2.0) as usize;
    for tick in ticks(&in_percent, n, 1.0) {
        let at = (chart.x_of(tick.at / 100.0), chart.bottom + 15.0);
        let label = format!("{}\u{202f}%", tick.label);
        scene.text(label, at, Anchor::Middle, LABEL_SIZE, Paint::Muted);
    }
    chart.draw_base(scene);
    chart.draw_x_name(scene, "share of a whole run\u{2019}s steps, decay included");
}

fn draw_line(scene: &mut Scene, chart: &Chart, line: &Line<'_>) {
    let paint = Paint::Arm(line.arm.slot);
    let means: Vec<Spot> = line
        .points
        .iter()
        .map(|(share, nll)| chart.spot((*share, nll.mean)))
        .collect();
    scene.line(means, 2.0, paint).tip(line.arm.name());
    for (share, nll) in &line.points {
        let (x, y) = chart.spot((*share, nll.mean));
        if nll.values.len() > 1 {
            let ends = vec![(x, chart.y_of(nll.min)), (x, chart.y_of(nll.max))];
            scene.line(ends, 1.4, paint);
        }
        let mark = scene.mark((x, y), 4.2, paint);
        mark.tip(format!(
            "{}, {} of the steps: {}",
            line.arm.name(),
            percent(*share),
            nll.text(4)
        ));
    }
}

fn draw_crossing(scene: &mut Scene, chart: &Chart, line: &Line<'_>) {
    let Some((share, nll)) = line.crossing else {
        return;
    };
    let (x, y) = chart.spot((share, nll));
    let paint = Paint::Arm(line.arm.slot);
    scene.dashed(vec![(x, y), (x, chart.bottom)], 1.2, paint);
    let mark = scene.hollow_mark((x, y), 5.4, paint);
    mark.tip(format!(
        "{} crosses at {} of the steps",
        line.arm.name(),
        percent(share)
    ));
}
