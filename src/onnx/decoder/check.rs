//! Checks that a description makes a decoder.

use super::error::DecoderError;
use super::spec::{
    Attention, DecoderLayer, DecoderSpec, Frequencies, FrequencySet, Norm, NormKind, NormPlacement,
    Residual, RotaryTable,
};
use std::fmt::Display;

/// Larger than any dimension of a model that fits into memory.
const MAX_DIMENSION: usize = 1 << 24;

/// Refuses a description that makes no decoder.
///
/// # Errors
/// [`DecoderError::Spec`] for the first bad value.
pub fn check_spec(spec: &DecoderSpec) -> Result<(), DecoderError> {
    dimension("vocab_size", spec.vocab_size)?;
    dimension("d_model", spec.d_model)?;
    dimension("max_positions", spec.max_positions)?;
    dimension("layers", spec.layers.len())?;
    dimension("head.n_logits", spec.head.n_logits)?;
    let (rows, n_logits) = (spec.vocab_size, spec.head.n_logits);
    let is_same = !spec.head.is_tied || n_logits == rows;
    let expected = format!("the embedding's {rows}, since the head is tied to it");
    require(is_same, "head.n_logits", &expected, n_logits)?;
    nonzero("embedding_multiplier", spec.embedding_multiplier)?;
    nonzero("head.logits_divisor", spec.head.logits_divisor)?;
    cap("head.soft_cap", spec.head.soft_cap)?;
    norm("final_norm", spec.final_norm)?;
    for (idx, table) in spec.rotary.iter().enumerate() {
        check_table(&format!("rotary.{idx}"), table)?;
    }
    for (idx, layer) in spec.layers.iter().enumerate() {
        check_layer(&format!("layers.{idx}"), layer, spec)?;
    }
    Ok(())
}

fn check_layer(name: &str, layer: &DecoderLayer, spec: &DecoderSpec) -> Result<(), DecoderError> {
    norm(&format!("{name}.norm"), layer.norm)?;
    dimension(
        &format!("{name}.feed_forward.d_ff"),
        layer.feed_forward.d_ff,
    )?;
    let what = format!("{name}.residual_multiplier");
    nonzero(&what, layer.residual_multiplier)?;
    let is_known = layer.residual == Residual::Serial || layer.placement == NormPlacement::Pre;
    let expected = "norms in front, since its halves are parallel";
    let got = format!("{:?}", layer.placement);
    require(is_known, &format!("{name}.placement"), expected, got)?;
    check_attention(&format!("{name}.attention"), &layer.attention, spec)
}

fn check_attention(
    name: &str,
    attention: &Attention,
    spec: &DecoderSpec,
) -> Result<(), DecoderError> {
    let name = |part: &str| format!("{name}.{part}");
    let (n_heads, n_kv_heads) = (attention.n_heads, attention.n_kv_heads);
    dimension(&name("n_heads"), n_heads)?;
    dimension(&name("n_kv_heads"), n_kv_heads)?;
    dimension(&name("head_dim"), attention.head_dim)?;
    let expected = format!("a divisor of the {n_heads} query heads");
    let divides = n_heads.is_multiple_of(n_kv_heads);
    require(divides, &name("n_kv_heads"), &expected, n_kv_heads)?;
    nonzero(&name("scale"), attention.scale)?;
    cap(&name("soft_cap"), attention.soft_cap)?;
    dimension(&name("window"), attention.window.unwrap_or(1))?;
    if let Some(query_key) = attention.query_key_norm {
        norm(&name("query_key_norm"), query_key.norm)?;
        let is_rms = !matches!(query_key.norm.kind, NormKind::Layer { .. });
        let got = format!("{:?}", query_key.norm.kind);
        require(is_rms, &name("query_key_norm"), "an RMS norm", got)?;
    }
    let Some(idx) = attention.rotary else {
        return Ok(());
    };
    let table = spec.rotary.get(idx);
    let expected = format!("one of {} rotary tables", spec.rotary.len());
    require(table.is_some(), &name("rotary"), &expected, idx)?;
    let n_rotated = table.map_or(0, |table| table.n_rotated);
    let expected = format!(
        "a table of at most the head's {} values",
        attention.head_dim
    );
    let fits = n_rotated <= attention.head_dim;
    require(fits, &name("rotary"), &expected, n_rotated)
}

fn check_table(name: &str, table: &RotaryTable) -> Result<(), DecoderError> {
    let n_rotated = table.n_rotated;
    dimension(&format!("{name}.n_rotated"), n_rotated)?;
    let is_even = n_rotated.is_multiple_of(2);
    let what = format!("{name}.n_rotated");
    require(is_even, &what, "an even number of values", n_rotated)?;
    match &table.frequencies {
        Frequencies::Fixed(set) => check_set(name, set, n_rotated),
        Frequencies::ByLength { short, long, .. } => {
            check_set(&format!("{name}.short"), short, n_rotated)?;
            check_set(&format!("{name}.long"), long, n_rotated)
        }
        Frequencies::Dynamic {
            theta,
            factor,
            n_original,
        } => {
            dimension(&format!("{name}.n_original"), *n_original)?;
            let is_wide = n_rotated > 2;
            require(
                is_wide,
                &what,
                "more than 2, for dynamic scaling",
                n_rotated,
            )?;
            positive(&format!("{name}.theta"), *theta)?;
            let what = format!("{name}.factor");
            let is_growth = factor.is_finite() && *factor >= 1.0;
            require(is_growth, &what, "at least 1", factor)
        }
    }
}

fn check_set(name: &str, set: &FrequencySet, n_rotated: usize) -> Result<(), DecoderError> {
    let (n, n_pairs) = (set.inv_freq.len(), n_rotated / 2);
    let expected = format!("{n_pairs}, one a pair");
    require(n == n_pairs, &format!("{name}.inv_freq"), &expected, n)?;
    for value in &set.inv_freq {
        let is_fine = value.is_finite() && *value >= 0.0;
        let what = format!("{name}.inv_freq");
        require(is_fine, &what, "numbers of at least 0", value)?;
    }
    positive(&format!("{name}.attention_scaling"), set.attention_scaling)
}

fn norm(name: &str, norm: Norm) -> Result<(), DecoderError> {
    let is_fine = norm.eps.is_finite() && norm.eps >= 0.0;
    require(
        is_fine,
        &format!("{name}.eps"),
        "a number of at least 0",
        norm.eps,
    )
}

fn cap(name: &str, cap: Option<f64>) -> Result<(), DecoderError> {
    cap.map_or(Ok(()), |cap| positive(name, cap))
}

fn positive(name: &str, value: f64) -> Result<(), DecoderError> {
    let is_positive = value.is_finite() && value > 0.0;
    require(is_positive, name, "a positive number", value)
}

fn nonzero(name: &str, value: f64) -> Result<(), DecoderError> {
    let is_fine = value.is_finite() && value != 0.0;
    require(is_fine, name, "a number other than 0", value)
}

fn dimension(name: &str, value: usize) -> Result<(), DecoderError> {
    let expected = format!("1 to {MAX_DIMENSION}");
    require((1..=MAX_DIMENSION).contains(&value), name, &expected, value)
}

fn require(holds: bool, what: &str, expected: &str, got: impl Display) -> Result<(), DecoderError> {
    if holds {
        return Ok(());
    }
    Err(DecoderError::Spec {
        what: what.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    })
}
