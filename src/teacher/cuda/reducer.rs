//! One device's part of the reduction: context, kernels, stream and buffers, one launch per batch.

use super::compile::{Capability, compile};
use super::error::CudaError;
use super::layout::{
    Addresses, DeviceLogits, KERNELS, N_THREADS, OutputLayout, POSITION_WORDS, Reduction,
    RequestedOutputs, write_positions,
};
use super::outputs::{check_targets, read_sequences};
use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig, SignalsError};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr,
    DriverError, LaunchConfig, PinnedHostSlice, PushKernelArg, result, sys,
};
use std::sync::Arc;

// SAFETY: `#[repr(C)]`, only numbers, and the kernel's own `struct Reduction`.
unsafe impl DeviceRepr for Reduction {}

/// Reduces logits in one device's memory.
pub(in crate::teacher) struct DeviceReducer {
    device: u32,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// In the order of [`KERNELS`].
    kernels: Vec<CudaFunction>,
    requested: RequestedOutputs,
    config: SignalsConfig,
    inv_taus: CudaSlice<f32>,
    position_words: Vec<u64>,
    positions: Buffer,
    outputs: Buffer,
}

/// Words on the device with their pinned counterpart; grows to the largest batch and never shrinks.
struct Buffer {
    on_device: CudaSlice<u64>,
    on_host: PinnedHostSlice<u64>,
}

impl DeviceReducer {
    /// Opens the device's primary context, which ONNX Runtime uses too, and compiles the kernel.
    ///
    /// # Errors
    /// No driver, compiler or device; a configuration beyond the kernel's limits.
    pub(in crate::teacher) fn new(device: u32, config: &SignalsConfig) -> Result<Self, CudaError> {
        let requested = RequestedOutputs::new(config)?;
        let context = open_device(device)?;
        let capability = capability(&context, device)?;
        let binary = compile(device, capability)?;
        let load = |source| driver_error(device, "while loading the reduction kernel", source);
        let module = context.load_module(binary).map_err(load)?;
        let kernels = KERNELS.map(|name| module.load_function(name));
        let kernels = kernels
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(load)?;
        let prepare = |source| driver_error(device, "while allocating its first buffers", source);
        let stream = context.new_stream().map_err(prepare)?;
        // A launch needs an address even if there are no temperatures.
        let taus = if requested.inv_taus.is_empty() {
            &[1.0]
        } else {
            &requested.inv_taus[..]
        };
        let inv_taus = stream.clone_htod(taus).map_err(prepare)?;
        Ok(Self {
            device,
            positions: Buffer::new(&context, &stream, 1).map_err(prepare)?,
            outputs: Buffer::new(&context, &stream, 1).map_err(prepare)?,
            context,
            stream,
            kernels,
            requested,
            config: config.clone(),
            inv_taus,
            position_words: Vec::new(),
        })
    }

    /// Its number.
    pub(super) fn device(&self) -> u32 {
        self.device
    }

    /// The signals that it computes.
    pub(in crate::teacher) fn config(&self) -> &SignalsConfig {
        &self.config
    }

    /// Reduces a batch: position t of row b predicts `sequences[b].targets[t]`.
    ///
    /// # Errors
    /// The outer one is from the device, the inner one from the data.
    ///
    /// # Safety
    /// `logits` must describe memory of this device that is complete (its writer has been waited for), and that stays
    /// unchanged until this returns.
    pub(super) unsafe fn reduce(
        &mut self,
        logits: DeviceLogits,
        sequences: &[SequenceTargets<'_>],
    ) -> Result<Result<Vec<SequenceSignals>, SignalsError>, CudaError> {
        if let Err(error) = check_targets(logits, sequences, &self.config) {
            return Ok(Err(error));
        }
        write_positions(sequences, logits.width, &mut self.position_words);
        let n_positions = self.position_words.len() / POSITION_WORDS;
        let layout = OutputLayout::new(&self.requested, n_positions);
        if n_positions == 0 {
            return Ok(read_sequences(&[], &layout, sequences, &self.config));
        }
        self.make_room(n_positions, &layout)?;
        // SAFETY: the caller vouches for `logits`; the buffers have just been made large enough.
        let queued = unsafe { self.queue(logits, &layout, n_positions) };
        // Even after a failure: this batch must be finished before its buffers are used again, or ONNX Runtime reuses
        // the logits' memory.
        let done = self.stream.synchronize();
        let failed = |source| driver_error(self.device, "while reducing a batch", source);
        queued.and(done).map_err(failed)?;
        let words = self.outputs.on_host.as_slice().map_err(failed)?;
        Ok(read_sequences(
            &words[..layout.n_words],
            &layout,
            sequences,
            &self.config,
        ))
    }

    fn make_room(&mut self, n_positions: usize, layout: &OutputLayout) -> Result<(), CudaError> {
        let device = self.device;
        let (context, stream) = (&self.context, &self.stream);
        let grow = |buffer: &mut Buffer, n_words: usize| {
            buffer
                .grow(context, stream, n_words)
                .map_err(|source| allocation_error(device, 8 * n_words, n_positions, source))
        };
        grow(&mut self.positions, self.position_words.len())?;
        grow(&mut self.outputs, layout.n_words)
    }

    /// Queues the copies and the launch.
    ///
    /// # Safety
    /// As for [`Self::reduce`], and the buffers must hold the batch. The stream must be waited for before anything that
    /// this touches is used.
    unsafe fn queue(
        &mut self,
        logits: DeviceLogits,
        layout: &OutputLayout,
        n_positions: usize,
    ) -> Result<(), DriverError> {
        let n_words = self.position_words.len();
        let staged = &mut self.positions.on_host.as_mut_slice()?[..n_words];
        staged.copy_from_slice(&self.position_words);
        self.stream
            .memcpy_htod(staged, &mut self.positions.on_device)?;
        let stream = &self.stream;
        let (positions, _read) = self.positions.on_device.device_ptr(stream);
        let (inv_taus, _read_taus) = self.inv_taus.device_ptr(stream);
        let (outputs, written) = self.outputs.on_device.device_ptr_mut(stream);
        let addresses = Addresses {
            positions,
            inv_taus,
            outputs,
        };
        let reduction = layout.reduction(&self.requested, logits, addresses);
        let launch = LaunchConfig {
            grid_dim: (n_positions as u32, 1, 1),
            block_dim: (N_THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut kernel = stream.launch_builder(&self.kernels[logits.dtype as usize]);
        // SAFETY: the argument is the kernel's, its addresses refer to what the layout says, and the caller vouches for
        // the logits.
        unsafe { kernel.arg(&reduction).launch(launch) }?;
        drop(written);
        // Source and destination must have the same length: the copy is as long as its destination.
        let source = self.outputs.on_device.slice(..layout.n_words);
        let destination = &mut self.outputs.on_host.as_mut_slice()?[..layout.n_words];
        stream.memcpy_dtoh(&source, destination)
    }
}

impl Buffer {
    fn new(
        context: &Arc<CudaContext>,
        stream: &Arc<CudaStream>,
        n_words: usize,
    ) -> Result<Self, DriverError> {
        let on_device = stream.alloc_zeros(n_words)?;
        // Plain pinned memory: write-combined memory, the default, is slow to read from.
        // SAFETY: numbers, which are written before they are read.
        let mut on_host = unsafe { context.alloc_pinned_with_flags(n_words, 0) }?;
        on_host.as_mut_slice()?.fill(0);
        Ok(Self { on_device, on_host })
    }

    fn grow(
        &mut self,
        context: &Arc<CudaContext>,
        stream: &Arc<CudaStream>,
        n_words: usize,
    ) -> Result<(), DriverError> {
        if self.on_host.len() < n_words {
            *self = Self::new(context, stream, n_words.next_power_of_two())?;
        }
        Ok(())
    }
}

/// The device's primary context.
fn open_device(device: u32) -> Result<Arc<CudaContext>, CudaError> {
    // SAFETY: it opens the driver's library, whose initialisers do not depend on the program.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::DriverMissing);
    }
    let failed = |source| driver_error(device, "to open", source);
    result::init().map_err(failed)?;
    let n_devices = result::device::get_count().map_err(failed)?;
    if i64::from(device) >= i64::from(n_devices) {
        return Err(CudaError::NoSuchDevice { device, n_devices });
    }
    CudaContext::new(device as usize).map_err(failed)
}

fn capability(context: &CudaContext, device: u32) -> Result<Capability, CudaError> {
    let pair = context.compute_capability();
    let (major, minor) = pair
        .map_err(|source| driver_error(device, "while reporting its compute capability", source))?;
    Ok(Capability {
        major: major.unsigned_abs(),
        minor: minor.unsigned_abs(),
    })
}

fn driver_error(device: u32, doing: &'static str, source: DriverError) -> CudaError {
    CudaError::Driver {
        device,
        doing,
        source,
    }
}

fn allocation_error(
    device: u32,
    n_bytes: usize,
    n_positions: usize,
    source: DriverError,
) -> CudaError {
    match source.0 {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory {
            device,
            n_bytes,
            n_positions,
        },
        _ => driver_error(device, "while allocating memory for a batch", source),
    }
}
