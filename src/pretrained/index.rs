//! `model.safetensors.index.json`, which maps tensors to files of weights.

use super::PretrainedError;
use super::file::check_usable_file;
use crate::storage;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// The part of the index that is read.
#[derive(Deserialize)]
struct Index {
    weight_map: Pairs,
}

/// The members of an object, including duplicates, of which a map would keep only the last.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensor names and file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The index's map from tensor to file.
pub(super) fn weight_map(index: &Path) -> Result<BTreeMap<String, String>, PretrainedError> {
    check_usable_file(index)?;
    let bytes = storage::read(index)?;
    let refuse = |got: String| PretrainedError::Config {
        path: index.to_owned(),
        key: "weight_map".to_owned(),
        expected: "an object of tensor names and file names, each tensor once".to_owned(),
        got,
        remedy: "download the index again",
    };
    let read: Index = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    let mut places = BTreeMap::new();
    for (tensor, file) in read.weight_map.0 {
        if let Some(other) = places.insert(tensor.clone(), file.clone()) {
            return Err(refuse(format!("{tensor} twice, in {other} and in {file}")));
        }
    }
    Ok(places)
}

/// The files that the index names, sorted, without duplicates; names outside the directory are refused.
pub(super) fn shard_names(index: &Path) -> Result<Vec<String>, PretrainedError> {
    let names: BTreeSet<String> = weight_map(index)?.into_values().collect();
    let is_plain = |name: &String| {
        Path::new(name)
            .file_name()
            .is_some_and(|file| file == &**name)
    };
    let foreign = names.iter().find(|name| !is_plain(name));
    if names.is_empty() || foreign.is_some() {
        return Err(PretrainedError::Config {
            path: index.to_owned(),
            key: "weight_map".to_owned(),
            expected: "names of files in the same directory".to_owned(),
            got: foreign.map_or("no names".to_owned(), |name| format!("{name:?}")),
            remedy: "download the index again",
        });
    }
    Ok(names.into_iter().collect())
}
