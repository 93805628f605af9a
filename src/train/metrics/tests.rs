use super::*;
use crate::error::Classified;
use crate::train::schedule::Stage;
use std::path::{Path, PathBuf};

fn train_line(step: u64) -> MetricsLine {
    MetricsLine::Train(TrainLine {
        step,
        tokens: step * 100,
        seconds: step as f64 * 0.5,
        stage: Stage::One,
        loss: 2.5,
        ce: 3.0,
        kd: Some(2.0),
        omega: 0.5,
        learnt_fraction: None,
        kd_fraction: Some(0.75),
        lr: 1e-3,
        grad_norm: 1.25,
        tokens_per_s: 200.0,
        mfu: None,
        teacher_nll: Some(2.75),
        student_nll: Some(3.0),
        variance: Some(Box::new(LossVariance {
            ce: 4.5,
            soft: Some(1.5),
            ce_by_bucket: Some([Some(0.5), None, Some(2.5)]),
            soft_by_bucket: Some([Some(0.25), None, Some(1.25)]),
        })),
    })
}

#[test]
fn a_line_of_before_there_were_variances_reads_as_one_without() {
    let (_dir, path) = run_of(&[train_line(1)]);
    let mut line: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(line["variance"]["ce_by_bucket"][1], serde_json::Value::Null);
    line.as_object_mut().unwrap().remove("variance");
    std::fs::write(&path, format!("{line}\n")).unwrap();
    let lines = read_metrics(&path).unwrap();
    let MetricsLine::Train(line) = &lines[0] else {
        unreachable!()
    };
    assert_eq!(line.variance, None);
    let json = serde_json::to_value(&lines[0]).unwrap();
    assert!(json.get("variance").is_none(), "{json}");
}

fn valid_line(step: u64) -> MetricsLine {
    MetricsLine::Valid(ValidLine {
        step,
        tokens: step * 100,
        seconds: step as f64 * 0.5,
        val_nll: 3.5,
        val_n_targets: 64,
    })
}

fn stage_line(step: u64) -> MetricsLine {
    MetricsLine::Stage(StageLine {
        step,
        tokens: (step - 1) * 100,
        seconds: 1.0,
        stage: Stage::Two,
    })
}

/// A run's directory with these lines.
fn run_of(lines: &[MetricsLine]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(METRICS_NAME);
    let mut writer = MetricsWriter::create(&path).unwrap();
    lines.iter().for_each(|line| writer.write(line).unwrap());
    (dir, path)
}

fn append(path: &Path, text: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend_from_slice(text.as_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn lines_read_back_as_they_were_written() {
    let lines = [train_line(1), valid_line(1), stage_line(2), train_line(2)];
    let (_dir, path) = run_of(&lines);
    assert_eq!(read_metrics(&path).unwrap(), lines);
}

#[test]
fn the_text_of_the_lines_is_golden() {
    let (_dir, path) = run_of(&[train_line(2), valid_line(2), stage_line(3)]);
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        text,
        "{\"kind\":\"train\",\"step\":2,\"tokens\":200,\"seconds\":1.0,\"stage\":1,\"loss\":2.5,\"ce\":3.0,\
         \"kd\":2.0,\"omega\":0.5,\"kd_fraction\":0.75,\"lr\":0.001,\"grad_norm\":1.25,\"tokens_per_s\":200.0,\"mfu\":null,\
         \"teacher_nll\":2.75,\"student_nll\":3.0,\"variance\":{\"ce\":4.5,\"soft\":1.5,\
         \"ce_by_bucket\":[0.5,null,2.5],\"soft_by_bucket\":[0.25,null,1.25]}}\n\
         {\"kind\":\"valid\",\"step\":2,\"tokens\":200,\"seconds\":1.0,\"val_nll\":3.5,\"val_n_targets\":64}\n\
         {\"kind\":\"stage\",\"step\":3,\"tokens\":200,\"seconds\":1.0,\"stage\":2}\n"
    );
}

#[test]
fn nonfinite_values_are_null_in_json_and_read_as_nan() {
    let MetricsLine::Train(line) = train_line(1) else {
        unreachable!()
    };
    let line = TrainLine {
        loss: f64::NAN,
        grad_norm: f64::INFINITY,
        ..line
    };
    let (_dir, path) = run_of(&[MetricsLine::Train(line)]);
    let lines = read_metrics(&path).unwrap();
    let MetricsLine::Train(line) = &lines[0] else {
        unreachable!()
    };
    assert!(line.loss.is_nan() && line.grad_norm.is_nan());
    assert_eq!(line.ce, 3.0);
}

#[test]
fn a_torn_last_line_is_left_out_by_readers() {
    let (_dir, path) = run_of(&[train_line(1), train_line(2)]);
    append(&path, "{\"kind\":\"train\",\"st");
    assert_eq!(read_metrics(&path).unwrap(), [train_line(1), train_line(2)]);
}

#[test]
fn a_damaged_line_within_is_refused_by_number() {
    let (_dir, path) = run_of(&[train_line(1)]);
    append(&path, "{\"kind\":\"train\",\"st\n{\"kind\":\"train\"");
    let before = std::fs::read(&path).unwrap();
    for error in [
        read_metrics(&path).unwrap_err(),
        MetricsWriter::resume(&path, 5).unwrap_err(),
    ] {
        let message = error.to_string();
        assert!(
            message.contains("metrics.jsonl, line 2: expected"),
            "{message}"
        );
        assert_eq!(error.kind(), crate::error::Kind::BadData);
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_resumed_run_has_each_step_once() {
    let before = [
        train_line(1),
        valid_line(2),
        train_line(2),
        stage_line(3),
        train_line(3),
    ];
    let (_dir, path) = run_of(&before);
    append(&path, "{\"kind\":\"tr");
    let mut writer = MetricsWriter::resume(&path, 2).unwrap();
    assert_eq!(
        read_metrics(&path).unwrap(),
        before[..3],
        "the stage begins again with step 3"
    );
    writer.write(&stage_line(3)).unwrap();
    writer.write(&train_line(3)).unwrap();
    writer.sync().unwrap();
    assert_eq!(read_metrics(&path).unwrap(), before);
}

#[test]
fn resuming_where_nothing_is_to_be_cut_keeps_the_bytes() {
    let (dir, path) = run_of(&[train_line(1), train_line(2)]);
    let before = std::fs::read(&path).unwrap();
    drop(MetricsWriter::resume(&path, 2).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::remove_file(&path).unwrap();
    MetricsWriter::resume(&path, 2)
        .unwrap()
        .write(&train_line(3))
        .unwrap();
    assert_eq!(read_metrics(&path).unwrap(), [train_line(3)]);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no temporary stays"
    );
}

#[test]
fn a_whole_last_line_that_lost_its_end_is_kept_and_ended() {
    let (_dir, path) = run_of(&[train_line(1), train_line(2)]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let mut writer = MetricsWriter::resume(&path, 2).unwrap();
    writer.write(&train_line(3)).unwrap();
    assert_eq!(
        read_metrics(&path).unwrap(),
        [train_line(1), train_line(2), train_line(3)]
    );
}

#[test]
fn a_fresh_run_does_not_write_into_the_metrics_of_another() {
    let (_dir, path) = run_of(&[train_line(1)]);
    let error = MetricsWriter::create(&path).unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(read_metrics(&path).unwrap(), [train_line(1)]);
}

/// A field of a protobuf message: its number, and its value as bytes (varints as 8).
type Field = (u64, Vec<u8>);

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<Field> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let n_bytes = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            wire => panic!("wire type {wire}"),
        };
        found.push((key >> 3, bytes[..n_bytes].to_vec()));
        bytes = &bytes[n_bytes..];
    }
    found
}

fn field(fields: &[Field], number: u64) -> Option<&[u8]> {
    let found = fields.iter().find(|(n, _)| *n == number);
    found.map(|(_, value)| value.as_slice())
}

/// CRC-32C bit by bit, masked as in TFRecords.
fn slow_masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of a file, read by hand.
fn events_in(path: &Path) -> Vec<Vec<Field>> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let n_bytes = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let crc_at = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        assert_eq!(crc_at(8), slow_masked_crc(&rest[..8]));
        assert_eq!(
            crc_at(12 + n_bytes),
            slow_masked_crc(&rest[12..12 + n_bytes])
        );
        events.push(fields(&rest[12..12 + n_bytes]));
        rest = &rest[16 + n_bytes..];
    }
    events
}

fn event_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().contains("tfevents"));
    paths.sort();
    paths
}

fn step_of(event: &[Field]) -> u64 {
    field(event, 2).map_or(0, |step| u64::from_le_bytes(step.try_into().unwrap()))
}

/// Tags and values of a summary event.
fn scalars_of(event: &[Field]) -> Vec<(String, f32)> {
    let values = fields(field(event, 5).unwrap());
    let scalar = |(_, value): &Field| {
        let value = fields(value);
        let tag = String::from_utf8(field(&value, 1).unwrap().to_vec()).unwrap();
        let number = field(&value, 2).unwrap();
        (tag, f32::from_le_bytes(number.try_into().unwrap()))
    };
    values.iter().map(scalar).collect()
}

#[test]
fn the_slow_crc_agrees_with_a_published_value() {
    // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 0x8a9136aa.
    let crc = 0x8a91_36aau32;
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(slow_masked_crc(&[0; 32]), masked);
}

#[test]
fn events_have_version_steps_and_scalars() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(dir.path(), true).unwrap();
    log.write(&train_line(1)).unwrap();
    log.write(&valid_line(300)).unwrap();
    log.sync().unwrap();
    let files = event_files(dir.path());
    let events = events_in(&files[0]);
    assert_eq!((files.len(), events.len()), (1, 3));
    assert_eq!(field(&events[0], 3), Some(b"brain.Event:2".as_slice()));
    let wall_time = f64::from_le_bytes(field(&events[0], 1).unwrap().try_into().unwrap());
    assert!(wall_time > 1.7e9, "seconds since 1970: {wall_time}");
    assert_eq!((step_of(&events[1]), step_of(&events[2])), (1, 300));
    let expected = [
        ("train/loss", 2.5),
        ("train/ce", 3.0),
        ("train/kd", 2.0),
        ("train/omega", 0.5),
        ("train/kd_fraction", 0.75),
        ("train/lr", 1e-3),
        ("train/grad_norm", 1.25),
        ("perf/tokens_per_s", 200.0),
        ("labels/teacher_nll", 2.75),
        ("labels/student_nll", 3.0),
        ("variance/ce", 4.5),
        ("variance/ce_easy", 0.5),
        ("variance/ce_hard", 2.5),
        ("variance/soft", 1.5),
        ("variance/soft_easy", 0.25),
        ("variance/soft_hard", 1.25),
    ];
    let expected = expected.map(|(tag, value): (&str, f32)| (tag.to_owned(), value));
    assert_eq!(
        scalars_of(&events[1]),
        expected,
        "mfu is null and so left out"
    );
    assert_eq!(scalars_of(&events[2]), [("valid/nll".to_owned(), 3.5)]);
}

#[test]
fn a_resumed_run_tells_tensorboard_what_to_forget() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(dir.path(), true).unwrap();
    (1..=5).for_each(|step| log.write(&train_line(step)).unwrap());
    let mut log = RunLog::resume(dir.path(), 3, true).unwrap();
    log.write(&train_line(4)).unwrap();
    let files = event_files(dir.path());
    assert_eq!(files.len(), 2);
    let events = events_in(&files[1]);
    assert_eq!(
        fields(field(&events[1], 7).unwrap()),
        [(1, 1u64.to_le_bytes().to_vec())]
    );
    assert_eq!(
        step_of(&events[1]),
        4,
        "points from this step on are forgotten"
    );
    assert_eq!(step_of(&events[2]), 4);
    let lines = read_metrics(&dir.path().join(METRICS_NAME)).unwrap();
    assert_eq!(lines, [1, 2, 3, 4].map(train_line));
}

#[test]
fn a_run_without_tensorboard_writes_no_events() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(dir.path(), false).unwrap();
    log.write(&train_line(1)).unwrap();
    assert!(event_files(dir.path()).is_empty());
}

/// The plugin data of a summary event, and its tag.
fn plugin_data(event: &[Field]) -> (String, Vec<Field>) {
    let value = fields(field(&fields(field(event, 5).unwrap()), 1).unwrap());
    let tag = String::from_utf8(field(&value, 1).unwrap().to_vec()).unwrap();
    let plugin = fields(field(&fields(field(&value, 9).unwrap()), 1).unwrap());
    assert_eq!(field(&plugin, 1), Some(b"hparams".as_slice()));
    assert!(
        field(&value, 8).is_some(),
        "readers leave out a summary without a tensor"
    );
    (tag, fields(field(&plugin, 2).unwrap()))
}

#[test]
fn settings_are_in_the_metadata_that_the_hparams_plugin_reads() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(dir.path(), true).unwrap();
    let hparams = [
        ("kd.mode", Hparam::Text("salt".to_owned())),
        ("kd.omega", Hparam::Number(0.5)),
        ("train.recompute", Hparam::Flag(true)),
    ];
    let hparams = hparams.map(|(key, value)| (key.to_owned(), value)).into();
    log.write_start(&hparams).unwrap();
    log.write(&valid_line(1)).unwrap();
    log.write_end().unwrap();
    let events = events_in(&event_files(dir.path())[0]);
    let (tag, start) = plugin_data(&events[1]);
    assert_eq!(tag, "_hparams_/session_start_info");
    let start = fields(field(&start, 3).unwrap());
    let entries = start.iter().filter(|(number, _)| *number == 1);
    let entries: Vec<(String, Vec<Field>)> = entries
        .map(|(_, entry)| {
            let entry = fields(entry);
            let key = String::from_utf8(field(&entry, 1).unwrap().to_vec()).unwrap();
            (key, fields(field(&entry, 2).unwrap()))
        })
        .collect();
    let expected = [
        ("kd.mode", (3, b"salt".to_vec())),
        ("kd.omega", (2, 0.5f64.to_le_bytes().to_vec())),
        ("train.recompute", (4, 1u64.to_le_bytes().to_vec())),
    ];
    assert_eq!(
        entries,
        expected.map(|(key, value)| (key.to_owned(), vec![value]))
    );
    let began = f64::from_le_bytes(field(&start, 5).unwrap().try_into().unwrap());
    let (tag, end) = plugin_data(&events[3]);
    assert_eq!(tag, "_hparams_/session_end_info");
    let end = fields(field(&end, 4).unwrap());
    assert_eq!(
        field(&end, 1),
        Some(1u64.to_le_bytes().as_slice()),
        "success"
    );
    let ended = f64::from_le_bytes(field(&end, 2).unwrap().try_into().unwrap());
    assert!(began > 1.7e9 && ended >= began, "{began} {ended}");
}

#[test]
fn the_settings_of_a_run_are_flat_and_typed() {
    let text = "output = \"runs/llm\"\n[model]\nd_model = 64\nn_layers = 2\nn_heads = 2\nd_ff = 96\n\
                [data]\ntokens = \"tokens\"\n[train]\nsteps = 10\nbatch_size = 4\n\
                [kd]\nmode = \"salt\"\nn_kd = 4\n";
    let config: crate::train::config::RunConfig = toml::from_str(text).unwrap();
    let hparams = hparams_of(&config);
    for (key, value) in [
        ("model.d_model", Hparam::Number(64.0)),
        ("schedule.lr", Hparam::Number(1e-3)),
        ("kd.mode", Hparam::Text("salt".to_owned())),
        ("kd.omega", Hparam::Number(0.5)),
        ("model.tie_embeddings", Hparam::Flag(false)),
    ] {
        assert_eq!(hparams.get(key), Some(&value), "{key}");
    }
    assert!(!hparams.contains_key("output"));
}
