use super::support::{Setup, compressed, decompressed};
use crate::corpus::Compression;
use crate::error::{Classified, Kind};
use crate::filter::FilterOptions;

#[test]
fn texts_are_copied_whole_or_not_at_all() {
    let zst = compressed("two\r\n".as_bytes(), Compression::Zstd);
    let setup = Setup::new(&[
        ("a/one.txt", "\u{feff}one\n".into()),
        ("a/two.md.zst", zst.clone()),
        ("b/three.txt", "three".into()),
        ("blank.txt", " \n".into()),
    ]);
    let documents = setup.select(|doc_index| doc_index < 2);
    assert_eq!(documents.len(), 3);
    let summary = setup.filter(FilterOptions::default()).unwrap();
    assert_eq!(setup.output("a/one.txt"), "\u{feff}one\n".as_bytes());
    assert_eq!(setup.output("a/two.md.zst"), zst);
    assert!(!setup.path("out/b").exists());
    assert!(!setup.path("out/blank.txt").exists());
    let counts = summary.counts;
    assert_eq!(
        (counts.n_documents, counts.n_kept, counts.n_skipped),
        (3, 2, 1)
    );
    assert_eq!(counts.n_text_bytes_kept, 4 + 5);
    let n_bytes = setup.output("a/one.txt").len() + zst.len();
    assert_eq!(counts.n_bytes_out, n_bytes as u64);
    // Finished inputs stay finished, also those left out.
    let again = setup.filter(FilterOptions::default()).unwrap();
    assert_eq!((again.n_files, again.n_files_done_before), (4, 4));
    assert_eq!(again.counts, counts);
}

#[test]
fn a_text_is_compressed_anew_where_that_is_asked_for() {
    let setup = Setup::new(&[
        ("one.txt", "one\n".into()),
        ("two.txt.gz", compressed(b"two", Compression::Gzip)),
    ]);
    setup.select(|_| true);
    let options = FilterOptions {
        compression: Some(Compression::Xz),
        ..FilterOptions::default()
    };
    setup.filter(options).unwrap();
    assert_eq!(decompressed(&setup.path("out/one.txt.xz")), b"one\n");
    assert_eq!(decompressed(&setup.path("out/two.txt.xz")), b"two");
}

#[test]
fn nothing_can_be_added_to_a_text() {
    let setup = Setup::new(&[
        ("one.txt", "one".into()),
        ("two.jsonl", "{\"text\":\"2\"}".into()),
    ]);
    setup.select(|_| true);
    let options = FilterOptions {
        weights_key: Some("w".to_owned()),
        ..FilterOptions::default()
    };
    let error = setup.filter(options).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        error.to_string().contains("one.txt is plain text"),
        "{error}"
    );
    assert!(!setup.path("out").exists(), "before anything was written");
}
