//! The head's nodes, in the form of a given operator set.

use super::spec::HeadSpec;
use crate::onnx::build::Attribute;
use crate::onnx::proto::{NodeProto, ValueInfoProto};
use crate::onnx::types::{DType, Dim, TensorInfo};
use crate::onnx::wire::{put_bytes, put_message};

/// From this opset on, axes to reduce over are an input; before, an attribute.
const AXES_AS_INPUT_OPSET: i64 = 13;

/// Below this, e^d is 0 in f32 (the smallest positive value is e^-103.3), and so is d e^d.
const MIN_EXPONENT: f32 = -104.0;

/// A graph to append.
pub(super) struct HeadGraph {
    prefix: String,
    opset: i64,
    nodes: Vec<NodeProto>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl HeadGraph {
    pub(super) fn new(prefix: String, opset: i64) -> Self {
        Self {
            prefix,
            opset,
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    pub(super) fn name(&self, stem: &str) -> String {
        format!("{}{stem}", self.prefix)
    }

    /// Adds all nodes from the logits to the outputs.
    pub(super) fn build(&mut self, spec: &HeadSpec<'_>) {
        let logits = self.usable_logits(spec);
        let ids = self.rank(&logits, spec.n_ranked);
        self.target(&logits);
        let others = self.others(&logits, &ids);
        self.sums(&others);
        for (idx, inv_tau) in spec.inv_taus.iter().enumerate() {
            self.tempered_sum(&others, idx, *inv_tau);
        }
    }

    /// The logits cut to the vocabulary, in f32.
    fn usable_logits(&mut self, spec: &HeadSpec<'_>) -> String {
        let mut logits = spec.logits.name.clone();
        if spec.vocab_size < spec.n_logits {
            logits = self.slice_last("known_logits", &logits, spec.vocab_size as i64);
        }
        match spec.logits.dtype {
            DType::F32 => logits,
            _ => {
                let to = [Attribute::int("to", i64::from(DType::F32.code()))];
                self.node("Cast", "logits_f32", &[&logits], &to)
            }
        }
    }

    fn rank(&mut self, logits: &str, n_ranked: u64) -> String {
        let k = self.constant_i64("n_ranked", n_ranked as i64);
        let settings = [
            Attribute::int("axis", -1),
            Attribute::int("largest", 1),
            Attribute::int("sorted", 1),
        ];
        let outputs = ["ranked_logits", "ranked_ids"].map(|stem| self.name(stem));
        self.push("TopK", &[logits, &k], &outputs, &settings);
        let [ranked, ids] = outputs;
        self.output(&ranked, DType::F32, 3);
        self.output(&ids, DType::I64, 3);
        ids
    }

    fn target(&mut self, logits: &str) {
        let targets = self.name("targets");
        let dims = vec![Dim::Unknown, Dim::Unknown, Dim::Fixed(1)];
        self.inputs.push(TensorInfo {
            name: targets.clone(),
            dtype: DType::I64,
            dims: Some(dims),
        });
        let axis = [Attribute::int("axis", -1)];
        let target = self.node(
            "GatherElements",
            "target_logits",
            &[logits, &targets],
            &axis,
        );
        self.output(&target, DType::F32, 3);
    }

    /// d = logit - max, with -inf at the ranked ids.
    fn others(&mut self, logits: &str, ids: &str) -> String {
        let ranked = self.name("ranked_logits");
        let max = self.slice_last("max_logit", &ranked, 1);
        let shifted = self.node("Sub", "shifted_logits", &[logits, &max], &[]);
        let shape = self.node("Shape", "ranked_shape", &[ids], &[]);
        let nothing = [Attribute::f32_tensor("value", f32::NEG_INFINITY)];
        let nothing = self.node("ConstantOfShape", "nothing", &[&shape], &nothing);
        let axis = [Attribute::int("axis", -1)];
        self.node(
            "ScatterElements",
            "others",
            &[&shifted, ids, &nothing],
            &axis,
        )
    }

    /// Sums of e^d and of d e^d, where -inf counts as 0. NaN compares as not less, so it stays visible.
    fn sums(&mut self, others: &str) {
        let exp = self.node("Exp", "exp", &[others], &[]);
        self.sum("other_sum", &exp);
        let min_exponent = self.constant_f32("least_exponent", MIN_EXPONENT);
        let zero = self.constant_f32("zero", 0.0);
        let vanishes = self.node("Less", "vanishes", &[others, &min_exponent], &[]);
        let finite = self.node("Where", "finite", &[&vanishes, &zero, others], &[]);
        let weighted = self.node("Mul", "weighted", &[&exp, &finite], &[]);
        self.sum("other_weighted_sum", &weighted);
    }

    fn tempered_sum(&mut self, others: &str, idx: usize, inv_tau: f32) {
        let inv_tau = self.constant_f32(&format!("inv_tau_{idx}"), inv_tau);
        let scaled = self.node("Mul", &format!("scaled_{idx}"), &[others, &inv_tau], &[]);
        let exp = self.node("Exp", &format!("tempered_{idx}"), &[&scaled], &[]);
        self.sum(&format!("other_tempered_sum_{idx}"), &exp);
    }

    /// An output `[B, T]`: the sum over the last dimension.
    fn sum(&mut self, stem: &str, of: &str) {
        let keep = Attribute::int("keepdims", 0);
        let sum = if self.opset < AXES_AS_INPUT_OPSET {
            self.node(
                "ReduceSum",
                stem,
                &[of],
                &[Attribute::ints("axes", &[-1]), keep],
            )
        } else {
            let axes = self.constant_i64(&format!("{stem}_axes"), -1);
            self.node("ReduceSum", stem, &[of, &axes], &[keep])
        };
        self.output(&sum, DType::F32, 2);
    }

    /// The first `n` entries of the last dimension.
    fn slice_last(&mut self, stem: &str, of: &str, n: i64) -> String {
        let bounds = [("start", 0), ("end", n), ("axis", -1)];
        let [start, end, axis] =
            bounds.map(|(part, value)| self.constant_i64(&format!("{stem}_{part}"), value));
        self.node("Slice", stem, &[of, &start, &end, &axis], &[])
    }

    fn constant_i64(&mut self, stem: &str, value: i64) -> String {
        self.constant(stem, DType::I64, &[1], &value.to_le_bytes())
    }

    fn constant_f32(&mut self, stem: &str, value: f32) -> String {
        self.constant(stem, DType::F32, &[], &value.to_le_bytes())
    }

    fn constant(&mut self, stem: &str, dtype: DType, dims: &[i64], bytes: &[u8]) -> String {
        let value = Attribute::tensor("value", dtype, dims, bytes);
        self.node("Constant", stem, &[], &[value])
    }

    /// Adds a node with one output named `stem`.
    fn node(&mut self, op: &str, stem: &str, inputs: &[&str], settings: &[Attribute]) -> String {
        let output = self.name(stem);
        self.push(op, inputs, std::slice::from_ref(&output), settings);
        output
    }

    /// Adds a node that is named after its first output.
    fn push(&mut self, op: &str, inputs: &[&str], outputs: &[String], settings: &[Attribute]) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.to_vec(),
            name: outputs[0].clone(),
            op_type: op.to_owned(),
            attribute: settings.iter().map(Attribute::proto).collect(),
            domain: String::new(),
        });
    }

    fn output(&mut self, name: &str, dtype: DType, rank: usize) {
        self.outputs.push(TensorInfo {
            name: name.to_owned(),
            dtype,
            dims: Some(vec![Dim::Unknown; rank]),
        });
    }

    /// The graph encoded as the `graph` field of a model.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        for node in &self.nodes {
            put_message(&mut graph, 1, node);
        }
        for (field, infos) in [(11, &self.inputs), (12, &self.outputs)] {
            for info in infos {
                put_message(&mut graph, field, &ValueInfoProto::from_info(info));
            }
        }
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 7, &graph);
        bytes
    }
}
