//! Rotary frequencies, as transformers computes them from its `rope_parameters` (in 4: `rope_theta` and
//! `rope_scaling`).

use super::PretrainedError;
use super::section::Section;
use crate::onnx::decoder::{Frequencies, FrequencySet, RotaryPairing, RotaryTable};
use serde_json::{Map, Value};
use std::f64::consts::TAU;

/// A configuration's rotary parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeParameters {
    /// Base of the angles.
    pub theta: f64,
    /// Fraction of each head that is rotated, from the front.
    pub partial: f64,
    /// How angles are scaled.
    pub scaling: RopeScaling,
}

/// How angles are scaled for sequences longer than those of pre-training.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All frequencies by the same factor.
    Linear {
        /// Divisor of all frequencies.
        factor: f64,
    },
    /// theta grows with the sequence length.
    Dynamic {
        /// Factor of the growth.
        factor: f64,
        /// Length up to which theta does not grow.
        n_original: usize,
    },
    /// As in Llama 3.1.
    Llama3(Llama3Scaling),
    /// Low frequencies are divided, high ones are not (Peng et al., arXiv 2309.00071).
    Yarn {
        /// Divisor of low frequencies.
        factor: f64,
        /// Sequence length of pre-training.
        n_original: usize,
        /// Rotations within that length from which on a pair is not divided, and below which it is fully
        /// divided.
        beta: (f64, f64),
        /// Whether the boundary pairs are rounded.
        truncate: bool,
        /// Multiplier of cos and sin.
        attention_factor: f64,
    },
    /// A factor for each pair (Ding et al., arXiv 2402.13753).
    Longrope {
        /// Factors up to `n_original`.
        short: Vec<f64>,
        /// Factors for longer sequences.
        long: Vec<f64>,
        /// Sequence length of pre-training.
        n_original: usize,
        /// Multiplier of cos and sin.
        attention_factor: f64,
    },
}

/// `rope_type` llama3: low frequencies are divided, high ones are not, and those between are interpolated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llama3Scaling {
    /// Divisor of low frequencies.
    pub factor: f64,
    /// Wavelengths above `n_original / low_freq_factor` are long.
    pub low_freq_factor: f64,
    /// Wavelengths below `n_original / high_freq_factor` are short.
    pub high_freq_factor: f64,
    /// Sequence length of pre-training.
    pub n_original: usize,
}

/// A family's defaults for missing keys, and its names of keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct RopeDefaults {
    pub(super) theta: f64,
    pub(super) partial: f64,
    /// Top-level key of theta.
    pub(super) theta_key: &'static str,
    /// Top-level key of the rotated fraction.
    pub(super) partial_key: &'static str,
    /// Whether `original_max_position_embeddings` is at the top level, and `yarn` means longrope.
    pub(super) is_phi3: bool,
}

/// Defaults of most families.
pub(super) const ROPE_DEFAULTS: RopeDefaults = RopeDefaults {
    theta: 10_000.0,
    partial: 1.0,
    theta_key: "rope_theta",
    partial_key: "partial_rotary_factor",
    is_phi3: false,
};

/// Keys that hold rope parameters.
const KEYS: [&str; 2] = ["rope_parameters", "rope_scaling"];
/// The usual remedy.
const CORRECT: &str = "correct the configuration";
const TYPES: &str = "default, linear, dynamic, llama3, yarn or longrope";
const ORIGINAL: &str = "original_max_position_embeddings";
/// Default of that key in transformers' Phi3Config.
const PHI3_ORIGINAL: usize = 4096;

/// The parameters of a family with the usual keys, such as Llama.
///
/// # Errors
/// [`PretrainedError::Config`].
pub fn rope_of(config: &Section, head_dim: usize) -> Result<RopeParameters, PretrainedError> {
    rope_parameters(config, &ROPE_DEFAULTS, head_dim)
}

/// The parameters in either spelling; values given twice must agree.
pub(super) fn rope_parameters(
    config: &Section,
    defaults: &RopeDefaults,
    head_dim: usize,
) -> Result<RopeParameters, PretrainedError> {
    let mut merged = Map::new();
    let mut prefix = String::new();
    let tops = [
        (defaults.theta_key, "rope_theta"),
        (defaults.partial_key, "partial_rotary_factor"),
        (ORIGINAL, ORIGINAL),
    ];
    for (key, name) in &tops[..if defaults.is_phi3 { 3 } else { 2 }] {
        if let Some(value) = config.get(key) {
            merge(config, &mut merged, key, name, value)?;
        }
    }
    for key in KEYS {
        for (name, value) in config.object(key)?.into_iter().flatten() {
            prefix = format!("{key}.");
            merge(config, &mut merged, key, name, value)?;
        }
    }
    let section = Section::new(config.path(), prefix, merged);
    of_section(config, &section, defaults, head_dim)
}

/// Adds one parameter; `type` is an older name for `rope_type`, and `su` for longrope.
fn merge(
    config: &Section,
    merged: &mut Map<String, Value>,
    key: &str,
    name: &str,
    value: &Value,
) -> Result<(), PretrainedError> {
    if value.is_null() {
        return Ok(());
    }
    let name = if name == "type" { "rope_type" } else { name };
    let value = match value.as_str() {
        Some("su") => Value::from("longrope"),
        _ => value.clone(),
    };
    let is_same =
        |other: &Value| *other == value || value.is_number() && other.as_f64() == value.as_f64();
    match merged.get(name) {
        Some(other) if !is_same(other) => {
            let expected = format!("the {name} {other} that is named elsewhere");
            Err(config.refusal(key, &expected, CORRECT))
        }
        _ => {
            merged.insert(name.to_owned(), value);
            Ok(())
        }
    }
}

/// Parameters in one object; Gemma 3 has one for each kind of layer.
pub(super) fn of_section(
    config: &Section,
    section: &Section,
    defaults: &RopeDefaults,
    head_dim: usize,
) -> Result<RopeParameters, PretrainedError> {
    let theta = section.positive("rope_theta", defaults.theta)?;
    let partial = section.positive("partial_rotary_factor", defaults.partial)?;
    if partial > 1.0 {
        return Err(section.refusal("partial_rotary_factor", "at most 1", CORRECT));
    }
    let n_rotated = n_rotated(head_dim, partial);
    if n_rotated == 0 || !n_rotated.is_multiple_of(2) {
        let expected = format!("an even part of a head of {head_dim}, not {n_rotated}");
        return Err(section.refusal("partial_rotary_factor", &expected, "RoPE rotates pairs"));
    }
    let scaling = match section.text("rope_type")?.unwrap_or("default") {
        "yarn" if defaults.is_phi3 => longrope(config, section, n_rotated, PHI3_ORIGINAL)?,
        "default" => {
            section.only("factor", &Value::from(1), "without a type it is not used")?;
            if defaults.is_phi3 {
                section.pass_over(&[ORIGINAL]);
            }
            RopeScaling::Default
        }
        "linear" => RopeScaling::Linear {
            factor: section.needed("factor")?,
        },
        "dynamic" => RopeScaling::Dynamic {
            factor: section.needed("factor")?,
            n_original: config.count("max_position_embeddings", None)?,
        },
        "llama3" => RopeScaling::Llama3(llama3(config, section)?),
        "yarn" => yarn(config, section)?,
        "longrope" if defaults.is_phi3 => longrope(config, section, n_rotated, PHI3_ORIGINAL)?,
        "longrope" => {
            let max_positions = config.count("max_position_embeddings", None)?;
            longrope(config, section, n_rotated, max_positions)?
        }
        _ => {
            let remedy = "choose a model with one of these";
            return Err(section.refusal("rope_type", TYPES, remedy));
        }
    };
    section.check_all_read()?;
    Ok(RopeParameters {
        theta,
        partial,
        scaling,
    })
}

fn n_original(config: &Section, section: &Section) -> Result<usize, PretrainedError> {
    match section.get(ORIGINAL) {
        Some(_) => section.count(ORIGINAL, None),
        None => config.count("max_position_embeddings", None),
    }
}

fn llama3(config: &Section, section: &Section) -> Result<Llama3Scaling, PretrainedError> {
    let scaling = Llama3Scaling {
        factor: section.needed("factor")?,
        low_freq_factor: section.needed("low_freq_factor")?,
        high_freq_factor: section.needed("high_freq_factor")?,
        n_original: n_original(config, section)?,
    };
    if scaling.high_freq_factor <= scaling.low_freq_factor {
        let expected = format!("more than low_freq_factor, {}", scaling.low_freq_factor);
        return Err(section.refusal("high_freq_factor", &expected, CORRECT));
    }
    Ok(scaling)
}

fn yarn(config: &Section, section: &Section) -> Result<RopeScaling, PretrainedError> {
    let n_original = n_original(config, section)?;
    let factor = section.needed("factor")?;
    let grown = |by: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * by * factor.ln() + 1.0
        }
    };
    // Zero means none here.
    let scale = |key| match section.get(key) {
        Some(value) if value.as_f64() == Some(0.0) => Ok(None),
        _ => section.optional(key),
    };
    let (mscale, mscale_all_dim) = (scale("mscale")?, scale("mscale_all_dim")?);
    let implied = match (mscale, mscale_all_dim) {
        (Some(one), Some(all)) => grown(one) / grown(all),
        _ => grown(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        n_original,
        beta: (
            section.positive("beta_fast", 32.0)?,
            section.positive("beta_slow", 1.0)?,
        ),
        truncate: section.flag("truncate", true)?,
        attention_factor: section.positive("attention_factor", implied)?,
    })
}

fn longrope(
    config: &Section,
    section: &Section,
    n_rotated: usize,
    default_original: usize,
) -> Result<RopeScaling, PretrainedError> {
    let n_original = section.count(ORIGINAL, Some(default_original))?;
    let max_positions = config.count("max_position_embeddings", None)?;
    let ratio = max_positions as f64 / n_original as f64;
    let factor = section.positive("factor", ratio)?;
    let implied = match factor <= 1.0 {
        true => 1.0,
        false => (1.0 + factor.ln() / (n_original as f64).ln()).sqrt(),
    };
    Ok(RopeScaling::Longrope {
        short: section.numbers("short_factor", n_rotated / 2)?,
        long: section.numbers("long_factor", n_rotated / 2)?,
        n_original,
        attention_factor: section.positive("attention_factor", implied)?,
    })
}

fn n_rotated(head_dim: usize, partial: f64) -> usize {
    (head_dim as f64 * partial) as usize
}

impl RopeParameters {
    /// The rotary table for heads of `head_dim`.
    pub fn table(&self, head_dim: usize) -> RotaryTable {
        let n_rotated = n_rotated(head_dim, self.partial);
        RotaryTable {
            n_rotated,
            pairing: RotaryPairing::Halves,
            frequencies: self.frequencies(n_rotated),
        }
    }

    /// The longest sequence that the scaling supports, if larger than `configured`.
    pub fn max_positions(&self, configured: usize) -> usize {
        let scaled = |factor: f64, n: usize| (factor * n as f64) as usize;
        match self.scaling {
            RopeScaling::Dynamic { factor, n_original }
            | RopeScaling::Yarn {
                factor, n_original, ..
            } => configured.max(scaled(factor, n_original)),
            _ => configured,
        }
    }

    fn frequencies(&self, n_rotated: usize) -> Frequencies {
        let plain = plain_frequencies(self.theta, n_rotated);
        let fixed = |inv_freq, attention_scaling| {
            Frequencies::Fixed(FrequencySet {
                inv_freq,
                attention_scaling,
            })
        };
        match &self.scaling {
            RopeScaling::Default => fixed(plain, 1.0),
            RopeScaling::Linear { factor } => {
                fixed(plain.iter().map(|freq| freq / factor).collect(), 1.0)
            }
            RopeScaling::Dynamic { factor, n_original } => Frequencies::Dynamic {
                theta: self.theta,
                factor: *factor,
                n_original: *n_original,
            },
            RopeScaling::Llama3(scaling) => {
                fixed(plain.iter().map(|&freq| scaling.apply(freq)).collect(), 1.0)
            }
            RopeScaling::Yarn {
                factor,
                n_original,
                beta,
                truncate,
                attention_factor,
            } => {
                let ramp = yarn_ramp(self.theta, n_rotated, *n_original, *beta, *truncate);
                let of = |(freq, share): (&f64, f64)| freq / factor * share + freq * (1.0 - share);
                fixed(
                    std::iter::zip(&plain, ramp).map(of).collect(),
                    *attention_factor,
                )
            }
            RopeScaling::Longrope {
                short,
                long,
                n_original,
                attention_factor,
            } => {
                let set = |factors: &[f64]| FrequencySet {
                    inv_freq: std::iter::zip(&plain, factors)
                        .map(|(freq, factor)| freq / factor)
                        .collect(),
                    attention_scaling: *attention_factor,
                };
                Frequencies::ByLength {
                    n_short: *n_original,
                    short: set(short),
                    long: set(long),
                }
            }
        }
    }
}

/// theta^(-2i / R) for each pair i, radians per position; R is `n_rotated`.
pub fn plain_frequencies(theta: f64, n_rotated: usize) -> Vec<f64> {
    let exponent = |pair: usize| -((2 * pair) as f64) / n_rotated as f64;
    (0..n_rotated / 2)
        .map(|pair| theta.powf(exponent(pair)))
        .collect()
}

impl Llama3Scaling {
    /// Scales the frequency `freq` of a pair.
    pub fn apply(&self, freq: f64) -> f64 {
        let n_original = self.n_original as f64;
        let wave_len = TAU / freq;
        if wave_len < n_original / self.high_freq_factor {
            return freq;
        }
        if wave_len > n_original / self.low_freq_factor {
            return freq / self.factor;
        }
        let smooth = (n_original / wave_len - self.low_freq_factor)
            / (self.high_freq_factor - self.low_freq_factor);
        (1.0 - smooth) * freq / self.factor + smooth * freq
    }
}

/// How much each pair is divided: 0 for fast rotations, 1 for slow ones.
fn yarn_ramp(
    theta: f64,
    n_rotated: usize,
    n_original: usize,
    (fast, slow): (f64, f64),
    truncate: bool,
) -> impl Iterator<Item = f64> {
    let pair_of = |n_rotations: f64| {
        n_rotated as f64 * (n_original as f64 / (n_rotations * TAU)).ln() / (2.0 * theta.ln())
    };
    let (mut low, mut high) = (pair_of(fast), pair_of(slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    let low = low.max(0.0);
    let mut high = high.min((n_rotated - 1) as f64);
    if low == high {
        high += 0.001;
    }
    (0..n_rotated / 2).map(move |pair| ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0))
}
