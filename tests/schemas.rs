//! Checks that the files in `schemas/` match the types from which they are generated.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use saltworks::shards::{Manifest, Plan, Sidecar, describe_columns};
use saltworks::tokens::CorpusJson;
use schemars::schema_for;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Compares `schemas/NAME` with `generated`, or rewrites it where SALTWORKS_BLESS=1.
fn assert_committed(name: &str, generated: Value) {
    let text = serde_json::to_string_pretty(&sorted(generated)).unwrap() + "\n";
    assert_committed_text(&format!("schemas/{name}"), &text);
}

fn assert_committed_text(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("SALTWORKS_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{name} is not what the types say; if the change is meant, run\n\
         SALTWORKS_BLESS=1 cargo test --test schemas\nand commit the difference"
    );
}

/// Keys in one order, whatever features serde_json was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[test]
fn the_plan_is_as_its_schema_says() {
    assert_committed("plan.schema.json", schema_for!(Plan).to_value());
}

#[test]
fn the_sidecar_is_as_its_schema_says() {
    assert_committed("sidecar.schema.json", schema_for!(Sidecar).to_value());
}

#[test]
fn the_manifest_is_as_its_schema_says() {
    assert_committed("manifest.schema.json", schema_for!(Manifest).to_value());
}

#[test]
fn the_token_corpus_is_as_its_schema_says() {
    assert_committed("corpus.schema.json", schema_for!(CorpusJson).to_value());
}

#[cfg(feature = "label")]
#[test]
fn the_label_configuration_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::label::LabelOptions);
    assert_committed("label-config.schema.json", schema.to_value());
}

#[cfg(feature = "train")]
#[test]
fn the_run_configuration_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::train::config::RunConfig);
    assert_committed("run-config.schema.json", schema.to_value());
}

#[cfg(feature = "train")]
#[test]
fn the_experiment_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::experiment::ExperimentConfig);
    assert_committed("experiment-config.schema.json", schema.to_value());
}

/// Fields of the options' structs that are paths, from their source: a schema does not tell them from texts.
#[test]
fn every_option_that_is_a_path_is_among_the_keys_of_paths() {
    let source = |name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let mut declared: Vec<String> = Vec::new();
    for name in [
        "src/label/options.rs",
        "src/train/config/run.rs",
        "src/experiment/config.rs",
    ] {
        let fields = source(name);
        let fields = fields
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub "));
        let fields = fields.filter_map(|line| line.split_once(": "));
        let paths = fields.filter(|(_, of)| of.contains("PathBuf") || of.contains("LabelDirs"));
        declared.extend(paths.map(|(name, _)| name.to_owned()));
    }
    declared.sort();
    declared.dedup();
    assert_eq!(declared, saltworks::config::PATH_KEYS);
}

#[cfg(all(feature = "label", feature = "train"))]
mod options {
    //! docs/options.md: every option, from its declaration.

    use super::{Map, Value, assert_committed_text, schema_for};
    use clap::{Arg, Args, Command};
    use saltworks::config::PATH_KEYS;
    use saltworks::experiment::ExperimentConfig;
    use saltworks::label::LabelOptions;
    use saltworks::train::config::RunConfig;

    const INTRODUCTION: &str = "\
# Options

Every option of the configuration files, generated from the declarations by `SALTWORKS_BLESS=1 cargo test --test schemas`. Flags override
`--set KEY=VALUE`, which overrides the file of `--config`. Relative paths in a file are relative to that file; those of flags and
`--set` are relative to the working directory. `saltworks init` and `saltworks-train init` write files to start from; `schemas/` has the
same as JSON schemas, for editors.
";
    const FLAGS: &str =
        "| flag | key | type | default | unit | |\n| --- | --- | --- | --- | --- | --- |\n";
    const KEYS: &str = "| key | type | default | unit | |\n| --- | --- | --- | --- | --- |\n";

    #[test]
    fn the_page_of_options_is_as_they_are_declared() {
        let mut page = INTRODUCTION.to_owned();
        page += "\n## `saltworks label` and `plan` (label.toml)\n";
        page += &flags();
        page += "\n## `saltworks-train run` (run.toml)\n\nEach can also be set by `--set KEY=VALUE`, and `output` by `--output`.\n";
        page += &keys(&schema_for!(RunConfig).to_value());
        page += "\n## `saltworks-train compare` (experiment.toml)\n\n`[run]` has the keys of run.toml.\n";
        page += &keys(&schema_for!(ExperimentConfig).to_value());
        assert_committed_text("docs/options.md", &page);
    }

    fn flags() -> String {
        let command = LabelOptions::augment_args(Command::new("label"));
        let root = schema_for!(LabelOptions).to_value();
        let heading = |argument: &Arg| argument.get_help_heading().unwrap_or_default().to_owned();
        let mut headings: Vec<String> = Vec::new();
        for argument in command.get_arguments() {
            if !headings.contains(&heading(argument)) {
                headings.push(heading(argument));
            }
        }
        let mut text = String::new();
        for title in headings {
            text += &format!("\n### {title}\n\n{FLAGS}");
            let arguments = command.get_arguments();
            for argument in arguments.filter(|argument| heading(argument) == title) {
                let key = argument.get_id().as_str();
                let short = argument.get_short().map(|short| format!("`-{short}`, "));
                let (short, long) = (short.unwrap_or_default(), argument.get_long().unwrap());
                let property = &root["properties"][key];
                text += &format!(
                    "| {short}`--{long}` {}",
                    row(&root, &root, key, key, property)
                );
            }
        }
        text
    }

    /// A table for each table of the file.
    fn keys(root: &Value) -> String {
        let mut text = String::new();
        tables(root, root, "", &mut text);
        text
    }

    fn tables(root: &Value, schema: &Value, prefix: &str, text: &mut String) {
        let mut inner = Vec::new();
        let mut rows = String::new();
        for (name, property) in object(&schema["properties"]) {
            let key = format!("{prefix}{name}");
            let of = definition(root, property);
            let (of, key) = match (&property["items"], &property["additionalProperties"]) {
                (items, _) if items.is_object() => (definition(root, items), format!("{key}[]")),
                (_, values) if values.is_object() => {
                    (definition(root, values), format!("{key}.NAME"))
                }
                _ => (of, key),
            };
            if object(&of["properties"]).next().is_some() {
                inner.push((key, of));
            } else {
                rows += &row(root, schema, name, &key, property);
            }
        }
        if !rows.is_empty() {
            let title = prefix.trim_end_matches('.');
            let title = if title.is_empty() {
                "At the top".to_owned()
            } else {
                format!("`{title}`")
            };
            text.push_str(&format!("\n### {title}\n"));
            let doc = schema["description"]
                .as_str()
                .filter(|_| !prefix.is_empty());
            text.push_str(
                &doc.map(|doc| format!("\n{}\n", line(doc)))
                    .unwrap_or_default(),
            );
            text.push_str(&format!("\n{KEYS}{rows}"));
        }
        for (key, schema) in inner {
            tables(root, schema, &format!("{key}."), text);
        }
    }

    fn row(root: &Value, schema: &Value, name: &str, key: &str, property: &Value) -> String {
        let required = schema["required"].as_array();
        let is_required = required.is_some_and(|keys| keys.iter().any(|it| it == name));
        let doc = line(property["description"].as_str().unwrap_or_default());
        let (said, doc) = without_default(&doc);
        let default = match &property["default"] {
            _ if is_required => "required".to_owned(),
            Value::Null => said,
            default => format!("`{default}`"),
        };
        let key = key.trim_end_matches("[]").trim_end_matches(".NAME");
        format!(
            "| `{key}` | {} | {default} | {} | {} |\n",
            type_of(root, name, property),
            property["unit"].as_str().unwrap_or_default(),
            doc,
        )
    }

    /// What a description says of the default, and the rest of it.
    fn without_default(doc: &str) -> (String, String) {
        let Some((before, said)) = doc.split_once("Default: ") else {
            return (String::new(), doc.to_owned());
        };
        let (said, after) = said
            .split_once(". ")
            .unwrap_or((said.trim_end_matches('.'), ""));
        let rest = format!("{before}{after}");
        (said.to_owned(), rest.trim_end().to_owned())
    }

    fn type_of(root: &Value, name: &str, property: &Value) -> String {
        let of = definition(root, property);
        if let Some(words) = of["oneOf"].as_array() {
            let words = words.iter().flat_map(|word| match word["enum"].as_array() {
                Some(several) => several.iter().collect(),
                None => vec![&word["const"]],
            });
            let words = words.filter_map(|word| Some(format!("`{}`", word.as_str()?)));
            return words.collect::<Vec<_>>().join(", ");
        }
        if let Some(choices) = of["anyOf"].as_array() {
            let choices = choices.iter().filter(|choice| choice["type"] != "null");
            let choices = choices.map(|choice| type_of(root, name, choice));
            return choices.collect::<Vec<_>>().join(" or ");
        }
        let kind = match &of["type"] {
            Value::Array(kinds) => &kinds[0],
            kind => kind,
        };
        match kind.as_str().unwrap_or("text") {
            "array" => format!("list: {}", type_of(root, name, &of["items"])),
            "object" => "table".to_owned(),
            "string" if PATH_KEYS.contains(&name) => "path".to_owned(),
            "string" => "text".to_owned(),
            other => format!("{other}{}", range_of(of, other)),
        }
    }

    /// Bounds that its declaration gives; that counts are not negative goes without saying.
    fn range_of(of: &Value, kind: &str) -> String {
        let bounds = [
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        ];
        let bound = |(name, sign): (&str, &str)| {
            let said = of[name].as_f64()?;
            let is_said = kind == "number" || said != 0.0;
            is_said.then(|| format!(" {sign} {said}"))
        };
        let bounds: Vec<String> = bounds.into_iter().filter_map(bound).collect();
        bounds.join(",")
    }

    fn definition<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
        let choices = schema["anyOf"].as_array();
        let choices = choices.map(|all| all.iter().filter(|it| it["type"] != "null").collect());
        let choices: Vec<&Value> = choices.unwrap_or_default();
        let schema = match choices.as_slice() {
            [one] => one,
            _ => schema,
        };
        let place = schema["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix('#'));
        place
            .and_then(|place| root.pointer(place))
            .unwrap_or(schema)
    }

    fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
        value.as_object().into_iter().flat_map(Map::iter)
    }

    fn line(text: &str) -> String {
        text.replace('\n', " ").replace('|', "\\|")
    }
}

#[test]
fn the_columns_are_as_their_table_says() {
    let columns = json!({
        "format_version": saltworks::shards::FORMAT_VERSION,
        "columns": describe_columns(),
    });
    assert_committed("shard-columns.json", columns);
}

#[test]
fn the_policy_of_a_selection_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::select::Policy);
    assert_committed("selection-policy.schema.json", schema.to_value());
}

#[test]
fn the_policy_of_a_selection_of_documents_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::select::DocumentPolicy);
    assert_committed("document-policy.schema.json", schema.to_value());
}

#[test]
fn the_index_of_documents_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::shards::DocumentsIndex);
    assert_committed("documents.schema.json", schema.to_value());
}

#[test]
fn the_columns_of_a_selection_are_as_their_table_says() {
    let columns = json!({
        "format_version": saltworks::shards::SELECTION_VERSION,
        "columns": saltworks::shards::describe_selection(),
    });
    assert_committed("selection-columns.json", columns);
}
