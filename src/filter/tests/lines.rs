use super::support::{Setup, compressed, decompressed, score_of};
use crate::corpus::Compression;
use crate::filter::{FilterOptions, Skipped};
use proptest::prelude::*;
use serde_json::Value;

const ALL: [(Compression, &str); 6] = [
    (Compression::None, "a.jsonl"),
    (Compression::Gzip, "a.jsonl.gz"),
    (Compression::Zstd, "a.jsonl.zst"),
    (Compression::Xz, "a.jsonl.xz"),
    (Compression::Bzip2, "a.jsonl.bz2"),
    (Compression::Lz4, "a.jsonl.lz4"),
];

/// One line of a file, with its end, and whether it is a document.
#[derive(Debug, Clone)]
struct Line {
    text: String,
    is_document: bool,
}

fn line() -> impl Strategy<Value = Line> {
    let document = |text: String| Line {
        text,
        is_document: true,
    };
    let other = |text: &str| Line {
        text: text.to_owned(),
        is_document: false,
    };
    let text = prop_oneof![
        "[a-zé☃ ]{0,9}x",
        Just("\\ud83d\\ude00\\u00e9\\n}".to_owned())
    ];
    let spelled = (text, "[ \\t]{0,2}", 0..1000u32).prop_map(move |(text, space, n)| {
        document(format!(
            "{space}{{\"n\":{n}.50,{space}\"text\":\"{text}\",\"more\":[{{}},{space}1e400]{space}}}{space}"
        ))
    });
    let ends = prop::sample::select(vec!["\n", "\r\n"]);
    let line = prop_oneof![
        5 => spelled,
        1 => Just(other("")),
        1 => Just(other(" \t")),
        1 => Just(other("{\"text\":\" \"}")),
        1 => Just(other("{\"txt\":1}")),
        1 => Just(other("no json")),
    ];
    (line, ends).prop_map(|(line, end)| Line {
        text: line.text + end,
        ..line
    })
}

/// Lines, at least one of them a document, some files with a byte order mark or without a line end.
fn whole_file() -> impl Strategy<Value = Vec<Line>> {
    let last = Line {
        text: "{\"text\":\"the last\",\"id\":\"\\/\"}".to_owned(),
        is_document: true,
    };
    let lines = prop::collection::vec(line(), 0..12);
    (any::<bool>(), lines, any::<bool>()).prop_map(move |(has_mark, mut lines, is_open)| {
        let mut last = last.clone();
        last.text += if is_open { "" } else { "\n" };
        lines.push(last);
        if has_mark {
            lines[0].text.insert(0, '\u{feff}');
        }
        lines
    })
}

fn joined<'a>(lines: impl IntoIterator<Item = &'a Line>) -> String {
    lines.into_iter().map(|line| line.text.as_str()).collect()
}

/// The lines, each with its document's number if it is one.
fn numbered(lines: &[Line]) -> Vec<(&Line, Option<u64>)> {
    let mut n = 0;
    let number = |line: &Line| {
        n += u64::from(line.is_document);
        line.is_document.then(|| n - 1)
    };
    let numbers: Vec<Option<u64>> = lines.iter().map(number).collect();
    lines.iter().zip(numbers).collect()
}

fn is_kept(mask: u64, doc_index: u64) -> bool {
    mask >> (doc_index % 64) & 1 == 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn kept_lines_are_the_inputs_byte_for_byte(
        lines in whole_file(),
        mask in any::<u64>(),
        keeps_skipped in any::<bool>(),
        which in 0..ALL.len(),
    ) {
        let (compression, name) = ALL[which];
        let whole = joined(&lines);
        let setup = Setup::new(&[(name, compressed(whole.as_bytes(), compression))]);
        setup.select(|doc_index| is_kept(mask, doc_index));
        let skipped = if keeps_skipped { Skipped::Keep } else { Skipped::Drop };
        let summary = setup.filter(FilterOptions { skipped, ..FilterOptions::default() }).unwrap();

        let numbered = numbered(&lines);
        let wanted = numbered.iter().filter(|(_, number)| match number {
            Some(number) => is_kept(mask, *number),
            None => keeps_skipped,
        });
        let expected = joined(wanted.map(|(line, _)| *line));
        let got = decompressed(&setup.path("out").join(name));
        prop_assert_eq!(String::from_utf8(got).unwrap(), expected);
        let n_documents = numbered.iter().filter(|(_, number)| number.is_some()).count() as u64;
        let n_kept = (0..n_documents).filter(|n| is_kept(mask, *n)).count() as u64;
        let counts = summary.counts;
        prop_assert_eq!((counts.n_documents, counts.n_kept, counts.n_written), (n_documents, n_kept, n_kept));
        let is_blank = |line: &Line| line.text.trim_matches('\u{feff}').trim().is_empty();
        let skipped = numbered.iter().filter(|(line, number)| number.is_none() && !is_blank(line));
        prop_assert_eq!(counts.n_skipped, skipped.count() as u64);
    }

    #[test]
    fn weights_and_scores_are_all_that_is_added(lines in whole_file(), mask in any::<u64>()) {
        let setup = Setup::new(&[("a.jsonl", joined(&lines).into_bytes())]);
        setup.select(|doc_index| is_kept(mask, doc_index));
        let options = FilterOptions {
            scores_key: Some("s".to_owned()),
            weights_key: Some("weight".to_owned()),
            ..FilterOptions::default()
        };
        setup.filter(options).unwrap();
        let got = String::from_utf8(setup.output("a.jsonl")).unwrap();
        let documents = numbered(&lines).into_iter().filter_map(|(line, number)| Some((line, number?)));
        let mut rest = got.as_str();
        for (line, number) in documents {
            let end = line.text.trim_end().len() - 1;
            let (head, tail) = (&line.text[..end], &line.text[end..]);
            rest = rest.strip_prefix(head).unwrap();
            let weight = "\"weight\":";
            let n_added = rest.find(weight).unwrap() + weight.len() + "0.0".len();
            let added = &rest[..n_added];
            rest = rest[n_added..].strip_prefix(tail).unwrap();
            let added: Value = serde_json::from_str(&format!("{{{}}}", &added[1..])).unwrap();
            let weight = if is_kept(mask, number) { 1.0 } else { 0.0 };
            prop_assert_eq!(&added["weight"], &Value::from(weight));
            prop_assert_eq!(&added["s"]["score"], &Value::from(score_of(number)));
            prop_assert_eq!(&added["s"]["rank"], &Value::from(number));
        }
        prop_assert_eq!(rest, "");
    }
}

#[test]
fn every_compression_is_kept_or_changed_as_is_asked_for() {
    let text = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n".repeat(500);
    let kept = "{\"text\":\"one\"}\n".repeat(500);
    for (compression, name) in ALL {
        let setup = Setup::new(&[(name, compressed(text.as_bytes(), compression))]);
        setup.select(|doc_index| doc_index % 2 == 0);
        setup.filter(FilterOptions::default()).unwrap();
        let out = setup.path("out").join(name);
        assert_eq!(decompressed(&out), kept.as_bytes(), "{name}");
        assert_eq!(setup.output(name), compressed(kept.as_bytes(), compression));
        for (other, other_name) in ALL {
            let options = FilterOptions {
                compression: Some(other),
                ..FilterOptions::default()
            };
            let mut request = setup.request(options);
            request.output = setup.path(&format!("as-{}", other.name()));
            let out = request.output.join(other_name);
            super::support::run(request).unwrap();
            assert_eq!(
                decompressed(&out),
                kept.as_bytes(),
                "{name} as {other_name}"
            );
        }
    }
}

/// Lines above and around the size that is compressed at a time.
#[test]
fn long_lines_pass_whole_between_short_ones() {
    let line = |n: usize| format!("{{\"text\":\"{}\"}}\n", "salt ".repeat(n));
    let lines = [1, 60_000, 2, 52_425, 52_426, 200_000, 3].map(line);
    for (compression, name) in ALL {
        let text = lines.concat();
        let setup = Setup::new(&[(name, compressed(text.as_bytes(), compression))]);
        setup.select(|doc_index| doc_index != 2);
        setup.filter(FilterOptions::default()).unwrap();
        let expected = [&lines[..2], &lines[3..]].concat().concat();
        let got = decompressed(&setup.path("out").join(name));
        assert!(got == expected.as_bytes(), "{name}");
    }
}

#[test]
fn a_file_with_no_kept_lines_is_written_empty() {
    for (compression, name) in ALL {
        let text = b"{\"text\":\"one\"}\n";
        let other = ("b.jsonl", b"{\"text\":\"two\"}\n".to_vec());
        let setup = Setup::new(&[(name, compressed(text, compression)), other]);
        setup.select(|doc_index| doc_index == 1);
        setup.filter(FilterOptions::default()).unwrap();
        assert_eq!(setup.output("b.jsonl"), b"{\"text\":\"two\"}\n");
        assert_eq!(setup.output(name), compressed(b"", compression));
        // Readers of the outputs find no damage.
        let reading = setup.reading.clone();
        let documents = crate::corpus::Documents::open(vec![setup.path("out").join(name)], reading);
        assert_eq!(documents.unwrap().count(), 0, "{name}");
    }
}
