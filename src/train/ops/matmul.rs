//! Matrix products, by the `gemm` crate. Everything is row-major f32; a [`View`] may select columns of a wider
//! buffer, and transposing a view is free, so no transposed copies are made.

use gemm::Parallelism;
use std::time::Instant;

/// `[rows, cols]` inside a buffer, element (i, j) at `i * row_stride + j * col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// A whole row-major buffer.
    ///
    /// # Panics
    /// If `data` is not `rows * cols` long.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "[{rows}, {cols}]");
        Self::strided(data, rows, cols, cols)
    }

    /// `cols` columns of rows that are `row_stride` apart, starting at the beginning of the buffer.
    ///
    /// # Panics
    /// If the buffer ends before the last element.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(is_inside(data.len(), rows, cols, row_stride), "view inside");
        Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

fn is_inside(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= len
}

/// What happens to the destination's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// They are replaced by the product.
    Replace,
    /// The product is added to them.
    Add,
}

/// `c = a b` or `c += a b`, on `threads` threads of the current pool; `c` is `[a.rows, b.cols]`, row-major.
///
/// # Panics
/// If the dims do not fit.
pub fn matmul(c: &mut [f32], write: Write, a: View<'_>, b: View<'_>, threads: usize) {
    assert_eq!(c.len(), a.rows * b.cols, "[{}, {}]", a.rows, b.cols);
    let stride = b.cols;
    // SAFETY: `c` is exclusive and as large as the product.
    unsafe { matmul_raw(c.as_mut_ptr(), stride, write, 1.0, a, b, threads) }
}

/// `c = factor a b` (or added) inside a wider buffer with rows `row_stride` apart.
///
/// # Safety
/// The `[a.rows, b.cols]` elements at `c` must be valid, and nothing else may access them meanwhile.
pub(super) unsafe fn matmul_raw(
    c: *mut f32,
    row_stride: usize,
    write: Write,
    factor: f32,
    a: View<'_>,
    b: View<'_>,
    threads: usize,
) {
    assert_eq!(a.cols, b.rows, "inner dims");
    let parallelism = match threads {
        0 | 1 => Parallelism::None,
        n => Parallelism::Rayon(n),
    };
    // SAFETY: the views were checked against their buffers on creation; the caller guarantees `c`. gemm
    // computes `dst = alpha * dst + beta * lhs * rhs`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            c,
            1,
            row_stride as isize,
            write == Write::Add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Floating point operations per second that `gemm` reaches on `threads` of the current pool: the best of
/// several products of 1024 x 1024 matrices. Takes about a tenth of a second.
pub fn sgemm_peak_flops(threads: usize) -> f64 {
    const N: usize = 1024;
    const TRIES: usize = 16;
    let (a, b) = (vec![0.5; N * N], vec![0.25; N * N]);
    let mut c = vec![0.0; N * N];
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let began = Instant::now();
        let (a, b) = (View::new(&a, N, N), View::new(&b, N, N));
        matmul(&mut c, Write::Replace, a, b, threads);
        best = best.min(began.elapsed().as_secs_f64());
    }
    2.0 * (N * N * N) as f64 / best
}
