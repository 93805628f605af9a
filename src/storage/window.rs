//! Windows on the bytes of an object: what was fetched and may be read again.

use super::StorageError;
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Fewest bytes that a read fetches: a page header is small, and what follows it is read next.
const WINDOW_BYTES: u64 = 256 << 10;
/// Bytes at the end that are fetched with the first read there: a footer, whose length is its last
/// word.
const TAIL_BYTES: u64 = 64 << 10;
/// Ranges with at most this many bytes between them are fetched in one request.
const GAP_BYTES: u64 = 128 << 10;
/// Bytes per request; a longer run takes several.
const MAX_REQUEST_BYTES: u64 = 8 << 20;
/// How many windows of unannounced reads are kept.
const N_KEPT: usize = 4;

/// A source of bytes by range.
pub(super) trait Ranges {
    /// The bytes of every range, in order.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError>;
}

impl Ranges for super::object::Object {
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        super::object::Object::read_ranges(self, ranges)
    }
}

/// An object with the parts fetched so far.
#[derive(Debug)]
pub(super) struct Windows<R> {
    object: R,
    n_bytes: u64,
    cached: Mutex<CachedWindows>,
}

/// Windows, each with the offset of its first byte.
#[derive(Debug, Default)]
struct CachedWindows {
    tail: Option<(u64, Bytes)>,
    announced: Vec<(u64, Bytes)>,
    others: Vec<(u64, Bytes)>,
}

impl<R: Ranges> Windows<R> {
    pub(super) fn of(object: R, n_bytes: u64) -> Self {
        Windows {
            object,
            n_bytes,
            cached: Mutex::default(),
        }
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, CachedWindows> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `length` bytes from `start` on, which must exist.
    pub(super) fn read(&self, start: u64, length: usize) -> Result<Bytes, StorageError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let end = start + length as u64;
        if let Some(bytes) = self.cached().find(start, end) {
            return Ok(bytes);
        }
        let tail_start = self.n_bytes.saturating_sub(TAIL_BYTES);
        let is_tail = start >= tail_start;
        let window = match is_tail {
            true => tail_start..self.n_bytes,
            false => start..end.max(start + WINDOW_BYTES).min(self.n_bytes),
        };
        let first = window.start;
        let whole = self.run(window)?;
        let at = (start - first) as usize;
        let bytes = whole.slice(at..at + length);
        self.cached().keep(first, whole, is_tail);
        Ok(bytes)
    }

    /// Bytes of a run, in as many requests as needed.
    fn run(&self, run: Range<u64>) -> Result<Bytes, StorageError> {
        let mut parts = self.object.read_ranges(&in_requests(&run))?;
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        Ok(parts.concat().into())
    }

    /// Fetches `ranges`, replacing what was announced before.
    pub(super) fn fetch(&self, ranges: &[Range<u64>]) -> Result<(), StorageError> {
        let runs = runs_of(ranges, self.n_bytes);
        let is_held = |run: &Range<u64>| self.cached().find(run.start, run.end).is_some();
        if runs.iter().all(is_held) {
            return Ok(());
        }
        let requests: Vec<Range<u64>> = runs.iter().flat_map(in_requests).collect();
        let mut parts = self.object.read_ranges(&requests)?.into_iter();
        let joined = runs.iter().map(|run| {
            let parts: Vec<Bytes> = parts.by_ref().take(in_requests(run).len()).collect();
            let whole = match <[Bytes; 1]>::try_from(parts) {
                Ok([only]) => only,
                Err(parts) => parts.concat().into(),
            };
            (run.start, whole)
        });
        let announced = joined.collect();
        self.cached().announced = announced;
        Ok(())
    }
}

impl CachedWindows {
    fn find(&self, start: u64, end: u64) -> Option<Bytes> {
        let windows = self.announced.iter().chain(&self.others).chain(&self.tail);
        windows
            .filter(|(first, bytes)| *first <= start && end <= first + bytes.len() as u64)
            .map(|(first, bytes)| bytes.slice((start - first) as usize..(end - first) as usize))
            .next()
    }

    fn keep(&mut self, first: u64, bytes: Bytes, is_tail: bool) {
        if is_tail {
            self.tail = Some((first, bytes));
            return;
        }
        if self.others.len() == N_KEPT {
            self.others.remove(0);
        }
        self.others.push((first, bytes));
    }
}

/// Ranges within `n_bytes`, in order, joined where the gap is small.
fn runs_of(ranges: &[Range<u64>], n_bytes: u64) -> Vec<Range<u64>> {
    let within = ranges
        .iter()
        .filter(|r| r.start < r.end && r.end <= n_bytes);
    let mut sorted: Vec<Range<u64>> = within.cloned().collect();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut runs: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match runs.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP_BYTES) => {
                last.end = last.end.max(range.end);
            }
            _ => runs.push(range),
        }
    }
    runs
}

fn in_requests(run: &Range<u64>) -> Vec<Range<u64>> {
    let starts = (run.start..run.end).step_by(MAX_REQUEST_BYTES as usize);
    starts
        .map(|start| start..(start + MAX_REQUEST_BYTES).min(run.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes in memory, and the ranges requested.
    #[derive(Debug)]
    struct Counted {
        bytes: Bytes,
        asked: Mutex<Vec<Range<u64>>>,
    }

    impl Ranges for Counted {
        fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
            self.asked.lock().unwrap().extend(ranges.iter().cloned());
            let slice = |r: &Range<u64>| self.bytes.slice(r.start as usize..r.end as usize);
            Ok(ranges.iter().map(slice).collect())
        }
    }

    fn windows(n_bytes: usize) -> (Bytes, Windows<Counted>) {
        let bytes: Bytes = (0..n_bytes).map(|i| (i * 31 + (i >> 8)) as u8).collect();
        let asked = Mutex::default();
        let counted = Counted {
            bytes: bytes.clone(),
            asked,
        };
        (bytes, Windows::of(counted, n_bytes as u64))
    }

    fn n_requests(windows: &Windows<Counted>) -> usize {
        windows.object.asked.lock().unwrap().len()
    }

    #[test]
    fn a_footer_is_one_request_and_announced_ranges_are_one_each_run() {
        let (bytes, windows) = windows(20 << 20);
        let n = bytes.len() as u64;
        assert_eq!(
            windows.read(n - 8, 8).unwrap(),
            bytes.slice(bytes.len() - 8..)
        );
        windows.read(n - 5000, 4992).unwrap();
        assert_eq!(n_requests(&windows), 1);
        let (near, far) = (1000..5000, 6 << 20..(6 << 20) + 100);
        windows
            .fetch(&[far.clone(), near.clone(), 5000..9000])
            .unwrap();
        assert_eq!(n_requests(&windows), 3, "two runs");
        for range in [near, 5000..9000, far] {
            let read = windows
                .read(range.start, (range.end - range.start) as usize)
                .unwrap();
            assert_eq!(read, bytes.slice(range.start as usize..range.end as usize));
        }
        assert_eq!(n_requests(&windows), 3);
        // A long run takes several requests.
        let long = 0..17 << 20;
        windows.fetch(std::slice::from_ref(&long)).unwrap();
        assert_eq!(n_requests(&windows), 6);
        assert_eq!(windows.read(0, 17 << 20).unwrap(), bytes.slice(..17 << 20));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_read_gives_the_bytes_whatever_was_fetched_before(
            n_bytes in 1usize..600_000,
            steps in proptest::collection::vec((any::<bool>(), 0.0f64..1.0, 0.0f64..1.0), 1..20),
        ) {
            let (bytes, windows) = windows(n_bytes);
            for (is_fetch, a, b) in steps {
                let (a, b) = ((a * n_bytes as f64) as u64, (b * n_bytes as f64) as u64);
                let (start, end) = (a.min(b), a.max(b));
                match is_fetch {
                    true => windows.fetch(&[start..end, end..n_bytes as u64 + 1]).unwrap(),
                    false => {
                        let read = windows.read(start, (end - start) as usize).unwrap();
                        prop_assert_eq!(read, bytes.slice(start as usize..end as usize));
                    }
                }
            }
        }
    }
}
