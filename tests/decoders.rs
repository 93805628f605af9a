//! Graphs of decoders, run by ONNX Runtime: both dialects compared with a slow forward pass in f64 and with each
//! other, and weights of every format.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/decoders.rs"]
mod decoders;
#[path = "support/mod.rs"]
mod support;

use crate::decoders::{Draws, RandomWeights, plain_spec, random_spec, slow_logits};
use crate::support::{python, succeed, text};
use saltworks::decoder_file::{DecoderFileError, Watch, WeightsPlace, write_decoder};
use saltworks::interrupt::Interrupt;
use saltworks::onnx::decoder::{
    Activation, DecoderError, DecoderSpec, Dialect, Frequencies, GraphOptions, NormPlacement,
    Residual, Weight, WeightFormat, Weights, decoder_model, weights_of,
};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Largest difference of two logits, as a part of the largest logit (or of 1 where all are smaller). Both are f32
/// arithmetic of up to three layers, whose sums are made in another order: some ten roundings of 6e-8 each.
const BETWEEN_DIALECTS: f64 = 1e-5;
/// The same, of f32 against f64.
const REFERENCE_TOLERANCE: f64 = 2e-5;
/// Decoders of the property test.
const N_SPECS: u64 = 60;
/// Lengths: one token, odd, past windows and past the lengths at which frequencies change.
const LENGTHS: [usize; 4] = [1, 7, 13, 29];

/// Runs models: each line of the plan is a model's path and a batch of ids, and gives its logits.
const RUN: &str = r"
import sys, json, numpy as np, onnxruntime as ort
sessions = {}
for path, ids in json.load(open(sys.argv[1])):
    if path not in sessions:
        sessions = {path: ort.InferenceSession(path, providers=['CPUExecutionProvider'])}
    logits = sessions[path].run(['logits'], {'input_ids': np.array(ids, np.int64)})[0]
    open(sys.argv[2], 'ab').write(logits.astype('<f4').tobytes())
";

type Batch = Vec<Vec<i64>>;

/// Logits of all runs, one after another.
fn run(dir: &Path, plan: &[(PathBuf, Batch)]) -> Vec<f64> {
    let path = dir.join("plan.json");
    std::fs::write(&path, serde_json::to_string(plan).unwrap()).unwrap();
    let logits = dir.join("logits");
    std::fs::write(&logits, b"").unwrap();
    succeed(python().args(["-c", RUN]).arg(&path).arg(&logits));
    let bytes = std::fs::read(&logits).unwrap();
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    values
        .iter()
        .map(|&bytes| f64::from(f32::from_le_bytes(bytes)))
        .collect()
}

fn options(dialect: Dialect, weights: WeightFormat) -> GraphOptions {
    GraphOptions { dialect, weights }
}

fn write(path: &Path, spec: &DecoderSpec, seed: u64, options: GraphOptions) {
    let model = decoder_model(spec, options).unwrap();
    let weights = RandomWeights { seed };
    let place = WeightsPlace::Inline;
    write_decoder(
        path,
        &model,
        &weights,
        place,
        Watch::until(&Interrupt::new()),
    )
    .unwrap();
}

fn relative_difference(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().all(|value| value.is_finite()));
    let size = want.iter().fold(1.0_f64, |max, value| max.max(value.abs()));
    let difference = |(a, b): (&f64, &f64)| (a - b).abs();
    got.iter().zip(want).map(difference).fold(0.0, f64::max) / size
}

/// Both dialects of each decoder at each length, with what the slow forward pass says.
fn compare(named: &[(String, DecoderSpec)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = Vec::new();
    for (idx, (_, spec)) in named.iter().enumerate() {
        for dialect in [Dialect::Standard, Dialect::Fused] {
            let path = dir.path().join(format!("{idx}.{}.onnx", dialect.word()));
            write(&path, spec, idx as u64, options(dialect, WeightFormat::F32));
            plan.extend(LENGTHS.map(|n| (path.clone(), batch(spec, n))));
        }
    }
    let values = run(dir.path(), &plan);
    let mut rest = &values[..];
    let mut take = |n: usize| {
        let (these, others) = rest.split_at(n);
        rest = others;
        these
    };
    let mut wrong = Vec::new();
    for (idx, (name, spec)) in named.iter().enumerate() {
        let n_values = 2 * LENGTHS.iter().sum::<usize>() * spec.head.n_logits;
        let (standard, fused) = (take(n_values), take(n_values));
        let weights = RandomWeights { seed: idx as u64 };
        let ids = LENGTHS.iter().flat_map(|&n| batch(spec, n));
        let slow: Vec<f64> = ids
            .flat_map(|ids| slow_logits(spec, &weights, &ids))
            .collect();
        let of_standard = relative_difference(standard, &slow);
        let between = relative_difference(fused, standard);
        println!("{name}: standard to slow {of_standard:.1e}, fused to standard {between:.1e}");
        if of_standard > REFERENCE_TOLERANCE || between > BETWEEN_DIALECTS {
            wrong.push(format!("{name}: {of_standard}, {between}\n{spec:?}"));
        }
    }
    wrong
}

/// Two rows, so that a mixture of rows would show.
fn batch(spec: &DecoderSpec, n_tokens: usize) -> Batch {
    let mut draws = Draws::new(n_tokens as u64);
    vec![
        draws.ids(n_tokens, spec.vocab_size),
        draws.ids(n_tokens, spec.vocab_size),
    ]
}

#[test]
fn both_dialects_of_any_decoder_have_the_logits_of_the_slow_forward_pass() {
    let named = (0..N_SPECS).map(|seed| {
        let spec = random_spec(&mut Draws::new(seed));
        (format!("decoder {seed}"), spec)
    });
    let named: Vec<_> = named.collect();
    let wrong = compare(&named);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The random ones have all of this somewhere; here each is alone, so that a fault has a name.
#[test]
fn each_part_of_a_description_has_the_logits_of_the_slow_forward_pass() {
    let plain = plain_spec;
    let changed = |name: &str, change: &dyn Fn(&mut DecoderSpec)| {
        let mut spec = plain();
        change(&mut spec);
        (name.to_owned(), spec)
    };
    let of_layers = |name: &str, change: &dyn Fn(&mut saltworks::onnx::decoder::DecoderLayer)| {
        let mut spec = plain();
        spec.layers.iter_mut().for_each(change);
        (name.to_owned(), spec)
    };
    let named = vec![
        changed("plain", &|_| ()),
        changed("untied, padded head", &|spec| {
            spec.head.is_tied = false;
            spec.head.n_logits += 3;
        }),
        of_layers("window", &|layer| layer.attention.window = Some(5)),
        of_layers("cap of scores", &|layer| {
            layer.attention.soft_cap = Some(1.0);
        }),
        of_layers("post-norm", &|layer| layer.placement = NormPlacement::Post),
        of_layers("parallel", &|layer| layer.residual = Residual::Parallel),
        of_layers("no rotation", &|layer| layer.attention.rotary = None),
        of_layers("gelu", &|layer| {
            layer.feed_forward.activation = Activation::Gelu;
        }),
        changed("a part of the head rotates", &|spec| {
            spec.rotary[0].n_rotated = 8;
            let Frequencies::Fixed(set) = &mut spec.rotary[0].frequencies else {
                unreachable!("it is plain");
            };
            set.inv_freq.truncate(4);
        }),
    ];
    let wrong = compare(&named);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Weights that are rounded are the same weights in f32.
struct Rounded(RandomWeights, WeightFormat);

impl Weights for Rounded {
    type Error = std::convert::Infallible;

    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), Self::Error> {
        self.0.read_rows(weight, rows, values)?;
        if weight.shape.len() == 2 {
            for value in values {
                *value = match self.1 {
                    WeightFormat::F16 => half::f16::from_f32(*value).to_f32(),
                    WeightFormat::Bf16 => half::bf16::from_f32(*value).to_f32(),
                    _ => *value,
                };
            }
        }
        Ok(())
    }
}

#[test]
fn weights_of_16_bits_give_the_bits_of_the_same_weights_in_f32() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = plain_spec();
    for is_tied in [true, false] {
        spec.head.is_tied = is_tied;
        for dialect in [Dialect::Standard, Dialect::Fused] {
            for format in [WeightFormat::F16, WeightFormat::Bf16] {
                let (narrow, wide) = (dir.path().join("narrow"), dir.path().join("wide"));
                write(&narrow, &spec, 3, options(dialect, format));
                let model = decoder_model(&spec, options(dialect, WeightFormat::F32)).unwrap();
                let weights = Rounded(RandomWeights { seed: 3 }, format);
                let place = WeightsPlace::Inline;
                write_decoder(
                    &wide,
                    &model,
                    &weights,
                    place,
                    Watch::until(&Interrupt::new()),
                )
                .unwrap();
                let size = |path: &Path| path.metadata().unwrap().len();
                assert!(size(&narrow) < size(&wide));
                let ids = batch(&spec, 21);
                let values = run(dir.path(), &[(narrow, ids.clone()), (wide, ids)]);
                let (narrow, wide) = values.split_at(values.len() / 2);
                assert_eq!(narrow, wide, "{dialect:?} {format:?}");
            }
        }
    }
}

/// 8 bits move logits by less than this part of the largest: each weight by at most 1/254 of the largest of its
/// block, inputs alike, and the errors of a sum of 24 to 64 partly cancel.
const INT8_TOLERANCE: f64 = 0.05;

#[test]
fn weights_of_8_bits_are_near_and_the_same_alone_and_in_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    for is_tied in [true, false] {
        let mut spec = plain_spec();
        spec.head.is_tied = is_tied;
        let (exact, int8) = (dir.path().join("exact"), dir.path().join("int8"));
        write(&exact, &spec, 4, options(Dialect::Fused, WeightFormat::F32));
        write(&int8, &spec, 4, options(Dialect::Fused, WeightFormat::Int8));
        let ids = batch(&spec, 21);
        let alone = vec![ids[0].clone()];
        let n_row = 21 * spec.head.n_logits;
        let values = run(
            dir.path(),
            &[(exact, ids.clone()), (int8.clone(), ids), (int8, alone)],
        );
        let (exact, int8) = values.split_at(2 * n_row);
        let (both, alone) = int8.split_at(2 * n_row);
        let difference = relative_difference(both, exact);
        println!("int8 to f32: {difference:.1e}");
        assert!(
            difference > 1e-4,
            "8 bits that change nothing: {difference}"
        );
        assert!(difference < INT8_TOLERANCE, "{difference}");
        assert_eq!(&both[..n_row], alone);
    }
}

#[test]
fn a_sequence_longer_than_the_decoder_is_for_ends_in_an_error_of_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let dynamic = Frequencies::Dynamic {
        theta: 100.0,
        factor: 2.0,
        n_original: 16,
    };
    let mut specs = vec![plain_spec(), plain_spec()];
    specs[1].rotary[0].frequencies = dynamic;
    for spec in specs {
        for dialect in [Dialect::Standard, Dialect::Fused] {
            let path = dir.path().join("model.onnx");
            write(&path, &spec, 1, options(dialect, WeightFormat::F32));
            for (n_tokens, fits) in [(spec.max_positions, true), (spec.max_positions + 1, false)] {
                let plan = dir.path().join("plan.json");
                let runs = [(&path, batch(&spec, n_tokens))];
                std::fs::write(&plan, serde_json::to_string(&runs).unwrap()).unwrap();
                let output = python()
                    .args(["-c", RUN])
                    .arg(&plan)
                    .arg(dir.path().join("logits"))
                    .output()
                    .unwrap();
                assert_eq!(output.status.success(), fits, "{}", text(&output));
            }
        }
    }
}

#[test]
fn what_makes_no_decoder_is_refused_by_name() {
    let refusal = |change: &dyn Fn(&mut DecoderSpec)| {
        let mut spec = plain_spec();
        change(&mut spec);
        let options = options(Dialect::Standard, WeightFormat::F32);
        decoder_model(&spec, options).unwrap_err().to_string()
    };
    type Change<'a> = &'a dyn Fn(&mut DecoderSpec);
    let cases: [(Change<'_>, &str); 9] = [
        (&|spec| spec.d_model = 0, "d_model"),
        (&|spec| spec.head.n_logits = 60, "the embedding's 61"),
        (&|spec| spec.layers.clear(), "layers"),
        (
            &|spec| spec.layers[1].attention.n_kv_heads = 3,
            "layers.1.attention.n_kv_heads",
        ),
        (
            &|spec| spec.layers[0].attention.rotary = Some(1),
            "one of 1 rotary tables",
        ),
        (
            &|spec| spec.layers[0].attention.head_dim = 8,
            "at most the head's 8",
        ),
        (
            &|spec| spec.layers[0].attention.scale = f64::NAN,
            "layers.0.attention.scale",
        ),
        (&|spec| spec.rotary[0].n_rotated = 14, "7, one a pair"),
        (
            &|spec| {
                spec.layers[0].placement = NormPlacement::Post;
                spec.layers[0].residual = Residual::Parallel;
            },
            "layers.0.placement",
        ),
    ];
    for (change, words) in cases {
        let refusal = refusal(change);
        assert!(refusal.contains(words), "{refusal}");
    }
    let options = options(Dialect::Standard, WeightFormat::Int8);
    let error = decoder_model(&plain_spec(), options).unwrap_err();
    assert_eq!(error, DecoderError::Int8IsFused);
}

/// Weights with one value that float16 cannot hold, or that cannot be read past a row.
enum Bad {
    Large,
    Unreadable,
}

impl Weights for Bad {
    type Error = String;

    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), String> {
        let is_it = weight.name == "layers.1.feed_forward.up.weight";
        match self {
            Self::Unreadable if is_it => return Err(format!("no rows {rows:?}")),
            Self::Large if is_it => values.push(7e4),
            _ => values.push(0.0),
        }
        let n_values = rows.len() * weight.row_len();
        values.extend(std::iter::repeat_n(0.5, n_values - 1));
        Ok(())
    }
}

#[test]
fn weights_that_cannot_be_read_or_stored_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let model = |format| decoder_model(&plain_spec(), options(Dialect::Standard, format)).unwrap();
    for place in [WeightsPlace::Inline, WeightsPlace::External] {
        let write = |format, weights| {
            write_decoder(
                &path,
                &model(format),
                &weights,
                place,
                Watch::until(&Interrupt::new()),
            )
        };
        let error = write(WeightFormat::F32, Bad::Unreadable).unwrap_err();
        assert!(matches!(error, DecoderFileError::Weights(why) if why.contains("no rows")));
        let error = write(WeightFormat::F16, Bad::Large).unwrap_err();
        let is_named = |name: &str| name == "layers.1.feed_forward.up.weight";
        assert!(
            matches!(error, DecoderFileError::OutOfRange { name, value } if is_named(&name) && value == 7e4)
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        write(WeightFormat::Bf16, Bad::Large).unwrap();
        std::fs::read_dir(dir.path()).unwrap().for_each(|entry| {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        });
    }
}

#[test]
fn the_weights_are_those_of_the_page() {
    let names = |spec: &DecoderSpec| -> Vec<String> {
        let weights = weights_of(spec);
        let named = weights
            .iter()
            .map(|weight| format!("{} {:?}", weight.name, weight.shape));
        named.collect()
    };
    let mut spec = plain_spec();
    spec.layers.truncate(1);
    let expected = [
        "embedding.weight [61, 24]",
        "layers.0.attention.norm.weight [24]",
        "layers.0.attention.query.weight [64, 24]",
        "layers.0.attention.key.weight [32, 24]",
        "layers.0.attention.value.weight [32, 24]",
        "layers.0.attention.output.weight [24, 64]",
        "layers.0.feed_forward.norm.weight [24]",
        "layers.0.feed_forward.gate.weight [40, 24]",
        "layers.0.feed_forward.up.weight [40, 24]",
        "layers.0.feed_forward.down.weight [24, 40]",
        "final_norm.weight [24]",
    ];
    assert_eq!(names(&spec), expected);
}
