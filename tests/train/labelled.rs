//! A model evaluated on labels.

use crate::bench::{Bench, label_by, saltworks_train};
use crate::support::process::flip;
use crate::support::{fail_with, succeed};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The teacher's and the student's view of one position.
struct Judged {
    teacher_nll: f64,
    student_nll: f64,
    is_best: bool,
}

/// Every position of the shared labels, beside what `saltworks label` says of the student's own ONNX.
fn judged(bench: &Bench, student: &str) -> BTreeMap<u64, Vec<Judged>> {
    use saltworks::shards::{LabelSet, Row, ShardReader};
    let rows = |dir: &Path| -> BTreeMap<u64, Row> {
        let set = LabelSet::open(dir).unwrap();
        let of_shard =
            |shard| ShardReader::open(dir, set.segment_of_shard(shard).unwrap(), shard).unwrap();
        let rows = (0..set.n_shards()).flat_map(of_shard);
        rows.flat_map(Result::unwrap)
            .map(|row| (row.seq_id, row))
            .collect()
    };
    let students = rows(&bench.path(student));
    let positions = |(seq_id, row): (u64, Row)| {
        let own = &students[&seq_id].signals;
        let teachers = row.signals.target_logprob_t.iter();
        let both = teachers.zip(own.target_logprob_t.iter().zip(&own.target_rank_t));
        let judged = both.map(|(teacher, (student, rank))| Judged {
            teacher_nll: -f64::from(*teacher),
            student_nll: -f64::from(*student),
            is_best: *rank == 0,
        });
        (seq_id, judged.collect())
    };
    rows(&bench.labels).into_iter().map(positions).collect()
}

/// Two runtimes' log-probabilities of one f32 model.
const RUNTIME_TOLERANCE_NATS: f64 = 1e-4;

#[test]
fn an_evaluation_on_labels_is_what_the_labels_of_both_models_say() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    label_by(&bench, "run", "students", &["--top-k", "8"]);
    let judged = judged(&bench, "students");
    let eval = |more: &[&str]| -> Value {
        let mut eval = saltworks_train();
        eval.arg("eval").arg("--model").arg(bench.path("run"));
        eval.arg("--labels").arg(&bench.labels).arg("--json");
        serde_json::from_slice(&succeed(eval.args(more)).stdout).unwrap()
    };
    let number = |value: &Value| value.as_f64().unwrap();
    let near = |a: f64, b: f64| (a - b).abs() < RUNTIME_TOLERANCE_NATS;
    let mean = |of: &[&Judged], value: fn(&Judged) -> f64| {
        of.iter().map(|j| value(j)).sum::<f64>() / of.len() as f64
    };
    for (more, seq_ids) in [
        (&[][..], 0..u64::MAX),
        (&["--batch-tokens", "40"], 0..u64::MAX),
        (&["--sequences", "20..90"], 20..90),
    ] {
        let report = eval(more);
        let chosen = judged.iter().filter(|(id, _)| seq_ids.contains(id));
        let all: Vec<&Judged> = chosen.clone().flat_map(|(_, of)| of).collect();
        assert_eq!(report["n_sequences"], chosen.count());
        assert_eq!(report["n_targets"], all.len());
        assert!(near(number(&report["nll"]), mean(&all, |j| j.student_nll)));
        let teacher_nll = mean(&all, |j| j.teacher_nll);
        assert!((number(&report["teacher_nll"]) - teacher_nll).abs() < 1e-9);
        let n_best = all.iter().filter(|j| j.is_best).count();
        let n_more = number(&report["accuracy"]) * all.len() as f64 - n_best as f64;
        assert!(n_more.abs() < 3.0, "ties of two runtimes aside: {n_more}");
        let ece = number(&report["ece"]);
        assert!((0.0..0.5).contains(&ece), "{ece}");
        let mut nlls: Vec<f64> = all.iter().map(|j| j.teacher_nll).collect();
        nlls.sort_by(f64::total_cmp);
        let third = |n: usize| nlls[(n * nlls.len()).div_ceil(3) - 1];
        let boundaries = [third(1), third(2)];
        assert_eq!(report["bucket_borders"], serde_json::json!(boundaries));
        for (i, bucket) in report["buckets"].as_array().unwrap().iter().enumerate() {
            let place = |j: &Judged| boundaries.iter().filter(|b| j.teacher_nll > **b).count();
            let own: Vec<&Judged> = all.iter().copied().filter(|j| place(j) == i).collect();
            assert_eq!(bucket["n_targets"], own.len());
            assert!(near(number(&bucket["nll"]), mean(&own, |j| j.student_nll)));
            let teacher_nll = mean(&own, |j| j.teacher_nll);
            assert!((number(&bucket["teacher_nll"]) - teacher_nll).abs() < 1e-9);
        }
    }
    let report = eval(&["--bucket-borders", "0,1000"]);
    let counts: Vec<&Value> = (0..3).map(|i| &report["buckets"][i]["n_targets"]).collect();
    assert_eq!(counts, [0, report["n_targets"].as_u64().unwrap(), 0]);
    assert!(report["buckets"][0]["nll"].is_null());
}

#[test]
fn labels_that_a_model_cannot_be_evaluated_on_are_refused() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    let model = bench.path("run");
    let eval = |labels: &Path, more: &[&str]| {
        let mut eval = saltworks_train();
        eval.arg("eval").arg("--model").arg(&model);
        eval.arg("--labels").arg(labels).args(more);
        eval
    };
    label_by(&bench, "run", "no-stats", &["--groups", "scores,topk"]);
    let refused = fail_with(&mut eval(&bench.path("no-stats"), &[]), 2);
    assert!(
        refused.contains("the group stats") && refused.contains("--groups"),
        "{refused}"
    );
    for (more, word) in [
        (&["--sequences", "5..5"][..], "0..500"),
        (&["--bucket-borders", "3,1"], "0.5,3"),
        (&["--seq-len", "16"], "--seq-len"),
        (
            &["--sequences", "100000..100001"],
            "none of the requested sequences",
        ),
    ] {
        let refused = fail_with(&mut eval(&bench.labels, more), 2);
        assert!(refused.contains(word), "{more:?}: {refused}");
    }
    let bench = bench.with_own_labels();
    let of_first = bench.labels.join("positions/part-00000.parquet");
    flip(&of_first);
    let mut damaged = eval(&bench.labels, &[]);
    let refused = fail_with(&mut damaged, 3);
    assert!(refused.contains("part-00000"), "{refused}");
}
