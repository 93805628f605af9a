//! What is known of the teacher.

use super::super::inputs::TeacherNll;
use super::super::numbers::{fixed, grouped};
use super::Contents;
use super::html::{Section, cells, escape, figure, table};

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let figures = [&contents.variance, &contents.bounds];
    let mut body: String = figures.into_iter().flatten().map(figure).collect();
    let nll = contents.teacher().map_or(&[][..], |teacher| &teacher.nll);
    if !nll.is_empty() {
        body += &nll_table(nll);
    }
    (!body.is_empty()).then_some(Section {
        id: "teacher",
        title: "The teacher",
        body,
    })
}

fn nll_table(nll: &[TeacherNll]) -> String {
    let row = |text: &TeacherNll| {
        vec![
            escape(&text.name),
            grouped(text.n_targets),
            escape(&fixed(text.nll, 3)),
        ]
    };
    let rows: Vec<Vec<String>> = nll.iter().map(row).collect();
    table(
        "The teacher\u{2019}s mean NLL, nats per token, by text. Well below on its own training text means that it has \
         learnt that text by heart, and its labels there say more than it knows.",
        &cells(["Text", "Positions", "NLL"]),
        &rows,
        1,
    )
}
