//! Tables of settings, results and costs, by arm and run.

use super::super::compare::{Arm, Comparison, reach_text};
use crate::experiment::OverSeeds;
use crate::experiment::results::{BranchResults, RunResults, TeacherCost};
use crate::page::{
    NONE, Section, arm_name, cells, duration, escape, fixed, grouped, mean, or_none, percent,
    short, table, value_cell,
};

pub(super) fn section(comparison: &Comparison<'_>) -> Option<Section> {
    let teacher = comparison.results.teacher.as_ref();
    let body = arms_table(comparison)
        + &operations_table(comparison)
        + &teacher.map_or(String::new(), teacher_line)
        + &finals_table(comparison)
        + &runs_table(comparison);
    Section::of("runs", "All arms and runs", body)
}

fn arms_table(comparison: &Comparison<'_>) -> String {
    let row = |arm: &Arm<'_>| {
        let data = arm.data;
        let settings: Vec<String> = data
            .settings
            .iter()
            .map(|set| format!("<code>{}</code>", escape(set)))
            .collect();
        vec![
            arm_name(arm.name(), arm.slot),
            settings.join(" "),
            or_none((data.n_labelled_tokens > 0).then(|| grouped(data.n_labelled_tokens))),
            or_none(data.label_bytes_per_token.map(|bytes| fixed(bytes, 1))),
            or_none(data.label_seconds.map(duration)),
        ]
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    table(
        "Arms: what each changes in the common configuration, and what its labels cost before the first step. Labelling time assumes teacher.label_tokens_per_s, or else the speed of the teacher\u{2019}s own training.",
        &cells([
            "Arm",
            "Settings",
            "Labelled tokens",
            "Label bytes/token",
            "Labelling",
        ]),
        &rows,
        2,
    )
}

/// Operations that each arm needs, compared with the baseline.
fn operations_table(comparison: &Comparison<'_>) -> String {
    let results = comparison.results;
    let base = comparison
        .baseline()
        .and_then(|arm| results.all_flops(arm.data));
    let row = |arm: &Arm<'_>| {
        let all = results.all_flops(arm.data).map(|flops| flops.mean);
        let whole = arm
            .data
            .runs
            .iter()
            .filter_map(|run| Some(run.at(1.0)?.flops));
        let needs_teacher = arm.data.n_labelled_tokens > 0;
        let teacher = results.teacher_of(arm.data).filter(|_| needs_teacher);
        let labels = Some(arm.data.label_flops).filter(|flops| *flops > 0.0 && needs_teacher);
        let times = all
            .zip(base.as_ref())
            .map(|(all, base)| fixed(all / base.mean, 2));
        vec![
            arm_name(arm.name(), arm.slot),
            or_none(mean(whole).map(short)),
            or_none(labels.map(short)),
            or_none(teacher.map(|teacher| short(teacher.flops))),
            format!("<b>{}</b>", or_none(all.map(short))),
            or_none(times),
        ]
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    table(
        "Floating-point operations of a whole run, everything included: 6 per parameter and token for training, 2 \
         for labels and scores. The teacher is trained, and labels are made, once for all runs; here each arm is \
         charged for the whole teacher, and for the labels that its steps read.",
        &cells([
            "Arm",
            "Its steps",
            "Labels and scores",
            "Teacher\u{2019}s training",
            "All",
            "Times the baseline",
        ]),
        &rows,
        1,
    )
}

fn teacher_line(teacher: &TeacherCost) -> String {
    let seconds = teacher
        .seconds
        .map_or(String::new(), |seconds| format!(", {}", duration(seconds)));
    format!(
        "<p class=\"note\">The teacher itself has {} parameters and was trained on {} tokens ({} FLOPs{}), once for all arms.</p>\n",
        short(teacher.n_params as f64),
        short(teacher.n_tokens as f64),
        short(teacher.flops),
        escape(&seconds)
    )
}

/// Final models on every set: NLL, accuracy and calibration.
fn finals_table(comparison: &Comparison<'_>) -> String {
    let sets = &comparison.results.sets;
    let mut heads = cells(["Arm"]);
    for set in sets {
        heads.extend(
            ["NLL", "Accuracy", "ECE"].map(|what| escape(&format!("{what}, {}", set.name))),
        );
    }
    let row = |arm: &Arm<'_>| {
        let mut row = vec![arm_name(arm.name(), arm.slot)];
        for on_set in &arm.sets {
            row.push(spread_cell(on_set.nll.as_ref(), 4));
            row.push(spread_cell(on_set.accuracy.as_ref(), 4));
            row.push(spread_cell(on_set.ece.as_ref(), 4));
        }
        row
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    let spread = match comparison.has_spread() {
        true => " Means over seeds, \u{b1} one standard deviation.",
        false => "",
    };
    let caption = format!(
        "Final models: NLL in nats per token, fraction of positions whose target is the best id, and expected calibration \
         error of the best id\u{2019}s probability (15 bins).{spread}"
    );
    table(&caption, &heads, &rows, 1)
}

fn spread_cell(spread: Option<&OverSeeds>, digits: usize) -> String {
    spread.map_or(NONE.to_owned(), |spread| value_cell(&spread.text(digits)))
}

fn runs_table(comparison: &Comparison<'_>) -> String {
    let sets = &comparison.results.sets;
    let mut heads = cells(["Arm", "Seed", "Share"]);
    heads.extend(sets.iter().map(|set| escape(&format!("NLL, {}", set.name))));
    heads.extend(cells([
        "Accuracy",
        "ECE",
        "As good at",
        "Steps",
        "Tokens",
        "FLOPs",
        "Time",
        "Seconds per step",
        "Directory",
    ]));
    let runs = comparison
        .arms
        .iter()
        .flat_map(|arm| arm.data.runs.iter().map(move |run| (arm, run)));
    let rows: Vec<Vec<String>> = runs
        .flat_map(|(arm, run)| {
            let branches = run.branches.iter();
            branches.map(move |branch| branch_row(arm, run, branch, sets.len()))
        })
        .collect();
    let caption = format!(
        "Every decayed model of every run, with whole runs in bold. Accuracy and calibration error are on {}. FLOPs \
         and time are for training, including the steps before a branch; time depends on what else ran on the \
         machine, as the seconds per step show.",
        comparison.first_set()
    );
    format!(
        "<details class=\"all\"><summary>Every run and branch ({} rows)</summary>{}</details>\n",
        rows.len(),
        table(&caption, &heads, &rows, 1)
    )
}

fn branch_row(
    arm: &Arm<'_>,
    run: &RunResults,
    branch: &BranchResults,
    n_sets: usize,
) -> Vec<String> {
    let is_whole = branch.share > 0.999;
    let strong = |text: String| match is_whole {
        true => format!("<b>{text}</b>"),
        false => text,
    };
    let of_set = |i: usize| branch.scores.get(i);
    let nlls = (0..n_sets).map(|i| measured(of_set(i).map(|score| score.nll)));
    let mut row = vec![
        arm_name(arm.name(), arm.slot),
        run.seed.to_string(),
        strong(escape(&percent(branch.share))),
    ];
    row.extend(nlls.map(strong));
    row.push(measured(of_set(0).map(|score| score.accuracy)));
    row.push(measured(of_set(0).map(|score| score.ece)));
    row.push(if is_whole {
        reach_cell(arm, run)
    } else {
        String::new()
    });
    row.push(grouped(branch.n_steps));
    row.push(short(branch.n_tokens as f64));
    row.push(short(branch.flops));
    row.push(duration(branch.seconds));
    row.push(or_not_measured(
        3,
        Some(branch.seconds / branch.n_steps as f64),
    ));
    row.push(match is_whole {
        true => format!("<code>{}</code>", escape(&run.dir.display().to_string())),
        false => String::new(),
    });
    row
}

/// A measured value; NaN means not measured.
fn measured(value: Option<f64>) -> String {
    or_not_measured(4, value)
}

fn or_not_measured(digits: usize, value: Option<f64>) -> String {
    let value = value.filter(|value| value.is_finite());
    or_none(value.map(|value| fixed(value, digits)))
}

fn reach_cell(arm: &Arm<'_>, run: &RunResults) -> String {
    let found = arm.reach.iter().find(|(seed, _)| *seed == run.seed);
    match found {
        Some(reach) if arm.slot > 0 => escape(&reach_text(&[*reach])),
        _ => String::new(),
    }
}
