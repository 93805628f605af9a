use super::*;
use crate::error::Classified;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

fn expand(paths: &[&Path]) -> Result<InputFiles, CorpusError> {
    expand_inputs(paths, None)
}

fn tree(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    dir
}

fn some_files() -> tempfile::TempDir {
    tree(&[
        "b.jsonl",
        "a.txt",
        "sub/c.jsonl.gz",
        "README.md",
        ".hidden.txt",
        "table.csv",
    ])
}

#[test]
fn files_directories_and_globs_come_sorted_and_once() {
    let dir = some_files();
    let root = dir.path();
    let wanted: Vec<_> = ["a.txt", "b.jsonl", "sub/c.jsonl.gz"]
        .map(|name| root.join(name))
        .into();
    let all = expand(&[&root.join("b.jsonl"), root, &root.join("*.txt")]).unwrap();
    assert_eq!(all.paths, wanted);
    let glob = expand(&[&root.join("**/*.gz"), &root.join("*.txt")]).unwrap();
    assert_eq!(glob.paths, [wanted[0].clone(), wanted[2].clone()]);
}

#[test]
fn what_is_left_out_is_counted_and_named() {
    let dir = tree(&[
        "a.jsonl",
        "x.csv",
        "y.csv",
        "z.pdf",
        "README.md",
        "_SUCCESS",
        ".git/config",
        "dataset_info.json",
        "sub/part-00001",
        "sub/notes.MD",
    ]);
    let found = expand(&[dir.path()]).unwrap();
    let names: Vec<_> = found.paths.iter().map(|path| name_of(path)).collect();
    assert_eq!(names, ["a.jsonl", "notes.MD", "part-00001"]);
    let notes = found.left_out.notes().join("\n");
    for part in [
        "3 files",
        "2 .csv, 1 .pdf",
        "x.csv",
        "--format",
        "4 names",
        "README.md",
    ] {
        assert!(notes.contains(part), "no {part} in: {notes}");
    }
}

#[test]
fn with_a_format_every_kind_is_read_and_a_named_file_too() {
    let dir = some_files();
    let table = dir.path().join("table.csv");
    let all = expand_inputs(&[dir.path()], Some(DocumentFormat::Text)).unwrap();
    assert!(all.paths.contains(&table));
    assert_eq!(
        expand_inputs(&[&table], Some(DocumentFormat::Text))
            .unwrap()
            .paths,
        std::slice::from_ref(&table)
    );
    let error = expand(&[&table]).unwrap_err();
    assert!(error.to_string().contains("--format"), "{error}");
    assert_eq!(error.kind(), crate::error::Kind::Usage);
    // A file named explicitly is read, even if a walk would leave it out.
    assert_eq!(
        expand(&[&dir.path().join("README.md")])
            .unwrap()
            .paths
            .len(),
        1
    );
}

#[test]
fn a_pattern_without_a_match_is_an_error_that_names_it_and_what_is_there() {
    let dir = some_files();
    for name in ["*.parquet", "absent.jsonl"] {
        let error = expand(&[&dir.path().join(name)]).unwrap_err();
        assert!(matches!(&error, CorpusError::NoMatch { pattern, .. } if pattern.ends_with(name)));
        assert_eq!(error.kind(), crate::error::Kind::Usage);
    }
    let error = expand(&[&dir.path().join("[.jsonl")]).unwrap_err();
    assert!(matches!(error, CorpusError::BadPattern { .. }), "{error}");
    let error = expand(&[&dir.path().join("*.csv")]).unwrap_err();
    assert!(error.to_string().contains("table.csv"), "{error}");
}

#[test]
fn a_symlink_loop_is_an_error() {
    let dir = some_files();
    symlink(dir.path(), dir.path().join("sub/up")).unwrap();
    let error = expand(&[dir.path()]).unwrap_err();
    assert!(matches!(&error, CorpusError::SymlinkLoop { path } if path.ends_with("sub/up")));

    let itself = dir.path().join("self.jsonl");
    symlink(&itself, &itself).unwrap();
    let error = expand(&[&itself]).unwrap_err();
    assert!(matches!(error, CorpusError::SymlinkLoop { .. }));
}

#[test]
fn a_linked_directory_without_a_loop_is_walked() {
    let (dir, other) = (some_files(), some_files());
    symlink(other.path(), dir.path().join("sub/other")).unwrap();
    assert_eq!(expand(&[dir.path()]).unwrap().paths.len(), 6);
}

#[test]
fn a_file_under_several_names_is_read_once_by_the_name_that_says_its_kind() {
    let dir = tree(&["0123abc", "b.jsonl"]);
    symlink(dir.path().join("0123abc"), dir.path().join("z.jsonl")).unwrap();
    fs::hard_link(dir.path().join("b.jsonl"), dir.path().join("c.jsonl")).unwrap();
    let found = expand(&[dir.path()]).unwrap();
    let names: Vec<_> = found.paths.iter().map(|path| name_of(path)).collect();
    assert_eq!(names, ["b.jsonl", "z.jsonl"]);
    let notes = found.left_out.notes().join("\n");
    assert!(
        notes.contains("skipped 2 names of files that are already read"),
        "{notes}"
    );
}

#[test]
fn a_hub_cache_is_read_by_its_snapshots_and_each_file_once() {
    let dir = tree(&["blobs/aaa", "blobs/bbb", "blobs/old", "refs/main"]);
    for (revision, name, blob) in [
        ("r1", "train.jsonl", "aaa"),
        ("r1", "valid.jsonl", "bbb"),
        ("r2", "train.jsonl", "aaa"),
    ] {
        let folder = dir.path().join("snapshots").join(revision);
        fs::create_dir_all(&folder).unwrap();
        symlink(format!("../../blobs/{blob}"), folder.join(name)).unwrap();
    }
    let found = expand(&[dir.path()]).unwrap();
    let names: Vec<_> = found.paths.iter().map(|path| name_of(path)).collect();
    assert_eq!(names, ["train.jsonl", "valid.jsonl"]);
    let notes = found.left_out.notes().join("\n");
    assert!(notes.contains("of files that are already read"), "{notes}");
    assert!(notes.contains("blobs/old"), "{notes}");
}

#[test]
fn file_names_that_are_not_utf8_are_read_from_folders_globs_and_directly() {
    let dir = tree(&["a.jsonl"]);
    let name = OsStr::from_bytes(b"caf\xe9.jsonl");
    fs::write(dir.path().join(name), "x").unwrap();
    assert_eq!(expand(&[dir.path()]).unwrap().paths.len(), 2);
    assert_eq!(
        expand(&[&dir.path().join("*.jsonl")]).unwrap().paths.len(),
        2
    );
    assert_eq!(expand(&[&dir.path().join(name)]).unwrap().paths.len(), 1);
}

#[test]
fn irregular_files_are_counted_and_never_block() {
    let dir = tree(&["a.jsonl"]);
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s.jsonl")).unwrap();
    let found = expand(&[dir.path()]).unwrap();
    assert_eq!((found.paths.len(), found.left_out.notes().len()), (1, 1));
}

#[test]
fn what_can_be_read_only_once_is_refused_where_it_is_named() {
    let dir = tree(&["a.jsonl"]);
    let pipe = dir.path().join("p.jsonl");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [&*pipe, Path::new("/dev/zero"), Path::new("-")] {
        let error = expand(&[path]).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
        let said = error.to_string();
        assert!(
            said.contains(&shown_pattern(path.as_os_str()))
                && said.contains("write the text to a file first"),
            "{said}"
        );
    }
    // Its name is reached by a directory before it.
    fs::write(dir.path().join("-"), "text").unwrap();
    assert!(expand(&[&dir.path().join("-")]).is_ok());
}
