use super::*;
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;
use std::sync::Barrier;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_created_once_and_the_first_content_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    assert_eq!(create_if_absent(&path, b"one").unwrap(), Publish::Created);
    assert_eq!(
        create_if_absent(&path, b"two").unwrap(),
        Publish::AlreadyThere
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    replace(&path, b"three").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"three");
    assert_eq!(names(dir.path()), ["plan.json"]);
}

#[test]
fn what_passes_through_a_partial_is_hashed_as_the_file_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part");
    let mut partial = Partial::create(&path).unwrap();
    for i in 0..1000u32 {
        partial.write_all(&i.to_le_bytes()).unwrap();
    }
    let sealed = partial.seal().unwrap();
    assert_eq!(hash_file(sealed.temp_path()).unwrap(), sealed.hash);
    let hash = sealed.hash.clone();
    assert_eq!(sealed.publish().unwrap(), Publish::Created);
    assert_eq!(hash_file(&path).unwrap(), hash);
    assert_eq!(hash.bytes, 4000);
}

#[test]
fn a_dropped_partial_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut partial = Partial::create(&dir.path().join("part")).unwrap();
    partial.write_all(b"half").unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    drop(partial);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_sweep_takes_dead_temporaries_of_the_name_and_leaves_live_and_foreign_files() {
    let dir = tempfile::tempdir().unwrap();
    let live = Partial::create(&dir.path().join("part-0.parquet")).unwrap();
    let sealed = Partial::create(&dir.path().join("part-0.parquet"))
        .unwrap()
        .seal()
        .unwrap();
    let dead = ".part-0.parquet.host.12.00112233445566ff";
    let others = [
        "part-0.parquet",
        ".part-0.parquet",
        ".part-0.parquet.swp",
        ".part-01.parquet.host.12.00112233445566ff",
        ".part-0.parquet.host.x.00112233445566ff",
        ".part-0.parquet.host.12.001122",
    ];
    for name in others.iter().chain([&dead]) {
        std::fs::write(dir.path().join(name), b"x").unwrap();
    }
    assert_eq!(sweep_abandoned(dir.path(), "part-0.parquet").unwrap(), 1);
    let left = names(dir.path());
    assert!(!left.contains(&dead.to_owned()));
    assert_eq!(left.len(), others.len() + 2);
    drop((live, sealed));
    assert_eq!(names(dir.path()).len(), others.len());
}

#[test]
fn a_sweep_of_a_missing_directory_finds_nothing() {
    assert_eq!(
        sweep_abandoned(Path::new("/nonexistent/labels"), "x").unwrap(),
        0
    );
}

#[test]
fn of_many_racing_publishers_one_creates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part");
    let barrier = Barrier::new(8);
    let n_created = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    create_if_absent(&path, b"the same").unwrap()
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap())
            .filter(|&outcome| outcome == Publish::Created)
            .count()
    });
    assert_eq!(n_created, 1);
    assert_eq!(names(dir.path()), ["part"]);
}

#[test]
fn publishers_and_sweepers_racing_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let dir = dir.path();
            scope.spawn(move || {
                for i in 0..200 {
                    let path = dir.join(format!("part-{publisher}-{i}"));
                    assert_eq!(create_if_absent(&path, b"x").unwrap(), Publish::Created);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..400 {
                sweep_abandoned_where(dir.path(), |_| true).unwrap();
            }
        });
    });
    assert_eq!(names(dir.path()).len(), 400);
}

#[test]
fn without_hard_links_a_copy_is_published_exclusively() {
    let dir = tempfile::tempdir().unwrap();
    let temp = dir.path().join("temp");
    let path = dir.path().join("part");
    std::fs::write(&temp, b"content").unwrap();
    assert_eq!(
        publish::publish_copy(&temp, &path).unwrap(),
        Publish::Created
    );
    assert_eq!(
        publish::publish_copy(&temp, &path).unwrap(),
        Publish::AlreadyThere
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
}

#[test]
fn without_hard_links_the_first_of_two_stays_and_is_whole() {
    for unsupported in [Unsupported::Links, Unsupported::LinksAndExclusiveRenames] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let create = |bytes| on_filesystem(unsupported, || create_if_absent(&path, bytes).unwrap());
        assert_eq!(create(b"one"), Publish::Created);
        assert_eq!(create(b"two"), Publish::AlreadyThere);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(names(dir.path()), ["plan.json"], "{unsupported:?}");
    }
}

#[test]
fn whoever_begins_a_file_sweeps_what_killed_writers_of_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.bin");
    let live = Partial::create(&path).unwrap();
    let dead = dir.path().join(".tokens.bin.host.12.00112233445566ff");
    let other = dir.path().join(".tokens.idx.host.12.00112233445566ff");
    std::fs::write(&dead, b"half").unwrap();
    std::fs::write(&other, b"half").unwrap();
    replace(&path, b"whole").unwrap();
    assert!(!dead.exists() && other.exists());
    assert_eq!(names(dir.path()).len(), 3, "the live one stays");
    drop(live);
}

#[test]
fn names_up_to_what_a_filesystem_allows_are_written_and_swept() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let long = [
        "a".repeat(255),
        "語".repeat(85),
        format!("b{}", "é".repeat(127)),
    ];
    for name in &long {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        assert_eq!(create_if_absent(&path, b"x").unwrap(), Publish::Created);
        let partial = Partial::create(&path).unwrap();
        assert_eq!(
            sweep_abandoned(dir.path(), name).unwrap(),
            0,
            "it is in work"
        );
        let temp = names(dir.path()).into_iter().find(|temp| temp != name);
        drop(partial);
        std::fs::write(dir.path().join(temp.unwrap()), b"half").unwrap();
        assert_eq!(sweep_abandoned(dir.path(), name).unwrap(), 1);
        assert_eq!(names(dir.path()), std::slice::from_ref(name));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"caf\xe9.parquet"));
    replace(&path, b"x").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_path_that_ends_in_a_slash_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["x/", "x/.", "x//"] {
        let path = dir.path().join(path);
        let error = create_if_absent(&path, b"").unwrap_err();
        assert!(
            matches!(error, StorageError::NotAFileName { .. }),
            "{error}"
        );
        check_file_name(&path).unwrap_err();
    }
    check_file_name(&dir.path().join("x")).unwrap();
}

#[test]
fn system_errors_are_distinguished_from_missing_files() {
    use crate::error::{Classified, Kind};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 9_000_000]).unwrap();
    let whole = hash_file(&path).unwrap();
    assert_eq!(
        whole.blake3,
        blake3::hash(&vec![7; 9_000_000]).to_hex().to_string()
    );
    for code in [
        libc::EIO,
        libc::ESTALE,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
    ] {
        for n in 0.. {
            let (hash, reached) = fail_nth_read(n, code, || hash_file(&path));
            if !reached {
                assert_eq!(hash.unwrap(), whole);
                assert_eq!(n, 4, "one open, and three blocks");
                break;
            }
            let error = hash.unwrap_err();
            assert!(
                error.is_refusal() && error.kind() == Kind::Failed,
                "{error:?}"
            );
            assert!(error.to_string().contains("try again"), "{error}");
        }
    }
    let missing = hash_file(&dir.path().join("other")).unwrap_err();
    assert!(!missing.is_refusal() && missing.is_not_found());
}

#[test]
fn a_source_gives_the_systems_error_in_place_of_what_the_decoder_made_of_it() {
    use parquet::file::reader::ChunkReader;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 100]).unwrap();
    let source = Source::open(&path).unwrap();
    let read = |start, length| {
        source.decode(|| {
            let bytes = source.get_bytes(start, length);
            bytes.map_err(|_| parquet::errors::ParquetError::General("text alone".to_owned()))
        })
    };
    assert_eq!(read(10, 90).unwrap().len(), 90);
    let (failed, _) = fail_nth_read(0, libc::EIO, || read(10, 90));
    assert!(matches!(failed, Err(DecodeError::Read(error)) if error.is_refusal()));
    // The next error is the decoder's own.
    assert!(matches!(read(10, 91), Err(DecodeError::Parquet(_))));
    let panicked = source.decode::<()>(|| panic!("index out of bounds"));
    assert!(
        matches!(panicked, Err(DecodeError::Panic(what)) if what.ends_with("index out of bounds"))
    );
}

#[test]
fn a_copy_that_fails_midway_leaves_no_final_name() {
    let dir = tempfile::tempdir().unwrap();
    let temp = dir.path().join("temp");
    let path = dir.path().join("part");
    std::fs::write(&temp, b"content").unwrap();
    for n in 0.. {
        let (result, reached) = fail_nth(n, || publish::publish_copy(&temp, &path));
        if !reached {
            result.unwrap();
            break;
        }
        assert!(matches!(result, Err(StorageError::NoSpace { .. })));
        assert!(!path.exists());
    }
}

#[test]
fn each_failing_operation_of_a_publication_is_an_error_and_a_later_try_goes_through() {
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let (result, reached) = fail_nth(n, || create_if_absent(&path, b"whole"));
        if !reached {
            assert_eq!(result.unwrap(), Publish::Created);
            assert!(n >= 5, "create, write, fsync, link, fsync of the directory");
            break;
        }
        let message = result.unwrap_err().to_string();
        assert!(message.contains("no space left for"), "{message}");
        // After the link the file is whole; before it there is none.
        for name in names(dir.path()) {
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"whole");
        }
        create_if_absent(&path, b"whole").unwrap();
        assert_eq!(names(dir.path()), ["plan.json"]);
    }
}

/// Creates a directory of one file with this content.
fn make_dir(dir: &Path, content: &str) {
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("file"), content).unwrap();
}

fn content_of(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join("file")).ok()
}

#[test]
fn a_directory_takes_the_place_of_another_and_nothing_is_left_of_that() {
    let dir = tempfile::tempdir().unwrap();
    let [part, place, old] = ["part", "place", "old"].map(|name| dir.path().join(name));
    for content in ["one", "two"] {
        make_dir(&part, content);
        replace_dir(&part, &place, &old).unwrap();
        assert_eq!(content_of(&place).unwrap(), content);
        assert_eq!(names(dir.path()), ["place"]);
    }
}

#[test]
fn each_failing_operation_of_a_replacement_leaves_the_old_directory_or_the_new_one_in_place() {
    let mut seen = Vec::new();
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let [part, place, old] = ["part", "place", "old"].map(|name| dir.path().join(name));
        make_dir(&place, "one");
        make_dir(&part, "two");
        let (result, reached) = fail_nth(n, || replace_dir(&part, &place, &old));
        if !reached {
            result.unwrap();
            break;
        }
        result.unwrap_err();
        seen.push(content_of(&place).unwrap());
        if !part.exists() {
            make_dir(&part, "two");
        }
        replace_dir(&part, &place, &old).unwrap();
        assert_eq!(content_of(&place).unwrap(), "two");
        assert_eq!(names(dir.path()), ["place"]);
    }
    assert_eq!(seen, ["one", "one", "one", "one", "one", "two", "two"]);
}

#[test]
fn a_replacement_that_fails_keeps_what_an_earlier_one_could_not_rename_back() {
    let dir = tempfile::tempdir().unwrap();
    let [part, place, old] = ["part", "place", "old"].map(|name| dir.path().join(name));
    make_dir(&old, "one");
    make_dir(&part, "two");
    let (result, _) = fail_nth(0, || replace_dir(&part, &place, &old));
    result.unwrap_err();
    assert_eq!(content_of(&old).unwrap(), "one");
}

#[test]
fn a_tree_that_is_not_there_is_removed_already() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    make_dir(&tree, "leaf");
    remove_tree(&tree).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

/// It would wait for a writer for ever.
#[test]
fn a_pipe_is_refused_where_a_file_is_read_here_and_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let errors = [
        Source::open(&path).err(),
        hash_file(&path).err(),
        sampled_blake3(&path).err(),
        for_each_block(&path, |_| Ok(())).err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(
            crate::error::Classified::kind(&error),
            crate::error::Kind::Usage
        );
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("a pipe or a device"), "{source}");
    }
}

/// A device has no end, and a file that is read whole is in memory.
#[test]
fn of_what_is_read_whole_no_more_is_read_than_a_file_of_its_kind_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, "steps = 7").unwrap();
    assert_eq!(read_typed(&path).unwrap(), "steps = 7");
    assert_eq!(read_up_to(&path, 9).unwrap().unwrap(), b"steps = 7");
    assert_eq!(read_up_to(&dir.path().join("none"), 9).unwrap(), None);
    let huge = dir.path().join("huge.toml");
    let sized = std::fs::File::create(&huge).and_then(|file| file.set_len(2 << 30));
    sized.unwrap();
    for (error, words) in [
        (
            read_typed(Path::new("/dev/zero")).err(),
            "larger than 16 MiB",
        ),
        (read_typed(&huge).err(), "larger than 16 MiB"),
        (read(&huge).err(), "larger than 1024 MiB"),
        (read(Path::new("/dev/zero")).err(), "it is a device"),
        (read_up_to(&path, 8).err(), "larger than 8 bytes"),
    ] {
        let error = error.unwrap();
        assert_eq!(
            crate::error::Classified::kind(&error),
            crate::error::Kind::Usage
        );
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(words), "{source}");
    }
}

#[test]
fn a_text_that_a_person_wrote_may_come_through_a_pipe() {
    use std::os::fd::AsRawFd;
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"steps = 7").unwrap();
    drop(writer);
    let path = format!("/dev/fd/{}", reader.as_raw_fd());
    assert_eq!(read_typed(Path::new(&path)).unwrap(), "steps = 7");
}

#[test]
fn a_path_without_a_name_is_refused() {
    for path in ["..", "/", ""] {
        let error = create_if_absent(Path::new(path), b"").unwrap_err();
        assert!(
            matches!(error, StorageError::NotAFileName { .. }),
            "{path:?}: {error}"
        );
    }
}

#[test]
fn a_missing_directory_is_named() {
    let error = create_if_absent(Path::new("/nonexistent/labels/plan.json"), b"").unwrap_err();
    assert!(error.is_not_found());
    assert!(error.to_string().contains("/nonexistent/labels"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_truncation_or_a_change_in_the_first_or_last_block_changes_the_sampled_hash(
        bytes in 1usize..12_000_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("corpus.bin");
        let mut content = vec![7u8; bytes];
        std::fs::write(&path, &content).unwrap();
        let before = sampled_blake3(&path).unwrap();
        prop_assert_eq!(&before, &sampled_blake3(&path).unwrap());
        for changed in [0, bytes - 1] {
            content[changed] ^= 1;
            std::fs::write(&path, &content).unwrap();
            prop_assert_ne!(&before, &sampled_blake3(&path).unwrap());
            content[changed] ^= 1;
        }
        std::fs::write(&path, &content[..bytes - 1]).unwrap();
        prop_assert_ne!(&before, &sampled_blake3(&path).unwrap());
    }
}
