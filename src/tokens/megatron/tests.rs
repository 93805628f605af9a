use super::*;
use crate::tokens::megatron::writer::{MegatronWriter, write_idx};
use proptest::prelude::*;
use std::fs;

/// The `.idx` and the `.bin` of documents of these lengths.
fn pair_of(lengths: &[usize], vocab_size: u32) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("a.b");
    let mut writer = MegatronWriter::create(&prefix, vocab_size).unwrap();
    let mut next = 0;
    for &length in lengths {
        let ids: Vec<u32> = (next..next + length as u32)
            .map(|id| id % vocab_size)
            .collect();
        next += length as u32;
        writer.push_document(&ids).unwrap();
    }
    let written = writer.finish().unwrap();
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "no temporary is left: {names:?}");
    let (idx, bin) = (
        fs::read(dir.path().join("a.b.idx")).unwrap(),
        fs::read(dir.path().join("a.b.bin")).unwrap(),
    );
    assert_eq!(
        (written.idx.bytes, written.bin.bytes),
        (idx.len() as u64, bin.len() as u64)
    );
    assert_eq!(written.idx.blake3, blake3::hash(&idx).to_hex().as_str());
    assert_eq!(written.bin.blake3, blake3::hash(&bin).to_hex().as_str());
    (idx, bin)
}

/// The same `.idx` without a disk, for u16 ids, and the size of its `.bin`.
fn idx_of(lengths: &[u32]) -> (Vec<u8>, u64) {
    let mut idx = Vec::new();
    write_idx(&mut idx, Dtype::U16, lengths).unwrap();
    (idx, 2 * u64::from(lengths.iter().sum::<u32>()))
}

/// Written out by hand from Megatron-LM's `indexed_dataset.py` (`_IndexWriter`): three documents of
/// 2, 0 and 3 tokens, u16.
#[rustfmt::skip]
const GOLDEN_IDX: &[u8] = &[
    b'M', b'M', b'I', b'D', b'I', b'D', b'X', 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0,
    8,
    3, 0, 0, 0, 0, 0, 0, 0,
    4, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0,  0, 0, 0, 0,  3, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0,  4, 0, 0, 0, 0, 0, 0, 0,  4, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0,  3, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn the_bytes_are_megatrons() {
    let (idx, bin) = pair_of(&[2, 0, 3], 65_535);
    assert_eq!(idx, GOLDEN_IDX);
    assert_eq!(bin, [0, 0, 1, 0, 2, 0, 3, 0, 4, 0]);
    let (idx, bin) = pair_of(&[2, 0, 3], 65_536);
    assert_eq!(idx[17], 4);
    assert_eq!(bin, [0_u32, 1, 2, 3, 4].map(u32::to_le_bytes).concat());
}

#[test]
fn an_id_past_the_vocabulary_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = MegatronWriter::create(&dir.path().join("x"), 10).unwrap();
    let error = writer.push_document(&[9, 10]).unwrap_err();
    assert!(matches!(
        error,
        crate::tokens::TokensError::IdPastVocab {
            id: 10,
            vocab_size: 10
        }
    ));
    drop(writer);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "dropped, it leaves nothing"
    );
}

fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut idx = GOLDEN_IDX.to_vec();
    idx[offset..offset + bytes.len()].copy_from_slice(bytes);
    idx
}

#[test]
fn every_fault_has_its_name() {
    let fault = |idx: &[u8]| validate_idx(idx, 10).unwrap_err();
    assert_eq!(fault(b""), IdxFault::TooShort { got: 0 });
    assert_eq!(fault(&GOLDEN_IDX[..33]), IdxFault::TooShort { got: 33 });
    assert_eq!(fault(&[0; 100]), IdxFault::Magic);
    assert_eq!(fault(&with(9, &[2])), IdxFault::Version { got: 2 });
    for code in [0, 6, 7, 9, 255] {
        assert_eq!(fault(&with(17, &[code])), IdxFault::DtypeCode { code });
    }
    assert_eq!(
        fault(&with(26, &[0])),
        IdxFault::Counts {
            n_sequences: 3,
            n_entries: 0
        }
    );
    let huge = with(18, &u64::MAX.to_le_bytes());
    assert_eq!(
        fault(&huge),
        IdxFault::Counts {
            n_sequences: u64::MAX,
            n_entries: 4
        }
    );
    // 12 * n overflows to a small number here unless the product is checked.
    let wraps = (u64::MAX / 12 + 1).to_le_bytes();
    assert!(matches!(fault(&with(18, &wraps)), IdxFault::Counts { .. }));
    assert_eq!(
        fault(&with(18, &[4])),
        IdxFault::Size {
            n_sequences: 4,
            n_entries: 4,
            expected: 114,
            got: 102
        }
    );
    assert_eq!(
        fault(&GOLDEN_IDX[..101]),
        IdxFault::Size {
            n_sequences: 3,
            n_entries: 4,
            expected: 102,
            got: 101
        }
    );
    assert_eq!(
        fault(&with(37, &[128])),
        IdxFault::Length {
            sequence: 0,
            length: i32::MIN + 2
        }
    );
    assert_eq!(
        fault(&with(34, &[3])),
        IdxFault::Pointer {
            sequence: 1,
            expected: 6,
            got: 4
        }
    );
    assert_eq!(
        fault(&with(53, &[128])),
        IdxFault::Pointer {
            sequence: 0,
            expected: 0,
            got: i64::MIN
        }
    );
    assert_eq!(
        fault(&with(42, &[4])),
        IdxFault::BinSize {
            expected: 12,
            got: 10
        }
    );
    assert_eq!(
        validate_idx(GOLDEN_IDX, 9),
        Err(IdxFault::BinSize {
            expected: 10,
            got: 9
        })
    );
    let entry = |entry, min, max, got| IdxFault::DocumentEntry {
        entry,
        min,
        max,
        got,
    };
    assert_eq!(fault(&with(70, &[1])), entry(0, 0, 0, 1));
    assert_eq!(fault(&with(78, &[4])), entry(1, 0, 3, 4));
    assert_eq!(fault(&with(86, &[0])), entry(2, 1, 3, 0));
    assert_eq!(fault(&with(94, &[2])), entry(3, 3, 3, 2));
    assert_eq!(
        fault(&with(85, &[255])),
        entry(1, 0, 3, i64::from_le_bytes([1, 0, 0, 0, 0, 0, 0, 255]))
    );
}

#[test]
fn documents_of_several_sequences_start_at_their_first() {
    // Two documents: sequences 0 and 1, sequence 2.
    let mut idx = GOLDEN_IDX[..94].to_vec();
    idx[26] = 3;
    idx[70..94].copy_from_slice(&[0_u64, 2, 3].map(u64::to_le_bytes).concat());
    let layout = validate_idx(&idx, 10).unwrap();
    assert_eq!((layout.n_documents, layout.n_tokens), (2, 5));
    let starts: Vec<_> = (0..=2)
        .map(|document| layout.document_start(&idx, document))
        .collect();
    assert_eq!(starts, [0, 2, 5]);
}

#[test]
fn modes_of_a_multimodal_index_are_passed_over_where_all_are_text() {
    let with_modes = |modes: &[u8]| [GOLDEN_IDX, modes].concat();
    let plain = validate_idx(GOLDEN_IDX, 10).unwrap();
    let layout = validate_idx(&with_modes(&[0, 0, 0]), 10).unwrap();
    assert!(layout.has_modes && !plain.has_modes);
    let has_modes = true;
    assert_eq!(layout, IdxLayout { has_modes, ..plain });
    let starts = |idx: &[u8]| [0, 1, 2, 3].map(|document| layout.document_start(idx, document));
    assert_eq!(starts(&with_modes(&[0, 0, 0])), starts(GOLDEN_IDX));
    let fault = validate_idx(&with_modes(&[0, 1, 2]), 10).unwrap_err();
    assert_eq!(
        fault,
        IdxFault::Mode {
            sequence: 1,
            mode: 1
        }
    );
    assert!(fault.to_string().contains("multimodal"));
    for modes in [&[0_u8][..], &[0, 0], &[0; 4], &[0; 8]] {
        let fault = validate_idx(&with_modes(modes), 10).unwrap_err();
        assert!(matches!(fault, IdxFault::Size { .. }), "{fault}");
    }
}

#[test]
fn only_a_damaged_index_is_to_be_made_again() {
    let remedy = |idx: &[u8], bin_bytes| validate_idx(idx, bin_bytes).unwrap_err().remedy();
    assert!(remedy(&with(94, &[2]), 10).contains("write the token files again"));
    assert!(remedy(&with(34, &[3]), 10).contains("write the token files again"));
    assert!(remedy(GOLDEN_IDX, 12).contains("written together"));
    assert!(remedy(&with(9, &[2]), 10).contains("version 1"));
    assert!(remedy(&with(17, &[6]), 10).contains("not token ids"));
    assert!(remedy(&GOLDEN_IDX[..101], 10).contains("fetch it again"));
    let mut old = GOLDEN_IDX.to_vec();
    old[..8].copy_from_slice(b"TNTIDX\0\0");
    assert!(remedy(&old, 10).contains("--dataset-impl mmap"));
    assert!(remedy(&[1; 40], 10).contains("under another name"));
}

/// Invariants of a validated index.
fn assert_in_range(idx: &[u8], bin_bytes: u64) -> Result<(), TestCaseError> {
    let Ok(layout) = validate_idx(idx, bin_bytes) else {
        return Ok(());
    };
    prop_assert_eq!(layout.n_tokens * layout.dtype.bytes(), bin_bytes);
    let mut before = 0;
    for document in 0..=layout.n_documents {
        let start = layout.document_start(idx, document);
        prop_assert!(before <= start && start <= layout.n_tokens);
        before = start;
    }
    prop_assert_eq!(before, layout.n_tokens);
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(lengths in prop::collection::vec(0..40_usize, 0..60), wide: bool) {
        let vocab_size = if wide { 1 << 17 } else { 1000 };
        let (idx, bin) = pair_of(&lengths, vocab_size);
        let layout = validate_idx(&idx, bin.len() as u64).unwrap();
        prop_assert_eq!(layout.n_documents, lengths.len() as u64);
        prop_assert_eq!(layout.n_tokens, lengths.iter().sum::<usize>() as u64);
        let mut start = 0;
        for (document, length) in lengths.iter().enumerate() {
            prop_assert_eq!(layout.document_start(&idx, document as u64), start);
            start += *length as u64;
        }
    }

    #[test]
    fn flipped_bytes_are_an_error_or_harmless(
        lengths in prop::collection::vec(0..5_u32, 0..12),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut idx, bin_bytes) = idx_of(&lengths);
        for (at, value) in flips {
            let at = at.index(idx.len());
            idx[at] ^= value;
        }
        assert_in_range(&idx, bin_bytes)?;
    }

    #[test]
    fn a_cut_index_is_an_error(lengths in prop::collection::vec(0..5_u32, 0..12), at: prop::sample::Index) {
        let (idx, bin_bytes) = idx_of(&lengths);
        prop_assert!(validate_idx(&idx[..at.index(idx.len())], bin_bytes).is_err());
    }

    #[test]
    fn arbitrary_tables_never_panic(
        n_sequences in 0..4_u64,
        n_entries in 0..4_u64,
        tables in prop::collection::vec(any::<u8>(), 0..90),
        bin_bytes in any::<u64>(),
    ) {
        let mut idx = GOLDEN_IDX[..18].to_vec();
        idx.extend(n_sequences.to_le_bytes());
        idx.extend(n_entries.to_le_bytes());
        idx.extend(&tables);
        idx.truncate((34 + 12 * n_sequences + 8 * n_entries) as usize);
        assert_in_range(&idx, bin_bytes)?;
    }
}

#[test]
fn the_blocks_of_a_pair_are_its_bins_with_their_largest_ids() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, ids: &[u32]| {
        let mut writer = MegatronWriter::create(&dir.path().join(name), 60_000).unwrap();
        // Documents that do not end at block boundaries.
        for document in ids.chunks(70_001) {
            writer.push_document(document).unwrap();
        }
        writer.finish().unwrap()
    };
    let small = write("small", &[5, 9, 7]);
    assert_eq!(small.blocks.blake3[..], [small.bin.blake3][..]);
    assert_eq!(
        (small.blocks.bytes, &small.blocks.max_ids[..]),
        (1 << 20, &[9][..])
    );
    assert!(write("empty", &[]).blocks.blake3.is_empty());
    let mut ids: Vec<u32> = (0..(1 << 20) + 3).map(|i| i % 1000).collect();
    (ids[0], ids[(1 << 19) - 1], ids[1 << 19]) = (1001, 1002, 1003);
    let large = write("large", &ids);
    assert_eq!(large.blocks.max_ids, [1002, 1003, 578]);
    assert_eq!(large.blocks.blake3.len(), 3);
    // The chaining value of 6 bytes at chunk 2048, computed by the compression function of the BLAKE3 paper in Python.
    let hashes = large.blocks.hashes(&large.bin).unwrap();
    assert_eq!(hashes.block_bytes, 1 << 20);
    assert_eq!(
        large.blocks.blake3[2],
        "81a179ab9c2ed47b3ac85488211240039243879f1ea66118b97b28e5dd712838"
    );
}
