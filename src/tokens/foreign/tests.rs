use super::*;
use proptest::prelude::*;
use std::fs;

fn what(bytes: &[u8]) -> Option<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    fs::write(&path, bytes).unwrap();
    kind_of(&RawFile::open(&path).unwrap())
        .unwrap()
        .map(|foreign| foreign.what)
}

/// `parts` concatenated, and padded with zeros to 400 bytes.
fn padded(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = parts.concat();
    bytes.resize(bytes.len().max(400), 0);
    bytes
}

#[test]
fn known_kinds_are_told_by_what_they_begin_with() {
    let mut tar = vec![b'a'; 600];
    tar[100..257].fill(0);
    tar[257..262].copy_from_slice(b"ustar");
    let ones = [0xff; 4];
    let schema = 256_u32.to_le_bytes();
    for (bytes, word) in [
        (padded(&[&[0x1f, 0x8b, 8, 0]]), "gzip"),
        (padded(&[&[0x28, 0xb5, 0x2f, 0xfd]]), "zstd"),
        (padded(&[b"\xfd7zXZ\0"]), "xz"),
        (padded(&[b"BZh91AY&SY"]), "bzip2"),
        (padded(&[&[4, 0x22, 0x4d, 0x18]]), "lz4"),
        (padded(&[b"\x89HDF\r\n\x1a\n"]), "HDF5"),
        (padded(&[b"PAR1"]), "Parquet"),
        (padded(&[b"ARROW1\0\0"]), "Arrow IPC"),
        (
            padded(&[&ones, &schema, &[0; 30], b"input_ids\0\0"]),
            "Arrow stream",
        ),
        (padded(&[b"SQLite format 3\0"]), "SQLite"),
        (
            padded(&[b"PK\x03\x04", &[0; 26], b"archive/data.pkl"]),
            "PyTorch",
        ),
        (padded(&[b"PK\x03\x04", &[0; 26], b"arr_0.npy"]), "npz"),
        (padded(&[b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"]), "PyTorch"),
        ([&b"\x80\x04\x95"[..], &[0; 60], b"."].concat(), "pickle"),
        (
            padded(&[&64_u64.to_le_bytes(), b"{\"weight\":{\"dtype\":"]),
            "safetensors",
        ),
        (padded(&[&[8, 9, 18, 7], b"pytorch"]), "ONNX"),
        (padded(&[b"MMIDIDX\0\0"]), "Megatron index"),
        (
            padded(&[&20_240_326_u32.to_le_bytes()]),
            "llm.c's model weights",
        ),
        (tar, "tar"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid".to_vec(),
            "Git LFS",
        ),
        (
            b"<!DOCTYPE html><html><body>404</body></html>".to_vec(),
            "web page",
        ),
        (
            b"{\"text\": \"a document of some length\"}\n".to_vec(),
            "JSON",
        ),
        (
            "Prose, with an \u{e9} and \u{201c}quotes\u{201d}.\n"
                .repeat(9_000)
                .into_bytes(),
            "text",
        ),
    ] {
        let found = what(&bytes);
        assert!(
            found.is_some_and(|found| found.contains(word)),
            "{word}: {found:?}"
        );
    }
}

#[test]
fn shards_of_samples_are_told_by_their_table() {
    let word = |n: u32| n.to_le_bytes();
    // litdata: two samples of 6 bytes.
    let litdata = [&word(2)[..], &word(16), &word(22), &word(28), &[7; 12]].concat();
    assert!(what(&litdata).is_some_and(|what| what.contains("litdata")));
    // MDS: the same with a description of its columns in between.
    let mds = [
        &word(2)[..],
        &word(18),
        &word(24),
        &word(30),
        b"{}",
        &[7; 12],
    ]
    .concat();
    assert!(what(&mds).is_some_and(|what| what.contains("MDS")));
    let other_end = [&word(2)[..], &word(16), &word(22), &word(27), &[7; 12]].concat();
    assert_eq!(what(&other_end), None);
}

proptest! {
    #[test]
    fn ids_are_no_other_kind_of_file(
        ids in prop::collection::vec(0..50_257_u16, 0..4_000),
        small in prop::collection::vec(0..64_u16, 0..4_000),
    ) {
        for ids in [ids, small] {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            prop_assert_eq!(what(&bytes), None);
        }
    }
}

#[test]
fn ids_that_spell_the_beginning_of_a_header_by_chance_are_ids() {
    // i64 ids: a number below the size, then the id with the bytes `{"`.
    let ids = [40_i64, 0x227b, 7, 9, 11, 13, 15, 17];
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    assert_eq!(what(&bytes), None);
    // A few bytes that are all letters.
    assert_eq!(what(b"abcdefgh"), None);
}
