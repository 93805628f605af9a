use super::*;
use crate::tokens::megatron::MegatronWriter;
use arrow_array::builder::{LargeListBuilder, ListBuilder, PrimitiveBuilder};
use arrow_array::types::{Int32Type, Int64Type, UInt16Type};
use arrow_array::{ArrayRef, RecordBatch};
use std::fs;
use std::sync::Arc;

fn auto() -> OpenOptions {
    OpenOptions::default()
}

fn documents_of(corpus: &TokenCorpus) -> Vec<Vec<u32>> {
    let document = |doc| {
        let (start, end) = (corpus.document_start(doc), corpus.document_start(doc + 1));
        let mut ids = vec![0; (end - start) as usize];
        corpus.copy_tokens(start, &mut ids);
        ids
    };
    (0..corpus.n_documents()).map(document).collect()
}

const DOCUMENTS: [&[u32]; 5] = [&[], &[1, 2, 3], &[], &[4], &[]];

fn write_megatron(dir: &Path) {
    let mut writer = MegatronWriter::create(&dir.join("tokens"), 1000).unwrap();
    for document in DOCUMENTS {
        writer.push_document(document).unwrap();
    }
    let pair = writer.finish().unwrap();
    let json = CorpusJson {
        format_version: 1,
        required_features: vec![],
        tokenizer_fingerprint: "blake3:00".to_owned(),
        vocab_size: 1000,
        bos: None,
        eod: Some(3),
        ids_in_front: vec![],
        ids_after: vec![],
        dtype: pair.dtype,
        n_documents: pair.n_documents,
        n_tokens: pair.n_tokens,
        n_text_bytes: 9,
        n_empty_documents: 0,
        n_bad_lines: 0,
        bin: pair.bin,
        idx: pair.idx,
    };
    json.write(&dir.join(CORPUS_JSON)).unwrap();
}

#[test]
fn a_corpus_opens_by_its_directory_prefix_or_either_file() {
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    for name in ["", "tokens", "tokens.bin", "tokens.idx"] {
        let corpus = TokenCorpus::open(&dir.path().join(name), &auto()).unwrap();
        assert_eq!(corpus.format(), TokenFormat::Megatron);
        assert_eq!(documents_of(&corpus), DOCUMENTS);
        assert_eq!(corpus.corpus_json().unwrap().eod, Some(3));
        assert_eq!(corpus.files().len(), 2);
    }
    fs::remove_file(dir.path().join(CORPUS_JSON)).unwrap();
    assert_eq!(
        TokenCorpus::open(dir.path(), &auto())
            .unwrap()
            .corpus_json(),
        None
    );
}

#[test]
fn a_corpus_is_shared_between_threads() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<TokenCorpus>();
}

#[test]
fn the_document_of_a_token_is_never_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let corpus = TokenCorpus::open(dir.path(), &auto()).unwrap();
    assert_eq!(
        (0..4)
            .map(|token| corpus.document_at(token))
            .collect::<Vec<_>>(),
        [1, 1, 1, 3]
    );
    assert_eq!(corpus.document_start(5), 4);
}

#[test]
fn a_corpus_json_that_disagrees_is_refused() {
    type Change = fn(&mut CorpusJson);
    let changes: [(&str, Change); 5] = [
        ("bin.bytes", |json| json.bin.bytes += 2),
        ("idx.bytes", |json| json.idx.bytes -= 1),
        ("n_tokens", |json| json.n_tokens = 5),
        ("n_documents", |json| json.n_documents = 4),
        ("dtype", |json| json.dtype = Dtype::I32),
    ];
    for (wanted, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        write_megatron(dir.path());
        let path = dir.path().join(CORPUS_JSON);
        let mut json = CorpusJson::read(&path).unwrap().unwrap();
        change(&mut json);
        json.write(&path).unwrap();
        let error = TokenCorpus::open(dir.path(), &auto()).err().unwrap();
        assert!(
            matches!(&error, TokensError::Disagrees { field, .. } if *field == wanted),
            "{error}"
        );
        assert_eq!(error.kind(), crate::error::Kind::BadData);
    }
}

#[test]
fn a_corpus_json_of_a_newer_format_or_with_unknown_needs_is_refused() {
    let changes: [fn(&mut CorpusJson); 3] = [
        |json| json.format_version = 0,
        |json| json.format_version = 2,
        |json| json.required_features.push("later".to_owned()),
    ];
    for change in changes {
        let dir = tempfile::tempdir().unwrap();
        write_megatron(dir.path());
        let path = dir.path().join(CORPUS_JSON);
        let mut json = CorpusJson::read(&path).unwrap().unwrap();
        change(&mut json);
        json.write(&path).unwrap();
        let error = TokenCorpus::open(dir.path(), &auto()).err().unwrap();
        assert!(matches!(error, TokensError::CorpusJson { .. }), "{error}");
    }
}

#[test]
fn a_missing_half_and_a_path_without_tokens_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| TokenCorpus::open(path, &auto()).err().unwrap();
    assert!(matches!(open(dir.path()), TokensError::NotACorpus { .. }));
    assert!(matches!(
        open(&dir.path().join("absent.bin")),
        TokensError::NotACorpus { .. }
    ));
    write_megatron(dir.path());
    fs::remove_file(dir.path().join("tokens.bin")).unwrap();
    let error = open(dir.path());
    assert!(
        matches!(&error, TokensError::MissingHalf { path } if path.ends_with("tokens.bin")),
        "{error}"
    );
}

#[test]
fn ids_past_the_vocabulary_and_negative_ids_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("x");
    let mut writer = MegatronWriter::create(&prefix, 1 << 20).unwrap();
    for document in [[5, 7, 70_000], [1, 70_000, 2]] {
        writer.push_document(&document).unwrap();
    }
    writer.finish().unwrap();
    let corpus = TokenCorpus::open(&prefix, &auto()).unwrap();
    assert_eq!(corpus.max_token_id(0..6), (70_000, 2));
    assert_eq!(corpus.max_token_id(3..6), (70_000, 4));
    assert_eq!(corpus.max_token_id(3..3), (0, 3));
    assert!(corpus.check_ids(0..6, 70_001).is_ok());
    let error = corpus.check_ids(3..6, 70_000).unwrap_err();
    assert!(matches!(
        error,
        TokensError::TokenPastVocab {
            token_offset: 4,
            document: 1,
            ..
        }
    ));

    let bin = prefix.with_extension("bin");
    let mut bytes = fs::read(&bin).unwrap();
    bytes[4..8].copy_from_slice(&(-1_i32).to_le_bytes());
    fs::write(&bin, bytes).unwrap();
    let corpus = TokenCorpus::open(&prefix, &auto()).unwrap();
    let error = corpus.check_ids(0..6, u32::MAX).unwrap_err().to_string();
    assert!(
        error.contains("negative") && error.contains("token 1 (document 0)"),
        "{error}"
    );
}

#[test]
fn the_largest_id_of_a_long_corpus_is_found_in_parallel() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let mut ids = vec![7_u16; 3_000_000];
    (ids[1_500_000], ids[2_500_000]) = (900, 900);
    fs::write(
        &path,
        ids.iter()
            .flat_map(|id| id.to_le_bytes())
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let corpus = TokenCorpus::open(&path, &auto()).unwrap();
    assert_eq!(corpus.max_token_id(0..3_000_000), (900, 1_500_000));
    assert_eq!(corpus.max_token_id(0..1_500_000), (7, 0));
}

fn u16_bytes(ids: &[u16]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}

#[test]
fn raw_u16_is_one_document_or_split_behind_its_end_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.bin");
    fs::write(&path, u16_bytes(&[1, 9, 9, 2, 3, 9, 4])).unwrap();
    let whole = TokenCorpus::open(&path, &auto()).unwrap();
    assert_eq!(whole.format(), TokenFormat::NanoGpt);
    assert_eq!(documents_of(&whole), [[1, 9, 9, 2, 3, 9, 4]]);
    let split = OpenOptions {
        eod: Some(9),
        ..auto()
    };
    let split = TokenCorpus::open(&path, &split).unwrap();
    assert_eq!(
        documents_of(&split),
        [vec![1, 9], vec![9], vec![2, 3, 9], vec![4]]
    );
    fs::write(&path, [1, 2, 3]).unwrap();
    let error = TokenCorpus::open(&path, &auto()).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("3 bytes are no whole number of u16 ids"),
        "{error}"
    );
    fs::write(&path, []).unwrap();
    assert_eq!(TokenCorpus::open(&path, &auto()).unwrap().n_documents(), 0);
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn npy_is_told_by_its_header_and_may_lack_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        TokenCorpus::open(&path, &auto()).map(|corpus| documents_of(&corpus))
    };
    assert_eq!(open(&u16_bytes(&[1, 2])).unwrap(), [[1, 2]]);
    assert_eq!(
        open(&npy("<u2", "(2,)", &u16_bytes(&[1, 2]))).unwrap(),
        [[1, 2]]
    );
    assert_eq!(
        open(&npy("<u4", "(1,)", &[1, 0, 1, 0])).unwrap(),
        [[65_537]]
    );
    assert_eq!(
        open(&npy("<i8", "(1,)", &[1, 0, 0, 0, 0, 0, 0, 0])).unwrap(),
        [[1]]
    );
    for bad in [
        npy("<f4", "(1,)", &[0; 4]),
        npy(">u2", "(1,)", &[0; 2]),
        npy("<u2", "(1, 2)", &[0; 4]),
        npy("<u2", "(3,)", &[0; 4]),
        npy("<u2", "(9223372036854775808,)", &[0; 4]),
        npy("<u2", "(2,)", &[0; 4])[..20].to_vec(),
        b"\x93NUMPY".to_vec(),
        b"\x93NUMPY\x09\x00aaaa".to_vec(),
    ] {
        assert!(matches!(open(&bad), Err(TokensError::RawFile { .. })));
    }
}

fn llm_c(magic: u32, version: u32, n_tokens: u32, data: &[u8]) -> Vec<u8> {
    let mut header = vec![0_u8; 1024];
    header[..12].copy_from_slice(&[magic, version, n_tokens].map(u32::to_le_bytes).concat());
    [header, data.to_vec()].concat()
}

#[test]
fn both_versions_of_llm_c_are_read_and_a_wrong_size_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let open = |bytes: &[u8], format| {
        fs::write(&path, bytes).unwrap();
        TokenCorpus::open(&path, &OpenOptions { format, eod: None })
    };
    let corpus = open(&llm_c(20_240_520, 1, 2, &u16_bytes(&[1, 50_256])), None).unwrap();
    assert_eq!(
        (corpus.format(), corpus.dtype()),
        (TokenFormat::LlmC, Dtype::U16)
    );
    assert_eq!(documents_of(&corpus), [[1, 50_256]]);
    let corpus = open(&llm_c(20_240_801, 7, 1, &[1, 0, 1, 0]), None).unwrap();
    assert_eq!(
        (documents_of(&corpus), corpus.dtype()),
        (vec![vec![65_537]], Dtype::U32)
    );
    for (bytes, format) in [
        (llm_c(20_240_520, 1, 3, &[0; 4]), None),
        (llm_c(20_240_801, 7, u32::MAX, &[0; 4]), None),
        (llm_c(20_240_520, 7, 2, &[0; 4]), Some(TokenFormat::LlmC)),
        (vec![0; 1000], Some(TokenFormat::LlmC)),
    ] {
        assert!(matches!(
            open(&bytes, format),
            Err(TokensError::RawFile { .. })
        ));
    }
}

fn parquet(dir: &Path, name: &str, column: ArrayRef) -> PathBuf {
    let path = dir.join("x.parquet");
    let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
    let file = fs::File::create(&path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

#[test]
fn parquet_lists_of_any_integer_are_unpacked_a_row_a_document() {
    let dir = tempfile::tempdir().unwrap();
    let mut lists = ListBuilder::new(PrimitiveBuilder::<UInt16Type>::new());
    let mut large = LargeListBuilder::new(PrimitiveBuilder::<Int64Type>::new());
    for row in DOCUMENTS {
        lists.append_value(row.iter().map(|&id| Some(id as u16)));
        large.append_value(row.iter().map(|&id| Some(i64::from(id))));
    }
    let columns: [ArrayRef; 2] = [Arc::new(lists.finish()), Arc::new(large.finish())];
    for column in columns {
        let corpus = TokenCorpus::open(&parquet(dir.path(), "input_ids", column), &auto()).unwrap();
        assert_eq!(corpus.format(), TokenFormat::Parquet);
        assert_eq!(documents_of(&corpus), DOCUMENTS);
    }
}

#[test]
fn parquet_with_nulls_negative_ids_or_no_such_column_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lists = |rows: Vec<Option<Vec<Option<i32>>>>| -> ArrayRef {
        Arc::new(arrow_array::ListArray::from_iter_primitive::<Int32Type, _, _>(rows))
    };
    let refused = |name: &str, column: ArrayRef| {
        TokenCorpus::open(&parquet(dir.path(), name, column), &auto())
            .err()
            .unwrap()
            .to_string()
    };
    let good = vec![Some(1)];
    assert!(
        refused("input_ids", lists(vec![Some(good.clone()), None])).contains("is null in row 1")
    );
    let holed = lists(vec![Some(good.clone()), Some(vec![Some(1), None])]);
    assert!(refused("input_ids", holed).contains("null id in row 1"));
    let negative = lists(vec![Some(good.clone()), Some(vec![Some(-5)])]);
    assert!(refused("input_ids", negative).contains("has id -5 in row 1"));
    assert!(refused("tokens", lists(vec![Some(good)])).contains("is not there"));
    let flat: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
    assert!(refused("input_ids", flat).contains("is Int32"));
}
