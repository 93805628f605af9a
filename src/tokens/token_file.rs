//! A mapped run of ids.

use super::dtype::Dtype;
use super::error::TokensError;
use memmap2::Mmap;
use rayon::prelude::*;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// Tokens that one task scans, and that are decoded at a time.
const SCAN_TOKENS: u64 = 1 << 20;
const SCAN_BLOCK: usize = 1 << 12;

/// `n_tokens` ids of `dtype` in a mapped file, from byte `start` on.
pub(super) struct TokenFile {
    map: Mmap,
    start: usize,
    dtype: Dtype,
    n_tokens: u64,
}

/// Maps a file that exists under a name.
pub(super) fn map_file(path: &Path) -> Result<Mmap, TokensError> {
    let file = File::open(path).map_err(TokensError::io("open", path))?;
    let metadata = file.metadata().map_err(TokensError::io("read", path))?;
    if !metadata.is_file() {
        return Err(TokensError::NotACorpus {
            path: path.to_path_buf(),
        });
    }
    // SAFETY: only read; that nobody changes a corpus while it is in use is the room's condition.
    unsafe { Mmap::map(&file) }.map_err(TokensError::io("map", path))
}

impl TokenFile {
    /// The caller has checked that the ids lie inside the map.
    pub(super) fn new(map: Mmap, start: usize, dtype: Dtype, n_tokens: u64) -> Self {
        let n_bytes = n_tokens
            .checked_mul(dtype.bytes())
            .expect("the ids lie inside the map");
        assert!(
            n_bytes <= (map.len() - start) as u64,
            "the ids lie inside the map"
        );
        Self {
            map,
            start,
            dtype,
            n_tokens,
        }
    }

    pub(super) fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn copy(&self, start: u64, out: &mut [u32]) {
        let end = start + out.len() as u64;
        assert!(
            end <= self.n_tokens,
            "tokens {start}..{end} of {}",
            self.n_tokens
        );
        self.dtype.decode(self.bytes(start..end), out);
    }

    /// Bytes of a range of tokens that is inside.
    fn bytes(&self, tokens: Range<u64>) -> &[u8] {
        let at = |token: u64| self.start + (token * self.dtype.bytes()) as usize;
        &self.map[at(tokens.start)..at(tokens.end)]
    }

    /// Calls `visit` with the ids of a range, a block at a time, with the offset of the block.
    pub(super) fn for_each_block(&self, tokens: Range<u64>, mut visit: impl FnMut(u64, &[u32])) {
        let mut block = [0_u32; SCAN_BLOCK];
        let mut start = tokens.start;
        while start < tokens.end {
            let n = (tokens.end - start).min(SCAN_BLOCK as u64) as usize;
            self.copy(start, &mut block[..n]);
            visit(start, &block[..n]);
            start += n as u64;
        }
    }

    /// The largest id of a range and the first offset at which it stands; (0, start) if it is empty.
    pub(super) fn max_id(&self, tokens: Range<u64>) -> (u32, u64) {
        let start = tokens.start;
        let n_tasks = tokens.end.saturating_sub(start).div_ceil(SCAN_TOKENS);
        let tasks = (0..n_tasks).into_par_iter().map(|task| {
            let from = start + task * SCAN_TOKENS;
            self.max_id_of_task(from..tokens.end.min(from + SCAN_TOKENS))
        });
        tasks.reduce_with(larger_then_earlier).unwrap_or((0, start))
    }

    fn max_id_of_task(&self, tokens: Range<u64>) -> (u32, u64) {
        let mut best = (0, u64::MAX);
        self.for_each_block(tokens, |start, ids| {
            let id = ids.iter().copied().max().unwrap_or(0);
            if id > best.0 || best.1 == u64::MAX {
                let first = ids.iter().position(|&other| other == id).unwrap_or(0);
                best = (id, start + first as u64);
            }
        });
        best
    }
}

fn larger_then_earlier(a: (u32, u64), b: (u32, u64)) -> (u32, u64) {
    if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) {
        b
    } else {
        a
    }
}
