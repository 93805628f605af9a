use super::axis::{XAxis, ticks};
use super::canvas::dashed;
use super::series::{Point, clipped, smoothed, thinned, y_range};
use super::*;
use crate::error::{Classified, Kind};
use crate::train::metrics::{
    METRICS_NAME, MetricsLine, MetricsWriter, StageLine, TrainLine, ValidLine,
};
use crate::train::schedule::Stage;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// A run of `steps` steps in `dir`; with `n_kd`, of two stages; validated every 10 steps or never.
fn write_run(dir: &Path, steps: u64, n_kd: Option<u64>, has_validation: bool) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let mut writer = MetricsWriter::create(&dir.join(METRICS_NAME)).unwrap();
    for step in 1..=steps {
        let (tokens, seconds) = (step * 100_000, step as f64 * 30.0);
        let is_stage_1 = n_kd.is_some_and(|n_kd| step <= n_kd);
        let stage = if is_stage_1 { Stage::One } else { Stage::Two };
        if n_kd == Some(step - 1) {
            let line = StageLine {
                step,
                tokens: tokens - 100_000,
                seconds: seconds - 30.0,
                stage,
            };
            writer.write(&MetricsLine::Stage(line)).unwrap();
        }
        // Every other value far off, so that lines turn sharply.
        let ce = 3.0 + 40.0 / step as f64 + if step % 2 == 0 { 0.4 } else { -0.4 };
        let line = TrainLine {
            step,
            tokens,
            seconds,
            stage,
            loss: ce,
            ce,
            kd: None,
            omega: if is_stage_1 { 0.5 } else { 0.0 },
            lr: 1e-3,
            grad_norm: 1.0 + (step % 3) as f64,
            tokens_per_s: 1e3,
            mfu: None,
            teacher_nll: None,
            student_nll: None,
            variance: None,
        };
        writer.write(&MetricsLine::Train(line)).unwrap();
        if has_validation && step % 10 == 0 {
            let line = ValidLine {
                step,
                tokens,
                seconds,
                val_nll: 3.0 + 9.0 / step as f64,
                val_n_targets: 9,
            };
            writer.write(&MetricsLine::Valid(line)).unwrap();
        }
    }
    dir.to_owned()
}

fn svg_of(runs: &[PathBuf], options: &PlotOptions) -> String {
    let dir = tempfile::tempdir().unwrap();
    let plotted = plot_runs(runs, &dir.path().join("curves"), options).unwrap();
    std::fs::read_to_string(plotted.svg).unwrap()
}

/// Width and RGB bytes of a PNG.
fn decode(path: &Path) -> (usize, Vec<u8>) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    (info.width as usize, rgb)
}

#[test]
fn a_picture_has_every_panel_run_and_value() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [
        write_run(&dir.path().join("salt"), 100, Some(30), true),
        write_run(&dir.path().join("baseline"), 100, None, true),
    ];
    let options = PlotOptions {
        title: Some("Two <runs>".to_owned()),
        ..Default::default()
    };
    let svg = svg_of(&runs, &options);
    for text in [
        "Two &lt;runs&gt;",
        "Training cross-entropy, nats/token",
        "Validation NLL, nats/token",
        "Learning rate",
        "omega",
        "Gradient norm",
        "steps",
        "salt: validation 3.090",
        "baseline: validation 3.090",
        "change from labels to tokens",
        "<svg width=\"1200\"",
    ] {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn panels_that_no_run_has_anything_for_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = write_run(&dir.path().join("a"), 50, None, false);
    let svg = svg_of(&[run], &PlotOptions::default());
    for text in ["Validation", "omega", "change from labels"] {
        assert!(!svg.contains(text), "{text}");
    }
    assert!(svg.contains("Training cross-entropy"));
}

#[test]
fn the_png_is_1200_wide_and_curves_stay_in_their_panels() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [write_run(&dir.path().join("a"), 3000, Some(900), true)];
    let plotted = plot_runs(&runs, &dir.path().join("x.png"), &PlotOptions::default()).unwrap();
    assert_eq!(plotted.png, dir.path().join("x.png"));
    assert_eq!(plotted.svg, dir.path().join("x.svg"));
    let (width, rgb) = decode(&plotted.png);
    assert_eq!(width, 1200);
    // Text is grey; only curves have a hue.
    let has_hue = |pixel: &[u8]| pixel.iter().max().unwrap() - pixel.iter().min().unwrap() > 40;
    let n_hued = |row: usize| {
        let bytes = &rgb[row * width * 3..(row + 1) * width * 3];
        bytes.chunks_exact(3).filter(|pixel| has_hue(pixel)).count()
    };
    // Without a title the upper panels lie between 42 and 380, the lower ones from 462 to 620.
    assert!(
        (384..458).all(|row| n_hued(row) == 0),
        "a curve runs out of an upper panel"
    );
    assert!(
        (624..664).all(|row| n_hued(row) == 0),
        "a curve runs out of a lower panel"
    );
    assert!(
        (0..38).all(|row| n_hued(row) == 0),
        "a curve runs into a heading"
    );
    assert!(
        (60..370).all(|row| n_hued(row) > 0),
        "the dashed line and the curve cross the panel"
    );
}

#[test]
fn the_same_runs_make_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [write_run(&dir.path().join("a"), 60, Some(20), true)];
    let bytes = |name: &str| {
        let plotted = plot_runs(&runs, &dir.path().join(name), &PlotOptions::default()).unwrap();
        (
            std::fs::read(plotted.svg).unwrap(),
            std::fs::read(plotted.png).unwrap(),
        )
    };
    assert!(bytes("x") == bytes("y"));
}

#[test]
fn runs_are_named_by_the_shortest_end_of_their_paths_that_tells_them_apart() {
    let dir = tempfile::tempdir().unwrap();
    let runs =
        ["a/run", "b/run", "c"].map(|name| write_run(&dir.path().join(name), 9, None, false));
    let svg = svg_of(&runs, &PlotOptions::default());
    for name in ["\na/run\n", "\nb/run\n", "\nc\n"] {
        assert!(svg.contains(name), "{name}: {svg}");
    }
}

#[test]
fn the_x_axis_counts_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [write_run(&dir.path().join("a"), 100, None, false)];
    for (x, unit) in [
        (XAxis::Step, "\nsteps\n"),
        (XAxis::Tokens, "\nmillion tokens\n"),
        (XAxis::Seconds, "\nminutes\n"),
    ] {
        assert!(
            svg_of(&runs, &PlotOptions { x, title: None }).contains(unit),
            "{unit}"
        );
    }
}

#[test]
fn omega_falls_at_once_where_the_stage_changes() {
    let dir = tempfile::tempdir().unwrap();
    let run = write_run(&dir.path().join("salt"), 8, Some(3), false);
    let curves = super::curves::read_runs(&[run], XAxis::Step).unwrap();
    let omega = &curves[0].omega;
    let at_change: Vec<f64> = omega.iter().filter(|p| p.0 == 3.0).map(|p| p.1).collect();
    assert_eq!(at_change, [0.5, 0.5, 0.0], "{omega:?}");
}

#[test]
fn a_run_of_one_step_and_one_without_numbers_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let one = write_run(&dir.path().join("one"), 1, None, false);
    let broken = write_run(&dir.path().join("nan"), 3, None, false);
    let path = broken.join(METRICS_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("\"grad_norm\":", "\"grad_norm\":null,\"was\":");
    std::fs::write(&path, text).unwrap();
    assert!(svg_of(&[one, broken.clone()], &PlotOptions::default()).contains("Gradient norm"));
    assert!(!svg_of(&[broken], &PlotOptions::default()).contains("Gradient norm"));
}

#[test]
fn what_is_no_run_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let good = write_run(&path("good"), 5, None, false);
    std::fs::create_dir_all(path("empty")).unwrap();
    std::fs::write(path("empty").join(METRICS_NAME), "").unwrap();
    write_run(&path("bad"), 2, None, false);
    std::fs::write(path("bad").join(METRICS_NAME), "{}\n").unwrap();
    let cases = [
        (
            vec![path("absent")],
            "absent is no run: expected a directory with metrics.jsonl",
            Kind::Usage,
        ),
        (vec![dir.path().to_owned()], "is no run", Kind::Usage),
        (
            vec![good.clone(), path("empty")],
            "empty has nothing to draw",
            Kind::Usage,
        ),
        (
            vec![good.clone(), path("bad")],
            "metrics.jsonl, line 1",
            Kind::BadData,
        ),
        (
            vec![good.clone(), path("empty/../good")],
            "is given twice",
            Kind::Usage,
        ),
        (
            vec![],
            "expected 1 to 14 runs in one picture, got 0",
            Kind::Usage,
        ),
        (vec![good.clone(); 15], "got 15", Kind::Usage),
    ];
    for (runs, part, kind) in cases {
        let error = plot_runs(&runs, &path("x"), &PlotOptions::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_eq!(error.kind(), kind);
    }
    assert!(!path("x.svg").exists() && !path("x.png").exists());
}

#[test]
fn an_ending_of_the_output_is_not_doubled_and_a_dot_in_a_name_is_no_ending() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [write_run(&dir.path().join("a"), 3, None, false)];
    for (output, svg) in [("c.svg", "c.svg"), ("lr-0.1", "lr-0.1.svg"), ("d", "d.svg")] {
        let plotted = plot_runs(&runs, &dir.path().join(output), &PlotOptions::default()).unwrap();
        assert_eq!(plotted.svg, dir.path().join(svg));
        assert!(plotted.svg.exists() && plotted.png.exists());
    }
}

fn labels(low: f64, high: f64, n: usize, least: f64) -> Vec<String> {
    let ticks = ticks(&(low..=high), n, least);
    ticks.into_iter().map(|tick| tick.label).collect()
}

#[test]
fn ticks_are_round_and_labels_tell_them_apart() {
    assert_eq!(
        labels(0.0, 4000.0, 4, 1.0),
        ["0", "1000", "2000", "3000", "4000"]
    );
    assert_eq!(labels(3.02, 4.4, 3, 0.0), ["3.5", "4.0"]);
    assert_eq!(labels(0.0, 8.19, 4, 0.0), ["0", "2", "4", "6", "8"]);
    assert_eq!(labels(0.0, 1.05e-3, 4, 0.0), ["0", "5e-4", "1e-3"]);
    assert_eq!(labels(0.0, 1.6e-3, 4, 0.0), ["0", "5e-4", "1e-3", "1.5e-3"]);
    assert_eq!(labels(0.0, 1.0, 5, 1.0), ["0", "1"], "there is no step 0.2");
    assert_eq!(
        labels(-1.0, 1.0, 4, 0.0),
        ["-1.0", "-0.5", "0", "0.5", "1.0"]
    );
    assert_eq!(
        labels(3.061, 3.0625, 3, 0.0),
        ["3.0610", "3.0615", "3.0620", "3.0625"]
    );
}

#[test]
fn units_are_such_that_numbers_are_short() {
    let name = |x: XAxis, most| x.unit(most).name;
    assert_eq!(name(XAxis::Step, 99_999.0), "steps");
    assert_eq!(name(XAxis::Step, 2e5), "thousand steps");
    assert_eq!(name(XAxis::Tokens, 1.9e6), "thousand tokens");
    assert_eq!(name(XAxis::Tokens, 3e9), "billion tokens");
    assert_eq!(name(XAxis::Seconds, 90.0), "seconds");
    assert_eq!(name(XAxis::Seconds, 7000.0), "minutes");
    assert_eq!(name(XAxis::Seconds, 7200.0), "hours");
}

#[test]
fn a_line_is_cut_where_it_leaves_the_range_and_where_there_is_no_number() {
    let points = [
        (0.0, 5.0),
        (1.0, 1.0),
        (2.0, 3.0),
        (3.0, f64::NAN),
        (4.0, 1.0),
        (5.0, 9.0),
    ];
    let parts = clipped(&points, &(0.0..=2.0));
    assert_eq!(
        parts,
        [
            vec![(0.75, 2.0), (1.0, 1.0), (1.5, 2.0)],
            vec![(4.0, 1.0), (4.125, 2.0)]
        ]
    );
    let through = clipped(&[(0.0, -1.0), (1.0, 3.0)], &(0.0..=2.0));
    assert_eq!(through, [vec![(0.25, 0.0), (0.75, 2.0)]]);
}

#[test]
fn the_fall_from_the_first_loss_does_not_set_the_range() {
    let points: Vec<Point> = (0..=100)
        .map(|i| (f64::from(i), 3.0 + 8.0 * 0.5f64.powi(i)))
        .collect();
    let range = y_range([points.as_slice()].into_iter(), &(0.0..=100.0)).unwrap();
    assert!(*range.end() < 3.3 && *range.start() < 3.0, "{range:?}");
    assert_eq!(
        y_range([[(1.0, f64::NAN)].as_slice()].into_iter(), &(0.0..=1.0)),
        None
    );
    let flat = y_range([[(1.0, 2.0)].as_slice()].into_iter(), &(0.0..=1.0)).unwrap();
    assert!(flat.contains(&2.0) && flat.end() > flat.start());
}

#[test]
fn dashes_and_gaps_follow_the_line_around_corners() {
    let parts = dashed(&[(0.0, 0.0), (3.0, 0.0), (3.0, 7.0)], 4.0, 2.0, 0.0);
    assert_eq!(
        parts,
        [
            vec![(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)],
            vec![(3.0, 3.0), (3.0, 7.0)]
        ]
    );
    let second_turn = dashed(&[(0.0, 0.0), (12.0, 0.0)], 3.0, 3.0, -3.0);
    assert_eq!(
        second_turn,
        [vec![(3.0, 0.0), (6.0, 0.0)], vec![(9.0, 0.0), (12.0, 0.0)]]
    );
}

proptest! {
    #[test]
    fn smoothing_stays_within_the_values_and_keeps_a_level(
        ys in prop::collection::vec(-5.0..5.0f64, 1..400),
    ) {
        let points: Vec<Point> = (0..).map(f64::from).zip(ys.iter().copied()).collect();
        let (low, high) = ys.iter().fold((f64::MAX, f64::MIN), |(l, h), &y| (l.min(y), h.max(y)));
        let smooth = smoothed(&points);
        prop_assert_eq!(smooth.len(), points.len());
        prop_assert!(smooth.iter().all(|(_, y)| *y >= low - 1e-9 && *y <= high + 1e-9));
        let level: Vec<Point> = points.iter().map(|(x, _)| (*x, 2.5)).collect();
        prop_assert!(smoothed(&level).iter().all(|(_, y)| (y - 2.5).abs() < 1e-12));
    }

    #[test]
    fn clipping_leaves_only_points_of_the_line_within_the_range(
        ys in prop::collection::vec(-5.0..5.0f64, 1..60),
        (low, high) in (-4.0..0.0f64, 0.1..4.0f64),
    ) {
        let points: Vec<Point> = (0..).map(f64::from).zip(ys.iter().copied()).collect();
        let parts = clipped(&points, &(low..=high));
        for &(x, y) in parts.iter().flatten() {
            prop_assert!(y >= low && y <= high);
            let (i, rest) = (x.floor() as usize, x.fract());
            let next = ys.get(i + 1).copied().unwrap_or(ys[i]);
            prop_assert!((ys[i] + (next - ys[i]) * rest - y).abs() < 1e-6);
        }
        let n_within = ys.iter().filter(|y| (low..=high).contains(*y)).count();
        let n_kept = parts.iter().flatten().filter(|(x, _)| x.fract() == 0.0).count();
        prop_assert_eq!(n_kept, n_within);
    }

    #[test]
    fn thinning_keeps_the_extremes_and_the_order(ys in prop::collection::vec(-5.0..5.0f64, 1..9000)) {
        let points: Vec<Point> = (0..).map(f64::from).zip(ys.iter().copied()).collect();
        let thin = thinned(&points);
        prop_assert!(thin.len() <= 1600 && thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for extreme in [f64::min, f64::max] {
            let of = |points: &[Point]| points.iter().map(|p| p.1).reduce(extreme);
            prop_assert_eq!(of(&thin), of(&points));
        }
    }
}
