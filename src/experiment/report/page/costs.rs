//! Every cell: what an arm sets, what each of its runs reached, and what it cost.

use super::super::compare::{Arm, Comparison, Reach};
use super::super::numbers::{duration, fixed, grouped, percent, short};
use super::html::{Section, arm_name, cells, escape, table};
use crate::experiment::results::{RunResults, TeacherCost};

const NONE: &str = "\u{2013}";

pub(super) fn section(comparison: &Comparison<'_>) -> Option<Section> {
    let teacher = comparison.results.teacher.as_ref();
    Some(Section {
        id: "runs",
        title: "All arms and runs",
        body: arms_table(comparison)
            + &teacher.map_or(String::new(), teacher_line)
            + &runs_table(comparison),
    })
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
            if data.n_labelled_tokens == 0 {
                NONE.to_owned()
            } else {
                grouped(data.n_labelled_tokens)
            },
            data.label_bytes_per_token
                .map_or(NONE.to_owned(), |bytes| fixed(bytes, 1)),
            data.label_seconds.map_or(NONE.to_owned(), duration),
            if data.label_flops > 0.0 {
                short(data.label_flops)
            } else {
                NONE.to_owned()
            },
        ]
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    table(
        "Arms: what each sets over the common configuration, and what its labels cost before the first step.",
        &cells([
            "Arm",
            "Settings",
            "Labelled tokens",
            "Label bytes/token",
            "Labelling",
            "Label FLOPs",
        ]),
        &rows,
        2,
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
        "Time",
        "FLOPs",
        "Directory",
    ]));
    let rows: Vec<Vec<String>> = comparison
        .arms
        .iter()
        .flat_map(|arm| {
            arm.data
                .runs
                .iter()
                .flat_map(|run| run_rows(comparison, arm, run))
        })
        .collect();
    let caption = format!(
        "Every decayed model of every run, the whole runs in bold. Accuracy and expected calibration error (15 bins) on {}. \
         Time and FLOPs are of training, the steps before a branch included.",
        comparison.first_set()
    );
    format!(
        "<details class=\"all\"><summary>Every run and branch ({} rows)</summary>{}</details>\n",
        rows.len(),
        table(&caption, &heads, &rows, 1)
    )
}

fn run_rows(comparison: &Comparison<'_>, arm: &Arm<'_>, run: &RunResults) -> Vec<Vec<String>> {
    let reach = arm.reach.iter().find(|(seed, _)| *seed == run.seed);
    let row = |branch: &crate::experiment::results::BranchResults| {
        let is_whole = branch.share > 0.999;
        let strong = |text: String| {
            if is_whole {
                format!("<b>{text}</b>")
            } else {
                text
            }
        };
        let first = branch.scores.first();
        let mut row = vec![
            arm_name(arm.name(), arm.slot),
            run.seed.to_string(),
            strong(escape(&percent(branch.share))),
        ];
        row.extend((0..comparison.results.sets.len()).map(|i| {
            let nll = branch
                .scores
                .get(i)
                .map_or(NONE.to_owned(), |score| fixed(score.nll, 4));
            strong(escape(&nll))
        }));
        row.push(first.map_or(NONE.to_owned(), |score| {
            escape(&format!("{}\u{202f}%", fixed(100.0 * score.accuracy, 1)))
        }));
        row.push(first.map_or(NONE.to_owned(), |score| fixed(score.ece, 4)));
        row.push(match reach {
            Some((_, reach)) if is_whole && arm.slot > 0 => escape(&reach_text(*reach)),
            _ => String::new(),
        });
        row.push(grouped(branch.n_steps));
        row.push(short(branch.n_tokens as f64));
        row.push(duration(branch.seconds));
        row.push(short(branch.flops));
        row.push(if is_whole {
            format!("<code>{}</code>", escape(&run.dir.display().to_string()))
        } else {
            String::new()
        });
        row
    };
    run.branches.iter().map(row).collect()
}

fn reach_text(reach: Reach) -> String {
    match reach {
        Reach::At(share) => percent(share),
        Reach::Before(share) => format!("\u{2264}\u{202f}{}", percent(share)),
        Reach::Never => "never".to_owned(),
    }
}
