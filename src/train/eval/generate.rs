//! Continuing a prompt.
//!
//! Every token costs one forward pass over all earlier ones, since there is no KV cache, so the cost grows with
//! the square of the length. It is meant for a few lines, to see what a model writes.

use super::EvalError;
use super::check::check_id;
use crate::splitmix::splitmix64;
use crate::train::model::{ModelSpec, Network};
use std::ops::ControlFlow;

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleOptions {
    /// Maximum tokens to generate.
    pub max_tokens: usize,
    /// Divisor of logits; 0 always takes the most probable id.
    pub temperature: f64,
    /// Draw only from this many most probable ids.
    pub top_k: Option<usize>,
    /// Seed of the draws.
    pub seed: u64,
    /// Index among several samples of one seed.
    pub sample_idx: u64,
    /// Ids that end the text, without being part of it.
    pub stops: Vec<u32>,
    /// Ids from here on are never generated: a padded head has more than its tokenizer.
    pub vocab_size: usize,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The model ended it.
    EndOfDocument,
    /// `max_tokens` was reached.
    MaxTokens,
    /// The model's maximum number of positions was reached.
    MaxSeqLen,
}

/// The generated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Ids after the prompt.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub stop: Stop,
}

impl SampleOptions {
    /// Refuses invalid settings.
    ///
    /// # Errors
    /// [`EvalError::Sampling`], naming the flag.
    pub fn check(&self) -> Result<(), EvalError> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(EvalError::Sampling {
                flag: "--temperature",
                expected: "0 (always the most likely token), or a positive number",
                got: self.temperature.to_string(),
            });
        }
        if self.top_k == Some(0) {
            return Err(EvalError::Sampling {
                flag: "--top-k",
                expected: "at least 1",
                got: "0".to_owned(),
            });
        }
        Ok(())
    }
}

/// Continues `prompt`; `on_token` is called with each id as it is chosen, and may stop.
///
/// # Errors
/// Invalid options, a prompt that is empty or fills the model's longest sequence, logits that are not finite,
/// [`EvalError::Interrupted`].
pub fn generate(
    network: &mut Network,
    prompt: &[u32],
    options: &SampleOptions,
    mut on_token: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Generated, EvalError> {
    options.check()?;
    check_prompt(prompt, &network.params.spec)?;
    let (max_seq_len, n_logits) = (
        network.params.spec.max_seq_len,
        network.params.spec.vocab_size,
    );
    let mut ids = prompt.to_vec();
    let mut logits_v = vec![0.0; n_logits];
    let stop = loop {
        let n_written = ids.len() - prompt.len();
        if n_written == options.max_tokens {
            break Stop::MaxTokens;
        }
        if ids.len() > max_seq_len {
            break Stop::MaxSeqLen;
        }
        network.next_logits(&ids, &mut logits_v);
        let allowed = &logits_v[..options.vocab_size.min(n_logits)];
        check_finite(allowed, ids.len() - 1)?;
        let next = pick(allowed, options, unit_draw(options, n_written as u64));
        if options.stops.contains(&next) {
            break Stop::EndOfDocument;
        }
        ids.push(next);
        if on_token(next).is_break() {
            return Err(EvalError::Interrupted);
        }
    };
    Ok(Generated {
        ids: ids.split_off(prompt.len()),
        stop,
    })
}

fn check_prompt(prompt: &[u32], spec: &ModelSpec) -> Result<(), EvalError> {
    if prompt.is_empty() {
        return Err(EvalError::EmptyPrompt);
    }
    if prompt.len() > spec.max_seq_len {
        return Err(EvalError::PromptTooLong {
            n_tokens: prompt.len(),
            max_seq_len: spec.max_seq_len,
        });
    }
    prompt.iter().try_for_each(|&id| check_id(spec, id))
}

fn check_finite(logits_v: &[f32], position: usize) -> Result<(), EvalError> {
    let bad = logits_v.iter().find(|z| z.is_nan() || **z == f32::INFINITY);
    bad.map_or(Ok(()), |&value| {
        Err(EvalError::NotFinite {
            value,
            seq_id: 0,
            position,
        })
    })
}

/// The id at which the cumulative probability of softmax(logits / temperature) over the `top_k` largest, in
/// order of decreasing logit with ties by id, passes `unit` in `[0, 1)`; the first of them at temperature 0.
///
/// # Panics
/// Without logits.
pub fn pick(logits_v: &[f32], options: &SampleOptions, unit: f64) -> u32 {
    let largest_first = |a: &u32, b: &u32| {
        logits_v[*b as usize]
            .total_cmp(&logits_v[*a as usize])
            .then(a.cmp(b))
    };
    let all = 0..logits_v.len() as u32;
    if options.temperature == 0.0 {
        return all.min_by(largest_first).expect("there are logits");
    }
    let mut ids: Vec<u32> = all.collect();
    ids.sort_unstable_by(largest_first);
    ids.truncate(options.top_k.unwrap_or(ids.len()));
    let max = f64::from(logits_v[ids[0] as usize]);
    let weight = |id: u32| ((f64::from(logits_v[id as usize]) - max) / options.temperature).exp();
    let total: f64 = ids.iter().map(|&id| weight(id)).sum();
    let mut left = unit * total;
    let passed = ids.iter().copied().find(|&id| {
        left -= weight(id);
        left < 0.0
    });
    // Rounding may leave the sum below `unit`.
    passed.unwrap_or(ids[ids.len() - 1])
}

/// A number in `[0, 1)` that depends on seed, sample and position, but on no earlier draw.
fn unit_draw(options: &SampleOptions, position: u64) -> f64 {
    let key = splitmix64(options.seed ^ splitmix64(options.sample_idx));
    (splitmix64(key ^ splitmix64(position)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SampleOptions {
        SampleOptions {
            max_tokens: 8,
            temperature: 1.0,
            top_k: None,
            seed: 3,
            sample_idx: 0,
            stops: Vec::new(),
            vocab_size: 100,
        }
    }

    #[test]
    fn temperature_0_takes_the_first_of_the_likeliest() {
        let greedy = SampleOptions {
            temperature: 0.0,
            ..options()
        };
        for unit in [0.0, 0.5, 0.999] {
            assert_eq!(pick(&[0.5, 2.0, -1.0, 2.0], &greedy, unit), 1);
        }
    }

    #[test]
    fn a_draw_falls_where_the_cumulated_probabilities_say() {
        // Probabilities 0.5, 0.25, 0.125, 0.125 of ids 2, 0, 1, 3.
        let logits = [0.25f32, 0.125, 0.5, 0.125].map(f32::ln);
        let at = |unit| pick(&logits, &options(), unit);
        assert_eq!([at(0.0), at(0.49)], [2, 2]);
        assert_eq!([at(0.51), at(0.74)], [0, 0]);
        assert_eq!([at(0.76), at(0.87)], [1, 1]);
        assert_eq!([at(0.88), at(1.0)], [3, 3]);
    }

    #[test]
    fn top_k_leaves_the_rest_out_and_temperature_flattens() {
        let logits = [0.25f32, 0.125, 0.5, 0.125].map(f32::ln);
        let of_two = SampleOptions {
            top_k: Some(2),
            ..options()
        };
        assert_eq!(
            [0.66, 0.67, 0.99].map(|u| pick(&logits, &of_two, u)),
            [2, 0, 0]
        );
        let flat = SampleOptions {
            temperature: 1e6,
            ..options()
        };
        assert_eq!(
            [0.24, 0.26, 0.51, 0.76].map(|u| pick(&logits, &flat, u)),
            [2, 0, 1, 3]
        );
        let no_number = SampleOptions {
            top_k: Some(7),
            ..options()
        };
        assert_eq!(pick(&[f32::NEG_INFINITY, 0.0], &no_number, 0.9999), 1);
    }

    #[test]
    fn draws_are_even_and_depend_on_seed_sample_and_place_alone() {
        let draws = |seed, sample_idx| -> Vec<f64> {
            let options = SampleOptions {
                seed,
                sample_idx,
                ..options()
            };
            (0..4000)
                .map(|position| unit_draw(&options, position))
                .collect()
        };
        assert_eq!(draws(1, 0), draws(1, 0));
        for other in [draws(2, 0), draws(1, 1)] {
            assert!(std::iter::zip(draws(1, 0), other).all(|(a, b)| a != b));
        }
        let mean = draws(1, 0).iter().sum::<f64>() / 4000.0;
        // Standard error of the mean: 1 / sqrt(12 * 4000) = 0.0046.
        assert!((mean - 0.5).abs() < 4.0 * 0.0046, "{mean}");
    }

    #[test]
    fn settings_that_mean_nothing_are_refused_by_flag() {
        let of = |temperature, top_k| SampleOptions {
            temperature,
            top_k,
            ..options()
        };
        for temperature in [-1.0, f64::NAN, f64::INFINITY] {
            let message = of(temperature, None).check().unwrap_err().to_string();
            assert!(message.contains("--temperature"), "{message}");
        }
        assert!(
            of(1.0, Some(0))
                .check()
                .unwrap_err()
                .to_string()
                .contains("--top-k")
        );
        assert!(of(0.0, Some(1)).check().is_ok());
    }

    #[test]
    fn a_prompt_that_the_model_cannot_take_is_refused() {
        let spec = ModelSpec {
            vocab_size: 5,
            d_model: 4,
            n_layers: 1,
            n_heads: 1,
            n_kv_heads: 1,
            head_dim: 4,
            d_ff: 4,
            max_seq_len: 8,
            rope_theta: 1e4,
            rope_scaling: None,
            norm_eps: 1e-5,
            tie_embeddings: true,
        };
        let of = |prompt: &[u32]| check_prompt(prompt, &spec);
        assert!(matches!(of(&[]), Err(EvalError::EmptyPrompt)));
        assert!(matches!(of(&[1; 9]), Err(EvalError::PromptTooLong { .. })));
        assert!(matches!(
            of(&[1, 5]),
            Err(EvalError::IdPastVocab { id: 5, .. })
        ));
        assert!(of(&[4; 8]).is_ok());
    }
}
