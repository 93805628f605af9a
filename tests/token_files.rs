//! Token files from users: misleading ones are refused or reported, and the plan records how the files were
//! read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crate::support::models::DecoderSpec;
use arrow_array::types::Int64Type;
use arrow_array::{ListArray, RecordBatch};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use support::{EOD, Inputs, fail_with, saltworks, snapshot, succeed, text};

const USAGE: i32 = 2;
const BAD_DATA: i32 = 3;

/// `saltworks label` of `tokens` into `output`, without a word on the tokens.
fn label(inputs: &Inputs, tokens: &str, output: &str) -> Command {
    let mut command = saltworks();
    command.args([
        "label",
        "--device",
        "cpu",
        "--seq-len",
        "16",
        "--top-k",
        "4",
    ]);
    command.arg("--teacher").arg(inputs.path("teacher.onnx"));
    command.arg("--tokens").arg(inputs.path(tokens));
    command.arg("--output").arg(inputs.path(output));
    command
}

fn verify(inputs: &Inputs, tokens: &str, output: &str) -> Command {
    let mut command = saltworks();
    command.arg("verify").arg(inputs.path(output));
    command.arg("--teacher").arg(inputs.path("teacher.onnx"));
    command.arg("--tokens").arg(inputs.path(tokens));
    command.args(["--device", "cpu", "--sample", "8"]);
    command
}

fn plan(inputs: &Inputs, output: &str) -> Value {
    let text = std::fs::read_to_string(inputs.path(output).join("plan.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn assert_says(printed: &str, words: &[&str]) {
    for word in words {
        assert!(printed.contains(word), "no `{word}` in: {printed}");
    }
}

/// The test tokens, which are u16, as words of another width.
fn widened(inputs: &Inputs, width: usize) -> Vec<u8> {
    let narrow = std::fs::read(inputs.path("tokens.bin")).unwrap();
    let word = |id: &[u8]| [id, &vec![0; width - 2]].concat();
    narrow.chunks(2).flat_map(word).collect()
}

#[test]
fn wide_ids_are_refused_until_their_type_is_said_and_then_it_is_recorded() {
    let inputs = Inputs::new(1_000);
    succeed(label(&inputs, "tokens.bin", "narrow").args(["--eod", &EOD.to_string()]));
    let corpus = &plan(&inputs, "narrow")["corpus"];
    for absent in ["dtype", "eod_position", "padding"] {
        assert!(corpus.get(absent).is_none(), "{corpus}");
    }
    for (width, dtype) in [(4, "u32"), (8, "i64")] {
        let (name, output) = (format!("{dtype}.bin"), format!("labels-{dtype}"));
        std::fs::write(inputs.path(&name), widened(&inputs, width)).unwrap();
        let printed = fail_with(&mut label(&inputs, &name, &output), USAGE);
        assert_says(
            &printed,
            &[&name, "every second id", &format!("--dtype {dtype}")],
        );
        assert!(!inputs.path(&output).exists());
        let mut said = label(&inputs, &name, &output);
        succeed(said.args(["--dtype", dtype, "--eod", &EOD.to_string()]));
        assert_eq!(plan(&inputs, &output)["corpus"]["dtype"], dtype);
        for part in ["positions", "scores"] {
            let (got, want) = (
                inputs.path(&output).join(part),
                inputs.path("narrow").join(part),
            );
            let ids = |dir: &Path| snapshot(dir).into_keys().collect::<Vec<_>>();
            assert_eq!(ids(&got), ids(&want));
        }
        succeed(&mut verify(&inputs, &name, &output));
    }
}

#[test]
fn documents_that_begin_with_the_separator_are_labelled_as_such_and_it_is_said() {
    let inputs = Inputs::new(500);
    let mut bytes = vec![0_u8; 1024];
    let ids: Vec<u16> = [[EOD, 1, 2, 3, 4, 5, 6], [EOD, 11, 12, 13, 14, 15, 16]].concat();
    let header = [20_240_520_u32, 1, ids.len() as u32];
    bytes[..12].copy_from_slice(&header.map(u32::to_le_bytes).concat());
    bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    std::fs::write(inputs.path("llmc.bin"), bytes).unwrap();
    let label = |output: &str| {
        let mut label = label(&inputs, "llmc.bin", output);
        label.args(["--packing", "document", "--eod", &EOD.to_string()]);
        label
    };
    let printed = text(&succeed(&mut label("front")));
    assert_says(&printed, &["note: ", "begin with it", "--eod-position"]);
    let of_plan = plan(&inputs, "front");
    assert_eq!(of_plan["corpus"]["eod_position"], "front");
    assert_eq!(of_plan["corpus"]["n_documents"], 2);
    succeed(&mut verify(&inputs, "llmc.bin", "front"));
    let mut inspect = saltworks();
    inspect
        .arg("inspect")
        .arg(inputs.path("front"))
        .args(["--seq-id", "1", "--json"]);
    let row: Value = serde_json::from_slice(&succeed(&mut inspect).stdout).unwrap();
    assert!(
        row.to_string().contains(&format!("<{EOD}><11><12>")),
        "{row}"
    );
    // As an earlier version cut it, which its plans do not say.
    succeed(label("back").args(["--eod-position", "back"]));
    let of_plan = plan(&inputs, "back");
    assert!(of_plan["corpus"].get("eod_position").is_none());
    assert_eq!(of_plan["corpus"]["n_documents"], 3);
    succeed(&mut verify(&inputs, "llmc.bin", "back"));
}

#[test]
fn other_kinds_of_files_and_a_side_without_an_id_are_refused_by_name() {
    let inputs = Inputs::new(500);
    std::fs::write(
        inputs.path("x.bin"),
        [&[0x1f, 0x8b, 8, 0][..], &[7; 60]].concat(),
    )
    .unwrap();
    let printed = fail_with(&mut label(&inputs, "x.bin", "labels"), USAGE);
    assert_says(&printed, &["x.bin", "gzip", "decompress"]);
    let mut whole = label(&inputs, "tokens.bin", "whole");
    let printed = text(&succeed(whole.args(["--packing", "document"])));
    assert_says(&printed, &["note: ", "tokens.bin", "one document", "--eod"]);
    let mut alone = label(&inputs, "tokens.bin", "labels");
    let printed = fail_with(alone.args(["--eod-position", "front"]), USAGE);
    assert_says(&printed, &["--eod-position", "--eod"]);
    assert!(!inputs.path("labels").exists());
}

fn write_parquet(path: &Path, columns: &[(&str, &[&[i64]])]) {
    let columns = columns.iter().map(|(name, rows)| {
        let rows = rows.iter().map(|row| Some(row.iter().map(|&id| Some(id))));
        let list: arrow_array::ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
        (*name, list)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_folder_of_parquet_is_one_corpus_whose_padding_the_plan_records() {
    let inputs = Inputs::new(500);
    std::fs::create_dir(inputs.path("rows")).unwrap();
    for (name, first) in [("b.parquet", 20), ("a.parquet", 10)] {
        let ids: [&[i64]; 2] = [&[first, first + 1, first + 2, 0], &[first, 5, 0, 0]];
        let mask: [&[i64]; 2] = [&[1, 1, 1, 0], &[1, 1, 0, 0]];
        let columns = [("input_ids", &ids[..]), ("attention_mask", &mask[..])];
        write_parquet(&inputs.path("rows").join(name), &columns);
    }
    let mut whole = label(&inputs, "rows", "labels");
    let printed = text(&succeed(whole.args(["--packing", "document"])));
    assert_says(&printed, &["2 Parquet files", "6 of 16 ids are padding"]);
    let corpus = &plan(&inputs, "labels")["corpus"];
    assert_eq!(
        (&corpus["n_tokens"], &corpus["n_documents"]),
        (&10.into(), &4.into())
    );
    assert_eq!(corpus["padding"]["column"], "attention_mask");
    assert_eq!(corpus["padding"]["n_tokens"], 6);
    assert_eq!(corpus["files"][0]["name"], "a.parquet");
    assert_eq!(corpus["files"][1]["name"], "b.parquet");
    succeed(&mut verify(&inputs, "rows", "labels"));
    std::fs::write(inputs.path("rows/notes.txt"), "a note").unwrap();
    let printed = fail_with(&mut label(&inputs, "rows", "other"), USAGE);
    assert_says(&printed, &["notes.txt"]);
}

const SEA: &str = "the sea gives salt and the salt gives taste to all that lives ";
const FIELD: &str = "a field of corn waits under rain until the farmers come again ";

/// A tokenizer of 270 ids, trained on that text.
fn train_tokenizer(inputs: &Inputs, words: &str, name: &str) {
    std::fs::write(inputs.path("text.txt"), words.repeat(40)).unwrap();
    let mut train = saltworks();
    train.args(["tokenizer", "train", "--vocab-size", "270", "--input"]);
    train.arg(inputs.path("text.txt"));
    succeed(train.arg("--output").arg(inputs.path(name)));
}

/// A teacher of 270 ids, two tokenizers of as many, and a corpus made with the first.
fn with_tokenizers() -> Inputs {
    let inputs = with_vocabulary(270);
    train_tokenizer(&inputs, FIELD, "field.json");
    train_tokenizer(&inputs, SEA, "sea.json");
    let mut tokenize = saltworks();
    tokenize
        .arg("tokenize")
        .arg("--input")
        .arg(inputs.path("text.txt"));
    tokenize.arg("--tokenizer").arg(inputs.path("sea.json"));
    succeed(tokenize.arg("--output").arg(inputs.path("corpus")));
    inputs
}

fn with_vocabulary(vocab_size: u64) -> Inputs {
    let spec = DecoderSpec {
        vocab_size,
        width: 32,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: 64,
        ..DecoderSpec::default()
    };
    Inputs::with_teacher(500, &spec)
}

#[test]
fn damaged_tokens_are_refused_by_label_and_by_verify() {
    let inputs = with_tokenizers();
    succeed(&mut label(&inputs, "corpus", "labels"));
    succeed(&mut verify(&inputs, "corpus", "labels"));
    let bin = inputs.path("corpus/tokens.bin");
    let sound = std::fs::read(&bin).unwrap();
    for at in [0, sound.len() / 2, sound.len() - 2] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        std::fs::write(&bin, damaged).unwrap();
        let printed = fail_with(&mut label(&inputs, "corpus", "again"), BAD_DATA);
        assert_says(&printed, &["tokens.bin", "corpus.json", "tokenize again"]);
        assert!(!inputs.path("again").exists());
        let printed = fail_with(&mut verify(&inputs, "corpus", "labels"), BAD_DATA);
        assert_says(
            &printed,
            &["tokens.bin", "changed", "into another directory"],
        );
    }
    std::fs::write(&bin, &sound).unwrap();
    // Labels of the damage, as an earlier version made them: the hash of the plan is that of the damage.
    let json = inputs.path("corpus/corpus.json");
    let mut fields: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    fields["bin"]["blake3"] = "0".repeat(64).into();
    for field in ["saltworks_blake3", "blocks"] {
        fields.as_object_mut().unwrap().remove(field);
    }
    std::fs::write(&json, fields.to_string()).unwrap();
    let printed = fail_with(&mut verify(&inputs, "corpus", "labels"), BAD_DATA);
    assert_says(&printed, &["tokens.bin", "corpus.json"]);
}

#[test]
fn raw_tokens_that_changed_since_they_were_labelled_are_called_so() {
    let inputs = Inputs::new(1_000);
    succeed(&mut label(&inputs, "tokens.bin", "labels"));
    let mut bytes = std::fs::read(inputs.path("tokens.bin")).unwrap();
    bytes[400] ^= 1;
    std::fs::write(inputs.path("tokens.bin"), bytes).unwrap();
    let printed = fail_with(&mut verify(&inputs, "tokens.bin", "labels"), BAD_DATA);
    assert_says(
        &printed,
        &["tokens.bin", "changed", "into another directory"],
    );
}

#[test]
fn tokens_of_another_tokenizer_than_the_teachers_are_refused_unless_that_is_meant() {
    let inputs = with_tokenizers();
    let own = inputs.path("tokenizer.json");
    std::fs::copy(inputs.path("field.json"), &own).unwrap();
    let printed = fail_with(&mut label(&inputs, "corpus", "labels"), USAGE);
    let words = [
        "tokenizer.json",
        "corpus",
        "blake3:",
        "--ignore-teacher-tokenizer",
    ];
    assert_says(&printed, &words);
    assert!(!inputs.path("labels").exists());
    let mut meant = label(&inputs, "corpus", "meant");
    let printed = text(&succeed(meant.arg("--ignore-teacher-tokenizer")));
    assert_says(&printed, &["note: ", "ignored as requested"]);
    let recorded = plan(&inputs, "meant")["teacher"]["ignored_tokenizer"].clone();
    assert!(
        recorded.as_str().unwrap().starts_with("blake3:"),
        "{recorded}"
    );
    succeed(&mut verify(&inputs, "corpus", "meant"));
    // The same tokenizer, spelled otherwise.
    let json: Value =
        serde_json::from_slice(&std::fs::read(inputs.path("sea.json")).unwrap()).unwrap();
    std::fs::write(&own, serde_json::to_vec(&json).unwrap()).unwrap();
    succeed(&mut label(&inputs, "corpus", "labels"));
    assert!(
        plan(&inputs, "labels")["teacher"]
            .get("ignored_tokenizer")
            .is_none()
    );
}

#[test]
fn tokens_that_record_nothing_are_held_to_the_ids_of_the_teachers_tokenizer() {
    let inputs = with_vocabulary(300);
    train_tokenizer(&inputs, SEA, "tokenizer.json");
    // The test tokens reach up to 299, the tokenizer has 270.
    let printed = fail_with(&mut label(&inputs, "tokens.bin", "labels"), USAGE);
    assert_says(
        &printed,
        &["tokenizer.json", "270 ids", "--ignore-teacher-tokenizer"],
    );
    let low: Vec<u8> = (0..400_u16)
        .flat_map(|i| (i * 7 % 270).to_le_bytes())
        .collect();
    std::fs::write(inputs.path("low.bin"), low).unwrap();
    let printed = text(&succeed(&mut label(&inputs, "low.bin", "labels")));
    assert_says(&printed, &["note: ", "nothing records", "its 270"]);
    let mut meant = label(&inputs, "tokens.bin", "meant");
    succeed(meant.arg("--ignore-teacher-tokenizer"));
}

#[test]
fn a_tokenizer_with_ids_past_the_head_labels_where_no_text_has_them() {
    let inputs = with_vocabulary(269);
    train_tokenizer(&inputs, SEA, "sea.json");
    let tokens = |most: u16| {
        (0..400_u16)
            .flat_map(|i| (i * 7 % most).to_le_bytes())
            .collect::<Vec<u8>>()
    };
    std::fs::write(inputs.path("below.bin"), tokens(269)).unwrap();
    std::fs::write(inputs.path("past.bin"), tokens(270)).unwrap();
    let label = |tokens: &str, output: &str| {
        let mut label = label(&inputs, tokens, output);
        label.arg("--tokenizer").arg(inputs.path("sea.json"));
        label
    };
    let printed = text(&succeed(&mut label("below.bin", "labels")));
    assert_says(&printed, &["note: ", "270 ids", "269 logits"]);
    assert_eq!(plan(&inputs, "labels")["teacher"]["vocab_size"], 269);
    let printed = fail_with(&mut label("past.bin", "past"), USAGE);
    assert_says(&printed, &["269", "270", "do not match the teacher"]);
}
