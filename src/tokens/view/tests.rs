use super::*;
use crate::tokens::OpenOptions;
use crate::tokens::megatron::MegatronWriter;
use proptest::prelude::*;

const BOS: u32 = 999;

fn corpus_of(lengths: &[usize]) -> TokenCorpus {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("x");
    let mut writer = MegatronWriter::create(&prefix, 70_000).unwrap();
    let mut next = 1000;
    for &length in lengths {
        writer
            .push_document(&(next..next + length as u32).collect::<Vec<_>>())
            .unwrap();
        next += length as u32;
    }
    writer.finish().unwrap();
    // The open file outlives its name.
    TokenCorpus::open(&prefix, &OpenOptions::default()).unwrap()
}

/// The slow reference: a table of every token with its document, cut with plain loops.
fn naive(lengths: &[usize], options: &ViewOptions) -> Vec<Sequence> {
    let mut tokens: Vec<(u32, u64)> = Vec::new();
    for (document, &length) in lengths.iter().enumerate() {
        for _ in 0..length {
            tokens.push((1000 + tokens.len() as u32, document as u64));
        }
    }
    let runs: Vec<Vec<(u32, u64)>> = match options.packing {
        Packing::Concat => vec![tokens],
        Packing::Document => (0..lengths.len() as u64)
            .map(|document| {
                tokens
                    .iter()
                    .copied()
                    .filter(|token| token.1 == document)
                    .collect()
            })
            .collect(),
    };
    runs.iter()
        .flat_map(|run| cut(run, options))
        .enumerate()
        .map(|(i, s)| Sequence {
            seq_id: i as u64,
            ..s
        })
        .collect()
}

fn cut(run: &[(u32, u64)], options: &ViewOptions) -> Vec<Sequence> {
    let t = options.seq_len as usize;
    let mut sequences = Vec::new();
    let mut start = 0;
    while start < run.len() {
        let n = if options.sequence_bos.is_some() {
            t
        } else {
            t + 1
        };
        let held = &run[start..run.len().min(start + n)];
        let mut sequence = Sequence {
            seq_id: 0,
            input_ids: vec![],
            doc_starts: vec![],
            doc_indices: vec![],
        };
        sequence.input_ids.extend(options.sequence_bos);
        for &(id, document) in held {
            if sequence.doc_indices.last() != Some(&document) {
                let is_first = sequence.doc_indices.is_empty();
                sequence.doc_starts.push(if is_first {
                    0
                } else {
                    sequence.input_ids.len() as u32
                });
                sequence.doc_indices.push(document);
            }
            sequence.input_ids.push(id);
        }
        if sequence.input_ids.len() >= 2 {
            sequences.push(sequence);
        }
        start += t;
    }
    sequences
}

fn assert_like_naive(lengths: &[usize], options: &ViewOptions) -> Result<(), TestCaseError> {
    let corpus = corpus_of(lengths);
    let view = SequenceView::new(&corpus, options.clone()).unwrap();
    let wanted = naive(lengths, options);
    prop_assert_eq!(view.len(), wanted.len() as u64);
    let n_targets: usize = wanted
        .iter()
        .map(|sequence| sequence.input_ids.len() - 1)
        .sum();
    prop_assert_eq!(view.n_targets(), n_targets as u64);
    for sequence in &wanted {
        let seq_id = sequence.seq_id;
        prop_assert_eq!(&view.read(seq_id).unwrap(), sequence);
        prop_assert_eq!(
            view.n_targets_of(seq_id) as usize,
            sequence.input_ids.len() - 1
        );
        let first = sequence.input_ids[usize::from(options.sequence_bos.is_some())];
        prop_assert_eq!(view.token_offset(seq_id), u64::from(first) - 1000);
    }
    Ok(())
}

fn options() -> impl Strategy<Value = ViewOptions> {
    let packing = prop_oneof![Just(Packing::Concat), Just(Packing::Document)];
    (packing, 1..9_u32, prop::option::of(Just(BOS))).prop_map(|(packing, seq_len, sequence_bos)| {
        ViewOptions {
            packing,
            seq_len,
            sequence_bos,
        }
    })
}

proptest! {
    #[test]
    fn the_view_equals_the_naive_table(
        lengths in prop::collection::vec(prop_oneof![Just(0), Just(1), 2..30_usize], 0..40),
        options in options(),
    ) {
        assert_like_naive(&lengths, &options)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_view_equals_the_naive_table_over_many_stored_sums(
        lengths in prop::collection::vec(prop_oneof![4 => 0..2_usize, 1 => 2..9_usize], 500..1100),
        options in options(),
    ) {
        assert_like_naive(&lengths, &options)?;
    }
}

#[test]
fn a_corpus_without_a_target_has_no_sequences() {
    for lengths in [&[][..], &[0, 0], &[1], &[0, 1, 0]] {
        let corpus = corpus_of(lengths);
        for packing in [Packing::Concat, Packing::Document] {
            let options = ViewOptions {
                packing,
                seq_len: 4,
                sequence_bos: None,
            };
            assert!(SequenceView::new(&corpus, options).unwrap().is_empty());
        }
    }
}

#[test]
fn a_sequence_length_of_0_is_refused() {
    let corpus = corpus_of(&[3]);
    let options = ViewOptions {
        packing: Packing::Concat,
        seq_len: 0,
        sequence_bos: None,
    };
    assert!(matches!(
        SequenceView::new(&corpus, options),
        Err(TokensError::ZeroSeqLen)
    ));
}

#[test]
fn a_sequence_longer_than_the_corpus_holds_all_of_it() {
    let corpus = corpus_of(&[3, 4]);
    let options = ViewOptions {
        packing: Packing::Concat,
        seq_len: u32::MAX,
        sequence_bos: None,
    };
    let view = SequenceView::new(&corpus, options).unwrap();
    assert_eq!((view.len(), view.n_targets_of(0)), (1, 6));
    assert_eq!(view.read(0).unwrap().doc_starts, [0, 3]);
}
