//! Small models with known answers: every signature that exporters write, and those to refuse.

use saltworks::onnx::build::{Attribute, Edge, ModelBuilder, TensorData};
use saltworks::onnx::{DType, Dim};

/// A model whose logits are a formula: see [`Sample::expected_logit`].
///
/// The default takes `input_ids` int64 `[batch, seq]` and gives `logits` f32 `[batch, seq, 16]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// V.
    pub vocab_size: u64,
    /// Dtype of `input_ids`.
    pub ids_dtype: DType,
    /// Dims of `input_ids`.
    pub ids_dims: [Dim; 2],
    /// `attention_mask` `[B, T]` of this dtype: adds 0.5 where it is 1.
    pub mask: Option<DType>,
    /// `position_ids` of this rank and dtype: adds 0.25 times the position.
    pub positions: Option<(usize, DType)>,
    /// `token_type_ids` of this dtype: adds 8 times the type.
    pub token_types: Option<DType>,
    /// Past inputs by name, dtype and dims: add the sum of their elements, of which there are none.
    pub past: Vec<(String, DType, Vec<Dim>)>,
    /// `use_cache_branch` bool `[1]`: adds 1000 if true.
    pub use_cache_branch: bool,
    /// An input that nobody can know, f32 `[batch, 3]`.
    pub unknown_input: Option<String>,
    /// Name of the output.
    pub logits_name: String,
    /// Dtype of the output.
    pub logits_dtype: DType,
    /// Whether the output's last dimension is declared; V is known without a run if so.
    pub vocab_declared: bool,
    /// A token after which every logit is NaN.
    pub nan_after: Option<u32>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            vocab_size: 16,
            ids_dtype: DType::I64,
            ids_dims: [Dim::symbol("batch"), Dim::symbol("seq")],
            mask: None,
            positions: None,
            token_types: None,
            past: Vec::new(),
            use_cache_branch: false,
            unknown_input: None,
            logits_name: "logits".to_owned(),
            logits_dtype: DType::F32,
            vocab_declared: true,
            nan_after: None,
        }
    }
}

impl Sample {
    /// The logit of id `v` at position `t_idx`, after token `id`, where the mask is 1. Exact in
    /// f32, f16 and bf16 for positions below 8.
    pub fn expected_logit(&self, id: u32, t_idx: usize, v: u32) -> f32 {
        if self.nan_after == Some(id) {
            return f32::NAN;
        }
        let mask = if self.mask.is_some() { 0.5 } else { 0.0 };
        let position = if self.positions.is_some() {
            0.25 * t_idx as f32
        } else {
            0.0
        };
        table_entry(id, v) + mask + position
    }

    /// The model.
    pub fn build(&self) -> ModelBuilder {
        let mut model = ModelBuilder::new("sample");
        let ids = model.input("input_ids", self.ids_dtype, &self.ids_dims);
        let v = self.vocab_size;
        let table = model.initializer("table", &[v, v], TensorData::f32(&self.table()));
        let logits = model.gather(&table, &ids, 0);
        let logits = self.add_per_position(&mut model, logits);
        let logits = self.add_per_run(&mut model, logits);
        let logits = match self.logits_dtype {
            DType::F32 => logits,
            dtype => model.cast(&logits, dtype),
        };
        let [b, t] = self.ids_dims.clone();
        let last = if self.vocab_declared {
            Dim::Fixed(v)
        } else {
            Dim::Unknown
        };
        model.output(&self.logits_name, &logits, self.logits_dtype, &[b, t, last]);
        model
    }

    fn table(&self) -> Vec<f32> {
        let v = self.vocab_size as u32;
        let row = |id: u32| {
            let nan = self.nan_after == Some(id);
            (0..v).map(move |v| if nan { f32::NAN } else { table_entry(id, v) })
        };
        (0..v).flat_map(row).collect()
    }

    fn add_per_position(&self, model: &mut ModelBuilder, logits: Edge) -> Edge {
        let mut logits = logits;
        if let Some(dtype) = self.mask {
            let mask = model.input("attention_mask", dtype, &self.ids_dims);
            logits = add_scaled(model, &logits, &mask, 0.5);
        }
        if let Some((rank, dtype)) = self.positions {
            let all = [
                Dim::Fixed(3),
                self.ids_dims[0].clone(),
                self.ids_dims[1].clone(),
            ];
            let mut positions = model.input("position_ids", dtype, &all[3 - rank..]);
            if rank == 3 {
                let first = model.scalar_i64(2);
                positions = model.gather(&positions, &first, 0);
            }
            logits = add_scaled(model, &logits, &positions, 0.25);
        }
        if let Some(dtype) = self.token_types {
            let types = model.input("token_type_ids", dtype, &self.ids_dims);
            logits = add_scaled(model, &logits, &types, 8.0);
        }
        logits
    }

    fn add_per_run(&self, model: &mut ModelBuilder, logits: Edge) -> Edge {
        let mut logits = logits;
        for (name, dtype, dims) in &self.past {
            let past = model.input(name, *dtype, dims);
            let past = model.cast(&past, DType::F32);
            let sum = sum_of_all(model, &past);
            logits = model.add(&logits, &sum);
        }
        if self.use_cache_branch {
            let flag = model.input("use_cache_branch", DType::Bool, &[Dim::Fixed(1)]);
            let flag = model.cast(&flag, DType::F32);
            let thousand = model.scalar_f32(1000.0);
            let flag = model.mul(&flag, &thousand);
            logits = model.add(&logits, &flag);
        }
        if let Some(name) = &self.unknown_input {
            let input = model.input(name, DType::F32, &[Dim::symbol("batch"), Dim::Fixed(3)]);
            let sum = sum_of_all(model, &input);
            logits = model.add(&logits, &sum);
        }
        logits
    }
}

fn table_entry(id: u32, v: u32) -> f32 {
    ((id * 7 + v * 3) % 11) as f32 * 0.5 - 2.0
}

/// `logits[.., t, ..] + scale * values[.., t]`.
fn add_scaled(model: &mut ModelBuilder, logits: &Edge, values: &Edge, scale: f32) -> Edge {
    let values = model.cast(values, DType::F32);
    let scale = model.scalar_f32(scale);
    let values = model.mul(&values, &scale);
    let values = model.unsqueeze(&values, &[-1]);
    model.add(logits, &values)
}

fn batch_seq() -> [Dim; 2] {
    [Dim::symbol("batch"), Dim::symbol("seq")]
}

/// Logits as the default sample's and 0.3 times the token's id, quantised to 8 bits by the range of
/// the whole batch: what a row gives depends on the others.
pub fn dynamically_quantized() -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let ids = Edge::named("input_ids");
    let rows = add_scaled(&mut model, &rows, &ids, 0.3);
    let quantized = model.node_with_outputs("", "DynamicQuantizeLinear", &[&rows], &[], 3);
    let [values, scale, zero_point] = &quantized[..] else {
        unreachable!("three outputs were asked for");
    };
    let logits = model.node("DequantizeLinear", &[values, scale, zero_point], &[]);
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

/// Logits `[B, 16]`: the last position's only, and declared so.
pub fn rank_2_logits() -> ModelBuilder {
    let (mut model, logits) = table_lookup("input_ids");
    let last = model.scalar_i64(-1);
    let logits = model.gather(&logits, &last, 1);
    model.output(
        "logits",
        &logits,
        DType::F32,
        &[Dim::symbol("batch"), Dim::Fixed(16)],
    );
    model
}

/// Logits `[B, 1, 16]` whose middle dimension is declared dynamic: only a run shows it.
pub fn last_position_only() -> ModelBuilder {
    let (mut model, logits) = table_lookup("input_ids");
    let logits = model.slice(&logits, 1, -1, i64::MAX);
    let [b, _] = batch_seq();
    model.output(
        "logits",
        &logits,
        DType::F32,
        &[b, Dim::symbol("kept"), Dim::Fixed(16)],
    );
    model
}

/// `last_hidden_state` `[B, T, 16]` and nothing else.
pub fn hidden_states_only() -> ModelBuilder {
    let (mut model, hidden) = table_lookup("input_ids");
    let [b, t] = batch_seq();
    model.output(
        "last_hidden_state",
        &hidden,
        DType::F32,
        &[b, t, Dim::Fixed(16)],
    );
    model
}

/// `inputs_embeds` f32 `[B, T, 16]` instead of ids.
pub fn inputs_embeds_only() -> ModelBuilder {
    let mut model = ModelBuilder::new("inputs_embeds_only");
    let [b, t] = batch_seq();
    let dims = [b, t, Dim::Fixed(16)];
    let embeds = model.input("inputs_embeds", DType::F32, &dims);
    model.output("logits", &embeds, DType::F32, &dims);
    model
}

/// `decoder_input_ids` and `encoder_hidden_states`.
pub fn encoder_decoder() -> ModelBuilder {
    let (mut model, logits) = table_lookup("decoder_input_ids");
    let [b, t] = batch_seq();
    let dims = [b.clone(), Dim::symbol("encoder_seq"), Dim::Fixed(16)];
    let encoder = model.input("encoder_hidden_states", DType::F32, &dims);
    let sum = sum_of_all(&mut model, &encoder);
    let logits = model.add(&logits, &sum);
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

fn table_lookup(ids_name: &str) -> (ModelBuilder, Edge) {
    let sample = Sample::default();
    let mut model = ModelBuilder::new("lookup");
    let ids = model.input(ids_name, DType::I64, &batch_seq());
    let table = model.initializer("table", &[16, 16], TensorData::f32(&sample.table()));
    let rows = model.gather(&table, &ids, 0);
    (model, rows)
}

/// Three ways in which a model is no teacher: see [`unsuitable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsuitable {
    /// Every position sees the mean of all ids.
    NotCausal,
    /// Noise is added at each run.
    Random,
    /// The last node is this one: `Softmax`, `LogSoftmax`, `Sigmoid`.
    Ends(&'static str),
}

/// Logits of `[B, T, 16]` from ids, spoiled.
pub fn unsuitable(kind: Unsuitable) -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let logits = match kind {
        Unsuitable::NotCausal => {
            let axes = [Attribute::ints("axes", &[1]), Attribute::int("keepdims", 1)];
            let mean = model.node("ReduceMean", &[&rows], &axes);
            let small = model.scalar_f32(0.01);
            let mean = model.mul(&mean, &small);
            model.add(&rows, &mean)
        }
        Unsuitable::Random => {
            let noise = model.node("RandomNormalLike", &[&rows], &[]);
            model.add(&rows, &noise)
        }
        Unsuitable::Ends(op_type) => model.node(op_type, &[&rows], &[]),
    };
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

/// On what more than its ids the logits of a row depend: see [`depends_on`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependence {
    /// The number of rows of the call.
    Rows,
    /// The length of the call.
    Width,
    /// The other rows, and the ids that follow.
    OthersAndFuture,
    /// The ids that follow, in calls of more than 64 positions.
    FarFuture,
}

/// Logits of `[B, T, 16]` that depend on more than they should.
pub fn depends_on(more: Dependence) -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let ids = Edge::named("input_ids");
    let mean_over = |model: &mut ModelBuilder, axis: i64| {
        let axes = [
            Attribute::ints("axes", &[axis]),
            Attribute::int("keepdims", 1),
        ];
        model.node("ReduceMean", &[&rows], &axes)
    };
    let logits = match more {
        Dependence::Rows | Dependence::Width => {
            let axis = if more == Dependence::Rows { 0 } else { 1 };
            let n = model.dim_size(&ids, axis);
            let n = model.cast(&n, DType::F32);
            model.div(&rows, &n)
        }
        Dependence::OthersAndFuture => {
            let others = mean_over(&mut model, 0);
            let future = mean_over(&mut model, 1);
            let logits = model.add(&rows, &others);
            model.add(&logits, &future)
        }
        Dependence::FarFuture => {
            let n = model.dim_size(&ids, 1);
            let limit = model.scalar_i64(64);
            let is_long = model.node("Greater", &[&n, &limit], &[]);
            let is_long = model.cast(&is_long, DType::F32);
            let future = mean_over(&mut model, 1);
            let future = model.mul(&future, &is_long);
            model.add(&rows, &future)
        }
    };
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

/// Logits of 24 ids, of which the embedding has 16: an output layer that is padded alone.
pub fn padded_head() -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let fill = model.scalar_f32(-1.0);
    let logits = model.pad(&rows, &[0, 0, 0, 0, 0, 8], &fill);
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(24)]);
    model
}

/// Logits as the default sample's, but for this id, which is never predicted: -inf.
pub fn never_predicts(id: usize) -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let mut mask = [0.0; 16];
    mask[id] = f32::NEG_INFINITY;
    let mask = model.initializer("mask", &[16], TensorData::f32(&mask));
    let logits = model.add(&rows, &mask);
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

/// Logits that are reshaped to one row, as an export traced with a batch of one may have them.
pub fn batch_of_one() -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let logits = model.reshape(&rows, &[1, -1, 16]);
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

/// Logits whose shape only a run shows: of all positions but the last, or with time in front.
pub fn oddly_shaped(is_time_major: bool) -> ModelBuilder {
    let (mut model, rows) = table_lookup("input_ids");
    let logits = match is_time_major {
        true => model.transpose(&rows, &[1, 0, 2]),
        false => model.slice(&rows, 1, 0, -1),
    };
    let [b, t] = batch_seq();
    model.output("logits", &logits, DType::F32, &[b, t, Dim::Fixed(16)]);
    model
}

fn sum_of_all(model: &mut ModelBuilder, data: &Edge) -> Edge {
    model.node("ReduceSum", &[data], &[Attribute::int("keepdims", 0)])
}
