//! What is added to a JSON line.

use super::choices::Chosen;
use super::options::FilterOptions;
use crate::shards::DocumentScore;
use serde_json::Number;

/// The added keys and their values as JSON, for one document.
pub(super) fn members<'a>(options: &'a FilterOptions, chosen: &Chosen) -> Vec<(&'a str, String)> {
    let scores = options.scores_key.as_deref();
    let scores = scores.map(|key| (key, scores_text(chosen)));
    let weight = options.weights_key.as_deref();
    let weight = weight.map(|key| (key, format!("{:.1}", weight_of(chosen))));
    scores.into_iter().chain(weight).collect()
}

/// 1 for a kept document, 0 for any other.
pub(super) fn weight_of(chosen: &Chosen) -> f64 {
    f64::from(u8::from(chosen.is_kept))
}

/// An object, or null for a document that the selection does not list.
fn scores_text(chosen: &Chosen) -> String {
    let Some(scores) = &chosen.scores else {
        return "null".to_owned();
    };
    let number = |value: Option<f64>| {
        value
            .and_then(Number::from_f64)
            .map(|number| number.to_string())
    };
    let values = DocumentScore::ALL.iter().zip(scores.values);
    let values = values.map(|(score, value)| (score.name(), number(value)));
    let first = [
        ("score", number(scores.score)),
        ("rank", scores.rank.map(|rank| rank.to_string())),
    ];
    let members = first.into_iter().chain(values);
    let members: Vec<String> = members
        .map(|(name, value)| format!("\"{name}\":{}", value.as_deref().unwrap_or("null")))
        .collect();
    format!("{{{}}}", members.join(","))
}
