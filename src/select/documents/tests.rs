use super::join::{Comparable, Reason};
use super::record::{Extent, Joining};
use super::rows::Source;
use super::run::{Job, RUN_BYTES};
use super::*;
use crate::select::{Amount, Order, SelectError};
use crate::shards::testing::{
    concat_plan, entries, plan, with_targets, write_documents_of, write_set_with_pieces,
};
use crate::shards::{
    CorpusSpelling, DocumentRow, DocumentScore, DocumentSelection, LabelSet, ListedDocuments, Plan,
    SelectedDocument, ShardsError, open_documents, write_documents,
};
use crate::signals::uniform_at;
use crate::tokens::{DocumentEntry, Packing};
use std::collections::BTreeMap;
use std::path::Path;

const N_DOCUMENTS: u64 = 90;

fn labelled(dir: &Path, plan: Plan, entries: Option<Vec<DocumentEntry>>) -> LabelSet {
    write_set_with_pieces(dir, &with_targets(plan));
    write_documents_of(dir, entries).unwrap();
    LabelSet::open(dir).unwrap()
}

/// Entries in which every document has its own id.
fn with_ids() -> Vec<DocumentEntry> {
    let with_id = |entry: DocumentEntry| DocumentEntry {
        id: Some(format!("id {}", entry.doc_index)),
        ..entry
    };
    entries(N_DOCUMENTS).into_iter().map(with_id).collect()
}

/// Like [`with_ids`], for labels by `plan`: every document with any target is completely labelled.
fn whole(plan: &Plan) -> Vec<DocumentEntry> {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows_of(&labelled(dir.path(), plan.clone(), None));
    let mut entries = with_ids();
    for row in rows {
        let is_unpredicted = plan.sequences.packing == Packing::Document || row.doc_index == 0;
        let entry = &mut entries[row.doc_index as usize];
        entry.n_tokens = row.n_targets + u64::from(is_unpredicted);
    }
    entries
}

fn policy(order: Order, amount: Amount) -> DocumentPolicy {
    DocumentPolicy {
        order,
        score: DocumentScore::MeanNll,
        amount,
        min_learnable: None,
        per: None,
        join: None,
    }
}

fn selected(
    labels: &LabelSet,
    minus: Option<&LabelSet>,
    policy: &DocumentPolicy,
) -> Result<(DocumentSummary, Vec<SelectedDocument>), SelectError> {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("s.parquet");
    let summary = select_documents(labels, minus, policy, &output, |_| ())?;
    let rows = DocumentSelection::open(&output)?.collect::<Result<_, _>>()?;
    Ok((summary, rows))
}

fn rows_of(labels: &LabelSet) -> Vec<DocumentRow> {
    let rows = open_documents(labels).unwrap().1;
    rows.map(Result::unwrap).collect()
}

/// The documents in the policy's order, entirely in memory.
fn order_by_definition(rows: &[DocumentRow], policy: &DocumentPolicy) -> Vec<u64> {
    let score = |row: &DocumentRow| row.score(policy.score).unwrap();
    let mut ordered: Vec<&DocumentRow> = rows
        .iter()
        .filter(|row| row.score(policy.score).is_some())
        .collect();
    let key = |row: &DocumentRow| match policy.order {
        Order::Top => -score(row),
        Order::Bottom | Order::Middle => score(row),
        Order::Random { seed } => -uniform_at(seed, row.doc_index),
        Order::Weighted { temperature, seed } => {
            (-uniform_at(seed, row.doc_index).ln()).ln() - score(row) / temperature
        }
    };
    ordered.sort_by(|a, b| {
        key(a)
            .total_cmp(&key(b))
            .then(a.doc_index.cmp(&b.doc_index))
    });
    if policy.order == Order::Middle {
        let n = ordered.len() as i64;
        let places: BTreeMap<u64, i64> =
            (0..).zip(&ordered).map(|(i, r)| (r.doc_index, i)).collect();
        let distance = |row: &DocumentRow| {
            let place = places[&row.doc_index];
            ((2 * place + 1 - n).abs(), place)
        };
        ordered.sort_by_key(|row| distance(row));
    }
    ordered.iter().map(|row| row.doc_index).collect()
}

#[test]
fn every_order_is_as_by_its_definition() {
    let dir = tempfile::tempdir().unwrap();
    let labels = labelled(dir.path(), concat_plan(), Some(entries(N_DOCUMENTS)));
    let rows = rows_of(&labels);
    let weighted = Order::Weighted {
        temperature: 0.7,
        seed: 5,
    };
    let random = Order::Random { seed: 4 };
    for order in [Order::Top, Order::Bottom, Order::Middle, random, weighted] {
        let policy = policy(order, Amount::Rows(10));
        let (summary, got) = selected(&labels, None, &policy).unwrap();
        let expected = order_by_definition(&rows, &policy);
        assert_eq!(got.len(), rows.len());
        for (row, document) in got.iter().zip(&rows) {
            assert_eq!(row.document, *document);
            assert_eq!(row.score, document.score(policy.score));
            let rank = expected.iter().position(|&doc| doc == document.doc_index);
            assert_eq!(row.rank, rank.map(|rank| rank as u64), "{order:?}");
            assert_eq!(row.kept, rank.is_some_and(|rank| rank < 10), "{order:?}");
        }
        assert_eq!(
            (summary.n_kept, summary.n_documents),
            (10, rows.len() as u64)
        );
        assert_eq!(summary.lowest.len(), 10);
        let lowest = order_by_definition(
            &rows,
            &DocumentPolicy {
                order: Order::Bottom,
                ..policy
            },
        );
        assert_eq!(summary.lowest[0].doc_index, lowest[0]);
        assert_eq!(summary.highest[0].doc_index, lowest[lowest.len() - 1]);
    }
}

#[test]
fn a_token_budget_is_never_exceeded_and_ends_at_the_first_that_would() {
    let dir = tempfile::tempdir().unwrap();
    let labels = labelled(dir.path(), plan(), Some(entries(N_DOCUMENTS)));
    let policy = policy(Order::Top, Amount::Tokens(13 * 4 + 3));
    let (summary, got) = selected(&labels, None, &policy).unwrap();
    // Every document has 13 tokens.
    assert_eq!((summary.n_kept, summary.n_tokens_kept), (4, 52));
    assert_eq!(got.iter().filter(|row| row.kept).count(), 4);
    let floor = DocumentPolicy {
        min_learnable: Some(0.9),
        amount: Amount::Fraction(1.0),
        ..policy
    };
    let (summary, got) = selected(&labels, None, &floor).unwrap();
    assert!(summary.n_below_floor > 0);
    for row in got {
        let learnable = row.document.score(DocumentScore::LearnableFraction);
        assert_eq!(row.kept, learnable.unwrap() >= 0.9);
        assert_eq!(row.rank.is_some(), row.kept);
    }
}

#[test]
fn every_source_has_a_ranking_and_an_amount_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let labels = labelled(dir.path(), plan(), Some(entries(N_DOCUMENTS)));
    for order in [Order::Top, Order::Middle] {
        let policy = DocumentPolicy {
            per: Some(Per::Source),
            ..policy(order, Amount::Fraction(0.25))
        };
        let (summary, got) = selected(&labels, None, &policy).unwrap();
        assert_eq!(summary.sources.len(), 4);
        for source in &summary.sources {
            let of_source = |row: &&SelectedDocument| {
                row.document.source.as_deref() == Some(source.source.as_str())
            };
            let rows: Vec<DocumentRow> = got
                .iter()
                .filter(of_source)
                .map(|row| row.document.clone())
                .collect();
            let expected = order_by_definition(&rows, &policy);
            let n_kept = ((rows.len() as f64 / 4.0).round() as u64).max(1);
            assert_eq!(
                (source.n_documents, source.n_kept),
                (rows.len() as u64, n_kept)
            );
            for row in got.iter().filter(of_source) {
                let doc_index = row.document.doc_index;
                let rank = expected.iter().position(|&doc| doc == doc_index).unwrap() as u64;
                assert_eq!((row.rank, row.kept), (Some(rank), rank < n_kept));
            }
        }
    }
}

/// Labels of the same texts by a model with another tokenizer: other numbers of tokens, in another
/// order.
fn of_another_tokenizer(dir: &Path, change: impl Fn(&mut Vec<DocumentEntry>)) -> LabelSet {
    let mut plan = concat_plan();
    plan.corpus.fingerprint = format!("blake3:{}", "9".repeat(64));
    plan.tokenizer.as_mut().unwrap().fingerprint = format!("blake3:{}", "8".repeat(64));
    let n_tokens: Vec<u64> = whole(&plan).iter().map(|entry| entry.n_tokens).collect();
    let mut entries = with_ids();
    // The texts of documents 20 to 69, in reverse order.
    let texts: Vec<DocumentEntry> = entries[20..70].iter().rev().cloned().collect();
    for (entry, text) in entries[20..70].iter_mut().zip(texts) {
        let doc_index = entry.doc_index;
        *entry = DocumentEntry { doc_index, ..text };
    }
    for (entry, n_tokens) in entries.iter_mut().zip(n_tokens) {
        entry.n_tokens = n_tokens;
    }
    change(&mut entries);
    labelled(dir, plan, Some(entries))
}

#[test]
fn models_of_different_tokenizers_are_compared_by_the_text() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = labelled(a.path(), plan(), Some(whole(&plan())));
    // One document has more tokens than are labelled.
    let theirs = of_another_tokenizer(b.path(), |entries| entries[30].n_tokens += 1);
    let by_name: BTreeMap<String, DocumentRow> = rows_of(&theirs)
        .into_iter()
        .map(|row| (row.id.clone().unwrap(), row))
        .collect();
    for join in [None, Some(Join::Id), Some(Join::Record)] {
        let policy = DocumentPolicy {
            score: DocumentScore::NllSum,
            join,
            ..policy(Order::Top, Amount::Fraction(0.5))
        };
        let (summary, got) = selected(&ours, Some(&theirs), &policy).unwrap();
        assert_eq!(summary.policy.join, join.or(Some(Join::Id)));
        let mut n_joined = 0;
        for row in &got {
            let same = by_name.get(row.document.id.as_ref().unwrap());
            let nll = |row: &DocumentRow| row.score(DocumentScore::NllSum).unwrap();
            let same = same.filter(|same| same.doc_index != 30);
            let expected = same.map(|same| nll(&row.document) - nll(same));
            assert_eq!(row.score, expected);
            n_joined += usize::from(expected.is_some());
        }
        assert!(n_joined > 40 && summary.n_null == (got.len() - n_joined) as u64);
        let left_out = summary.left_out.unwrap();
        assert_eq!((left_out.n_in_part, left_out.n_without_score), (1, 0));
        assert_eq!(left_out.n_absent + 1, summary.n_null);
    }
}

#[test]
fn a_difference_over_other_targets_is_none() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries = whole(&concat_plan());
    let ours = labelled(a.path(), concat_plan(), Some(entries.clone()));
    let mut part = concat_plan();
    part.sequences.end /= 2;
    let theirs = labelled(b.path(), part, Some(entries));
    let n_theirs: BTreeMap<u64, u64> = rows_of(&theirs)
        .into_iter()
        .map(|row| (row.doc_index, row.n_targets))
        .collect();
    let policy = policy(Order::Top, Amount::Fraction(0.5));
    let (summary, got) = selected(&ours, Some(&theirs), &policy).unwrap();
    let is_same = |row: &SelectedDocument| {
        n_theirs.get(&row.document.doc_index) == Some(&row.document.n_targets)
    };
    assert!(got.iter().all(|row| row.score.is_some() == is_same(row)));
    let n_cut = got
        .iter()
        .filter(|row| n_theirs.contains_key(&row.document.doc_index) && !is_same(row));
    let n_cut = n_cut.count() as u64;
    assert!(n_cut >= 1, "a document that is labelled in part");
    let left_out = summary.left_out.unwrap();
    assert_eq!(left_out.n_in_part, n_cut);
    assert_eq!(left_out.n_absent + n_cut, summary.n_null);
}

#[test]
fn parts_of_a_document_are_compared_only_where_they_are_the_same_part() {
    let part = |n_targets, extent| Joining {
        key: [0, 0],
        doc_index: 0,
        score: n_targets as f64,
        n_bytes: 40,
        n_targets,
        extent,
    };
    let is_compared = |needs_whole, has_same_sequences, ours: Joining, theirs: Joining| {
        let comparable = Comparable {
            needs_whole,
            has_same_sequences,
        };
        comparable.difference(&ours, &theirs).is_ok()
    };
    let (halved, whole) = (part(5, Extent::Part), part(5, Extent::Whole));
    // The first half and the second.
    assert!(!is_compared(false, false, halved, halved));
    assert!(is_compared(false, true, halved, halved));
    assert!(is_compared(false, false, whole, whole));
    assert!(is_compared(
        false,
        false,
        part(5, Extent::Unknown),
        part(5, Extent::Unknown)
    ));
    assert!(!is_compared(false, true, whole, part(6, Extent::Whole)));
    // Different tokens of the same text.
    assert!(is_compared(true, false, whole, part(6, Extent::Whole)));
    assert!(!is_compared(true, false, whole, part(6, Extent::Part)));
    assert!(!is_compared(true, true, halved, halved));
    let endless = Joining {
        score: f64::NAN,
        ..part(5, Extent::Unknown)
    };
    let comparable = Comparable {
        needs_whole: true,
        has_same_sequences: false,
    };
    let reason = comparable.difference(&endless, &whole);
    assert!(matches!(reason, Err(Reason::WithoutScore)));
}

#[test]
fn a_tokenizer_that_loses_text_is_not_compared_with_another() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = labelled(a.path(), plan(), Some(whole(&plan())));
    let theirs = of_another_tokenizer(b.path(), |_| ());
    let policy = DocumentPolicy {
        score: DocumentScore::BitsPerByte,
        ..policy(Order::Top, Amount::Fraction(0.5))
    };
    let spell = |set: &LabelSet, entries: Vec<DocumentEntry>, n_not_spelled| {
        let listed = ListedDocuments {
            entries: entries.into_iter().map(Ok::<_, ShardsError>),
            spelling: Some(CorpusSpelling {
                n_documents: N_DOCUMENTS,
                n_not_spelled,
            }),
        };
        write_documents(set, Some(listed)).unwrap();
    };
    spell(&ours, whole(&plan()), 3);
    let (summary, _) = selected(&ours, Some(&theirs), &policy).unwrap();
    let note = summary.spelling.unwrap().note().unwrap();
    assert!(note.contains("3 of 90 documents"), "{note}");
    spell(&ours, whole(&plan()), 46);
    let error = selected(&ours, Some(&theirs), &policy).unwrap_err();
    assert!(matches!(error, SelectError::LosesText { .. }), "{error}");
    let error = selected(&theirs, Some(&ours), &policy).unwrap_err();
    assert!(matches!(error, SelectError::LosesText { .. }), "{error}");
    // On their own, its labels are consistent.
    assert!(selected(&ours, None, &policy).unwrap().0.spelling.is_some());
    assert!(selected(&ours, Some(&ours), &policy).is_ok());
}

#[test]
fn unjoinable_labels_are_refused() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = labelled(a.path(), plan(), Some(whole(&plan())));
    let by_text = DocumentPolicy {
        score: DocumentScore::NllSum,
        ..policy(Order::Top, Amount::Fraction(0.5))
    };
    let says = |change: &dyn Fn(&mut Vec<DocumentEntry>), policy: &DocumentPolicy| {
        std::fs::remove_dir_all(b.path()).unwrap();
        let theirs = of_another_tokenizer(b.path(), change);
        let error = selected(&ours, Some(&theirs), policy).unwrap_err();
        error.to_string()
    };
    let by_token = DocumentPolicy {
        score: DocumentScore::MeanNll,
        ..by_text
    };
    let no_id = |entries: &mut Vec<DocumentEntry>| entries[30].id = None;
    let repeated = |entries: &mut Vec<DocumentEntry>| entries[30].id = entries[40].id.clone();
    let longer = |entries: &mut Vec<DocumentEntry>| entries[30].n_bytes += 1;
    let by_index = DocumentPolicy {
        join: Some(Join::Index),
        ..by_text
    };
    assert!(says(&|_| (), &by_token).contains("use --score bits_per_byte"));
    assert!(says(&|_| (), &by_index).contains("expected id or record"));
    assert!(says(&no_id, &by_text).contains("document 30 (in-"));
    assert!(says(&repeated, &by_text).contains("30 and 40"));
    assert!(says(&longer, &by_text).contains("bytes of text"));
}

#[test]
fn labels_of_one_corpus_are_joined_by_number_without_ids() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = labelled(a.path(), plan(), None);
    let mut other = plan();
    other.teacher.fingerprint = format!("blake3:{}", "7".repeat(64));
    other.sequences.start = 40;
    let theirs = labelled(b.path(), other, None);
    let (summary, got) =
        selected(&ours, Some(&theirs), &policy(Order::Top, Amount::Rows(5))).unwrap();
    assert_eq!(summary.policy.join, Some(Join::Index));
    for row in got {
        let expected = (row.document.doc_index >= 40).then_some(0.0);
        assert_eq!(row.score, expected);
    }
}

#[test]
fn unknown_and_missing_documents_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let labels = labelled(dir.path(), plan(), None);
    let says = |policy: &DocumentPolicy| selected(&labels, None, policy).unwrap_err().to_string();
    let top = policy(Order::Top, Amount::Fraction(0.5));
    let per = DocumentPolicy {
        per: Some(Per::Source),
        ..top
    };
    let by_byte = DocumentPolicy {
        score: DocumentScore::BitsPerByte,
        ..top
    };
    assert!(says(&per).contains("without sources"));
    assert!(says(&by_byte).contains("without bytes"));
    for amount in [Amount::Rows(51), Amount::Tokens(1 << 40)] {
        assert!(says(&policy(Order::Top, amount)).contains("but the labels have"));
    }
    assert!(says(&policy(Order::Top, Amount::Fraction(0.0))).contains("the fraction is 0"));
    let other = tempfile::tempdir().unwrap();
    // Every document has 13 tokens.
    let labels = labelled(other.path(), plan(), Some(entries(N_DOCUMENTS)));
    let little = policy(Order::Top, Amount::Tokens(12));
    let error = selected(&labels, None, &little).unwrap_err();
    assert!(
        error.to_string().contains("none of 50 documents"),
        "{error}"
    );
}

#[test]
fn an_output_of_another_kind_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let labels = labelled(&dir.path().join("labels"), plan(), None);
    let output = dir.path().join("notes.parquet");
    let top = policy(Order::Top, Amount::Fraction(0.5));
    std::fs::write(&output, "mine").unwrap();
    let error = select_documents(&labels, None, &top, &output, |_| ()).unwrap_err();
    assert!(
        matches!(error, SelectError::NotASelection { .. }),
        "{error}"
    );
    std::fs::remove_file(&output).unwrap();
    for _ in 0..2 {
        select_documents(&labels, None, &top, &output, |_| ()).unwrap();
    }
}

#[test]
fn the_file_is_the_same_however_little_is_sorted_in_memory() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = labelled(a.path(), plan(), Some(whole(&plan())));
    let theirs = of_another_tokenizer(b.path(), |_| ());
    let policy = DocumentPolicy {
        score: DocumentScore::NllSum,
        per: Some(Per::Source),
        ..policy(Order::Middle, Amount::Fraction(0.3))
    };
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, run_bytes: usize| {
        let output = dir.path().join(name);
        let job = Job {
            source: Source::open(&ours, Some(&theirs), &policy).unwrap(),
            policy: &policy,
            output: &output,
            run_bytes,
        };
        job.run(None, &mut |_| ()).unwrap();
        std::fs::read(output).unwrap()
    };
    let expected = run("a.parquet", RUN_BYTES);
    for run_bytes in [1, 300] {
        assert!(run("b.parquet", run_bytes) == expected);
    }
}
