//! A drawing surface in points of a picture 1200 wide, over either backend.

use epaint_default_fonts::UBUNTU_LIGHT;
use plotters::backend::DrawingBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle, register_font};

/// Pixels a point, drawn: the bitmap is averaged down afterwards, which smooths every edge, and the
/// vectors get coordinates finer than the whole numbers that the backend writes.
pub(crate) const SCALE: u32 = 3;
/// The generic family: an SVG's reader brings its own; a bitmap gets the font that is built in.
const FAMILY: &str = "sans-serif";
/// plotters' sizes are of a whole line, not of an em.
const LINE_OF_EM: f64 = 1.24;

/// Text in the picture.
pub(crate) const INK: RGBColor = RGBColor(30, 30, 30);
/// Text and lines that stand back.
pub(crate) const GREY: RGBColor = RGBColor(90, 90, 90);
/// Grid lines.
pub(crate) const PALE: RGBColor = RGBColor(226, 226, 226);

/// Where a text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// By its left end, in the middle of its height.
    Left,
    /// By its middle.
    Middle,
    /// By its right end, in the middle of its height.
    Right,
}

/// x and y, in points from the top left.
pub(crate) type Spot = (f64, f64);

/// What drawing on a backend may fail with.
pub(crate) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// The surface.
pub(crate) struct Canvas<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    joins: Joins,
}

/// What a backend does where a wide line turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// It draws any turn well.
    Any,
    /// Its corners shoot far out where the turn is sharp, so lines must end there and begin anew.
    Flat,
}

impl<DB: DrawingBackend> Canvas<DB> {
    /// Over a backend of `SCALE` pixels a point.
    pub(crate) fn new(area: DrawingArea<DB, Shift>, joins: Joins) -> Self {
        // The font is a constant of a crate: it is good or no test passes.
        let _ = register_font(FAMILY, FontStyle::Normal, UBUNTU_LIGHT);
        Self { area, joins }
    }

    /// All white.
    pub(crate) fn clear(&self) -> Drawn<DB> {
        self.area.fill(&plotters::style::WHITE)
    }

    /// A line through spots; a lone spot is a dot.
    pub(crate) fn line(&self, spots: &[Spot], color: RGBColor, width: f64) -> Drawn<DB> {
        if let [spot] = spots {
            return self.dot(*spot, color, 1.5 * width);
        }
        let parts = match self.joins {
            Joins::Any => vec![spots],
            Joins::Flat => between_sharp_turns(spots),
        };
        let style = color.stroke_width((width * f64::from(SCALE)).round() as u32);
        for part in parts {
            let pixels: Vec<_> = part.iter().map(|&spot| pixel(spot)).collect();
            self.area.draw(&PathElement::new(pixels, style))?;
        }
        Ok(())
    }

    /// A line through spots of dashes and gaps of these lengths, `phase` into the first dash.
    pub(crate) fn dashes(
        &self,
        spots: &[Spot],
        (dash, gap): (f64, f64),
        phase: f64,
        color: RGBColor,
        width: f64,
    ) -> Drawn<DB> {
        for part in dashed(spots, dash, gap, phase) {
            self.line(&part, color, width)?;
        }
        Ok(())
    }

    /// A filled circle.
    pub(crate) fn dot(&self, spot: Spot, color: RGBColor, radius: f64) -> Drawn<DB> {
        let radius = (radius * f64::from(SCALE)).round().max(1.0) as i32;
        self.area
            .draw(&Circle::new(pixel(spot), radius, color.filled()))
    }

    /// The inside of a polygon, so far covering what is beneath: `opacity` is from 0 to 1.
    pub(crate) fn area(&self, spots: &[Spot], color: RGBColor, opacity: f64) -> Drawn<DB> {
        let pixels: Vec<_> = spots.iter().map(|&spot| pixel(spot)).collect();
        self.area
            .draw(&Polygon::new(pixels, color.mix(opacity).filled()))
    }

    /// A line of text, `size` points high.
    pub(crate) fn text(
        &self,
        text: &str,
        spot: Spot,
        anchor: Anchor,
        size: f64,
        color: RGBColor,
    ) -> Drawn<DB> {
        let h_pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = style(size).pos(Pos::new(h_pos, VPos::Center)).color(&color);
        self.area
            .draw(&Text::new(text.to_owned(), pixel(spot), style))
    }

    /// Width of a line of text in points.
    pub(crate) fn width(
        &self,
        text: &str,
        size: f64,
    ) -> Result<f64, DrawingAreaErrorKind<DB::ErrorType>> {
        let (width, _) = self.area.estimate_text_size(text, &style(size))?;
        Ok(f64::from(width) / f64::from(SCALE))
    }

    /// Hands the drawing over to the backend.
    pub(crate) fn present(&self) -> Drawn<DB> {
        self.area.present()
    }
}

fn style(size: f64) -> TextStyle<'static> {
    (FAMILY, size * LINE_OF_EM * f64::from(SCALE))
        .into_font()
        .into()
}

fn pixel((x, y): Spot) -> (i32, i32) {
    let scale = f64::from(SCALE);
    ((x * scale).round() as i32, (y * scale).round() as i32)
}

/// The stretches of a line between turns of more than 60 degrees; neighbours share the corner.
fn between_sharp_turns(spots: &[Spot]) -> Vec<&[Spot]> {
    let is_sharp = |i: usize| {
        let (a, b, c) = (spots[i - 1], spots[i], spots[i + 1]);
        let (along, on) = ((b.0 - a.0, b.1 - a.1), (c.0 - b.0, c.1 - b.1));
        let lengths = along.0.hypot(along.1) * on.0.hypot(on.1);
        along.0 * on.0 + along.1 * on.1 < 0.5 * lengths
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for i in (1..spots.len().saturating_sub(1)).filter(|&i| is_sharp(i)) {
        parts.push(&spots[start..=i]);
        start = i;
    }
    parts.push(&spots[start..]);
    parts
}

/// The dashes of a line, each with the corners that it turns.
pub(crate) fn dashed(spots: &[Spot], dash: f64, gap: f64, phase: f64) -> Vec<Vec<Spot>> {
    let mut parts: Vec<Vec<Spot>> = Vec::new();
    let mut at = phase.rem_euclid(dash + gap);
    for pair in spots.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let on_line = |done: f64| {
            (
                x0 + (x1 - x0) * done / length,
                y0 + (y1 - y0) * done / length,
            )
        };
        let mut done = 0.0;
        while done < length {
            let is_dash = at < dash;
            let left = if is_dash { dash - at } else { dash + gap - at };
            let next = (done + left).min(length);
            match parts.last_mut() {
                Some(part) if is_dash && at > 0.0 && part.last() == Some(&on_line(done)) => {
                    part.push(on_line(next));
                }
                _ if is_dash => parts.push(vec![on_line(done), on_line(next)]),
                _ => {}
            }
            at = if next - done < left {
                at + next - done
            } else if is_dash {
                dash
            } else {
                0.0
            };
            done = next;
        }
    }
    parts
}
