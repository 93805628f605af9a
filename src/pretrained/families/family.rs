//! What a family is.

use crate::onnx::decoder::DecoderSpec;
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::Entry;
use crate::pretrained::section::Section;

/// A kind of model.
#[derive(Debug)]
pub(in crate::pretrained) struct Family {
    /// Its `model_type`.
    pub(in crate::pretrained) model_type: &'static str,
    /// Its common name.
    pub(in crate::pretrained) name: &'static str,
    /// Its name in `architectures`, with the language-model head.
    pub(in crate::pretrained) architecture: &'static str,
    /// Reads the configuration; reads or refuses every key that matters.
    pub(in crate::pretrained) read: fn(&Section) -> Result<DecoderSpec, PretrainedError>,
    /// Prefix of the layer number in tensor names.
    pub(in crate::pretrained) layers: &'static str,
    /// Maps weights to tensors, without `.weight` and `.bias`, and within a layer without the layer's prefix.
    /// Later tables take precedence.
    pub(in crate::pretrained) tensors: &'static [&'static [Entry]],
    /// Prefix of all tensor names but the head's; absent in files saved without a head.
    pub(in crate::pretrained) base: &'static str,
    /// Suffixes of tensors that follow from the configuration, which older files contain.
    pub(in crate::pretrained) computed: &'static [&'static str],
    /// Whether releases come with a copy of code that is now in transformers.
    pub(in crate::pretrained) may_bring_code: bool,
}
