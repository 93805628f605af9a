//! What fits in the shared memory of a block of threads, as in `kernel.cu`.

/// Largest K, and largest number of draws.
pub(super) const MAX_K: usize = 2048;
/// Most blocks of [`BLOCK`] ids whose sums fit in shared memory, for draws.
pub(super) const MAX_SUMMED_BLOCKS: usize = 3 * MAX_K;
/// Ids per summed block.
pub(super) const BLOCK: usize = 64;
