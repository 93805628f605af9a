//! Which rows go to the teacher together.

/// Logits held at once, in bytes, unless one row alone needs more. Half a thousand tokens at
/// V = 50k, which is where larger batches stop being faster.
const MAX_LOGITS_BYTES: u64 = 100 << 20;

/// Limits of one call of the teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchLimits {
    /// Padded tokens a call.
    pub(super) max_tokens: u64,
    /// Rows a call, where the model fixes them.
    pub(super) max_rows: Option<u64>,
}

impl BatchLimits {
    /// Limits for a teacher with `vocab_size` logits a position.
    pub(super) fn new(batch_tokens: u32, vocab_size: usize, max_rows: Option<u64>) -> Self {
        let bytes_a_token = (vocab_size * size_of::<f32>()).max(1) as u64;
        let max_tokens = u64::from(batch_tokens)
            .min(MAX_LOGITS_BYTES / bytes_a_token)
            .max(1);
        Self {
            max_tokens,
            max_rows,
        }
    }
}

/// Cuts rows into batches: rows of similar length together, so that little is padded. Gives lists
/// of row indices; every row is in exactly one. A row longer than the limit goes alone.
pub(super) fn cut(lengths: &[usize], limits: BatchLimits) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| (std::cmp::Reverse(lengths[row]), row));
    let max_rows = limits.max_rows.unwrap_or(u64::MAX).max(1);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for row in order {
        match batches.last_mut() {
            // The first row of a batch is its longest: it sets the width.
            Some(batch)
                if fits(
                    batch.len() as u64 + 1,
                    lengths[batch[0]] as u64,
                    limits.max_tokens,
                    max_rows,
                ) =>
            {
                batch.push(row);
            }
            _ => batches.push(vec![row]),
        }
    }
    batches
}

fn fits(n_rows: u64, width: u64, max_tokens: u64, max_rows: u64) -> bool {
    n_rows <= max_rows && n_rows.saturating_mul(width) <= max_tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_and_every_batch_within_its_limits(
            lengths in prop::collection::vec(1_usize..300, 0..80),
            max_tokens in 1_u64..1000,
            max_rows in prop::option::of(1_u64..5),
        ) {
            let batches = cut(&lengths, BatchLimits { max_tokens, max_rows });
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let width = batch.iter().map(|&row| lengths[row]).max().unwrap();
                prop_assert!(batch.len() == 1 || (batch.len() * width) as u64 <= max_tokens);
                prop_assert!(batch.len() as u64 <= max_rows.unwrap_or(u64::MAX));
            }
        }
    }

    #[test]
    fn a_wide_vocabulary_lowers_the_tokens_a_call() {
        assert_eq!(BatchLimits::new(1024, 512, None).max_tokens, 1024);
        assert_eq!(BatchLimits::new(4096, 128_000, None).max_tokens, 204);
    }
}
