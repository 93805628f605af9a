//! Shards that are damaged while a run reads them.

use super::super::*;
use super::support::*;
use std::fs;
use std::path::Path;

/// Damages a file of shard 1 after the labels were opened. The steps before the first that needs that shard are
/// unaffected, that step fails and names the file, and once the file is restored the run resumes.
fn stops_at_the_step(kind: &str, damage: impl Fn(&Path)) {
    let fixture = Fixture::new();
    let (options, expected, failing) = late_user_of_shard_1(&fixture);

    let labels = LabelSource::open(&options).unwrap();
    let mut loader = loader(&labels, stages(25, 0, 2), 0);
    let path = fixture.part(kind, 1);
    let bytes = fs::read(&path).unwrap();
    damage(&path);
    assert_eq!(
        labelled_ids(&mut loader, failing as u64),
        expected[..failing]
    );
    let name = format!("{kind}/part-00001.parquet");
    assert_says(loader.next_labelled(), &[&name]);
    assert_says(loader.next_labelled(), &[&name]);
    assert_eq!(loader.position().labelled, 2 * failing as u64);
    fs::write(&path, bytes).unwrap();
    let left = labelled_ids(&mut loader, 25 - failing as u64);
    assert_eq!(left, expected[failing..]);
}

/// Options of an order in which shard 1 is first needed some steps in, the steps, and that step.
fn late_user_of_shard_1(fixture: &Fixture) -> (LabelSourceOptions, Vec<Vec<u64>>, usize) {
    let shard_of = |seq_id: &u64| fixture.plan.slot_of(*seq_id).unwrap().shard;
    let orders = (0..).map(|seed| {
        let options = LabelSourceOptions {
            shuffle_row_groups: 2,
            seed,
            ..fixture.options()
        };
        let labels = LabelSource::open(&options).unwrap();
        let steps = labelled_ids(&mut loader(&labels, stages(25, 0, 2), 0), 25);
        let uses = |step: &Vec<u64>| step.iter().any(|seq_id| shard_of(seq_id) == 1);
        let first = steps.iter().position(uses).unwrap();
        (options, steps, first)
    });
    let mut late = orders.filter(|(_, _, first)| *first > 3);
    late.next().unwrap()
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

#[test]
fn a_flipped_byte_stops_the_run_at_the_step_that_needs_the_shard() {
    stops_at_the_step("positions", flip_a_byte);
    stops_at_the_step("scores", flip_a_byte);
}

#[test]
fn a_truncated_shard_stops_the_run_at_the_step_that_needs_it() {
    stops_at_the_step("positions", truncate);
}

#[test]
fn a_removed_shard_stops_the_run_at_the_step_that_needs_it() {
    stops_at_the_step("positions", |path| fs::remove_file(path).unwrap());
}

#[test]
fn a_shard_of_another_size_is_refused_before_the_first_step() {
    let fixture = Fixture::new();
    truncate(&fixture.part("positions", 2));
    assert_says(
        LabelSource::open(&fixture.options()),
        &["positions/part-00002.parquet", "size is"],
    );
    fs::remove_file(fixture.part("positions", 2)).unwrap();
    assert_says(
        LabelSource::open(&fixture.options()),
        &["positions/part-00002.parquet"],
    );
}
