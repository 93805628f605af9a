use super::*;
use crate::error::Classified;
use crate::tokens::megatron::MegatronWriter;
use arrow_array::builder::{LargeListBuilder, ListBuilder, PrimitiveBuilder};
use arrow_array::types::{Int32Type, Int64Type, UInt16Type};
use arrow_array::{ArrayRef, RecordBatch};
use std::fs;
use std::sync::Arc;

fn auto() -> OpenOptions {
    OpenOptions::default()
}

pub(super) fn documents_of(corpus: &TokenCorpus) -> Vec<Vec<u32>> {
    let document = |doc| {
        let (start, end) = (corpus.document_start(doc), corpus.document_start(doc + 1));
        let mut ids = vec![0; (end - start) as usize];
        corpus.copy_tokens(start, &mut ids).unwrap();
        ids
    };
    (0..corpus.n_documents()).map(document).collect()
}

const DOCUMENTS: [&[u32]; 5] = [&[], &[1, 2, 3], &[], &[4], &[]];

pub(super) fn write_megatron(dir: &Path) {
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
        blocks: None,
        documents: None,
        inputs: vec![],
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
    let empty = open(dir.path());
    assert!(
        matches!(&empty, TokensError::FolderWithoutTokens { found, .. } if found == "is empty"),
        "{empty}"
    );
    for absent in ["absent", "absent.bin"] {
        let error = open(&dir.path().join(absent)).to_string();
        assert!(
            error.contains(&format!("{absent} does not exist")),
            "{error}"
        );
    }
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
    assert_eq!(corpus.max_token_id(0..6).unwrap(), (70_000, 2));
    assert_eq!(corpus.max_token_id(3..6).unwrap(), (70_000, 4));
    assert_eq!(corpus.max_token_id(3..3).unwrap(), (0, 3));
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
    assert_eq!(corpus.max_token_id(0..3_000_000).unwrap(), (900, 1_500_000));
    assert_eq!(corpus.max_token_id(0..1_500_000).unwrap(), (7, 0));
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
            .contains("3 bytes are not a whole number of u16 ids"),
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
        TokenCorpus::open(&path, &OpenOptions { format, ..auto() })
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

#[test]
fn llm_c_tokens_are_not_read_with_their_header_as_ids() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    fs::write(&path, llm_c(20_240_520, 1, 2, &u16_bytes(&[1, 2]))).unwrap();
    let options = OpenOptions {
        format: Some(TokenFormat::NanoGpt),
        ..auto()
    };
    let error = TokenCorpus::open(&path, &options)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("llm.c's tokens, with a header"), "{error}");
}

#[test]
fn a_pipe_is_refused_as_a_token_file_without_blocking() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let error = TokenCorpus::open(&path, &auto()).err().unwrap();
    assert!(matches!(error, TokensError::NotACorpus { .. }), "{error}");
}

#[test]
fn zeros_at_the_end_of_a_token_file_are_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let notes = |n_zeros: usize| {
        let ids: Vec<u16> = (1..100).chain(std::iter::repeat_n(0, n_zeros)).collect();
        fs::write(&path, u16_bytes(&ids)).unwrap();
        let corpus = TokenCorpus::open(&path, &auto()).unwrap();
        corpus.notes().join("; ")
    };
    assert_eq!(notes(255), "");
    assert!(notes(5000).contains("the last 5000 of 5099 ids"));
}

#[test]
fn a_header_with_half_the_width_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let ids: Vec<u32> = (0..200).map(|i| i * 7 % 90 + 1).collect();
    let refusal = |descr: &str, n: &str, ids: &[u32]| {
        fs::write(&path, npy(descr, n, &u32_bytes(ids))).unwrap();
        let corpus = TokenCorpus::open(&path, &auto()).unwrap();
        corpus.check_ids(0..corpus.n_tokens(), 100).err()
    };
    let error = refusal("<u2", "(400,)", &ids).unwrap().to_string();
    assert!(error.contains("it says that its ids are u16"), "{error}");
    assert!(error.contains("as if they were written as u32"), "{error}");
    assert!(refusal("<u4", "(200,)", &ids).is_none());
}

#[test]
fn apparent_padding_without_a_column_causes_a_note() {
    let text = |n: i64| (1..n).collect::<Vec<i64>>();
    let padded = |n: i64| [text(n), vec![0; (40 - n) as usize]].concat();
    let notes = |rows: Vec<Vec<i64>>| {
        let corpus = rows_of(&[("input_ids", rows)]).unwrap();
        corpus.notes().join("; ")
    };
    let found = notes(vec![padded(10), padded(20), text(40)]);
    assert!(found.contains("2 of 3 rows, all of one length"), "{found}");
    assert!(found.contains("id 0 (50 ids)"), "{found}");
    // Rows of other lengths are documents, whatever they end with.
    assert_eq!(notes(vec![padded(10), padded(20), text(30)]), "");
    assert_eq!(notes(vec![text(40), text(40)]), "");
}

#[test]
fn ids_in_two_columns_are_refused() {
    let rows = || vec![vec![1, 2]];
    let error = rows_of(&[("input_ids", rows()), ("input_ids", rows())]);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("is there 2 times"), "{error}");
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
        let path = parquet(dir.path(), "input_ids", column);
        let corpus = TokenCorpus::open(&path, &auto()).unwrap();
        assert_eq!(corpus.format(), TokenFormat::Parquet);
        assert_eq!(documents_of(&corpus), DOCUMENTS);
    }
}

#[test]
fn a_read_that_the_system_refuses_is_no_damage_of_a_parquet_token_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut lists = ListBuilder::new(PrimitiveBuilder::<UInt16Type>::new());
    lists.append_value((0..3000).map(|id| Some(id as u16)));
    let path = parquet(dir.path(), "input_ids", Arc::new(lists.finish()));
    let mut n_refused = 0;
    for n in 0.. {
        let open = || TokenCorpus::open(&path, &auto());
        let (opened, reached) = crate::storage::fail_nth_read(n, libc::EIO, open);
        if !reached {
            break;
        }
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), crate::error::Kind::Failed, "{error}");
        n_refused += 1;
    }
    assert!(n_refused > 1, "the footer and the pages are read");
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
    assert!(refused("tokens", lists(vec![Some(good)])).contains("is missing"));
    let flat: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
    assert!(refused("input_ids", flat).contains("is Int32"));
}

fn u32_bytes(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn i64_bytes(ids: &[i64]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn with_dtype(dtype: Dtype) -> OpenOptions {
    OpenOptions {
        dtype: Some(dtype),
        ..auto()
    }
}

/// 200 ids below 64, without long runs of 0.
fn some_ids() -> Vec<u32> {
    (0..200_u32).map(|i| i * 37 % 64).collect()
}

#[test]
fn wide_ids_without_a_header_are_read_by_their_type_and_refused_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let ids = some_ids();
    let wide: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    for (bytes, dtype) in [
        (u32_bytes(&ids), Dtype::U32),
        (i64_bytes(&wide), Dtype::I64),
    ] {
        for name in ["x.bin", "x.npy"] {
            let path = dir.path().join(name);
            fs::write(&path, &bytes).unwrap();
            let corpus = TokenCorpus::open(&path, &with_dtype(dtype)).unwrap();
            assert_eq!(documents_of(&corpus), std::slice::from_ref(&ids));
            assert_eq!(corpus.explicit_dtype(), Some(dtype));
            assert!(corpus.check_ids(0..200, 64).is_ok());
            let guessed = TokenCorpus::open(&path, &auto()).unwrap();
            let error = guessed.check_ids(0..guessed.n_tokens(), 64).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Usage);
            let wanted = format!("pass --dtype {}", dtype.name());
            assert!(error.to_string().contains(&wanted), "{error}");
            // The option wins, but with a note.
            let corpus = TokenCorpus::open(&path, &with_dtype(Dtype::U16)).unwrap();
            assert!(corpus.check_ids(0..corpus.n_tokens(), 64).is_ok());
            assert!(
                corpus.notes()[0].contains("every second id"),
                "{:?}",
                corpus.notes()
            );
        }
    }
}

#[test]
fn ids_past_the_vocabulary_name_the_type_that_fits_or_that_they_are_negative() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let narrow: Vec<u16> = some_ids().iter().map(|&id| id as u16).collect();
    let refused = |bytes: &[u8], options: &OpenOptions| {
        fs::write(&path, bytes).unwrap();
        let corpus = TokenCorpus::open(&path, options).unwrap();
        corpus
            .check_ids(0..corpus.n_tokens(), 64)
            .unwrap_err()
            .to_string()
    };
    let error = refused(&u16_bytes(&narrow), &with_dtype(Dtype::U32));
    assert!(
        error.contains("read as u32") && error.contains("pass --dtype u16"),
        "{error}"
    );
    let swapped: Vec<u8> = narrow.iter().flat_map(|id| id.to_be_bytes()).collect();
    let error = refused(&swapped, &auto());
    assert!(error.contains("big-endian u16"), "{error}");
    let error = refused(&i64_bytes(&[5, -100, 7]), &with_dtype(Dtype::I64));
    assert!(error.contains("negative"), "{error}");
}

#[test]
fn a_size_that_no_whole_ids_make_and_a_type_that_the_file_says_itself_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let refused = |bytes: &[u8], dtype| {
        fs::write(&path, bytes).unwrap();
        TokenCorpus::open(&path, &with_dtype(dtype))
            .err()
            .unwrap()
            .to_string()
    };
    let error = refused(&[1; 10], Dtype::U32);
    assert!(
        error.contains("10 bytes") && error.contains("--dtype"),
        "{error}"
    );
    let with_header = npy("<u2", "(2,)", &u16_bytes(&[1, 2]));
    let error = refused(&with_header, Dtype::U32);
    assert!(error.contains("header") && error.contains("u16"), "{error}");
    fs::write(&path, with_header).unwrap();
    let same = TokenCorpus::open(&path, &with_dtype(Dtype::U16)).unwrap();
    assert_eq!(same.explicit_dtype(), None, "the file says it");
    write_megatron(dir.path());
    for (options, flag) in [
        (with_dtype(Dtype::U16), "--dtype"),
        (
            OpenOptions {
                eod: Some(1),
                ..auto()
            },
            "--eod",
        ),
    ] {
        let error = TokenCorpus::open(&dir.path().join("tokens"), &options)
            .err()
            .unwrap();
        assert!(error.to_string().contains(flag), "{error}");
    }
}

#[test]
fn numpy_arrays_that_are_no_flat_little_endian_integers_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        TokenCorpus::open(&path, &auto()).err().unwrap().to_string()
    };
    for (bytes, words) in [
        (npy(">u2", "(2,)", &[0; 4]), "big-endian"),
        (npy("<f4", "(1,)", &[0; 4]), "floats"),
        (npy("|O", "(1,)", &[0; 4]), "Python objects"),
        (npy("<U2", "(1,)", &[0; 8]), "text"),
        (npy("<u2", "(2, 3)", &[0; 12]), "shape is (2, 3)"),
        (npy("<u2", "()", &[0; 2]), "shape is ()"),
    ] {
        assert!(error(&bytes).contains(words), "{}", error(&bytes));
    }
    let structured = b"\x93NUMPY\x01\x00\x40\x00{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (1,)} ";
    assert!(
        error(structured).contains("structured"),
        "{}",
        error(structured)
    );
    fs::write(&path, npy("<u8", "(1,)", &7_u64.to_le_bytes())).unwrap();
    assert_eq!(
        documents_of(&TokenCorpus::open(&path, &auto()).unwrap()),
        [[7]]
    );
}

/// How a raw file of u16 ids is split at 9, with the notes.
fn split_at_9(ids: &[u16], eod_position: Option<EodPosition>) -> (Vec<Vec<u32>>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    fs::write(&path, u16_bytes(ids)).unwrap();
    let options = OpenOptions {
        eod: Some(9),
        eod_position,
        ..auto()
    };
    let corpus = TokenCorpus::open(&path, &options).unwrap();
    (documents_of(&corpus), corpus.notes().to_vec())
}

#[test]
fn an_id_in_front_of_documents_is_told_by_the_ends_of_the_file_and_said() {
    let (documents, notes) = split_at_9(&[9, 1, 2, 9, 3, 9, 4, 5], None);
    assert_eq!(documents, [vec![9, 1, 2], vec![9, 3], vec![9, 4, 5]]);
    assert!(notes[0].contains("--eod-position front"), "{notes:?}");
    let (documents, notes) = split_at_9(&[1, 2, 9, 3, 9], None);
    assert_eq!(documents, [vec![1, 2, 9], vec![3, 9]]);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn ends_that_do_not_tell_are_taken_as_back_and_said() {
    let (documents, notes) = split_at_9(&[9, 1, 9, 2, 9], None);
    assert_eq!(documents, [vec![9], vec![1, 9], vec![2, 9]]);
    assert!(notes[0].contains("begins and ends"), "{notes:?}");
    let (documents, notes) = split_at_9(&[1, 9, 2], None);
    assert_eq!(documents, [vec![1, 9], vec![2]]);
    assert!(notes[0].contains("neither begins nor ends"), "{notes:?}");
    let (documents, notes) = split_at_9(&[1, 2], None);
    assert_eq!(documents, [[1, 2]]);
    assert!(notes[0].contains("id 9 does not occur"), "{notes:?}");
    assert_eq!(split_at_9(&[], None), (vec![], vec![]));
}

#[test]
fn an_eod_position_without_an_eod_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    fs::write(&path, u16_bytes(&[1, 2])).unwrap();
    let options = OpenOptions {
        eod_position: Some(EodPosition::Front),
        ..auto()
    };
    let error = TokenCorpus::open(&path, &options).err().unwrap();
    assert_eq!(error.kind(), crate::error::Kind::Usage);
    assert!(error.to_string().contains("--eod (data.eod)"), "{error}");
}

#[test]
fn what_is_said_of_the_side_holds_and_separators_in_a_row_are_documents_of_one_id() {
    let ids = [1, 9, 9, 2, 9];
    let (front, notes) = split_at_9(&ids, Some(EodPosition::Front));
    assert_eq!(front, [vec![1], vec![9], vec![9, 2], vec![9]]);
    assert_eq!(notes, [""; 0]);
    let (back, _) = split_at_9(&[9, 9, 1, 9, 2], Some(EodPosition::Back));
    assert_eq!(back, [vec![9], vec![9], vec![1, 9], vec![2]]);
    let (guessed, _) = split_at_9(&[9, 9, 1], None);
    assert_eq!(guessed, [vec![9], vec![9, 1]]);
}

#[test]
fn llm_c_files_of_another_version_and_its_other_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        TokenCorpus::open(&path, &auto()).err().unwrap().to_string()
    };
    let other_version = error(&llm_c(20_240_520, 9, 2, &[0; 4]));
    assert!(other_version.contains("version 9"), "{other_version}");
    let weights = error(&llm_c(20_240_326, 3, 2, &[0; 4]));
    assert!(weights.contains("llm.c's model weights"), "{weights}");
    let compressed = error(&[&[0x1f, 0x8b, 8, 0][..], &[5; 100]].concat());
    assert!(
        compressed.contains("gzip") && compressed.contains("decompress"),
        "{compressed}"
    );
}

#[test]
fn a_bin_of_megatron_without_its_index_and_an_index_without_its_bin_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = |name: &str, half: &str| {
        let error = TokenCorpus::open(&dir.path().join(name), &auto())
            .err()
            .unwrap();
        let is_half = matches!(&error, TokensError::MissingHalf { path } if path.ends_with(half));
        assert!(is_half, "{name}: {error}");
    };
    for name in ["a_text_document.bin", "b.bin", "c.idx"] {
        fs::write(dir.path().join(name), [1; 8]).unwrap();
    }
    missing("a_text_document.bin", "a_text_document.idx");
    missing("b", "b.idx");
    missing("c.idx", "c.bin");
    missing("c", "c.bin");
    write_megatron(dir.path());
    fs::remove_file(dir.path().join("tokens.idx")).unwrap();
    missing("tokens.bin", "tokens.idx");
}

#[test]
fn token_files_that_are_not_those_of_corpus_json_are_found_by_their_hash() {
    for name in ["tokens.bin", "tokens.idx"] {
        let dir = tempfile::tempdir().unwrap();
        write_megatron(dir.path());
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        TokenCorpus::open(dir.path(), &auto())
            .unwrap()
            .check_contents()
            .unwrap();
        // Of the index: the second document gets the third's sequence, which is as long as none.
        let at = if name == "tokens.bin" {
            0
        } else {
            bytes.len() - 16
        };
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let Ok(corpus) = TokenCorpus::open(dir.path(), &auto()) else {
            assert_eq!(name, "tokens.idx");
            continue;
        };
        let error = corpus.check_contents().unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::BadData);
        let text = error.to_string();
        assert!(
            text.contains(name) && text.contains("corpus.json"),
            "{text}"
        );
    }
}

#[test]
fn a_file_that_is_cut_or_overwritten_while_it_is_read_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let corpus = TokenCorpus::open(dir.path(), &auto()).unwrap();
    assert_eq!(corpus.modified_file().unwrap(), None);
    let documents = documents_of(&corpus);
    for name in ["tokens.idx", "tokens.bin"] {
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(name))
            .unwrap();
        file.set_len(2).unwrap();
        let starts: Vec<u64> = (0..=5).map(|doc| corpus.document_start(doc)).collect();
        assert_eq!(starts, [0, 0, 3, 3, 4, 4], "the index was copied");
        if name == "tokens.idx" {
            assert_eq!(documents_of(&corpus), documents);
        }
    }
    let error = corpus.copy_tokens(0, &mut [0; 4]).unwrap_err();
    assert!(matches!(error, TokensError::CutShort { .. }), "{error}");
    assert_eq!(error.kind(), crate::error::Kind::BadData);
    assert!(corpus.max_token_id(0..4).is_err());
    assert!(
        corpus
            .modified_file()
            .unwrap()
            .unwrap()
            .ends_with("tokens.bin")
    );
}

/// Writes rows of lists as columns with these names.
fn write_rows(path: &Path, columns: &[(&str, Vec<Vec<i64>>)]) {
    let lists = |rows: &[Vec<i64>]| -> ArrayRef {
        let rows = rows.iter().map(|row| Some(row.iter().map(|&id| Some(id))));
        Arc::new(arrow_array::ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
    };
    let columns = columns
        .iter()
        .map(|(name, rows)| (*name, lists(rows), true));
    write_batch(
        path,
        RecordBatch::try_from_iter_with_nullable(columns).unwrap(),
    );
}

fn write_batch(path: &Path, batch: RecordBatch) {
    let file = fs::File::create(path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn rows_of(columns: &[(&str, Vec<Vec<i64>>)]) -> Result<TokenCorpus, TokensError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    write_rows(&path, columns);
    TokenCorpus::open(&path, &auto())
}

#[test]
fn padding_by_an_attention_mask_is_left_out_at_either_end_and_counted() {
    let corpus = rows_of(&[
        (
            "input_ids",
            vec![
                vec![1, 2, 0, 0],
                vec![0, 0, 0, 3],
                vec![4, 5, 6, 7],
                vec![0; 4],
                vec![0, 8, 0, 0],
            ],
        ),
        (
            "attention_mask",
            vec![
                vec![1, 1, 0, 0],
                vec![0, 0, 0, 1],
                vec![1; 4],
                vec![0; 4],
                vec![1, 1, 1, 0],
            ],
        ),
    ])
    .unwrap();
    let documents = documents_of(&corpus);
    assert_eq!(
        documents,
        [vec![1, 2], vec![3], vec![4, 5, 6, 7], vec![], vec![0, 8, 0]]
    );
    let column = "attention_mask".to_owned();
    assert_eq!(
        corpus.padding(),
        Some(&Padding {
            column,
            n_tokens: 10
        })
    );
    assert!(
        corpus.notes()[0].contains("10 of 20 ids are padding"),
        "{:?}",
        corpus.notes()
    );
}

#[test]
fn a_mask_with_holes_or_of_another_length_is_refused_with_its_row() {
    let ids = vec![vec![1, 2, 3], vec![1, 2, 3]];
    for (mask, words) in [
        (
            vec![vec![1, 1, 0], vec![1, 0, 1]],
            "is 0 at position 1 with text on both sides of it, row 1",
        ),
        (
            vec![vec![1, 1, 1], vec![1, 1]],
            "has 2 values for 3 ids, row 1",
        ),
    ] {
        let error = rows_of(&[("input_ids", ids.clone()), ("attention_mask", mask)]);
        let error = error.err().unwrap().to_string();
        assert!(
            error.contains(words) && error.contains("`attention_mask`"),
            "{error}"
        );
    }
    // A mask that marks only text leaves nothing out; masked ids may be negative.
    let whole = rows_of(&[
        ("input_ids", ids.clone()),
        ("attention_mask", vec![vec![1; 3]; 2]),
    ])
    .unwrap();
    assert_eq!((whole.padding(), whole.n_tokens()), (None, 6));
    let hidden = rows_of(&[
        ("input_ids", vec![vec![5, -1]]),
        ("attention_mask", vec![vec![1, 0]]),
    ]);
    assert_eq!(documents_of(&hidden.unwrap()), [[5]]);
}

#[test]
fn labels_of_minus_100_are_padding_over_the_id_that_fills_rows_and_prompts_are_counted() {
    let corpus = rows_of(&[
        (
            "input_ids",
            vec![vec![1, 2, 0, 0], vec![3, 4, 5, 0], vec![6, 7, 8, 9]],
        ),
        (
            "labels",
            vec![
                vec![1, 2, -100, -100],
                vec![3, 4, 5, -100],
                vec![-100, -100, 8, 9],
            ],
        ),
    ])
    .unwrap();
    assert_eq!(
        documents_of(&corpus),
        [vec![1, 2], vec![3, 4, 5], vec![6, 7, 8, 9]]
    );
    assert_eq!(corpus.padding().unwrap().n_tokens, 3);
    let notes = corpus.notes().join("\n");
    assert!(
        notes.contains("3 of 12") && notes.contains("2 ids have the label -100"),
        "{notes}"
    );
    let left = rows_of(&[
        ("input_ids", vec![vec![0, 0, 1, 2], vec![0, 3, 4, 5]]),
        ("labels", vec![vec![-100, -100, 1, 2], vec![-100, 3, 4, 5]]),
    ]);
    assert_eq!(documents_of(&left.unwrap()), [vec![1, 2], vec![3, 4, 5]]);
    let unmasked = rows_of(&[
        ("input_ids", vec![vec![1, 1]]),
        ("labels", vec![vec![1, 1]]),
    ])
    .unwrap();
    assert_eq!((unmasked.padding(), unmasked.notes().len()), (None, 0));
}

#[test]
fn lengths_that_count_ids_cut_rows_and_others_are_left_alone() {
    let with_lengths = |lengths: Vec<i64>| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let rows = [vec![1, 2, 0, 0], vec![3, 4, 5, 6]];
        let rows = rows.into_iter().map(|row| Some(row.into_iter().map(Some)));
        let ids = arrow_array::ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
        let lengths = arrow_array::Int64Array::from(lengths);
        let columns: [(&str, ArrayRef); 2] =
            [("input_ids", Arc::new(ids)), ("length", Arc::new(lengths))];
        write_batch(&path, RecordBatch::try_from_iter(columns).unwrap());
        TokenCorpus::open(&path, &auto()).unwrap()
    };
    assert_eq!(
        documents_of(&with_lengths(vec![2, 4])),
        [vec![1, 2], vec![3, 4, 5, 6]]
    );
    for other in [vec![17, 30], vec![2, 3_000], vec![4, 1]] {
        let corpus = with_lengths(other);
        assert_eq!((corpus.n_tokens(), corpus.padding()), (8, None));
        assert!(
            corpus.notes()[0].contains("is not the number of ids"),
            "{:?}",
            corpus.notes()
        );
    }
}

#[test]
fn parquet_files_of_a_folder_or_a_glob_are_one_corpus_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_rows(&path("b.parquet"), &[("input_ids", vec![vec![3], vec![]])]);
    write_rows(&path("a.parquet"), &[("input_ids", vec![vec![1, 2]])]);
    fs::write(path("_SUCCESS"), "").unwrap();
    fs::write(path("README.md"), "a card").unwrap();
    for open in [dir.path().to_path_buf(), path("*.parquet")] {
        let corpus = TokenCorpus::open(&open, &auto()).unwrap();
        assert_eq!(corpus.format(), TokenFormat::Parquet);
        assert_eq!(documents_of(&corpus), [vec![1, 2], vec![3], vec![]]);
        assert_eq!(corpus.files(), [path("a.parquet"), path("b.parquet")]);
        assert!(
            corpus.notes()[0].contains("2 Parquet files"),
            "{:?}",
            corpus.notes()
        );
    }
    write_rows(&path("train-0.parquet"), &[("input_ids", vec![vec![1]])]);
    write_rows(&path("test-0.parquet"), &[("input_ids", vec![vec![1]])]);
    let corpus = TokenCorpus::open(dir.path(), &auto()).unwrap();
    let notes = corpus.notes().join("; ");
    assert!(notes.contains("the second is held out"), "{notes}");
    fs::remove_file(path("train-0.parquet")).unwrap();
    fs::remove_file(path("test-0.parquet")).unwrap();
    let error = |open: &Path| TokenCorpus::open(open, &auto()).err().unwrap().to_string();
    fs::write(path("train.bin"), [0; 8]).unwrap();
    assert!(error(dir.path()).contains("contains train.bin as well as Parquet files"));
    assert!(error(&path("*")).contains("as well as Parquet files"));
    assert!(error(&path("c*.parquet")).contains("c*.parquet matches no file"));
    fs::remove_file(path("train.bin")).unwrap();
    // The second file has no mask, so padding would be left out of the first only.
    let masked = [
        ("input_ids", vec![vec![1, 0]]),
        ("attention_mask", vec![vec![1, 0]]),
    ];
    write_rows(&path("a.parquet"), &masked);
    let text = error(dir.path());
    assert!(
        text.contains("b.parquet") && text.contains("`attention_mask`"),
        "{text}"
    );
}

#[test]
fn a_folder_of_other_files_says_what_it_holds_and_what_would_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = || {
        TokenCorpus::open(dir.path(), &auto())
            .err()
            .unwrap()
            .to_string()
    };
    fs::write(dir.path().join("a.jsonl"), "").unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    assert!(error().contains("holds a.jsonl, data/"), "{}", error());
    fs::write(dir.path().join("train.bin"), "").unwrap();
    assert!(
        error().contains("such as") && error().contains("train.bin"),
        "{}",
        error()
    );
}

#[test]
fn columns_that_tell_of_packed_documents_are_said_to_be_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    for column in ["position_ids", "seq_lengths"] {
        let rows = [
            ("input_ids", vec![vec![1, 2, 3]]),
            (column, vec![vec![0, 1, 0]]),
        ];
        write_rows(&path, &rows);
        let corpus = TokenCorpus::open(&path, &auto()).unwrap();
        assert_eq!(corpus.n_documents(), 1);
        let note = &corpus.notes()[0];
        assert!(
            note.contains(&format!("`{column}`, which is ignored")),
            "{note}"
        );
    }
}

#[test]
fn a_parquet_name_with_other_contents_is_told_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    fs::write(&path, [&[0x28, 0xb5, 0x2f, 0xfd][..], &[9; 50]].concat()).unwrap();
    let error = TokenCorpus::open(&path, &auto()).err().unwrap().to_string();
    assert!(error.contains("zstd"), "{error}");
}

#[test]
fn every_flipped_byte_of_a_corpus_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let sound = CorpusJson::read(&dir.path().join(CORPUS_JSON)).unwrap();
    for name in ["tokens.bin", "tokens.idx", CORPUS_JSON] {
        let path = dir.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for (at, bit) in (0..bytes.len()).flat_map(|at| [(at, 0), (at, 3), (at, 5)]) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, flipped).unwrap();
            let opened = TokenCorpus::open(dir.path(), &auto());
            let checked = opened.and_then(|corpus| corpus.check_contents().map(|()| corpus));
            // Changes of white space or of equivalent spelling are harmless.
            let is_same = |corpus: &TokenCorpus| name == CORPUS_JSON && corpus.json == sound;
            let found = checked.map_or(true, |corpus| is_same(&corpus));
            assert!(found, "{name}: byte {at}, bit {bit}");
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn flipped_bytes_of_parquet_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let rows = (0..60_i64)
        .map(|row| (0..row % 7).map(|i| row * 31 + i).collect())
        .collect();
    write_rows(&path, &[("input_ids", rows)]);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        if let Ok(corpus) = TokenCorpus::open(&path, &auto()) {
            documents_of(&corpus);
        }
    }
}
