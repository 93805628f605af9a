//! Files that another writer made from ours: which are accepted, and which are refused.

use crate::shards::testing::{plan, plan_with_samples, shard_rows, with_targets, write_set};
use crate::shards::*;
use arrow_array::types::{Float32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, UInt64Array};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// The positions of shard 0, decoded, with their metadata.
struct Decoded {
    plan: Plan,
    batches: Vec<RecordBatch>,
    metadata: Vec<KeyValue>,
}

fn decoded() -> Decoded {
    decoded_of(plan())
}

fn decoded_of(plan: Plan) -> Decoded {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &with_targets(plan));
    let bytes = std::fs::read(dir.path().join("positions/part-00000.parquet")).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let file = builder.metadata().file_metadata();
    let metadata = file.key_value_metadata().unwrap().clone();
    let rows = plan.layout.rows_per_row_group as usize;
    let batches = builder.with_batch_size(rows).build().unwrap();
    let batches = batches.map(Result::unwrap).collect();
    Decoded {
        plan,
        batches,
        metadata,
    }
}

impl Decoded {
    /// Writes them differently from us: dictionaries, no compression, an Arrow schema.
    fn write(&self, changed: impl Fn(&RecordBatch) -> RecordBatch) -> Bytes {
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(self.metadata.clone()))
            .build();
        let schema = changed(&self.batches[0]).schema();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties)).unwrap();
        for batch in &self.batches {
            writer.write(&changed(batch)).unwrap();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
        file.into()
    }

    fn read(&self, bytes: Bytes) -> Result<Vec<Vec<Row>>, ShardsError> {
        ShardReader::positions_from_bytes(&self.plan, 0, bytes)?.collect()
    }
}

/// The batch with `name` replaced by another column (left out for `None`).
fn with_column(batch: &RecordBatch, name: &str, column: Option<(Field, ArrayRef)>) -> RecordBatch {
    let schema = batch.schema();
    let old = schema.fields().iter().zip(batch.columns());
    let mut columns: Vec<(Field, ArrayRef)> = old
        .filter(|(field, _)| field.name() != name)
        .map(|(field, array)| (field.as_ref().clone(), array.clone()))
        .collect();
    columns.extend(column);
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[test]
fn unknown_columns_other_orders_and_other_encodings_are_accepted() {
    let decoded = decoded();
    let bytes = decoded.write(|batch| {
        let seq_ids = batch.column_by_name("seq_id").unwrap().clone();
        let field = Field::new("seq_id", seq_ids.data_type().clone(), false);
        let batch = with_column(batch, "seq_id", Some((field, seq_ids.clone())));
        let field = Field::new("colour", seq_ids.data_type().clone(), true);
        with_column(&batch, "colour", Some((field, seq_ids)))
    });
    let written = shard_rows(&decoded.plan, 0);
    for (got, row) in decoded
        .read(bytes)
        .unwrap()
        .concat()
        .iter()
        .zip(written.concat())
    {
        assert_eq!(got.signals, row.signals);
        assert_eq!(got.input_ids, row.input_ids);
    }
}

#[test]
fn a_missing_column_and_one_of_another_type_are_named() {
    let decoded = decoded();
    let column_of = |error: ShardsError| match error {
        ShardsError::Column { column, got, .. } => (column, got),
        other => panic!("{other}"),
    };
    let bytes = decoded.write(|batch| with_column(batch, "entropy", None));
    let found = column_of(decoded.read(bytes).unwrap_err());
    assert_eq!(found, ("entropy".to_owned(), "absent".to_owned()));
    let bytes = decoded.write(|batch| {
        let lists = (0..batch.num_rows()).map(|_| Some(vec![Some(1u64)]));
        let lists = ListArray::from_iter_primitive::<UInt64Type, _, _>(lists);
        let field = Field::new("target_rank", lists.data_type().clone(), false);
        with_column(batch, "target_rank", Some((field, Arc::new(lists))))
    });
    let (column, got) = column_of(decoded.read(bytes).unwrap_err());
    assert_eq!(column, "target_rank");
    assert!(got.contains("UInt64"), "{got}");
}

#[test]
fn nulls_are_refused_in_lists_and_in_scalars() {
    let decoded = decoded();
    let in_items = decoded.write(|batch| {
        let lists = (0..batch.num_rows()).map(|_| Some(vec![Some(0.5f32), None]));
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>(lists);
        let field = Field::new("entropy", lists.data_type().clone(), true);
        with_column(batch, "entropy", Some((field, Arc::new(lists))))
    });
    let in_scalars = decoded.write(|batch| {
        let ids = UInt64Array::from_iter((0..batch.num_rows()).map(|i| (i > 0).then_some(1)));
        let field = Field::new("seq_id", ids.data_type().clone(), true);
        with_column(batch, "seq_id", Some((field, Arc::new(ids))))
    });
    for bytes in [in_items, in_scalars] {
        let error = decoded.read(bytes).unwrap_err();
        assert!(matches!(error, ShardsError::Column { .. }), "{error}");
    }
}

/// By the footer, before any value is decoded.
#[test]
fn more_draws_than_positions_can_have_are_refused_by_their_count() {
    let mut decoded = decoded_of(plan_with_samples());
    decoded.read(decoded.write(RecordBatch::clone)).unwrap();
    decoded.plan.signals.samples.as_mut().unwrap().n_draws = 1;
    for (key, value) in [
        ("saltworks.samples_n_draws", "1".to_owned()),
        ("saltworks.plan_fingerprint", decoded.plan.fingerprint()),
    ] {
        let entry = decoded.metadata.iter_mut().find(|e| e.key == key).unwrap();
        assert_ne!(entry.value.replace(value.clone()), Some(value));
    }
    let error = decoded.read(decoded.write(RecordBatch::clone)).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("sampled_ids.list.element") && message.contains("expected 48"),
        "{message}"
    );
}

#[test]
fn other_row_groups_and_other_metadata_are_refused() {
    let mut decoded = decoded();
    let bytes = decoded.write(|batch| batch.slice(0, batch.num_rows() - 1));
    let error = decoded.read(bytes).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("rows of row group 0 is 7, expected 8"),
        "{error}"
    );
    let swapped = {
        let mut swapped = Decoded {
            batches: decoded.batches.clone(),
            metadata: decoded.metadata.clone(),
            plan: decoded.plan.clone(),
        };
        swapped.batches.swap(0, 1);
        swapped.write(RecordBatch::clone)
    };
    let error = decoded.read(swapped).unwrap_err();
    assert!(matches!(error, ShardsError::Row { row: 0, .. }), "{error}");
    let whole = decoded.batches.pop().unwrap();
    let bytes = decoded.write(RecordBatch::clone);
    let error = decoded.read(bytes).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the number of row groups is 2, expected 3"),
        "{error}"
    );
    decoded.batches.push(whole);
    let top_k = decoded
        .metadata
        .iter_mut()
        .find(|e| e.key == "saltworks.top_k");
    top_k.unwrap().value = Some("5".to_owned());
    let bytes = decoded.write(RecordBatch::clone);
    let error = decoded.read(bytes).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("metadata top_k is 5, expected 4"),
        "{error}"
    );
}
