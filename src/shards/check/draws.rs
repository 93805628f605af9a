//! The lists of the group `samples`.

use super::lists::{Checked, below_vocab, length};
use crate::shards::row::Row;
use crate::shards::row_fault::RowFault;

/// Offsets divide both lists into positions; a position's ids increase, and its counts add up to N. Without the group
/// all three lists are empty.
pub(super) fn check_draws(row: &Row, n_draws: Option<u16>, vocab_size: u32) -> Checked {
    let s = &row.signals;
    let offsets = &s.sample_offsets;
    let Some(n_draws) = n_draws else {
        length("sample_offsets", offsets.len(), 0)?;
        length("sampled_ids", s.sampled_ids.len(), 0)?;
        return length("sampled_counts", s.sampled_counts.len(), 0);
    };
    length("sample_offsets", offsets.len(), row.n_targets as usize + 1)?;
    check_offsets(offsets)?;
    let n_ids = offsets.last().map_or(0, |&last| last as usize);
    length("sampled_ids", s.sampled_ids.len(), n_ids)?;
    length("sampled_counts", s.sampled_counts.len(), n_ids)?;
    below_vocab("sampled_ids", &s.sampled_ids, vocab_size)?;
    check_counts(&s.sampled_counts)?;
    for (position, bounds) in offsets.windows(2).enumerate() {
        let range = bounds[0] as usize..bounds[1] as usize;
        let counts = &s.sampled_counts[range.clone()];
        check_position(&s.sampled_ids[range], counts, position, n_draws)?;
    }
    Ok(())
}

fn check_offsets(offsets: &[u32]) -> Checked {
    let fault = |idx: usize, expected| {
        Err(RowFault::Value {
            column: "sample_offsets",
            idx,
            value: f64::from(offsets[idx]),
            expected,
        })
    };
    if offsets[0] != 0 {
        return fault(0, "0, the start of the first position");
    }
    match offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        None => Ok(()),
        Some(before) => fault(before + 1, "at least the previous one"),
    }
}

/// Every stored id was drawn.
fn check_counts(counts: &[u16]) -> Checked {
    match counts.iter().position(|&count| count == 0) {
        None => Ok(()),
        Some(idx) => Err(RowFault::Value {
            column: "sampled_counts",
            idx,
            value: 0.0,
            expected: "at least 1",
        }),
    }
}

/// The draws of one position.
fn check_position(ids: &[u32], counts: &[u16], position: usize, n_draws: u16) -> Checked {
    if let Some(before) = ids.windows(2).position(|pair| pair[0] >= pair[1]) {
        let entry = before + 1;
        return Err(RowFault::SampledOrder { position, entry });
    }
    let got: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let expected = u64::from(n_draws);
    if got == expected {
        return Ok(());
    }
    Err(RowFault::Draws {
        position,
        expected,
        got,
    })
}
