//! Writing ONNX models: a typed builder.
//!
//! A [`ModelBuilder`] collects inputs, initializers, nodes and outputs; each call returns the [`Edge`] (a named
//! tensor of the graph) that later calls take. Weights may be generated ([`TensorData::Normal`]), and are
//! streamed when the file is written, inline or into a separate file.
//!
//! ```
//! use saltworks::onnx::build::{ModelBuilder, TensorData};
//! use saltworks::onnx::{DType, Dim};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A bigram model over 3 tokens: the logits are a row of a table.
//! let mut model = ModelBuilder::new("bigram");
//! let bt = [Dim::symbol("batch"), Dim::symbol("seq")];
//! let ids = model.input("input_ids", DType::I64, &bt);
//! let table = model.initializer("table", &[3, 3], TensorData::f32(&[0.5; 9]));
//! let logits = model.gather(&table, &ids, 0);
//! model.output("logits", &logits, DType::F32, &[bt[0].clone(), bt[1].clone(), Dim::Fixed(3)]);
//! let folder = tempfile::tempdir()?;
//! model.write(&folder.path().join("model.onnx"))?;
//! # Ok(())
//! # }
//! ```

mod graph;
mod ops;
mod tensor;
mod write;

pub use graph::{Attribute, Edge, ModelBuilder};
pub use tensor::TensorData;
