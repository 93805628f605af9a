//! Results for tests.

use super::{
    ArmResults, BranchResults, BucketScore, EvalSet, RESULTS_VERSION, Results, RunResults,
    SetScore, TeacherCost,
};
use std::path::PathBuf;

/// A run with branches given by share in tenths and NLL; a tenth is 10 steps, 1,000 tokens, 2 seconds and 1e9
/// operations.
pub(crate) fn run(seed: u64, branches: &[(u64, f64)]) -> RunResults {
    let branch = |&(tenths, nll): &(u64, f64)| BranchResults {
        share: tenths as f64 / 10.0,
        n_steps: 10 * tenths,
        n_tokens: 1000 * tenths,
        seconds: 2.0 * tenths as f64,
        flops: 1e9 * tenths as f64,
        n_labelled_tokens: None,
        scores: vec![SetScore {
            nll,
            accuracy: 0.25,
            ece: 0.01,
            buckets: [0.5, 1.0, 1.5]
                .map(|factor| BucketScore {
                    n_targets: 10,
                    nll: factor * nll,
                    teacher_nll: 2.0 * factor,
                })
                .to_vec(),
        }],
    };
    RunResults {
        seed,
        dir: PathBuf::from(format!("seed-{seed}")),
        stage_2_step: None,
        branches: branches.iter().map(branch).collect(),
        validations: Vec::new(),
    }
}

/// An arm that needs no labels.
pub(crate) fn arm(name: &str, runs: Vec<RunResults>) -> ArmResults {
    ArmResults {
        name: name.to_owned(),
        settings: Vec::new(),
        n_labelled_tokens: 0,
        label_bytes_per_token: None,
        label_flops: 0.0,
        label_seconds: Some(0.0),
        teacher: None,
        runs,
    }
}

/// An arm whose labels cost half as much as the baseline's training, in operations and in seconds.
pub(crate) fn labelled_arm(name: &str, runs: Vec<RunResults>) -> ArmResults {
    ArmResults {
        n_labelled_tokens: 4000,
        label_bytes_per_token: Some(150.0),
        label_flops: 5e9,
        label_seconds: Some(10.0),
        teacher: None,
        ..arm(name, runs)
    }
}

/// Results with a teacher whose training cost a tenth of the baseline's.
pub(crate) fn results(arms: Vec<ArmResults>) -> Results {
    Results {
        format_version: RESULTS_VERSION,
        name: "test".to_owned(),
        created_by: "a test".to_owned(),
        n_steps: 100,
        tokens_per_step: 100,
        n_params: 1000,
        baseline: "baseline".to_owned(),
        seeds: vec![0, 1],
        sets: vec![EvalSet {
            name: "books".to_owned(),
            n_targets: 30,
            teacher_nll: Some(2.0),
            bucket_borders: vec![1.5, 2.5],
        }],
        arms,
        teacher: Some(TeacherCost {
            n_params: 500,
            n_tokens: 2000,
            flops: 1e9,
            seconds: Some(2.0),
        }),
    }
}
