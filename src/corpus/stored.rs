//! Documents in stores.

use super::{CorpusError, CorpusOptions, Documents, InputFiles, expand_inputs};
use crate::storage::testing::{memory_store, put_tree};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use std::path::Path;
use std::sync::Arc;

fn tree(dir: &Path) {
    let lines = |from: u32| -> Vec<u8> {
        let line = |i: u32| format!("{{\"text\": \"document {i}\"}}\n");
        (from..from + 100)
            .map(line)
            .collect::<String>()
            .into_bytes()
    };
    std::fs::create_dir(dir.join("below")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    write("a.jsonl", &lines(0));
    write(
        "b.jsonl.zst",
        &zstd::encode_all(&lines(100)[..], 1).unwrap(),
    );
    write("below/c.txt", b"a text");
    write("README.md", b"not read");
    write("table.csv", b"not read");
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let file = std::fs::File::create(dir.join("d.parquet")).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn texts(files: &InputFiles) -> Vec<String> {
    let documents = Documents::open(files.paths.clone(), CorpusOptions::default()).unwrap();
    documents.map(|document| document.unwrap().text).collect()
}

fn names(files: &InputFiles, root: &Path) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    files.paths.iter().map(name).collect()
}

#[test]
fn folders_and_globs_in_a_store_expand_as_on_a_local_disk() {
    memory_store("s3://corpus-inputs");
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let url = Path::new("s3://corpus-inputs/docs");
    put_tree(dir.path(), url);
    for pattern in [
        "",
        "*.jsonl*",
        "**/*.txt",
        "[ab]*",
        "d.parquet",
        "below/c.txt",
    ] {
        let (here, there) = (dir.path().join(pattern), url.join(pattern));
        let local = expand_inputs(&[here], None).unwrap();
        let stored = expand_inputs(&[there], None).unwrap();
        assert_eq!(names(&stored, url), names(&local, dir.path()), "{pattern}");
        assert_eq!(texts(&stored), texts(&local), "{pattern}");
        let counts = |files: &InputFiles| files.left_out.notes().len();
        assert_eq!(counts(&stored), counts(&local), "{pattern}");
    }
    let whole = expand_inputs(&[url], None).unwrap();
    let documents = Documents::open(whole.paths, CorpusOptions::default()).unwrap();
    let n_bytes = documents.bytes_total();
    let mut documents = documents.inspect(|document| assert!(document.is_ok()));
    assert_eq!(documents.by_ref().count(), 203);
    assert!(n_bytes > 0);
}

#[test]
fn an_empty_pattern_and_a_truncated_file_are_reported_by_url() {
    memory_store("s3://corpus-absent");
    let absent = expand_inputs(&["s3://corpus-absent/docs/*.jsonl"], None).unwrap_err();
    assert!(
        absent
            .to_string()
            .contains("s3://corpus-absent/docs/*.jsonl"),
        "{absent}"
    );
    let dir = tempfile::tempdir().unwrap();
    let bytes = zstd::encode_all(&vec![b'x'; 100_000][..], 1).unwrap();
    std::fs::write(dir.path().join("a.jsonl.zst"), &bytes[..bytes.len() - 3]).unwrap();
    put_tree(dir.path(), Path::new("s3://corpus-absent/docs"));
    let files = expand_inputs(&["s3://corpus-absent/docs/*.jsonl.zst"], None).unwrap();
    let mut documents = Documents::open(files.paths, CorpusOptions::default()).unwrap();
    let error = documents.find_map(Result::err).unwrap();
    assert!(matches!(error, CorpusError::Truncated { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("s3://corpus-absent/docs/a.jsonl.zst"),
        "{error}"
    );
}
