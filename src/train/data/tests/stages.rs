//! Two stages without common sequences, and whether there are enough for both.

use super::super::*;
use super::support::*;
use std::collections::BTreeSet;

fn both(fixture: &Fixture, tokens: &str, stages: Stages) -> Result<Loader, DataError> {
    let position = LoaderPosition::default();
    let tokens = Some(fixture.tokens(tokens));
    Loader::new(Some(fixture.labels()), tokens, stages, 2, position)
}

fn once(labelled_steps: u64, token_steps: u64) -> Stages {
    Stages {
        label_epochs: 1,
        token_epochs: 1,
        ..stages(labelled_steps, token_steps, 5)
    }
}

#[test]
fn the_two_stages_together_see_every_sequence_once() {
    let fixture = Fixture::new();
    let n_total = fixture.plan.sequences.n_total;
    // From partly used windows to the whole labelled range.
    for labelled_steps in [1, 2, 5, 7, 9, 10] {
        let token_steps = (n_total - 5 * labelled_steps) / 5;
        let mut loader = both(&fixture, "tokens", once(labelled_steps, token_steps)).unwrap();
        let coverage = loader.coverage();
        assert_eq!(coverage.tokens_excluded, 5 * labelled_steps);
        assert_eq!(coverage.tokens_available, n_total - 5 * labelled_steps);
        let mut steps = labelled_ids(&mut loader, labelled_steps);
        steps.extend(token_ids(&mut loader, token_steps));
        let seen = sorted(&steps);
        let distinct: BTreeSet<u64> = seen.iter().copied().collect();
        assert_eq!(seen.len(), distinct.len(), "a sequence came twice");
        assert!(distinct.last() < Some(&n_total));
        // Stage 2 gets the labelled sequences that stage 1 did not use.
        assert_eq!(distinct.len() as u64, 5 * (labelled_steps + token_steps));
        assert!(n_total - distinct.len() as u64 <= 4);
    }
}

#[test]
fn what_stage_1_may_use_stays_out_when_it_ends_early() {
    let fixture = Fixture::new();
    let all_of_it = labelled_ids(&mut both(&fixture, "tokens", once(8, 9)).unwrap(), 8);
    let mut early = both(&fixture, "tokens", once(8, 9)).unwrap();
    labelled_ids(&mut early, 3);
    let tokens = sorted(&token_ids(&mut early, 9));
    let may_be_used = sorted(&all_of_it);
    assert!(
        tokens
            .iter()
            .all(|id| may_be_used.binary_search(id).is_err())
    );
}

#[test]
fn more_epochs_of_labels_leave_all_labelled_sequences_out_once() {
    let fixture = Fixture::new();
    let loader = both(&fixture, "tokens", stages(25, 4, 5)).unwrap();
    assert_eq!(loader.coverage().tokens_excluded, 50);
}

#[test]
fn nothing_is_left_out_of_another_corpus() {
    let fixture = Fixture::new();
    write_corpus(&fixture.path("other"), 90, 2);
    let loader = both(&fixture, "other", once(10, 3)).unwrap();
    let n_sequences = fixture.tokens("other").n_available();
    assert_eq!(loader.coverage().tokens_excluded, 0);
    assert_eq!(loader.coverage().tokens_available, n_sequences);
}

#[test]
fn the_corpus_is_known_by_its_files_where_no_corpus_json_says_so() {
    let fixture = Fixture::new();
    std::fs::remove_file(fixture.path("tokens/corpus.json")).unwrap();
    let loader = both(&fixture, "tokens", once(10, 3)).unwrap();
    assert_eq!(loader.coverage().tokens_excluded, 50);
    write_corpus(&fixture.path("other"), 100, 2);
    std::fs::remove_file(fixture.path("other/corpus.json")).unwrap();
    let loader = both(&fixture, "other", once(10, 3)).unwrap();
    assert_eq!(loader.coverage().tokens_excluded, 0);
}

#[test]
fn token_files_that_are_no_longer_what_corpus_json_says_are_refused() {
    let fixture = Fixture::new();
    let bin = fixture.path("tokens/tokens.bin");
    let opened = fixture.tokens("tokens");
    let mut bytes = std::fs::read(&bin).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&bin, bytes).unwrap();
    assert_says(
        TokenSource::open(&fixture.token_options("tokens"), &facts(&fixture.plan)),
        &["tokens.bin", "corpus.json says"],
    );
    assert_says(
        opened.is_corpus_of(&fixture.labels()),
        &["tokens.bin has changed since it was tokenized"],
    );
}

#[test]
fn the_labels_own_corpus_must_be_cut_as_theirs() {
    let fixture = Fixture::with(|plan| plan.corpus.eod = Some(3));
    assert_says(
        both(&fixture, "tokens", once(10, 3)),
        &["data.eod is none here and 3 in their plan"],
    );
}

#[test]
fn too_few_labelled_sequences_are_refused_before_the_first_step() {
    let fixture = Fixture::new();
    let start = |stages| {
        let position = LoaderPosition::default();
        Loader::new(Some(fixture.labels()), None, stages, 2, position)
    };
    assert!(start(once(10, 0)).is_ok());
    assert_says(
        start(once(11, 0)),
        &[
            "11 steps of 5 labelled sequences need 55, but only 50 are available, each read up to 1 times",
            "set data.label_epochs = 2",
        ],
    );
    assert!(start(stages(30, 0, 5)).is_ok());
    assert_says(start(stages(31, 0, 5)), &["set data.label_epochs = 4"]);
    assert_says(start(stages(u64::MAX, 0, 5)), &["data.label_epochs"]);
}

#[test]
fn too_few_token_sequences_are_refused_before_the_first_step() {
    let fixture = Fixture::new();
    let left = fixture.plan.sequences.n_total - 50;
    assert!(both(&fixture, "tokens", once(10, left / 5)).is_ok());
    assert_says(
        both(&fixture, "tokens", once(10, left / 5 + 1)),
        &[
            "(not counting 50 that stage 1 may use)",
            "set data.token_epochs = 2",
        ],
    );
}

#[test]
fn a_corpus_that_stage_1_uses_up_is_refused_by_name() {
    let fixture = Fixture::with(|plan| {
        plan.sequences.start = 0;
        plan.sequences.end = plan.sequences.n_total;
    });
    let n_total = fixture.plan.sequences.n_total;
    let one = |labelled_steps| Stages {
        batch_size: 1,
        ..once(labelled_steps, 1)
    };
    assert!(both(&fixture, "tokens", one(n_total - 1)).is_ok());
    assert_says(
        both(&fixture, "tokens", one(n_total)),
        &["stage 1 may use every sequence of data.tokens"],
    );
}

#[test]
fn a_stage_without_its_source_and_settings_of_0_are_refused() {
    let fixture = Fixture::new();
    let start = |stages| {
        let position = LoaderPosition::default();
        Loader::new(None, None, stages, 2, position)
    };
    assert_says(start(stages(1, 0, 5)), &["give data.labels"]);
    assert_says(start(stages(0, 1, 5)), &["give data.tokens"]);
    assert_says(start(stages(0, 0, 0)), &["train.batch_size is 0"]);
    let no_epoch = Stages {
        label_epochs: 0,
        ..stages(0, 0, 1)
    };
    assert_says(start(no_epoch), &["data.label_epochs is 0"]);
    let options = LabelSourceOptions {
        shuffle_row_groups: 0,
        ..fixture.options()
    };
    assert_says(
        LabelSource::open(&options),
        &["data.shuffle_row_groups is 0"],
    );
}

#[test]
fn steps_and_positions_past_the_budget_are_errors() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    let mut short = loader(&labels, stages(2, 0, 5), 0);
    labelled_ids(&mut short, 2);
    assert_says(
        short.next_labelled(),
        &["step 3 of labelled", "2 were announced"],
    );
    let position = LoaderPosition {
        labelled: 11,
        tokens: 0,
    };
    let past = Loader::new(Some(labels), None, stages(2, 0, 5), 2, position);
    assert_says(past, &["after 11 labelled sequences", "at most 10"]);
}
