//! A model as an ONNX graph: `input_ids` int64 `[B, T]` to `logits` f32 `[B, T, V]`, B and T
//! dynamic, opset 17, standard operators only.
//!
//! Weights of matrix products are `[in, out]` in the graph, transposed from the parameters' `[out,
//! in]`; a tied head multiplies by the embedding as it lies. Rotary angles are tables of
//! `[max_seq_len, head_dim / 2]`, so that a sequence longer than the model is for ends in an error.

use super::ExportError;
use super::until::Until;
use crate::interrupt::Interrupt;
use crate::onnx::build::{Attribute, Edge, ModelBuilder, TensorData};
use crate::onnx::{DType, Dim};
use crate::storage::{FileHash, Partial, Sealed, remove_file, sweep_abandoned_where};
use crate::train::model::{ModelSpec, Params};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Added to scores of positions that are yet to come: nothing is left of them after the softmax.
const MASKED: f32 = -1e30;

/// Rows transposed at a time, so that writes stay near each other.
const TILE: usize = 32;

/// Where the weights of an ONNX model go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnnxWeights {
    /// Into the model's file, which is then at most 2 GiB.
    Inline,
    /// Into `<file name>.data` beside it.
    External,
}

/// Protobuf's limit on one message, bytes; some of it is for the graph itself.
const MAX_INLINE_BYTES: u64 = (2 << 30) - (1 << 20);

/// Writes the model as ONNX, in place of whatever has the name `path`, until a stop is asked for, by which
/// nothing of what was there is lost. The graph gets its name last: without it nothing is there yet.
/// Holds one copy of the weights beside `params` meanwhile. What a killed write of the same name left
/// is swept. Tells what has which hash.
///
/// # Errors
/// I/O; weights inline that are more than a protobuf message may hold; [`ExportError::Interrupted`].
pub fn write_onnx(
    path: &Path,
    params: &Params,
    weights: OnnxWeights,
    interrupt: &Interrupt,
) -> Result<Vec<(String, FileHash)>, ExportError> {
    let data_path = onnx_data_path(path);
    let names = [name_of(path), name_of(&data_path)];
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    sweep_abandoned_where(parent.unwrap_or(Path::new(".")), |name| {
        names.iter().any(|ours| ours == name)
    })?;
    let model = onnx_model(params);
    let n_bytes = 4 * model.n_parameters();
    if weights == OnnxWeights::Inline {
        if n_bytes > MAX_INLINE_BYTES {
            return Err(too_large(path, n_bytes));
        }
        let whole = seal(path, interrupt, |out| model.write_to(out))?;
        let hash = whole.hash.clone();
        whole.replace()?;
        return Ok(vec![(name_of(path), hash)]);
    }
    let data_name = name_of(&data_path);
    let data = seal(&data_path, interrupt, |out| model.write_data_to(out))?;
    let graph = seal(path, interrupt, |out| {
        model.write_external_to(&data_name, out)
    })?;
    let hashes = vec![
        (name_of(path), graph.hash.clone()),
        (data_name, data.hash.clone()),
    ];
    // An older model would otherwise point into the new weights for a moment.
    remove_file(path)?;
    data.replace()?;
    graph.replace()?;
    Ok(hashes)
}

/// Whether the file of weights beside the model at `path` is what [`write_onnx`] would write there, as a
/// kill before the graph got its name leaves it.
///
/// # Errors
/// A file that cannot be read.
pub fn has_onnx_data_of(path: &Path, params: &Params) -> Result<bool, ExportError> {
    let data_path = onnx_data_path(path);
    let io = |source| ExportError::io("read", &data_path, source);
    let mut there = Same {
        file: BufReader::new(File::open(&data_path).map_err(io)?),
        is_same: true,
    };
    // What differs ends the writing early.
    let _ = onnx_model(params).write_data_to(&mut there);
    let is_at_end = there.file.fill_buf().map_err(io)?.is_empty();
    Ok(there.is_same && is_at_end)
}

/// Compares what is written with a file, up to where they differ.
struct Same {
    file: BufReader<File>,
    is_same: bool,
}

impl Write for Same {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        self.is_same &= self.file.read_exact(&mut there).is_ok() && there == bytes;
        match self.is_same {
            true => Ok(bytes.len()),
            false => Err(std::io::Error::other("other bytes")),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The file of the weights of the model at `path`, if they are [`OnnxWeights::External`].
pub fn onnx_data_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.data", name_of(path)))
}

fn too_large(path: &Path, n_bytes: u64) -> ExportError {
    ExportError::Config {
        path: path.to_owned(),
        key: "weights".to_owned(),
        expected: format!("at most {MAX_INLINE_BYTES} bytes in one file"),
        got: format!("{n_bytes}"),
        remedy: "put them beside it with --external-data",
    }
}

/// Writes a file whole, up to the point where it gets its name.
fn seal(
    path: &Path,
    interrupt: &Interrupt,
    write: impl FnOnce(&mut BufWriter<Until<'_, Partial>>) -> std::io::Result<()>,
) -> Result<Sealed, ExportError> {
    let failed = |source| ExportError::written(path, source, interrupt);
    let until = Until {
        out: Partial::create(path)?,
        interrupt,
    };
    let mut out = BufWriter::with_capacity(1 << 16, until);
    write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
    let until = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    Ok(until.out.seal()?)
}

/// The graph of a model, with its weights.
pub fn onnx_model(params: &Params) -> ModelBuilder {
    Exporter {
        params,
        spec: &params.spec,
        model: ModelBuilder::new("llama"),
    }
    .build()
}

struct Exporter<'a> {
    params: &'a Params,
    spec: &'a ModelSpec,
    model: ModelBuilder,
}

/// What every block uses.
struct Shared {
    /// `[T, head_dim / 2]`.
    cos: Edge,
    /// `[T, head_dim / 2]`.
    sin: Edge,
    /// `[T, T]`: 0 at and below the diagonal, [`MASKED`] above.
    mask: Edge,
}

impl Exporter<'_> {
    fn build(mut self) -> ModelBuilder {
        let dims_bt = [Dim::symbol("batch_size"), Dim::symbol("sequence_length")];
        let ids = self.model.input("input_ids", DType::I64, &dims_bt);
        let embedding = self.tensor("model.embed_tokens.weight");
        let mut hidden = self.model.gather(&embedding, &ids, 0);
        let shared = self.shared(&ids);
        for layer in 0..self.spec.n_layers {
            hidden = self.attention(layer, &hidden, &shared);
            hidden = self.feed_forward(layer, &hidden);
        }
        let hidden = self.norm("model.norm.weight", &hidden);
        let logits = match self.spec.tie_embeddings {
            true => self.tied_head(&hidden, &embedding, &ids),
            false => self.linear("lm_head.weight", &hidden),
        };
        let [b, t] = dims_bt;
        let dims = [b, t, Dim::Fixed(self.spec.vocab_size as u64)];
        self.model.output("logits", &logits, DType::F32, &dims);
        self.model
    }

    fn shared(&mut self, ids: &Edge) -> Shared {
        let n_tokens = self.model.dim_size(ids, 1);
        let positions_t = self.model.positions(&n_tokens);
        let (cos, sin) = (
            self.rope_table("cos", f64::cos),
            self.rope_table("sin", f64::sin),
        );
        Shared {
            cos: self.model.gather(&cos, &positions_t, 0),
            sin: self.model.gather(&sin, &positions_t, 0),
            mask: self.model.causal_mask(&n_tokens, MASKED),
        }
    }

    /// `[max_seq_len, head_dim / 2]`: `wave(position * theta^(-2i / head_dim))`, in f64 until the end.
    fn rope_table(&mut self, name: &str, wave: fn(f64) -> f64) -> Edge {
        let (n_positions, half) = (self.spec.max_seq_len, self.spec.head_dim / 2);
        let angle = |idx: usize| {
            let exponent = -((2 * (idx % half)) as f64) / self.spec.head_dim as f64;
            (idx / half) as f64 * self.spec.rope_theta.powf(exponent)
        };
        let bytes = (0..n_positions * half)
            .flat_map(|idx| (wave(angle(idx)) as f32).to_le_bytes())
            .collect();
        let dims = [n_positions as u64, half as u64];
        let data = TensorData::Bytes(DType::F32, bytes);
        self.model.initializer(&format!("rope.{name}"), &dims, data)
    }

    /// x / sqrt(mean(x^2) + eps) * scale, in the form that ONNX Runtime fuses into one kernel.
    fn norm(&mut self, name: &str, x: &Edge) -> Edge {
        let two = self.model.scalar_f32(2.0);
        let squares = self.model.node("Pow", &[x, &two], &[]);
        let last = [
            Attribute::ints("axes", &[-1]),
            Attribute::int("keepdims", 1),
        ];
        let mean = self.model.node("ReduceMean", &[&squares], &last);
        let eps = self.model.scalar_f32(self.spec.norm_eps as f32);
        let mean = self.model.add(&mean, &eps);
        let root = self.model.node("Sqrt", &[&mean], &[]);
        let normed = self.model.div(x, &root);
        let scale = self.tensor(name);
        self.model.mul(&normed, &scale)
    }

    fn attention(&mut self, layer: usize, hidden: &Edge, shared: &Shared) -> Edge {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let (n_heads, n_kv_heads) = (self.spec.n_heads, self.spec.n_kv_heads);
        let normed = self.norm(&name("input_layernorm"), hidden);
        let q = self.heads(&name("self_attn.q_proj"), &normed, n_heads);
        let k = self.heads(&name("self_attn.k_proj"), &normed, n_kv_heads);
        let v = self.heads(&name("self_attn.v_proj"), &normed, n_kv_heads);
        let (q, k) = (self.rotate(&q, shared), self.rotate(&k, shared));
        let (k, v) = (self.repeat_heads(&k), self.repeat_heads(&v));
        let k = self.model.transpose(&k, &[0, 1, 3, 2]);
        let scores = self.model.matmul(&q, &k);
        let scale = self
            .model
            .scalar_f32((self.spec.head_dim as f64).powf(-0.5) as f32);
        let scores = self.model.mul(&scores, &scale);
        let scores = self.model.add(&scores, &shared.mask);
        let weights = self.model.softmax(&scores);
        let mixed = self.model.matmul(&weights, &v);
        let mixed = self.model.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = self
            .model
            .reshape(&mixed, &[0, 0, self.spec.q_width() as i64]);
        let projected = self.linear(&name("self_attn.o_proj"), &mixed);
        self.model.add(hidden, &projected)
    }

    /// `[B, T, D]` to `[B, n_heads, T, head_dim]`.
    fn heads(&mut self, name: &str, normed: &Edge, n_heads: usize) -> Edge {
        let flat = self.linear(name, normed);
        let dims = [0, 0, n_heads as i64, self.spec.head_dim as i64];
        let by_head = self.model.reshape(&flat, &dims);
        self.model.transpose(&by_head, &[0, 2, 1, 3])
    }

    /// RoPE over halves: (x1, x2) to (x1 cos - x2 sin, x2 cos + x1 sin).
    fn rotate(&mut self, x: &Edge, shared: &Shared) -> Edge {
        let axis = [Attribute::int("axis", -1)];
        let halves = self.model.node_with_outputs("", "Split", &[x], &axis, 2);
        let (x1, x2) = (&halves[0], &halves[1]);
        let (a, b) = (
            self.model.mul(x1, &shared.cos),
            self.model.mul(x2, &shared.sin),
        );
        let (c, d) = (
            self.model.mul(x2, &shared.cos),
            self.model.mul(x1, &shared.sin),
        );
        let (first, second) = (self.model.sub(&a, &b), self.model.add(&c, &d));
        self.model.concat(&[&first, &second], -1)
    }

    /// `[B, H_kv, T, head_dim]` to `[B, H, T, head_dim]`: each for as many queries as share it.
    fn repeat_heads(&mut self, x: &Edge) -> Edge {
        let (n_heads, n_kv_heads) = (self.spec.n_heads as i64, self.spec.n_kv_heads as i64);
        if n_heads == n_kv_heads {
            return x.clone();
        }
        let x = self.model.unsqueeze(x, &[2]);
        let shape = self.model.constant_i64(&[1, 1, n_heads / n_kv_heads, 1, 1]);
        let x = self.model.node("Expand", &[&x, &shape], &[]);
        let dims = [0, n_heads, -1, self.spec.head_dim as i64];
        self.model.reshape(&x, &dims)
    }

    /// down(silu(gate(x)) * up(x)).
    fn feed_forward(&mut self, layer: usize, hidden: &Edge) -> Edge {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let normed = self.norm(&name("post_attention_layernorm"), hidden);
        let gate = self.linear(&name("mlp.gate_proj"), &normed);
        let up = self.linear(&name("mlp.up_proj"), &normed);
        let sigmoid = self.model.node("Sigmoid", &[&gate], &[]);
        let gate = self.model.mul(&gate, &sigmoid);
        let product = self.model.mul(&gate, &up);
        let down = self.linear(&name("mlp.down_proj"), &product);
        self.model.add(hidden, &down)
    }

    /// The product with an embedding `[V, D]` as it lies: flattened to rows, and back.
    fn tied_head(&mut self, hidden: &Edge, embedding: &Edge, ids: &Edge) -> Edge {
        let rows = self.model.reshape(hidden, &[-1, self.spec.d_model as i64]);
        let transposed = [Attribute::int("transB", 1)];
        let logits = self.model.node("Gemm", &[&rows, embedding], &transposed);
        let dims_bt = self.model.node("Shape", &[ids], &[]);
        let vocab_size = self.model.constant_i64(&[self.spec.vocab_size as i64]);
        let dims = self.model.concat(&[&dims_bt, &vocab_size], 0);
        self.model.node("Reshape", &[&logits, &dims], &[])
    }

    /// The product with a weight, stored `[in, out]`.
    fn linear(&mut self, name: &str, x: &Edge) -> Edge {
        let (shape, values) = self.slot(name);
        let (n_out, n_in) = (shape[0], shape[1]);
        let data = TensorData::Bytes(DType::F32, transposed_bytes(values, n_out, n_in));
        let weight = self
            .model
            .initializer(name, &[n_in as u64, n_out as u64], data);
        self.model.matmul(x, &weight)
    }

    /// A parameter as it lies.
    fn tensor(&mut self, name: &str) -> Edge {
        let (shape, values) = self.slot(name);
        let dims: Vec<u64> = shape.iter().map(|&dim| dim as u64).collect();
        self.model.initializer(name, &dims, TensorData::f32(values))
    }

    fn slot(&self, name: &str) -> (&[usize], &[f32]) {
        let slots = &self.params.layout.tensors;
        let slot = slots.iter().find(|slot| slot.name == name);
        let slot = slot.expect("the layout has every tensor of its model");
        (&slot.shape, &self.params.values[slot.range.clone()])
    }
}

/// Little-endian bytes of `[rows, columns]` values as `[columns, rows]`.
fn transposed_bytes(values: &[f32], rows: usize, columns: usize) -> Vec<u8> {
    let mut bytes = vec![0; 4 * values.len()];
    let (places, _) = bytes.as_chunks_mut::<4>();
    for first_row in (0..rows).step_by(TILE) {
        for column in 0..columns {
            for row in first_row..rows.min(first_row + TILE) {
                places[column * rows + row] = values[row * columns + column].to_le_bytes();
            }
        }
    }
    bytes
}
