//! Small tokenizers of the kinds in use: byte-level BPE is trained where it is needed, the others are here.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The characters of the tests' texts, a space not among them.
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzDS0123456789.,é🧂";

fn special(id: u32, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false, "special": true})
}

/// Puts `front` before a text and `after` behind it.
fn template(front: Option<(&str, u32)>, after: Option<(&str, u32)>) -> Value {
    let piece = |token: &(&str, u32)| json!({"SpecialToken": {"id": token.0, "type_id": 0}});
    let mut single: Vec<Value> = front.iter().map(piece).collect();
    single.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
    single.extend(after.iter().map(piece));
    let tokens: BTreeMap<&str, Value> = front
        .iter()
        .chain(&after)
        .map(|(name, id)| (*name, json!({"id": name, "ids": [id], "tokens": [name]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": single,
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
           "special_tokens": tokens})
}

/// Ids by the order of the tokens.
fn numbered(tokens: impl IntoIterator<Item = String>) -> BTreeMap<String, u32> {
    tokens.into_iter().zip(0..).collect()
}

/// Llama's kind: a space put in front, `▁` for spaces, bytes for what has no token, `<s>` in front. Characters
/// that are no ASCII have none.
pub(crate) fn byte_fallback_bpe() -> Value {
    let tokens = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter();
    let tokens = tokens.chain((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let ascii = CHARACTERS.chars().filter(char::is_ascii);
    let tokens = tokens
        .chain(["▁".to_owned()])
        .chain(ascii.map(String::from));
    let vocab = numbered(tokens.chain(["▁t", "he", "▁the"].map(str::to_owned)));
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": template(Some(("<s>", 1)), None),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
                  "merges": [["▁", "t"], ["h", "e"], ["▁t", "he"]]},
    })
}

/// SentencePiece's Unigram: `▁` for spaces and in front, `</s>` at the end, and no normalizer. It knows every
/// character of the tests' texts but those in `unknown`.
pub(crate) fn unigram(unknown: &str) -> Value {
    let tokens = ["<unk>", "</s>", "▁", "▁the", "▁sea", "docu", "ment"].map(str::to_owned);
    let characters = CHARACTERS.chars().filter(|&c| !unknown.contains(c));
    let tokens = tokens.into_iter().chain(characters.map(String::from));
    let vocab: Vec<Value> = tokens
        .enumerate()
        .map(|(i, token)| json!([token, -1.0 - i as f64 / 10.0]))
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "</s>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": template(None, Some(("</s>", 1))),
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false},
    })
}

/// BERT's kind: lower case, no accents, no spaces, and an unknown token for the rest.
pub(crate) fn word_piece() -> Value {
    let tokens = ["[UNK]", "[CLS]", "[SEP]", "the", "sea"].map(str::to_owned);
    let characters = CHARACTERS
        .chars()
        .filter(|c| c.is_ascii() && !c.is_uppercase());
    let pieces = characters.flat_map(|c| [c.to_string(), format!("##{c}")]);
    let vocab = numbered(tokens.into_iter().chain(pieces));
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "[UNK]"), special(1, "[CLS]"), special(2, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(Some(("[CLS]", 1)), Some(("[SEP]", 2))),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    })
}
