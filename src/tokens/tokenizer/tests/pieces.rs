//! Ids from pieces compared with those of the whole text, for every kind of tokenizer.

use super::*;
use proptest::prelude::*;

const SMALL: Sizes = Sizes {
    whole: 64,
    piece: 256,
    context: 64,
    max_context: 4096,
    max_whole: 0,
};

/// Merges of pairs of letters, and of those pairs, in an order that interleaves ranks.
fn merges(alphabet: &str) -> (Vec<String>, Vec<Value>) {
    let letters: Vec<String> = alphabet.chars().map(String::from).collect();
    let (mut tokens, mut merges) = (Vec::new(), Vec::new());
    for (i, a) in letters.iter().enumerate() {
        for (j, b) in letters.iter().enumerate() {
            if (i * 7 + j * 3) % 4 != 0 {
                tokens.push(format!("{a}{b}"));
                merges.push(json!([a, b]));
            }
        }
    }
    let pairs = tokens.clone();
    for (i, pair) in pairs.iter().enumerate() {
        let letter = &letters[(i * 5) % letters.len()];
        tokens.push(format!("{pair}{letter}"));
        merges.push(json!([pair, letter]));
    }
    // Ranks are positions in the list.
    merges.sort_by_key(|merge| {
        blake3::hash(merge.to_string().as_bytes())
            .to_hex()
            .to_string()
    });
    (tokens, merges)
}

fn with_merges(mut value: Value, alphabet: &str) -> Value {
    let (tokens, merges) = merges(alphabet);
    let vocab = value["model"]["vocab"].as_object_mut().unwrap();
    let largest = vocab.values().filter_map(Value::as_u64).max().unwrap();
    let mut next = largest.max(300) + 1;
    for token in alphabet.chars().map(String::from).chain(tokens) {
        vocab.entry(token).or_insert_with(|| {
            next += 1;
            json!(next)
        });
    }
    value["model"]["merges"] = json!(merges);
    value
}

/// Like GPT-2, with words.
fn words_of_bytes() -> Value {
    let mut value = with_merges(byte_level(), "abcdeĠ");
    value["added_tokens"] = json!([]);
    value
}

/// The same without words: merges over the whole text.
fn bytes_without_words() -> Value {
    let mut value = words_of_bytes();
    value["pre_tokenizer"]["use_regex"] = json!(false);
    value
}

/// Llama-3's groups of three digits, whose phase depends on where a run of digits begins.
fn digits_by_threes() -> Value {
    let mut value = words_of_bytes();
    value["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
         "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]});
    value
}

/// Like Llama-2: one word per text, a mark in front, bytes for unknown characters.
fn one_word_with_bytes() -> Value {
    with_merges(byte_fallback(), "abcde▁")
}

/// With a special token that may span a cut, and that strips the spaces around it.
fn with_added_tokens() -> Value {
    let mut value = one_word_with_bytes();
    let mut stripping = added(2, "</s>", true);
    stripping["lstrip"] = json!(true);
    stripping["rstrip"] = json!(true);
    value["added_tokens"] = json!([added(0, "<unk>", true), added(1, "<s>", true), stripping]);
    value
}

fn metaspace(prepend: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend, "split": split})
}

fn unigram() -> Value {
    let mut value = byte_fallback();
    let pieces = [
        "<unk>", "<s>", "</s>", "▁", "a", "b", "c", "d", "e", "ab", "▁ab", "cde", "ea", "bc", "▁c",
        "aa", "aaa",
    ];
    let scored: Vec<_> = pieces
        .iter()
        .enumerate()
        .map(|(i, piece)| json!([piece, -0.7 * i as f64]))
        .collect();
    value["normalizer"] = json!({"type": "NFKC"});
    value["pre_tokenizer"] = metaspace("always", true);
    value["model"] =
        json!({"type": "Unigram", "unk_id": 0, "vocab": scored, "byte_fallback": false});
    value
}

fn word_piece() -> Value {
    let mut value = byte_fallback();
    let pieces = [
        "<unk>", "<s>", "</s>", "a", "b", "c", "d", "e", "##a", "##b", "##c", "##de", "ab", "cde",
        "##ea", ".", "1",
    ];
    let vocab: BTreeMap<_, _> = pieces.iter().zip(0..).collect();
    value["normalizer"] = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                                 "strip_accents": null, "lowercase": true});
    value["pre_tokenizer"] = json!({"type": "BertPreTokenizer"});
    value["model"] = json!({"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
                            "max_input_chars_per_word": 100, "vocab": vocab});
    value
}

fn word_level() -> Value {
    let mut value = byte_fallback();
    let words = [
        "<unk>", "<s>", "</s>", "a", "ab", "abc", "b", "cde", "e", "12",
    ];
    let vocab: BTreeMap<_, _> = words.iter().zip(0..).collect();
    value["normalizer"] = json!({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]});
    value["pre_tokenizer"] = json!({"type": "Whitespace"});
    value["model"] = json!({"type": "WordLevel", "unk_token": "<unk>", "vocab": vocab});
    value
}

/// BPE that drops unknown characters.
fn letters_only() -> Value {
    let mut value = one_word_with_bytes();
    value["normalizer"] = json!(null);
    value["pre_tokenizer"] = json!({"type": "WhitespaceSplit"});
    value["model"]["byte_fallback"] = json!(false);
    value["model"]["unk_token"] = json!(null);
    value
}

fn all_kinds() -> Vec<(&'static str, Value)> {
    let mut first = one_word_with_bytes();
    first["normalizer"] = json!(null);
    first["pre_tokenizer"] = metaspace("first", false);
    let mut prefixed = words_of_bytes();
    prefixed["pre_tokenizer"]["add_prefix_space"] = json!(true);
    prefixed["normalizer"] = json!({"type": "NFC"});
    vec![
        ("byte-level BPE", words_of_bytes()),
        ("byte-level BPE with a space in front", prefixed),
        ("byte-level BPE without words", bytes_without_words()),
        ("byte-level BPE with digits by threes", digits_by_threes()),
        ("byte-fallback BPE over one word", one_word_with_bytes()),
        ("byte-fallback BPE with Metaspace", first),
        ("BPE with added tokens", with_added_tokens()),
        ("Unigram", unigram()),
        ("WordPiece", word_piece()),
        ("WordLevel", word_level()),
        ("BPE without an unknown token", letters_only()),
    ]
}

fn by_pieces(tokenizer: &Tokenizer, text: &str, sizes: Sizes) -> Result<Vec<u32>, TokensError> {
    let mut ids = Vec::new();
    let sink = |piece: &[u32]| {
        ids.extend_from_slice(piece);
        Ok(())
    };
    tokenizer.encode_sized(text, sizes, sink)?;
    Ok(ids)
}

/// Whether the text was refused; if it was joined, checks that the ids are those of the whole text.
fn check(name: &str, tokenizer: &Tokenizer, text: &str) -> bool {
    match by_pieces(tokenizer, text, SMALL) {
        Ok(ids) => {
            let whole = tokenizer.encode_whole(text).unwrap();
            assert!(ids == whole, "{name}: {text:?}");
            false
        }
        Err(error) => {
            assert!(
                matches!(error, TokensError::NoPieces { .. }),
                "{name}: {error}"
            );
            true
        }
    }
}

/// Text with all that makes cuts hard: runs of one letter, digits, spaces and marks, special tokens, multi-byte
/// characters, both kinds of line end.
fn hard_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-e]{1,9}",
        4 => Just(" ".to_owned()),
        1 => "[a-b]{50,150}",
        1 => "[0-9]{1,80}",
        1 => " {1,60}",
        1 => Just("\r\n\r\n".to_owned()),
        1 => "\n{1,5}",
        1 => Just("</s>".to_owned()),
        1 => Just("  <s> ".to_owned()),
        1 => "[é😀日本ﬁÅ]{1,20}",
        1 => Just("e\u{301}\u{323}".to_owned()),
        1 => "[.,!'\"]{1,4}",
        1 => Just("▁".to_owned()),
    ];
    prop::collection::vec(part, 100..500).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_ids_by_pieces_are_those_of_the_whole(text in hard_text()) {
        for (name, value) in all_kinds() {
            check(name, &open(&value).unwrap(), &text);
        }
    }
}

#[test]
fn ordinary_text_is_never_refused() {
    let text: String = (0..3000)
        .map(|i| format!("ab cde {} e{}.\n", i % 7, "abc".repeat(i % 3)))
        .collect();
    for (name, value) in all_kinds() {
        assert!(!check(name, &open(&value).unwrap(), &text), "{name}");
    }
}

#[test]
fn periodic_text_without_an_end_of_word_is_joined_exactly_or_refused() {
    for (name, value) in all_kinds() {
        let tokenizer = open(&value).unwrap();
        for unit in [
            "a", "ab", "abc", "12345", " ", "\n", "</s>", "😀", "<s", "e\u{301}",
        ] {
            check(name, &tokenizer, &unit.repeat(6000 / unit.len()));
        }
    }
}

#[test]
fn merges_over_one_endless_word_are_joined_inside_it() {
    let text: String = (0..20_000u32)
        .map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 28) as u8 % 5))
        .collect();
    for value in [bytes_without_words(), one_word_with_bytes()] {
        let tokenizer = open(&value).unwrap();
        assert_eq!(tokenizer.join_points, JoinPoints::Tokens);
        assert!(!check("one word", &tokenizer, &text));
    }
}

#[test]
fn one_endless_word_of_a_model_by_words_is_encoded_whole_up_to_a_limit_and_then_refused() {
    let tokenizer = open(&word_level()).unwrap();
    let text = "q".repeat(20_000);
    let error = by_pieces(&tokenizer, &text, SMALL).unwrap_err();
    assert!(error.to_string().contains("split the document"), "{error}");
    let larger = Sizes {
        max_whole: 20_000,
        ..SMALL
    };
    let ids = by_pieces(&tokenizer, &text, larger).unwrap();
    assert_eq!(ids, tokenizer.encode_whole(&text).unwrap());
}

#[test]
fn a_text_of_megabytes_has_the_ids_of_the_whole_with_the_sizes_in_use() {
    let text: String = (0..60_000u64)
        .map(|i| format!("ab{} cde\n", i * i))
        .collect();
    for value in [words_of_bytes(), one_word_with_bytes(), unigram()] {
        let tokenizer = open(&value).unwrap();
        assert!(text.len() > 4 * WHOLE_BYTES);
        let whole = tokenizer.encode_whole(&text).unwrap();
        assert!(tokenizer.encode(&text).unwrap() == whole);
    }
}
