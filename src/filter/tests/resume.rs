use super::support::{Setup, run};
use crate::error::{Classified, Kind};
use crate::filter::{FilterError, FilterOptions, Job, Skipped};
use crate::interrupt::Interrupt;
use crate::storage::fail_nth;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Enough lines for a progress update in the middle of a file.
const N_LINES: usize = 3000;

fn setup() -> Setup {
    let lines = |word: &str| {
        let line = |i: usize| format!("{{\"text\":\"{word} {i}\"}}\n");
        (0..N_LINES).map(line).collect::<String>().into_bytes()
    };
    let setup = Setup::new(&[
        ("a.jsonl", lines("a")),
        ("b.jsonl", lines("b")),
        ("c.txt", b"c".to_vec()),
    ]);
    setup.select(|doc_index| doc_index % 3 != 0);
    setup
}

/// Every file below a directory, including hidden ones.
fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => {
                let below = snapshot(&path).into_iter();
                files.extend(below.map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
            }
            false => {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn an_interrupted_run_leaves_whole_files_and_goes_on_to_the_same_bytes() {
    let setup = setup();
    let mut reference = setup.request(FilterOptions::default());
    reference.output = setup.path("reference");
    run(reference).unwrap();
    let want = snapshot(&setup.path("reference"));
    let mut n_looks = 0;
    // At every progress update of an uninterrupted run, and once after the last.
    for stop_at in 0.. {
        let interrupt = Interrupt::new();
        let request = setup.request(FilterOptions::default());
        n_looks = 0;
        let result = Job::open(request, &interrupt).unwrap().run(|_| {
            n_looks += 1;
            if n_looks == stop_at + 1 {
                interrupt.request();
            }
        });
        let Err(error) = result else { break };
        assert_eq!(error.kind(), Kind::Interrupted, "{error}");
        for (name, bytes) in snapshot(&setup.path("out")) {
            assert_eq!(want.get(&name), Some(&bytes), "{name} after {stop_at}");
        }
        let summary = setup.filter(FilterOptions::default()).unwrap();
        assert_eq!(summary.counts.n_kept, 4000);
        assert_eq!(snapshot(&setup.path("out")), want);
        fs::remove_dir_all(setup.path("out")).unwrap();
    }
    assert!(n_looks > 4, "only {n_looks} looks");
}

#[test]
fn a_disk_that_fails_at_any_operation_leaves_whole_files_and_the_next_run_finishes() {
    let setup = setup();
    let mut reference = setup.request(FilterOptions::default());
    reference.output = setup.path("reference");
    run(reference).unwrap();
    let want = snapshot(&setup.path("reference"));
    let mut n_operations = 0;
    loop {
        let (result, reached) = fail_nth(n_operations, || setup.filter(FilterOptions::default()));
        if !reached {
            break;
        }
        if let Err(error) = result {
            assert_eq!(
                error.kind(),
                Kind::Failed,
                "operation {n_operations}: {error}"
            );
        }
        for (name, bytes) in snapshot(&setup.path("out")) {
            assert_eq!(
                want.get(&name),
                Some(&bytes),
                "{name}, operation {n_operations}"
            );
        }
        setup.filter(FilterOptions::default()).unwrap();
        assert_eq!(snapshot(&setup.path("out")), want);
        fs::remove_dir_all(setup.path("out")).unwrap();
        n_operations += 1;
    }
    assert!(
        n_operations > 15,
        "only {n_operations} operations were seen"
    );
}

#[test]
fn finished_files_stay_and_removed_ones_are_written_again() {
    let setup = setup();
    let first = setup.filter(FilterOptions::default()).unwrap();
    let want = snapshot(&setup.path("out"));
    fs::remove_file(setup.path("out/b.jsonl")).unwrap();
    let second = setup.filter(FilterOptions::default()).unwrap();
    assert_eq!(
        (first.n_files_done_before, second.n_files_done_before),
        (0, 2)
    );
    assert_eq!(first.counts, second.counts);
    assert_eq!(snapshot(&setup.path("out")), want);
}

#[test]
fn a_finished_file_that_was_changed_is_named_and_stays() {
    let setup = setup();
    setup.filter(FilterOptions::default()).unwrap();
    fs::write(setup.path("out/a.jsonl"), "mine").unwrap();
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert!(
        matches!(error, FilterError::ChangedOutput { got: 4, .. }),
        "{error}"
    );
    assert_eq!(setup.output("a.jsonl"), b"mine");
}

#[test]
fn another_filter_in_the_same_place_is_refused_and_says_what_differs() {
    let setup = setup();
    setup.filter(FilterOptions::default()).unwrap();
    let options = FilterOptions {
        skipped: Skipped::Keep,
        ..FilterOptions::default()
    };
    let error = setup.filter(options).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let message = error.to_string();
    assert!(
        message.contains("its options is") && message.contains("\"keep\""),
        "{message}"
    );
    let records = setup.path("out/_filter/plan.json");
    fs::write(&records, b"{").unwrap();
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert!(
        matches!(error, FilterError::DamagedRecord { .. }),
        "{error}"
    );
}

#[test]
fn two_processes_do_not_write_into_one_directory() {
    let setup = setup();
    let interrupt = Interrupt::new();
    let _first = Job::open(setup.request(FilterOptions::default()), &interrupt).unwrap();
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert!(matches!(error, FilterError::InUse { .. }), "{error}");
}
