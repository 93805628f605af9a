//! Documents in: jsonl, txt and Parquet files, streamed one document at a time.
