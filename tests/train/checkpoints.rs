//! Which checkpoints stay, and which one a run resumes from.

use crate::bench::{Bench, slow};
use crate::support::process::{flip, signal, spawn, wait_for};
use crate::support::{fail_with, succeed, text};

#[test]
fn a_damaged_checkpoint_is_refused_and_the_last_good_one_goes_on_to_the_same_bits() {
    let bench = Bench::new().with(&["checkpoint.keep_last=9"]);
    succeed(&mut bench.run("reference"));
    succeed(&mut bench.run("run"));
    std::fs::remove_dir_all(bench.path("run/final")).unwrap();
    flip(&bench.path("run/checkpoints/step-24/optimizer.safetensors"));
    std::fs::remove_file(bench.path("run/checkpoints/step-20/checkpoint.json")).unwrap();
    let refused = fail_with(&mut bench.resume("run"), 3);
    assert!(refused.contains("optimizer.safetensors"), "{refused}");
    assert!(refused.contains("--resume-from step-16"), "{refused}");
    let half = fail_with(bench.run("run").args(["--resume-from", "step-20"]), 3);
    assert!(
        half.contains("incomplete") && half.contains("step-16"),
        "{half}"
    );
    let none = fail_with(bench.run("run").args(["--resume-from", "step-5"]), 2);
    assert!(none.contains("step-4, step-8"), "{none}");
    let printed = text(&succeed(
        bench.run("run").args(["--resume-from", "step-16"]),
    ));
    bench.assert_same("run", "reference");
    // The damaged ones are out of the way, and stay.
    for name in ["step-20.abandoned", "step-24.abandoned"] {
        assert!(printed.contains(name), "{printed}");
        assert!(bench.path("run/checkpoints").join(name).is_dir(), "{name}");
    }
}

#[test]
fn a_run_that_went_back_and_was_stopped_goes_on_from_where_it_was_stopped() {
    let bench = slow().with(&["checkpoint.keep_last=9", "checkpoint.every=6"]);
    succeed(&mut bench.run("reference"));
    succeed(&mut bench.run("run"));
    flip(&bench.path("run/checkpoints/step-24/optimizer.safetensors"));
    let mut back = bench.run("run");
    let mut child = spawn(back.args(["--resume-from", "step-6"]));
    wait_for(&bench.path("run/checkpoints/step-12.abandoned"), &mut child);
    signal(&child, libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(75), "{printed}");
    assert!(
        printed.contains("--resume instead of --resume-from"),
        "{printed}"
    );
    assert!(bench.steps("run").last().unwrap() < &24);
    succeed(&mut bench.resume("run"));
    bench.assert_same("run", "reference");
}

#[test]
fn only_the_checkpoints_of_the_policy_stay() {
    let bench = Bench::new().with(&["checkpoint.every=2", "checkpoint.keep_last=3"]);
    succeed(&mut bench.run("last"));
    assert_eq!(bench.steps("last"), [20, 22, 24]);
    let bench = bench.with(&["checkpoint.keep_last=1", "checkpoint.keep_every=10"]);
    succeed(&mut bench.run("some"));
    assert_eq!(bench.steps("some"), [10, 20, 24]);
    let bench = bench.with(&["checkpoint.keep_every=0", "checkpoint.keep_steps=[7, 12]"]);
    succeed(&mut bench.run("named"));
    assert_eq!(bench.steps("named"), [7, 12, 24]);
}
