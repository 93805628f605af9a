use super::*;
use crate::tokens::token_file::RawFile;
use proptest::prelude::*;
use std::fs;

/// Ids with a Zipf-like distribution below `vocab_size`, as in real text.
fn zipf(n: usize, vocab_size: u32, seed: u64) -> Vec<u32> {
    let mut state = seed | 1;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let rank = |u: f64| (f64::from(vocab_size).powf(u) - 1.0) as u32;
    (0..n)
        .map(|_| rank(uniform()).min(vocab_size - 1))
        .collect()
}

fn bytes_of(ids: &[u32], dtype: Dtype) -> Vec<u8> {
    let bytes = |&id: &u32| match dtype {
        Dtype::U16 => (id as u16).to_le_bytes().to_vec(),
        Dtype::I64 => i64::from(id).to_le_bytes().to_vec(),
        _ => id.to_le_bytes().to_vec(),
    };
    ids.iter().flat_map(bytes).collect()
}

fn sample(bytes: &[u8]) -> Sample {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    fs::write(&path, bytes).unwrap();
    let file = RawFile::open(&path).unwrap();
    Sample::of(&file.into_tokens(0, Dtype::U8, bytes.len() as u64)).unwrap()
}

#[test]
fn wider_ids_are_seen_in_small_and_large_files_and_any_vocabulary() {
    for n in [40, 93, 5_000, 700_000] {
        for vocab_size in [64, 8_192, 50_257, 65_536, 128_256, 1 << 20] {
            let ids = zipf(n, vocab_size, 7);
            for dtype in [Dtype::U32, Dtype::I64] {
                let sample = sample(&bytes_of(&ids, dtype));
                let seen = sample.wider_than(Dtype::U16, vocab_size);
                assert_eq!(seen, Some(dtype), "{n} ids below {vocab_size}");
            }
            let as_u16 = sample(&bytes_of(&ids, Dtype::U16));
            let small = ids.iter().all(|&id| id < 256);
            let seen = as_u16.wider_than(Dtype::U8, 1);
            assert_eq!(
                seen,
                small.then_some(Dtype::U16),
                "{n} ids below {vocab_size}"
            );
            let as_i64 = sample(&bytes_of(&ids, Dtype::I64));
            assert_eq!(as_i64.wider_than(Dtype::U32, vocab_size), Some(Dtype::I64));
        }
    }
}

#[test]
fn padding_with_0_hides_no_width_and_is_none() {
    let mut ids = zipf(400, 50_257, 3);
    ids.resize(300_000, 0);
    let wide = sample(&bytes_of(&ids, Dtype::U32));
    assert_eq!(wide.wider_than(Dtype::U16, 50_257), Some(Dtype::U32));
    for ids in [ids, vec![0; 5_000], vec![5; 5_000]] {
        let right = sample(&bytes_of(&ids, Dtype::U16));
        assert_eq!(right.wider_than(Dtype::U16, 50_257), None);
    }
    let right = sample(&bytes_of(&zipf(5_000, 200_000, 3), Dtype::U32));
    assert_eq!(right.wider_than(Dtype::U32, 200_000), None);
}

#[test]
fn documents_of_even_length_do_not_look_like_wider_ids() {
    // The separator, the largest id, is at even positions only.
    let document = [63, 1, 2, 3, 4, 5, 6, 7];
    let ids: Vec<u32> = document.iter().copied().cycle().take(80_000).collect();
    let right = sample(&bytes_of(&ids, Dtype::U16));
    assert_eq!(right.wider_than(Dtype::U16, 64), None);
}

#[test]
fn the_type_that_fits_is_named_and_big_endian_too() {
    let ids = zipf(5_000, 50_257, 11);
    let swapped = |width: usize, bytes: Vec<u8>| {
        let words = bytes
            .chunks(width)
            .flat_map(|word| word.iter().rev().copied());
        sample(&words.collect::<Vec<u8>>())
    };
    let (narrow, wide, widest) = (
        bytes_of(&ids, Dtype::U16),
        bytes_of(&ids, Dtype::U32),
        bytes_of(&ids, Dtype::I64),
    );
    assert_eq!(
        sample(&narrow).fitting(Dtype::U32, 50_257),
        Some("--dtype u16")
    );
    assert_eq!(
        sample(&wide).fitting(Dtype::I64, 50_257),
        Some("--dtype u32")
    );
    assert_eq!(
        sample(&widest).fitting(Dtype::U8, 50_257),
        Some("--dtype i64")
    );
    assert_eq!(
        swapped(2, narrow).fitting(Dtype::U16, 50_257),
        Some("big-endian u16")
    );
    assert_eq!(
        swapped(4, wide).fitting(Dtype::U16, 50_257),
        Some("big-endian u32")
    );
    assert_eq!(
        swapped(8, widest).fitting(Dtype::U16, 50_257),
        Some("big-endian i64")
    );
    let negative = bytes_of(&[u32::MAX; 100], Dtype::U32);
    assert_eq!(sample(&negative).fitting(Dtype::U32, 50_257), None);
}

proptest! {
    #[test]
    fn text_at_its_right_width_is_never_refused(
        vocab_size in 2..65_536_u32,
        n in 1..3_000_usize,
        seed: u64,
        n_zeros in 0..3_000_usize,
        zeros_first: bool,
        uniform in prop::collection::vec(any::<u16>(), 0..3_000),
    ) {
        let mut ids = zipf(n, vocab_size, seed);
        ids.extend(uniform.iter().map(|&id| u32::from(id) % vocab_size));
        let zeros = vec![0; n_zeros];
        let ids = if zeros_first { [zeros, ids].concat() } else { [ids, zeros].concat() };
        let right = sample(&bytes_of(&ids, Dtype::U16));
        prop_assert_eq!(right.wider_than(Dtype::U16, vocab_size), None);
        let right = sample(&bytes_of(&ids, Dtype::U32));
        prop_assert_eq!(right.wider_than(Dtype::U32, vocab_size), None);
    }
}
