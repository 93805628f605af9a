//! A scene as SVG.

use super::palette::{self, Paint, slot};
use super::scene::{Anchor, Form, Scene, Shape, Spot, mark_corners};
use crate::experiment::report::page::escape;
use std::fmt::Write;

const FONT: &str =
    "system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif";

/// For a page that declares the tones and rules itself. `label` is what is read aloud in its place.
pub(crate) fn inline(scene: &Scene, label: &str) -> String {
    let (width, height) = (scene.width, scene.height);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(label)
    );
    push_shapes(&mut svg, scene);
    svg + "</svg>"
}

/// A file of its own, on light ground.
pub(crate) fn standalone(scene: &Scene, label: &str) -> String {
    let (width, height) = (scene.width, scene.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\
         <style>svg{{{}font-family:{FONT}}}{}</style>\
         <rect width=\"100%\" height=\"100%\" class=\"f-paper\"/>",
        palette::variables(false),
        palette::rules(),
        label = escape(label),
    );
    push_shapes(&mut svg, scene);
    svg + "</svg>\n"
}

fn push_shapes(svg: &mut String, scene: &Scene) {
    for shape in &scene.shapes {
        svg.push_str(&element(shape));
    }
}

/// Shapes of an arm carry its number, and those with a tip say it in a `title`.
fn element(shape: &Shape) -> String {
    let name = shape.paint.name();
    let arm = shape
        .arm
        .map_or(String::new(), |arm| format!(" data-arm=\"{arm}\""));
    let tip = shape.tip.as_deref().map_or(String::new(), |tip| {
        format!("<title>{}</title>", escape(tip))
    });
    match &shape.form {
        Form::Line {
            spots,
            width,
            is_dashed,
        } => {
            let dashes = match *is_dashed || shape.paint.comes_again() {
                true => " stroke-dasharray=\"6 4\"",
                false => "",
            };
            format!(
                "<path class=\"s-{name}\"{arm} stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes} d=\"{}\">{tip}</path>",
                path(spots)
            )
        }
        Form::Area { spots, opacity } => format!(
            "<path class=\"f-{name}\"{arm} fill-opacity=\"{opacity}\" d=\"{}Z\">{tip}</path>",
            path(spots)
        ),
        Form::Mark {
            at,
            radius,
            is_hollow,
        } => {
            let corners = mark_corners(*at, *radius, mark_slot(shape));
            let (fill, stroke) = match is_hollow {
                true => (Paint::Paper.name(), name),
                false => (name, Paint::Paper.name()),
            };
            format!(
                "<path class=\"f-{fill}\" style=\"stroke:var(--{stroke})\"{arm} stroke-width=\"{}\" d=\"{}Z\">{tip}</path>",
                if *is_hollow { 1.8 } else { 0.8 },
                path(&corners)
            )
        }
        Form::Text {
            at,
            anchor,
            size,
            is_bold,
            text,
        } => format!(
            "<text class=\"f-{name}\"{arm} x=\"{}\" y=\"{}\" font-size=\"{size}\" text-anchor=\"{}\"{}>{}{tip}</text>",
            rounded(at.0),
            // Browsers differ in how they centre text, so the base line is set by hand.
            rounded(at.1 + 0.35 * size),
            match anchor {
                Anchor::Left => "start",
                Anchor::Middle => "middle",
                Anchor::Right => "end",
            },
            if *is_bold { " font-weight=\"600\"" } else { "" },
            escape(text)
        ),
    }
}

/// Which form the mark of a shape has.
pub(super) fn mark_slot(shape: &Shape) -> usize {
    shape.arm.map_or(0, slot)
}

fn path(spots: &[Spot]) -> String {
    let mut path = String::new();
    for (i, (x, y)) in spots.iter().enumerate() {
        let command = if i == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{} {}", rounded(*x), rounded(*y));
    }
    path
}

/// To a tenth of a point.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
