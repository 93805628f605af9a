//! What a post-processor adds around a text, according to its description.

use serde_json::Value;

/// The ids in front of a text and after it, each in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AffixIds {
    pub(super) front: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl AffixIds {
    /// From the `post_processor` of a `tokenizer.json`.
    ///
    /// # Errors
    /// In words, if it is not a post-processor, or drops or repeats the text.
    pub(super) fn of(processor: &Value) -> Result<Self, String> {
        match processor.get("type").and_then(Value::as_str) {
            _ if processor.is_null() => Ok(Self::default()),
            Some("TemplateProcessing") => of_template(processor),
            Some("Sequence") => of_sequence(processor),
            Some("ByteLevel") => Ok(Self::default()),
            // BERT's and RoBERTa's; the library recognizes them by these fields, whatever the type.
            _ => Ok(Self {
                front: vec![named_id(processor, "cls")?],
                after: vec![named_id(processor, "sep")?],
            }),
        }
    }
}

/// Each works on the output of the one before.
fn of_sequence(processor: &Value) -> Result<AffixIds, String> {
    let inner = processor.get("processors").and_then(Value::as_array);
    let mut all = AffixIds::default();
    for processor in inner.into_iter().flatten() {
        let outer = AffixIds::of(processor)?;
        all.front.splice(0..0, outer.front);
        all.after.extend(outer.after);
    }
    Ok(all)
}

fn of_template(processor: &Value) -> Result<AffixIds, String> {
    let pieces = processor.get("single").and_then(Value::as_array);
    let pieces = pieces.ok_or("its template for one text is not a list")?;
    let (mut affixes, mut n_texts) = (AffixIds::default(), 0);
    for piece in pieces {
        if piece.get("Sequence").is_some() {
            n_texts += 1;
            continue;
        }
        let ids = special_ids(processor, piece)?;
        match n_texts {
            0 => affixes.front.extend(ids),
            _ => affixes.after.extend(ids),
        }
    }
    match n_texts {
        1 => Ok(affixes),
        n => Err(format!(
            "its template for one text contains the text {n} times, expected once"
        )),
    }
}

fn special_ids(processor: &Value, piece: &Value) -> Result<Vec<u32>, String> {
    let name = piece.pointer("/SpecialToken/id").and_then(Value::as_str);
    let name = name.ok_or_else(|| format!("its template has the piece {piece}"))?;
    let token = processor
        .get("special_tokens")
        .and_then(|tokens| tokens.get(name));
    let ids = token.and_then(|token| token.get("ids")?.as_array());
    let ids = ids.ok_or_else(|| {
        format!("its template names `{name}`, which is not among its special tokens")
    })?;
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    ids.iter()
        .map(|value| id(value).ok_or_else(|| format!("`{name}` has the id {value}")))
        .collect()
}

/// The id of a field `[token, id]`.
fn named_id(processor: &Value, field: &str) -> Result<u32, String> {
    let id = processor.get(field).and_then(|pair| pair.get(1)?.as_u64());
    let id = id.and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| format!("its post-processor has no `{field}` with an id"))
}
