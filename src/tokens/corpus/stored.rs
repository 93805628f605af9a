//! Token files in stores.

use super::tests::{documents_of, write_megatron};
use super::*;
use crate::error::{Classified, Kind};
use crate::storage::testing::{counted_store, memory_store, put_tree};
use crate::tokens::megatron::MegatronWriter;
use crate::tokens::{BinBlocks, FileStamp, Packing, SequenceView, ViewOptions};
use std::path::Path;

/// Bytes of a block in [`write_blocks`].
const BLOCK_BYTES: usize = 1024;
const N_BLOCKS: u64 = 64;
/// All ids are below it, except one in the last block.
const VOCAB: u32 = 900;

/// A corpus of u16 ids in 64 small blocks, with their hashes in its `corpus.json`.
fn write_blocks(dir: &Path) {
    write_megatron(dir);
    let json_path = dir.join(CORPUS_JSON);
    let mut json = CorpusJson::read(&json_path).unwrap().unwrap();
    let mut writer = MegatronWriter::create(&dir.join("tokens"), 1000).unwrap();
    let n_tokens = N_BLOCKS * BLOCK_BYTES as u64 / 2 - 100;
    let mut ids: Vec<u32> = (0..n_tokens as u32).map(|i| (i * 7) % VOCAB).collect();
    *ids.last_mut().unwrap() = 999;
    for document in ids.chunks(100) {
        writer.push_document(document).unwrap();
    }
    let pair = writer.finish().unwrap();
    (json.n_tokens, json.n_documents) = (pair.n_tokens, pair.n_documents);
    (json.bin, json.idx) = (pair.bin, pair.idx);
    let bytes = std::fs::read(dir.join("tokens.bin")).unwrap();
    json.blocks = Some(blocks_of(&bytes, &ids));
    json.write(&json_path).unwrap();
}

fn blocks_of(bytes: &[u8], ids: &[u32]) -> BinBlocks {
    let hashes = storage::testing::block_hashes(bytes, BLOCK_BYTES as u64);
    let max_ids = ids.chunks(BLOCK_BYTES / 2);
    BinBlocks::new(
        &hashes,
        max_ids.map(|ids| *ids.iter().max().unwrap()).collect(),
    )
}

fn view_of(corpus: &TokenCorpus) -> SequenceView<'_> {
    let options = ViewOptions {
        packing: Packing::Concat,
        seq_len: 64,
        sequence_bos: None,
    };
    SequenceView::new(corpus, options).unwrap()
}

#[test]
fn reading_a_quarter_fetches_a_quarter_and_another_process_fetches_nothing() {
    let requests = counted_store("s3://tokens-quarter");
    let dir = tempfile::tempdir().unwrap();
    write_blocks(dir.path());
    let url = Path::new("s3://tokens-quarter/tokens");
    put_tree(dir.path(), url);
    let local = TokenCorpus::open(dir.path(), &OpenOptions::default()).unwrap();
    let read = |stored: &TokenCorpus| {
        let (ours, theirs) = (view_of(&local), view_of(stored));
        for seq_id in 0..ours.len() / 4 {
            assert_eq!(theirs.read(seq_id).unwrap(), ours.read(seq_id).unwrap());
        }
    };
    let stored = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    stored.check_contents().unwrap();
    // An id in the last block is not below it, but is outside the range.
    let quarter = 0..stored.n_tokens() / 4;
    stored.check_ids(quarter.clone(), VOCAB).unwrap();
    let (n_requests, n_bytes) = (requests.n_requests(), requests.n_bytes());
    read(&stored);
    let n_fetched = requests.n_requests() - n_requests;
    assert!((16..=17).contains(&n_fetched), "{n_fetched} of {N_BLOCKS}");
    assert_eq!(requests.n_bytes() - n_bytes, n_fetched * BLOCK_BYTES as u64);
    assert_eq!(
        stored.file_hash(0).unwrap().blake3,
        local.json.as_ref().unwrap().bin.blake3
    );
    assert_eq!(stored.modified_file().unwrap(), None);
    // A corpus opened again uses the cached blocks.
    let again = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let n_bytes = requests.n_bytes();
    read(&again);
    assert_eq!(requests.n_bytes(), n_bytes);
    // Finally, all of it.
    assert_eq!(documents_of(&again), documents_of(&local));
}

#[test]
fn a_task_of_four_fetches_the_blocks_of_its_shards() {
    let requests = counted_store("s3://tokens-tasks");
    let dir = tempfile::tempdir().unwrap();
    write_blocks(dir.path());
    let url = Path::new("s3://tokens-tasks/tokens");
    put_tree(dir.path(), url);
    let corpus = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let view = view_of(&corpus);
    let n_bytes = requests.n_bytes();
    // Eight shards in corpus order, of which task 1/4 has two.
    let n_rows = view.len() / 8;
    for shard in [1, 5] {
        for seq_id in shard * n_rows..(shard + 1) * n_rows {
            view.read(seq_id).unwrap();
        }
    }
    let n_blocks = (requests.n_bytes() - n_bytes).div_ceil(BLOCK_BYTES as u64);
    assert!((16..=18).contains(&n_blocks), "{n_blocks} of {N_BLOCKS}");
}

#[test]
fn an_id_past_the_vocabulary_is_found_where_local_files_have_it_without_reading_the_rest() {
    let requests = counted_store("s3://tokens-past");
    let dir = tempfile::tempdir().unwrap();
    write_blocks(dir.path());
    let url = Path::new("s3://tokens-past/tokens");
    put_tree(dir.path(), url);
    let refusal = |place: &Path| {
        let corpus = TokenCorpus::open(place, &OpenOptions::default()).unwrap();
        let n_bytes = requests.n_bytes();
        let error = corpus.check_ids(0..corpus.n_tokens(), VOCAB).unwrap_err();
        let n_read = requests.n_bytes() - n_bytes;
        assert!(n_read <= BLOCK_BYTES as u64, "{n_read}");
        // The range ends just before it: the block is read, and nothing is found.
        corpus.check_ids(0..corpus.n_tokens() - 1, VOCAB).unwrap();
        match error {
            TokensError::TokenPastVocab {
                id,
                token_offset,
                document,
                ..
            } => (id, token_offset, document),
            other => panic!("{other}"),
        }
    };
    let expected = refusal(dir.path());
    assert_eq!(expected.0, 999);
    assert_eq!(refusal(url), expected);
}

#[test]
fn an_object_that_is_replaced_while_its_blocks_are_read_is_an_error_that_says_so() {
    memory_store("s3://tokens-replaced");
    let dir = tempfile::tempdir().unwrap();
    write_blocks(dir.path());
    let url = Path::new("s3://tokens-replaced/tokens");
    put_tree(dir.path(), url);
    let corpus = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    view_of(&corpus).read(0).unwrap();
    let bin = url.join("tokens.bin");
    storage::replace(
        &bin,
        &storage::read(&dir.path().join("tokens.bin")).unwrap(),
    )
    .unwrap();
    let last = view_of(&corpus).len() - 1;
    let error = view_of(&corpus).read(last).unwrap_err();
    assert!(error.to_string().contains("has changed"), "{error}");
    assert_eq!(error.kind(), Kind::Failed);
    assert_eq!(corpus.modified_file().unwrap(), Some(bin.as_path()));
}

#[test]
fn a_block_that_is_not_what_was_tokenized_is_told_by_its_bytes() {
    memory_store("s3://tokens-block");
    let dir = tempfile::tempdir().unwrap();
    write_blocks(dir.path());
    let bin = dir.path().join("tokens.bin");
    let mut bytes = std::fs::read(&bin).unwrap();
    bytes[5 * BLOCK_BYTES + 1] ^= 1;
    std::fs::write(&bin, bytes).unwrap();
    let url = Path::new("s3://tokens-block/tokens");
    put_tree(dir.path(), url);
    let corpus = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let mut ids = [0; 8];
    corpus.copy_tokens(0, &mut ids).unwrap();
    let error = corpus.copy_tokens(5 * 512, &mut ids).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("bytes 5120 to 6144 are not those"), "{text}");
    assert!(
        text.contains("s3://tokens-block/tokens/tokens.bin"),
        "{text}"
    );
    assert_eq!(error.kind(), Kind::BadData);
}

#[test]
fn hashes_of_blocks_that_are_not_the_files_are_refused_with_corpus_json() {
    type Change = fn(&mut BinBlocks, &mut FileStamp);
    let changes: [(&str, Change); 5] = [
        ("add up to", |blocks, _| blocks.blake3.swap(3, 4)),
        ("64 hex digits", |blocks, _| blocks.blake3[0].truncate(60)),
        ("blocks of 1000 bytes", |blocks, _| blocks.bytes = 1000),
        ("hashes of 64 blocks, expected 65", |_, bin| {
            bin.bytes += 1024
        }),
        ("max_ids: expected 64, got 63", |blocks, _| {
            blocks.max_ids.pop();
        }),
    ];
    for (wanted, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        write_blocks(dir.path());
        let path = dir.path().join(CORPUS_JSON);
        let mut json = CorpusJson::read(&path).unwrap().unwrap();
        change(json.blocks.as_mut().unwrap(), &mut json.bin);
        json.write(&path).unwrap();
        let error = TokenCorpus::open(dir.path(), &OpenOptions::default());
        let error = error.err().expect("refused");
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(error.kind(), Kind::BadData);
    }
}

#[test]
fn a_corpus_in_a_store_is_read_as_a_local_one() {
    memory_store("s3://tokens-read");
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let url = Path::new("s3://tokens-read/a/tokens");
    put_tree(dir.path(), url);
    let local = TokenCorpus::open(dir.path(), &OpenOptions::default()).unwrap();
    for place in [
        url.to_path_buf(),
        url.join("tokens"),
        url.join("tokens.idx"),
    ] {
        let corpus = TokenCorpus::open(&place, &OpenOptions::default()).unwrap();
        assert_eq!(
            corpus.format(),
            TokenFormat::Megatron,
            "{}",
            place.display()
        );
        assert_eq!(documents_of(&corpus), documents_of(&local));
        assert_eq!(corpus.corpus_json(), local.corpus_json());
        assert_eq!(
            corpus.files(),
            [url.join("tokens.bin"), url.join("tokens.idx")]
        );
        assert_eq!(corpus.modified_file().unwrap(), None);
        corpus.check_contents().unwrap();
    }
}

#[test]
fn a_token_object_that_changes_under_a_run_is_noticed() {
    memory_store("s3://tokens-touched");
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let url = Path::new("s3://tokens-touched/tokens");
    put_tree(dir.path(), url);
    let corpus = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let documents = documents_of(&corpus);
    let bin = url.join("tokens.bin");
    let mut bytes = storage::read(&bin).unwrap();
    bytes[0] ^= 1;
    storage::replace(&bin, &bytes).unwrap();
    assert_eq!(corpus.modified_file().unwrap(), Some(bin.as_path()));
    // The open corpus is a copy and stays unchanged.
    assert_eq!(documents_of(&corpus), documents);
    corpus.check_contents().unwrap();
    let again = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let error = again.check_contents().unwrap_err();
    assert!(
        matches!(error, TokensError::NotAsTokenized { .. }),
        "{error}"
    );
}

#[test]
fn half_a_pair_and_nothing_at_all_are_told_by_their_urls() {
    memory_store("s3://tokens-absent");
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    std::fs::remove_file(dir.path().join("tokens.idx")).unwrap();
    let url = Path::new("s3://tokens-absent/half");
    put_tree(dir.path(), url);
    let refusal = |place: &Path| {
        let opened = TokenCorpus::open(place, &OpenOptions::default());
        opened.err().expect("refused").to_string()
    };
    assert!(refusal(url).contains("s3://tokens-absent/half/tokens.idx"));
    let nothing = refusal(Path::new("s3://tokens-absent/nothing"));
    assert!(nothing.contains("s3://tokens-absent/nothing"), "{nothing}");
}
