//! Sequences of a step, from label shards or from token files.

mod example;

pub use example::Example;
