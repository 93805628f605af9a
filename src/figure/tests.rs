use super::axis::ticks;
use super::series::{clipped, thinned};
use super::svg::{shortened, width_of};
use super::*;
use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;

fn panel(heading: &str, shapes: Vec<Shape>) -> Panel {
    Panel {
        heading: heading.to_owned(),
        x: Axis::of(0.0..=10.0, Unit::plain("steps")),
        y: Axis::values(0.0..=2.0),
        heights: [100.0, 80.0],
        shapes,
    }
}

fn row_of(panels: Vec<Panel>) -> Picture {
    let legend = vec![Entry::new(Kind::Line, Paint::Arm(1), "salt")];
    Picture::of(legend, vec![panels])
}

/// Position of each text that is `text`.
fn places_of(svg: &str, text: &str) -> Vec<(f64, f64)> {
    let number = |element: &str, key: &str| -> f64 {
        let (_, rest) = element.rsplit_once(&format!(" {key}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    let end = format!(">{text}</text>");
    let before = svg.match_indices(&end).map(|(at, _)| &svg[..at]);
    before
        .map(|svg| (number(svg, "x"), number(svg, "y")))
        .collect()
}

#[test]
fn text_cannot_end_an_element_or_turn_the_direction_of_the_page() {
    let text = "<script>\u{202e}a\u{2066}b\u{1b}\n\"'&";
    let safe = escape(text);
    assert_eq!(
        safe,
        "&lt;script&gt;\\u{202e}a\\u{2066}b\\u{1b}\n&quot;&#39;&amp;"
    );
}

#[test]
fn panels_of_a_row_are_side_by_side_if_they_fit_and_stacked_otherwise() {
    let picture = row_of(vec![panel("One", Vec::new()), panel("Two", Vec::new())]);
    let at = |width, heading| places_of(&picture.inline(width, "x"), heading)[0];
    let (wide, narrow) = (
        (at(1000.0, "One"), at(1000.0, "Two")),
        (at(360.0, "One"), at(360.0, "Two")),
    );
    assert!(
        wide.0.1 == wide.1.1 && wide.0.0 + 400.0 < wide.1.0,
        "{wide:?}"
    );
    assert!(
        narrow.0.0 == narrow.1.0 && narrow.0.1 + 100.0 < narrow.1.1,
        "{narrow:?}"
    );
}

#[test]
fn a_heading_without_room_loses_its_unit_first_and_then_its_beginning() {
    let heading = "NLL less that of the baseline on books and papers, nats per token";
    let picture = row_of(vec![panel(heading, Vec::new())]);
    assert_eq!(places_of(&picture.inline(1000.0, "x"), heading).len(), 1);
    let (what, _) = heading.rsplit_once(", ").unwrap();
    assert_eq!(places_of(&picture.inline(400.0, "x"), what).len(), 1);
    for room in [60.0, 200.0, 5000.0] {
        let short = shortened(heading, 14.0, room);
        assert!(width_of(&short, 14.0) <= room, "{short}");
        assert!(
            heading.ends_with(short.trim_start_matches('\u{2026}')),
            "{short}"
        );
    }
}

#[test]
fn shapes_carry_their_arm_and_say_their_tip() {
    let line = Shape::line(vec![(0.0, 1.0), (5.0, 1.5)], 2.0, Paint::Arm(3)).tip("<salt>");
    let svg = row_of(vec![panel("One", vec![line])]).inline(1000.0, "label");
    assert!(svg.contains("data-arm=\"3\" d=\"M52 "), "{svg}");
    assert!(svg.contains("<title>&lt;salt&gt;</title>"), "{svg}");
    assert!(svg.contains("aria-label=\"label\""), "{svg}");
}

#[test]
fn points_outside_a_panel_are_not_drawn() {
    let n_paths = |shapes: Vec<Shape>| {
        let svg = row_of(vec![panel("One", shapes)]).inline(1000.0, "x");
        svg.matches("<path ").count()
    };
    let empty = n_paths(Vec::new());
    let line = |ys: &[f64]| {
        let points = (0..).map(f64::from).zip(ys.iter().copied()).collect();
        vec![Shape::line(points, 2.0, Paint::Ink)]
    };
    assert_eq!(n_paths(line(&[5.0, 6.0, f64::NAN])), empty);
    assert_eq!(n_paths(line(&[1.0, 6.0, 1.0])), empty + 2);
    assert_eq!(
        n_paths(line(&[1.0])),
        empty + 1,
        "a line of one point is a mark"
    );
    assert_eq!(n_paths(vec![Shape::mark((1.0, 3.0), Paint::Ink)]), empty);
}

#[test]
fn runs_that_change_at_the_same_place_share_a_line_and_others_keep_their_colours() {
    let places = [(5.0, 1, "a"), (5.01, 2, "b"), (7.0, 3, "c")];
    let lines = changes(places.into_iter(), &(0.0..=10.0), &(0.0..=2.0));
    let labels_shown: Vec<_> = lines
        .iter()
        .map(|line| (line.paint, line.tip.as_deref().unwrap()))
        .collect();
    assert_eq!(
        labels_shown,
        [
            (Paint::Muted, "from labels to tokens: a, b"),
            (Paint::Arm(3), "from labels to tokens: c")
        ]
    );
}

/// A page declares the colours; a separate file has them inline, since few viewers support CSS variables.
#[test]
fn a_file_has_its_colours_and_a_page_sets_them_for_both_grounds() {
    let picture = row_of(vec![panel("One", Vec::new())]);
    let file = picture.standalone(500.0, "x");
    assert!(
        file.contains(".f-ink{fill:#1c2128}") && !file.contains("var("),
        "{file}"
    );
    assert!(!picture.inline(500.0, "x").contains("<style>"));
    assert!(rules(true).contains(".s-a1{stroke:var(--a1)}"));
    assert!(
        variables(false).contains("--a1:#0072b2;") && variables(true).contains("--a1:#4da8e8;")
    );
}

/// Number of dark pixels in a box of a picture without curves, which are text.
fn n_dark(png: &Pixmap, (left, top): (u32, u32), (right, bottom): (u32, u32)) -> usize {
    let all = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
    all.filter(|&(x, y)| png.pixel(x, y).unwrap().green() < 150)
        .count()
}

#[test]
fn a_png_has_the_text_of_the_svg_and_as_many_pixels_as_asked_for() {
    let picture = row_of(vec![panel("Heading", Vec::new())]);
    let svg = picture.standalone(500.0, "x");
    let of = |density| Pixmap::decode_png(&png(&svg, density).unwrap()).unwrap();
    let (one, two) = (of(1.0), of(2.0));
    assert_eq!(
        (one.width(), two.width(), two.height()),
        (532, 1064, 2 * one.height())
    );
    // The heading is left of the middle and beneath the legend, with nothing right of it.
    assert!(n_dark(&one, (16, 44), (120, 66)) > 60);
    assert_eq!(n_dark(&one, (200, 44), (500, 66)), 0);
    let without = svg.replace(">Heading<", "><");
    let without = Pixmap::decode_png(&png(&without, 1.0).unwrap()).unwrap();
    assert_eq!(n_dark(&without, (16, 44), (120, 66)), 0);
}

#[test]
fn a_png_renders_the_minus_sign() {
    let mut negative = panel("x", Vec::new());
    negative.y.range = -2.0..=-1.0;
    let svg = row_of(vec![negative]).standalone(500.0, "x");
    assert!(
        svg.contains(">\u{2212}2.0<") || svg.contains(">\u{2212}1.5<"),
        "{svg}"
    );
    let hyphenless = svg.replace('\u{2212}', "");
    assert!(png(&svg, 1.0).unwrap() != png(&hyphenless, 1.0).unwrap());
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
    assert_eq!(
        labels(0.0, 2.1e6, 4, 0.0),
        ["0", "5e5", "1e6", "1.5e6", "2e6"]
    );
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
    let range_of_curve = |points: &[Point], start| range_of(settled([points].into_iter(), start));
    let range = range_of_curve(&points, 5.0).unwrap();
    assert!(*range.end() < 3.3 && *range.start() < 3.0, "{range:?}");
    assert_eq!(range_of_curve(&[(1.0, f64::NAN)], 0.0), None);
    let ended = range_of_curve(&[(1.0, 2.0), (2.0, 4.0)], 5.0).unwrap();
    assert!(ended.contains(&2.0) && ended.contains(&4.0), "{ended:?}");
    let flat = range_of_curve(&[(1.0, 2.0)], 0.0).unwrap();
    assert!(flat.contains(&2.0) && flat.end() > flat.start());
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
