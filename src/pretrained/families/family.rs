//! What a family is.

use crate::onnx::decoder::DecoderSpec;
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::Entry;
use crate::pretrained::section::Section;

/// A kind of model.
#[derive(Debug)]
pub(in crate::pretrained) struct Family {
    /// As `model_type` names it.
    pub(in crate::pretrained) model_type: &'static str,
    /// As people call it.
    pub(in crate::pretrained) name: &'static str,
    /// As `architectures` names it with its language-model head.
    pub(in crate::pretrained) architecture: &'static str,
    /// What the configuration says; reads or refuses every key that matters.
    pub(in crate::pretrained) read: fn(&Section) -> Result<DecoderSpec, PretrainedError>,
    /// In front of the number of a layer, in names of its tensors.
    pub(in crate::pretrained) layers: &'static str,
    /// Which tensor a weight is, without `.weight` and `.bias`, and in a layer without what names the layer. Later
    /// ones go before earlier ones.
    pub(in crate::pretrained) tensors: &'static [&'static [Entry]],
    /// In front of the names of all tensors but the head; files of the model without a head lack it.
    pub(in crate::pretrained) base: &'static str,
    /// Ends of the names of tensors that follow from the configuration: older files hold them.
    pub(in crate::pretrained) computed: &'static [&'static str],
    /// Whether releases bring a copy of the code that transformers has by now.
    pub(in crate::pretrained) may_bring_code: bool,
}
