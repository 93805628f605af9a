//! Saltworks precomputes what a small language model (SLM) knows about a token corpus, once:
//! top-k teacher logits and per-sequence selection scores, in Parquet shards, so that a larger
//! model (LLM) can be trained from them with no teacher running
//! (SALT, "A Little Help Goes a Long Way", arXiv 2410.18779).
//!
//! # The rooms, in the order that data flows
//!
//! [`corpus`] documents in → [`tokens`] token files and sequence views → [`onnx`] what a model file
//! says of itself, [`pretrained`] what a checkpoint does → `teacher` the model at work → [`signals`] the maths on one row of logits →
//! [`shards`] the on-disk contract, on [`storage`] → [`select`] which sequences are worth it →
//! `label` the pipeline that wires them → [`bounds`] what labels say of their teacher →
//! [`view`] what a person sees of the result, `train` the companion trainer, which learns from it,
//! `experiment` grids of its runs, and what they show. [`demo`] makes the embedded default input.
//!
//! # Legend
//!
//! One letter a dimension, used as lowercase suffixes on arrays (`logits_btv`, `topk_ids_tk`):
//! B batch rows, T sequence length (predicted positions), V vocabulary, K top-k,
//! N flattened positions, X extra temperatures; in `train` also D model width, F feed-forward width,
//! H heads, W the width of queries, keys and values together.

// The models that tests share name this crate as those outside of it do.
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
    allow(dead_code, reason = "curves of training have more kinds of shapes")
)]
mod figure;
pub mod interrupt;
pub mod invocations;
#[cfg(feature = "label")]
pub mod label;
pub mod onnx;
mod page;
pub mod pretrained;
pub mod select;
pub mod shards;
pub mod signals;
mod splitmix;
pub mod storage;
#[cfg(feature = "label")]
pub mod teacher;
pub mod tokens;
#[cfg(feature = "train")]
pub mod train;
pub mod view;
mod visible;
