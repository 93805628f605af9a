//! Tests a teacher on a few sequences before the long work: whether it can be a teacher, and its
//! noise.
//!
//! What is measured, in calls of at most [`EXAMINED_TOKENS`] tokens per row:
//!
//! 1. repeatable: the same call twice gives the same bits (on a CPU);
//! 2. the output is logits, not probabilities or the like;
//! 3. noise: how far logits move with the shape of a call, and whether other rows or a row's position
//!    change its bits, in which case each sequence gets a call of its own;
//! 4. causal: changing ids does not change the logits before them by more than that noise, also at the
//!    whole length, at a few positions;
//! 5. plausible: it predicts the texts better than guessing would; if not, that is only a note.

use super::calls::{CallRule, CallShape, TokenBatch};
use super::device::DeviceChoice;
use super::error::TeacherError;
use super::plausible::Plausibility;
use super::session::Teacher;
use super::unsuitable::{MIN_TOLERANCE_NATS, N_ROUNDINGS, Unsuitable};
use crate::onnx::DType;
use crate::signals::{Logits, LogitsData};
use crate::splitmix::{GOLDEN, finalise};
use std::ops::Range;

/// Tokens of a tested row.
pub(super) const EXAMINED_TOKENS: usize = 64;
/// Fewest rows of a tested shared call, if the model accepts them.
const MIN_SHARED_ROWS: usize = 4;
/// Tested padding, tokens.
const PADDING_TOKENS: usize = 16;
/// Multiple of the noise above which logits count as depending on later ids.
const NOISE_FACTOR: f64 = 5.0;
/// Positions that are compared over the whole length of a text: more of them need not be in memory.
const N_FAR_POSITIONS: usize = 16;
/// Movement over the whole length that counts as looking ahead, at least, nats.
const MIN_FAR_MOVEMENT: f64 = 1e-5;
/// Roundings of a device that adds up in other orders for other shapes, in those of a CPU.
const DEVICE_ROUNDINGS: f64 = 100.0;
/// Half the spacing of f32, relative to a value.
const F32_ROUNDING: f64 = 1.0 / (1 << 25) as f64;

/// The difference between two runs over the same `[T, V]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Movement {
    /// Largest difference of a logit, nats.
    max: f64,
    /// Largest root mean squared difference of a position, nats.
    rms: f64,
    /// Whether any bit differs.
    is_any: bool,
}

impl Movement {
    fn or(self, other: Self) -> Self {
        Self {
            max: self.max.max(other.max),
            rms: self.rms.max(other.rms),
            is_any: self.is_any || other.is_any,
        }
    }
}

impl Teacher {
    /// Tests the teacher on `texts` (ids below `n_ids`; the first 64 of each are used, and all of the first one), and
    /// records the results in [`Teacher::info`]: noise, the rule of calls, notes. Made-up ids are below `n_ids` too,
    /// since an output layer may be wider than the embedding. Must be called before [`Teacher::with_reduction`].
    ///
    /// # Errors
    /// A run that fails, or is cancelled.
    pub fn examine(
        &mut self,
        texts: &[&[u32]],
        n_ids: u32,
    ) -> Result<Vec<Unsuitable>, TeacherError> {
        let n_ids = n_ids.min(self.info().vocab_size).max(1);
        let whole = texts.first().copied().unwrap_or_default();
        let texts: Vec<&[u32]> = texts.iter().map(|text| self.clip(text)).collect();
        let mut problems = Vec::new();
        let mut plausibility = Plausibility::default();
        let mut moved_again = Movement::default();
        let mut firsts = Vec::new();
        for text in &texts {
            let first = self.alone(text)?;
            let again = self.alone(text)?;
            let moved = movement(&first, &again, self.n_logits());
            moved_again = moved_again.or(moved);
            self.note_rounding(&first);
            problems.extend(self.output_problem(&first, text.len()));
            plausibility.add(text, &first, self.n_logits());
            firsts.push(first);
        }
        if let Some(problem) = self.repeat_problem(moved_again) {
            // The other tests would be meaningless.
            return Ok(vec![problem]);
        }
        let mut noise = self.measure_noise(moved_again, n_ids)?.or(moved_again);
        if self.signature().scales_by_batch {
            for text in &texts {
                noise = noise.or(self.scale_noise(text, n_ids)?);
            }
        }
        self.info_mut().noise.shape_nats = noise.max;
        for (text, before) in texts.iter().zip(&firsts) {
            problems.extend(self.causal_problem(text, before, noise, n_ids)?);
        }
        if problems.is_empty() {
            problems.extend(self.far_causal_problem(whole, noise, n_ids)?);
        }
        if problems.is_empty() {
            let note = plausibility.note(n_ids);
            self.info_mut().notes.extend(note);
        }
        problems.dedup_by_key(|problem| problem.word());
        self.forget_timings();
        Ok(problems)
    }

    fn clip<'t>(&self, text: &'t [u32]) -> &'t [u32] {
        let most = EXAMINED_TOKENS.min(self.info().calls.max_width);
        &text[..text.len().min(most)]
    }

    fn n_logits(&self) -> usize {
        self.info().vocab_size as usize
    }

    /// `[T, V]` of one sequence in a call of its own.
    fn alone(&mut self, ids: &[u32]) -> Result<Vec<f32>, TeacherError> {
        self.alone_in(ids, ids.len())
    }

    /// The same, padded to `width`.
    fn alone_in(&mut self, ids: &[u32], width: usize) -> Result<Vec<f32>, TeacherError> {
        let mut rows = self.rows(&[ids], self.shape_alone(width))?;
        Ok(rows.remove(0))
    }

    /// The same at some positions alone, `[positions, V]`.
    fn alone_at(&mut self, ids: &[u32], positions: &[usize]) -> Result<Vec<f32>, TeacherError> {
        let shape = self.shape_alone(ids.len());
        let batch = TokenBatch::new([ids], shape);
        self.run(&batch, |logits| {
            let of_position = |&t_idx: &usize| values_of(&logits, 0, t_idx..t_idx + 1);
            positions.iter().flat_map(of_position).collect()
        })
    }

    /// Of a call with one sequence, padded to `width`.
    fn shape_alone(&self, width: usize) -> CallShape {
        let rule = self.info().calls;
        CallShape {
            width: rule.fixed_width.unwrap_or(width),
            n_rows: rule.fixed_rows.unwrap_or(1),
            max_sequences: 1,
        }
    }

    /// `[T, V]` of each sequence, in one call.
    fn rows(&mut self, rows: &[&[u32]], shape: CallShape) -> Result<Vec<Vec<f32>>, TeacherError> {
        let batch = TokenBatch::new(rows.iter().copied(), shape);
        let n_positions: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        self.run(&batch, |logits| {
            let row = |(row_idx, n)| row_of(&logits, row_idx, n);
            n_positions.into_iter().enumerate().map(row).collect()
        })
    }

    fn repeat_problem(&self, moved: Movement) -> Option<Unsuitable> {
        let is_bad = match self.info().device {
            DeviceChoice::Cpu => moved.is_any,
            // Devices sum in whatever order their threads finish.
            _ => moved.rms > self.rounding_noise(),
        };
        let nodes = &self.signature().random_nodes;
        let random_nodes = match nodes.is_empty() {
            true => String::new(),
            false => format!(
                ": it has nodes that use random numbers ({})",
                nodes.join(", ")
            ),
        };
        is_bad.then_some(Unsuitable::NotRepeatable {
            moved_nats: moved.max,
            random_nodes,
        })
    }

    /// Differences that may be rounding alone, between calls that sum in different orders, nats.
    fn rounding_noise(&self) -> f64 {
        MIN_TOLERANCE_NATS.max(N_ROUNDINGS * self.info().noise.rounding_nats)
    }

    /// The same between calls of one shape. On a CPU equal rows give equal bits there, whatever the
    /// dtype, so that even the faint leak of an untrained model is detected.
    fn noise_of_one_shape(&self, logits: &[f32]) -> f64 {
        match self.info().device {
            DeviceChoice::Cpu => N_ROUNDINGS * F32_ROUNDING * size_of_logits(logits),
            _ => self.rounding_noise(),
        }
    }

    fn note_rounding(&mut self, logits: &[f32]) {
        let step = float_step(
            self.info().logits_dtype,
            self.signature().has_half_precision,
        );
        let noise = &mut self.info_mut().noise;
        noise.rounding_nats = noise.rounding_nats.max(step * size_of_logits(logits));
    }

    fn output_problem(&mut self, logits: &[f32], n_positions: usize) -> Option<Unsuitable> {
        let is_half = self.info().logits_dtype != DType::F32;
        let found = Scale::of(logits, self.n_logits(), if is_half { 2e-2 } else { 1e-3 });
        if found == Scale::LogProbabilities {
            let note = "its output is log-probabilities instead of logits: labels are the same, except that logsumexp is 0";
            let notes = &mut self.info_mut().notes;
            if notes.iter().all(|known| known != note) {
                notes.push(note.to_owned());
            }
        }
        found.problem().map(|found| Unsuitable::NotLogits {
            output: self.signature().logits.name.clone(),
            found,
            n_positions,
        })
    }

    /// Runs made-up sequences alone, padded, and among others at different positions; decides
    /// whether sequences may share a call. They are made up so that the answer depends on the
    /// model, not on the text.
    fn measure_noise(
        &mut self,
        moved_again: Movement,
        n_ids: u32,
    ) -> Result<Movement, TeacherError> {
        let rule = self.info().calls;
        let n_tokens = EXAMINED_TOKENS
            .min(rule.max_width)
            .min((rule.call_tokens / MIN_SHARED_ROWS).max(1));
        let shape = CallRule {
            is_alone: false,
            ..rule
        }
        .shape(n_tokens);
        let texts: Vec<Vec<u32>> = (0..shape.n_rows)
            .map(|row_idx| synthetic_ids(row_idx, n_tokens, n_ids))
            .collect();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let alone = self.alone(texts[0])?;
        let mut noise = self.padding_noise(texts[0], &alone)?;
        if shape.n_rows > 1 {
            noise = noise.or(self.neighbour_noise(&texts, shape, &alone, moved_again)?);
        }
        let is_never_met = !rule.is_alone && self.info().calls.is_alone;
        // What calls of one sequence do not meet is no noise of theirs: it would hide what is wrong with them.
        Ok(match is_never_met && noise.rms > self.noise_of_shapes() {
            true => Movement::default(),
            false => noise,
        })
    }

    /// If padding changes more than noise, it is never used. A text as long as the longest sequence cannot be
    /// padded, so a part of it is.
    fn padding_noise(&mut self, text: &[u32], alone: &[f32]) -> Result<Movement, TeacherError> {
        let rule = self.info().calls;
        let padded_width = |n_ids: usize| (n_ids + PADDING_TOKENS).min(rule.widest(n_ids));
        if rule.fixed_width.is_none() && padded_width(text.len()) == text.len() && text.len() > 1 {
            let part = &text[..text.len().saturating_sub(PADDING_TOKENS).max(1)];
            let alone = self.alone(part)?;
            return self.padding_noise_in(part, &alone, padded_width(part.len()));
        }
        self.padding_noise_in(text, alone, padded_width(text.len()))
    }

    fn padding_noise_in(
        &mut self,
        text: &[u32],
        alone: &[f32],
        width: usize,
    ) -> Result<Movement, TeacherError> {
        let rule = self.info().calls;
        if rule.fixed_width.is_some() || width == text.len() {
            return Ok(Movement::default());
        }
        let padded = self.alone_in(text, width)?;
        let moved = movement(alone, &padded, self.n_logits());
        if rule.is_alone || moved.rms <= self.rounding_noise() {
            return Ok(moved);
        }
        let why = "padding at its end changes the logits before it";
        self.set_alone(why, moved);
        Ok(Movement::default())
    }

    fn neighbour_noise(
        &mut self,
        texts: &[&[u32]],
        shape: CallShape,
        alone: &[f32],
        moved_again: Movement,
    ) -> Result<Movement, TeacherError> {
        let together = match self.rows(texts, shape) {
            Ok(rows) => rows,
            Err(TeacherError::Run { .. } | TeacherError::LogitsShape { .. })
                if self.info().calls.fixed_rows.is_none() =>
            {
                self.take_one_at_a_time("it was exported for batches of one".to_owned());
                return Ok(Movement::default());
            }
            Err(error) => return Err(error),
        };
        let reversed: Vec<&[u32]> = texts.iter().rev().copied().collect();
        let reversed = self.rows(&reversed, shape)?;
        let filled = self.rows(&texts[..1], shape)?;
        let n_logits = self.n_logits();
        let pairs = together.iter().zip(reversed.iter().rev());
        let mixed = pairs
            .map(|(a, b)| movement(a, b, n_logits))
            .chain([movement(&together[0], &filled[0], n_logits)])
            .fold(Movement::default(), Movement::or);
        let is_noisy_anyway = moved_again.is_any && mixed.rms <= NOISE_FACTOR * moved_again.rms;
        if mixed.is_any && !is_noisy_anyway && !self.info().calls.is_alone {
            let why = "other rows of a call change its logits";
            self.set_alone(why, mixed);
        }
        let by_shape = movement(&together[0], alone, n_logits);
        if by_shape.rms > self.noise_of_shapes() && !self.info().calls.is_alone {
            self.set_alone("the number of rows of a call changes its logits", by_shape);
        }
        Ok(by_shape.or(mixed))
    }

    /// Movement that may be rounding between calls of different shapes, nats.
    fn noise_of_shapes(&self) -> f64 {
        match self.info().device {
            DeviceChoice::Cpu => self.rounding_noise(),
            _ => DEVICE_ROUNDINGS * self.rounding_noise(),
        }
    }

    /// How far a text's logits move when other texts widen the range by which it is quantised.
    fn scale_noise(&mut self, text: &[u32], n_ids: u32) -> Result<Movement, TeacherError> {
        let rule = self.info().calls;
        let shape = CallShape {
            width: rule.fixed_width.unwrap_or(text.len()),
            n_rows: rule.fixed_rows.unwrap_or(MIN_SHARED_ROWS),
            max_sequences: MIN_SHARED_ROWS,
        };
        let others: Vec<Vec<u32>> = (1..shape.n_rows.min(MIN_SHARED_ROWS))
            .map(|row_idx| synthetic_ids(row_idx, text.len(), n_ids))
            .collect();
        let rows: Vec<&[u32]> = std::iter::once(text)
            .chain(others.iter().map(Vec::as_slice))
            .collect();
        let alone = self.alone(text)?;
        let among = self.rows(&rows, shape)?;
        Ok(movement(&alone, &among[0], self.n_logits()))
    }

    fn set_alone(&mut self, why: &str, moved: Movement) {
        self.take_one_at_a_time(format!("{why} (by up to {:.1e} nats)", moved.max));
    }

    fn take_one_at_a_time(&mut self, why: String) {
        let info = self.info_mut();
        info.calls.is_alone = true;
        info.notes
            .push(format!("this teacher gets one sequence per call: {why}"));
    }

    fn causal_problem(
        &mut self,
        text: &[u32],
        before: &[f32],
        noise: Movement,
        n_ids: u32,
    ) -> Result<Option<Unsuitable>, TeacherError> {
        let n_tokens = text.len();
        let allowed = self
            .noise_of_one_shape(before)
            .max(NOISE_FACTOR * noise.rms);
        for n_changed in [1, n_tokens / 2] {
            let n_kept = n_tokens - n_changed;
            if n_changed == 0 || n_kept == 0 {
                continue;
            }
            let changed = with_other_suffix(text, n_kept, n_ids);
            let after = self.alone(&changed)?;
            let n_logits = self.n_logits();
            let moved = movement(
                &before[..n_kept * n_logits],
                &after[..n_kept * n_logits],
                n_logits,
            );
            if moved.rms > allowed {
                return Ok(Some(Unsuitable::NotCausal {
                    n_ids: n_tokens,
                    n_changed,
                    moved_nats: moved.max,
                    noise_nats: noise.max,
                }));
            }
        }
        Ok(None)
    }

    /// The same over all of a text, at a few positions: a model may look ahead only where it is long, in
    /// blocks of its own or by a mask of the length that it was exported with.
    fn far_causal_problem(
        &mut self,
        text: &[u32],
        noise: Movement,
        n_ids: u32,
    ) -> Result<Option<Unsuitable>, TeacherError> {
        let text = &text[..text.len().min(self.info().calls.max_width)];
        if text.len() <= EXAMINED_TOKENS {
            return Ok(None);
        }
        // One past the middle, which is no end of a block.
        let n_kept = text.len() / 2 + 1;
        let at = |i: usize| n_kept * i / N_FAR_POSITIONS - 1;
        let positions: Vec<usize> = (1..=N_FAR_POSITIONS).map(at).collect();
        let before = self.alone_at(text, &positions)?;
        let after = self.alone_at(&with_other_suffix(text, n_kept, n_ids), &positions)?;
        let moved = movement(&before, &after, self.n_logits());
        let allowed = self
            .noise_of_one_shape(&before)
            .max(NOISE_FACTOR * noise.rms)
            .max(MIN_FAR_MOVEMENT);
        Ok((moved.rms > allowed).then_some(Unsuitable::NotCausal {
            n_ids: text.len(),
            n_changed: text.len() - n_kept,
            moved_nats: moved.max,
            noise_nats: noise.max,
        }))
    }
}

/// The text with every id from `n_kept` on replaced by another one below `n_ids`.
fn with_other_suffix(text: &[u32], n_kept: usize, n_ids: u32) -> Vec<u32> {
    let other = |(i, &id): (usize, &u32)| match i < n_kept {
        true => id,
        false => (id + 1 + synthetic_id(i, 1) % n_ids.saturating_sub(1).max(1)) % n_ids,
    };
    text.iter().enumerate().map(other).collect()
}

fn synthetic_ids(row_idx: usize, n_tokens: usize, n_ids: u32) -> Vec<u32> {
    (0..n_tokens)
        .map(|t_idx| synthetic_id(row_idx * n_tokens + t_idx, 0) % n_ids)
        .collect()
}

/// A well-mixed pseudo-random id.
fn synthetic_id(i: usize, stream: u64) -> u32 {
    (finalise((i as u64 + 1).wrapping_mul(GOLDEN) ^ stream) >> 40) as u32
}

/// Half the spacing of the coarsest float in the model, relative to a value.
fn float_step(logits: DType, has_half_precision: bool) -> f64 {
    match (logits, has_half_precision) {
        (DType::Bf16, _) => 2_f64.powi(-9),
        (DType::F16, _) | (_, true) => 2_f64.powi(-12),
        _ => F32_ROUNDING,
    }
}

/// The largest finite logit in size, nats, without those that a mask was added to.
fn size_of_logits(logits: &[f32]) -> f64 {
    let finite = logits.iter().filter(|logit| logit.is_finite());
    finite
        .map(|&logit| f64::from(logit.abs()))
        .filter(|&size| size < 1e4)
        .fold(0.0, f64::max)
}

/// The first `n_positions` of a row.
fn row_of(logits: &Logits<'_>, row_idx: usize, n_positions: usize) -> Vec<f32> {
    values_of(logits, row_idx, 0..n_positions)
}

/// Some positions of a row.
fn values_of(logits: &Logits<'_>, row_idx: usize, positions: Range<usize>) -> Vec<f32> {
    let start = row_idx * logits.width;
    let range =
        (start + positions.start) * logits.vocab_size..(start + positions.end) * logits.vocab_size;
    match logits.data {
        LogitsData::F32(values) => values[range].to_vec(),
        LogitsData::F16(values) => values[range].iter().map(|v| v.to_f32()).collect(),
        LogitsData::Bf16(values) => values[range].iter().map(|v| v.to_f32()).collect(),
    }
}

fn movement(a: &[f32], b: &[f32], n_logits: usize) -> Movement {
    let positions = a.chunks(n_logits).zip(b.chunks(n_logits));
    positions.fold(Movement::default(), |moved, (a, b)| {
        moved.or(movement_of_position(a, b))
    })
}

fn movement_of_position(a: &[f32], b: &[f32]) -> Movement {
    let (mut max, mut squares, mut is_any) = (0.0_f64, 0.0, false);
    for (&a, &b) in a.iter().zip(b) {
        if a.to_bits() == b.to_bits() {
            continue;
        }
        is_any = true;
        let difference = match a.is_finite() && b.is_finite() {
            true => (f64::from(a) - f64::from(b)).abs(),
            false if a.is_nan() && b.is_nan() => 0.0,
            false => f64::INFINITY,
        };
        max = max.max(difference);
        squares += difference * difference;
    }
    Movement {
        max,
        rms: (squares / a.len().max(1) as f64).sqrt(),
        is_any,
    }
}

/// The kind of numbers in an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Logits,
    LogProbabilities,
    Probabilities,
    Sigmoids,
    NegativeLogProbabilities,
    Log2Probabilities,
    Log10Probabilities,
}

impl Scale {
    /// The kind that fits every position of `[T, V]`; sums may be off by `tolerance`.
    fn of(logits: &[f32], n_logits: usize, tolerance: f64) -> Self {
        let rows = || logits.chunks_exact(n_logits.max(1));
        let sums_to_1 = |f: &dyn Fn(f64) -> f64| {
            rows().all(|row| {
                let sum: f64 = row.iter().map(|&x| f(f64::from(x))).sum();
                (sum - 1.0).abs() < tolerance
            })
        };
        let is_between = logits.iter().all(|x| (0.0..=1.0).contains(x));
        let differs = logits.iter().any(|x| *x != logits[0]);
        if logits.is_empty() || n_logits < 2 {
            Self::Logits
        } else if is_between && sums_to_1(&|x| x) {
            Self::Probabilities
        } else if is_between && differs {
            Self::Sigmoids
        } else if sums_to_1(&f64::exp) {
            Self::LogProbabilities
        } else if sums_to_1(&|x| (-x).exp()) {
            Self::NegativeLogProbabilities
        } else if sums_to_1(&f64::exp2) {
            Self::Log2Probabilities
        } else if sums_to_1(&|x| 10_f64.powf(x)) {
            Self::Log10Probabilities
        } else {
            Self::Logits
        }
    }

    fn problem(self) -> Option<&'static str> {
        match self {
            Self::Logits | Self::LogProbabilities => None,
            Self::Probabilities => {
                Some("probabilities (between 0 and 1, with the sum 1), as after a softmax")
            }
            Self::Sigmoids => Some("only values between 0 and 1, as after a sigmoid"),
            Self::NegativeLogProbabilities => Some("negated log-probabilities"),
            Self::Log2Probabilities => Some("log-probabilities in base 2"),
            Self::Log10Probabilities => Some("log-probabilities in base 10"),
        }
    }
}

#[cfg(test)]
mod tests;
