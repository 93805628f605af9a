//! Shapes and text in points, as SVG.

use super::palette::{self, Paint, slot};
use super::shape::{Kind, Point, Shape};
use crate::visible::printable;
use std::fmt::Write;

/// Font sizes of the title, of headings, and of the labels of axes and legend, in points.
pub(super) const TITLE_SIZE: f64 = 18.0;
pub(super) const HEADING_SIZE: f64 = 14.0;
pub(super) const LABEL_SIZE: f64 = 12.5;
/// Margin around a picture in a separate file, in points.
const ROOM: f64 = 16.0;
const FONTS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

/// Which part of a text is at its position; vertically always the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture being drawn.
pub(super) struct Svg {
    pub(super) width: f64,
    pub(super) height: f64,
    body: String,
}

impl Svg {
    /// An empty picture, `width` points wide.
    pub(super) fn new(width: f64) -> Self {
        Self {
            width,
            height: 0.0,
            body: String::new(),
        }
    }

    /// For a page that declares the tones and rules itself. Screen readers read `label` in its place.
    pub(super) fn inline(self, label: &str) -> String {
        let (width, height, label) = (self.width, rounded(self.height), escape(label));
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{}</svg>",
            self.body
        )
    }

    /// A separate file, on light ground.
    pub(super) fn standalone(self, label: &str) -> String {
        let (width, height) = (self.width + 2.0 * ROOM, (self.height + 2.0 * ROOM).ceil());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"-{ROOM} -{ROOM} {width} {height}\" font-family=\"{FONTS}\" role=\"img\" aria-label=\"{}\">\
             <style>{}</style>\
             <rect x=\"-{ROOM}\" y=\"-{ROOM}\" width=\"100%\" height=\"100%\" class=\"f-paper\"/>{}</svg>\n",
            escape(label),
            palette::rules(false),
            self.body
        )
    }

    /// `shape` through `spots`, in points. An arm's shapes carry its number, and a tip becomes a `title`.
    pub(super) fn shape(&mut self, shape: &Shape, spots: &[Point]) {
        let (name, size, opacity) = (shape.paint.name(), shape.size, shape.opacity);
        let is_dashed = shape.kind == Kind::Dashes || shape.paint.is_repeated();
        let dashes = if is_dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        let corners = |at: &Point| path(&mark_corners(*at, size, shape.arm.map_or(0, slot))) + "Z";
        let marks = || spots.iter().map(corners).collect::<String>();
        let (parts, curve) = if shape.is_curve() {
            (100.0, " c")
        } else {
            (10.0, "")
        };
        let (look, path) = match shape.kind {
            Kind::Line | Kind::Dashes => (
                format!(
                    "class=\"s-{name}{curve}\" fill=\"none\" stroke-opacity=\"{opacity}\" stroke-width=\"{size}\" stroke-linejoin=\"round\"{dashes}"
                ),
                path_to(parts, spots),
            ),
            Kind::Area => (
                format!("class=\"f-{name}\" fill-opacity=\"{opacity}\""),
                path(spots) + "Z",
            ),
            Kind::Mark => (
                format!("class=\"f-{name} s-paper\" stroke-width=\"0.8\""),
                marks(),
            ),
            Kind::HollowMark => (
                format!("class=\"f-paper s-{name}\" stroke-width=\"1.8\""),
                marks(),
            ),
        };
        let tip = shape.tip.as_deref().map(escape);
        let tip = tip.map_or(String::new(), |tip| format!("<title>{tip}</title>"));
        let arm = of_arm(shape.arm);
        let _ = write!(self.body, "<path {look}{arm} d=\"{path}\">{tip}</path>");
    }

    /// Begins a plot with `scales`: left, right, top and bottom in points, then the values there. x is in a
    /// `unit` of that `size`. From these a page computes the values under the pointer.
    pub(super) fn begin_plot(&mut self, scales: &[f64; 8], unit: &str, size: f64) {
        let scales = scales.map(|value| value.to_string()).join(" ");
        let unit = escape(unit);
        let _ = write!(
            self.body,
            "<g data-plot=\"{scales}\" data-unit=\"{unit}\" data-size=\"{size}\">"
        );
    }

    pub(super) fn end_plot(&mut self) {
        self.body += "</g>";
    }

    /// One line of text, larger than a label in bold.
    pub(super) fn text(
        &mut self,
        at: Point,
        anchor: Anchor,
        (size, paint): (f64, Paint),
        text: &str,
        arm: Option<usize>,
    ) {
        // Viewers centre text differently, so the baseline is set here.
        let (x, y) = (rounded(at.0), rounded(at.1 + 0.35 * size));
        let (name, arm, text) = (paint.name(), of_arm(arm), escape(text));
        let weight = if size > LABEL_SIZE {
            " font-weight=\"600\""
        } else {
            ""
        };
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            "<text class=\"f-{name}\"{arm} x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\"{weight}>{text}</text>"
        );
    }
}

fn of_arm(arm: Option<usize>) -> String {
    arm.map_or(String::new(), |arm| format!(" data-arm=\"{arm}\""))
}

fn path(spots: &[Point]) -> String {
    path_to(10.0, spots)
}

/// Through `spots`, rounded to 1 / `parts` of a point.
fn path_to(parts: f64, spots: &[Point]) -> String {
    let mut path = String::new();
    let rounded = |value: f64| (value * parts).round() / parts;
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

/// The corners of a series' mark around `at`; a circle has many corners.
fn mark_corners(at: Point, radius: f64, slot: usize) -> Vec<Point> {
    // Number of corners, rotation, and a scale that makes the marks look equally large.
    let (n, turn, scale) = match slot % 4 {
        0 => (24, 0.0, 1.0),
        1 => (4, 0.125, 1.25),
        2 => (3, -0.25, 1.4),
        _ => (4, 0.0, 1.3),
    };
    let corner = |i: i32| {
        let angle = (f64::from(i) / f64::from(n) + turn) * std::f64::consts::TAU;
        let r = radius * scale;
        (at.0 + r * angle.cos(), at.1 + r * angle.sin())
    };
    (0..n).map(corner).collect()
}

/// Approximate width of a text in a reader's sans-serif font, good enough for layout.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.3,
        'f' | 't' | 'r' | '(' | ')' | '-' | '/' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' => 0.88,
        c if c.is_ascii_uppercase() => 0.68,
        _ => 0.57,
    };
    text.chars().map(of).sum::<f64>() * size
}

/// As much of the end of `text` as fits. The end tells more than the beginning: it has a run's own name and the
/// value.
pub(super) fn shortened(text: &str, size: f64, room: f64) -> String {
    if width_of(text, size) <= room {
        return text.to_owned();
    }
    let mut rest = text.chars();
    while width_of(rest.as_str(), size) > room - size && rest.next().is_some() {}
    format!("\u{2026}{}", rest.as_str())
}

/// Text for SVG and HTML, including attributes. Unseen characters are written out: control characters, which
/// markup cannot hold, and marks that change the text direction. Line feeds stay.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            safe.push('\n');
        }
        for character in printable(line).chars() {
            match character {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                other => safe.push(other),
            }
        }
    }
    safe
}
