//! All operations except the loss.

use super::super::*;
use super::{TOLERANCE, assert_close, differences, dot, numbers, on_threads, wide};
use crate::train::model::{ModelSpec, ParamLayout};

#[test]
fn a_product_of_views_is_the_naive_product_in_every_layout() {
    let (m, n, k) = (7, 5, 11);
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let naive = |a_at: &dyn Fn(usize, usize) -> f32, b_at: &dyn Fn(usize, usize) -> f32| {
        let mut c = Vec::new();
        for i in 0..m {
            for j in 0..n {
                c.push(
                    (0..k)
                        .map(|x| f64::from(a_at(i, x)) * f64::from(b_at(x, j)))
                        .sum(),
                );
            }
        }
        c
    };
    let mut c = vec![0.0; m * n];
    matmul(
        &mut c,
        Write::Replace,
        View::new(&a, m, k),
        View::new(&b, k, n),
        1,
    );
    assert_close(
        &c,
        &naive(&|i, x| a[i * k + x], &|x, j| b[x * n + j]),
        TOLERANCE,
    );
    matmul(
        &mut c,
        Write::Replace,
        View::new(&a, k, m).t(),
        View::new(&b, n, k).t(),
        2,
    );
    let transposed = naive(&|i, x| a[x * m + i], &|x, j| b[j * k + x]);
    assert_close(&c, &transposed, TOLERANCE);
    matmul(
        &mut c,
        Write::Add,
        View::new(&a, k, m).t(),
        View::new(&b, n, k).t(),
        2,
    );
    let doubled: Vec<f64> = transposed.iter().map(|value| 2.0 * value).collect();
    assert_close(&c, &doubled, TOLERANCE);
    let wide_row = numbers(m * (k + 3), 3);
    let strided = View::strided(&wide_row, m, k, k + 3);
    matmul(&mut c, Write::Replace, strided, View::new(&b, k, n), 1);
    let expected = naive(&|i, x| wide_row[i * (k + 3) + x], &|x, j| b[x * n + j]);
    assert_close(&c, &expected, TOLERANCE);
}

fn rmsnorm_reference(x: &[f64], gamma: &[f64], eps: f64) -> Vec<f64> {
    let d = gamma.len();
    x.chunks_exact(d)
        .flat_map(|row| {
            let rstd = 1.0 / (dot(row, row) / d as f64 + eps).sqrt();
            row.iter()
                .zip(gamma)
                .map(move |(x, g)| x * rstd * g)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn rmsnorm_and_its_gradients_are_those_of_the_reference() {
    let (n, d, eps) = (67, 19, 1e-5_f32);
    let (x, gamma, dy) = (numbers(n * d, 1), numbers(d, 2), numbers(n * d, 3));
    let (mut y, mut rstd) = (vec![0.0; n * d], vec![0.0; n]);
    rmsnorm(&x, &gamma, eps, &mut y, &mut rstd);
    let reference = |x: &[f64], gamma: &[f64]| rmsnorm_reference(x, gamma, f64::from(eps));
    assert_close(&y, &reference(&wide(&x), &wide(&gamma)), TOLERANCE);

    let before = numbers(n * d, 4);
    let (mut dx, mut dgamma) = (before.clone(), vec![9.0; d]);
    let mut partials = vec![7.0; n.div_ceil(64) * d];
    rmsnorm_backward(
        &dy,
        &x,
        &rstd,
        &gamma,
        &mut dx,
        &mut dgamma,
        true,
        &mut partials,
    );
    let by_x = differences(&x, |x| dot(&reference(x, &wide(&gamma)), &wide(&dy)));
    let expected: Vec<f64> = by_x
        .iter()
        .zip(&before)
        .map(|(a, &b)| a + f64::from(b))
        .collect();
    assert_close(&dx, &expected, TOLERANCE);
    let by_gamma = differences(&gamma, |gamma| {
        dot(&reference(&wide(&x), gamma), &wide(&dy))
    });
    assert_close(&dgamma, &by_gamma, TOLERANCE);
    let mut again = dx.clone();
    rmsnorm_backward(
        &dy,
        &x,
        &rstd,
        &gamma,
        &mut again,
        &mut dgamma,
        false,
        &mut partials,
    );
    let doubled: Vec<f64> = by_gamma.iter().map(|value| 2.0 * value).collect();
    assert_close(&dgamma, &doubled, TOLERANCE);
}

#[test]
fn the_residual_sum_is_normalized_as_if_it_were_added_before() {
    let (n, d) = (65, 24);
    let (a, b, gamma) = (numbers(n * d, 1), numbers(n * d, 2), numbers(d, 3));
    let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let (mut y, mut rstd) = (vec![0.0; n * d], vec![0.0; n]);
    rmsnorm(&sum, &gamma, 1e-5, &mut y, &mut rstd);
    let (mut x, mut y2, mut rstd2) = (b.clone(), vec![0.0; n * d], vec![0.0; n]);
    add_rmsnorm(&a, &mut x, &gamma, 1e-5, &mut y2, &mut rstd2);
    assert_eq!((x, y2, rstd2), (sum, y, rstd));
}

#[test]
fn swiglu_and_its_gradient_are_those_of_the_reference() {
    let (n, f) = (66, 21);
    let gate_up: Vec<f32> = numbers(n * 2 * f, 1).iter().map(|x| 9.0 * x).collect();
    let dact = numbers(n * f, 2);
    let reference = |gate_up: &[f64]| -> Vec<f64> {
        let rows = gate_up.chunks_exact(2 * f);
        rows.flat_map(|row| {
            (0..f)
                .map(|i| row[i] / (1.0 + (-row[i]).exp()) * row[f + i])
                .collect::<Vec<_>>()
        })
        .collect()
    };
    let mut act = vec![0.0; n * f];
    swiglu(&gate_up, &mut act, f);
    assert_close(&act, &reference(&wide(&gate_up)), TOLERANCE);
    let expected = differences(&gate_up, |x| dot(&reference(x), &wide(&dact)));
    let mut dgate_up = gate_up.clone();
    swiglu_backward(&dact, &mut dgate_up, f);
    assert_close(&dgate_up, &expected, TOLERANCE);
}

/// Heads of `[N, width]` rotated as Hugging Face's `rotate_half` does.
fn rope_reference(
    x: &[f64],
    width: usize,
    n_heads: usize,
    dim: usize,
    theta: f64,
    positions: &[u32],
) -> Vec<f64> {
    let mut y = x.to_vec();
    for (n, &position) in positions.iter().enumerate() {
        for head in 0..n_heads {
            for i in 0..dim / 2 {
                let angle = f64::from(position) * theta.powf(-2.0 * i as f64 / dim as f64);
                let low = n * width + head * dim + i;
                let high = low + dim / 2;
                y[low] = x[low] * angle.cos() - x[high] * angle.sin();
                y[high] = x[high] * angle.cos() + x[low] * angle.sin();
            }
        }
    }
    y
}

#[test]
fn rope_turns_as_the_reference_and_its_gradient_turns_back() {
    let (dim, n_heads, width) = (6, 3, 25);
    let positions: Vec<u32> = (0..50).chain(0..20).collect();
    let n = positions.len();
    let (x, dy) = (numbers(n * width, 1), numbers(n * width, 2));
    let frequencies: Vec<f64> = (0..dim / 2)
        .map(|i| 10_000f64.powf(-2.0 * i as f64 / dim as f64))
        .collect();
    let table = RopeTable::new(50, &frequencies);
    let reference = |x: &[f64]| rope_reference(x, width, n_heads, dim, 10_000.0, &positions);
    let mut y = x.clone();
    rope(
        &mut y,
        width,
        n_heads,
        &table,
        &positions,
        Direction::Forward,
    );
    assert_close(&y, &reference(&wide(&x)), TOLERANCE);
    let mut dx = dy.clone();
    rope(&mut dx, width, n_heads, &table, &positions, Direction::Back);
    assert_close(
        &dx,
        &differences(&x, |x| dot(&reference(x), &wide(&dy))),
        TOLERANCE,
    );
}

fn attention_reference(shape: AttentionShape, qkv: &[f64], starts: &[usize]) -> Vec<f64> {
    let (h, kv, dim) = (shape.n_heads, shape.n_kv_heads, shape.head_dim);
    let width = (h + 2 * kv) * dim;
    let mut out = vec![0.0; qkv.len() / width * h * dim];
    for pair in starts.windows(2) {
        for t in pair[0]..pair[1] {
            for head in 0..h {
                let group = head / (h / kv);
                let query = &qkv[t * width + head * dim..][..dim];
                let key = |s: usize| &qkv[s * width + (h + group) * dim..][..dim];
                let value = |s: usize| &qkv[s * width + (h + kv + group) * dim..][..dim];
                let weights: Vec<f64> = (pair[0]..=t)
                    .map(|s| (dot(query, key(s)) / (dim as f64).sqrt()).exp())
                    .collect();
                let sum: f64 = weights.iter().sum();
                for (weight, s) in weights.iter().zip(pair[0]..=t) {
                    for i in 0..dim {
                        out[(t * h + head) * dim + i] += weight / sum * value(s)[i];
                    }
                }
            }
        }
    }
    out
}

#[test]
fn attention_and_its_gradient_are_those_of_the_reference_whatever_the_heads_and_lengths() {
    for (n_heads, n_kv_heads, head_dim, starts) in [
        (4, 2, 6, vec![0, 1, 8, 13]),
        (3, 3, 4, vec![0, 67]),
        (4, 1, 2, vec![0, 64, 70]),
    ] {
        let shape = AttentionShape {
            n_heads,
            n_kv_heads,
            head_dim,
        };
        let n = starts[starts.len() - 1];
        let width = (n_heads + 2 * n_kv_heads) * head_dim;
        let qkv: Vec<f32> = numbers(n * width, 1).iter().map(|x| 3.0 * x).collect();
        let dout = numbers(n * n_heads * head_dim, 2);
        let threads = 2;
        let (mut out, mut lse) = (vec![0.0; dout.len()], vec![0.0; n * n_heads]);
        let mut scratch = vec![0.0; threads * shape.scratch_len(n)];
        attention(
            shape,
            &qkv,
            &starts,
            &mut out,
            &mut lse,
            &mut scratch,
            threads,
        );
        assert_close(
            &out,
            &attention_reference(shape, &wide(&qkv), &starts),
            TOLERANCE,
        );
        // The buffer's earlier contents do not matter.
        let mut dqkv = vec![9.0; n * width];
        attention_backward(
            shape,
            &qkv,
            &starts,
            &out,
            &lse,
            &dout,
            &mut dqkv,
            &mut scratch,
            threads,
        );
        let reference = |x: &[f64]| dot(&attention_reference(shape, x, &starts), &wide(&dout));
        assert_close(&dqkv, &differences(&qkv, reference), TOLERANCE);
    }
}

#[test]
fn attention_gives_the_same_bits_on_any_number_of_threads() {
    let shape = AttentionShape {
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 8,
    };
    let starts = [0, 100, 130, 131];
    let qkv = numbers(131 * 64, 1);
    let dout = numbers(131 * 32, 2);
    let run = |threads: usize| {
        on_threads(threads, || {
            let (mut out, mut lse) = (vec![0.0; dout.len()], vec![0.0; 131 * 4]);
            let mut scratch = vec![0.0; threads * shape.scratch_len(100)];
            attention(
                shape,
                &qkv,
                &starts,
                &mut out,
                &mut lse,
                &mut scratch,
                threads,
            );
            let mut dqkv = vec![0.0; qkv.len()];
            attention_backward(
                shape,
                &qkv,
                &starts,
                &out,
                &lse,
                &dout,
                &mut dqkv,
                &mut scratch,
                threads,
            );
            (out, dqkv)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn gradients_of_an_embedding_are_added_up_by_id() {
    let (vocab_size, d) = (5, 70);
    let ids = [3, 0, 3, 4, 3];
    let table = numbers(vocab_size * d, 1);
    let mut x = vec![0.0; ids.len() * d];
    embed(&ids, &table, &mut x, d);
    assert_eq!(x[2 * d..3 * d], table[3 * d..4 * d]);
    let dx = numbers(ids.len() * d, 2);
    let mut dtable = vec![1.0; vocab_size * d];
    embed_backward(&ids, &dx, &mut dtable, d);
    let mut expected = vec![1.0; vocab_size * d];
    for (n, &id) in ids.iter().enumerate() {
        for i in 0..d {
            expected[id as usize * d + i] += f64::from(dx[n * d + i]);
        }
    }
    assert_close(&dtable, &expected, TOLERANCE);
}

fn tiny_spec() -> ModelSpec {
    ModelSpec {
        vocab_size: 7,
        d_model: 4,
        n_layers: 1,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 2,
        d_ff: 5,
        max_seq_len: 8,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings: false,
    }
}

#[test]
fn adamw_is_the_algorithm_of_the_paper_and_leaves_norms_undecayed() {
    let layout = ParamLayout::new(&tiny_spec());
    let config = AdamWConfig {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
    };
    let (lr, clip) = (0.01, 0.5);
    let mut params = numbers(layout.len, 1);
    let mut expected = wide(&params);
    let (mut m, mut v) = (vec![0.0; layout.len], vec![0.0; layout.len]);
    let mut optimizer = AdamW::new(layout.len);
    for step in 1..=5_u64 {
        let grads = numbers(layout.len, 10 + step);
        optimizer.update(
            &config,
            &layout.tensors,
            &mut params,
            &grads,
            lr,
            clip,
            step,
        );
        for slot in &layout.tensors {
            let decay = if slot.shape.len() > 1 { 0.1 } else { 0.0 };
            for i in slot.range.clone() {
                let g = f64::from(grads[i]) * 0.5;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let m_hat = m[i] / (1.0 - 0.9_f64.powi(step as i32));
                let v_hat = v[i] / (1.0 - 0.95_f64.powi(step as i32));
                expected[i] -= 0.01 * (m_hat / (v_hat.sqrt() + 1e-8) + decay * expected[i]);
            }
        }
    }
    assert_close(&params, &expected, TOLERANCE);
}

#[test]
fn a_norm_is_the_root_of_all_squares_on_any_number_of_threads() {
    let values = numbers(100_003, 1);
    let expected = dot(&wide(&values), &wide(&values)).sqrt();
    let got = on_threads(1, || norm(&values));
    assert!((got / expected - 1.0).abs() < 1e-6);
    assert_eq!(got, on_threads(3, || norm(&values)));
}
