//! What transformers gives for the tiny checkpoints of `fixtures/families`.

#![allow(dead_code, reason = "each test uses its part")]

use safetensors::SafeTensors;
use std::path::Path;

/// Nats: what f32 leaves between two orders of the same sums, at the sizes of these logits.
pub(crate) const TOLERANCE: f64 = 2e-5;
pub(crate) const LENGTHS: [usize; 3] = [7, 64, 101];

/// Of one checkpoint.
pub(crate) struct Expected {
    pub(crate) ids: Vec<u32>,
    /// Positions and their log-probabilities `[positions, V]`, for each length.
    pub(crate) by_length: Vec<(Vec<usize>, Vec<f32>)>,
}

impl Expected {
    pub(crate) fn of(name: &str) -> Self {
        let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families");
        let bytes = std::fs::read(families.join(name).join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let words = |name: &str| -> Vec<[u8; 4]> {
            let tensor = file.tensor(name).unwrap();
            tensor.data().as_chunks().0.to_vec()
        };
        let ints = |name: &str| words(name).into_iter().map(u32::from_le_bytes);
        let of_length = |length: &usize| {
            let positions = ints(&format!("positions_{length}")).map(|p| p as usize);
            let logprobs = words(&format!("logprobs_{length}")).into_iter();
            (
                positions.collect(),
                logprobs.map(f32::from_le_bytes).collect(),
            )
        };
        Self {
            ids: ints("ids").collect(),
            by_length: LENGTHS.iter().map(of_length).collect(),
        }
    }

    /// Positions of a length, and the log-probabilities `[V]` at each.
    pub(crate) fn rows(&self, length_idx: usize) -> impl Iterator<Item = (usize, &[f32])> {
        let (positions, logprobs) = &self.by_length[length_idx];
        let v = logprobs.len() / positions.len();
        std::iter::zip(positions.iter().copied(), logprobs.chunks_exact(v))
    }
}
