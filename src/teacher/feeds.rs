//! One buffer per input, reused from batch to batch, filled according to the input's role.

use super::calls::TokenBatch;
use super::error::TeacherError;
use crate::onnx::{DType, InputRole, PastDim, Signature};
use crate::signals::SequenceTargets;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};

/// The shape that a batch is run in: the model's fixed dimensions, or the batch's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunShape {
    /// B as run.
    pub(super) n_rows: usize,
    /// T as run.
    pub(super) width: usize,
}

/// Everything that is fed, in the order of the model's inputs.
#[derive(Debug)]
pub(super) struct Feeds {
    feeds: Vec<Feed>,
    /// The input of an appended head: `[B, T, 1]` target ids; id 0 where there is none.
    targets: Option<Filled>,
}

#[derive(Debug)]
struct Feed {
    role: InputRole,
    rank: usize,
    /// The content for the latest batch.
    filled: Filled,
}

/// The content of an input.
#[derive(Debug)]
struct Filled {
    name: String,
    dtype: DType,
    dims: Vec<i64>,
    /// All inputs are whole numbers, whatever their type; past and state are empty, or zeros.
    values: Vec<u32>,
}

impl Feeds {
    pub(super) fn new(signature: &Signature) -> Self {
        let feed = |(info, role): &(crate::onnx::TensorInfo, InputRole)| Feed {
            role: role.clone(),
            rank: info.rank().unwrap_or_else(|| default_rank(role)),
            filled: Filled::new(info.name.clone(), info.dtype),
        };
        Self {
            feeds: signature.inputs.iter().map(feed).collect(),
            targets: None,
        }
    }

    /// Also feeds targets, to the input of this name.
    pub(super) fn with_targets(&mut self, name: String) {
        self.targets = Some(Filled::new(name, DType::I64));
    }

    /// Fills every buffer for `batch`, padded to `shape`, with no targets.
    pub(super) fn fill(&mut self, batch: &TokenBatch, shape: RunShape) {
        for feed in &mut self.feeds {
            feed.fill(batch, shape);
        }
        self.fill_targets(&[], shape);
    }

    /// Fills in the targets of the first rows, each no longer than the shape's width.
    pub(super) fn fill_targets(&mut self, sequences: &[SequenceTargets<'_>], shape: RunShape) {
        let Some(feed) = &mut self.targets else {
            return;
        };
        let RunShape { n_rows, width } = shape;
        feed.dims = vec![n_rows as i64, width as i64, 1];
        feed.values.clear();
        feed.values.resize(n_rows * width, 0);
        for (row, sequence) in feed.values.chunks_exact_mut(width).zip(sequences) {
            row[..sequence.targets.len()].copy_from_slice(sequence.targets);
        }
    }

    /// Every input as an owned tensor, by name: a binding would copy a borrowed one through an inner binding, under the
    /// lock that the first holds, and deadlock.
    pub(super) fn tensors(&self) -> Result<Vec<(&str, DynValue)>, ort::Error> {
        let feeds = self.feeds.iter().map(|feed| &feed.filled);
        let all = feeds.chain(&self.targets);
        all.map(|feed| Ok((feed.name.as_str(), feed.tensor()?)))
            .collect()
    }
}

fn default_rank(role: &InputRole) -> usize {
    match role {
        InputRole::UseCacheBranch => 1,
        InputRole::PastLength | InputRole::TotalLength | InputRole::LogitsToKeep => 0,
        _ => 2,
    }
}

impl Filled {
    fn new(name: String, dtype: DType) -> Self {
        Self {
            name,
            dtype,
            dims: Vec::new(),
            values: Vec::new(),
        }
    }

    fn tensor(&self) -> Result<DynValue, ort::Error> {
        match self.dtype {
            DType::I32 => self.tensor_of(|value| value as i32),
            DType::Bool => self.tensor_of(|value| value != 0),
            DType::F32 => self.tensor_of(|value| value as f32),
            DType::F16 => self.tensor_of(|value| half::f16::from_f32(value as f32)),
            DType::Bf16 => self.tensor_of(|value| half::bf16::from_f32(value as f32)),
            // The signature allows no other.
            _ => self.tensor_of(i64::from),
        }
    }

    fn tensor_of<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
        &self,
        of: impl Fn(u32) -> T,
    ) -> Result<DynValue, ort::Error> {
        let values: Vec<T> = self.values.iter().map(|&value| of(value)).collect();
        Ok(Tensor::from_array((self.dims.clone(), values))?.into_dyn())
    }
}

impl Feed {
    fn fill(&mut self, batch: &TokenBatch, shape: RunShape) {
        let RunShape { n_rows, width } = shape;
        let dims = self.dims_for(shape);
        let n = dims.iter().product::<i64>() as usize;
        let values = &mut self.filled.values;
        values.clear();
        match &self.role {
            InputRole::InputIds => values.extend(padded_ids(batch, shape)),
            InputRole::AttentionMask => values.extend(mask(batch, shape)),
            InputRole::PositionIds { .. } => {
                values.extend((0..n / width).flat_map(|_| 0..width as u32));
            }
            InputRole::TokenTypeIds => values.resize(n_rows * width, 0),
            InputRole::UseCacheBranch => values.push(0),
            InputRole::TotalLength | InputRole::LogitsToKeep => values.push(width as u32),
            InputRole::PastLength | InputRole::Past { .. } | InputRole::State { .. } => {
                values.resize(n, 0);
            }
        }
        self.filled.dims = dims;
    }

    fn dims_for(&self, RunShape { n_rows, width }: RunShape) -> Vec<i64> {
        let (b, t) = (n_rows as i64, width as i64);
        match (&self.role, self.rank) {
            (InputRole::Past { dims } | InputRole::State { dims }, _) => {
                dims.iter().map(|dim| past_size(*dim, b)).collect()
            }
            (InputRole::PositionIds { rank: 1 }, _) => vec![t],
            (InputRole::PositionIds { rank: 3 }, _) => vec![3, b, t],
            (InputRole::PastLength, 2) => vec![b, 1],
            (
                InputRole::UseCacheBranch
                | InputRole::PastLength
                | InputRole::TotalLength
                | InputRole::LogitsToKeep,
                rank,
            ) => vec![1; rank],
            _ => vec![b, t],
        }
    }
}

fn past_size(dim: PastDim, n_rows: i64) -> i64 {
    match dim {
        PastDim::Batch { factor } => {
            n_rows.saturating_mul(i64::try_from(factor).unwrap_or(i64::MAX))
        }
        PastDim::Empty => 0,
        PastDim::Fixed(size) => i64::try_from(size).unwrap_or(i64::MAX),
    }
}

/// Ids row by row, with id 0 to the right of each row and in the rows below.
fn padded_ids(batch: &TokenBatch, shape: RunShape) -> impl Iterator<Item = u32> {
    let row = move |row_idx: usize| {
        let start = row_idx * batch.width;
        let ids = batch
            .ids_bt
            .get(start..start + batch.width)
            .unwrap_or_default();
        ids.iter()
            .copied()
            .chain(std::iter::repeat_n(0, shape.width - ids.len()))
    };
    (0..shape.n_rows).flat_map(row)
}

/// 1 up to each row's length. Rows below the batch get one token, since softmax over nothing is NaN.
fn mask(batch: &TokenBatch, shape: RunShape) -> impl Iterator<Item = u32> {
    let row = move |row_idx: usize| {
        let length = batch
            .lengths
            .get(row_idx)
            .map_or(1, |length| *length as usize);
        (0..shape.width).map(move |t_idx| u32::from(t_idx < length))
    };
    (0..shape.n_rows).flat_map(row)
}

/// The shape to run `batch` in, or why it cannot be run.
pub(super) fn run_shape(
    batch: &TokenBatch,
    signature: &Signature,
) -> Result<RunShape, TeacherError> {
    let bad = |problem: String| TeacherError::BadBatch {
        n_rows: batch.n_rows,
        width: batch.width,
        problem,
    };
    if batch.n_rows == 0 || batch.width == 0 {
        return Err(bad("it is empty".to_owned()));
    }
    let consistent = batch.ids_bt.len() == batch.n_rows * batch.width
        && batch.lengths.len() == batch.n_rows
        && batch
            .lengths
            .iter()
            .all(|length| (1..=batch.width).contains(&(*length as usize)));
    if !consistent {
        return Err(bad(
            "its ids, lengths and width contradict each other".to_owned()
        ));
    }
    let fit = |own: usize, fixed: Option<u64>, what: &str| match fixed {
        Some(fixed) if (own as u64) > fixed => Err(bad(format!(
            "the model was exported for exactly {fixed} {what} a call"
        ))),
        Some(fixed) => Ok(fixed as usize),
        None => Ok(own),
    };
    Ok(RunShape {
        n_rows: fit(
            batch.n_rows + batch.n_fillers,
            signature.fixed_batch,
            "sequences",
        )?,
        width: fit(batch.width, signature.fixed_seq_len, "tokens")?,
    })
}
