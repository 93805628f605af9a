//! gzip with any number of members, with zero bytes between and after them, as tapes and some tools
//! pad files.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// Decompresses one member after another.
pub(super) struct GzipMembers<R> {
    /// `None` only between two members, and at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    pub(super) fn new(raw: R) -> Self {
        let member = Some(GzDecoder::new(raw));
        Self { member }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let ended = self.member.take().map(GzDecoder::into_inner);
            if let Some(mut raw) = ended
                && !skip_zeros(&mut raw)?
            {
                self.member = Some(GzDecoder::new(raw));
            }
        }
        Ok(0)
    }
}

/// Drops zero bytes; true at the end of the file.
fn skip_zeros(raw: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = raw.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        let n_zeros = bytes.iter().position(|&byte| byte != 0);
        let n = n_zeros.unwrap_or(bytes.len());
        raw.consume(n);
        if n_zeros.is_some() {
            return Ok(false);
        }
    }
}
