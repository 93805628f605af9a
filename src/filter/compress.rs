//! Compresses outputs, as each format's command-line program does by default.

use crate::corpus::Compression;
use std::io::{self, Write};

/// Bytes passed to the encoder at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Level of zstd's own program.
const ZSTD_LEVEL: i32 = 3;
/// Level of xz's own program.
const XZ_LEVEL: u32 = 6;

/// Compresses into `W`, one frame or member.
pub(super) struct Compressor<W: Write> {
    encoder: Encoder<W>,
    /// Not compressed yet: encoders are slow with a line at a time.
    waiting: Vec<u8>,
}

enum Encoder<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
    Xz(liblzma::write::XzEncoder<W>),
    Bzip2(bzip2::write::BzEncoder<W>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<W>>),
}

impl<W: Write> Compressor<W> {
    /// Compresses with `compression` into `out`.
    pub(super) fn new(out: W, compression: Compression) -> io::Result<Self> {
        let encoder = match compression {
            Compression::None => Encoder::Plain(out),
            Compression::Gzip => {
                let level = flate2::Compression::default();
                Encoder::Gzip(flate2::write::GzEncoder::new(out, level))
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
            Compression::Xz => Encoder::Xz(liblzma::write::XzEncoder::new(out, XZ_LEVEL)),
            Compression::Bzip2 => {
                let level = bzip2::Compression::best();
                Encoder::Bzip2(bzip2::write::BzEncoder::new(out, level))
            }
            Compression::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
                let encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
                Encoder::Lz4(Box::new(encoder))
            }
        };
        Ok(Self {
            encoder,
            waiting: Vec::with_capacity(CHUNK_BYTES),
        })
    }

    /// Adds `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting.len() + bytes.len() > CHUNK_BYTES {
            self.drain()?;
        }
        match bytes.len() < CHUNK_BYTES {
            true => self.waiting.extend_from_slice(bytes),
            false => self.encoder.writer().write_all(bytes)?,
        }
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        self.encoder.writer().write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Finishes the frame and returns the writer. An empty stream gives an empty frame.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.drain()?;
        self.encoder.finish()
    }
}

impl<W: Write> Encoder<W> {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Encoder::Plain(out) => out,
            Encoder::Gzip(encoder) => encoder,
            Encoder::Zstd(encoder) => encoder,
            Encoder::Xz(encoder) => encoder,
            Encoder::Bzip2(encoder) => encoder,
            Encoder::Lz4(encoder) => encoder,
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Encoder::Plain(out) => Ok(out),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Xz(encoder) => encoder.finish(),
            Encoder::Bzip2(encoder) => encoder.finish(),
            Encoder::Lz4(encoder) => encoder.finish().map_err(io::Error::from),
        }
    }
}
