//! How many threads work may use.

/// More threads than any supported machine has cores.
pub const MAX_THREADS: usize = 256;

/// One thread per core, within [`MAX_THREADS`].
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| usize::from(cores).min(MAX_THREADS))
}
