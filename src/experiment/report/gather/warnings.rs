//! Reasons why the numbers may mislead.

use crate::experiment::report::compare::Comparison;
use crate::experiment::report::error::ReportError;
use crate::experiment::report::inputs::ReportInputs;
use crate::experiment::sets::{SetFacts, read_sets};
use crate::shards::LabelSet;
use crate::train::TrainError;
use crate::train::export::check_sealed;
use crate::train::run::{Sources, identity_in_plan};
use std::collections::BTreeSet;
use std::path::Path;

/// One sentence each: text called held out that was trained on, damaged models.
pub(crate) fn warnings(
    comparison: &Comparison<'_>,
    inputs: &ReportInputs,
) -> Result<Vec<String>, ReportError> {
    let sets = read_sets(&inputs.root).map_err(Box::new)?;
    let mut warnings: Vec<String> = sets.iter().filter_map(SetFacts::note).collect();
    let (mut same_text, mut damaged) = (BTreeSet::new(), Vec::new());
    let arms = comparison.arms.iter();
    for (arm, run) in arms.flat_map(|arm| arm.data.runs.iter().map(move |run| (arm, run))) {
        let dir = inputs.root.join(&run.dir);
        if is_validated_on_its_text(&dir)? {
            same_text.insert(arm.name());
        }
        if let Err(error) = check_sealed(&dir.join("final")) {
            damaged.push(format!(
                "The model of {}, seed {}, has changed since these numbers were computed: {error}.",
                arm.name(),
                run.seed
            ));
        }
    }
    if !same_text.is_empty() {
        let names: Vec<&str> = same_text.into_iter().collect();
        warnings.push(format!(
            "The validation text of {} is text that these arms are trained on: their validation NLL shows how well \
             they learnt it, not how they do on new text.",
            names.join(", ")
        ));
    }
    warnings.extend(damaged);
    warnings.extend(held_out_warning(inputs)?);
    Ok(warnings)
}

/// Whether the run in `dir` learns from its validation corpus; no for runs of versions that did not record it.
fn is_validated_on_its_text(dir: &Path) -> Result<bool, TrainError> {
    let sources = Sources::recorded(dir)?;
    let same = sources.and_then(|sources| sources.seen(sources.validation.as_deref()?));
    Ok(same.is_some())
}

/// On the teacher's own training text the bounds on its divergence do not hold.
fn held_out_warning(inputs: &ReportInputs) -> Result<Option<String>, ReportError> {
    let (Some(labels), Some(teacher)) = (&inputs.shown.held_out, &inputs.teacher_run) else {
        return Ok(None);
    };
    let corpus = identity_in_plan(&LabelSet::open(labels)?.segments[0]);
    let sources = Sources::recorded(teacher)?;
    let seen = sources.and_then(|sources| sources.seen(&corpus));
    Ok(seen.map(|_| {
        format!(
            "The labels given as held out ({}) are of text that the teacher was trained on: the bounds on its \
             divergence from the data do not hold there.",
            labels.display()
        )
    }))
}
