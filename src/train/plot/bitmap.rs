//! A drawing as pixels.

use super::canvas::{Canvas, Drawn, Joins, SCALE};
use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea};

/// What drawing and encoding may fail with.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

type Bitmap<'a> = BitMapBackend<'a>;
type BitmapError<'a> = DrawingAreaErrorKind<<Bitmap<'a> as DrawingBackend>::ErrorType>;

/// What `draw` puts on a surface of `width` by `height` points, as a PNG of a pixel a point.
pub(crate) fn png(
    (width, height): (f64, f64),
    draw: impl FnOnce(&Canvas<Bitmap<'_>>) -> Drawn<Bitmap<'static>>,
) -> Result<Vec<u8>, AnyError> {
    let (width, height) = (width as u32 * SCALE, height as u32 * SCALE);
    let mut rgb = vec![0u8; width as usize * height as usize * 3];
    let backend = BitMapBackend::with_buffer(&mut rgb, (width, height));
    let drawn = draw(&Canvas::new(backend.into_drawing_area(), Joins::Flat));
    drawn.map_err(|error| error.to_string())?;
    let small = averaged(&rgb, width as usize);
    encode(&small, width / SCALE, height / SCALE)
}

/// What `measure` finds of texts, on a surface that is thrown away.
pub(crate) fn measured<T>(
    measure: impl FnOnce(&Canvas<Bitmap<'_>>) -> Result<T, BitmapError<'static>>,
) -> Result<T, AnyError> {
    let mut scratch = [0u8; 3];
    let backend = BitMapBackend::with_buffer(&mut scratch, (1, 1));
    let canvas = Canvas::new(backend.into_drawing_area(), Joins::Flat);
    Ok(measure(&canvas).map_err(|error| error.to_string())?)
}

/// Each square of `SCALE` pixels as one, in a picture `width` pixels wide.
fn averaged(rgb: &[u8], width: usize) -> Vec<u8> {
    let scale = SCALE as usize;
    let band = width * 3 * scale;
    let mut small = Vec::with_capacity(rgb.len() / scale / scale);
    for rows in rgb.chunks_exact(band) {
        for x in 0..width / scale {
            for channel in 0..3 {
                let at =
                    |i: usize| rows[((i / scale) * width + x * scale + i % scale) * 3 + channel];
                let sum: usize = (0..scale * scale).map(|i| usize::from(at(i))).sum();
                small.push((sum / (scale * scale)) as u8);
            }
        }
    }
    small
}

fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, AnyError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}
