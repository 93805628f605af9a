use super::support::{Setup, run, score_of, value_of};
use crate::corpus::Compression;
use crate::error::{Classified, Kind};
use crate::filter::{FilterError, FilterOptions, Skipped};
use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, FixedSizeBinaryBuilder, Float64Builder, Int32Builder,
    Int64Builder, ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder, StructBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type as PlainInt32, Int96, Int96Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Rows with every kind of column, flat and nested; every tenth text is empty, so not a document.
fn table(n_rows: usize) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", texts(n_rows)),
        ("id", {
            let mut ids = Int64Builder::new();
            (0..n_rows).for_each(|i| ids.append_option((i % 3 > 0).then_some(i as i64)));
            Arc::new(ids.finish())
        }),
        ("flag", {
            let mut flags = BooleanBuilder::new();
            (0..n_rows).for_each(|i| flags.append_value(i % 7 == 2));
            Arc::new(flags.finish())
        }),
        ("time", {
            let mut times = TimestampMillisecondBuilder::new().with_timezone("UTC");
            (0..n_rows).for_each(|i| times.append_value(1_700_000_000_000 + i as i64));
            Arc::new(times.finish())
        }),
        ("price", {
            let mut prices = Decimal128Builder::new();
            (0..n_rows).for_each(|i| prices.append_value(i as i128 * 1_001));
            let prices = prices.finish().with_precision_and_scale(30, 3).unwrap();
            Arc::new(prices)
        }),
        ("code", {
            let mut codes = FixedSizeBinaryBuilder::new(3);
            (0..n_rows).for_each(|i| match i % 4 {
                0 => codes.append_null(),
                _ => codes.append_value([i as u8, 1, 2]).unwrap(),
            });
            Arc::new(codes.finish())
        }),
        ("kind", {
            let mut kinds = StringDictionaryBuilder::<Int32Type>::new();
            (0..n_rows).for_each(|i| kinds.append_value(["web", "book"][i % 2]));
            Arc::new(kinds.finish())
        }),
        ("numbers", numbers(n_rows)),
        ("pairs", pairs(n_rows)),
        ("nested", nested(n_rows)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn texts(n_rows: usize) -> ArrayRef {
    let mut texts = StringBuilder::new();
    (0..n_rows).for_each(|i| match i % 10 {
        9 => texts.append_value(""),
        _ => texts.append_value(format!("text number {i}")),
    });
    Arc::new(texts.finish())
}

/// Lists that are null, empty, or have nulls in them.
fn numbers(n_rows: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(Int32Builder::new());
    for i in 0..n_rows {
        (0..i % 5).for_each(|j| {
            let value = (j != 2).then_some((i * j) as i32);
            lists.values().append_option(value);
        });
        lists.append(i % 6 != 5);
    }
    Arc::new(lists.finish())
}

fn pairs(n_rows: usize) -> ArrayRef {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
    for i in 0..n_rows {
        for j in 0..i % 3 {
            maps.keys().append_value(format!("k{j}"));
            maps.values()
                .append_option((i % 2 == 0).then_some(j as f64));
        }
        maps.append(i % 4 != 3).unwrap();
    }
    Arc::new(maps.finish())
}

/// Nullable structs of a number and a list of strings.
fn nested(n_rows: usize) -> ArrayRef {
    let item = Field::new_list_field(DataType::Utf8, true);
    let fields = vec![
        Field::new("x", DataType::Float64, true),
        Field::new("tags", DataType::List(Arc::new(item)), true),
    ];
    let mut structs = StructBuilder::new(
        fields,
        vec![
            Box::new(Float64Builder::new()),
            Box::new(ListBuilder::new(StringBuilder::new())),
        ],
    );
    for i in 0..n_rows {
        let x = structs.field_builder::<Float64Builder>(0).unwrap();
        x.append_option((i % 3 == 1).then_some(i as f64));
        let tags = structs.field_builder::<ListBuilder<StringBuilder>>(1);
        let tags = tags.unwrap();
        (0..i % 4).for_each(|j| tags.values().append_value(format!("tag {j}")));
        tags.append(i % 5 != 4);
        structs.append(i % 8 != 6);
    }
    Arc::new(structs.finish())
}

fn properties(group_rows: usize) -> WriterProperties {
    let entries = vec![
        KeyValue::new("pandas".to_owned(), "{\"a\": 1}".to_owned()),
        KeyValue::new("empty".to_owned(), None),
    ];
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_compression(Codec::ZSTD(ZstdLevel::default()))
        .set_column_compression(ColumnPath::from("id"), Codec::SNAPPY)
        .set_column_dictionary_enabled(ColumnPath::from("id"), false)
        .set_column_encoding(ColumnPath::from("id"), Encoding::DELTA_BINARY_PACKED)
        .set_key_value_metadata(Some(entries))
        .build()
}

fn bytes_of(table: &RecordBatch, group_rows: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let properties = Some(properties(group_rows));
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), properties).unwrap();
    writer.write(table).unwrap();
    writer.close().unwrap();
    bytes
}

fn setup(table: &RecordBatch, group_rows: usize) -> Setup {
    Setup::new(&[("a.parquet", bytes_of(table, group_rows))])
}

/// All rows of a file, as Arrow arrays.
fn read(path: &Path) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let reader = builder.build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn footer(path: &Path) -> SerializedFileReader<File> {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap()
}

/// Every row as a batch of its own.
fn rows_of(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let rows = |batch: &RecordBatch| {
        let row = |i| batch.slice(i, 1);
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    };
    batches.iter().flat_map(rows).collect()
}

fn is_document(row: usize) -> bool {
    row % 10 != 9
}

/// The document number of a row.
fn document_of(row: usize) -> u64 {
    (row - row / 10) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn kept_rows_have_all_columns_as_they_were(
        n_rows in 1..3500usize,
        group_rows in 1..2000usize,
        words in prop::collection::vec(any::<u64>(), 1..60),
        keeps_skipped in any::<bool>(),
        is_sparse in any::<bool>(),
    ) {
        let table = table(n_rows);
        let setup = setup(&table, group_rows);
        // Runs of 64 that are dropped entirely, as they are skipped without decoding.
        let is_kept = |document: u64| {
            let word = words[(document / 64) as usize % words.len()];
            (word >> (document % 64)) & 1 == 1 && !(is_sparse && (document / 1500).is_multiple_of(2))
        };
        setup.select(is_kept);
        let skipped = if keeps_skipped { Skipped::Keep } else { Skipped::Drop };
        let summary = setup.filter(FilterOptions { skipped, ..FilterOptions::default() }).unwrap();

        let wanted = (0..n_rows).filter(|&row| match is_document(row) {
            true => is_kept(document_of(row)),
            false => keeps_skipped,
        });
        let expected: Vec<RecordBatch> = wanted.map(|row| table.slice(row, 1)).collect();
        let out = setup.path("out/a.parquet");
        prop_assert_eq!(rows_of(&read(&out)), expected);
        prop_assert_eq!(summary.counts.n_skipped, (0..n_rows).filter(|&i| !is_document(i)).count() as u64);

        let (got, want) = (footer(&out), footer(&setup.inputs[0]));
        let (got_file, want_file) = (got.metadata().file_metadata(), want.metadata().file_metadata());
        prop_assert_eq!(got_file.schema(), want_file.schema());
        prop_assert_eq!(got_file.key_value_metadata(), want_file.key_value_metadata());
        let groups = got.metadata().row_groups();
        prop_assert!(groups.iter().all(|group| group.num_rows() as usize <= group_rows.min(n_rows)));
        // Two neighbours would not fit into one row group.
        let pairs = groups.windows(2);
        let sums = pairs.map(|pair| pair[0].num_rows() + pair[1].num_rows());
        prop_assert!(sums.into_iter().all(|sum| sum as usize > group_rows.min(n_rows)));
    }
}

#[test]
fn compression_dictionaries_and_encodings_are_kept_by_column() {
    let setup = setup(&table(500), 500);
    setup.select(|_| true);
    setup.filter(FilterOptions::default()).unwrap();
    let (got, want) = (
        footer(&setup.path("out/a.parquet")),
        footer(&setup.inputs[0]),
    );
    let columns =
        |file: &SerializedFileReader<File>| file.metadata().row_group(0).columns().to_vec();
    for (got, want) in columns(&got).iter().zip(columns(&want)) {
        let path = want.column_path();
        assert_eq!(got.compression(), want.compression(), "{path}");
        let has_dictionary = want.dictionary_page_offset().is_some();
        assert_eq!(
            got.dictionary_page_offset().is_some(),
            has_dictionary,
            "{path}"
        );
        let encodings = want.encodings().collect::<Vec<_>>();
        assert_eq!(got.encodings().collect::<Vec<_>>(), encodings, "{path}");
    }
    let options = FilterOptions {
        compression: Some(Compression::Gzip),
        ..FilterOptions::default()
    };
    let mut request = setup.request(options);
    request.output = setup.path("gzip");
    run(request).unwrap();
    let file = footer(&setup.path("gzip/a.parquet"));
    let is_gzip = |codec| matches!(codec, Codec::GZIP(_));
    assert!(
        columns(&file)
            .iter()
            .all(|column| is_gzip(column.compression()))
    );
    assert_eq!(rows_of(&read(&setup.path("gzip/a.parquet"))).len(), 450);
}

#[test]
fn scores_and_weights_are_columns_behind_the_others() {
    let table = table(40);
    let setup = setup(&table, 16);
    let json = setup.tokenize();
    // Document 5 is not listed, and so is not kept.
    let rows: Vec<(u64, bool)> = (0..36)
        .filter(|i| *i != 5)
        .map(|i| (i, i % 2 == 0))
        .collect();
    let selection = setup.path("selection.parquet");
    super::support::write_selection(&selection, &json.fingerprint(), &rows);
    let options = FilterOptions {
        scores_key: Some("salt".to_owned()),
        weights_key: Some("w".to_owned()),
        skipped: Skipped::Keep,
        ..FilterOptions::default()
    };
    let summary = setup.filter(options).unwrap();
    assert_eq!((summary.counts.n_kept, summary.counts.n_written), (18, 36));
    let rows = rows_of(&read(&setup.path("out/a.parquet")));
    assert_eq!(rows.len(), 40);
    for (i, row) in rows.iter().enumerate() {
        let n_columns = table.num_columns();
        let before: Vec<usize> = (0..n_columns).collect();
        assert_eq!(row.project(&before).unwrap(), table.slice(i, 1));
        let weight = row
            .column_by_name("w")
            .unwrap()
            .as_primitive::<Float64Type>();
        let scores = row.column_by_name("salt").unwrap().as_struct();
        if !is_document(i) {
            assert!(weight.is_null(0) && scores.is_null(0), "row {i}");
            continue;
        }
        let document = document_of(i);
        let is_kept = document != 5 && document.is_multiple_of(2);
        assert_eq!(weight.value(0), f64::from(u8::from(is_kept)), "row {i}");
        assert_eq!(scores.is_null(0), document == 5, "row {i}");
        if document == 5 {
            continue;
        }
        let double = |name: &str| {
            scores
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Float64Type>()
        };
        assert_eq!(double("score").value(0), score_of(document));
        assert_eq!(double("mean_entropy").value(0), value_of(document));
        assert!(double("bits_per_byte").is_null(0));
        let rank = scores
            .column_by_name("rank")
            .unwrap()
            .as_primitive::<Int64Type>();
        assert_eq!(rank.value(0), document as i64);
    }
    // The dictionary type is known from the Arrow schema in the metadata, which includes the added columns.
    let kind = rows[0].schema().field_with_name("kind").unwrap().clone();
    assert!(
        matches!(kind.data_type(), DataType::Dictionary(..)),
        "{kind}"
    );
}

/// Rows of types that Arrow no longer writes: 96-bit times, and two-level lists.
fn old_file() -> Vec<u8> {
    let schema = "message old {
        required binary text (UTF8);
        optional int96 time;
        repeated int32 numbers;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts = ["a", "b", "c", "d"].map(ByteArray::from);
    column
        .typed::<ByteArrayType>()
        .write_batch(&texts, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let times = [Int96::from(vec![1, 2, 3]), Int96::from(vec![4, 5, 6])];
    let levels = [0, 1, 0, 1];
    column
        .typed::<Int96Type>()
        .write_batch(&times, Some(&levels), None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let (definitions, repetitions) = ([1, 1, 0, 1, 1], [0, 1, 0, 0, 0]);
    column
        .typed::<PlainInt32>()
        .write_batch(&[10, 11, 30, 40], Some(&definitions), Some(&repetitions))
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn types_that_arrow_would_change_are_kept() {
    let setup = Setup::new(&[("old.parquet", old_file())]);
    setup.select(|doc_index| doc_index != 1);
    setup.filter(FilterOptions::default()).unwrap();
    let (got, want) = (
        footer(&setup.path("out/old.parquet")),
        footer(&setup.inputs[0]),
    );
    let schema =
        |file: &SerializedFileReader<File>| file.metadata().file_metadata().schema().clone();
    assert_eq!(schema(&got), schema(&want));
    let rows = |file: &SerializedFileReader<File>| {
        let rows = file.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().to_string()).collect::<Vec<_>>()
    };
    let mut expected = rows(&want);
    expected.remove(1);
    assert_eq!(rows(&got), expected);
}

#[test]
fn columns_that_are_there_and_codecs_that_are_not_are_refused_before_anything_is_written() {
    let setup = setup(&table(20), 20);
    setup.select(|_| true);
    let options = FilterOptions {
        scores_key: Some("nested".to_owned()),
        ..FilterOptions::default()
    };
    let error = setup.filter(options).unwrap_err();
    assert!(matches!(error, FilterError::ColumnTaken { .. }), "{error}");
    let options = FilterOptions {
        compression: Some(Compression::Bzip2),
        ..FilterOptions::default()
    };
    let error = setup.filter(options).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("bzip2"), "{error}");
    assert!(!setup.path("out").exists());
}

#[test]
fn a_file_of_which_no_row_is_kept_has_the_schema_and_no_row() {
    let table = table(20);
    let other = ("b.jsonl", b"{\"text\":\"b\"}".to_vec());
    let setup = Setup::new(&[("a.parquet", bytes_of(&table, 7)), other]);
    setup.select(|doc_index| doc_index == 18);
    setup.filter(FilterOptions::default()).unwrap();
    assert_eq!(setup.output("b.jsonl"), b"{\"text\":\"b\"}");
    let file = footer(&setup.path("out/a.parquet"));
    assert_eq!(file.metadata().file_metadata().num_rows(), 0);
    assert_eq!(read(&setup.path("out/a.parquet")), []);
}

#[test]
fn a_damaged_file_is_an_error_whatever_byte_is_wrong() {
    let table = table(60);
    let bytes = bytes_of(&table, 25);
    let setup = Setup::new(&[("a.parquet", bytes.clone())]);
    setup.select(|doc_index| doc_index % 2 == 0);
    let step = (bytes.len() / 60).max(1);
    for i in (0..bytes.len()).step_by(step) {
        let mut damaged = bytes.clone();
        damaged[i] ^= 0x41;
        std::fs::write(&setup.inputs[0], damaged).unwrap();
        let error = setup.filter(FilterOptions::default()).unwrap_err();
        assert_ne!(error.kind(), Kind::Failed, "byte {i}: {error}");
        assert!(!setup.path("out/a.parquet").exists(), "byte {i}: {error}");
    }
}
