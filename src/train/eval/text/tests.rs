use super::*;
use crate::corpus::CorpusOptions;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A byte-level tokenizer without merges over printable ASCII: each character is a token; `<s>` is 0, `</s>` is
/// 1.
fn tokenizer() -> Tokenizer {
    let mut vocab = Map::new();
    vocab.insert("<s>".to_owned(), json!(0));
    vocab.insert("</s>".to_owned(), json!(1));
    for (idx, c) in ('!'..='~').chain(['Ġ']).enumerate() {
        vocab.insert(c.to_string(), json!(idx + 2));
    }
    let added: Vec<Value> = [(0, "<s>"), (1, "</s>")]
        .map(|(id, content)| {
            json!({ "id": id, "content": content, "special": true, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false })
        })
        .into();
    let file = json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                           "use_regex": true },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                     "use_regex": true },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    Tokenizer::from_bytes(file.to_string().as_bytes(), Path::new("tokenizer.json")).unwrap()
}

fn create(name: &str, content: &str, options: &TextOptions) -> Result<TextCorpus, EvalError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    let reading = CorpusOptions {
        group_field: options.group_by.clone(),
        ..CorpusOptions::default()
    };
    let documents = Documents::open(vec![path], reading).unwrap();
    TextCorpus::create(documents, &tokenizer(), options, |_| {
        ControlFlow::Continue(())
    })
}

fn lengths(corpus: &TextCorpus) -> Vec<u64> {
    let start = |doc| corpus.tokens.document_start(doc);
    (0..corpus.tokens.n_documents())
        .map(|doc| start(doc + 1) - start(doc))
        .collect()
}

#[test]
fn a_text_is_split_into_trimmed_documents_with_ids_around_each() {
    let options = TextOptions {
        bos: vec![0],
        eod: vec![1],
        split_on: Some("<|end|>".to_owned()),
        ..TextOptions::default()
    };
    let corpus = create("a.txt", "\n one \n<|end|>\n<|end|>two!<|end|>\n", &options).unwrap();
    assert_eq!(lengths(&corpus), [5, 6]);
    let mut ids = [0; 5];
    corpus.tokens.copy_tokens(0, &mut ids).unwrap();
    assert_eq!((ids[0], ids[4]), (0, 1));
    assert_eq!(corpus.text_bytes, [7]);
    assert_eq!(
        (corpus.predicted_bytes(true, false), corpus.groups),
        (vec![7], None)
    );
}

#[test]
fn without_an_id_in_front_first_tokens_are_not_predicted() {
    let options = TextOptions {
        split_on: Some("|".to_owned()),
        ..TextOptions::default()
    };
    let corpus = create("a.txt", "abc|de|f", &options).unwrap();
    assert_eq!(lengths(&corpus), [3, 2, 1]);
    assert_eq!(corpus.predicted_bytes(true, false), [3]);
    assert_eq!(corpus.predicted_bytes(false, false), [5]);
    assert_eq!(corpus.predicted_bytes(true, true), [6]);
}

#[test]
fn documents_are_grouped_by_what_stands_before_the_separator() {
    let lines = r#"{"text":"abcd","id":"tale/1"}
{"text":"ab","id":"poem/1"}
{"text":"abc","id":"tale/2"}
{"text":"a","id":null}
"#;
    let options = TextOptions {
        group_by: Some("id".to_owned()),
        group_until: Some("/".to_owned()),
        ..TextOptions::default()
    };
    let corpus = create("a.jsonl", lines, &options).unwrap();
    let bytes = corpus.predicted_bytes(true, false);
    let groups = corpus.groups.unwrap();
    assert_eq!(groups.names, ["tale", "poem", "(none)"]);
    assert_eq!(groups.of_document, [0, 1, 0, 2]);
    assert_eq!(corpus.text_bytes, [7, 2, 1]);
    assert_eq!(bytes, [5, 1, 0]);
}

#[test]
fn text_that_cannot_be_evaluated_is_refused() {
    let by = |field: &str| TextOptions {
        group_by: Some(field.to_owned()),
        ..TextOptions::default()
    };
    let error = create("a.jsonl", "{\"text\":\"abc\"}\n", &by("source"))
        .err()
        .unwrap();
    assert!(error.to_string().contains("`source`"), "{error}");
    let splitting = TextOptions {
        split_on: Some(String::new()),
        ..TextOptions::default()
    };
    let error = create("a.txt", "abc", &splitting).err().unwrap();
    assert!(matches!(error, EvalError::EmptySeparator));
    let error = create("a.txt", " \n", &TextOptions::default())
        .err()
        .unwrap();
    let is_empty = matches!(&error, EvalError::Tokens(TokensError::NoDocuments { .. }));
    assert!(is_empty, "{error}");
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    std::fs::write(&path, "abc").unwrap();
    let documents = Documents::open(vec![path], CorpusOptions::default()).unwrap();
    let mut n_calls = 0;
    let stopped = TextCorpus::create(documents, &tokenizer(), &TextOptions::default(), |_| {
        n_calls += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(EvalError::Interrupted)));
    assert_eq!(n_calls, 1);
}
