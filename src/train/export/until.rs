//! Writing that stops when it is asked to.

use crate::interrupt::Interrupt;
use std::io::{self, Write};

/// Passes bytes on until a stop is asked for; every write is an error after that.
pub(super) struct Until<'a, W> {
    pub(super) out: W,
    pub(super) interrupt: &'a Interrupt,
}

impl<W: Write> Write for Until<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.interrupt.is_requested() {
            // Not `ErrorKind::Interrupted`, after which a write is tried again.
            true => Err(io::Error::other("interrupted")),
            false => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
