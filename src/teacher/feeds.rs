//! One buffer an input, reused from batch to batch, filled as the input's role asks.

use super::calls::TokenBatch;
use super::error::TeacherError;
use crate::onnx::{DType, InputRole, PastDim, Signature};
use crate::signals::SequenceTargets;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor, TensorRef};
use std::borrow::Cow;

/// The shape that a batch is run in: the model's fixed dimensions, or the batch's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunShape {
    /// B as run.
    pub(super) n_rows: usize,
    /// T as run.
    pub(super) width: usize,
}

/// Everything that is fed, in the model's order.
#[derive(Debug)]
pub(super) struct Feeds {
    feeds: Vec<Feed>,
    /// The input of an appended head.
    targets: Option<TargetsFeed>,
}

/// `[B, T, 1]` target ids; id 0 where there is none.
#[derive(Debug)]
struct TargetsFeed {
    name: String,
    dims: [i64; 3],
    data: Vec<i64>,
}

#[derive(Debug)]
struct Feed {
    name: String,
    role: InputRole,
    rank: usize,
    /// Of the tensor as fed, for the latest batch.
    dims: Vec<i64>,
    data: FeedData,
}

#[derive(Debug)]
enum FeedData {
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    /// Past and state: nothing, or zeros; a mask.
    F32(Vec<f32>),
    F16(Vec<half::f16>),
    Bf16(Vec<half::bf16>),
}

impl Feeds {
    pub(super) fn new(signature: &Signature) -> Self {
        let feed = |(info, role): &(crate::onnx::TensorInfo, InputRole)| Feed {
            name: info.name.clone(),
            role: role.clone(),
            rank: info.rank().unwrap_or_else(|| usual_rank(role)),
            dims: Vec::new(),
            data: FeedData::of(info.dtype),
        };
        Self {
            feeds: signature.inputs.iter().map(feed).collect(),
            targets: None,
        }
    }

    /// Feeds targets too, to the input of this name.
    pub(super) fn with_targets(&mut self, name: String) {
        self.targets = Some(TargetsFeed {
            name,
            dims: [0; 3],
            data: Vec::new(),
        });
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
        feed.dims = [n_rows as i64, width as i64, 1];
        feed.data.clear();
        feed.data.resize(n_rows * width, 0);
        for (row, sequence) in feed.data.chunks_exact_mut(width).zip(sequences) {
            for (slot, &target) in row.iter_mut().zip(sequence.targets) {
                *slot = i64::from(target);
            }
        }
    }

    /// The filled buffers as tensors that borrow them.
    pub(super) fn tensors(&self) -> Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>, ort::Error> {
        let tensor = |feed| Feed::tensor(feed).map(|value| (Cow::from(feed.name.as_str()), value));
        self.feeds
            .iter()
            .map(tensor)
            .chain(self.targets.iter().map(TargetsFeed::tensor))
            .collect()
    }

    /// The same without targets, as tensors of their own, for a binding: it would copy borrowed ones by
    /// another binding within, under the lock that the first of them holds, and wait for ever.
    pub(super) fn owned_tensors(&self) -> Result<Vec<(&str, DynValue)>, ort::Error> {
        let tensor = |feed| Feed::owned_tensor(feed).map(|value| (feed.name.as_str(), value));
        self.feeds.iter().map(tensor).collect()
    }
}

impl TargetsFeed {
    fn tensor(&self) -> Result<(Cow<'_, str>, SessionInputValue<'_>), ort::Error> {
        let value = TensorRef::from_array_view((self.dims, self.data.as_slice()))?;
        Ok((Cow::from(self.name.as_str()), value.into()))
    }
}

fn usual_rank(role: &InputRole) -> usize {
    match role {
        InputRole::UseCacheBranch => 1,
        InputRole::PastLength | InputRole::TotalLength | InputRole::LogitsToKeep => 0,
        _ => 2,
    }
}

impl FeedData {
    fn of(dtype: DType) -> Self {
        match dtype {
            DType::I32 => Self::I32(Vec::new()),
            DType::Bool => Self::Bool(Vec::new()),
            DType::F32 => Self::F32(Vec::new()),
            DType::F16 => Self::F16(Vec::new()),
            DType::Bf16 => Self::Bf16(Vec::new()),
            // The signature admits no other dtype than int64 here.
            _ => Self::I64(Vec::new()),
        }
    }

    fn set(&mut self, values: impl Iterator<Item = u32>) {
        match self {
            // Ids are below V and positions below T, so they fit.
            Self::I32(buffer) => {
                buffer.clear();
                buffer.extend(values.map(|value| value as i32));
            }
            Self::I64(buffer) => {
                buffer.clear();
                buffer.extend(values.map(i64::from));
            }
            Self::Bool(buffer) => {
                buffer.clear();
                buffer.extend(values.map(|value| value != 0));
            }
            // A mask of floats: 0 or 1.
            Self::F32(buffer) => {
                buffer.clear();
                buffer.extend(values.map(|value| value as f32));
            }
            Self::F16(buffer) => {
                buffer.clear();
                buffer.extend(values.map(|value| half::f16::from_f32(value as f32)));
            }
            Self::Bf16(buffer) => {
                buffer.clear();
                buffer.extend(values.map(|value| half::bf16::from_f32(value as f32)));
            }
        }
    }

    fn zeros(&mut self, n: usize) {
        match self {
            Self::F32(buffer) => buffer.resize(n, 0.0),
            Self::F16(buffer) => buffer.resize(n, half::f16::ZERO),
            Self::Bf16(buffer) => buffer.resize(n, half::bf16::ZERO),
            Self::I32(_) | Self::I64(_) | Self::Bool(_) => {}
        }
    }
}

impl Feed {
    fn fill(&mut self, batch: &TokenBatch, shape: RunShape) {
        let RunShape { n_rows, width } = shape;
        self.dims = self.dims_for(shape);
        match &self.role {
            InputRole::InputIds => self.data.set(padded_ids(batch, shape)),
            InputRole::AttentionMask => self.data.set(mask(batch, shape)),
            InputRole::PositionIds { .. } => {
                let n_copies = self.dims.iter().product::<i64>() as usize / width;
                self.data.set((0..n_copies).flat_map(|_| 0..width as u32));
            }
            InputRole::TokenTypeIds => self.data.set(std::iter::repeat_n(0, n_rows * width)),
            InputRole::UseCacheBranch => self.data.set(std::iter::once(0)),
            InputRole::PastLength => {
                let n = self.dims.iter().product::<i64>() as usize;
                self.data.set(std::iter::repeat_n(0, n));
            }
            InputRole::TotalLength | InputRole::LogitsToKeep => {
                self.data.set(std::iter::once(width as u32));
            }
            InputRole::Past { .. } | InputRole::State { .. } => {
                self.data.zeros(self.dims.iter().product::<i64>() as usize);
            }
        }
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

    fn tensor(&self) -> Result<SessionInputValue<'_>, ort::Error> {
        let dims = self.dims.clone();
        Ok(match &self.data {
            FeedData::I32(data) => TensorRef::from_array_view((dims, data.as_slice()))?.into(),
            FeedData::I64(data) => TensorRef::from_array_view((dims, data.as_slice()))?.into(),
            FeedData::Bool(data) => TensorRef::from_array_view((dims, data.as_slice()))?.into(),
            FeedData::F32(data) => TensorRef::from_array_view((dims, data.as_slice()))?.into(),
            FeedData::F16(data) => TensorRef::from_array_view((dims, data.as_slice()))?.into(),
            FeedData::Bf16(data) => TensorRef::from_array_view((dims, data.as_slice()))?.into(),
        })
    }

    fn owned_tensor(&self) -> Result<DynValue, ort::Error> {
        let dims = self.dims.clone();
        Ok(match &self.data {
            FeedData::I32(data) => Tensor::from_array((dims, data.clone()))?.into_dyn(),
            FeedData::I64(data) => Tensor::from_array((dims, data.clone()))?.into_dyn(),
            FeedData::Bool(data) => Tensor::from_array((dims, data.clone()))?.into_dyn(),
            FeedData::F32(data) => Tensor::from_array((dims, data.clone()))?.into_dyn(),
            FeedData::F16(data) => Tensor::from_array((dims, data.clone()))?.into_dyn(),
            FeedData::Bf16(data) => Tensor::from_array((dims, data.clone()))?.into_dyn(),
        })
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

/// Ids row by row; id 0 right of each row and in the rows below.
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
