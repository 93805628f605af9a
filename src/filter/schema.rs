//! Copies the schema, the metadata and the layout of a Parquet file, with what is added.

use super::error::FilterError;
use super::options::FilterOptions;
use crate::corpus;
use crate::shards::DocumentScore;
use arrow_schema::Schema;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::basic::{
    Compression, Encoding, GzipLevel, Repetition, Type as PhysicalType, ZstdLevel,
};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use std::path::Path;
use std::sync::Arc;

/// An added column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// The policy's score.
    Score,
    /// The place in the policy's order.
    Rank,
    /// The score with this index in [`DocumentScore::ALL`].
    Value(usize),
    /// 1 or 0.
    Weight,
}

/// The added columns, in order, after those of the input.
pub(super) fn added_columns(options: &FilterOptions) -> Vec<Added> {
    let mut columns = Vec::new();
    if options.scores_key.is_some() {
        columns.extend([Added::Score, Added::Rank]);
        columns.extend((0..DocumentScore::ALL.len()).map(Added::Value));
    }
    columns.extend(options.weights_key.is_some().then_some(Added::Weight));
    columns
}

/// Refuses a file that already has a column with the name of an added one, or that does not support the requested
/// compression.
pub(super) fn check(
    path: &Path,
    metadata: &ParquetMetaData,
    options: &FilterOptions,
) -> std::result::Result<(), FilterError> {
    let fields = metadata.file_metadata().schema().get_fields();
    let is_there = |key: &&str| fields.iter().any(|field| field.name() == *key);
    if let Some(column) = options.keys().find(is_there) {
        return Err(FilterError::ColumnTaken {
            path: path.to_path_buf(),
            column: column.to_owned(),
        });
    }
    match options.compression.map(|wanted| (wanted, codec(wanted))) {
        Some((wanted, None)) => Err(FilterError::NoSuchCompression {
            path: path.to_path_buf(),
            compression: wanted.name(),
        }),
        _ => Ok(()),
    }
}

/// The schema of the input, with the added columns.
pub(super) fn schema(metadata: &ParquetMetaData, options: &FilterOptions) -> Result<TypePtr> {
    let root = metadata.file_metadata().schema();
    let mut fields = root.get_fields().to_vec();
    if let Some(key) = &options.scores_key {
        fields.push(Arc::new(scores_type(key)?));
    }
    if let Some(key) = &options.weights_key {
        fields.push(Arc::new(optional(key, PhysicalType::DOUBLE)?));
    }
    let root = Type::group_type_builder(root.name()).with_fields(fields);
    Ok(Arc::new(root.build()?))
}

fn scores_type(key: &str) -> Result<Type> {
    let doubles = DocumentScore::ALL.iter().map(|score| score.name());
    let mut fields = vec![
        Arc::new(optional("score", PhysicalType::DOUBLE)?),
        Arc::new(optional("rank", PhysicalType::INT64)?),
    ];
    for name in doubles {
        fields.push(Arc::new(optional(name, PhysicalType::DOUBLE)?));
    }
    let group = Type::group_type_builder(key).with_repetition(Repetition::OPTIONAL);
    group.with_fields(fields).build()
}

fn optional(name: &str, physical_type: PhysicalType) -> Result<Type> {
    let builder = Type::primitive_type_builder(name, physical_type);
    builder.with_repetition(Repetition::OPTIONAL).build()
}

/// Properties of a writer that lays the file out like the input.
pub(super) fn properties(
    metadata: &ParquetMetaData,
    schema: &TypePtr,
    options: &FilterOptions,
) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_key_value_metadata(key_values(metadata, schema, options)?)
        .set_compression(added_compression(metadata, options));
    let first = metadata.row_groups().first();
    if let Some(first) = first {
        builder = builder.set_sorting_columns(first.sorting_columns().cloned());
    }
    for column in first.into_iter().flat_map(|group| group.columns()) {
        builder = like(builder, column, options);
    }
    Ok(builder.build())
}

/// The column is compressed and encoded as in the input.
fn like(
    builder: WriterPropertiesBuilder,
    column: &ColumnChunkMetaData,
    options: &FilterOptions,
) -> WriterPropertiesBuilder {
    let path = || column.column_path().clone();
    let codec = options.compression.and_then(codec);
    let codec = codec.unwrap_or(column.compression());
    let is_special = |encoding: &Encoding| {
        matches!(
            encoding,
            Encoding::DELTA_BINARY_PACKED
                | Encoding::DELTA_LENGTH_BYTE_ARRAY
                | Encoding::DELTA_BYTE_ARRAY
                | Encoding::BYTE_STREAM_SPLIT
        )
    };
    let builder = builder
        .set_column_compression(path(), codec)
        .set_column_dictionary_enabled(path(), column.dictionary_page_offset().is_some())
        .set_column_bloom_filter_enabled(path(), column.bloom_filter_offset().is_some());
    match column.encodings().find(is_special) {
        Some(encoding) => builder.set_column_encoding(path(), encoding),
        None => builder,
    }
}

/// The compression of the first column, for added columns.
fn added_compression(metadata: &ParquetMetaData, options: &FilterOptions) -> Compression {
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let first = columns.map(ColumnChunkMetaData::compression).next();
    let codec = options.compression.and_then(codec);
    codec.or(first).unwrap_or(Compression::UNCOMPRESSED)
}

fn codec(compression: corpus::Compression) -> Option<Compression> {
    Some(match compression {
        corpus::Compression::None => Compression::UNCOMPRESSED,
        corpus::Compression::Gzip => Compression::GZIP(GzipLevel::default()),
        corpus::Compression::Zstd => Compression::ZSTD(ZstdLevel::default()),
        corpus::Compression::Lz4 => Compression::LZ4_RAW,
        corpus::Compression::Xz | corpus::Compression::Bzip2 => return None,
    })
}

/// The input's key-value metadata. An Arrow schema in it gets the added columns, since readers take it for the file's.
fn key_values(
    metadata: &ParquetMetaData,
    schema: &TypePtr,
    options: &FilterOptions,
) -> Result<Option<Vec<KeyValue>>> {
    let known = metadata.file_metadata().key_value_metadata();
    let Some(mut entries) = known.cloned() else {
        return Ok(None);
    };
    if !options.adds() {
        return Ok(Some(entries));
    }
    for entry in &mut entries {
        if entry.key == ARROW_SCHEMA_META_KEY {
            entry.value = Some(arrow_schema(metadata, schema)?);
        }
    }
    Ok(Some(entries))
}

fn arrow_schema(metadata: &ParquetMetaData, schema: &TypePtr) -> Result<String> {
    let file = metadata.file_metadata();
    let known = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let whole = parquet_to_arrow_schema(&SchemaDescriptor::new(Arc::clone(schema)), None)?;
    let added = whole.fields().iter().skip(known.fields().len());
    let fields: Vec<_> = known.fields().iter().chain(added).cloned().collect();
    let metadata = known.metadata().clone();
    Ok(encode_arrow_schema(&Schema::new_with_metadata(
        fields, metadata,
    )))
}
