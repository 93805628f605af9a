//! Saltworks runs a small language model (the teacher) once over a tokenized corpus and stores its
//! next-token probabilities, and selection scores of each sequence, in Parquet shards. A larger model
//! (the student) is then trained from them without running the teacher
//! (SALT, "A Little Help Goes a Long Way", arXiv 2410.18779).
//!
//! # The modules ("rooms"), in the order that data flows
//!
//! - [`corpus`] reads documents, [`tokens`] turns them into token files and views them as sequences.
//! - [`pretrained`] reads Hugging Face checkpoints, [`onnx`] reads what a model file declares and writes
//!   decoders, `teacher` runs the model, [`signals`] is the maths on one row of logits.
//! - [`shards`] is the file format, on top of [`storage`]; `label` is the pipeline from tokens to shards.
//! - [`select`] chooses sequences by their scores, [`bounds`] bounds how far a teacher is from the data,
//!   [`view`] shows label sets as text.
//! - `train` is the trainer, `experiment` runs it for a grid of settings and seeds and compares the results.
//! - [`filter`] gives the chosen documents back as they were.
//! - [`demo`] generates a small corpus and an n-gram teacher.
//!
//! # Legend
//!
//! One letter per dimension, used as lowercase suffixes on arrays (`logits_btv`, `topk_ids_tk`):
//! B batch rows, T sequence length (predicted positions), V vocabulary, K top-k,
//! N flattened positions, X extra temperatures; in `train` also D model width, F feed-forward width,
//! H heads, W the width of queries, keys and values together.

// Test models are shared with the integration tests, so they refer to this crate by its name.
#[cfg(test)]
extern crate self as saltworks;

#[cfg(test)]
#[path = "../tests/support/models/mod.rs"]
mod models;

pub mod bounds;
pub mod checkpoint_graph;
pub mod config;
pub mod corpus;
pub mod decoder_file;
pub mod demo;
pub mod error;
#[cfg(feature = "train")]
pub mod experiment;
#[cfg_attr(
    not(feature = "train"),
    allow(
        dead_code,
        unused_imports,
        reason = "a label set has fewer kinds of figures"
    )
)]
mod figure;
pub mod filter;
pub mod interrupt;
pub mod invocations;
#[cfg(feature = "label")]
pub mod label;
pub mod onnx;
#[cfg_attr(
    not(feature = "train"),
    allow(
        dead_code,
        unused_imports,
        reason = "the page of a label set has fewer parts"
    )
)]
mod page;
pub mod pretrained;
pub mod select;
pub mod shards;
pub mod signals;
mod splitmix;
pub mod storage;
#[cfg(feature = "label")]
pub mod teacher;
pub mod threads;
pub mod tokens;
#[cfg(feature = "train")]
pub mod train;
pub mod view;
mod visible;
