//! Damage at many places: all of it is found, none of it causes a panic.

use crate::shards::testing::{Random, plan, plan_with_samples, with_targets, write_set};
use crate::shards::*;
use bytes::Bytes;
use std::path::{Path, PathBuf};

fn verify(dir: &Path) -> Result<VerifyReport, ShardsError> {
    verify_files(dir, &VerifyOptions::default(), |_| {})
}

/// Whether damage is noticed, as a finding or as an error.
fn is_noticed(dir: &Path) -> bool {
    verify(dir).map_or(true, |report| !report.is_clean())
}

fn files_of_set(dir: &Path) -> Vec<PathBuf> {
    let names = [
        "plan.json",
        "manifest.json",
        "part-00000.json",
        "part-00002.json",
        "scores/part-00001.parquet",
        "positions/part-00001.parquet",
    ];
    names.map(|name| dir.join(name)).to_vec()
}

#[test]
fn an_undamaged_set_is_clean_and_everything_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &with_targets(plan()));
    let mut progress = Vec::new();
    let report = verify_files(dir.path(), &VerifyOptions::default(), |p| progress.push(p)).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.n_shards, report.n_rows), (3, 50));
    assert_eq!(report.n_targets, plan.sequences.n_targets);
    let manifest = Manifest::read(dir.path()).unwrap().unwrap();
    assert_eq!(report.n_bytes, manifest.n_bytes);
    assert_eq!(progress.len(), 3);
    assert_eq!(progress[2].n_shards_done, 3);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan_with_samples()));
    let mut random = Random(1);
    for path in files_of_set(dir.path()) {
        let whole = std::fs::read(&path).unwrap();
        let step = (whole.len() / 60).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            std::fs::write(&path, bytes).unwrap();
            assert!(is_noticed(dir.path()), "{} at {at}", path.display());
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(verify(dir.path()).unwrap().findings, []);
}

#[test]
fn every_bit_of_the_small_files_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan_with_samples();
    // One row, since this test verifies the set some ten thousand times.
    plan.sequences.end = 21;
    write_set(dir.path(), &with_targets(plan));
    for name in ["plan.json", "part-00000.json", "manifest.json"] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, bytes).unwrap();
            assert!(is_noticed(dir.path()), "{name} at {at}");
        }
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_truncation_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan_with_samples()));
    for path in files_of_set(dir.path()) {
        let whole = std::fs::read(&path).unwrap();
        for i in 0..20 {
            let len = whole.len() * i / 20;
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(is_noticed(dir.path()), "{} at {len}", path.display());
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(
            is_noticed(dir.path()),
            "{} but its last byte",
            path.display()
        );
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn missing_and_foreign_and_exchanged_files_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan()));
    let file_of = |report: VerifyReport| {
        report
            .findings
            .into_iter()
            .map(|f| f.file)
            .collect::<Vec<_>>()
    };
    for path in files_of_set(dir.path()).into_iter().skip(1) {
        let aside = dir.path().join(".aside");
        std::fs::rename(&path, &aside).unwrap();
        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
        assert_eq!(file_of(verify(dir.path()).unwrap()), [name]);
        std::fs::rename(&aside, &path).unwrap();
    }
    for name in [
        "scores/part-00003.parquet",
        "positions/copy.parquet",
        "part-00003.json",
        "plan-00002.json",
    ] {
        std::fs::write(dir.path().join(name), "x").unwrap();
        assert_eq!(file_of(verify(dir.path()).unwrap()), [name]);
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    for name in ["README.md", ".part-00000.json.host.12.00112233445566ff"] {
        std::fs::write(dir.path().join(name), "x").unwrap();
        assert_eq!(verify(dir.path()).unwrap().findings, [], "{name}");
    }
    let (a, b) = (
        dir.path().join("part-00000.json"),
        dir.path().join("part-00001.json"),
    );
    let bytes = std::fs::read(&a).unwrap();
    std::fs::copy(&b, &a).unwrap();
    assert_eq!(file_of(verify(dir.path()).unwrap()), ["part-00000.json"]);
    std::fs::write(&a, bytes).unwrap();
}

/// Without help from checksums: sidecar and manifest are adapted to the files.
#[test]
fn a_set_with_the_shard_of_another_plan_is_found_by_its_metadata() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_set(dir.path(), &with_targets(plan()));
    let mut another = plan();
    another.layout.order_seed = Some(8);
    write_set(other.path(), &with_targets(another));
    let name = "positions/part-00000.parquet";
    std::fs::copy(other.path().join(name), dir.path().join(name)).unwrap();
    let sidecar = dir.path().join("part-00000.json");
    let mut claim: Sidecar = serde_json::from_slice(&std::fs::read(&sidecar).unwrap()).unwrap();
    let hash = crate::storage::hash_file(&dir.path().join(name)).unwrap();
    (claim.files[1].bytes, claim.files[1].blake3) = (hash.bytes, hash.blake3);
    std::fs::write(&sidecar, crate::shards::json::to_bytes(&claim)).unwrap();
    finalize(dir.path(), false).unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.n_findings, 1);
    let message = &report.findings[0].message;
    assert!(
        message.contains("metadata plan_fingerprint is"),
        "{message}"
    );
}

/// Without checksums: the decoder sees every kind of damage, and gives errors or rows that keep the
/// invariants.
#[test]
fn a_flipped_byte_or_a_truncation_never_panics_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = plan_with_samples();
    small.sequences.end = 23;
    let plan = write_set(dir.path(), &with_targets(small));
    let mut random = Random(2);
    for kind in ["scores", "positions"] {
        let whole = std::fs::read(dir.path().join(kind).join("part-00000.parquet")).unwrap();
        let read = |bytes: Vec<u8>| {
            let bytes = Bytes::from(bytes);
            let reader = match kind {
                "scores" => ShardReader::scores_from_bytes(&plan, 0, bytes),
                _ => ShardReader::positions_from_bytes(&plan, 0, bytes),
            };
            reader.and_then(|reader| reader.collect::<Result<Vec<_>, _>>())
        };
        assert!(read(whole.clone()).is_ok());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = random.next() as u8;
            let _ = read(bytes);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            let _ = read(bytes);
            assert!(read(whole[..at].to_vec()).is_err());
        }
    }
}
