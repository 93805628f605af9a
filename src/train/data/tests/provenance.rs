//! What is refused before the first step.

use super::super::*;
use super::support::*;
use crate::shards::testing::add_samples;
use crate::shards::{Attention, Group, LabelSet, Positions};
use crate::tokens::Packing;
use crate::train::batch::KdLoss;
use crate::train::loss::Gate;

fn needs(loss: KdLoss) -> LabelNeeds {
    LabelNeeds {
        loss,
        tau: 1.0,
        gate: Gate::None,
        min_top_k: 0,
        teacher_nll: false,
    }
}

#[test]
fn labels_that_are_not_finalized_are_refused() {
    let fixture = Fixture::new();
    std::fs::remove_file(fixture.path("labels/manifest.json")).unwrap();
    assert_says(
        LabelSource::open(&fixture.options()),
        &["is not finalized: run `saltworks finalize"],
    );
}

#[test]
fn labels_that_were_extended_since_are_refused_until_they_are_finalized_again() {
    let fixture = Fixture::new();
    let mut plan = fixture.plan.clone();
    (plan.sequences.start, plan.sequences.end) = (0, 20);
    let plan = crate::shards::testing::with_targets(plan);
    let dir = fixture.path("labels");
    LabelSet::create_or_match(&dir, &plan, None).unwrap();
    assert_says(
        LabelSource::open(&fixture.options()),
        &["was extended since it was finalized"],
    );
    crate::shards::testing::write_set(&dir, &plan);
    let labels = fixture.labels();
    assert_eq!((labels.n_sequences(), labels.n_labelled()), (70, 70));
    let all = labelled_ids(&mut loader(&labels, stages(14, 0, 5), 0), 14);
    assert_eq!(sorted(&all), (0..70).collect::<Vec<u64>>());
}

#[test]
fn labels_that_hold_scores_only_are_refused() {
    let fixture = Fixture::with(|plan| {
        plan.signals.groups = vec![Group::Scores];
        plan.signals.top_k = 0;
        plan.signals.temperatures.clear();
    });
    assert_says(LabelSource::open(&fixture.options()), &["only scores"]);
}

#[test]
fn a_context_that_the_core_does_not_have_is_refused_by_name() {
    let restart = Fixture::with(|plan| plan.sequences.positions = Positions::Restart);
    assert_says(
        LabelSource::open(&restart.options()),
        &["positions = restart"],
    );
    let masked = Fixture::with(|plan| plan.sequences.attention = Attention::Document);
    assert_says(
        LabelSource::open(&masked.options()),
        &["attention = document, packing = concat"],
    );
    let apart = Fixture::with(|plan| {
        plan.sequences.attention = Attention::Document;
        plan.sequences.packing = Packing::Document;
    });
    assert!(LabelSource::open(&apart.options()).is_ok());
}

#[test]
fn labels_of_another_tokenizer_or_vocabulary_are_refused_with_both_named() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    let ours = facts(&fixture.plan);
    assert_eq!(labels.check_tokenizer(&ours).unwrap(), None);
    let other = TokenizerFacts {
        fingerprint: Some("blake3:00".to_owned()),
        ..ours.clone()
    };
    assert_says(
        labels.check_tokenizer(&other),
        &[
            "labels was made with the tokenizer blake3:ff",
            "tokenizer.json is blake3:00",
        ],
    );
    let larger = TokenizerFacts {
        vocab_size: 24,
        ..ours
    };
    assert_says(
        labels.check_tokenizer(&larger),
        &["a vocabulary of 23 ids, but tokenizer.json has 24"],
    );
}

#[test]
fn without_a_tokenizer_only_the_vocabulary_is_compared_and_a_note_says_so() {
    let fixture = Fixture::with(|plan| plan.tokenizer = None);
    let known = facts(&Fixture::new().plan);
    let note = fixture.labels().check_tokenizer(&known).unwrap().unwrap();
    assert!(note.contains("only the vocabulary of 23 ids"), "{note}");
    let unknown = TokenizerFacts {
        fingerprint: None,
        ..known
    };
    assert!(
        Fixture::new()
            .labels()
            .check_tokenizer(&unknown)
            .unwrap()
            .is_some()
    );
}

#[test]
fn temperatures_must_be_among_those_of_the_labels() {
    let labels = Fixture::new().labels();
    let at = |tau| LabelNeeds {
        tau,
        ..needs(KdLoss::TailBucket)
    };
    assert_eq!(labels.check_needs(&at(1.0)).unwrap(), None);
    assert_eq!(labels.check_needs(&at(2.0)).unwrap(), Some(0));
    assert_eq!(labels.check_needs(&at(0.5)).unwrap(), Some(1));
    assert_says(
        labels.check_needs(&at(3.0)),
        &["kd.tau needs log-partitions at 3", "have 1, 2, 0.5"],
    );
}

#[test]
fn a_loss_that_the_labels_cannot_serve_is_refused() {
    let labels = Fixture::new().labels();
    for loss in [KdLoss::TailBucket, KdLoss::Renormalize, KdLoss::Drop] {
        labels.check_needs(&needs(loss)).unwrap();
    }
    assert_says(
        labels.check_needs(&needs(KdLoss::Sampled)),
        &[
            "\"sampled\" needs the group samples",
            "have scores, stats, topk",
        ],
    );
    let wide = LabelNeeds {
        min_top_k: 5,
        ..needs(KdLoss::TailBucket)
    };
    assert_says(
        labels.check_needs(&wide),
        &["needs 5 top-k ids", "have K = 4"],
    );

    let stats_only = Fixture::with(|plan| {
        plan.signals.groups = vec![Group::Scores, Group::Stats];
        plan.signals.top_k = 0;
        plan.signals.temperatures.clear();
    });
    let labels = stats_only.labels();
    assert_says(
        labels.check_needs(&needs(KdLoss::Drop)),
        &["kd.loss needs the group topk", "have scores, stats"],
    );
}

#[test]
fn draws_serve_the_sampled_loss_at_their_own_temperature_alone() {
    let fixture = Fixture::with(|plan| {
        *plan = add_samples(plan.clone());
        plan.signals.groups = vec![Group::Scores, Group::Samples];
        (plan.signals.top_k, plan.signals.temperatures) = (0, vec![]);
        plan.signals.samples.as_mut().unwrap().tau = 0.8;
    });
    let labels = fixture.labels();
    let at = |tau| LabelNeeds {
        tau,
        ..needs(KdLoss::Sampled)
    };
    assert_eq!(labels.check_needs(&at(0.8)).unwrap(), None);
    assert_says(
        labels.check_needs(&at(1.0)),
        &[
            "needs samples at kd.tau, 1,",
            "have samples at 0.8",
            "set kd.tau",
        ],
    );
    assert_says(
        labels.check_needs(&needs(KdLoss::TailBucket)),
        &["kd.loss needs the group topk", "have scores, samples"],
    );
    let gated = LabelNeeds {
        gate: Gate::Learnable,
        ..at(0.8)
    };
    assert_says(labels.check_needs(&gated), &["kd.gate", "the group stats"]);
}

#[test]
fn gate_and_auto_transition_need_the_stats() {
    let topk_only = Fixture::with(|plan| plan.signals.groups = vec![Group::Scores, Group::Topk]);
    let labels = topk_only.labels();
    labels.check_needs(&needs(KdLoss::TailBucket)).unwrap();
    for (gate, key) in [
        (Gate::Learnable, "kd.gate = \"learnable\""),
        (Gate::Entropy, "kd.gate = \"entropy\""),
        (Gate::Agreement, "kd.gate = \"agreement\""),
        (Gate::Excess, "kd.gate = \"excess\""),
    ] {
        let gated = LabelNeeds {
            gate,
            ..needs(KdLoss::TailBucket)
        };
        assert_says(labels.check_needs(&gated), &[key, "the group stats"]);
    }
    let auto = LabelNeeds {
        teacher_nll: true,
        ..needs(KdLoss::TailBucket)
    };
    assert_says(
        labels.check_needs(&auto),
        &["kd.transition", "the group stats"],
    );
}

#[test]
fn tokens_of_another_tokenizer_or_past_the_vocabulary_are_refused() {
    let fixture = Fixture::new();
    let options = fixture.token_options("tokens");
    let ours = facts(&fixture.plan);
    assert_eq!(TokenSource::open(&options, &ours).unwrap().1, [""; 0]);
    let other = TokenizerFacts {
        fingerprint: Some("blake3:00".to_owned()),
        ..ours.clone()
    };
    assert_says(
        TokenSource::open(&options, &other),
        &["tokens was made with the tokenizer blake3:ff"],
    );
    std::fs::remove_file(fixture.path("tokens/corpus.json")).unwrap();
    let (_, notes) = TokenSource::open(&options, &other).unwrap();
    assert!(notes[0].contains("only its ids were checked"));
    let smaller = TokenizerFacts {
        vocab_size: V - 1,
        ..ours
    };
    assert_says(TokenSource::open(&options, &smaller), &["id 22"]);
}

#[test]
fn a_view_that_makes_no_sequence_of_the_tokens_is_refused() {
    let fixture = Fixture::new();
    let ours = facts(&fixture.plan);
    write_corpus(&fixture.path("empty"), 0, 1);
    assert_says(
        TokenSource::open(&fixture.token_options("empty"), &ours),
        &["0 tokens in 0 documents"],
    );
    let mut options = fixture.token_options("tokens");
    options.view.sequence_bos = Some(V);
    assert_says(
        TokenSource::open(&options, &ours),
        &["data.sequence_bos is 23"],
    );
    options.view.sequence_bos = None;
    options.open_options.eod = Some(1);
    assert_says(TokenSource::open(&options, &ours), &["data.eod is 1"]);
}

#[test]
fn damaged_tokens_are_refused_and_tokens_that_are_overwritten_meanwhile_are_noticed() {
    let fixture = Fixture::new();
    let (options, ours) = (fixture.token_options("tokens"), facts(&fixture.plan));
    let source = fixture.tokens("tokens");
    source.check_unchanged().unwrap();
    let bin = fixture.path("tokens/tokens.bin");
    let sound = std::fs::read(&bin).unwrap();
    let mut damaged = sound.clone();
    damaged[2] ^= 1;
    std::fs::write(&bin, damaged).unwrap();
    assert_says(
        source.check_unchanged(),
        &["tokens.bin changed while it was read"],
    );
    assert_says(
        TokenSource::open(&options, &ours),
        &["tokens.bin", "corpus.json says"],
    );
    // Rewritten with the same bytes.
    std::fs::write(&bin, sound).unwrap();
    source.check_unchanged().unwrap();
    let file = std::fs::File::options().write(true).open(&bin).unwrap();
    file.set_len(2).unwrap();
    assert_says(source.check_unchanged(), &["changed while it was read"]);
    let mut stream = super::super::tokens::TokenStream::new(&source, 0);
    let read: Result<Vec<_>, _> = (0..source.n_available())
        .map(|_| stream.next_example())
        .collect();
    assert_says(read, &["tokens.bin was truncated while it was read"]);
}
