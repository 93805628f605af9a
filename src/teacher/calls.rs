//! The shapes of calls: a pure function of a sequence's own length.
//!
//! Logits change slightly with the shape of a call and, in some models, with the other rows and the position of a row
//! among them. So the shape of a call depends only on the length of its sequences, whatever else is labelled: missing
//! rows are filled, and widths are rounded up in steps. If other rows or positions matter, each sequence has a call of
//! its own, at its own length. If a model's rotary frequencies depend on the length of the call (rope `dynamic` and
//! `longrope`, beyond the length of pre-training), padding never changes them.

use super::device::DeviceChoice;

/// Tokens of a call that several sequences share, on a CPU: with 50 million parameters and more, no
/// larger call is faster there.
const CPU_CALL_TOKENS: u64 = 512;
/// The same on a device, which needs more work per call.
const DEVICE_CALL_TOKENS: u64 = 4096;
/// Maximum bytes of logits in such a call, if they are copied to the CPU.
const MAX_LOGITS_BYTES: u64 = 100 << 20;
/// The same, if they stay on a device.
const MAX_DEVICE_LOGITS_BYTES: u64 = 2 << 30;
/// The smallest step that widths are rounded up in, tokens.
const MIN_WIDTH_STEP: usize = 8;
/// Steps from one power of two to the next: at most an eighth of a row is padding.
const WIDTH_STEPS_PER_OCTAVE: usize = 8;

/// The shape of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallShape {
    /// T as run: every row is padded to it.
    pub width: usize,
    /// B as run: rows without a sequence are fillers.
    pub n_rows: usize,
    /// Maximum number of sequences in the call.
    pub max_sequences: usize,
}

/// From a sequence's length to the shape of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRule {
    /// Tokens of a call that several sequences share.
    pub call_tokens: usize,
    /// One sequence per call, since other rows, its position or padding would change its logits.
    pub is_alone: bool,
    /// B, where the model fixes it.
    pub fixed_rows: Option<usize>,
    /// T, where the model fixes it.
    pub fixed_width: Option<usize>,
    /// No call is wider: the longest sequence that will be run, tokens.
    pub max_width: usize,
    /// Up to this width rotary frequencies are those of pre-training, beyond it they depend on the width: shorter
    /// sequences are not padded beyond it, and longer ones are not padded. `None` if the width does not matter.
    pub original_width: Option<usize>,
}

impl CallRule {
    /// The rule for a model of `vocab_size` logits per position on `device`.
    pub(super) fn new(device: DeviceChoice, vocab_size: u32, max_width: u32) -> Self {
        let (most_tokens, most_bytes) = match device {
            DeviceChoice::Auto | DeviceChoice::Cpu => (CPU_CALL_TOKENS, MAX_LOGITS_BYTES),
            _ => (DEVICE_CALL_TOKENS, MAX_DEVICE_LOGITS_BYTES),
        };
        let bytes_per_token = u64::from(vocab_size.max(1)) * size_of::<f32>() as u64;
        Self {
            call_tokens: most_tokens.min(most_bytes / bytes_per_token).max(1) as usize,
            is_alone: false,
            fixed_rows: None,
            fixed_width: None,
            max_width: max_width as usize,
            original_width: None,
        }
    }

    /// The shape that a sequence of `length` input tokens is run in; `length` is at least 1.
    pub fn shape(&self, length: usize) -> CallShape {
        let shared = self.shared_width(length);
        let n_rows = match self.fixed_rows {
            Some(n_rows) => n_rows,
            None if self.is_alone => 1,
            None => (self.call_tokens / shared).max(1),
        };
        let max_sequences = if self.is_alone { 1 } else { n_rows };
        let width = match self.fixed_width {
            Some(width) => width,
            None if max_sequences == 1 => length,
            None => shared,
        };
        CallShape {
            width,
            n_rows,
            max_sequences,
        }
    }

    /// `length` rounded up to a step of an eighth of the power of two below it.
    fn shared_width(&self, length: usize) -> usize {
        let step = (1 << length.max(1).ilog2()) / WIDTH_STEPS_PER_OCTAVE;
        let rounded = length.next_multiple_of(step.max(MIN_WIDTH_STEP));
        rounded.min(self.widest(length))
    }

    /// The widest call that gives a sequence of `length` the same logits as a call of its own, except for noise. The
    /// model may accept no more than the longest sequence.
    pub(super) fn widest(&self, length: usize) -> usize {
        let widest = match self.original_width {
            Some(original) if length > original => length,
            Some(original) => original.min(self.max_width),
            None => self.max_width,
        };
        widest.max(length)
    }
}

/// Sequences of one call, right-padded with id 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[B, T]` row-major.
    pub ids_bt: Vec<u32>,
    /// B: rows that hold a sequence.
    pub n_rows: usize,
    /// Filler rows after them, which give the call its shape; their logits are dropped.
    pub n_fillers: usize,
    /// T: at least the longest length.
    pub width: usize,
    /// `[B]` tokens of each row, 1 to T.
    pub lengths: Vec<u32>,
}

impl TokenBatch {
    /// `rows`, of 1 to `shape.width` tokens each and at most `shape.n_rows`, in a call of that shape.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a [u32]>, shape: CallShape) -> Self {
        let mut batch = Self {
            width: shape.width,
            ..Self::default()
        };
        for row in rows {
            batch.ids_bt.extend_from_slice(row);
            batch.n_rows += 1;
            batch.ids_bt.resize(batch.n_rows * shape.width, 0);
            batch.lengths.push(row.len() as u32);
        }
        batch.n_fillers = shape.n_rows.saturating_sub(batch.n_rows);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(is_alone: bool) -> CallRule {
        CallRule {
            is_alone,
            ..CallRule::new(DeviceChoice::Cpu, 1000, 700)
        }
    }

    proptest! {
        #[test]
        fn a_shape_holds_its_sequence_and_little_more(length in 1_usize..=700) {
            let shape = rule(false).shape(length);
            prop_assert!((length..=700).contains(&shape.width));
            prop_assert!(shape.width - length <= (length / 8).max(7), "{shape:?}");
            prop_assert!(shape.n_rows == 1 || shape.n_rows * shape.width <= 512);
            // A sequence that shares no call is not padded.
            prop_assert!(shape.n_rows > 1 || shape.width == length);
            let alone = rule(true).shape(length);
            prop_assert_eq!((alone.width, alone.n_rows, alone.max_sequences), (length, 1, 1));
        }
    }

    #[test]
    fn padding_leads_neither_past_the_length_of_pre_training_nor_on_from_there() {
        let original_width = Some(101);
        let rule = CallRule {
            original_width,
            ..rule(false)
        };
        let widths = [7, 90, 97, 101, 102, 111, 300].map(|length| rule.shape(length).width);
        assert_eq!(widths, [8, 96, 101, 101, 102, 111, 300]);
        // Sequences of one length still share calls.
        assert_eq!(rule.shape(111).max_sequences, 512 / 111);
    }

    #[test]
    fn widths_come_in_few_classes() {
        let widths: std::collections::BTreeSet<usize> = (1..=256)
            .map(|length| rule(false).shape(length).width)
            .collect();
        assert_eq!(widths.len(), 8 + 8 + 8, "{widths:?}");
    }

    #[test]
    fn a_model_of_fixed_shape_is_run_in_it() {
        let fixed = CallRule {
            fixed_rows: Some(3),
            fixed_width: Some(64),
            ..rule(false)
        };
        let shape = fixed.shape(5);
        assert_eq!((shape.width, shape.n_rows, shape.max_sequences), (64, 3, 3));
        let alone = CallRule {
            is_alone: true,
            ..fixed
        };
        assert_eq!(alone.shape(5).max_sequences, 1);
        assert_eq!(alone.shape(5).n_rows, 3);
    }

    #[test]
    fn a_wide_vocabulary_lowers_the_tokens_of_a_call() {
        let tokens = |device, vocab_size| CallRule::new(device, vocab_size, 2048).call_tokens;
        assert_eq!(tokens(DeviceChoice::Cpu, 512), 512);
        assert_eq!(tokens(DeviceChoice::Cpu, 128_000), 204);
        assert_eq!(tokens(DeviceChoice::Cuda(0), 50_000), 4096);
        assert_eq!(tokens(DeviceChoice::Cuda(0), 256_000), 2097);
    }

    #[test]
    fn a_batch_is_padded_and_filled_to_its_shape() {
        let shape = CallShape {
            width: 4,
            n_rows: 3,
            max_sequences: 3,
        };
        let batch = TokenBatch::new([&[1, 2, 3][..], &[4]], shape);
        assert_eq!(batch.ids_bt, [1, 2, 3, 0, 4, 0, 0, 0]);
        assert_eq!((batch.n_rows, batch.n_fillers), (2, 1));
        assert_eq!(batch.lengths, [3, 1]);
    }
}
