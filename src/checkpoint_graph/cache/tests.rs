//! The cache, with and without file locks.

use super::*;
use crate::checkpoint_graph::OnWork;
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{Dialect, WeightFormat};
use crate::pretrained::tests::tiny;
use crate::storage::{Unsupported, on_filesystem};
use std::cell::RefCell;
use std::time::SystemTime;

const OPTIONS: GraphOptions = GraphOptions {
    dialect: Dialect::Standard,
    weights: WeightFormat::F32,
};

/// The graph of a tiny Llama; reports to `on_work`.
fn made_graph(cache: &Path, on_work: OnWork<'_>) -> CachedGraph {
    let dir = tiny::whole("llama");
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let interrupt = Interrupt::new();
    let observer = GraphObserver {
        interrupt: &interrupt,
        on_work,
    };
    cached_graph(&checkpoint, ["aa"].into_iter(), OPTIONS, cache, observer).unwrap()
}

fn no_progress(_: GraphWork<'_>) -> Box<dyn Fn(u64)> {
    Box::new(|_| ())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Two makers without locks: one begins and ends while the other is writing.
#[test]
fn without_locks_the_first_writer_wins_and_the_other_uses_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let first_to_end = RefCell::new(None);
    let meanwhile = |work: GraphWork<'_>| {
        assert!(matches!(work, GraphWork::Writing { .. }), "{work:?}");
        assert_eq!(names(&cache).len(), 1, "what is in work");
        first_to_end.replace(Some(made_graph(&cache, &no_progress)));
        no_progress(work)
    };
    let last = on_filesystem(Unsupported::Locks, || made_graph(&cache, &meanwhile));
    let first = first_to_end.into_inner().unwrap();
    assert!(first.is_new && !last.is_new);
    assert_eq!((&first.model, &first.files), (&last.model, &last.files));
    assert_eq!(names(&cache).len(), 1);
    assert!(whole_entry(first.model.parent().unwrap()).is_some());
}

#[test]
fn a_damaged_entry_is_replaced_with_and_without_locks() {
    for unsupported in [Unsupported::Nothing, Unsupported::Locks] {
        let dir = tempfile::tempdir().unwrap();
        let before = on_filesystem(unsupported, || made_graph(dir.path(), &no_progress));
        std::fs::write(&before.model, b"damaged").unwrap();
        let after = on_filesystem(unsupported, || made_graph(dir.path(), &no_progress));
        assert!(after.is_new, "{unsupported:?}");
        assert_eq!(before, after);
        assert!(!made_graph(dir.path(), &no_progress).is_new);
        assert_eq!(names(dir.path()).len(), 1, "{unsupported:?}");
    }
}

#[test]
fn the_last_progress_report_is_the_announced_size() {
    let dir = tempfile::tempdir().unwrap();
    let reports = std::rc::Rc::new(RefCell::new(Vec::new()));
    let on_work = |work: GraphWork<'_>| -> Box<dyn Fn(u64)> {
        let GraphWork::Writing { path, n_bytes } = work else {
            panic!("{work:?}");
        };
        assert!(path.starts_with(dir.path()) && path.ends_with(MODEL));
        reports.borrow_mut().push(n_bytes);
        let reports = std::rc::Rc::clone(&reports);
        Box::new(move |n_written| reports.borrow_mut().push(n_written))
    };
    let graph = made_graph(dir.path(), &on_work);
    let reports = reports.take();
    let (n_bytes, written) = reports.split_first().unwrap();
    assert!(written.len() > 1 && written.is_sorted());
    assert_eq!(written.last(), Some(n_bytes));
    let n_data = graph.files[1].1.bytes;
    assert!(*n_bytes > 0 && n_data.abs_diff(*n_bytes) < OVERHEAD_BYTES);
}

#[test]
fn an_entry_is_named_by_all_that_decides_its_bytes() {
    let name = |sources: [&str; 2], dialect, weights| {
        let options = GraphOptions { dialect, weights };
        entry_name(sources.into_iter(), ["a decoder", "{}"], options)
    };
    let of = ["aa", "bb"];
    let names = [
        name(of, Dialect::Standard, WeightFormat::F32),
        name(of, Dialect::Fused, WeightFormat::F32),
        name(of, Dialect::Standard, WeightFormat::F16),
        name(["bb", "aa"], Dialect::Standard, WeightFormat::F32),
    ];
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert!(names.iter().all(|name| name.len() == NAME_DIGITS));
    let again = name(of, Dialect::Standard, WeightFormat::F32);
    assert_eq!(again, names[0]);
    for texts in [["another", "{}"], ["a decoder", "{1}"]] {
        assert_ne!(entry_name(of.into_iter(), texts, OPTIONS), names[0]);
    }
}

#[test]
fn too_little_disk_space_is_reported_with_both_numbers() {
    let dir = tempfile::tempdir().unwrap();
    check_room(dir.path(), 1).unwrap();
    let error = check_room(dir.path(), u64::MAX).unwrap_err().to_string();
    assert!(
        error.contains("it takes 18446744073709551615 bytes, but "),
        "{error}"
    );
}

#[test]
fn leftovers_of_killed_writers_of_this_entry_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let ours = format!(".abc.{}.x1", host());
    for name in [
        &*ours,
        ".abc.elsewhere.x2",
        ".abc.elsewhere.x3",
        ".abd.elsewhere.x4",
        "abc",
    ] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    for name in [".abc.elsewhere.x3", ".abd.elsewhere.x4"] {
        let long_ago = SystemTime::now() - 2 * ABANDONED_AFTER;
        let part = File::open(dir.path().join(name)).unwrap();
        part.set_modified(long_ago).unwrap();
    }
    sweep(&dir.path().join("abc")).unwrap();
    let left = [".abc.elsewhere.x2", ".abd.elsewhere.x4", "abc"];
    assert_eq!(names(dir.path()), left);
}

#[test]
fn waiting_for_the_lock_can_be_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let _held = crate::storage::lock_dir(dir.path()).unwrap().unwrap();
    let interrupt = Interrupt::new();
    interrupt.request();
    let observer = GraphObserver {
        interrupt: &interrupt,
        on_work: &no_progress,
    };
    let error = wait_for_lock(dir.path(), dir.path(), observer).unwrap_err();
    assert!(matches!(error, CheckpointGraphError::Interrupted { .. }));
}
