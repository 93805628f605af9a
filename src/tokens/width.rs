//! Checks that a raw file is read at the width at which it was written, which it does not state.
//!
//! If ids of u32 or i64 below 65,536 are read as u16, each is followed by zeros; larger ones by a half of at most
//! `V >> 16`. So if every second half in the sampled blocks is that small, and so many of the others are larger
//! that chance cannot have put them all at even positions, the width is wrong. Text at the right width has larger
//! ids at both kinds of positions.

use super::dtype::Dtype;
use super::error::TokensError;
use super::token_file::TokenFile;

/// Number and bytes of the sampled blocks: the first, the last, and others evenly spread.
const N_BLOCKS: u64 = 16;
const BLOCK_BYTES: u64 = 32 * 1024;
/// Highest chance that ids in random order look like ones of twice the width; its logarithm is compared.
const MAX_CHANCE: f64 = 1e-6;
/// Bytes of the largest type, so that blocks begin at a whole word of every type.
const MAX_DTYPE_BYTES: u64 = 8;

/// Bytes of a raw file, sampled from all over it.
pub(super) struct Sample {
    blocks: Vec<Vec<u8>>,
    n_bytes: u64,
}

/// A way to read the bytes, and its name in messages.
struct Reading {
    word: usize,
    big_endian: bool,
    name: &'static str,
}

const READINGS: [Reading; 6] = [
    Reading::new(2, false, "--dtype u16"),
    Reading::new(4, false, "--dtype u32"),
    Reading::new(8, false, "--dtype i64"),
    Reading::new(2, true, "big-endian u16"),
    Reading::new(4, true, "big-endian u32"),
    Reading::new(8, true, "big-endian i64"),
];

impl Reading {
    const fn new(word: usize, big_endian: bool, name: &'static str) -> Self {
        Self {
            word,
            big_endian,
            name,
        }
    }

    fn words<'a>(&'a self, block: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
        block.chunks_exact(self.word).map(|bytes| {
            let join = |word, &byte| word << 8 | u64::from(byte);
            match self.big_endian {
                true => bytes.iter().fold(0, join),
                false => bytes.iter().rev().fold(0, join),
            }
        })
    }
}

impl Sample {
    pub(super) fn of(tokens: &TokenFile) -> Result<Self, TokensError> {
        let n_bytes = tokens.n_bytes();
        let block = |offset: u64| {
            let mut bytes = vec![0; BLOCK_BYTES.min(n_bytes - offset) as usize];
            tokens.copy_bytes(offset, &mut bytes).map(|()| bytes)
        };
        let blocks = offsets(n_bytes).into_iter().map(block);
        Ok(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
            n_bytes,
        })
    }

    /// The type in which the file was written, if it was read at half or a quarter of its width; `None` if nothing
    /// speaks against `read_as`.
    pub(super) fn wider_than(&self, read_as: Dtype, vocab_size: u32) -> Option<Dtype> {
        let word = read_as.bytes() as usize;
        let shift = 8 * read_as.bytes() as u32;
        let largest_id = u64::from(vocab_size.saturating_sub(1));
        let halves = |word| Reading::new(word, false, "");
        let limit = largest_id.checked_shr(shift).unwrap_or(0);
        let is_wider = self.alternates(&halves(word), limit);
        match (is_wider, word) {
            (false, _) => None,
            (true, 4) => Some(Dtype::I64),
            (true, 1 | 2) if self.alternates(&halves(4), 0) => Some(Dtype::I64),
            (true, 1) if !self.alternates(&halves(2), 0) => Some(Dtype::U16),
            (true, 1 | 2) => Some(Dtype::U32),
            (true, _) => None,
        }
    }

    /// Whether the words look like halves: the upper ones are all at most `limit`, and so many of the others are larger
    /// that this is not chance.
    fn alternates(&self, reading: &Reading, limit: u64) -> bool {
        if !self.n_bytes.is_multiple_of(2 * reading.word as u64) {
            return false;
        }
        let (mut n_pairs, mut n_large) = (0_u64, 0_u64);
        for block in &self.blocks {
            let mut words = reading.words(block);
            while let (Some(first), Some(second)) = (words.next(), words.next()) {
                let (upper, lower) = match reading.big_endian {
                    true => (first, second),
                    false => (second, first),
                };
                if upper > limit {
                    return false;
                }
                n_pairs += 1;
                n_large += u64::from(lower > limit);
            }
        }
        chance(n_pairs, n_large) < MAX_CHANCE.ln()
    }

    /// The first reading other than `read_as` at which every sampled id is below the vocabulary and the bytes do not
    /// look like a wider type's.
    pub(super) fn fitting(&self, read_as: Dtype, vocab_size: u32) -> Option<&'static str> {
        let vocab_size = u64::from(vocab_size);
        let is_other =
            |reading: &&Reading| reading.big_endian || reading.word != read_as.bytes() as usize;
        let fits = |reading: &&Reading| {
            let mut words = self.blocks.iter().flat_map(|block| reading.words(block));
            self.n_bytes.is_multiple_of(reading.word as u64)
                && words.all(|id| id < vocab_size)
                && !self.alternates(reading, 0)
        };
        READINGS
            .iter()
            .filter(is_other)
            .find(fits)
            .map(|fit| fit.name)
    }
}

/// Offsets of the sampled blocks, at whole words of every type; a small file is covered entirely.
fn offsets(n_bytes: u64) -> Vec<u64> {
    if n_bytes <= N_BLOCKS * BLOCK_BYTES {
        return (0..n_bytes.div_ceil(BLOCK_BYTES))
            .map(|block| block * BLOCK_BYTES)
            .collect();
    }
    let last = n_bytes - BLOCK_BYTES;
    let spread = |block: u64| u128::from(last) * u128::from(block) / u128::from(N_BLOCKS - 1);
    (0..N_BLOCKS)
        .map(|block| spread(block) as u64 / MAX_DTYPE_BYTES * MAX_DTYPE_BYTES)
        .collect()
}

/// The logarithm of the chance that `n_large` words, put at random into `2 * n_pairs` positions, are all at even ones.
fn chance(n_pairs: u64, n_large: u64) -> f64 {
    let n = n_pairs as f64;
    (0..n_large)
        .map(|i| ((n - i as f64) / (2.0 * n - i as f64)).ln())
        // More would not change the result.
        .take(64)
        .sum()
}

#[cfg(test)]
#[path = "width/tests.rs"]
mod tests;
