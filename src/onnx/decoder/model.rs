//! From a description to a graph, and from a graph with weights to files.

use super::check::check_spec;
use super::emit::Emitter;
use super::encode::Encoded;
use super::error::{DecoderError, WriteError};
use super::norm::Stream;
use super::options::{Dialect, GraphOptions, WeightFormat};
use super::spec::DecoderSpec;
use super::weights::Weights;
use crate::onnx::build::{Attribute, Edge, ModelBuilder};
use crate::onnx::types::{DType, Dim};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A decoder's graph, without the bytes of its weights.
#[derive(Debug, Clone)]
pub struct DecoderModel {
    model: ModelBuilder,
    encoded: BTreeMap<String, Encoded>,
}

/// The graph of a decoder: `input_ids` i64 `[B, T]` to `logits` f32 `[B, T, V_head]`, B and T dynamic, causal.
///
/// # Errors
/// A description that makes no decoder; 8-bit weights in the standard dialect.
pub fn decoder_model(
    spec: &DecoderSpec,
    options: GraphOptions,
) -> Result<DecoderModel, DecoderError> {
    check_spec(spec)?;
    if options.weights == WeightFormat::Int8 && options.dialect == Dialect::Standard {
        return Err(DecoderError::Int8IsFused);
    }
    let mut emitter = Emitter::new(spec, options);
    emitter.whole();
    Ok(DecoderModel {
        model: emitter.model,
        encoded: emitter.encoded,
    })
}

impl DecoderModel {
    /// Bytes of all weights and tables as stored.
    pub fn n_bytes(&self) -> u64 {
        self.model.n_bytes()
    }

    /// Writes the model, weights inline.
    ///
    /// # Errors
    /// Bytes that cannot be written; weights that cannot be read, or that the format cannot hold.
    pub fn write_to<W: Weights>(
        &self,
        weights: &W,
        out: &mut impl Write,
    ) -> Result<(), WriteError<W::Error>> {
        self.with_source(weights, |source| self.model.write_from(source, out))
    }

    /// Writes the model without its larger tensors, which [`write_data_to`](Self::write_data_to) writes to a
    /// file `data_name` next to it.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to).
    pub fn write_external_to<W: Weights>(
        &self,
        weights: &W,
        data_name: &str,
        out: &mut impl Write,
    ) -> Result<(), WriteError<W::Error>> {
        self.with_source(weights, |source| {
            self.model.write_external_from(source, data_name, out)
        })
    }

    /// Writes the larger tensors, page-aligned.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to).
    pub fn write_data_to<W: Weights>(
        &self,
        weights: &W,
        out: &mut impl Write,
    ) -> Result<(), WriteError<W::Error>> {
        self.with_source(weights, |source| self.model.write_data_from(source, out))
    }

    /// Calls `write` with a source of initializers' bytes, and preserves errors of the weights.
    fn with_source<W: Weights>(
        &self,
        weights: &W,
        write: impl FnOnce(&dyn Fn(&str, &mut dyn Write) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<(), WriteError<W::Error>> {
        let failure = RefCell::new(None);
        let source = |name: &str, out: &mut dyn Write| match self.encoded[name].write(weights, out)
        {
            Ok(()) => Ok(()),
            Err(WriteError::Io(error)) => Err(error),
            Err(error) => {
                failure.replace(Some(error));
                Err(io::Error::other("the weights cannot be used"))
            }
        };
        let written = write(&source);
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(written?),
        }
    }
}

impl Emitter<'_> {
    fn whole(&mut self) {
        let dims_bt = [Dim::symbol("batch_size"), Dim::symbol("sequence_length")];
        let ids = self.model.input("input_ids", DType::I64, &dims_bt);
        let embedding = self.table("embedding.weight");
        let rows = self.model.gather(&embedding, &ids, 0);
        let rows = self.widened(&rows);
        let mut hidden = self.scaled(&rows, self.spec.embedding_multiplier);
        let n_tokens = self.model.dim_size(&ids, 1);
        let positions_t = self.model.positions(&n_tokens);
        let shared = self.shared(&ids, &n_tokens, &positions_t);
        if self.spec.has_learned_positions {
            let table = self.table("positions.weight");
            let rows = self.model.gather(&table, &positions_t, 0);
            let rows = self.widened(&rows);
            hidden = self.model.add(&hidden, &rows);
        }
        let mut stream = Stream::new(hidden);
        for idx in 0..self.spec.layers.len() {
            self.layer(idx, &mut stream, &shared);
        }
        let hidden = self.norm_of(&mut stream, "final_norm", self.spec.final_norm);
        let logits = self.logits(&hidden, &embedding, &ids);
        let [b, t] = dims_bt;
        let dims = [b, t, Dim::Fixed(self.spec.head.n_logits as u64)];
        self.model.output("logits", &logits, DType::F32, &dims);
    }

    fn logits(&mut self, hidden: &Edge, embedding: &Edge, ids: &Edge) -> Edge {
        let head = self.spec.head.clone();
        let logits = match (head.is_tied, self.options.weights) {
            (false, _) => self.linear(hidden, "head", false),
            (true, WeightFormat::Int8) => self.int8_product(hidden, "embedding.weight"),
            (true, _) => self.tied_head(hidden, embedding, ids),
        };
        let logits = match head.has_bias {
            true => self.add_vector(&logits, "head.bias"),
            false => logits,
        };
        let logits = match head.logits_divisor {
            1.0 => logits,
            divisor => {
                let divisor = self.model.scalar_f32(divisor as f32);
                self.model.div(&logits, &divisor)
            }
        };
        self.capped(&logits, head.soft_cap)
    }

    /// The product with an embedding `[V, D]` as stored: flattened to rows, and back.
    fn tied_head(&mut self, hidden: &Edge, embedding: &Edge, ids: &Edge) -> Edge {
        let embedding = self.widened(embedding);
        let rows = self.model.reshape(hidden, &[-1, self.spec.d_model as i64]);
        let transposed = [Attribute::int("transB", 1)];
        let logits = self.model.node("Gemm", &[&rows, &embedding], &transposed);
        let dims_bt = self.model.node("Shape", &[ids], &[]);
        let n_logits = self.model.constant_i64(&[self.spec.head.n_logits as i64]);
        let dims = self.model.concat(&[&dims_bt, &n_logits], 0);
        self.model.node("Reshape", &[&logits, &dims], &[])
    }
}
