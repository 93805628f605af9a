//! The report of an experiment: complete, self-contained, and safe whatever the inputs contain.
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

#[path = "support/markup.rs"]
mod markup;
#[path = "support/process.rs"]
mod process;

use markup::{check_is_alone, check_markup, linked_file, text_of};
use process::{signal, wait_until_sigterm_is_handled};
use saltworks::experiment::report::{
    ArmSample, ReportError, ReportInputs, Samples, read_results, render, write,
};
use saltworks::experiment::{
    ArmResults, BranchResults, BucketScore, EvalSet, RESULTS_VERSION, ReportConfig, Results,
    RunResults, SetScore, TeacherCost,
};
use saltworks::invocations::Invocation;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ARMS: [(&str, f64); 8] = [
    ("baseline", 0.0),
    ("rkd", 0.03),
    ("salt", -0.06),
    ("salt-sampled", -0.07),
    ("salt-renormalize", -0.01),
    ("salt-auto", -0.08),
    ("salt-ds", -0.065),
    ("ds-ce", 0.02),
];
const SHARES: [f64; 6] = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
const N_STEPS: u64 = 2000;

/// NLL of a decayed model: the seed moves all arms alike, and by twice the share from one half on.
fn nll(effect: f64, seed: u64, share: f64) -> f64 {
    4.0 + 0.4 * (1.0 - share) + effect + 0.01 * seed as f64
}

fn score(nll: f64) -> SetScore {
    let bucket = |teacher_nll: f64, weight: f64| BucketScore {
        n_targets: 1000,
        nll: teacher_nll + weight * (nll - 3.5),
        teacher_nll,
    };
    SetScore {
        nll,
        accuracy: 0.3,
        ece: 0.0125,
        buckets: vec![bucket(1.0, 0.5), bucket(4.0, 1.0), bucket(7.0, 1.5)],
    }
}

fn run(name: &str, effect: f64, seed: u64, shares: &[f64]) -> RunResults {
    let branch = |share: f64| {
        let n_steps = (share * N_STEPS as f64) as u64;
        let nll = nll(effect, seed, share);
        BranchResults {
            share,
            n_steps,
            n_tokens: n_steps * 2048,
            seconds: n_steps as f64 * 0.33,
            flops: n_steps as f64 * 1e11,
            n_labelled_tokens: Some(n_steps * 1024),
            scores: vec![score(nll), score(nll + 0.8)],
        }
    };
    RunResults {
        seed,
        dir: PathBuf::from(format!("runs/{name}/seed-{seed}")),
        stage_2_step: name.starts_with("salt").then_some(801),
        branches: shares.iter().map(|&share| branch(share)).collect(),
        validations: Vec::new(),
    }
}

fn results(arms: &[(&str, f64)], seeds: &[u64], shares: &[f64]) -> Results {
    let arm = |&(name, effect): &(&str, f64)| ArmResults {
        name: name.to_owned(),
        settings: vec![format!("kd.mode={name}")],
        n_labelled_tokens: 1_638_400,
        label_bytes_per_token: Some(198.3),
        label_flops: 1.4e13,
        label_seconds: Some(212.0),
        teacher: None,
        runs: seeds
            .iter()
            .map(|&seed| run(name, effect, seed, shares))
            .collect(),
    };
    let set = |name: &str| EvalSet {
        name: name.to_owned(),
        n_targets: 65536,
        teacher_nll: Some(4.1),
        bucket_borders: vec![2.3, 5.4],
    };
    Results {
        format_version: RESULTS_VERSION,
        name: "a grid".to_owned(),
        created_by: "saltworks 0.1.0".to_owned(),
        n_steps: N_STEPS,
        tokens_per_step: 2048,
        n_params: 9_310_000,
        baseline: "baseline".to_owned(),
        seeds: seeds.to_vec(),
        sets: vec![set("books"), set("tech")],
        arms: arms.iter().map(arm).collect(),
        teacher: Some(TeacherCost {
            n_params: 4_200_000,
            n_tokens: 4_000_000,
            flops: 1e14,
            seconds: Some(600.0),
        }),
    }
}

fn grid() -> Results {
    results(&ARMS, &[0, 1, 2], &SHARES)
}

/// `metrics.jsonl` of every run: validations, a change of stage, and variances while there are labels.
fn write_metrics(root: &Path, results: &Results) {
    for arm in &results.arms {
        for run in &arm.runs {
            let dir = root.join(&run.dir);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("metrics.jsonl"), metrics(run)).unwrap();
        }
    }
}

fn metrics(run: &RunResults) -> String {
    let mut lines = String::new();
    for step in (100..=N_STEPS).step_by(100) {
        let (tokens, seconds) = (step * 2048, step as f64 * 0.33);
        let is_taught = run.stage_2_step.is_some_and(|first| step < first);
        let stage = if is_taught { 1 } else { 2 };
        let variance = match is_taught {
            true => {
                r#","variance":{"ce":6.5,"soft":2.5,"ce_by_bucket":[1.5,2.5,3.5],"soft_by_bucket":[0.5,null,1.5]}"#
            }
            false => "",
        };
        if run.stage_2_step == Some(step + 1) {
            lines += &format!(
                r#"{{"kind":"stage","step":{step},"tokens":{tokens},"seconds":{seconds},"stage":2}}"#
            );
            lines.push('\n');
        }
        lines += &format!(
            r#"{{"kind":"train","step":{step},"tokens":{tokens},"seconds":{seconds},"stage":{stage},"loss":5,"ce":5,"omega":0.5,"lr":0.001,"grad_norm":1,"tokens_per_s":6000{variance}}}"#
        );
        lines.push('\n');
        let val_nll = 4.0 + 4.0 * (-(step as f64) / 500.0).exp();
        lines += &format!(
            r#"{{"kind":"valid","step":{step},"tokens":{tokens},"seconds":{seconds},"val_nll":{val_nll},"val_n_targets":65536}}"#
        );
        lines.push('\n');
    }
    lines
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/shard-v1")
        .join(name)
}

/// `config.toml` of every run.
fn write_configs(root: &Path, results: &Results) {
    for arm in &results.arms {
        for run in &arm.runs {
            let config = format!(
                "output = \"runs/{0}\"\n[train]\nseed = {1}\nbatch_size = 8\n[schedule]\nlr = 0.002\n[kd]\nmode = \"{0}\"\nomega = 0.9\n",
                arm.name, run.seed
            );
            fs::write(root.join(&run.dir).join("config.toml"), config).unwrap();
        }
    }
}

fn call(time: &str, argv: &[&str]) -> Invocation {
    Invocation {
        time: time.to_owned(),
        program: "saltworks-train 0.2.0".to_owned(),
        machine: "a processor, 2 cores".to_owned(),
        directory: "/data".into(),
        argv: argv.iter().map(|word| word.to_string()).collect(),
        ..Invocation::default()
    }
}

fn samples() -> Samples {
    Samples {
        prompt: "The <sea>".to_owned(),
        temperature: 0.8,
        texts: vec![ArmSample {
            arm: "salt".to_owned(),
            text: "The <sea> is </p> salt".to_owned(),
            ..ArmSample::default()
        }],
        ..Samples::default()
    }
}

/// Everything that there is a section for.
fn whole(root: &Path) -> (Results, ReportInputs) {
    let results = grid();
    write_metrics(root, &results);
    write_configs(root, &results);
    samples().write(root).unwrap();
    call("2026-11-29T12:00:00Z", &["saltworks-train", "compare"])
        .record(root)
        .unwrap();
    let inputs = ReportInputs {
        root: root.to_owned(),
        shown: ReportConfig {
            labels: Some(fixture("labels")),
            ..ReportConfig::default()
        },
        provenance: vec![("Machine".to_owned(), "two cores".to_owned())],
        commands: vec!["saltworks-train compare --config experiment.toml".to_owned()],
        ..ReportInputs::default()
    };
    (results, inputs)
}

fn page_of(results: &Results, inputs: &ReportInputs) -> String {
    render(results, inputs).unwrap()
}

#[test]
fn the_page_is_well_formed_and_refers_to_nothing_outside_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let page = page_of(&results, &inputs);
    check_is_alone(&page, &check_markup(&page));
}

#[test]
fn ids_are_unique_and_every_link_finds_its_section() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let tags = check_markup(&page_of(&results, &inputs));
    let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
    let links = tags.iter().filter_map(|tag| tag.attribute("href"));
    let links: Vec<&str> = links.filter_map(|href| href.strip_prefix('#')).collect();
    assert!(links.len() >= 8, "{links:?}");
    assert!(links.iter().all(|link| unique.contains(link)), "{links:?}");
    let labels = tags.iter().filter_map(|tag| tag.attribute("for"));
    assert!(
        labels
            .collect::<Vec<_>>()
            .iter()
            .all(|id| unique.contains(id))
    );
}

#[test]
fn a_whole_report_has_every_section_and_every_figure_with_what_it_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let page = page_of(&results, &inputs);
    for id in [
        "result",
        "curves",
        "reaching",
        "buckets",
        "teacher",
        "scores",
        "text",
        "samples",
        "settings",
        "runs",
        "provenance",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    let n_figures = page.matches("<figure>").count();
    assert_eq!(n_figures, 10);
    let captions: Vec<&str> = page.split("<figcaption>").skip(1).collect();
    assert_eq!(captions.len(), n_figures);
    for caption in captions {
        let caption = caption.split("</figcaption>").next().unwrap();
        assert!(caption.contains("<b>Not shown:</b> "), "{caption}");
    }
    // Each is drawn for a wide window and for a phone.
    assert_eq!(page.matches("<svg ").count(), 2 * n_figures);
}

#[test]
fn figures_are_files_too_as_vectors_as_pixels_twice_as_fine_and_as_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let written = write(dir.path(), &results, &inputs).unwrap();
    let names: BTreeSet<String> = written
        .figures
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in [
        "buckets",
        "curves-steps",
        "curves-time",
        "curves-tokens",
        "difference",
        "final",
        "scores",
        "shares",
        "teacher",
        "variance",
    ] {
        let svg = fs::read_to_string(dir.path().join(format!("figures/{name}.svg"))).unwrap();
        let tags = check_markup(&svg);
        let width: f64 = tags[0].attribute("width").unwrap().parse().unwrap();
        let png = fs::read(dir.path().join(format!("figures/{name}.png"))).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let pixels = u32::from_be_bytes(png[16..20].try_into().unwrap());
        assert_eq!(f64::from(pixels), 2.0 * width, "{name}");
        assert!(names.contains(&format!("{name}.svg")) && names.contains(&format!("{name}.png")));
        let csv = fs::read_to_string(dir.path().join(format!("figures/{name}.csv"))).unwrap();
        let page = check_markup(&fs::read_to_string(&written.page).unwrap());
        assert_eq!(linked_file(&page, &format!("{name}.csv")), csv);
        let width = csv.lines().next().unwrap().split(',').count();
        assert!(csv.lines().count() > 1, "{name}");
        assert!(
            csv.lines().all(|line| line.split(',').count() == width),
            "{csv}"
        );
    }
    assert_eq!(names.len(), 30);
}

#[test]
fn the_headline_says_means_spreads_and_where_the_baseline_is_reached() {
    let page = page_of(&grid(), &ReportInputs::default());
    let text = text_of(&page);
    // Seeds end at 4.00, 4.01 and 4.02; salt is 0.06 below each of them.
    assert!(
        text.contains("The baseline ends at 4.010 ± 0.010"),
        "{text}"
    );
    assert!(
        text.contains("The best arm is salt-auto, 0.080 ± 0.000 nats below it."),
        "{text}"
    );
    // 0.4 (1 - share) = 0.08 at a share of 0.8, and the branches lie on that line.
    assert!(text.contains("Decayed after 80\u{202f}%"), "{text}");
    assert!(text.contains("Never as good: rkd, ds-ce."), "{text}");
    let row = page.split("</span>salt</th>").nth(1).unwrap();
    let row = text_of(row.split("</tr>").next().unwrap());
    assert!(row.contains("3.950 ±\u{202f}0.010"), "{row}");
    assert!(row.contains("\u{2212}0.060 ±\u{202f}0.000"), "{row}");
    assert!(row.contains("85\u{202f}%"), "{row}");
}

#[test]
fn an_arm_that_is_as_good_at_its_first_branch_gets_there_at_or_before_it() {
    let mut results = results(&[("baseline", 0.0), ("salt", -0.3)], &[0], &SHARES);
    let text = text_of(&page_of(&results, &ReportInputs::default()));
    assert!(text.contains("≤\u{202f}50\u{202f}%"), "{text}");
    results.arms[1].runs[0].branches.truncate(3);
    let text = text_of(&page_of(&results, &ReportInputs::default()));
    assert!(
        text.contains("no other arm has a finished run of the same seed"),
        "{text}"
    );
}

/// Seed 1 is 0.01 above seed 0 in every arm: a mean over one of them says nothing beside a mean over both.
#[test]
fn while_seeds_are_missing_an_arm_is_compared_with_the_baseline_of_its_own_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = results(&[("baseline", 0.0), ("salt", -0.06)], &[0, 1], &SHARES);
    let begun = &mut results.arms[1].runs[1];
    begun.branches = vec![begun.branches.pop().unwrap()];
    write_metrics(dir.path(), &results);
    let inputs = ReportInputs {
        root: dir.path().to_owned(),
        ..ReportInputs::default()
    };
    let page = page_of(&results, &inputs);
    assert!(page.contains("salt crosses at 85\u{202f}%"));
    assert!(!page.contains("salt crosses at 84"));
    for arm in &mut results.arms {
        arm.runs[1].branches.clear();
    }
    let text = text_of(&page_of(&results, &inputs));
    assert!(text.contains("only one seed"), "{text}");
}

#[test]
fn two_runs_of_one_seed_make_a_page_without_what_they_cannot_show() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = results(&[("baseline", 0.0), ("salt", -0.06)], &[0], &[1.0]);
    results.sets.truncate(1);
    results.sets[0].bucket_borders.clear();
    for run in results.arms.iter_mut().flat_map(|arm| &mut arm.runs) {
        run.branches[0].scores.truncate(1);
        run.branches[0].scores[0].buckets.clear();
        run.branches[0].scores[0].accuracy = f64::NAN;
    }
    write_metrics(dir.path(), &results);
    let inputs = ReportInputs {
        root: dir.path().to_owned(),
        ..ReportInputs::default()
    };
    let page = page_of(&results, &inputs);
    check_markup(&page);
    for id in ["result", "curves", "runs", "provenance"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    for id in ["reaching", "buckets", "scores", "text"] {
        assert!(!page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    let text = text_of(&page);
    assert!(text.contains("There is only one seed"), "{text}");
    assert!(!text.contains("NaN") && !text.contains('±'), "{text}");
}

#[test]
fn runs_without_metrics_leave_the_curves_out_and_say_so() {
    let page = page_of(&grid(), &ReportInputs::default());
    check_markup(&page);
    assert!(!page.contains("id=\"curves\"") && page.contains("id=\"reaching\""));
    assert_eq!(page.matches("<li>no curve for ").count(), 24);
    assert!(page.contains("no curve for salt, seed 2"));
}

#[test]
fn runs_under_way_are_reported_as_far_as_they_are() {
    let mut results = grid();
    for run in results.arms.iter_mut().flat_map(|arm| &mut arm.runs) {
        run.branches.truncate(2);
    }
    results.arms[7].runs.clear();
    let page = page_of(&results, &ReportInputs::default());
    check_markup(&page);
    let text = text_of(&page);
    assert!(
        text.contains("No run of the baseline is finished"),
        "{text}"
    );
    assert!(text.contains("under way"), "{text}");
}

#[test]
fn names_that_look_like_markup_are_shown_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = "</title><script>alert(1)</script>\"'&\u{1b}[2J";
    let mut results = results(&[("baseline", 0.0), (hostile, -0.06)], &[0, 1], &SHARES);
    results.name = hostile.to_owned();
    results.sets[0].name = hostile.to_owned();
    for run in &mut results.arms[1].runs {
        run.dir = PathBuf::from(format!("runs/x/seed-{}", run.seed));
    }
    write_metrics(dir.path(), &results);
    let inputs = ReportInputs {
        root: dir.path().to_owned(),
        provenance: vec![(hostile.to_owned(), hostile.to_owned())],
        commands: vec![hostile.to_owned()],
        ..ReportInputs::default()
    };
    let written = write(dir.path(), &results, &inputs).unwrap();
    let page = fs::read_to_string(&written.page).unwrap();
    let tags = check_markup(&page);
    assert_eq!(tags.iter().filter(|tag| tag.name == "script").count(), 1);
    assert!(!page.contains("alert(1)</script>") && !page.contains('\u{1b}'));
    for path in written
        .figures
        .iter()
        .filter(|path| path.extension().unwrap() == "svg")
    {
        let tags = check_markup(&fs::read_to_string(path).unwrap());
        assert!(tags.iter().all(|tag| tag.name != "script"));
    }
}

#[test]
fn the_same_inputs_make_the_same_page() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    assert_eq!(page_of(&results, &inputs), page_of(&results, &inputs));
}

#[test]
fn results_without_a_run_or_without_their_baseline_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refuse = |results: &Results| {
        assert!(render(results, &ReportInputs::default()).is_err());
        let error = write(dir.path(), results, &ReportInputs::default()).unwrap_err();
        assert!(!dir.path().join("report.html").exists());
        error
    };
    let mut empty = grid();
    empty.arms.iter_mut().for_each(|arm| arm.runs.clear());
    assert!(matches!(refuse(&empty), ReportError::Empty { .. }));
    let mut other = grid();
    other.baseline = "base".to_owned();
    let error = refuse(&other);
    assert!(matches!(error, ReportError::NoBaseline { .. }));
    assert!(error.to_string().contains("rkd, salt,"), "{error}");
}

#[test]
fn results_of_another_version_and_no_results_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = read_results(dir.path()).unwrap_err();
    assert!(matches!(error, ReportError::NoResults { .. }), "{error}");
    let path = dir.path().join("results.json");
    fs::write(&path, "{\"format_version\":99}").unwrap();
    let error = read_results(dir.path()).unwrap_err();
    assert!(
        matches!(error, ReportError::Version { got: 99, .. }),
        "{error}"
    );
    fs::write(&path, "{\"format_version\":1}").unwrap();
    let error = read_results(dir.path()).unwrap_err();
    assert!(matches!(error, ReportError::Results { .. }), "{error}");
    fs::write(&path, serde_json::to_vec(&grid()).unwrap()).unwrap();
    assert_eq!(read_results(dir.path()).unwrap(), grid());
}

#[test]
fn a_file_that_is_no_selection_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("selection.parquet");
    fs::write(&path, b"PAR1 but not really").unwrap();
    let inputs = ReportInputs {
        shown: ReportConfig {
            labels: Some(fixture("labels")),
            selection: Some(path),
            ..ReportConfig::default()
        },
        ..ReportInputs::default()
    };
    let error = render(&grid(), &inputs).unwrap_err();
    assert!(matches!(error, ReportError::Shards(_)), "{error}");
    assert!(error.to_string().contains("selection.parquet"), "{error}");
}

#[test]
fn the_command_writes_beside_the_results_and_names_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let results = grid();
    write_metrics(dir.path(), &results);
    let json = serde_json::to_vec(&results).unwrap();
    fs::write(dir.path().join("results.json"), json).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_saltworks-train"))
        .arg("report")
        .arg(dir.path())
        .arg("--labels")
        .arg(fixture("labels"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let page = dir.path().join("report.html");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), page.display().to_string());
    check_markup(&fs::read_to_string(page).unwrap());
}

#[test]
fn a_directory_that_is_no_experiment_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_saltworks-train"))
        .arg("report")
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("saltworks-train compare"), "{said}");
}

#[test]
fn sigterm_ends_a_report_as_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results.json");
    let name = std::ffi::CString::new(results.to_str().unwrap()).unwrap();
    // SAFETY: the path is a string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    let mut child = command.arg("report").arg(dir.path()).spawn().unwrap();
    wait_until_sigterm_is_handled(&mut child);
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_page_forbids_what_is_not_its_own() {
    let page = render(&grid(), &ReportInputs::default()).unwrap();
    let head = page.split("</head>").next().unwrap();
    for rule in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'unsafe-inline'",
        "img-src data:",
    ] {
        assert!(head.contains(rule), "{rule}");
    }
    assert!(head.find("Content-Security-Policy") < head.find("<style>"));
    assert_eq!(page.matches("<script").count(), 1);
}

#[test]
fn seconds_stand_beside_the_seconds_a_step_and_are_no_headline() {
    let page = render(&grid(), &ReportInputs::default()).unwrap();
    assert!(page.contains("FLOPs of training for a run of the baseline"));
    assert!(page.contains("Seconds per step") && page.contains("Compare FLOPs"));
}

/// The part of the page with that address, as text.
fn section_of(page: &str, id: &str) -> String {
    let start = page.find(&format!("<section id=\"{id}\">")).unwrap();
    let end = page[start..].find("</section>").unwrap();
    text_of(&page[start..start + end])
}

#[test]
fn settings_stand_once_where_they_are_the_same_and_by_arm_where_they_differ() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let settings = section_of(&page_of(&results, &inputs), "settings");
    let (by_arm, common) = settings.split_once("The same for all arms").unwrap();
    assert!(by_arm.contains("kd.mode baseline rkd salt"), "{by_arm}");
    assert!(!by_arm.contains("kd.omega"), "{by_arm}");
    assert!(
        common.contains("kd.omega 0.9") && common.contains("train.batch_size (B) 8"),
        "{common}"
    );
    assert!(
        !settings.contains("train.seed") && !settings.contains("output"),
        "{settings}"
    );
    assert!(common.contains("Machine a processor, 2 cores"), "{common}");
    assert!(
        common.contains("First command 2026-11-29 12:00 UTC"),
        "{common}"
    );
}

#[test]
fn commands_can_be_pasted_into_a_shell_and_stand_in_order_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let (results, mut inputs) = whole(dir.path());
    let teacher = tempfile::tempdir().unwrap();
    inputs.teacher_run = Some(teacher.path().to_owned());
    let run = ["saltworks-train", "run", "--set", "kd.mode=a b's"];
    call("2026-11-28T12:00:00Z", &run)
        .record(teacher.path())
        .unwrap();
    call("2026-11-30T12:00:00Z", &["saltworks-train", "compare"])
        .record(dir.path())
        .unwrap();
    let text = section_of(&page_of(&results, &inputs), "provenance");
    let commands = "# 2026-11-28 12:00 UTC, saltworks-train 0.2.0, in /data saltworks-train run --set 'kd.mode=a b'\\''s' \
        saltworks-train compare";
    assert!(text.contains(commands), "{text}");
    assert_eq!(
        text.matches("saltworks-train compare").count(),
        2,
        "one is of the inputs: {text}"
    );
}

#[test]
fn texts_are_shown_as_text_and_left_out_where_the_model_is_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let page = page_of(&results, &inputs);
    check_markup(&page);
    assert!(page.contains("<b>The &lt;sea&gt;</b> is &lt;/p&gt; salt</p>"));
    let mut other = samples();
    other.texts[0].model = Some("0".repeat(64));
    other.write(dir.path()).unwrap();
    let page = page_of(&results, &inputs);
    assert!(!page.contains("<section id=\"samples\">"));
    assert!(page.contains("no text for salt, seed 0"));
}

#[test]
fn operations_are_counted_with_teacher_labels_and_scores() {
    let mut results = results(&[("baseline", 0.0), ("salt", -0.06)], &[0], &SHARES);
    results.arms[0].n_labelled_tokens = 0;
    results.arms[0].label_flops = 0.0;
    for branch in &mut results.arms[1].runs[0].branches {
        branch.n_labelled_tokens = Some(1_638_400);
    }
    let page = page_of(&results, &ReportInputs::default());
    // 2000 steps of 1e11, 1.4e13 for the labels and 1e14 for the teacher.
    let tile = "314T FLOPs for salt with its teacher, labels and scores counted: 1.57 times the baseline's";
    let text = text_of(&page).replace('\u{2019}', "'");
    assert!(text.contains(tile), "{text}");
    assert!(
        section_of(&page, "runs").contains("salt 200T 14.0T 100T 314T 1.57"),
        "{text}"
    );
}

#[test]
fn curves_carry_the_scales_that_their_values_are_read_by() {
    let dir = tempfile::tempdir().unwrap();
    let (results, inputs) = whole(dir.path());
    let tags = check_markup(&page_of(&results, &inputs));
    let plots: Vec<_> = tags
        .iter()
        .filter_map(|tag| tag.attribute("data-plot"))
        .collect();
    // Curves over three axes, the difference, decayed models and three variances, each for two widths.
    assert_eq!(plots.len(), 2 * (3 + 1 + 1 + 3), "{plots:?}");
    for plot in plots {
        let numbers: Vec<f64> = plot
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let [left, right, top, bottom, x0, x1, high, low] = numbers[..] else {
            panic!("{plot}")
        };
        assert!(
            left < right && top < bottom && x0 < x1 && low < high,
            "{plot}"
        );
    }
    let curves = tags.iter().filter(|tag| tag.name == "path");
    let curves = curves.filter(|tag| {
        tag.attribute("class")
            .is_some_and(|class| class.ends_with(" c"))
    });
    assert!(curves.count() >= 2 * (3 * 8 + 7 + 8));
}

#[test]
fn a_report_html_of_another_program_is_replaced_only_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (results, mut inputs) = whole(dir.path());
    let path = dir.path().join("report.html");
    fs::write(&path, "<h1>Minutes of a meeting</h1>").unwrap();
    let error = write(dir.path(), &results, &inputs).unwrap_err();
    assert!(
        error.to_string().contains("was not written by saltworks"),
        "{error}"
    );
    assert!(!dir.path().join("figures").exists());
    inputs.overwrite = true;
    write(dir.path(), &results, &inputs).unwrap();
    inputs.overwrite = false;
    // Its own it knows.
    write(dir.path(), &results, &inputs).unwrap();
}
