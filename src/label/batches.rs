//! Which rows go to the teacher together. The shape of a row's call depends on its own length alone; other rows only
//! affect how many share the call.

use crate::teacher::{CallRule, CallShape};
use std::collections::BTreeMap;

/// Rows of one call, by index, and the shape in which they are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) rows: Vec<usize>,
    pub(super) shape: CallShape,
}

/// Divides rows of these lengths into calls, each of the shape that the rule gives for all of its rows, long ones
/// first. Every row is in exactly one call.
pub(super) fn cut(lengths: &[usize], rule: &CallRule) -> Vec<Batch> {
    let mut by_shape: BTreeMap<CallShape, Vec<usize>> = BTreeMap::new();
    for (row, &length) in lengths.iter().enumerate() {
        by_shape.entry(rule.shape(length)).or_default().push(row);
    }
    let batches = by_shape.into_iter().rev().flat_map(|(shape, rows)| {
        let chunks = rows.chunks(shape.max_sequences.max(1));
        let batch = |rows: &[usize]| Batch {
            rows: rows.to_vec(),
            shape,
        };
        chunks.map(batch).collect::<Vec<_>>()
    });
    batches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_of_its_own_shape(
            lengths in prop::collection::vec(1_usize..=300, 0..80),
            call_tokens in 1_usize..1000,
            is_alone in any::<bool>(),
        ) {
            let rule = CallRule {
                call_tokens,
                is_alone,
                fixed_rows: None,
                fixed_width: None,
                max_width: 300,
                original_width: None,
            };
            let batches = cut(&lengths, &rule);
            let mut seen: Vec<usize> = batches.iter().flat_map(|b| b.rows.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                prop_assert!(batch.rows.len() <= batch.shape.max_sequences);
                for &row in &batch.rows {
                    prop_assert_eq!(rule.shape(lengths[row]), batch.shape);
                }
            }
        }
    }
}
