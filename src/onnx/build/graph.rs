//! The builder: edges, attributes, nodes.

use super::tensor::{Initializer, TensorData};
use crate::onnx::proto::{AttributeProto, NodeProto, SmallTensorProto};
use crate::onnx::types::{DType, Dim, OpsetImport, TensorInfo};

/// Opset 17 is the first with `LayerNormalization`, and all current versions of ONNX Runtime read it.
const DEFAULT_OPSET: i64 = 17;

/// A named tensor of the graph under construction: an input, an initializer or a node's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge(pub(super) String);

impl Edge {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// An existing tensor of this name.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// A node's attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute(AttributeProto);

impl Attribute {
    /// An integer attribute.
    pub fn int(name: &str, i: i64) -> Self {
        Self(AttributeProto {
            i,
            ..named(name, 2)
        })
    }

    /// A list of integers.
    pub fn ints(name: &str, values: &[i64]) -> Self {
        Self(AttributeProto {
            ints: values.to_vec(),
            ..named(name, 7)
        })
    }

    /// A float attribute.
    pub fn float(name: &str, f: f32) -> Self {
        Self(AttributeProto {
            f,
            ..named(name, 1)
        })
    }

    /// A string attribute.
    pub fn string(name: &str, value: &str) -> Self {
        Self(AttributeProto {
            s: value.as_bytes().to_vec(),
            ..named(name, 3)
        })
    }

    /// A tensor attribute holding one f32.
    pub fn f32_tensor(name: &str, value: f32) -> Self {
        Self::tensor(name, DType::F32, &[1], &value.to_le_bytes())
    }

    /// A small tensor.
    pub(crate) fn tensor(name: &str, dtype: DType, dims: &[i64], bytes: &[u8]) -> Self {
        let tensor = SmallTensorProto {
            dims: dims.to_vec(),
            data_type: dtype.code(),
            raw_data: bytes.to_vec(),
        };
        Self(AttributeProto {
            t: Some(tensor),
            ..named(name, 4)
        })
    }

    pub(in crate::onnx) fn proto(&self) -> AttributeProto {
        self.0.clone()
    }
}

/// An attribute of ONNX's type number `code`, without a value.
fn named(name: &str, code: i32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: code,
        ..Default::default()
    }
}

/// Collects a model; [`ModelBuilder::write`] makes the file.
#[derive(Debug, Clone)]
pub struct ModelBuilder {
    pub(super) name: String,
    pub(super) opset: Vec<OpsetImport>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<Initializer>,
    pub(super) inputs: Vec<TensorInfo>,
    pub(super) outputs: Vec<TensorInfo>,
}

impl ModelBuilder {
    /// An empty graph of this name.
    pub fn new(name: &str) -> Self {
        let standard = OpsetImport {
            domain: String::new(),
            version: DEFAULT_OPSET,
        };
        Self {
            name: name.to_owned(),
            opset: vec![standard],
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Imports `version` of `domain`'s operators (the standard ones have an empty domain).
    pub fn opset(&mut self, domain: &str, version: i64) -> &mut Self {
        self.opset.retain(|import| import.domain != domain);
        self.opset.push(OpsetImport {
            domain: domain.to_owned(),
            version,
        });
        self
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, dtype: DType, dims: &[Dim]) -> Edge {
        self.inputs.push(TensorInfo {
            name: name.to_owned(),
            dtype,
            dims: Some(dims.to_vec()),
        });
        Edge(name.to_owned())
    }

    /// Adds weights.
    ///
    /// # Panics
    /// If `data` has another number of elements than `dims`.
    pub fn initializer(&mut self, name: &str, dims: &[u64], data: TensorData) -> Edge {
        self.initializers.push(Initializer::new(name, dims, data));
        Edge(name.to_owned())
    }

    /// Adds a node with one output.
    pub fn node(&mut self, op_type: &str, inputs: &[&Edge], attributes: &[Attribute]) -> Edge {
        let mut outputs = self.node_with_outputs("", op_type, inputs, attributes, 1);
        outputs.swap_remove(0)
    }

    /// Adds a node of any domain with `n_outputs` outputs.
    pub fn node_with_outputs(
        &mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&Edge],
        attributes: &[Attribute],
        n_outputs: usize,
    ) -> Vec<Edge> {
        self.node_keeping(domain, op_type, inputs, attributes, &vec![true; n_outputs])
    }

    /// Adds a node of any domain with one output per item of `kept`; those not kept have no name and are not
    /// computed.
    pub fn node_keeping(
        &mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&Edge],
        attributes: &[Attribute],
        kept: &[bool],
    ) -> Vec<Edge> {
        let name = format!("{op_type}_{}", self.nodes.len());
        let named = |(idx, is_kept): (usize, &bool)| match is_kept {
            true => Edge(format!("{name}:{idx}")),
            false => Edge(String::new()),
        };
        let outputs: Vec<Edge> = kept.iter().enumerate().map(named).collect();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|edge| edge.0.clone()).collect(),
            output: outputs.iter().map(|edge| edge.0.clone()).collect(),
            name,
            op_type: op_type.to_owned(),
            attribute: attributes
                .iter()
                .map(|attribute| attribute.0.clone())
                .collect(),
            domain: domain.to_owned(),
        });
        outputs
    }

    /// Declares `edge` as an output named `name`.
    pub fn output(&mut self, name: &str, edge: &Edge, dtype: DType, dims: &[Dim]) {
        if edge.0 != name {
            self.nodes.push(NodeProto {
                input: vec![edge.0.clone()],
                output: vec![name.to_owned()],
                name: format!("output_{name}"),
                op_type: "Identity".to_owned(),
                ..Default::default()
            });
        }
        self.outputs.push(TensorInfo {
            name: name.to_owned(),
            dtype,
            dims: Some(dims.to_vec()),
        });
    }

    /// Number of weights, over all initializers.
    pub fn n_parameters(&self) -> u64 {
        self.initializers.iter().map(Initializer::n_elements).sum()
    }

    /// Bytes of all initializers.
    pub fn n_bytes(&self) -> u64 {
        self.initializers.iter().map(Initializer::n_bytes).sum()
    }

    /// Number of initializers.
    pub fn n_initializers(&self) -> usize {
        self.initializers.len()
    }

    pub(super) fn fresh_name(&self, stem: &str) -> String {
        format!("{stem}_{}", self.initializers.len())
    }
}
