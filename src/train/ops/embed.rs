//! The embedding: looks up rows of a table, and sums their gradients.

use super::ROWS;
use rayon::prelude::*;

/// Columns of the table owned by one task of the backward pass.
const COLUMNS: usize = 64;

/// `x_nd[n] = table_vd[ids_n[n]]`.
///
/// # Panics
/// If an id is past the table, which is checked before a run.
pub fn embed(ids_n: &[u32], table_vd: &[f32], x_nd: &mut [f32], d: usize) {
    x_nd.par_chunks_mut(d)
        .zip(ids_n)
        .with_min_len(ROWS)
        .for_each(|(x, &id)| {
            let start = id as usize * d;
            x.copy_from_slice(&table_vd[start..start + d]);
        });
}

/// Adds the gradient of each position to the row of its id. Tasks own columns, so the order of additions, and
/// thus every bit, does not depend on threads.
pub fn embed_backward(ids_n: &[u32], dx_nd: &[f32], dtable_vd: &mut [f32], d: usize) {
    let table = super::SharedMut::new(dtable_vd);
    let n_tasks = d.div_ceil(COLUMNS);
    (0..n_tasks).into_par_iter().for_each(|task| {
        let columns = task * COLUMNS..d.min((task + 1) * COLUMNS);
        for (&id, dx) in ids_n.iter().zip(dx_nd.chunks_exact(d)) {
            let start = id as usize * d;
            // SAFETY: no other task touches these columns.
            let sums = unsafe { table.slice_mut(start + columns.start..start + columns.end) };
            for (sum, dx) in sums.iter_mut().zip(&dx[columns.clone()]) {
                *sum += dx;
            }
        }
    });
}
