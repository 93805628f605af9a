//! Checks that apply to every list.

use crate::shards::row_fault::RowFault;

/// How far a log-probability may be above 0 (f32 arithmetic), and a score below 0. Nats.
pub(super) const NATS_TOLERANCE: f64 = 1e-4;

pub(super) type Checked = Result<(), RowFault>;

pub(super) fn below_vocab(column: &'static str, ids: &[u32], vocab_size: u32) -> Checked {
    match ids.iter().position(|&id| id >= vocab_size) {
        None => Ok(()),
        Some(idx) => Err(RowFault::IdPastVocab {
            column,
            idx,
            id: ids[idx],
            vocab_size,
        }),
    }
}

pub(super) fn length(column: &'static str, got: usize, expected: usize) -> Checked {
    if got == expected {
        return Ok(());
    }
    Err(RowFault::Length {
        column,
        expected,
        got,
    })
}
