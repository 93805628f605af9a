//! Writes and reads a checkpoint's contents.

use super::error::{CheckpointError, Fault};
use super::store::{Checkpoint, CheckpointStore};
use crate::storage::{self, StorageError, replace};
use crate::train::export::{
    SpecialIds, Tensor, read_config, read_params, read_tensors, slices_of, tensors_of, write_hf,
    write_tensors,
};
use crate::train::model::{ModelSpec, Params};
use crate::train::ops::AdamW;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Moments of AdamW.
const OPTIMIZER: &str = "optimizer.safetensors";
/// Weights, under Hugging Face's file name.
const MODEL: &str = "model.safetensors";
/// Dimensions.
const CONFIG: &str = "config.json";
/// The rest.
const STATE: &str = "state.json";
const FIRST_MOMENT: &str = "m.";
const SECOND_MOMENT: &str = "v.";

/// The contents to write.
#[derive(Clone, Copy)]
pub struct Contents<'a, S> {
    /// Weights.
    pub params: &'a Params,
    /// Ids of the beginning and end of a document, for `config.json`.
    pub special: &'a SpecialIds,
    /// Bytes of `tokenizer.json`, to be written next to the weights.
    pub tokenizer_json: Option<&'a [u8]>,
    /// Moments.
    pub optimizer: &'a AdamW,
    /// Everything else, as `state.json`.
    pub state: &'a S,
}

impl CheckpointStore {
    /// Saves a checkpoint of `step`, whole or not at all.
    ///
    /// # Errors
    /// [`CheckpointError`] from the storage, or for weights that are not finite; an earlier checkpoint stays.
    pub fn save_contents<S: Serialize>(
        &self,
        step: u64,
        contents: &Contents<'_, S>,
    ) -> Result<Checkpoint, CheckpointError> {
        self.save(step, |dir| contents.write(dir))
    }
}

impl<S: Serialize> Contents<'_, S> {
    fn write(&self, dir: &Path) -> Result<(), CheckpointError> {
        write_hf(dir, self.params, self.special, self.tokenizer_json)?;
        let (names, layout) = (moment_names(self.params), &self.params.layout);
        let (of_m, of_v) = names.split_at(layout.tensors.len());
        let moments = [(of_m, &self.optimizer.m), (of_v, &self.optimizer.v)];
        let each = moments.map(|(names, values)| tensors_of(layout, names, values));
        let tensors: Vec<Tensor<'_>> = each.into_iter().flatten().collect();
        write_tensors(&dir.join(OPTIMIZER), &tensors, &[])?;
        let mut json = serde_json::to_vec_pretty(self.state).map_err(|error| {
            StorageError::io("write", &dir.join(STATE), std::io::Error::other(error))
        })?;
        json.push(b'\n');
        Ok(replace(&dir.join(STATE), &json)?)
    }
}

impl Checkpoint {
    /// The rest of the state, from [`Contents::state`].
    ///
    /// # Errors
    /// [`CheckpointError::DoesNotFit`] if it cannot be parsed, perhaps because a later version wrote it.
    pub fn state<S: DeserializeOwned>(&self) -> Result<S, CheckpointError> {
        self.check_lists(&[STATE])?;
        let path = self.dir.join(STATE);
        let json = storage::read(&path)?;
        serde_json::from_slice(&json).map_err(|error| CheckpointError::DoesNotFit {
            dir: self.dir.clone(),
            what: STATE.to_owned(),
            expected: "the state of a run of this version".to_owned(),
            got: error.to_string(),
            remedy: "resume with the version of saltworks-train that wrote it",
        })
    }

    /// Weights and moments of a model of these dimensions.
    ///
    /// # Errors
    /// [`CheckpointError::DoesNotFit`] if it holds another model; tensors that cannot be read.
    pub fn weights(&self, spec: &ModelSpec) -> Result<(Params, AdamW), CheckpointError> {
        self.check_model(spec)?;
        let mut params = Params::blank(spec);
        read_params(&self.dir.join(MODEL), &mut params)?;
        let mut optimizer = AdamW::new(params.layout.len);
        self.read_moments(&params, &mut optimizer)?;
        Ok((params, optimizer))
    }

    /// Refuses a checkpoint of a model of other dimensions.
    ///
    /// # Errors
    /// [`CheckpointError::DoesNotFit`]; a `config.json` that cannot be read.
    pub fn check_model(&self, spec: &ModelSpec) -> Result<(), CheckpointError> {
        self.check_lists(&[CONFIG, MODEL, OPTIMIZER])?;
        let (found, _) = read_config(&self.dir)?;
        if found == *spec {
            return Ok(());
        }
        Err(CheckpointError::DoesNotFit {
            dir: self.dir.clone(),
            what: "the model".to_owned(),
            expected: format!("{spec:?}"),
            got: format!("{found:?}"),
            remedy: "resume it with the configuration that it was made with",
        })
    }

    /// Refuses files that the seal does not list, since they were not checked.
    fn check_lists(&self, names: &[&str]) -> Result<(), CheckpointError> {
        let is_listed = |name: &&&str| self.seal.files.contains_key(**name);
        match names.iter().find(|name| !is_listed(name)) {
            None => Ok(()),
            Some(name) => Err(CheckpointError::Damaged {
                dir: self.dir.clone(),
                fault: Fault::Unreadable(format!("it does not list {name}")),
                remedy: "restore it, or resume from another one".to_owned(),
            }),
        }
    }

    fn read_moments(&self, params: &Params, optimizer: &mut AdamW) -> Result<(), CheckpointError> {
        let (names, layout) = (moment_names(params), &params.layout);
        let (of_m, of_v) = names.split_at(layout.tensors.len());
        let moments = [(of_m, &mut optimizer.m), (of_v, &mut optimizer.v)];
        let each = moments.map(|(names, values)| slices_of(layout, names, values));
        let mut tensors: Vec<_> = each.into_iter().flatten().collect();
        Ok(read_tensors(&self.dir.join(OPTIMIZER), &mut tensors)?)
    }
}

/// Names of the first moments, then of the second, each in the order of the layout.
fn moment_names(params: &Params) -> Vec<String> {
    [FIRST_MOMENT, SECOND_MOMENT]
        .into_iter()
        .flat_map(|moment| {
            let slots = params.layout.tensors.iter();
            slots.map(move |slot| format!("{moment}{}", slot.name))
        })
        .collect()
}
