//! Hashes of a file's blocks that add up to the BLAKE3 of the whole file.
//!
//! BLAKE3 is a tree. A block whose size is a power of two is a subtree, and the hash kept for it is that subtree's
//! chaining value. So a disagreement between the blocks' hashes and the file's is always noticed, and a reader of one
//! block can check it alone. A file of one block has the hash of the file itself.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Block size in bytes, unless there would be more than [`MAX_BLOCKS`]: small compared with what is read of a shard.
const BLOCK_BYTES: u64 = 1 << 20;
/// Most blocks of one file; larger files have larger blocks.
const MAX_BLOCKS: usize = 1 << 16;
/// Bytes of a leaf of the tree.
const CHUNK_BYTES: u64 = 1024;

/// A hash for each block of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHashes {
    /// Bytes of every block but the last: a power of two, at least 1,024.
    pub block_bytes: u64,
    /// In order.
    pub hashes: Vec<[u8; 32]>,
}

impl BlockHashes {
    /// What is wrong with these as the hashes of a file of `n_bytes` with the BLAKE3 `whole` (64 hex digits); `None` if
    /// they match.
    pub fn fault(&self, n_bytes: u64, whole: &str) -> Option<String> {
        let size = self.block_bytes;
        if !size.is_power_of_two() || size < CHUNK_BYTES {
            return Some(format!(
                "blocks of {size} bytes, expected a power of two from {CHUNK_BYTES} on"
            ));
        }
        let (got, expected) = (self.hashes.len() as u64, n_bytes.div_ceil(size));
        if got != expected {
            return Some(format!(
                "hashes of {got} blocks, expected {expected} of {size} bytes in {n_bytes}"
            ));
        }
        let of_file = match self.hashes.as_slice() {
            [] => blake3::hash(b""),
            [one] => blake3::Hash::from_bytes(*one),
            several => {
                let (left, right) = several.split_at(left_blocks(several.len()));
                merge_subtrees_root(&merged(left), &merged(right), Mode::Hash)
            }
        };
        let of_file = of_file.to_hex();
        (of_file.as_str() != whole)
            .then(|| format!("the blocks' hashes add up to {of_file}, expected {whole}"))
    }

    /// The bytes of block `idx` in a file of `n_bytes`.
    pub fn range(&self, idx: usize, n_bytes: u64) -> std::ops::Range<u64> {
        let start = idx as u64 * self.block_bytes;
        start..(start + self.block_bytes).min(n_bytes)
    }

    /// Whether `bytes` are those of block `idx`.
    pub(super) fn holds(&self, idx: usize, bytes: &[u8]) -> bool {
        self.hash_of(idx, bytes) == self.hashes[idx]
    }

    fn hash_of(&self, idx: usize, bytes: &[u8]) -> [u8; 32] {
        if self.hashes.len() == 1 || bytes.is_empty() {
            return blake3::hash(bytes).into();
        }
        let mut hasher = Hasher::new();
        hasher.set_input_offset(idx as u64 * self.block_bytes);
        hasher.update(bytes).finalize_non_root()
    }
}

/// The hash of the subtree over these blocks.
fn merged(blocks: &[[u8; 32]]) -> [u8; 32] {
    match blocks {
        [one] => *one,
        several => {
            let (left, right) = several.split_at(left_blocks(several.len()));
            merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
        }
    }
}

/// The left subtree is the largest full one that leaves something for the right.
fn left_blocks(n_blocks: usize) -> usize {
    n_blocks.next_power_of_two() / 2
}

/// Hashes a stream of bytes in blocks.
#[derive(Debug)]
pub struct BlockHasher {
    block_bytes: u64,
    /// Hashes of the complete blocks that are followed by another.
    hashes: Vec<[u8; 32]>,
    hasher: Hasher,
    /// Bytes of the current block so far.
    n_bytes: u64,
}

impl Default for BlockHasher {
    fn default() -> Self {
        Self::with_blocks_of(BLOCK_BYTES)
    }
}

impl BlockHasher {
    /// Starts with blocks of `block_bytes`, a power of two, at least 1,024.
    pub(super) fn with_blocks_of(block_bytes: u64) -> Self {
        BlockHasher {
            block_bytes,
            hashes: Vec::new(),
            hasher: Hasher::new(),
            n_bytes: 0,
        }
    }

    /// Block size in bytes before [`finish`](Self::finish).
    pub fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.n_bytes == self.block_bytes {
                self.end_block();
            }
            let room = (self.block_bytes - self.n_bytes).min(bytes.len() as u64) as usize;
            let (now, rest) = bytes.split_at(room);
            self.hasher.update(now);
            self.n_bytes += room as u64;
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        self.hashes.push(self.hasher.finalize_non_root());
        self.hasher = Hasher::new();
        let start = self.hashes.len() as u64 * self.block_bytes;
        self.hasher.set_input_offset(start);
        self.n_bytes = 0;
    }

    /// The hashes. If there are too many blocks, they are merged into blocks larger by a power of two.
    pub fn finish(self) -> BlockHashes {
        self.finish_within(MAX_BLOCKS)
    }

    fn finish_within(mut self, max_blocks: usize) -> BlockHashes {
        match (self.n_bytes, self.hashes.is_empty()) {
            (0, _) => {}
            (_, true) => self.hashes.push(self.hasher.finalize().into()),
            (_, false) => self.hashes.push(self.hasher.finalize_non_root()),
        }
        while self.hashes.len() > max_blocks.max(2) {
            self.hashes = self.hashes.chunks(2).map(merged).collect();
            self.block_bytes *= 2;
        }
        BlockHashes {
            block_bytes: self.block_bytes,
            hashes: self.hashes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 31 + (i >> 9)) as u8).collect()
    }

    fn hashes_of(bytes: &[u8], max_blocks: usize) -> BlockHashes {
        let mut hasher = BlockHasher::with_blocks_of(1024);
        // In pieces that do not end at block boundaries.
        for piece in bytes.chunks(777) {
            hasher.update(piece);
        }
        hasher.finish_within(max_blocks)
    }

    #[test]
    fn the_blocks_add_up_to_the_file_and_each_is_known_by_itself() {
        for n_bytes in [
            0,
            1,
            1023,
            1024,
            1025,
            2048,
            3000,
            4096,
            5000,
            33 * 1024 + 7,
        ] {
            let bytes = content(n_bytes);
            let whole = blake3::hash(&bytes).to_hex();
            for max_blocks in [2, 3, 100] {
                let blocks = hashes_of(&bytes, max_blocks);
                assert!(blocks.hashes.len() <= max_blocks);
                assert_eq!(blocks.fault(n_bytes as u64, &whole), None, "{n_bytes}");
                for idx in 0..blocks.hashes.len() {
                    let range = blocks.range(idx, n_bytes as u64);
                    let mut block = bytes[range.start as usize..range.end as usize].to_vec();
                    assert!(blocks.holds(idx, &block), "{n_bytes} {max_blocks} {idx}");
                    block[0] ^= 1;
                    assert!(!blocks.holds(idx, &block));
                }
            }
        }
    }

    #[test]
    fn hashes_of_another_file_or_in_another_order_are_detected() {
        let bytes = content(5000);
        let whole = blake3::hash(&bytes).to_hex();
        let sound = hashes_of(&bytes, 100);
        let fault = |change: &dyn Fn(&mut BlockHashes)| {
            let mut blocks = sound.clone();
            change(&mut blocks);
            blocks.fault(5000, &whole).expect("a fault")
        };
        assert!(fault(&|blocks| blocks.hashes.swap(0, 1)).contains("add up to"));
        assert!(fault(&|blocks| blocks.hashes[4][31] ^= 1).contains("add up to"));
        assert!(fault(&|blocks| blocks.hashes.truncate(4)).contains("of 4 blocks, expected 5"));
        for size in [0, 512, 1500] {
            let text = fault(&|blocks| blocks.block_bytes = size);
            assert!(text.contains("a power of two"), "{text}");
        }
    }
}
