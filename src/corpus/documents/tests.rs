use super::*;
use arrow_array::{
    ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn lines(texts: &[&str]) -> Vec<u8> {
    texts
        .iter()
        .map(|text| format!("{{\"text\":\"{text}\"}}\n"))
        .collect::<String>()
        .into_bytes()
}

struct Inputs {
    dir: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Inputs {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            paths: Vec::new(),
        }
    }

    fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        self.paths.push(path);
        self
    }

    fn parquet(mut self, name: &str, column: ArrayRef) -> Self {
        let path = self.dir.path().join(name);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..column.len() as i64));
        let batch = RecordBatch::try_from_iter([("id", ids), ("text", column)]).unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut writer =
            ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        self.paths.push(path);
        self
    }

    fn open(&self, options: CorpusOptions) -> Documents {
        Documents::open(self.paths.clone(), options).unwrap()
    }

    fn texts(&self) -> Result<Vec<String>, CorpusError> {
        self.open(CorpusOptions::default())
            .map(|document| Ok(document?.text))
            .collect()
    }
}

#[test]
fn every_kind_of_file_is_read_in_the_order_given() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["p1", "p2"]));
    let inputs = Inputs::new()
        .with("a.jsonl", &lines(&["a1", "a2"]))
        .with("b.ndjson.gz", &gzip(&lines(&["b"])))
        .with("c.json.zst", &zst(&lines(&["c"])))
        .with("d.txt", b"\xef\xbb\xbfd1\nd2\n")
        .with("e.txt.gz", &gzip(b"e"))
        .with("f.txt.zst", &zst(b"f"))
        .with("g.txt", b"\n")
        .parquet("h.parquet", texts);
    let mut documents = inputs.open(CorpusOptions::default());
    let texts: Vec<_> = documents
        .by_ref()
        .map(|document| document.unwrap().text)
        .collect();
    assert_eq!(
        texts,
        ["a1", "a2", "b", "c", "d1\nd2\n", "e", "f", "p1", "p2"]
    );
    assert_eq!(documents.n_empty_documents(), 1);
    assert_eq!(documents.bytes_read(), documents.bytes_total());
}

#[test]
fn many_gzip_members_and_zstd_frames_are_read_whole() {
    let gz = [gzip(&lines(&["1", "2"])), gzip(b""), gzip(&lines(&["3"]))].concat();
    let frames = [zst(&lines(&["4"])), zst(&lines(&["5"]))].concat();
    let inputs = Inputs::new()
        .with("a.jsonl.gz", &gz)
        .with("b.jsonl.zst", &frames);
    assert_eq!(inputs.texts().unwrap(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_compressed_stream_cut_anywhere_is_an_error() {
    let text: String = (0..2000)
        .map(|i| format!("{{\"text\":\"{}\"}}\n", i * i))
        .collect();
    for (name, bytes) in [
        ("a.jsonl.gz", gzip(text.as_bytes())),
        ("a.jsonl.zst", zst(text.as_bytes())),
    ] {
        for n_kept in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            let inputs = Inputs::new().with(name, &bytes[..n_kept]);
            let error = inputs.texts().unwrap_err();
            assert!(
                matches!(error, CorpusError::Truncated { .. }),
                "{n_kept} of {name}: {error}"
            );
        }
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_an_error() {
    for name in ["a.jsonl.gz", "a.jsonl.zst"] {
        let error = Inputs::new()
            .with(name, &lines(&["plain"; 100]))
            .texts()
            .unwrap_err();
        assert!(
            matches!(error, CorpusError::DamagedStream { .. }),
            "{name}: {error}"
        );
    }
    let error = Inputs::new()
        .with("a.parquet", b"PAR1 not really")
        .texts()
        .unwrap_err();
    assert!(matches!(error, CorpusError::Parquet { .. }), "{error}");
}

#[test]
fn a_bad_line_ends_the_iteration_unless_it_is_skipped() {
    let inputs = Inputs::new()
        .with("a.jsonl", b"{\"text\":\"a\"}\n{oops\n{\"text\":\"b\"}\n")
        .with("b.jsonl", &lines(&["c"]));
    let mut documents = inputs.open(CorpusOptions::default());
    assert!(documents.next().unwrap().is_ok());
    assert!(
        documents
            .next()
            .unwrap()
            .unwrap_err()
            .to_string()
            .contains("a.jsonl:2:")
    );
    assert!(documents.next().is_none());

    let skip = CorpusOptions {
        skip_bad_lines: true,
        ..CorpusOptions::default()
    };
    let mut documents = inputs.open(skip);
    assert_eq!(documents.by_ref().filter(Result::is_ok).count(), 3);
    assert_eq!(documents.n_bad_lines(), 1);
}

#[test]
fn invalid_utf8_in_a_text_file_is_named_with_line_and_byte() {
    let error = Inputs::new()
        .with("a.txt", b"one\ntwo\nx\xff")
        .texts()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a.txt:3: invalid UTF-8 at byte 9 "),
        "{error}"
    );
}

#[test]
fn a_text_file_that_is_no_text_counts_as_a_bad_line_if_such_are_skipped() {
    let inputs = Inputs::new().with("a.txt", b"\xff").with("b.txt", b"b");
    let skip = CorpusOptions {
        skip_bad_lines: true,
        ..CorpusOptions::default()
    };
    let mut documents = inputs.open(skip);
    assert_eq!(documents.next().unwrap().unwrap().text, "b");
    assert!(documents.next().is_none());
    assert_eq!(
        documents.tally(),
        Tally {
            n_bad_lines: 1,
            n_empty_documents: 0
        }
    );
}

#[test]
fn every_string_type_of_parquet_is_read() {
    let wanted = ["a", "", "b é"];
    let columns: [ArrayRef; 3] = [
        Arc::new(StringArray::from(wanted.to_vec())),
        Arc::new(LargeStringArray::from(wanted.to_vec())),
        Arc::new(StringViewArray::from(wanted.to_vec())),
    ];
    for column in columns {
        let inputs = Inputs::new().parquet("a.parquet", column);
        assert_eq!(inputs.texts().unwrap(), ["a", "b é"]);
    }
}

#[test]
fn parquet_of_many_batches_keeps_its_order() {
    let texts: Vec<_> = (0..5000).map(|i| format!("document {i}")).collect();
    let inputs = Inputs::new().parquet("a.parquet", Arc::new(StringArray::from(texts.clone())));
    assert_eq!(inputs.texts().unwrap(), texts);
}

#[test]
fn a_parquet_row_without_text_and_a_wrong_column_are_named() {
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let inputs = Inputs::new().parquet("a.parquet", column);
    let error = inputs.texts().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a.parquet, row 1: field `text` is null"),
        "{error}"
    );

    let of = |field: &str| {
        let options = CorpusOptions {
            text_field: field.into(),
            ..CorpusOptions::default()
        };
        inputs
            .open(options)
            .next()
            .unwrap()
            .unwrap_err()
            .to_string()
    };
    assert!(of("id").contains("column `id` is Int64, expected a string column"));
    assert!(of("body").contains("no column `body` (it has `id`, `text`)"));
}

#[test]
fn a_parquet_column_of_strings_is_kept_beside_the_text_and_no_other() {
    let texts = StringArray::from(vec!["a", "b"]);
    let inputs = Inputs::new().parquet("a.parquet", Arc::new(texts));
    let groups = |field: &str| -> Vec<Option<String>> {
        let options = CorpusOptions {
            group_field: Some(field.to_owned()),
            ..CorpusOptions::default()
        };
        let documents = inputs.open(options);
        documents.map(|document| document.unwrap().group).collect()
    };
    assert_eq!(groups("text"), [Some("a".to_owned()), Some("b".to_owned())]);
    assert_eq!(groups("id"), [None, None]);
    assert_eq!(groups("absent"), [None, None]);
}
