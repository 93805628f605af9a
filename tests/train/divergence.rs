//! A loss that is not finite stops the run before it spoils anything.

use crate::bench::{Bench, lines_of, listed_seq_ids, metrics};
use crate::support::{fail_with, succeed};

/// A run whose first step leaves weights that overflow.
fn diverging(keys: &[&str]) -> Bench {
    let keys_of_rate = [
        "schedule.lr=1e30",
        "schedule.shape=constant",
        "schedule.warmup_steps=0",
    ];
    Bench::new().with(&keys_of_rate).with(keys)
}

#[test]
fn a_nonfinite_loss_stops_before_the_update_and_names_step_and_sequences() {
    let bench = diverging(&["checkpoint.every=0"]);
    let printed = fail_with(&mut bench.run("run"), 3);
    assert!(
        printed.contains("step 2: the loss is") || printed.contains("step 2: the gradient norm is"),
        "{printed}"
    );
    let seq_ids = listed_seq_ids(&printed);
    assert_eq!(seq_ids.len(), 4, "{printed}");
    // The step before is saved, from which the same run comes to the same end, and a new one begins.
    assert_eq!(bench.steps("run"), [1]);
    let saved = bench.path("run/checkpoints/step-1");
    let saved = saved.to_str().unwrap();
    assert!(printed.contains(&format!("{saved} is saved")), "{printed}");
    let init = format!("init={saved}");
    assert!(
        printed.contains(&format!("init = {saved:?} instead of [model]")),
        "{printed}"
    );
    let again = fail_with(&mut bench.resume("run"), 3);
    assert!(again.contains("step 2: the "), "{again}");
    let mut anew = bench.run("anew");
    succeed(anew.args(["--set", &init, "--set", "model=", "--dry-run"]));
}

#[test]
fn a_learning_rate_that_the_factor_made_too_high_is_told_so() {
    let bench = diverging(&["schedule.lr=1e29", "kd.lr_factor=10"]);
    let printed = fail_with(&mut bench.run("run"), 3);
    assert!(
        printed.contains("with a lower kd.lr_factor or schedule.lr"),
        "{printed}"
    );
}

#[test]
fn a_nonfinite_loss_in_the_first_step_leaves_no_checkpoint() {
    let bench = diverging(&["checkpoint.every=0"]);
    // Its weights of step 1 are so large that the logits overflow.
    fail_with(&mut bench.run("spoilt"), 3);
    let from = bench.path("spoilt/checkpoints/step-1");
    let from = format!("init={}", from.display());
    let mut run = bench.run("run");
    let printed = fail_with(run.args(["--set", &from, "--set", "model="]), 3);
    assert!(
        printed.contains("step 1: the ") && printed.contains("nothing was trained yet"),
        "{printed}"
    );
    assert!(printed.contains("start a new run"), "{printed}");
    assert!(bench.steps("run").is_empty());
}

#[test]
fn a_nonfinite_validation_stops_the_run_and_is_not_logged() {
    let bench = diverging(&["eval.every=1"]);
    let printed = fail_with(&mut bench.run("run"), 3);
    assert!(
        printed.contains("the validation NLL after step 1 is"),
        "{printed}"
    );
    assert!(printed.contains("step-1 is saved"), "{printed}");
    let metrics = metrics(&bench.path("run"));
    assert_eq!(lines_of(&metrics, "valid").count(), 0, "{metrics:?}");
}
