//! The card in a label directory.

use crate::shards::testing::{
    add_selection, plan, plan_with_samples, with_targets, write_set, write_set_selected,
    write_shard,
};
use crate::shards::*;
use std::path::Path;

fn card(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("README.md")).unwrap()
}

fn front_matter(card: &str) -> &str {
    let rest = card.strip_prefix("---\n").unwrap();
    rest.split_once("\n---\n").unwrap().0
}

#[test]
fn a_finished_set_says_which_files_are_data() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan()));
    assert_eq!(
        front_matter(&card(dir.path())),
        "configs:\n- config_name: positions\n  data_files: positions/*.parquet\n  default: true\n\
         - config_name: scores\n  data_files: scores/*.parquet"
    );
    assert_eq!(card_state(dir.path()).unwrap(), CardState::Ours);
    let mut scores = plan();
    scores.signals.groups = vec![Group::Scores];
    (scores.signals.top_k, scores.signals.temperatures) = (0, vec![]);
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(scores));
    assert_eq!(
        front_matter(&card(dir.path())),
        "configs:\n- config_name: scores\n  data_files: scores/*.parquet\n  default: true"
    );
    assert!(!card(dir.path()).contains("topk"));
}

#[test]
fn the_card_says_what_the_labels_are_and_what_is_owed() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan_with_samples();
    plan.teacher.files[0].name = "a`|<b>\u{202e}\n\u{1b}[0m.onnx".to_owned();
    write_set(dir.path(), &with_targets(plan.clone()));
    let card = card(dir.path());
    for words in [
        "| tokenizer | `blake3:ffff",
        "| T, predicted positions of a full sequence | 6 |",
        "| K, ids kept at each position | 4 |",
        "| temperatures | 1, 2, 0.5 |",
        "| samples | 9 per position at temperature 1 |",
        "| packing | document, attention document, positions restart |",
        "| sequences | 20..70 of 80 |",
        "The licences are not recorded with these files",
        "50 sequences",
        "take the mass outside them from `tail_mass`",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    assert!(
        card.contains(r"`a\u{60}\u{7c}\u{3c}b\u{3e}\u{202e}\u{a}\u{1b}[0m.onnx`"),
        "{card}"
    );
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    finalize(dir.path(), false).unwrap();
    assert!(self::card(dir.path()).contains("| tokenizer | `tokenizer.json`, `blake3:ffff"));
}

#[test]
fn an_extension_writes_the_card_anew_and_somebodys_own_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = plan();
    first.sequences.end = 40;
    write_set(dir.path(), &with_targets(first));
    let before = card(dir.path());
    let mut second = plan();
    (second.sequences.start, second.sequences.end) = (40, 70);
    let opened = LabelSet::create_or_match(dir.path(), &with_targets(second), None).unwrap();
    for shard in opened.plan().shards() {
        write_shard(dir.path(), opened.plan(), shard).unwrap();
    }
    finalize(dir.path(), false).unwrap();
    let after = card(dir.path());
    assert!(before.contains("| sequences | 20..40 of 80 |"));
    assert!(
        after.contains("| sequences | 20..40, 40..70 of 80 |"),
        "{after}"
    );
    // The parts of both plans are in the same directories.
    assert_eq!(front_matter(&before), front_matter(&after));
    std::fs::write(dir.path().join("README.md"), "# Ours").unwrap();
    finalize(dir.path(), false).unwrap();
    assert_eq!(card(dir.path()), "# Ours");
    assert_eq!(card_state(dir.path()).unwrap(), CardState::Theirs);
    let report = verify_files(dir.path(), &VerifyOptions::default(), |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_set_of_a_selection_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let labels = dir.path().join("labels");
    write_set(&labels, &with_targets(plan()));
    let path = dir.path().join("kept.parquet");
    super::selections::select(&LabelSet::open(&labels).unwrap(), &path);
    let selected = dir.path().join("selected");
    let plan = with_targets(add_selection(plan(), &path));
    write_set_selected(&selected, &plan, Some(&path));
    assert!(card(&selected).contains("sequences that `selection.parquet` keeps"));
}
