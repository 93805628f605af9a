//! Where a teacher runs.

use crate::error::{Classified, Kind};
use std::fmt;
use std::str::FromStr;

/// A device by its execution provider in ONNX Runtime; those with a number are `name` for the first
/// and `name:N` for another.
///
/// The project's tests run only the CPU; see [`DeviceChoice::has_run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// CUDA if it works, else the CPU, with a note.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, or failure.
    Cuda(u32),
    /// TensorRT on the CUDA device of this number; CUDA runs what TensorRT does not support.
    TensorRt(u32),
    /// MIGraphX on the AMD device of this number.
    MiGraphX(u32),
    /// ROCm on the AMD device of this number; available in ONNX Runtime up to version 1.22.
    Rocm(u32),
    /// OpenVINO on the device that it chooses itself.
    OpenVino,
    /// Apple's Core ML.
    CoreMl,
    /// DirectML on the adapter of this number.
    DirectMl(u32),
}

/// A device that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown device {0:?}; expected auto, cpu, cuda, tensorrt, migraphx, rocm, openvino, coreml or directml, or cuda:N, tensorrt:N, migraphx:N, rocm:N, directml:N"
)]
pub struct UnknownDevice(String);

impl Classified for UnknownDevice {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl DeviceChoice {
    /// Every device that can be named, with number 0 where there are numbers; without `auto`.
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Cuda(0),
        Self::TensorRt(0),
        Self::MiGraphX(0),
        Self::Rocm(0),
        Self::OpenVino,
        Self::CoreMl,
        Self::DirectMl(0),
    ];

    /// Name of its execution provider in ONNX Runtime; the CPU's for `auto`.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => "CPUExecutionProvider",
            Self::Cuda(_) => "CUDAExecutionProvider",
            Self::TensorRt(_) => "TensorrtExecutionProvider",
            Self::MiGraphX(_) => "MIGraphXExecutionProvider",
            Self::Rocm(_) => "ROCMExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
            Self::CoreMl => "CoreMLExecutionProvider",
            Self::DirectMl(_) => "DmlExecutionProvider",
        }
    }

    /// Whether the project has ever run a model there: on the CPU always, and on OpenVINO by hand,
    /// with its CPU plug-in. The others are known only from ONNX Runtime's documentation.
    pub fn has_run(self) -> bool {
        matches!(self, Self::Auto | Self::Cpu | Self::OpenVino)
    }

    /// What to do if it does not work.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => "install ONNX Runtime again: `pip install onnxruntime`",
            Self::Cuda(_) => {
                "use --device cpu, or install a GPU build with `pip install onnxruntime-gpu` on a machine with an NVIDIA driver"
            }
            Self::TensorRt(_) => {
                "use --device cuda or cpu, or install `pip install onnxruntime-gpu tensorrt` on a machine with an NVIDIA driver"
            }
            Self::MiGraphX(_) | Self::Rocm(_) => {
                "use --device cpu, or pass --ort-lib an ONNX Runtime that is built with it, such as AMD's, on a machine with an AMD device"
            }
            Self::OpenVino => {
                "use --device cpu, or install it with `pip install onnxruntime-openvino`"
            }
            Self::CoreMl => "use --device cpu; only ONNX Runtime for macOS and iOS has it",
            Self::DirectMl(_) => {
                "use --device cpu, or install it on Windows with `pip install onnxruntime-directml`"
            }
        }
    }

    /// Its name without a number, and its number.
    fn parts(self) -> (&'static str, u32) {
        match self {
            Self::Auto => ("auto", 0),
            Self::Cpu => ("cpu", 0),
            Self::Cuda(number) => ("cuda", number),
            Self::TensorRt(number) => ("tensorrt", number),
            Self::MiGraphX(number) => ("migraphx", number),
            Self::Rocm(number) => ("rocm", number),
            Self::OpenVino => ("openvino", 0),
            Self::CoreMl => ("coreml", 0),
            Self::DirectMl(number) => ("directml", number),
        }
    }

    /// The same kind of device under another number, if that kind has numbers.
    fn numbered(self, number: u32) -> Option<Self> {
        match self {
            Self::Auto | Self::Cpu | Self::OpenVino | Self::CoreMl => None,
            Self::Cuda(_) => Some(Self::Cuda(number)),
            Self::TensorRt(_) => Some(Self::TensorRt(number)),
            Self::MiGraphX(_) => Some(Self::MiGraphX(number)),
            Self::Rocm(_) => Some(Self::Rocm(number)),
            Self::DirectMl(_) => Some(Self::DirectMl(number)),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownDevice(text.to_owned());
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let device = [Self::Auto]
            .into_iter()
            .chain(Self::ALL)
            .find(|device| device.parts().0 == name)
            .ok_or_else(unknown)?;
        match number {
            None => Ok(device),
            Some(number) => number
                .parse()
                .ok()
                .and_then(|number| device.numbered(number))
                .ok_or_else(unknown),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (name, 0) => f.write_str(name),
            (name, number) => write!(f, "{name}:{number}"),
        }
    }
}
