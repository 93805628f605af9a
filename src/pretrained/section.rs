//! `config.json`, or an object in it, read key by key.
//!
//! It records which keys were read, so that a key that no table reads can be refused by name at the end, unless
//! it is known not to change the results or is switched off.

use super::PretrainedError;
use super::file::check_usable_file;
use super::harmless::is_harmless;
use crate::storage;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const CORRECT: &str = "correct the configuration";

/// Reads a file that holds one JSON object.
///
/// # Errors
/// A file that cannot be read, or contains something else.
pub fn read_object(path: &Path) -> Result<Map<String, Value>, PretrainedError> {
    check_usable_file(path)?;
    let bytes = storage::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| PretrainedError::NotJson {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// An object of a configuration. A null value counts as a missing key unless stated otherwise.
#[derive(Debug)]
pub struct Section {
    path: PathBuf,
    /// Prefix of keys in messages, such as `rope_parameters.`.
    prefix: String,
    fields: Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl Section {
    /// The whole of a `config.json`.
    ///
    /// # Errors
    /// As [`read_object`].
    pub fn open(path: &Path) -> Result<Self, PretrainedError> {
        Ok(Self::new(path, String::new(), read_object(path)?))
    }

    pub(super) fn new(path: &Path, prefix: String, fields: Map<String, Value>) -> Self {
        Self {
            path: path.to_owned(),
            prefix,
            fields,
            read: RefCell::default(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key; `None` if it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, even if null.
    pub fn has(&self, key: &str) -> bool {
        self.read.borrow_mut().insert(key.to_owned());
        self.fields.contains_key(key)
    }

    /// Marks keys as read that add nothing to those that were.
    pub(super) fn pass_over(&self, keys: &[&str]) {
        self.read
            .borrow_mut()
            .extend(keys.iter().map(|&key| key.to_owned()));
    }

    /// An object in it.
    ///
    /// # Errors
    /// A value that is not an object.
    pub(super) fn object(&self, key: &str) -> Result<Option<&Map<String, Value>>, PretrainedError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(fields)),
            Some(_) => Err(self.refusal(key, "an object or null", CORRECT)),
        }
    }

    /// An object in it, as a section.
    ///
    /// # Errors
    /// A value that is not an object.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, PretrainedError> {
        let fields = self.object(key)?.cloned();
        let prefix = format!("{}{key}.", self.prefix);
        Ok(fields.map(|fields| Self::new(&self.path, prefix, fields)))
    }

    /// A whole number, at least 1 and below 2^32, or `default` if the key is missing.
    ///
    /// # Errors
    /// Another value; a missing key without a default.
    pub fn count(&self, key: &str, default: Option<usize>) -> Result<usize, PretrainedError> {
        let found = match (self.get(key), default) {
            (None, Some(default)) => return Ok(default),
            (value, _) => value.and_then(Value::as_u64),
        };
        // Ids are u32, and no other dimension of a real model is larger.
        let in_range = found.filter(|&n| n > 0 && n <= u64::from(u32::MAX));
        in_range
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| self.refusal(key, "a whole number, at least 1", CORRECT))
    }

    /// A positive number.
    ///
    /// # Errors
    /// Another value.
    pub fn positive(&self, key: &str, default: f64) -> Result<f64, PretrainedError> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A positive number, or none.
    ///
    /// # Errors
    /// Another value.
    pub fn optional(&self, key: &str) -> Result<Option<f64>, PretrainedError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        number
            .map(Some)
            .ok_or_else(|| self.refusal(key, "a positive number", CORRECT))
    }

    /// A required positive number.
    ///
    /// # Errors
    /// Another value; a missing key.
    pub(super) fn needed(&self, key: &str) -> Result<f64, PretrainedError> {
        let found = self.optional(key)?;
        found.ok_or_else(|| self.refusal(key, "a positive number", CORRECT))
    }

    /// True or false.
    ///
    /// # Errors
    /// Another value.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, PretrainedError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.refusal(key, "true or false", CORRECT)),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// Another value.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, PretrainedError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refusal(key, "a text", CORRECT)),
        }
    }

    /// A list of `n` positive numbers.
    ///
    /// # Errors
    /// Another value; a missing key.
    pub(super) fn numbers(&self, key: &str, n: usize) -> Result<Vec<f64>, PretrainedError> {
        let number = |value: &Value| value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        let list = self.get(key).and_then(Value::as_array);
        let numbers: Option<Vec<f64>> = list.and_then(|list| list.iter().map(number).collect());
        numbers
            .filter(|numbers| numbers.len() == n)
            .ok_or_else(|| self.refusal(key, &format!("a list of {n} positive numbers"), CORRECT))
    }

    /// A list of at least `n` flags, as numbers 0 and 1 or as true and false; its first `n`.
    ///
    /// # Errors
    /// Another value.
    pub(super) fn flags(&self, key: &str, n: usize) -> Result<Option<Vec<bool>>, PretrainedError> {
        let flag = |value: &Value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => value.as_u64().filter(|&n| n < 2).map(|n| n == 1),
        };
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let flags: Option<Vec<bool>> = value
            .as_array()
            .and_then(|list| list.iter().map(flag).collect());
        match flags {
            Some(mut flags) if flags.len() >= n => {
                flags.truncate(n);
                Ok(Some(flags))
            }
            _ => Err(self.refusal(key, &format!("a 0 or a 1 for each of {n} layers"), CORRECT)),
        }
    }

    /// A list of `n` of the given words, as indices into `words`.
    ///
    /// # Errors
    /// Another value.
    pub(super) fn words(
        &self,
        key: &str,
        n: usize,
        words: &[&str],
    ) -> Result<Option<Vec<usize>>, PretrainedError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let of = |value: &Value| words.iter().position(|word| value == word);
        let found: Option<Vec<usize>> = value
            .as_array()
            .and_then(|list| list.iter().map(of).collect());
        let expected = || format!("one of {} for each of {n} layers", words.join(", "));
        found
            .filter(|found| found.len() == n)
            .map(Some)
            .ok_or_else(|| self.refusal(key, &expected(), CORRECT))
    }

    /// Refuses any value but `wanted`; the key may be missing.
    ///
    /// # Errors
    /// Another value.
    pub fn only(
        &self,
        key: &str,
        wanted: &Value,
        remedy: &'static str,
    ) -> Result<(), PretrainedError> {
        let is_same = |value: &Value| value == wanted || is_number(value, wanted);
        if self.get(key).is_none_or(is_same) {
            return Ok(());
        }
        let expected = match wanted {
            Value::Null => "null or no such key".to_owned(),
            wanted => wanted.to_string(),
        };
        Err(self.refusal(key, &expected, remedy))
    }

    /// Refuses keys that were not read.
    ///
    /// # Errors
    /// The first key that was not read, is not known to be harmless, and is not switched off.
    pub fn check_all_read(&self) -> Result<(), PretrainedError> {
        let read = self.read.borrow();
        let mut unread = self.fields.iter().filter(|(key, _)| !read.contains(*key));
        match unread.find(|(key, value)| !is_off(value) && !is_harmless(key)) {
            None => Ok(()),
            Some((key, _)) => Err(self.refusal(
                key,
                "no such key, since no table of this family reads it",
                "if it does not change what the model computes, remove it from config.json",
            )),
        }
    }

    /// The refusal of a key's value.
    pub fn refusal(&self, key: &str, expected: &str, remedy: &'static str) -> PretrainedError {
        PretrainedError::Config {
            path: self.path.clone(),
            key: format!("{}{key}", self.prefix),
            expected: expected.to_owned(),
            got: match self.fields.get(key) {
                Some(value) => value.to_string(),
                None => "no such key".to_owned(),
            },
            remedy,
        }
    }
}

/// 1 and 1.0 count as equal.
fn is_number(value: &Value, wanted: &Value) -> bool {
    wanted.is_number() && value.as_f64() == wanted.as_f64()
}

/// Whether a value switches its key off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
