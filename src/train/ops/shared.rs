//! A buffer of which each task writes its own part.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice that can be split into parts that are not contiguous, such as the columns of a head. The
/// caller guarantees that the parts are disjoint.
#[derive(Clone, Copy)]
pub(super) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives no safe access; callers that take parts guarantee that they are disjoint, and a `&mut [T]`
// may be sent to another thread if T may.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            life: PhantomData,
        }
    }

    /// A pointer to element `idx`.
    ///
    /// # Panics
    /// Past the end.
    pub(super) fn at(self, idx: usize) -> *mut T {
        assert!(idx < self.len, "element {idx} of {}", self.len);
        self.start.wrapping_add(idx)
    }

    /// A pointer to a block of rows that are `stride` apart, the first at `idx`; checks that all of it is in
    /// bounds.
    ///
    /// # Panics
    /// If the last element is past the end.
    pub(super) fn block(self, idx: usize, rows: usize, cols: usize, stride: usize) -> *mut T {
        let last = idx + (rows - 1) * stride + cols - 1;
        assert!(last < self.len, "element {last} of {}", self.len);
        self.start.wrapping_add(idx)
    }

    /// A part.
    ///
    /// # Safety
    /// Nothing else may access it while the result lives.
    ///
    /// # Panics
    /// Past the end.
    #[allow(
        clippy::mut_from_ref,
        reason = "the caller promises that the parts are disjoint"
    )]
    pub(super) unsafe fn slice_mut(self, range: Range<usize>) -> &'a mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "part {range:?} of {}",
            self.len
        );
        let start = self.start.wrapping_add(range.start);
        // SAFETY: in bounds; exclusive by the caller's guarantee.
        unsafe { std::slice::from_raw_parts_mut(start, range.len()) }
    }
}
