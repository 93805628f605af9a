//! `saltworks-train` as a process: every mode learns, whatever stops a run, it resumes bit for bit, and
//! others read the model that it writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod branch;
mod checkpoints;
mod data;
mod disk;
mod divergence;
mod eval;
mod export;
mod labelled;
mod learning;
#[path = "../support/llama.rs"]
mod llama;
mod models;
mod refused;
mod resume;
#[path = "../support/mod.rs"]
mod support;
mod teachers;
