//! Filtered files compared with their inputs.

mod bad_input;
mod lines;
mod resume;
mod rows;
mod support;
mod texts;
