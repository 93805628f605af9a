//! SVG as PNG.

use epaint_default_fonts::UBUNTU_LIGHT;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// An error from reading the SVG or encoding the PNG.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// PNG of a file that [`super::Picture::standalone`] made, with `density` pixels per point.
pub(crate) fn png(svg: &str, density: f32) -> Result<Vec<u8>, AnyError> {
    let mut options = Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    // The font has no true minus and no narrow space.
    let svg = svg
        .replace('\u{2212}', "\u{2013}")
        .replace('\u{202f}', "\u{a0}");
    let tree = Tree::from_str(&svg, &options)?;
    let pixels = |length: f32| (length * density).round() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let mut pixmap = Pixmap::new(width, height).ok_or("the picture has no room")?;
    let scale = Transform::from_scale(density, density);
    resvg::render(&tree, scale, &mut pixmap.as_mut());
    Ok(pixmap.encode_png()?)
}
