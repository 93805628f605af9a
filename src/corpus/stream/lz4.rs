//! lz4 with any number of frames. The decoder takes an end of file between two blocks for the end
//! of a frame, so at the end it is asked whether its frame was closed.

use lz4_flex::frame::FrameDecoder;
use std::io::{self, BufRead, Read};

/// A block length that no block has and no frame begins with.
const IMPOSSIBLE_BLOCK: [u8; 4] = [0xff; 4];
/// Frames of the oldest format, which have no end mark.
const LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Decompresses frame after frame.
pub(super) struct Lz4Frames<R: BufRead> {
    decoder: FrameDecoder<WithProbe<R>>,
    is_legacy: bool,
    is_between_frames: bool,
}

impl<R: BufRead> Lz4Frames<R> {
    pub(super) fn new(mut raw: R) -> Self {
        let is_legacy = raw
            .fill_buf()
            .is_ok_and(|head| head.starts_with(&LEGACY_MAGIC));
        let raw = WithProbe {
            raw,
            probe: &[],
            n_read: 0,
        };
        Self {
            decoder: FrameDecoder::new(raw),
            is_legacy,
            is_between_frames: true,
        }
    }

    /// Inside a frame the probe is a block of impossible length; between frames it is too short to
    /// begin one.
    fn is_cut(&mut self) -> bool {
        self.decoder.get_mut().probe = &IMPOSSIBLE_BLOCK;
        let is_refused = self.decoder.read(&mut [0]).is_err();
        self.decoder.get_mut().probe = &[];
        is_refused
    }
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.decoder.get_mut().n_read = 0;
            let n = self.decoder.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                self.is_between_frames = false;
                return Ok(n);
            }
            // A frame that ends right after its magic number is not an error to the decoder either.
            let raw = self.decoder.get_mut();
            if self.is_between_frames && raw.n_read == LEGACY_MAGIC.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.is_between_frames = true;
            if raw.raw.fill_buf()?.is_empty() {
                break;
            }
        }
        if !self.is_legacy && self.is_cut() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(0)
    }
}

/// The file, or the probe while there is one.
struct WithProbe<R> {
    raw: R,
    probe: &'static [u8],
    /// Bytes read since this was reset to 0.
    n_read: usize,
}

impl<R: Read> Read for WithProbe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match self.probe.is_empty() {
            true => self.raw.read(buffer)?,
            false => self.probe.read(buffer)?,
        };
        self.n_read += n;
        Ok(n)
    }
}
