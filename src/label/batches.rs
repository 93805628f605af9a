//! Which rows go to the teacher together.

use crate::teacher::{ReduceChoice, TeacherInfo};

/// Logits held at once, in bytes, unless one row alone needs more. Half a thousand tokens at
/// V = 50k, which is where larger batches stop being faster.
const MAX_LOGITS_BYTES: u64 = 100 << 20;
/// The same where they stay on a device.
const MAX_DEVICE_LOGITS_BYTES: u64 = 2 << 30;

/// Limits of one call of the teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchLimits {
    /// Padded tokens a call.
    pub(super) max_tokens: u64,
    /// Rows a call, where the model fixes them.
    pub(super) max_rows: Option<u64>,
}

impl BatchLimits {
    /// Limits for a teacher, by its logits and where they are reduced.
    pub(super) fn new(batch_tokens: u32, teacher: &TeacherInfo) -> Self {
        let most = match teacher.reduction {
            ReduceChoice::Auto | ReduceChoice::Host => MAX_LOGITS_BYTES,
            ReduceChoice::Graph | ReduceChoice::Cuda => MAX_DEVICE_LOGITS_BYTES,
        };
        let bytes_a_token = u64::from(teacher.vocab_size.max(1)) * size_of::<f32>() as u64;
        Self {
            max_tokens: u64::from(batch_tokens).min(most / bytes_a_token).max(1),
            max_rows: teacher.max_rows.map(|n| n as u64),
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
    use crate::onnx::DType;
    use crate::teacher::DeviceChoice;
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
    fn a_wide_vocabulary_lowers_the_tokens_a_call_where_logits_come_to_the_host() {
        let max_tokens = |batch_tokens, vocab_size, reduction| {
            let teacher = TeacherInfo {
                vocab_size,
                device: DeviceChoice::Cpu,
                provider: String::new(),
                ort_version: String::new(),
                logits_dtype: DType::F32,
                reduction,
                notes: Vec::new(),
                max_rows: None,
                fixed_seq_len: None,
                max_seq_len: None,
            };
            BatchLimits::new(batch_tokens, &teacher).max_tokens
        };
        assert_eq!(max_tokens(1024, 512, ReduceChoice::Host), 1024);
        assert_eq!(max_tokens(4096, 128_000, ReduceChoice::Host), 204);
        assert_eq!(max_tokens(4096, 128_000, ReduceChoice::Cuda), 4096);
        assert_eq!(max_tokens(8192, 128_000, ReduceChoice::Graph), 4194);
    }
}
