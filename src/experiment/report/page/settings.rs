//! The settings of the runs.

use super::contents::Contents;
use crate::page::{NONE, Section, arm_name, escape, facts, table};

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let settings = &contents.settings;
    let mut body = String::new();
    if !settings.by_arm.is_empty() {
        let arms = contents.comparison.arms.iter();
        let mut heads = vec!["Key".to_owned()];
        heads.extend(arms.map(|arm| arm_name(arm.name(), arm.slot)));
        let cell = |value: &Option<String>| match value {
            Some(value) => format!("<code>{}</code>", escape(value)),
            None => NONE.to_owned(),
        };
        let row = |(key, values): &(String, Vec<Option<String>>)| {
            let key = format!("<code>{}</code>", escape(key));
            std::iter::once(key)
                .chain(values.iter().map(cell))
                .collect()
        };
        let rows: Vec<Vec<String>> = settings.by_arm.iter().map(row).collect();
        let caption = "What differs between arms, by key of run.toml, with defaults filled in. Settings of labels come from their plan.";
        body += &table(caption, &heads, &rows, rows[0].len());
    }
    if !settings.common.is_empty() {
        let common = facts(&settings.common);
        body += &format!("<h3>The same for all arms</h3>\n<div class=\"many\">{common}</div>\n");
    }
    let history = contents.history.facts();
    if !history.is_empty() {
        body += &format!("<h3>Machine, versions and dates</h3>\n{}", facts(&history));
    }
    Section::of("settings", "Settings", body)
}
