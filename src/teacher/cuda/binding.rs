//! Runs ONNX Runtime with its logits bound to the device, so that they never leave it.

use super::error::CudaError;
use super::layout::DeviceLogits;
use super::reducer::DeviceReducer;
use crate::signals::{SequenceSignals, SequenceTargets};
use crate::teacher::calls::TokenBatch;
use crate::teacher::device::DeviceChoice;
use crate::teacher::error::TeacherError;
use crate::teacher::logits::LogitsView;
use crate::teacher::model::{Model, run_error};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::value::{DynTensor, DynTensorValueType};
use std::time::Instant;

/// ONNX Runtime's name for a CUDA device's memory.
const CUDA_MEMORY: &str = "Cuda";

/// The number of the CUDA device that a model runs on.
pub(in crate::teacher) fn number_of(device: DeviceChoice) -> Result<u32, CudaError> {
    match device {
        DeviceChoice::Cuda(number) => Ok(number),
        device => Err(CudaError::OtherDevice {
            device: device.to_string(),
        }),
    }
}

/// Runs one batch and reduces its logits on the device.
pub(in crate::teacher) fn reduce(
    model: &mut Model,
    reducer: &mut DeviceReducer,
    batch: &TokenBatch,
    sequences: &[SequenceTargets<'_>],
) -> Result<Vec<SequenceSignals>, TeacherError> {
    let device = reducer.device();
    let place = Place {
        memory: CUDA_MEMORY,
        number: i32::try_from(device).unwrap_or(i32::MAX),
    };
    let reduced = run_bound(model, batch, place, |logits, output| {
        check_place(output, place)?;
        // SAFETY: `run_bound` has waited for the run, the memory is this device's, and the tensor
        // that holds it outlives the call.
        Ok(unsafe { reducer.reduce(logits, sequences) }?)
    })?;
    Ok(reduced?)
}

/// Where an output should be: ONNX Runtime's name for the memory, and a device's number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) memory: &'static str,
    pub(super) number: i32,
}

/// An output, wherever it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a> {
    name: &'a str,
    tensor: &'a DynTensor,
}

/// Runs one batch with the logits bound to `place`, waits for it, and passes on where they are.
///
/// The binding is new each time, as a bound output keeps the shape of its first run. It copies
/// inputs to the device when they are bound, which is a few bytes per token.
pub(super) fn run_bound<R>(
    model: &mut Model,
    batch: &TokenBatch,
    place: Place,
    f: impl FnOnce(DeviceLogits, Output<'_>) -> Result<R, TeacherError>,
) -> Result<R, TeacherError> {
    let shape = model.prepare(batch)?;
    let limit = model.signature.max_seq_len;
    let failed = |source| run_error(&model.canceller, shape, limit, source);
    let name = &model.signature.logits.name;
    let mut binding = model.session.create_binding().map_err(failed)?;
    for (name, value) in model.feeds.tensors().map_err(failed)? {
        binding.bind_input(name, &value).map_err(failed)?;
    }
    let memory = MemoryInfo::new(
        AllocationDevice::new(place.memory),
        place.number,
        AllocatorType::Device,
        MemoryType::Default,
    );
    let memory = memory.map_err(failed)?;
    binding
        .bind_output_to_device(name, &memory)
        .map_err(failed)?;
    let started = Instant::now();
    let mut outputs = model
        .session
        .run_binding_with_options(&binding, model.canceller.bound())
        .map_err(failed)?;
    // The reduction has its own stream, so the run must have finished first.
    binding.synchronize_outputs().map_err(failed)?;
    model.forward += started.elapsed();
    let value = outputs.remove(name).ok_or_else(|| missing(name))?;
    let view = LogitsView {
        model: &model.path,
        output: name,
        shape,
    };
    let (dtype, stride) = view.check(&value)?;
    let tensor = value.downcast::<DynTensorValueType>().map_err(failed)?;
    let logits = DeviceLogits {
        address: tensor.data_ptr() as u64,
        dtype,
        n_rows: batch.n_rows,
        width: shape.width,
        stride,
    };
    let output = Output {
        name,
        tensor: &tensor,
    };
    f(logits, output)
}

/// ONNX Runtime puts an output elsewhere if the node that makes it runs elsewhere.
pub(super) fn check_place(output: Output<'_>, place: Place) -> Result<(), TeacherError> {
    let memory = output.tensor.memory_info();
    let found = memory.allocation_device();
    if found.as_str().eq_ignore_ascii_case(place.memory) && memory.device_id() == place.number {
        return Ok(());
    }
    Err(CudaError::NotOnDevice {
        output: output.name.to_owned(),
        found: found.as_str().to_owned(),
        found_device: memory.device_id(),
        device: place.number,
    })?
}

fn missing(name: &str) -> TeacherError {
    TeacherError::LogitsDtype {
        output: name.to_owned(),
        got: "absent".to_owned(),
    }
}
