//! Ids around documents, compared with what the library itself adds around a text.

use super::*;

/// A model of four letters without an unknown token, such as the DNA alphabet.
fn letters(post_processor: &Value) -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [added(0, "<s>", true), added(1, "</s>", true)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false},
        "post_processor": post_processor,
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": {"<s>": 0, "</s>": 1, "A": 2, "C": 3, "G": 4, "T": 5}, "merges": []},
    })
}

fn template(single: &[&str]) -> Value {
    let piece = |name: &&str| match *name {
        "A" => json!({"Sequence": {"id": "A", "type_id": 0}}),
        name => json!({"SpecialToken": {"id": name, "type_id": 0}}),
    };
    json!({"type": "TemplateProcessing", "single": single.iter().map(piece).collect::<Vec<_>>(),
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
           "special_tokens": {
               "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
               "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]},
               "two": {"id": "two", "ids": [5, 4], "tokens": ["T", "G"]}}})
}

fn byte_level_processor() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
}

/// Front, text and after, from the library's own `encode` with special tokens.
fn as_the_library_has_them(value: &Value) -> Vec<u32> {
    let inner = tokenizers::Tokenizer::from_bytes(value.to_string().as_bytes()).unwrap();
    inner.encode("ACGT", true).unwrap().get_ids().to_vec()
}

#[test]
fn auto_puts_around_a_document_what_the_library_does() {
    let sequence = |processors: &[Value]| json!({"type": "Sequence", "processors": processors});
    let roberta = json!({"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0],
                         "trim_offsets": true, "add_prefix_space": false});
    let bert = json!({"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]});
    let processors = [
        json!(null),
        byte_level_processor(),
        template(&["<s>", "A"]),
        template(&["<s>", "A", "</s>"]),
        template(&["A", "</s>", "two"]),
        template(&["<s>", "two", "<s>", "A", "two", "</s>"]),
        bert.clone(),
        roberta,
        sequence(&[byte_level_processor(), template(&["<s>", "A"])]),
        sequence(&[
            sequence(&[template(&["<s>", "A", "two"])]),
            byte_level_processor(),
        ]),
        sequence(&[byte_level_processor(), bert]),
    ];
    for processor in &processors {
        let value = letters(processor);
        let tokenizer = open(&value).unwrap();
        let front = SpecialChoice::Auto.resolve_bos(&tokenizer).unwrap();
        let after = tokenizer.around().after.clone();
        let ids = [front, tokenizer.encode("ACGT").unwrap(), after].concat();
        assert_eq!(ids, as_the_library_has_them(&value), "{processor}");
    }
}

#[test]
fn text_without_a_letter_that_the_model_knows_changes_nothing_around_it() {
    let tokenizer = open(&letters(&template(&["<s>", "A", "</s>"]))).unwrap();
    assert_eq!(SpecialChoice::Auto.resolve_bos(&tokenizer).unwrap(), [0]);
    assert_eq!(SpecialChoice::Auto.resolve_eod(&tokenizer).unwrap(), [1]);
    assert_eq!(tokenizer.encode("GATTACA").unwrap(), [4, 2, 5, 5, 2, 3, 2]);
}

#[test]
fn word_level_and_unigram_models_without_an_unknown_token_have_their_template() {
    let mut word_level = letters(&template(&["<s>", "A", "</s>"]));
    word_level["model"] = json!({"type": "WordLevel", "unk_token": "<unk>",
        "vocab": {"<s>": 0, "</s>": 1, "A": 2, "C": 3, "G": 4, "T": 5}});
    let mut unigram = word_level.clone();
    let pieces: Vec<_> = ["<s>", "</s>", "A", "C", "G", "T"]
        .map(|piece| json!([piece, -1.0]))
        .into();
    unigram["model"] =
        json!({"type": "Unigram", "unk_id": null, "vocab": pieces, "byte_fallback": false});
    for value in [word_level, unigram] {
        let tokenizer = open(&value).unwrap();
        assert_eq!(SpecialChoice::Auto.resolve_bos(&tokenizer).unwrap(), [0]);
        assert_eq!(SpecialChoice::Auto.resolve_eod(&tokenizer).unwrap(), [1]);
        assert_eq!(tokenizer.encode("ACGT").unwrap(), [2, 3, 4, 5]);
    }
}

#[test]
fn an_end_token_that_is_in_the_vocabulary_alone_ends_documents() {
    let mut value = letters(&json!(null));
    value["added_tokens"] = json!([]);
    let tokenizer = open(&value).unwrap();
    assert_eq!(SpecialChoice::Auto.resolve_eod(&tokenizer).unwrap(), [1]);
    value["model"]["vocab"] = json!({"A": 0, "C": 1});
    let without = open(&value).unwrap();
    assert!(
        SpecialChoice::Auto
            .resolve_eod(&without)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn templates_that_name_what_is_not_there_are_refused() {
    let refused = |processor: Value| open(&letters(&processor)).err().unwrap().to_string();
    assert!(refused(template(&["<none>", "A"])).contains("`<none>`"));
    assert!(refused(template(&["<s>"])).contains("contains the text 0 times"));
    assert!(refused(template(&["A", "A"])).contains("contains the text 2 times"));
    let mut past = template(&["<s>", "A"]);
    past["special_tokens"]["<s>"]["ids"] = json!([99]);
    assert!(refused(past).contains("id 99, outside its vocabulary of 6"));
}

#[test]
fn a_file_or_text_that_the_library_panics_over_is_an_error() {
    let mut value = byte_level();
    value["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": "(?:a|aa)+$"},
                                    "behavior": "Isolated", "invert": false});
    let tokenizer = open(&value).unwrap();
    let error = tokenizer
        .encode(&format!("{}!", "a".repeat(100)))
        .unwrap_err();
    assert!(matches!(error, TokensError::Encode { .. }), "{error}");
    assert!(
        error.to_string().contains("library that reads it failed"),
        "{error}"
    );
    assert!(tokenizer.encode("c").is_ok());

    let mut zero = byte_level();
    zero["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0});
    if let Ok(tokenizer) = open(&zero) {
        assert!(tokenizer.encode("text").is_err());
    }
    let mut broken = byte_level().to_string();
    broken = broken.replace("\"decoder\":{", "\"decoder\":{,");
    let error = Tokenizer::from_bytes(broken.as_bytes(), Path::new("t.json"))
        .err()
        .unwrap();
    assert!(matches!(error, TokensError::NotATokenizer { .. }));
}

/// Changes each byte of a file of each kind in three ways.
#[test]
fn a_changed_byte_anywhere_in_a_tokenizer_is_refused_or_read_and_never_a_panic() {
    let mut n_flips = 0;
    for value in [byte_fallback(), letters(&template(&["<s>", "A", "</s>"]))] {
        let bytes = value.to_string().into_bytes();
        for at in (0..bytes.len()).step_by(7) {
            for mask in [0x01, 0x04, 0x40] {
                let mut flipped = bytes.clone();
                flipped[at] ^= mask;
                n_flips += 1;
                if let Ok(tokenizer) = Tokenizer::from_bytes(&flipped, Path::new("t.json")) {
                    let ids = tokenizer.encode("ACGT a \u{1f600}").unwrap_or_default();
                    tokenizer.decode(&ids);
                }
            }
        }
    }
    assert!(n_flips > 1000, "{n_flips}");
}
