//! Some sequences, token by token.

use super::scores::Scored;
use crate::shards::{LabelSet, Plan, PlanTokenizer};
use crate::tokens::Tokenizer;
use crate::view::error::ViewError;
use crate::view::row::{RowView, TokenNames, describe_row};
use crate::view::set::{RowChoice, read_row};
use std::path::Path;

/// Maximum tokens shown per sequence.
const MAX_TOKENS: usize = 320;
/// Number of the teacher's alternatives listed with a token.
const N_ALTERNATIVES: usize = 4;

/// One sequence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Passage {
    /// Why it was chosen.
    pub(crate) why: &'static str,
    pub(crate) scored: Scored,
    /// The teacher's values for each of its tokens.
    pub(crate) row: RowView,
    /// The bytes that each token adds to the text.
    pub(crate) bytes: Vec<Vec<u8>>,
}

/// A few sequences of `set`, from the hardest to the easiest; none for a set without positions.
pub(crate) fn passages(
    set: &LabelSet,
    scored: &[Scored],
    tokenizer: Option<&Path>,
) -> Result<Vec<Passage>, ViewError> {
    if !set.segments.iter().all(|plan| plan.signals.has_positions()) {
        return Ok(Vec::new());
    }
    let beside = set.tokenizer_path()?;
    let path = tokenizer.or(beside.as_deref());
    let tokenizer = path
        .map(|path| matching_tokenizer(path, &set.segments[0]))
        .transpose()?;
    let passage = |(why, scored)| passage(set, tokenizer.as_ref(), why, scored);
    chosen(scored).into_iter().map(passage).collect()
}

/// Opens the tokenizer at `path`, checked against `plan`: the wrong one would decode to plausible but wrong
/// text.
///
/// # Errors
/// [`ViewError::ForeignTokenizer`]; a tokenizer that cannot be read.
pub fn matching_tokenizer(path: &Path, plan: &Plan) -> Result<Tokenizer, ViewError> {
    let tokenizer = Tokenizer::open(path)?;
    let got = tokenizer.fingerprint();
    match &plan.tokenizer {
        Some(PlanTokenizer { fingerprint, .. }) if *fingerprint != got => {
            Err(ViewError::ForeignTokenizer {
                path: path.into(),
                expected: fingerprint.clone(),
                got,
            })
        }
        _ => Ok(tokenizer),
    }
}

/// Sequences near both ends and in the middle of the order by score; with a selection, kept and dropped ones
/// separately.
fn chosen(scored: &[Scored]) -> Vec<(&'static str, Scored)> {
    let mut order: Vec<(f64, Scored)> = scored
        .iter()
        .filter_map(|row| Some((row.score?, *row)))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.seq_id.cmp(&b.1.seq_id)));
    let at = |rows: &[Scored], share: f64| {
        let last = rows.len().checked_sub(1)?;
        rows.get((share * last as f64).round() as usize).copied()
    };
    let of = |is_wanted: fn(&Scored) -> bool| -> Vec<Scored> {
        order
            .iter()
            .map(|(_, row)| *row)
            .filter(is_wanted)
            .collect()
    };
    let kept = of(|row| row.is_kept == Some(true));
    let left_out = of(|row| row.is_kept == Some(false));
    let all = of(|_| true);
    let picks = if kept.is_empty() || left_out.is_empty() {
        vec![
            ("among the highest scores", at(&all, 0.98)),
            ("in the middle", at(&all, 0.5)),
            ("among the lowest scores", at(&all, 0.02)),
        ]
    } else {
        vec![
            ("kept, among the highest scores", at(&kept, 0.98)),
            ("kept, in the middle", at(&kept, 0.5)),
            ("left out, in the middle", at(&left_out, 0.5)),
            ("left out, among the lowest scores", at(&left_out, 0.02)),
        ]
    };
    let mut found: Vec<(&'static str, Scored)> = Vec::new();
    for (why, row) in picks.into_iter().filter_map(|(why, row)| Some((why, row?))) {
        if found.iter().all(|(_, other)| other.seq_id != row.seq_id) {
            found.push((why, row));
        }
    }
    found
}

fn passage(
    set: &LabelSet,
    tokenizer: Option<&Tokenizer>,
    why: &'static str,
    scored: Scored,
) -> Result<Passage, ViewError> {
    let (row, _) = read_row(set, RowChoice::SeqId(scored.seq_id))?;
    let text = |id: u32| match tokenizer {
        Some(tokenizer) => tokenizer.token_text(id),
        None => format!("<{id}>"),
    };
    let bytes = |id: u32| {
        let own = tokenizer.and_then(|tokenizer| tokenizer.token_bytes(id));
        own.unwrap_or_else(|| text(id).into_bytes())
    };
    let decode = |ids: &[u32]| ids.iter().copied().map(text).collect();
    let names = TokenNames {
        text: &text,
        bytes: &bytes,
        decode: &decode,
    };
    let view = describe_row(&row, 0..MAX_TOKENS, N_ALTERNATIVES, names);
    Ok(Passage {
        why,
        scored,
        bytes: view.tokens.iter().map(|token| bytes(token.id)).collect(),
        row: view,
    })
}
