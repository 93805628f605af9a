//! No bytes of a positions or scores file may get a panic or a broken row out of the reader.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use saltworks::shards::{Plan, ShardReader};
use std::path::Path;
use std::sync::LazyLock;

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let json = include_bytes!("../../fixtures/shard-v1/labels/plan.json");
    Plan::from_json(Path::new("plan.json"), json).expect("the committed plan is valid")
});

fuzz_target!(
    // The decoder's own panics are caught by the reader and become errors; libFuzzer's hook would
    // abort on them before that. A panic that is not caught still aborts.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        let readers = [
            ShardReader::scores_from_bytes(&PLAN, 0, bytes.clone()),
            ShardReader::positions_from_bytes(&PLAN, 0, bytes),
        ];
        for reader in readers.into_iter().flatten() {
            for rows in reader.flatten() {
                assert!(rows.iter().all(|row| PLAN.slot_of(row.seq_id).is_some()));
            }
        }
    }
);
