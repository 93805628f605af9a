//! Text that the models generated.

use super::contents::Contents;
use crate::experiment::report::samples::{ArmSample, Samples};
use crate::page::{Section, arm_name, escape, fixed, paragraph};

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let samples = contents.samples.as_ref()?;
    let texts: String = samples
        .texts
        .iter()
        .map(|text| article(contents, samples, text))
        .collect();
    if texts.is_empty() {
        return None;
    }
    let intro = format!(
        "Every arm\u{2019}s final model continues the same words, in bold, with the same seed ({}) at temperature {}, up to {} \
         tokens. A single text shows style, not quality: compare arms by NLL.",
        samples.seed,
        fixed(samples.temperature, 2),
        samples.max_tokens
    );
    Section::of(
        "samples",
        "What the models write",
        paragraph(&intro) + &texts,
    )
}

fn article(contents: &Contents<'_>, samples: &Samples, sample: &ArmSample) -> String {
    let mut arms = contents.comparison.arms.iter();
    let Some(arm) = arms.find(|arm| arm.name() == sample.arm) else {
        return String::new();
    };
    let (prompt, rest) = match sample.text.strip_prefix(&samples.prompt) {
        Some(rest) => (samples.prompt.as_str(), rest),
        None => ("", sample.text.as_str()),
    };
    format!(
        "<article>\n<h3>{} <small>seed {}; {}</small></h3>\n<p class=\"tokens\"><b>{}</b>{}</p>\n</article>\n",
        arm_name(arm.name(), arm.slot),
        sample.seed,
        escape(&sample.end),
        escape(prompt),
        escape(rest)
    )
}
