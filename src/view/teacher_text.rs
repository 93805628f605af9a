//! What labels say about their teacher, as terminal output.

use super::stats_text::title;
use crate::bounds::{BlockUnit, DivergenceBounds, Estimate, HeldOut, TeacherFigures};
use crate::page::grouped;

/// Note on a gap that involves labels of a selection.
const OF_SELECTION: [&str; 3] = [
    "Note: one of these label sets is of a selection. Unless it was made at random, its text is not a",
    "fair sample, and the gap may come from the selection as much as from what the teacher has",
    "memorized. Label all sequences, or a random selection, to tell the two apart.",
];

/// Bounds on the teacher's divergence from the data, as a table of at most 100 cells.
pub fn render_teacher(figures: &TeacherFigures) -> String {
    let mut lines = vec![title(&format!(
        "the teacher on this text (± standard error, over {} blocks of {})",
        grouped(figures.n_blocks as u64),
        match figures.blocks_of {
            BlockUnit::Documents => "documents",
            BlockUnit::Sequences => "sequences",
        }
    ))];
    lines.push(format!(
        "  NLL, nats             {}",
        plus_minus(&figures.nll)
    ));
    if figures.n_without_nll > 0 {
        lines.push(format!(
            "  left out              {} sequences with a target of zero probability",
            grouped(figures.n_without_nll)
        ));
    }
    if let Some(accuracy) = &figures.accuracy {
        lines.push(format!("  its best id is right  {}", plus_minus(accuracy)));
    }
    lines.extend(nll_lines(figures));
    lines.extend(bound_lines(figures));
    lines.join("\n") + "\n"
}

/// The teacher on its training text compared with held-out text, and what follows from the gap.
pub fn render_held_out(training: &TeacherFigures, held_out: &HeldOut) -> String {
    let mut lines = vec![
        title("the teacher on this text and on held-out text"),
        three(
            "NLL, nats",
            &training.nll,
            &held_out.figures.nll,
            &held_out.nll_gap,
        ),
    ];
    let accuracies = training.accuracy.zip(held_out.figures.accuracy);
    if let Some(((ours, theirs), gap)) = accuracies.zip(held_out.accuracy_gap) {
        lines.push(three("best id right", &ours, &theirs, &gap));
    }
    lines.extend(meaning(held_out));
    if held_out.of_selection {
        lines.extend(OF_SELECTION.map(|line| format!("  {line}")));
    }
    lines.extend(bound_lines(&held_out.figures));
    lines.join("\n") + "\n"
}

fn three(name: &str, training: &Estimate, held_out: &Estimate, gap: &Estimate) -> String {
    format!(
        "  {name:<14}{} here, {} held out: difference {}",
        plus_minus(training),
        plus_minus(held_out),
        plus_minus(gap)
    )
}

/// The meaning of the gap, in sentences.
fn meaning(held_out: &HeldOut) -> Vec<String> {
    let gap = held_out.nll_gap;
    let lines: &[&str] = match held_out.auto_margin {
        Some(_) => &[
            "The labels overstate how good the teacher is by that much, if both texts are of the same kind:",
            "it was trained on this one. A student that has not seen this text is as good as the teacher",
            "when its NLL is that far above the labels'; `kd.auto_margin` of the trainer is for this gap.",
        ],
        None if gap.beyond_noise() > 0.0 => &[
            "The held-out text is easier for this teacher: the two are not of the same kind, and the gap",
            "does not show what the teacher gained from training on this text. No margin follows.",
        ],
        None => &[
            "That is within noise (two standard errors): too little text to tell whether these labels",
            "overstate how good the teacher is. No margin follows.",
        ],
    };
    let margin = held_out.auto_margin;
    let setting = margin.map(|margin| format!("  kd.auto_margin = {margin:.3}"));
    let lines = lines.iter().map(|line| format!("  {line}"));
    lines.chain(setting).collect()
}

fn nll_lines(figures: &TeacherFigures) -> Vec<String> {
    let line = |bucket: &crate::bounds::NllBucket| {
        let n = grouped(bucket.n_targets);
        let range = range(bucket.from, bucket.below);
        format!(
            "    {:<8}{range:<20}{}  {n:>14} targets",
            bucket.name,
            plus_minus(&bucket.nll)
        )
    };
    figures.nll_buckets.iter().map(line).collect()
}

fn bound_lines(figures: &TeacherFigures) -> Vec<String> {
    let mut lines = vec![title(&format!(
        "{:<36}{:>8} {:>8} {:>18}{:>13}{:>12}",
        "its divergence from the data", "hits", "mass", "hits - mass", "TV", "KL, nats"
    ))];
    lines.push(bound_line("all, by the scores", &figures.by_scores));
    let stored = figures.by_topk.iter();
    lines.extend(stored.map(|bounds| bound_line("all, by what is stored", bounds)));
    for bucket in &figures.entropy_buckets {
        let name = format!("  entropy {}", range(bucket.from, bucket.below));
        lines.push(bound_line(&name, &bucket.bounds));
    }
    let all = figures.by_topk.as_ref().unwrap_or(&figures.by_scores);
    if all.tv_at_least_beyond_noise == 0.0 {
        lines.push("  The lower bound over all positions is within noise.".to_owned());
    }
    lines.push(
        "  Lower and upper bounds on means; on text that the teacher was not trained on."
            .to_owned(),
    );
    lines
}

/// One line of bounds; `~` marks a lower bound within noise.
fn bound_line(name: &str, bounds: &DivergenceBounds) -> String {
    let name = format!("{name}, k = {}", bounds.k);
    let noise = match bounds.tv_at_least_beyond_noise > 0.0 {
        true => ' ',
        false => '~',
    };
    let tv = format!(
        "{noise}{:.3}..{}",
        bounds.tv_at_least,
        bounds
            .tv_at_most
            .map_or("1    ".to_owned(), |most| format!("{:.3}", most.mean))
    );
    let kl = format!("{:.3}..{:.2}", bounds.kl_at_least, bounds.kl_at_most.mean);
    format!(
        "  {name:<36}{:>6.4} {:>8.4} {:>18}{tv:>13}{kl:>12}",
        bounds.hit_rate.mean,
        bounds.topk_mass.mean,
        signed(&bounds.difference)
    )
}

fn range(from: f64, below: Option<f64>) -> String {
    match below {
        Some(below) => format!("{from:.2} to {below:.2}"),
        None => format!("from {from:.2}"),
    }
}

fn plus_minus(estimate: &Estimate) -> String {
    format!("{:.4}{}", estimate.mean, error(estimate))
}

fn signed(estimate: &Estimate) -> String {
    format!("{:+.4}{}", estimate.mean, error(estimate))
}

fn error(estimate: &Estimate) -> String {
    match estimate.standard_error {
        Some(error) => format!(" ± {error:.4}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    fn estimate(mean: f64) -> Estimate {
        Estimate {
            mean,
            standard_error: Some(0.0123),
        }
    }

    fn figures() -> TeacherFigures {
        let bounds = DivergenceBounds {
            k: 64,
            hit_rate: estimate(0.9),
            topk_mass: estimate(0.85),
            difference: estimate(0.05),
            rounding: 0.0,
            tv_at_least: 0.05,
            tv_at_least_beyond_noise: 0.0254,
            tv_at_most: Some(estimate(0.75)),
            kl_at_least: 0.005,
            kl_at_most: estimate(12.25),
        };
        let bucket = |name: &str, from, below| crate::bounds::EntropyBucket {
            name: name.to_owned(),
            from,
            below,
            n_targets: 1_000_000,
            bounds,
        };
        TeacherFigures {
            n_sequences: 9_000,
            n_without_nll: 0,
            n_targets: 3_000_000,
            blocks_of: BlockUnit::Documents,
            n_blocks: 512,
            nll: estimate(12.25),
            accuracy: Some(estimate(0.25)),
            by_scores: DivergenceBounds {
                k: 10,
                tv_at_least_beyond_noise: 0.0,
                ..bounds
            },
            by_topk: Some(bounds),
            entropy_buckets: vec![bucket("low", 0.0, Some(10.25)), bucket("high", 10.25, None)],
            nll_buckets: vec![],
        }
    }

    fn shown(rendered: &str) -> String {
        anstream::adapter::strip_str(rendered).to_string()
    }

    #[test]
    fn bounds_are_a_table_that_fits_and_marks_what_is_within_noise() {
        let text = shown(&render_teacher(&figures()));
        for part in [
            "12.2500 ± 0.0123",
            "512 blocks",
            "+0.0500 ± 0.0123",
            " 0.050..0.750",
            "~0.050..0.750",
            "0.005..12.25",
            "entropy from 10.25, k = 64",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(text.lines().all(|line| line.width() <= 100), "{text}");
        assert!(!text.contains("is within noise"), "{text}");
    }

    #[test]
    fn a_gap_is_said_in_words_with_the_setting_that_follows() {
        let held_out = |gap: f64, auto_margin| HeldOut {
            figures: figures(),
            nll_gap: estimate(gap),
            accuracy_gap: Some(estimate(0.01)),
            auto_margin,
            of_selection: false,
        };
        let text = shown(&render_held_out(&figures(), &held_out(0.31, Some(0.31))));
        assert!(text.contains("kd.auto_margin = 0.310"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 100), "{text}");
        let text = shown(&render_held_out(&figures(), &held_out(0.01, None)));
        assert!(text.contains("within noise") && !text.contains("auto_margin"));
        let text = shown(&render_held_out(&figures(), &held_out(-0.31, None)));
        assert!(text.contains("easier for this teacher"), "{text}");
        assert!(!text.contains("of a selection"), "{text}");
        let of_selection = HeldOut {
            of_selection: true,
            ..held_out(0.01, None)
        };
        let text = shown(&render_held_out(&figures(), &of_selection));
        assert!(text.contains("of a selection"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 100), "{text}");
    }
}
