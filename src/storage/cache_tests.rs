//! The cache of copies and blocks: what is removed, when, and what never is.

use super::block_file::BlockFile;
use super::copies::fill;
use super::eviction::make_room;
use super::fault::{Unsupported, on_filesystem};
use super::location::{Location, locate};
use super::object::{self, Object};
use super::testing::block_hashes;
use super::*;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn put(dir: &Path, name: &str, n_bytes: usize) -> Object {
    let path = dir.join(name);
    let content: Vec<u8> = (0..n_bytes).map(|i| (i * 31 + (i >> 8)) as u8).collect();
    replace(&path, &content).unwrap();
    match locate(&path).unwrap() {
        Location::Object(url) => object::open(&url).unwrap(),
        Location::Local(_) => panic!("a URL"),
    }
}

fn names_below(dir: &Path) -> Vec<String> {
    let listed = list_all(dir).unwrap_or_default().into_iter();
    let names = listed.map(|entry| entry.name.into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

/// The last path component of every copy in `cache`.
fn copies_in(cache: &TempDir) -> Vec<String> {
    let names = names_below(&cache.path().join("objects")).into_iter();
    let mut names: Vec<String> = names
        .map(|name| name.rsplit('/').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Makes the copy at `path` look as if last used this many seconds ago.
fn age(path: &Path, seconds: u64) {
    let lock = path.parent().unwrap().with_extension("lock");
    let file = std::fs::File::open(lock).unwrap();
    let then = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(then).unwrap();
}

fn room(cache: &TempDir, n_bytes: u64, limit: u64) {
    make_room(cache.path(), n_bytes, limit, Path::new("s3://x/y")).unwrap();
}

#[test]
fn what_was_used_longest_ago_goes_first_and_what_is_in_use_never() {
    let dir = install_sound("cache-lru");
    let cache = tempfile::tempdir().unwrap();
    let objects: Vec<Object> = ["a", "b", "c"].map(|name| put(&dir, name, 100)).into();
    let fill_all = |cache: &TempDir| -> Vec<_> {
        let fill = |object| fill(cache.path(), object, 1 << 20).unwrap();
        objects.iter().map(fill).collect()
    };
    let paths = fill_all(&cache);
    for (path, seconds) in paths.iter().zip([10, 30, 20]) {
        age(path, seconds);
    }
    // All of them are in use by this process.
    room(&cache, 100, 250);
    assert_eq!(copies_in(&cache), ["a", "b", "c"]);
    leases::end(cache.path());
    room(&cache, 50, 350);
    assert_eq!(copies_in(&cache), ["a", "b", "c"]);
    room(&cache, 50, 300);
    assert_eq!(copies_in(&cache), ["a", "c"]);
    room(&cache, 100, 200);
    assert_eq!(copies_in(&cache), ["a"]);
    // A removed copy is made again.
    assert_eq!(fill_all(&cache), paths);
    assert_eq!(std::fs::read(&paths[1]).unwrap().len(), 100);
    leases::end(cache.path());
    // A copy larger than the limit is made all the same.
    let large = put(&dir, "large", 1000);
    fill(cache.path(), &large, 500).unwrap();
    assert_eq!(copies_in(&cache), ["large"]);
}

#[test]
fn another_process_that_lives_keeps_its_copies_and_one_that_was_killed_does_not() {
    let dir = install_sound("cache-killed");
    let cache = tempfile::tempdir().unwrap();
    let object = put(&dir, "a", 100);
    let path = fill(cache.path(), &object, 1 << 20).unwrap();
    leases::end(cache.path());
    let name = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let lease = cache.path().join("in-use/.copies.other.7.0123456789abcdef");
    std::fs::write(&lease, format!("{name}\n")).unwrap();
    let lock = lock_file(&lease).unwrap().expect("free");
    room(&cache, 100, 100);
    assert_eq!(copies_in(&cache), ["a"]);
    drop(lock);
    room(&cache, 100, 100);
    assert!(copies_in(&cache).is_empty() && !lease.exists());
    // A lease that has released the copy.
    std::fs::write(&lease, format!("{name}\nother\n-{name}\n")).unwrap();
    let lock = lock_file(&lease).unwrap();
    fill(cache.path(), &object, 1 << 20).unwrap();
    leases::release(cache.path(), name).unwrap();
    room(&cache, 100, 100);
    assert!(copies_in(&cache).is_empty());
    drop(lock);
    // While a copy is being made its lock is held, and eviction leaves it alone.
    let path = fill(cache.path(), &object, 1 << 20).unwrap();
    leases::end(cache.path());
    let held = lock_file(&path.parent().unwrap().with_extension("lock"));
    room(&cache, 100, 100);
    assert_eq!(copies_in(&cache), ["a"]);
    drop(held);
}

#[test]
fn where_there_are_no_locks_nothing_is_removed() {
    let dir = install_sound("cache-lockless");
    let cache = tempfile::tempdir().unwrap();
    let object = put(&dir, "a", 100);
    on_filesystem(Unsupported::Locks, || {
        fill(cache.path(), &object, 50).unwrap();
        leases::end(cache.path());
        room(&cache, 100, 100);
    });
    assert_eq!(copies_in(&cache), ["a"]);
}

#[test]
fn a_prefix_that_lost_a_file_in_a_crash_is_made_whole_again() {
    let dir = install_sound("cache-prefix").join("model");
    let cache = tempfile::tempdir().unwrap();
    for name in ["config.json", "weights"] {
        put(&dir, name, 100);
    }
    let Location::Object(url) = locate(&dir).unwrap() else {
        panic!("a URL");
    };
    let copy = || copies::copy_below(cache.path(), &url, |_| true).unwrap();
    let first = copy();
    std::fs::remove_file(first.join("weights")).unwrap();
    assert_eq!(copy(), first);
    assert_eq!(std::fs::read(first.join("weights")).unwrap().len(), 100);
    // A file with two names frees nothing until both are gone.
    leases::end(cache.path());
    room(&cache, 1, 200);
    let left = copies_in(&cache);
    assert!(left.len() < 4 && !left.is_empty(), "{left:?}");
    room(&cache, 1, 1);
    assert!(copies_in(&cache).is_empty());
}

const BLOCK_BYTES: u64 = 1024;

/// An object of `n_blocks` blocks, opened as another process would.
fn blocks(cache: &TempDir, limit: u64, path: &Path) -> BlockFile {
    let content = read(path).unwrap();
    let hashes = block_hashes(&content, BLOCK_BYTES);
    let opened = BlockFile::open_in(cache.path(), limit, path, hashes);
    opened.unwrap().expect("a URL")
}

fn bytes_of_blocks(cache: &TempDir) -> u64 {
    let listed = list_all(&cache.path().join("blocks")).unwrap();
    listed.iter().map(|entry| entry.n_bytes).sum()
}

#[test]
fn blocks_stay_within_the_limit_but_for_those_that_are_open() {
    let dir = install_sound("cache-blocks");
    let cache = tempfile::tempdir().unwrap();
    put(&dir, "tokens.bin", 200 * 1024 + 7);
    let path = dir.join("tokens.bin");
    let content = read(&path).unwrap();
    let limit = 80 * BLOCK_BYTES;
    let file = blocks(&cache, limit, &path);
    let mut got = vec![0; content.len()];
    file.read_exact_at(0, &mut got).unwrap();
    assert!(got == content);
    assert!(bytes_of_blocks(&cache) <= limit);
    // Two processes with a limit that neither can keep.
    let small = 4 * BLOCK_BYTES;
    let others = [
        blocks(&cache, small, &path),
        blocks(&cache, small, &path),
        file,
    ];
    std::thread::scope(|scope| {
        for (n, other) in others.iter().enumerate() {
            let content = &content;
            scope.spawn(move || {
                for i in 0..300 {
                    let start = (i * 7919 + n * 104_729) % (content.len() - 1500);
                    let mut got = vec![0; 1500];
                    other.read_exact_at(start as u64, &mut got).unwrap();
                    assert!(got == content[start..start + 1500], "{n} {i}");
                }
            });
        }
    });
    drop(others);
    room(&cache, 1, small);
    assert!(bytes_of_blocks(&cache) < small);
}

#[test]
fn a_block_that_was_damaged_in_the_cache_and_what_a_kill_left_are_done_again() {
    let (dir, requests) = install_counted("cache-damaged");
    let cache = tempfile::tempdir().unwrap();
    put(&dir, "tokens.bin", 3000);
    let path = dir.join("tokens.bin");
    let content = read(&path).unwrap();
    let read_all = || {
        let file = blocks(&cache, 1 << 20, &path);
        let n_requests = requests.n_requests();
        let mut got = vec![0; 3000];
        file.read_exact_at(0, &mut got).unwrap();
        assert!(got == content);
        requests.n_requests() - n_requests
    };
    assert_eq!((read_all(), read_all()), (3, 0));
    let names = names_below(&cache.path().join("blocks"));
    let place = |idx: usize| cache.path().join("blocks").join(&names[idx]);
    let mut damaged = std::fs::read(place(1)).unwrap();
    damaged[5] ^= 1;
    std::fs::write(place(1), damaged).unwrap();
    std::fs::write(place(2), b"cut").unwrap();
    let left = place(0).with_file_name(".000.host.1.0123456789abcdef");
    std::fs::write(&left, b"half").unwrap();
    assert_eq!((read_all(), read_all()), (2, 0));
    room(&cache, 1, 1 << 20);
    assert!(!left.exists());
    // A new version of the object has other blocks.
    put(&dir, "tokens.bin", 3000);
    assert_eq!(read_all(), 3);
}
