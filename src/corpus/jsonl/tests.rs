use super::*;
use crate::error::Classified;
use proptest::prelude::*;

fn read_with(bytes: &[u8], options: &CorpusOptions) -> (Result<Vec<String>, CorpusError>, Tally) {
    let mut reader = JsonlReader::new(bytes, Path::new("in.jsonl"), options.clone());
    let (mut texts, mut tally) = (Vec::new(), Tally::default());
    loop {
        match reader.next_document(&mut tally) {
            Ok(Some(document)) => texts.push(document.text),
            Ok(None) => return (Ok(texts), tally),
            Err(error) => return (Err(error), tally),
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<String>, CorpusError> {
    read_with(bytes, &CorpusOptions::default()).0
}

fn skipping() -> CorpusOptions {
    CorpusOptions {
        skip_bad_lines: true,
        ..CorpusOptions::default()
    }
}

#[test]
fn only_the_text_field_is_kept_and_escapes_are_resolved() {
    let lines =
        br#"{"id": 7, "text": "a\nb \u00e9\ud83d\ude00", "more": {"text": [1, {"x": null}]}}
{"text":"plain"}
"#;
    assert_eq!(read(lines).unwrap(), ["a\nb é😀", "plain"]);
}

#[test]
fn the_last_line_may_lack_its_end_and_blank_lines_and_crlf_are_fine() {
    assert_eq!(
        read(b"{\"text\":\"a\"}\r\n\r\n  \n{\"text\":\"b\"}").unwrap(),
        ["a", "b"]
    );
}

#[test]
fn a_byte_order_mark_is_dropped() {
    assert_eq!(read(b"\xef\xbb\xbf{\"text\":\"a\"}").unwrap(), ["a"]);
}

#[test]
fn empty_documents_are_counted_and_left_out() {
    let lines = b"{\"text\":\"\"}\n{\"text\":\" \\n\"}\n{\"text\":\"a\"}\n";
    let (texts, tally) = read_with(lines, &CorpusOptions::default());
    assert_eq!(texts.unwrap(), ["a"]);
    assert_eq!(
        tally,
        Tally {
            n_bad_lines: 0,
            n_empty_documents: 2,
            n_empty_files: 0,
        }
    );
}

#[test]
fn broken_json_in_line_12345_is_named_with_its_remedy() {
    let mut lines = "{\"text\":\"a\"}\n".repeat(12_344).into_bytes();
    lines.extend(b"{\"text\":\"a\",}\n{\"text\":\"b\"}\n");
    let error = read(&lines).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("in.jsonl:12345: invalid JSON at column 13"),
        "{message}"
    );
    assert!(
        message.contains("--skip-bad-lines") && !message.contains("line 1 "),
        "{message}"
    );
    assert_eq!(error.kind(), crate::error::Kind::BadData);

    let (texts, tally) = read_with(&lines, &skipping());
    assert_eq!(texts.unwrap().len(), 12_345);
    assert_eq!(tally.n_bad_lines, 1);
}

#[test]
fn each_bad_line_has_its_own_error() {
    let message = |line: &[u8]| read(line).unwrap_err().to_string();
    assert!(message(b"{\"txt\":\"a\"}").contains("no field `text` (it has `txt`)"));
    assert!(message(b"{}").contains("no field `text` (the object is empty)"));
    let many = message(
        b"{\"a\":1,\"b\":{\"text\":[2]},\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1}",
    );
    assert!(
        many.contains("`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`, ..."),
        "{many}"
    );
    assert!(
        message(b"{\"text\":\"a\"}\n\xef\xbb\xbf{\"text\":\"a\"}").contains("a byte order mark")
    );
    assert!(message(b"{\"text\":\"a\"}\n\0\0").contains("a zero byte"));
    assert!(message(b"{\"text\":3}").contains("`text` is a number, expected a string"));
    assert!(message(b"{\"text\":-3}").contains("is a number"));
    assert!(message(b"{\"text\":null}").contains("is null"));
    assert!(message(b"{\"text\":[\"a\"]}").contains("is an array"));
    assert!(message(b"{\"text\":{\"a\":1}}").contains("is an object"));
    assert!(message(b"{\"text\":true}").contains("is a boolean"));
    assert!(
        message(b"[{\"text\":\"a\"}]").contains("expected one JSON object per line, got an array")
    );
    assert!(message(b"\"a\"").contains("got a string"));
    assert!(message(b"{\"text\":\"a\"").contains("JSON object over several lines"));
    assert!(message(b"{\"text\":\"a\"}\n{\"text\":\"a\"").contains("invalid JSON"));
    assert!(message(b"{\"text\":\"a\"} x").contains("invalid JSON"));
    assert!(message(b"{\"text\":\"\\ud800\"}").contains("half of a surrogate pair"));
}

#[test]
fn invalid_utf8_is_named_with_line_and_byte() {
    let error = read(b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n").unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("in.jsonl:2: invalid UTF-8 at byte 22 "),
        "{message}"
    );
    let with_mark = read(b"\xef\xbb\xbf{\"text\":\"\xff\"}")
        .unwrap_err()
        .to_string();
    assert!(
        with_mark.starts_with("in.jsonl:1: invalid UTF-8 at byte 12 "),
        "{with_mark}"
    );
}

#[test]
fn another_field_can_be_chosen_and_the_last_of_a_repeated_one_counts() {
    let options = CorpusOptions {
        text_field: "content".into(),
        ..CorpusOptions::default()
    };
    let (texts, _) = read_with(
        b"{\"content\":\"a\",\"text\":1,\"content\":\"b\"}",
        &options,
    );
    assert_eq!(texts.unwrap(), ["b"]);
}

#[test]
fn what_python_reads_in_other_fields_is_read() {
    let fields = [
        "NaN",
        "Infinity",
        "-Infinity",
        "[NaN, -Infinity]",
        "1e999",
        "-0",
        "123456789012345678901234567890",
        "\"\\ud800\"",
        "{\"\\udfff\": 1, \"a\": [{}, [], [[]], {\"b\": {}}]}",
        "\"\\u0000\"",
    ];
    for field in fields {
        let line = format!("{{\"x\": {field}, \"text\": \"a\", \"y\": {field}}}");
        assert_eq!(read(line.as_bytes()).unwrap(), ["a"], "{line}");
    }
    for field in [
        "nan", "+1", "01", "1.", ".5", "Infinit", "'a'", "\"\t\"", "{1:2}", "[1,]",
    ] {
        let line = format!("{{\"text\":\"a\"}}\n{{\"x\": {field}, \"text\": \"a\"}}");
        let error = read(line.as_bytes()).unwrap_err();
        assert!(
            matches!(error, CorpusError::BrokenJson { .. }),
            "{line}: {error}"
        );
    }
}

#[test]
fn a_lone_surrogate_is_reported_and_can_be_skipped() {
    let lines = b"{\"text\":\"a\"}\n{\"text\":\"b \\udc00 c\"}\n{\"text\":\"\\ud83d\\ude00\"}\n";
    let message = read(lines).unwrap_err().to_string();
    assert!(
        message.starts_with("in.jsonl:2: field `text` has half"),
        "{message}"
    );
    assert!(message.contains("column 12"), "{message}");
    let (texts, tally) = read_with(lines, &skipping());
    assert_eq!(
        (texts.unwrap(), tally.n_bad_lines),
        (vec!["a".to_owned(), "\u{1f600}".to_owned()], 1)
    );
}

#[test]
fn a_value_over_many_lines_is_reported_even_where_bad_lines_are_skipped() {
    let array = b"[\n {\n  \"text\": \"one\"\n }\n]\n".as_slice();
    let object = b"{\n  \"text\": \"one\"\n}\n".as_slice();
    for (bytes, word) in [(array, "jq -c '.[]'"), (object, "jq -c .")] {
        for options in [CorpusOptions::default(), skipping()] {
            let message = read_with(bytes, &options).0.unwrap_err().to_string();
            assert!(
                message.contains("several lines") && message.contains(word),
                "{message}"
            );
        }
    }
}

#[test]
fn a_line_of_megabytes_is_read_as_a_short_one() {
    let text = "a\\n\\u00e9 ".repeat(400_000);
    let line = format!("{{\"id\":1,\"text\":\"{text}\",\"z\":2}}\n{{\"text\":\"b\"}}\n");
    let texts = read(line.as_bytes()).unwrap();
    assert_eq!(texts[0], "a\né ".repeat(400_000));
    assert_eq!(texts[1], "b");
}

#[test]
fn endless_nesting_is_an_error_and_not_a_stack_overflow() {
    let deep = [b"{\"text\":\"a\",\"x\":".as_slice(), &vec![b'['; 1 << 20]].concat();
    assert!(read(&deep).is_err());
    let in_text = [b"{\"text\":".as_slice(), &vec![b'['; 1 << 20]].concat();
    assert!(read(&in_text).is_err());
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_back(texts in prop::collection::vec(".*", 0..20)) {
        let mut lines = String::new();
        for text in &texts {
            lines += &format!("{}\n", serde_json::json!({"n": [1, 2], "text": text}));
        }
        let kept: Vec<_> = texts.into_iter().filter(|text| !text.trim().is_empty()).collect();
        prop_assert_eq!(read(lines.as_bytes()).unwrap(), kept);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_skipping_fails_on_one_value_over_many_lines_alone(
        bytes in prop::collection::vec(any::<u8>(), 0..400)
    ) {
        let _ = read(&bytes);
        let skipped = read_with(&bytes, &skipping()).0;
        let is_fine = matches!(skipped, Ok(_) | Err(CorpusError::ManyLines { .. }));
        prop_assert!(is_fine);
    }

    #[test]
    fn a_line_is_taken_or_refused_as_serde_json_does_where_both_read_the_same_json(
        line in "[\\[\\]{}:,\"tex01e.+\\- \\\\un]{0,24}"
    ) {
        let ours = json::parse_line(line.as_bytes(), &["text"]).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&line);
        // We accept numbers beyond f64 and lone surrogates, as Python does.
        let differs = theirs.as_ref().is_err_and(|error| {
            let message = error.to_string();
            ["out of range", "surrogate", "hex escape"].iter().any(|word| message.contains(word))
        });
        prop_assert!(ours == theirs.is_ok() || differs, "{line}");
    }
}

#[test]
fn another_field_is_kept_as_text_where_it_is_one_value() {
    let lines = br#"{"id":"a/1","text":"x"}
{"text":"x","id":7}
{"text":"x","id":true}
{"text":"x","id":null}
{"text":"x","id":["a"]}
{"text":"x"}
"#;
    let options = CorpusOptions {
        group_field: Some("id".to_owned()),
        ..CorpusOptions::default()
    };
    let mut reader = JsonlReader::new(&lines[..], Path::new("in.jsonl"), options);
    let mut groups = Vec::new();
    while let Some(document) = reader.next_document(&mut Tally::default()).unwrap() {
        groups.push(document.group);
    }
    let kept = ["a/1", "7", "true"].map(|group| Some(group.to_owned()));
    assert_eq!(groups[..3], kept);
    assert_eq!(groups[3..], [const { None }; 3]);
}
