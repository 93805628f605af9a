//! Maps a weight to the rows of a tensor.

use crate::onnx::decoder::{DecoderSpec, Weight};

/// A row of a table: the weight, the tensor, and its place in it. Within a layer, both names are without the
/// layer's prefix.
pub(super) type Entry = (&'static str, &'static str, Cut);

/// Which part of its tensor a weight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The whole tensor.
    Whole,
    /// The query, key or value rows of a tensor that stacks all three.
    Stacked(Part),
    /// The same by head: query, key and value of the first head, then those of the next.
    ByHead(Part),
    /// The tensor is `[in, out]`.
    Transposed,
    /// The query, key or value columns of a tensor `[in, out]` of all three.
    TransposedStacked(Part),
    /// The gate or up rows of a tensor that stacks both.
    GateUp(Part),
}

/// One of the weights that share a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Query,
    Key,
    Value,
    Gate,
    Up,
}

/// Where the rows of a weight are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) tensor: String,
    /// Shape of the whole tensor.
    pub(super) shape: Vec<usize>,
    /// The first row.
    pub(super) start: usize,
    /// Number of contiguous rows per block.
    pub(super) block: usize,
    /// Rows from the start of one block to the next.
    pub(super) stride: usize,
    /// Whether the weight's rows are the tensor's columns.
    pub(super) is_transposed: bool,
}

impl Source {
    /// The tensor's row for row `row` of the weight.
    pub(super) fn row(&self, row: usize) -> usize {
        row / self.block * self.stride + self.start + row % self.block
    }

    /// Number of contiguous rows of the weight from `row` on.
    pub(super) fn n_contiguous_rows(&self, row: usize) -> usize {
        self.block - row % self.block
    }
}

/// The source of a weight by a family's tables; `None` if they have no such weight.
pub(super) fn source_of(
    layers: &str,
    tables: &[&[Entry]],
    spec: &DecoderSpec,
    weight: &Weight,
) -> Option<Source> {
    let (tensor, cut, layer) = tensor_of(layers, tables, &weight.name)?;
    Some(cut.source(tensor, spec, layer, weight))
}

/// The name of a weight's tensor, its place in it, and its layer. `layers` is the prefix of layer numbers.
pub(super) fn tensor_of(
    layers: &str,
    tables: &[&[Entry]],
    weight: &str,
) -> Option<(String, Cut, usize)> {
    let (stem, ending) = weight.rsplit_once('.')?;
    let (in_front, layer, part) = match stem.strip_prefix("layers.") {
        Some(rest) => {
            let (layer, part) = rest.split_once('.')?;
            (format!("{layers}{layer}."), layer.parse().ok()?, part)
        }
        None => (String::new(), 0, stem),
    };
    let mut entries = tables.iter().rev().flat_map(|table| table.iter());
    let (_, tensor, cut) = entries.find(|(name, ..)| *name == part)?;
    Some((format!("{in_front}{tensor}.{ending}"), *cut, layer))
}

impl Cut {
    fn source(self, tensor: String, spec: &DecoderSpec, layer: usize, weight: &Weight) -> Source {
        let (n_rows, rest) = (weight.n_rows(), &weight.shape[1..]);
        let layout = self.layout(spec, layer, n_rows);
        let is_transposed = layout.is_transposed && !rest.is_empty();
        let shape = match is_transposed {
            true => vec![weight.row_len(), layout.n_rows],
            false => [&[layout.n_rows], rest].concat(),
        };
        Source {
            tensor,
            shape,
            start: layout.start,
            block: layout.block,
            stride: layout.stride,
            is_transposed,
        }
    }

    fn layout(self, spec: &DecoderSpec, layer: usize, n_rows: usize) -> Layout {
        let whole = Layout {
            n_rows,
            start: 0,
            block: n_rows,
            stride: n_rows,
            is_transposed: false,
        };
        match self {
            Cut::Whole => whole,
            Cut::Transposed => Layout {
                is_transposed: true,
                ..whole
            },
            Cut::GateUp(part) => Layout {
                n_rows: 2 * n_rows,
                start: if part == Part::Gate { 0 } else { n_rows },
                ..whole
            },
            Cut::Stacked(part) => stacked(spec, layer, part, whole),
            Cut::TransposedStacked(part) => Layout {
                is_transposed: true,
                ..stacked(spec, layer, part, whole)
            },
            Cut::ByHead(part) => {
                let head_dim = spec.layers[layer].attention.head_dim;
                Layout {
                    n_rows: 3 * n_rows,
                    start: head_dim * part.place(),
                    block: head_dim,
                    stride: 3 * head_dim,
                    ..whole
                }
            }
        }
    }
}

/// Where the rows of a [`Cut`] are.
struct Layout {
    n_rows: usize,
    start: usize,
    block: usize,
    stride: usize,
    is_transposed: bool,
}

fn stacked(spec: &DecoderSpec, layer: usize, part: Part, whole: Layout) -> Layout {
    let attention = &spec.layers[layer].attention;
    let (q_width, kv_width) = (attention.q_width(), attention.kv_width());
    Layout {
        n_rows: q_width + 2 * kv_width,
        start: match part.place() {
            0 => 0,
            place => q_width + (place - 1) * kv_width,
        },
        ..whole
    }
}

impl Part {
    /// Its index among the weights in its tensor.
    fn place(self) -> usize {
        match self {
            Part::Query | Part::Gate => 0,
            Part::Key | Part::Up => 1,
            Part::Value => 2,
        }
    }
}
