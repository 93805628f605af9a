use super::*;
use crate::error::{Classified, Kind};
use crate::train::metrics::{
    METRICS_NAME, MetricsLine, MetricsWriter, StageLine, TrainLine, ValidLine,
};
use crate::train::schedule::Stage;
use resvg::tiny_skia::Pixmap;
use std::path::{Path, PathBuf};

/// A run of `steps` steps in `dir`, with two stages if `n_kd` is given; validated every 10 steps or never.
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
        // Every other value is far off, so that lines turn sharply.
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
            learnt_fraction: None,
            kd_fraction: None,
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
        "Training cross-entropy (smoothed), nats/token",
        "Validation NLL, nats/token",
        "Learning rate",
        "Omega, fraction",
        "Gradient norm",
        "steps",
        "salt: validation 3.090",
        "baseline: validation 3.090",
        "change from labels to tokens",
        "width=\"1200\"",
    ] {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn panels_that_no_run_has_anything_for_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = write_run(&dir.path().join("a"), 50, None, false);
    let svg = svg_of(&[run], &PlotOptions::default());
    for text in ["Validation", "Omega", "change from labels"] {
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
    let png = Pixmap::decode_png(&std::fs::read(plotted.png).unwrap()).unwrap();
    assert_eq!(png.width(), 1200);
    // Text is grey; only curves have a hue.
    let has_hue = |x: u32, y: u32| {
        let pixel = png.pixel(x, y).unwrap();
        let parts = [pixel.red(), pixel.green(), pixel.blue()];
        parts.iter().max().unwrap() - parts.iter().min().unwrap() > 40
    };
    let n_hued = |y: u32| (0..1200).filter(|&x| has_hue(x, y)).count();
    // After a margin and the legend, the upper panels lie between 76 and 406, the lower from 498 to 648.
    assert!(
        (0..16).chain(46..72).all(|y| n_hued(y) == 0),
        "a curve runs into a heading"
    );
    assert!(
        (410..494).all(|y| n_hued(y) == 0),
        "a curve runs out of an upper panel"
    );
    assert!(
        (652..png.height()).all(|y| n_hued(y) == 0),
        "a curve runs out of a lower panel"
    );
    assert!(
        (90..400).all(|y| n_hued(y) > 0),
        "the curve crosses the panel"
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
    for name in [">a/run<", ">b/run<", ">c<"] {
        assert!(svg.contains(name), "{name}: {svg}");
    }
}

#[test]
fn the_x_axis_counts_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [write_run(&dir.path().join("a"), 100, None, false)];
    for (x, unit) in [
        (XAxis::Step, ">steps<"),
        (XAxis::Tokens, ">million tokens<"),
        (XAxis::Seconds, ">minutes<"),
    ] {
        assert!(
            svg_of(
                &runs,
                &PlotOptions {
                    x,
                    ..Default::default()
                }
            )
            .contains(unit),
            "{unit}"
        );
    }
}

#[test]
fn a_teacher_is_a_level_line_and_each_run_that_falls_to_it_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let runs = [
        write_run(&path("long"), 100, Some(30), true),
        write_run(&path("short"), 40, None, true),
    ];
    // Its last validation, at step 60, is 3.15. `long` has 3.18 at step 50 and the same 3.15 at step 60.
    let options = PlotOptions {
        teachers: vec![write_run(&path("teacher"), 60, None, true)],
        ..Default::default()
    };
    let plotted = plot_runs(&runs, &path("curves"), &options).unwrap();
    let found: Vec<_> = plotted
        .overtakings
        .iter()
        .map(|o| (o.run.as_str(), o.at))
        .collect();
    assert_eq!(found, [("long", Some(60.0)), ("short", None)]);
    let svg = std::fs::read_to_string(plotted.svg).unwrap();
    assert!(
        svg.contains("teacher, the teacher: validation 3.150"),
        "{svg}"
    );
    assert!(svg.contains("long overtakes teacher"), "{svg}");
    assert!(!svg.contains("short overtakes teacher"), "{svg}");
}

#[test]
fn a_teacher_that_was_validated_on_other_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let runs = [write_run(&path("run"), 20, None, true)];
    let other = write_run(&path("other"), 20, None, true);
    let metrics = other.join(METRICS_NAME);
    let text = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(
        &metrics,
        text.replace("\"val_n_targets\":9", "\"val_n_targets\":10"),
    )
    .unwrap();
    let never = write_run(&path("never"), 20, None, false);
    for (teacher, part) in [
        (other, "other was validated on 10 targets, the run run on 9"),
        (never, "never has no validation NLL"),
        (path("absent"), "absent is not a run"),
    ] {
        let options = PlotOptions {
            teachers: vec![teacher],
            ..Default::default()
        };
        let error = plot_runs(&runs, &path("x"), &options).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_eq!(error.kind(), Kind::Usage);
    }
    assert!(!path("x.svg").exists());
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
fn a_path_that_is_not_a_run_is_refused_by_name() {
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
            "absent is not a run: expected a directory with metrics.jsonl",
            Kind::Usage,
        ),
        (vec![dir.path().to_owned()], "is not a run", Kind::Usage),
        (
            vec![good.clone(), path("empty")],
            "empty has nothing to plot",
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
            "expected 1 to 14 runs in one figure, got 0",
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

#[test]
fn units_keep_numbers_short() {
    let name = |x: XAxis, most| x.unit(most).name;
    assert_eq!(name(XAxis::Step, 99_999.0), "steps");
    assert_eq!(name(XAxis::Step, 2e5), "thousand steps");
    assert_eq!(name(XAxis::Tokens, 1.9e6), "thousand tokens");
    assert_eq!(name(XAxis::Tokens, 3e9), "billion tokens");
    assert_eq!(name(XAxis::Seconds, 90.0), "seconds");
    assert_eq!(name(XAxis::Seconds, 7000.0), "minutes");
    assert_eq!(name(XAxis::Seconds, 7200.0), "hours");
}
