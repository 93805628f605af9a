use super::*;
use crate::error::{Classified, Kind};
use crate::tokens::SpecialChoice;
use serde_json::json;
use std::collections::BTreeMap;

fn open(value: &Value) -> Result<Tokenizer, TokensError> {
    Tokenizer::from_bytes(value.to_string().as_bytes(), Path::new("tokenizer.json"))
}

fn added(id: u32, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false, "special": special})
}

/// The character of GPT-2's alphabet for each byte, by the loop in GPT-2's own encoder.py.
fn gpt2_alphabet() -> Vec<char> {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut n = 0;
    let char_of = |b: u32| {
        let code = if printable(b) {
            b
        } else {
            n += 1;
            255 + n
        };
        char::from_u32(code).unwrap()
    };
    (0..256).map(char_of).collect()
}

/// Like GPT-2: bytes as printable characters, an end-of-text token, a plain added one.
fn byte_level() -> Value {
    let mut vocab: BTreeMap<String, u32> = gpt2_alphabet()
        .iter()
        .zip(0..)
        .map(|(c, id)| (c.to_string(), id))
        .collect();
    vocab.insert("Ġa".to_owned(), 256);
    json!({
        "version": "1.0",
        "added_tokens": [added(257, "<|endoftext|>", true), added(258, "é ", false)],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocab, "merges": [["Ġ", "a"]]},
    })
}

/// Like Llama: `▁` for a space, `<0xNN>` for bytes, `<s>` put in front by the post-processor.
fn byte_fallback() -> Value {
    let mut vocab = BTreeMap::from([
        ("<unk>".to_owned(), 0),
        ("<s>".to_owned(), 1),
        ("</s>".to_owned(), 2),
    ]);
    vocab.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), 3 + byte)));
    vocab.extend([
        ("▁".to_owned(), 259),
        ("a".to_owned(), 260),
        ("▁a".to_owned(), 261),
    ]);
    json!({
        "version": "1.0",
        "added_tokens": [added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true,
                  "vocab": vocab, "merges": [["▁", "a"]]},
    })
}

#[test]
fn gpt2s_alphabet_is_read_back_byte_by_byte() {
    for (byte, c) in gpt2_alphabet().into_iter().enumerate() {
        assert_eq!(byte_of_char(c), Some(byte as u8), "{c}");
    }
    assert_eq!(byte_of_char(' '), None);
    assert_eq!(byte_of_char('\u{144}'), None);
}

#[test]
fn byte_level_tokens_have_their_bytes() {
    let tokenizer = open(&byte_level()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 259);
    for byte in 0..=255 {
        assert_eq!(tokenizer.token_bytes(u32::from(byte)).unwrap(), [byte]);
    }
    assert_eq!(tokenizer.token_bytes(256).unwrap(), b" a");
    // An added token is spelled literally, even if its characters are in the alphabet.
    assert_eq!(tokenizer.token_bytes(258).unwrap(), "é ".as_bytes());
    assert_eq!(tokenizer.token_bytes(259), None);
}

#[test]
fn byte_fallback_tokens_have_their_bytes() {
    let tokenizer = open(&byte_fallback()).unwrap();
    assert_eq!(tokenizer.token_bytes(3 + 0xe2).unwrap(), [0xe2]);
    assert_eq!(tokenizer.token_bytes(261).unwrap(), b" a");
    assert_eq!(tokenizer.token_bytes(1).unwrap(), b"<s>");
    assert!(tokenizer.is_special(1) && !tokenizer.is_special(261));
}

#[test]
fn metaspace_stands_for_a_space_and_other_tokens_for_themselves() {
    let mut value = byte_fallback();
    value["decoder"] =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let tokenizer = open(&value).unwrap();
    assert_eq!(tokenizer.token_bytes(261).unwrap(), b" a");
    // Without a decoder for them, `▁` and `<0xNN>` are just their characters.
    assert_eq!(tokenizer.token_bytes(3).unwrap(), b"<0x00>");
    value["decoder"] = json!(null);
    assert_eq!(
        open(&value).unwrap().token_bytes(261).unwrap(),
        "▁a".as_bytes()
    );
}

#[test]
fn a_token_is_shown_readably() {
    let tokenizer = open(&byte_level()).unwrap();
    assert_eq!(tokenizer.token_text(256), " a");
    assert_eq!(tokenizer.token_text(10), "\\n");
    assert_eq!(tokenizer.token_text(0xff), "<0xFF>");
    assert_eq!(tokenizer.token_text(299), "<id 299>");
    assert_eq!(tokenizer.token_text(257), "<|endoftext|>");
}

#[test]
fn encoding_adds_nothing_and_decoding_gives_the_text_back() {
    for value in [byte_level(), byte_fallback()] {
        let tokenizer = open(&value).unwrap();
        let text = "a b\u{1f600} a\n";
        let ids = tokenizer.encode(text).unwrap();
        assert!(!ids.contains(&1) || value == byte_level());
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

#[test]
fn the_fingerprint_is_of_what_ids_mean_and_not_of_the_file() {
    let fingerprint = |value: &Value| open(value).unwrap().fingerprint();
    let first = fingerprint(&byte_level());
    assert!(first.starts_with("blake3:") && first.len() == 71, "{first}");

    let mut same = byte_level();
    same["truncation"] =
        json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    same["model"]["unk_token"] = json!("!");
    assert_eq!(fingerprint(&same), first);

    let mut other_bytes = byte_level();
    other_bytes["added_tokens"][1]["content"] = json!("è ");
    let mut not_special = byte_level();
    not_special["added_tokens"][0]["special"] = json!(false);
    let mut other_id = byte_level();
    other_id["model"]["vocab"]["!"] = json!(b'"');
    other_id["model"]["vocab"]["\""] = json!(b'!');
    for other in [other_bytes, not_special, other_id, byte_fallback()] {
        assert_ne!(fingerprint(&other), first);
    }
}

/// Made by this code; changing it would orphan every existing corpus and label set.
#[test]
fn the_fingerprint_is_stable() {
    let golden = [
        (
            byte_level(),
            "blake3:c5d24193133945af481b27b688a275039977911640ecb1addfc57da765c83586",
        ),
        (
            byte_fallback(),
            "blake3:87ffc40c7b7e13763434296df4cf278403b5a20020e86b02275bed20f555be77",
        ),
    ];
    for (value, fingerprint) in golden {
        assert_eq!(open(&value).unwrap().fingerprint(), fingerprint);
    }
}

#[test]
fn truncation_and_padding_are_switched_off() {
    let mut value = byte_level();
    value["truncation"] =
        json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    value["padding"] = json!({"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null,
                              "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
    assert_eq!(open(&value).unwrap().encode("bcdefghij").unwrap().len(), 9);
}

#[test]
fn a_file_that_is_not_a_tokenizer_is_refused() {
    let refused = |value: &Value| open(value).err().unwrap();
    assert!(matches!(
        refused(&json!({"a": 1})),
        TokensError::NotATokenizer { .. }
    ));
    let mut gap = byte_level();
    gap["added_tokens"][1]["id"] = json!(300);
    assert!(
        refused(&gap)
            .to_string()
            .contains("`é ` has id 300 in the file, but would get 258")
    );
    let mut random = byte_level();
    random["model"]["dropout"] = json!(0.1);
    assert!(matches!(refused(&random), TokensError::Dropout { .. }));
    let missing = Tokenizer::open(Path::new("/nonexistent/tokenizer.json"))
        .err()
        .unwrap();
    assert_eq!(missing.kind(), Kind::Usage);
    assert!(missing.to_string().contains("/nonexistent/tokenizer.json"));
}

#[test]
fn auto_is_what_the_post_processor_adds_else_a_known_end_token() {
    let gpt2 = open(&byte_level()).unwrap();
    assert!(SpecialChoice::Auto.resolve_bos(&gpt2).unwrap().is_empty());
    assert_eq!(SpecialChoice::Auto.resolve_eod(&gpt2).unwrap(), [257]);

    let llama = open(&byte_fallback()).unwrap();
    assert_eq!(SpecialChoice::Auto.resolve_bos(&llama).unwrap(), [1]);
    assert_eq!(SpecialChoice::Auto.resolve_eod(&llama).unwrap(), [2]);

    let mut both = byte_fallback();
    let template = &mut both["post_processor"];
    template["single"] = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}]);
    let trailing = open(&both).unwrap();
    assert!(
        SpecialChoice::Auto
            .resolve_bos(&trailing)
            .unwrap()
            .is_empty()
    );
    assert_eq!(SpecialChoice::Auto.resolve_eod(&trailing).unwrap(), [1]);

    let mut twice = byte_fallback();
    let s = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    twice["post_processor"]["single"] = json!([s, s, {"Sequence": {"id": "A", "type_id": 0}}]);
    let both = open(&twice).unwrap();
    assert_eq!(SpecialChoice::Auto.resolve_bos(&both).unwrap(), [1, 1]);
}

#[test]
fn a_choice_is_a_word_an_id_or_a_token() {
    let parse = |typed: &str| typed.parse::<SpecialChoice>().unwrap();
    assert_eq!(parse("auto"), SpecialChoice::Auto);
    assert_eq!(parse("none"), SpecialChoice::None);
    assert_eq!(parse("12"), SpecialChoice::Id(12));
    assert_eq!(parse("<s>"), SpecialChoice::Token("<s>".to_owned()));
    assert!("".parse::<SpecialChoice>().is_err());
    for typed in ["auto", "none", "12", "<s>"] {
        assert_eq!(parse(typed).to_string(), typed);
    }

    let tokenizer = open(&byte_fallback()).unwrap();
    let resolve = |typed: &str| parse(typed).resolve_eod(&tokenizer);
    assert!(resolve("none").unwrap().is_empty());
    assert_eq!(resolve("<s>").unwrap(), [1]);
    assert_eq!(resolve("261").unwrap(), [261]);
    assert!(matches!(
        resolve("262"),
        Err(TokensError::IdPastVocab {
            id: 262,
            vocab_size: 262
        })
    ));
    assert!(matches!(
        resolve("<eot>"),
        Err(TokensError::UnknownToken { .. })
    ));
}

mod pieces;
mod templates;
