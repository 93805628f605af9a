//! Filtered files against those that they were made of.

mod bad_input;
mod lines;
mod resume;
mod rows;
mod support;
mod texts;
