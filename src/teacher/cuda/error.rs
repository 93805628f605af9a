//! Errors of reducing positions on a CUDA device.

use super::limits::{BLOCK, MAX_K, MAX_SUMMED_BLOCKS};
use crate::error::{Classified, Kind};
use cudarc::driver::DriverError;

/// A device that cannot reduce logits, or failed to.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// The model does not run where its logits should be reduced.
    #[error(
        "--reduce cuda needs the teacher on a CUDA device, but it runs on {device}; add --device cuda, or use --reduce host"
    )]
    OtherDevice {
        /// Where it runs.
        device: String,
    },
    /// No libcuda.
    #[error(
        "the NVIDIA driver's library (libcuda.so.1) was not found; install the driver, or use --device cpu"
    )]
    DriverMissing,
    /// No libnvrtc.
    #[error(
        "NVIDIA's run-time compiler (libnvrtc) was not found; it compiles the kernel that reduces logits on the device. Install it in addition to onnxruntime-gpu: `pip install nvidia-cuda-nvrtc` (nvidia-cuda-nvrtc-cu12 for a driver of CUDA 12), add its folder to LD_LIBRARY_PATH, or use --reduce host"
    )]
    CompilerMissing,
    /// There are fewer devices than the number requires.
    #[error(
        "there is no CUDA device {device}: the driver shows {n_devices}; choose one with --device cuda:N, counted from 0, and check CUDA_VISIBLE_DEVICES"
    )]
    NoSuchDevice {
        /// As requested.
        device: u32,
        /// As many as there are.
        n_devices: i32,
    },
    /// A device that this compiler no longer supports.
    #[error(
        "CUDA device {device} has compute capability {major}.{minor}, but the run-time compiler that was found needs {oldest_major}.{oldest_minor} or newer; install an older one (`pip install nvidia-cuda-nvrtc-cu12`), or use --reduce host"
    )]
    DeviceTooOld {
        /// Its number.
        device: u32,
        /// Of its compute capability.
        major: u32,
        /// Of its compute capability.
        minor: u32,
        /// Of the oldest supported one.
        oldest_major: u32,
        /// Of the oldest supported one.
        oldest_minor: u32,
    },
    /// The compiler refused the kernel.
    #[error(
        "the run-time compiler rejected the reduction kernel for {architecture}: {log}; install another version of the compiler, or use --reduce host"
    )]
    Compile {
        /// Such as `sm_90`.
        architecture: String,
        /// The compiler's log, or the name of its error.
        log: String,
    },
    /// The driver failed.
    #[error(
        "CUDA device {device} failed {doing}; {}or use --reduce host",
        remedy(source)
    )]
    Driver {
        /// Its number.
        device: u32,
        /// Such as "to load the kernel".
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// Not enough device or pinned memory.
    #[error(
        "CUDA device {device} has less than the {n_bytes} bytes of memory left that the reduced values of {n_positions} positions need; free some of its memory, or use --reduce host"
    )]
    OutOfMemory {
        /// Its number.
        device: u32,
        /// Bytes requested.
        n_bytes: usize,
        /// Positions of the batch.
        n_positions: usize,
    },
    /// The logits are not where the kernel can read them.
    #[error(
        "output {output} came back in {found} of device {found_device}, expected Cuda of device {device}: the model's last node has no CUDA kernel and ran on the CPU; use --reduce host"
    )]
    NotOnDevice {
        /// The output's name.
        output: String,
        /// Kind of memory.
        found: String,
        /// The device's number.
        found_device: i32,
        /// The number requested.
        device: i32,
    },
    /// The kernel and the CPU give different signals for the same tokens.
    #[error(
        "the reduction kernel on CUDA device {device} gives a different {what} than the CPU for the same tokens, so its labels could not be trusted; use --reduce host, and please report the device and its driver"
    )]
    Disagrees {
        /// Its number.
        device: u32,
        /// The first quantity that differs.
        what: &'static str,
    },
    /// K does not fit a block's shared memory.
    #[error(
        "--top-k {top_k} exceeds the maximum of {MAX_K} on a CUDA device; lower it, or use --reduce host"
    )]
    TopK {
        /// K.
        top_k: usize,
    },
    /// N does not fit a block's shared memory.
    #[error(
        "{n_draws} samples per position exceed the maximum of {MAX_K} on a CUDA device; lower --samples, or use --reduce host"
    )]
    Draws {
        /// N.
        n_draws: u32,
    },
    /// Too many ids to draw from.
    #[error(
        "sampling on a CUDA device supports at most {} ids, but the vocabulary has {vocab_size}; leave samples out, or use --reduce host",
        BLOCK * MAX_SUMMED_BLOCKS
    )]
    DrawsVocabulary {
        /// V.
        vocab_size: usize,
    },
}

impl Classified for CudaError {
    fn kind(&self) -> Kind {
        match self {
            Self::Driver { .. } | Self::Compile { .. } | Self::Disagrees { .. } => Kind::Failed,
            _ => Kind::Usage,
        }
    }
}

/// What may help with the driver's error, before what always does; ends with ", ".
fn remedy(source: &DriverError) -> &'static str {
    use cudarc::driver::sys::CUresult;
    match source.0 {
        CUresult::CUDA_ERROR_INVALID_IMAGE
        | CUresult::CUDA_ERROR_INVALID_PTX
        | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {
            "its driver is older than the run-time compiler: update the driver, install an older compiler (`pip install nvidia-cuda-nvrtc-cu12`), "
        }
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "the driver shows no device: see nvidia-smi and CUDA_VISIBLE_DEVICES, "
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "the driver's library and its kernel module are not of one version: restart the machine, reinstall the driver, "
        }
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => "free some of its memory, ",
        _ => "check nvidia-smi and the driver's log, ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::driver::sys::CUresult;

    fn driver(code: CUresult) -> CudaError {
        CudaError::Driver {
            device: 0,
            doing: "to open",
            source: DriverError(code),
        }
    }

    #[test]
    fn a_device_or_compiler_that_fails_is_answered_with_a_place_that_needs_neither() {
        let failures = [
            CudaError::CompilerMissing,
            CudaError::DeviceTooOld {
                device: 0,
                major: 3,
                minor: 5,
                oldest_major: 5,
                oldest_minor: 0,
            },
            CudaError::Compile {
                architecture: "sm_90".to_owned(),
                log: "NVRTC_ERROR_COMPILATION".to_owned(),
            },
            driver(CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION),
            driver(CUresult::CUDA_ERROR_NO_DEVICE),
            driver(CUresult::CUDA_ERROR_STUB_LIBRARY),
            driver(CUresult::CUDA_ERROR_OUT_OF_MEMORY),
            driver(CUresult::CUDA_ERROR_LAUNCH_FAILED),
        ];
        for failure in failures {
            let message = failure.to_string();
            assert!(message.ends_with(", or use --reduce host"), "{message}");
        }
    }
}
