use super::*;
use crate::corpus::{DocumentFormat, DocumentId};
use crate::error::Classified;
use arrow_array::{
    Array, ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
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

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As the command line program writes it: with a checksum of the contents.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// zstd with a checksum, as its command line program writes it.
fn zst_checked(bytes: &[u8], window_log: Option<u32>) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    if let Some(window_log) = window_log {
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(window_log).unwrap();
    }
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
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
        .parquet("h.parquet", texts)
        .with("i.jsonlines.xz", &xz(&lines(&["i"])))
        .with("j.jsonl.bz2", &bz2(&lines(&["j"])))
        .with("k.md.lz4", &lz4(b"k"))
        .with("l.rs", b"fn l() {}")
        .with("part-00001", &lines(&["m"]))
        .with("part-00002", &gzip(&lines(&["n"])))
        .with("essay", b"o");
    let mut documents = inputs.open(CorpusOptions::default());
    let texts: Vec<_> = documents
        .by_ref()
        .map(|document| document.unwrap().text)
        .collect();
    assert_eq!(
        texts,
        [
            "a1",
            "a2",
            "b",
            "c",
            "d1\nd2\n",
            "e",
            "f",
            "p1",
            "p2",
            "i",
            "j",
            "k",
            "fn l() {}",
            "m",
            "n",
            "o"
        ]
    );
    assert_eq!(documents.tally().n_empty_files, 1);
    assert_eq!(documents.tally().n_empty_documents, 1);
    assert_eq!(documents.bytes_read(), documents.bytes_total());
}

#[test]
fn many_gzip_members_and_zstd_frames_are_read_whole() {
    let gz = [gzip(&lines(&["1", "2"])), gzip(b""), gzip(&lines(&["3"]))].concat();
    let frames = [zst(&lines(&["4"])), zst(&lines(&["5"]))].concat();
    let twice = |compress: fn(&[u8]) -> Vec<u8>, a: &str, b: &str| {
        [compress(&lines(&[a])), compress(&lines(&[b]))].concat()
    };
    let inputs = Inputs::new()
        .with("a.jsonl.gz", &gz)
        .with("b.jsonl.zst", &frames)
        .with("c.jsonl.xz", &twice(xz, "6", "7"))
        .with("d.jsonl.bz2", &twice(bz2, "8", "9"))
        .with("e.jsonl.lz4", &twice(lz4, "10", "11"));
    let wanted: Vec<_> = (1..=11).map(|n| n.to_string()).collect();
    assert_eq!(inputs.texts().unwrap(), wanted);
}

#[test]
fn a_compressed_stream_cut_anywhere_is_an_error() {
    let text: String = (0..2000)
        .map(|i| format!("{{\"text\":\"{}\"}}\n", i * i))
        .collect();
    for (name, bytes) in [
        ("a.jsonl.gz", gzip(text.as_bytes())),
        ("a.jsonl.zst", zst(text.as_bytes())),
        ("a.jsonl.xz", xz(text.as_bytes())),
        ("a.jsonl.bz2", bz2(text.as_bytes())),
        ("a.jsonl.lz4", lz4(text.as_bytes())),
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
    for name in [
        "a.jsonl.gz",
        "a.jsonl.zst",
        "a.jsonl.xz",
        "a.txt.bz2",
        "a.jsonl.lz4",
    ] {
        let error = Inputs::new()
            .with(name, &lines(&["plain"; 100]))
            .texts()
            .unwrap_err();
        assert!(
            matches!(
                error,
                CorpusError::NotAsNamed {
                    found: "plain text",
                    ..
                }
            ),
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
    assert_eq!(documents.tally().n_bad_lines, 1);
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
fn a_non_text_file_counts_as_a_bad_line_where_bad_lines_are_skipped() {
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
            n_empty_documents: 0,
            n_empty_files: 1,
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
fn a_failed_read_is_not_reported_as_a_damaged_parquet_file() {
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a"; 3000]));
    let inputs = Inputs::new().parquet("a.parquet", column);
    let mut n_refused = 0;
    for n in 0.. {
        let (read, reached) = crate::storage::fail_nth_read(n, libc::EIO, || inputs.texts());
        if !reached {
            break;
        }
        let error = read.unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Failed, "{error}");
        n_refused += 1;
    }
    assert!(n_refused > 1, "the footer and the pages are read");
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

#[test]
fn zeros_after_and_between_gzip_members_are_padding_and_other_bytes_are_damage() {
    let zeros = vec![0; 700_000];
    let padded = [
        gzip(&lines(&["1"])),
        zeros.clone(),
        gzip(&lines(&["2"])),
        zeros,
    ]
    .concat();
    let inputs = Inputs::new().with("a.jsonl.gz", &padded);
    assert_eq!(inputs.texts().unwrap(), ["1", "2"]);
    let trailing = [gzip(&lines(&["1"])), b"rubbish that is no member".to_vec()].concat();
    let error = Inputs::new()
        .with("a.jsonl.gz", &trailing)
        .texts()
        .unwrap_err();
    assert!(
        matches!(error, CorpusError::DamagedStream { .. }),
        "{error}"
    );
}

#[test]
fn a_zstd_window_past_the_limit_is_named_with_its_remedy_and_read_where_it_is_allowed() {
    let inputs = |log| Inputs::new().with("a.jsonl.zst", &zst_checked(&lines(&["a"]), Some(log)));
    assert_eq!(inputs(27).texts().unwrap(), ["a"]);
    let error = inputs(28).texts().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("window of 2^28 bytes"), "{message}");
    assert!(message.contains("--zstd-window-log-max 28"), "{message}");
    assert_eq!(error.kind(), crate::error::Kind::Usage);
    let allowed = CorpusOptions {
        zstd_window_log_max: 28,
        ..CorpusOptions::default()
    };
    let inputs = inputs(28);
    let mut documents = inputs.open(allowed);
    assert_eq!(documents.next().unwrap().unwrap().text, "a");
}

#[test]
fn contents_that_contradict_the_file_name_are_reported() {
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let text = lines(&["plain"; 9]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a.jsonl", gzip(&text), "gzip data"),
        ("a.txt", zst(&text), "zstd data"),
        ("a.jsonl", xz(&text), "xz data"),
        ("a.md", bz2(&text), "bzip2 data"),
        ("a.jsonl", lz4(&text), "lz4 data"),
        ("a.jsonl.gz", zst(&text), "zstd data"),
        ("a.jsonl.zst", gzip(&text), "gzip data"),
        ("a.jsonl", b"PK\x03\x04....".to_vec(), "a zip archive"),
        ("a.jsonl", b"PAR1....".to_vec(), "a Parquet file"),
        ("a.txt", b"%PDF-1.4 ...".to_vec(), "a PDF"),
        ("a.txt", b"\xff\xfeh\0i\0".to_vec(), "UTF-16 text"),
        ("a.jsonl", b"\xfe\xff\0{".to_vec(), "UTF-16 text"),
        ("a.txt", b"h\0i\0".repeat(9), "UTF-16 text"),
        ("a.jsonl", b"<!DOCTYPE html><html>".to_vec(), "an HTML page"),
        (
            "a.jsonl.gz",
            b"<html><body>404 not found".to_vec(),
            "an HTML page",
        ),
        ("a.txt", vec![0; 64], "nothing but zero bytes"),
        ("a.txt", b"h\0\0\0i\0\0\0".repeat(9), "UTF-32 text"),
        ("a.txt", text.clone(), "JSON lines"),
        ("a.md.gz", gzip(&text), "JSON lines"),
        ("a.txt.gz", gzip(&tar), "a tar archive"),
        ("a.jsonl.gz", gzip(&gzip(&text)), "gzip"),
        ("a.parquet", b"<html>not found".to_vec(), "an HTML page"),
        ("a", b"%PDF-1.4 ...".to_vec(), "a PDF"),
    ];
    for (name, bytes, found) in cases {
        let error = Inputs::new().with(name, &bytes).texts().unwrap_err();
        let message = error.to_string();
        assert!(message.contains(found), "{name}: {message}");
        assert!(
            matches!(error, CorpusError::NotAsNamed { .. }),
            "{name}: {message}"
        );
    }
}

#[test]
fn an_explicit_format_wins_over_the_file_name() {
    let read = |name: &str, bytes: &[u8], format| {
        let options = CorpusOptions {
            format: Some(format),
            ..CorpusOptions::default()
        };
        let documents = Inputs::new().with(name, bytes);
        let documents = documents.open(options);
        let texts: Result<Vec<_>, _> = documents.map(|document| Ok(document?.text)).collect();
        texts.map_err(|error: CorpusError| error.to_string())
    };
    let text = DocumentFormat::Text;
    assert_eq!(read("a.csv", b"a,b\n", text).unwrap(), ["a,b\n"]);
    assert_eq!(read("a.jsonl", b"{}\n", text).unwrap(), ["{}\n"]);
    assert_eq!(read("a.html", b"<html>x", text).unwrap(), ["<html>x"]);
    assert_eq!(read("a.dat", &gzip(b"x"), text).unwrap(), ["x"]);
    let jsonl = DocumentFormat::Jsonl;
    assert_eq!(read("a.log", &lines(&["x"]), jsonl).unwrap(), ["x"]);
    assert!(read("a.csv", b"PAR1 not", DocumentFormat::Parquet).is_err());
    assert!(
        read("a.csv", b"\xff\xfea\0", text)
            .unwrap_err()
            .contains("UTF-16")
    );
}

#[test]
fn json_lines_in_a_text_file_are_read_as_text_if_that_format_is_given() {
    let options = CorpusOptions {
        format: Some(DocumentFormat::Text),
        ..CorpusOptions::default()
    };
    let inputs = Inputs::new().with("a.txt", &lines(&["a", "b"]));
    assert_eq!(inputs.open(options).count(), 1);
}

#[test]
fn a_hole_in_text_is_named_and_a_few_zero_bytes_are_text() {
    let with_zeros = |n: usize| [b"begin".as_slice(), &vec![0; n], b"end"].concat();
    let error = Inputs::new().with("a.txt", &with_zeros(64)).texts();
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("64 zero bytes in a row at byte 5"),
        "{message}"
    );
    let texts = Inputs::new().with("a.txt", &with_zeros(3)).texts();
    assert_eq!(texts.unwrap(), ["begin\0\0\0end"]);
}

#[test]
fn two_columns_of_the_same_name_are_refused() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let other: ArrayRef = Arc::new(StringArray::from(vec!["b"]));
    let batch = RecordBatch::try_from_iter([("text", text), ("text", other)]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let file = fs::File::create(&path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut documents = Documents::open(vec![path], CorpusOptions::default()).unwrap();
    let error = documents.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("2 columns `text`"), "{error}");
}

#[test]
fn brotli_parquet_is_read() {
    use ::parquet::basic::{BrotliLevel, Compression as Codec};
    use ::parquet::file::properties::WriterProperties;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let codec = Codec::BROTLI(BrotliLevel::default());
    let properties = WriterProperties::builder().set_compression(codec).build();
    let file = fs::File::create(&path).unwrap();
    let writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties));
    let mut writer = writer.unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let documents = Documents::open(vec![path], CorpusOptions::default()).unwrap();
    let texts: Vec<_> = documents.map(|document| document.unwrap().text).collect();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn parquet_of_several_row_groups_with_nulls_keeps_rows_together() {
    use ::parquet::file::properties::WriterProperties;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let text = |i: usize| (!i.is_multiple_of(3)).then(|| format!("t{i}"));
    let group = |i: usize| (!i.is_multiple_of(5)).then(|| format!("g{i}"));
    let texts: ArrayRef = Arc::new((0..5000).map(text).collect::<StringArray>());
    let groups: ArrayRef = Arc::new((0..5000).map(group).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([("group", groups), ("text", texts)]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(700))
        .build();
    let file = fs::File::create(&path).unwrap();
    let writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties));
    let mut writer = writer.unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let options = CorpusOptions {
        skip_bad_lines: true,
        group_field: Some("group".to_owned()),
        ..CorpusOptions::default()
    };
    let documents = Documents::open(vec![path], options).unwrap();
    let read: Vec<_> = documents
        .map(Result::unwrap)
        .map(|read| (read.text, read.group))
        .collect();
    let wanted: Vec<_> = (0..5000)
        .filter_map(|i| Some((text(i)?, group(i))))
        .collect();
    assert_eq!(read, wanted);
}

/// Changes bytes of a file of each compressed kind: a checksum reveals each change of the contents.
#[test]
fn a_changed_byte_of_a_compressed_file_is_refused_or_changes_nothing() {
    let text: String = (0..300)
        .map(|i| format!("{{\"text\":\"{} salt {}\"}}\n", i * i, i * 7919))
        .collect();
    let kinds = [
        ("a.jsonl.gz", gzip(text.as_bytes())),
        ("a.jsonl.zst", zst_checked(text.as_bytes(), None)),
        ("a.jsonl.xz", xz(text.as_bytes())),
        ("a.jsonl.bz2", bz2(text.as_bytes())),
        ("a.jsonl.lz4", lz4(text.as_bytes())),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in kinds {
        let path = dir.path().join(name);
        let read = |bytes: &[u8]| -> Result<Vec<String>, CorpusError> {
            fs::write(&path, bytes).unwrap();
            let documents = Documents::open(vec![path.clone()], CorpusOptions::default())?;
            documents.map(|document| Ok(document?.text)).collect()
        };
        let whole = read(&bytes).unwrap();
        let (mut n_refused, mut n_same) = (0, 0);
        for i in 0..1000 {
            let mut flipped = bytes.clone();
            let at = (i * 7919) % bytes.len();
            flipped[at] ^= 1 << (i % 8);
            match read(&flipped) {
                Err(_) => n_refused += 1,
                Ok(texts) => {
                    assert!(texts == whole, "{name}: byte {at} of {}", bytes.len());
                    n_same += 1;
                }
            }
        }
        // Only metadata may change unnoticed: a time, a system, flags.
        assert!(
            n_refused > 900,
            "{name}: {n_refused} refused, {n_same} the same"
        );
    }
}

#[test]
fn a_changed_byte_of_a_parquet_file_never_panics() {
    let texts: Vec<_> = (0..400).map(|i| format!("salt {i} of the sea")).collect();
    let inputs = Inputs::new().parquet("a.parquet", Arc::new(StringArray::from(texts)));
    let bytes = fs::read(&inputs.paths[0]).unwrap();
    for i in 0..1500 {
        let mut flipped = bytes.clone();
        let at = (i * 7919) % bytes.len();
        flipped[at] ^= 1 << (i % 8);
        fs::write(&inputs.paths[0], &flipped).unwrap();
        let _ = inputs.texts();
    }
}

#[test]
fn a_single_segment_frame_past_the_limit_is_reported_as_a_window() {
    // A header that declares 1 GiB of contents in one segment, with nothing after it.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend((1u32 << 30).to_le_bytes());
    frame.extend([1, 0, 0]);
    let error = Inputs::new()
        .with("a.jsonl.zst", &frame)
        .texts()
        .unwrap_err();
    assert!(
        matches!(error, CorpusError::ZstdWindow { window: None, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("--zstd-window-log-max 31"),
        "{error}"
    );
}

/// Ids of the documents in these files.
fn ids_of(files: &[(&str, &[u8])]) -> Vec<DocumentId> {
    let dir = tempfile::tempdir().unwrap();
    let write = |(name, bytes): &(&str, &[u8])| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let options = CorpusOptions {
        id_field: Some("id".to_owned()),
        ..CorpusOptions::default()
    };
    let documents = Documents::open(files.iter().map(write).collect(), options).unwrap();
    documents.map(|document| document.unwrap().id).collect()
}

#[test]
fn ids_are_strings_and_integers_as_they_are_spelled() {
    let known = |id: &str| DocumentId::Known(id.to_owned());
    for (value, expected) in [
        ("\"a\\u0041/\"", known("aA/")),
        ("0", known("0")),
        ("-12", known("-12")),
        (
            "123456789012345678901234567890",
            known("123456789012345678901234567890"),
        ),
        ("\"\"", known("")),
        ("null", DocumentId::Absent),
        ("1.0", DocumentId::Other),
        ("1e3", DocumentId::Other),
        ("NaN", DocumentId::Other),
        ("true", DocumentId::Other),
        ("{\"a\":1}", DocumentId::Other),
    ] {
        let line = format!("{{\"id\":{value},\"text\":\"x\"}}\n");
        assert_eq!(
            ids_of(&[("a.jsonl", line.as_bytes())]),
            [expected],
            "{value}"
        );
    }
    assert_eq!(
        ids_of(&[("a.jsonl", b"{\"text\":\"x\"}")]),
        [DocumentId::Absent]
    );
    assert_eq!(ids_of(&[("a.txt", b"x")]), [DocumentId::Absent]);
}

#[test]
fn a_parquet_column_of_ids_may_be_strings_or_any_integers() {
    let known = |id: &str| DocumentId::Known(id.to_owned());
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let file = |ids: ArrayRef| {
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("id", ids, true),
            ("text", texts.clone(), false),
        ]);
        let batch = batch.unwrap();
        let mut bytes = Vec::new();
        let mut writer =
            ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    };
    let columns: Vec<(ArrayRef, [DocumentId; 2])> = vec![
        (
            Arc::new(StringArray::from(vec![Some("a"), None])),
            [known("a"), DocumentId::Absent],
        ),
        (
            Arc::new(Int64Array::from(vec![Some(-5), None])),
            [known("-5"), DocumentId::Absent],
        ),
        (
            Arc::new(arrow_array::UInt64Array::from(vec![u64::MAX, 0])),
            [known("18446744073709551615"), known("0")],
        ),
        (
            Arc::new(arrow_array::UInt32Array::from(vec![u32::MAX, 7])),
            [known("4294967295"), known("7")],
        ),
        (
            Arc::new(arrow_array::Int16Array::from(vec![-3, 3])),
            [known("-3"), known("3")],
        ),
        (
            Arc::new(arrow_array::Float64Array::from(vec![1.0, 2.0])),
            [DocumentId::Other, DocumentId::Other],
        ),
    ];
    for (ids, expected) in columns {
        let data_type = ids.data_type().clone();
        assert_eq!(
            ids_of(&[("a.parquet", &file(ids))]),
            expected,
            "{data_type}"
        );
    }
}

#[test]
fn inputs_are_hashed_as_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let lines = lines(&["a", "b", "c"]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"; 3]));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let mut parquet = Vec::new();
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let files = [
        ("a.jsonl", lines.clone()),
        ("b.jsonl.gz", gzip(&lines)),
        ("c.jsonl.zst", zst(&lines)),
        ("d.jsonl.xz", xz(&lines)),
        ("e.jsonl.bz2", bz2(&lines)),
        ("f.jsonl.lz4", lz4(&lines)),
        ("g.parquet", parquet),
        ("h.txt", b"text".to_vec()),
        ("i.jsonl", Vec::new()),
    ];
    let mut paths = Vec::new();
    for (name, bytes) in &files {
        paths.push(dir.path().join(name));
        fs::write(paths.last().unwrap(), bytes).unwrap();
    }
    let documents = Documents::open(paths.clone(), CorpusOptions::default()).unwrap();
    let mut documents = documents.with_input_hashes();
    documents
        .by_ref()
        .for_each(|document| drop(document.unwrap()));
    let inputs = documents.inputs();
    assert_eq!(inputs.len(), files.len());
    for ((path, (_, bytes)), input) in paths.iter().zip(&files).zip(inputs) {
        assert_eq!(input.path, path.to_string_lossy());
        assert_eq!(input.bytes, bytes.len() as u64);
        assert_eq!(input.blake3, blake3::hash(bytes).to_hex().as_str());
    }
}
