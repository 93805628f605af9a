//! The size of each column, from the footers of Parquet files.

use super::ViewError;
use crate::storage::{DecodeError, Source};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::Serialize;
use std::path::Path;

/// Bytes of one column, summed over files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnBytes {
    /// Which files: `scores` or `positions`.
    pub file: String,
    /// Name of the column.
    pub column: String,
    /// Compressed bytes in the files.
    pub n_bytes: u64,
}

/// Adds the columns of the Parquet file at `path` to `columns`, under the label `file`. Reads only
/// the footer.
///
/// # Errors
/// A file that cannot be read, and [`ViewError::Footer`].
pub fn add_column_bytes(
    columns: &mut Vec<ColumnBytes>,
    file: &str,
    path: &Path,
) -> Result<(), ViewError> {
    let source = Source::open(path)?;
    let reader = source.decode(|| SerializedFileReader::new(source.clone()));
    let reader = reader.map_err(|error| footer_error(path, error))?;
    for row_group in reader.metadata().row_groups() {
        for chunk in row_group.columns() {
            // A list column is one leaf under its root, and has the root's name.
            let name = chunk
                .column_path()
                .parts()
                .first()
                .map_or("", String::as_str);
            add(
                columns,
                file,
                name,
                u64::try_from(chunk.compressed_size()).unwrap_or(0),
            );
        }
    }
    Ok(())
}

fn footer_error(path: &Path, error: DecodeError) -> ViewError {
    error.or_damaged(|source| ViewError::Footer {
        path: path.to_owned(),
        source,
    })
}

fn add(columns: &mut Vec<ColumnBytes>, file: &str, column: &str, n_bytes: u64) {
    let known = columns
        .iter_mut()
        .find(|known| known.file == file && known.column == column);
    match known {
        Some(known) => known.n_bytes += n_bytes,
        None => columns.push(ColumnBytes {
            file: file.to_owned(),
            column: column.to_owned(),
            n_bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Classified;
    use arrow_array::{Int32Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use std::fs::File;
    use std::sync::Arc;

    fn parquet_file(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("part.parquet");
        let array = Arc::new(Int32Array::from_iter_values(0..1_000));
        let batch =
            RecordBatch::try_from_iter([("one", array.clone() as _), ("two", array as _)]).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }

    #[test]
    fn columns_add_up_over_files_in_the_order_of_the_schema() {
        let dir = tempfile::tempdir().unwrap();
        let path = parquet_file(dir.path());
        let mut columns = Vec::new();
        add_column_bytes(&mut columns, "scores", &path).unwrap();
        let once = columns.clone();
        add_column_bytes(&mut columns, "scores", &path).unwrap();
        assert_eq!(
            columns
                .iter()
                .map(|each| each.column.as_str())
                .collect::<Vec<_>>(),
            ["one", "two"]
        );
        assert!(once[0].n_bytes > 500);
        assert_eq!(columns[0].n_bytes, 2 * once[0].n_bytes);
    }

    #[test]
    fn a_file_that_is_no_parquet_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, b"not parquet at all").unwrap();
        let error = add_column_bytes(&mut Vec::new(), "scores", &path).unwrap_err();
        assert!(error.to_string().contains("x.parquet"), "{error}");
        assert_eq!(error.kind(), crate::error::Kind::BadData);
    }
}
