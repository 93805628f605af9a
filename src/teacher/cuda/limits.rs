//! What fits the shared memory of a block of threads, as `kernel.cu` has it.

/// The most ids that a position's list may hold, and the most draws.
pub(super) const GREATEST_K: usize = 2048;
/// The most blocks of [`BLOCK`] ids whose sums fit shared memory, for draws.
pub(super) const MAX_SUMMED_BLOCKS: usize = 3 * GREATEST_K;
/// Ids a summed block.
pub(super) const BLOCK: usize = 64;
