//! Files in a store: the same functions as for local ones, with the same results.

use super::copies::{copy_below, copy_object};
use super::location::{Location, locate};
use super::object::ObjectUrl;
use super::*;
use std::io::Write;
use std::path::Path;

fn url_of(path: &Path) -> ObjectUrl {
    match locate(path).unwrap() {
        Location::Object(url) => url,
        Location::Local(_) => panic!("{} is a URL", path.display()),
    }
}

fn bytes(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + (i >> 9) + seed) as u8).collect()
}

#[test]
fn small_files_are_created_once_replaced_read_listed_and_removed() {
    let dir = install_sound("storage-small");
    let path = dir.join("a/plan.json");
    assert!(!exists(&path).unwrap() && !is_dir(&dir.join("a")).unwrap());
    assert_eq!(create_if_absent(&path, b"one").unwrap(), Publish::Created);
    assert_eq!(
        create_if_absent(&path, b"two").unwrap(),
        Publish::AlreadyThere
    );
    assert_eq!(read_to_string(&path).unwrap(), "one");
    replace(&path, b"three").unwrap();
    assert_eq!(read(&path).unwrap(), b"three");
    assert!(read_up_to(&path, 4).is_err() && read_up_to(&path, 5).unwrap().is_some());
    assert_eq!(read_if_exists(&dir.join("b")).unwrap(), None);
    assert!(read(&dir.join("b")).unwrap_err().is_not_found());
    replace(&dir.join("a/deep/x"), b"").unwrap();
    let names = |entries: Vec<Entry>| {
        let names = entries
            .into_iter()
            .map(|entry| (entry.name.into_string().unwrap(), entry.is_dir));
        names.collect::<Vec<_>>()
    };
    let name = |name: &str, is_dir| (name.to_owned(), is_dir);
    assert_eq!(
        names(list(&dir.join("a")).unwrap()),
        [name("deep", true), name("plan.json", false)]
    );
    assert_eq!(
        names(list_all(&dir).unwrap()),
        [name("a/deep/x", false), name("a/plan.json", false)]
    );
    assert_eq!(names(list(&dir.join("nothing")).unwrap()), []);
    assert!(metadata(&dir.join("a")).unwrap().is_dir);
    assert_eq!(metadata(&path).unwrap().n_bytes, 5);
    let many = [path.clone(), dir.join("b"), dir.join("a/deep/x")];
    assert_eq!(
        read_many(&many, 9).unwrap(),
        [Some(b"three".to_vec()), None, Some(vec![])]
    );
    remove_file(&path).unwrap();
    remove_file(&path).unwrap();
    remove_tree(&dir.join("a")).unwrap();
    assert!(list_all(&dir).unwrap().is_empty());
}

#[test]
fn a_large_file_goes_by_parts_and_is_read_by_blocks_and_ranges() {
    let dir = install_sound("storage-large");
    let (path, content) = (dir.join("part.parquet"), bytes(37_000_001, 0));
    let mut partial = Partial::create(&path).unwrap();
    partial.write_all(&content).unwrap();
    let sealed = partial.seal().unwrap();
    let scratch = sealed.temp_path().to_path_buf();
    assert!(scratch.starts_with(std::env::temp_dir()) && !exists(&path).unwrap());
    let hash = sealed.hash.clone();
    assert_eq!(sealed.publish().unwrap(), Publish::Created);
    assert!(!scratch.exists());
    assert_eq!(hash_file(&path).unwrap(), hash);
    assert!(read(&path).unwrap() == content);
    let source = Source::open(&path).unwrap();
    assert!(source.read_at(36_999_000, 1001).unwrap() == content[36_999_000..]);
    source
        .fetch(&[5..20_000_000, 30_000_000..30_000_100])
        .unwrap();
    assert!(source.read_at(5, 19_999_995).unwrap() == content[5..20_000_000]);
    assert!(source.read_at(36_999_000, 1002).is_err());
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), &content).unwrap();
    assert_eq!(
        sampled_blake3(&path).unwrap(),
        sampled_blake3(local.path()).unwrap()
    );
    // A second writer with `publish`, and then one that replaces.
    let write = |content: &[u8]| {
        let mut partial = Partial::create(&path).unwrap();
        partial.write_all(content).unwrap();
        partial.seal().unwrap()
    };
    assert_eq!(write(&content).publish().unwrap(), Publish::AlreadyThere);
    write(&bytes(20_000_000, 1)).replace().unwrap();
    assert_eq!(metadata(&path).unwrap().n_bytes, 20_000_000);
    // The open object has been replaced.
    let error = source.read_at(25_000_000, 10).unwrap_err();
    assert!(error.to_string().contains("has changed"), "{error}");
}

#[test]
fn an_upload_by_parts_that_fails_leaves_nothing_and_is_done_by_the_next_try() {
    let content = bytes(40_000_000, 2);
    for every in 2..=6 {
        let name = format!("storage-parts-{every}");
        let (dir, faults, _) = install_faulty(&name, Fault::LostAnswer, every, 3);
        let path = dir.join("part");
        let done = (0..10).any(|_| {
            let mut partial = Partial::create(&path).unwrap();
            partial.write_all(&content).unwrap();
            partial.seal().unwrap().publish().is_ok()
        });
        assert!(done && faults.n_injected() > 0, "{every}");
        let whole = (0..10).find_map(|_| read(&path).ok()).unwrap();
        assert!(whole == content, "{every}");
    }
}

#[test]
fn a_store_is_tried_before_anything_is_written_and_nothing_stays() {
    let dir = install_sound("storage-probe");
    check_writable(&dir.join("run/labels")).unwrap();
    assert!(list_all(&dir).unwrap().is_empty());
    let (dir, _, _) = install_faulty("storage-probe-fails", Fault::Expired, 1, u64::MAX);
    let error = check_writable(&dir).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn a_local_copy_is_made_once_a_version_and_a_damaged_one_again() {
    let cache = tempfile::tempdir().unwrap();
    let (dir, faults, _) = install_faulty("storage-copies", Fault::Reset, 1, 0);
    let path = dir.join("corpus/tokens.bin");
    replace(&path, b"one").unwrap();
    let copy = || copy_object(cache.path(), &url_of(&path)).unwrap();
    let first = copy();
    assert_eq!(std::fs::read(&first).unwrap(), b"one");
    assert!(first.ends_with("tokens.bin"));
    let before = faults.n_requests();
    assert_eq!(copy(), first);
    assert_eq!(
        faults.n_requests() - before,
        1,
        "only what it is is asked for"
    );
    std::fs::write(&first, b"on").unwrap();
    assert_eq!(std::fs::read(copy()).unwrap(), b"one");
    replace(&path, b"two").unwrap();
    let second = copy();
    assert_ne!(first, second);
    assert_eq!(std::fs::read(&second).unwrap(), b"two");
    assert_eq!(std::fs::read(&first).unwrap(), b"one");
}

#[test]
fn a_prefix_is_copied_as_a_directory_of_what_is_wanted() {
    let cache = tempfile::tempdir().unwrap();
    let dir = install_sound("storage-prefix").join("model");
    for name in ["config.json", "onnx/model.onnx", "other.bin"] {
        replace(&dir.join(name), name.as_bytes()).unwrap();
    }
    let is_wanted = |name: &str| name != "other.bin";
    let copy = copy_below(cache.path(), &url_of(&dir), is_wanted).unwrap();
    assert_eq!(
        std::fs::read(copy.join("onnx/model.onnx")).unwrap(),
        b"onnx/model.onnx"
    );
    assert!(copy.join("config.json").exists() && !copy.join("other.bin").exists());
    let none = copy_below(cache.path(), &url_of(&dir), |_| false).unwrap_err();
    assert!(none.is_not_found(), "{none}");
}

#[test]
fn a_file_is_copied_to_a_store_and_back_and_replaces_what_is_there() {
    let (dir, local) = (
        install_sound("storage-copy-file"),
        tempfile::tempdir().unwrap(),
    );
    let (first, second) = (local.path().join("first"), local.path().join("second"));
    for (i, n_bytes) in [0, 1, 20_000_000].into_iter().enumerate() {
        let content = bytes(n_bytes, i);
        std::fs::write(&first, &content).unwrap();
        copy_file(&first, &dir.join("a/x")).unwrap();
        copy_file(&dir.join("a/x"), &dir.join("b/x")).unwrap();
        copy_file(&dir.join("b/x"), &second).unwrap();
        assert!(std::fs::read(&second).unwrap() == content, "{n_bytes}");
    }
    copy_file(&second, &first).unwrap();
    assert_eq!(metadata(&first).unwrap().n_bytes, 20_000_000);
    assert!(
        copy_file(&dir.join("c"), &first)
            .unwrap_err()
            .is_not_found()
    );
    assert_eq!(metadata(&first).unwrap().n_bytes, 20_000_000);
}

#[test]
fn a_url_has_one_working_directory_however_it_is_written() {
    let of = |path: &str| working_dir(Path::new(path)).unwrap();
    assert_eq!(of("s3://bucket/run/"), of("S3://bucket/run"));
    assert_ne!(of("s3://bucket/run"), of("s3://bucket/run2"));
    assert!(of("s3://bucket/run").starts_with(cache_dir()));
    assert_eq!(of("runs/a"), Path::new("runs/a"));
    assert_eq!(of("file:///runs/a"), Path::new("/runs/a"));
    assert!(working_dir(Path::new("hf://owner/model")).is_err());
}

#[test]
fn a_scheme_that_is_not_known_makes_no_directory() {
    let error = make_dirs(Path::new("s4://bucket/x")).unwrap_err();
    assert!(error.to_string().contains("did you mean s3://"), "{error}");
    assert!(!Path::new("s4:").exists());
}
