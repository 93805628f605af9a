//! Which rows of which tensor a weight is.

use crate::onnx::decoder::{DecoderSpec, Weight};

/// A row of a table: the weight, the tensor, and how it lies there. Both names in a layer are without what names
/// the layer.
pub(super) type Entry = (&'static str, &'static str, Cut);

/// How a weight lies in its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is the tensor.
    Whole,
    /// The query, key or value rows of a tensor of all three, one below the other.
    Stacked(Part),
    /// The same by head: query, key and value of the first head, then those of the next.
    ByHead(Part),
    /// The tensor is `[in, out]`.
    Transposed,
    /// The query, key or value columns of a tensor `[in, out]` of all three.
    TransposedStacked(Part),
    /// The gate's rows, or those of up, of a tensor of both.
    GateUp(Part),
}

/// One of those that lie in one tensor.
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
    /// Of the whole tensor.
    pub(super) shape: Vec<usize>,
    /// The first row.
    pub(super) start: usize,
    /// Rows that lie together.
    pub(super) block: usize,
    /// From one such block to the next.
    pub(super) stride: usize,
    /// Whether rows of the weight are columns of the tensor.
    pub(super) is_transposed: bool,
}

impl Source {
    /// The row of the tensor that row `row` of the weight is.
    pub(super) fn row(&self, row: usize) -> usize {
        row / self.block * self.stride + self.start + row % self.block
    }

    /// Rows of the weight from `row` on that lie together.
    pub(super) fn n_together(&self, row: usize) -> usize {
        self.block - row % self.block
    }
}

/// The tensor of a weight by a family's tables; none where they have none.
pub(super) fn source_of(
    layers: &str,
    tables: &[&[Entry]],
    spec: &DecoderSpec,
    weight: &Weight,
) -> Option<Source> {
    let (tensor, cut, layer) = tensor_of(layers, tables, &weight.name)?;
    Some(cut.source(tensor, spec, layer, weight))
}

/// The name of a weight's tensor, how it lies there, and its layer. `layers` is in front of the number of one.
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

/// Rows, as a [`Cut`] has them.
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
    /// Its place among those that it lies with.
    fn place(self) -> usize {
        match self {
            Part::Query | Part::Gate => 0,
            Part::Key | Part::Up => 1,
            Part::Value => 2,
        }
    }
}
