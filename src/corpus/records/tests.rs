use super::*;
use crate::corpus::{Documents, Position};
use crate::error::{Classified, Kind};
use proptest::prelude::*;
use std::fs;

fn file(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn open(path: &Path) -> RawFile {
    let options = CorpusOptions::default();
    RawFile::open(path, &options, &Arc::default(), &Interrupt::new()).unwrap()
}

/// Number, all bytes, and whether it is blank.
type Seen = (u64, Vec<u8>, bool);

fn lines_of(path: &Path) -> Vec<Seen> {
    let mut file = open(path);
    let RawContents::Lines(lines) = &mut file.contents else {
        panic!("no lines");
    };
    let mut seen = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        let bytes = [line.mark, line.bytes].concat();
        seen.push((line.number, bytes, line.is_blank()));
    }
    let now = file.input_file().unwrap();
    assert_eq!(
        now.blake3,
        blake3::hash(&fs::read(path).unwrap()).to_hex().as_str()
    );
    seen
}

/// The line with members added, as the only one of its file.
fn added(line: &str, members: &[(&str, &str)]) -> Result<String, CorpusError> {
    let (_dir, path) = file(line.as_bytes());
    let mut file = open(&path);
    let RawContents::Lines(lines) = &mut file.contents else {
        panic!("no lines");
    };
    let mut out = Vec::new();
    let line = lines.next_line().unwrap().unwrap();
    line.with_members(members, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_member_is_put_before_the_last_brace_and_nothing_else_changes() {
    let member: &[(&str, &str)] = &[("k", "1.5")];
    for (line, expected) in [
        ("{\"a\":1}\n", "{\"a\":1,\"k\":1.5}\n"),
        (
            "{\"a\" : \"}\" } \t\r\n",
            "{\"a\" : \"}\" ,\"k\":1.5} \t\r\n",
        ),
        ("  {\"a\":{\"k\":2}}", "  {\"a\":{\"k\":2},\"k\":1.5}"),
        (
            "{\"a\":\"\\ud83d\\ude00\\u00e9\"}\n",
            "{\"a\":\"\\ud83d\\ude00\\u00e9\",\"k\":1.5}\n",
        ),
        ("{\"a\":\"{\"}\n", "{\"a\":\"{\",\"k\":1.5}\n"),
        ("\u{feff}{\"a\":NaN}\n", "\u{feff}{\"a\":NaN,\"k\":1.5}\n"),
        ("{\"\" : 1} \n{}", "{\"\" : 1,\"k\":1.5} \n"),
    ] {
        assert_eq!(added(line, member).unwrap(), expected);
    }
    let two = [("s", "{\"x\":null}"), ("a \"b\"\n", "0")];
    let expected = "{\"a\":1,\"s\":{\"x\":null},\"a \\\"b\\\"\\n\":0}";
    assert_eq!(added("{\"a\":1}", &two).unwrap(), expected);
    assert_eq!(
        added("{\"\"\n:1}", member).unwrap_err().kind(),
        Kind::BadData
    );
}

#[test]
fn the_first_member_of_an_empty_object_has_no_comma() {
    assert_eq!(
        added("{}", &[("k", "1"), ("l", "2")]).unwrap(),
        "{\"k\":1,\"l\":2}"
    );
    assert_eq!(added("{ }\n", &[("k", "1")]).unwrap(), "{ \"k\":1}\n");
}

#[test]
fn an_existing_key_is_refused_however_it_is_escaped() {
    for line in ["{\"a\":1,\"k\":2}", "{\"\\u006b\":null}"] {
        let error = added(line, &[("k", "1")]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        let message = error.to_string();
        assert!(
            message.contains("in.jsonl:1") && message.contains("`k`"),
            "{message}"
        );
    }
    let error = added("{\"a\":[1}", &[("k", "1")]).unwrap_err();
    assert_eq!(error.kind(), Kind::BadData);
}

/// Lines of all kinds: documents, empty ones, blank lines, and invalid ones.
fn line() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[ -!#-\\[\\]-~é☃]{0,12}",
        Just("\\ud83d\\ude00 \\u00e9\\n".to_owned()),
        Just("\\\\\\\" }{".to_owned()),
    ];
    prop_oneof![
        4 => (text, "[ \\t]{0,2}").prop_map(|(text, space)| format!("{space}{{\"text\":{space}\"{text}\"{space}}}{space}")),
        1 => Just("{\"text\":\"\"}".to_owned()),
        1 => "[ \\t]{0,3}",
        1 => Just("{\"other\":[1,{\"text\":2}]}".to_owned()),
        1 => Just("no json".to_owned()),
    ]
}

fn whole_file() -> impl Strategy<Value = String> {
    let ends = prop::sample::select(vec!["\n", "\r\n"]);
    let lines = prop::collection::vec((line(), ends), 0..20);
    (any::<bool>(), lines, any::<bool>()).prop_map(|(has_mark, lines, is_closed)| {
        let mut text = if has_mark { "\u{feff}" } else { "" }.to_owned();
        for (line, end) in lines {
            text += &line;
            text += end;
        }
        if !is_closed {
            text += "{\"text\":\"last\"}";
        }
        text
    })
}

proptest! {
    /// The slow reference for line numbers is reading the documents.
    #[test]
    fn lines_are_the_file_and_are_numbered_as_documents_are(text in whole_file()) {
        let (_dir, path) = file(text.as_bytes());
        let seen = lines_of(&path);
        let joined: Vec<u8> = seen.iter().flat_map(|(_, bytes, _)| bytes.clone()).collect();
        prop_assert_eq!(joined, text.as_bytes());
        let options = CorpusOptions { skip_bad_lines: true, ..CorpusOptions::default() };
        let documents = Documents::open(vec![path], options).unwrap();
        for document in documents {
            let document = document.unwrap();
            let Position::Line(number) = document.location.position else {
                panic!("no line");
            };
            let (found, bytes, is_blank) = &seen[number as usize - 1];
            prop_assert_eq!(*found, number);
            prop_assert!(!is_blank);
            let bytes = bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes);
            let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            prop_assert_eq!(value["text"].as_str().unwrap(), document.text);
        }
    }

    /// A line with a member added keeps all it had, and reads as the same object with one more key.
    #[test]
    fn a_member_leaves_every_other_byte(text in "[ -!#-\\[\\]-~é☃]{0,20}", value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let line = format!("{{\"text\":\"{text}\"}}\r\n");
        let number = serde_json::Value::from(value).to_string();
        let longer = added(&line, &[("k", &number)]).unwrap();
        let inserted = format!(",\"k\":{number}");
        prop_assert_eq!(longer.replacen(&inserted, "", 1), line);
        let read: serde_json::Value = serde_json::from_str(&longer).unwrap();
        prop_assert_eq!(&read["text"], &serde_json::Value::from(text));
        prop_assert_eq!(read["k"].as_f64().unwrap(), value);
    }
}
