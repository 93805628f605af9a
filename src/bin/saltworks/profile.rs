//! `label --profile`: where the time went.

use crate::common::print::out;
use saltworks::label::{PipelineStage, Profile};

/// One line per stage; percentages are of the labelling threads' wall clock.
pub(crate) fn print(profile: &Profile) {
    let labelling = profile.wall.as_secs_f64() * profile.n_workers as f64;
    let n_targets = profile.n_targets.max(1) as f64;
    out!("stage                            seconds  us/token  of time");
    for &(stage, time) in &profile.stages {
        let seconds = time.as_secs_f64();
        let share = if stage.is_of_labelling() {
            format!("{:>6.1}%", 100.0 * seconds / labelling)
        } else {
            "parallel".into()
        };
        out!(
            "{:<30} {seconds:>9.2} {:>9.2}  {share:>8}",
            words(stage),
            seconds * 1e6 / n_targets,
        );
    }
    out!(
        "{:<30} {:>9.2} {:>9.2}",
        "wall clock",
        profile.wall.as_secs_f64(),
        profile.wall.as_secs_f64() * 1e6 / n_targets
    );
    let n_padding = profile.n_positions.saturating_sub(profile.n_targets);
    out!(
        "{:<30} {:>8.1}%  of the positions that the teacher processed",
        "padding",
        100.0 * n_padding as f64 / profile.n_positions.max(1) as f64
    );
}

fn words(stage: PipelineStage) -> &'static str {
    match stage {
        PipelineStage::Reading => "reading tokens",
        PipelineStage::WaitingForTokens => "  waiting for tokens",
        PipelineStage::Teacher => "  teacher",
        PipelineStage::Reduction => "  reduction of logits",
        PipelineStage::Assembly => "  batches and rows",
        PipelineStage::WaitingForWriter => "  waiting for the writer",
        PipelineStage::Encoding => "encoding, compression",
        PipelineStage::Publishing => "sync, check, publication",
    }
}
