//! Plain data of this room.

use std::fmt;

/// Element types of ONNX tensors, by `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 1: IEEE single precision.
    F32,
    /// 2
    U8,
    /// 3
    I8,
    /// 4
    U16,
    /// 5
    I16,
    /// 6
    I32,
    /// 7
    I64,
    /// 8
    String,
    /// 9
    Bool,
    /// 10: IEEE half precision.
    F16,
    /// 11: IEEE double precision.
    F64,
    /// 12
    U32,
    /// 13
    U64,
    /// 16: bfloat16.
    Bf16,
    /// Any other code (complex, 8-bit floats, 4-bit integers, or none given).
    Other(i32),
}

impl DType {
    /// The dtype of a `TensorProto.DataType` code.
    pub fn from_code(code: i32) -> Self {
        match code {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            8 => Self::String,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::Bf16,
            other => Self::Other(other),
        }
    }

    /// The `TensorProto.DataType` code.
    pub fn code(self) -> i32 {
        match self {
            Self::F32 => 1,
            Self::U8 => 2,
            Self::I8 => 3,
            Self::U16 => 4,
            Self::I16 => 5,
            Self::I32 => 6,
            Self::I64 => 7,
            Self::String => 8,
            Self::Bool => 9,
            Self::F16 => 10,
            Self::F64 => 11,
            Self::U32 => 12,
            Self::U64 => 13,
            Self::Bf16 => 16,
            Self::Other(code) => code,
        }
    }

    /// Bytes an element takes in `raw_data`; `None` if that is not a whole, known number.
    pub fn size(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => Some(2),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::String | Self::Other(_) => None,
        }
    }

    /// Whether logits may come in this dtype.
    pub fn is_logits_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Whether token ids, masks and positions may be fed in this dtype.
    pub fn is_index(self) -> bool {
        matches!(self, Self::I32 | Self::I64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::F32 => "float32",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::String => "string",
            Self::Bool => "bool",
            Self::F16 => "float16",
            Self::F64 => "float64",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::Bf16 => "bfloat16",
            Self::Other(code) => return write!(f, "dtype {code}"),
        };
        f.write_str(name)
    }
}

/// One dimension of a tensor, as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(u64),
    /// Dynamic, with a name that may tell its meaning.
    Symbol(String),
    /// Dynamic, without a name.
    Unknown,
}

impl Dim {
    /// A named dynamic dimension.
    pub fn symbol(name: &str) -> Self {
        Self::Symbol(name.to_owned())
    }

    /// The size, if it is fixed.
    pub fn fixed(&self) -> Option<u64> {
        match self {
            Self::Fixed(size) => Some(*size),
            _ => None,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Symbol(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// A graph input or output: name, dtype and shape as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions; `None` if the file declares no shape at all, not even a rank.
    pub dims: Option<Vec<Dim>>,
}

impl TensorInfo {
    /// The rank, if the file declares one.
    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    /// Dimension `idx`, if the file declares it.
    pub fn dim(&self, idx: usize) -> Option<&Dim> {
        self.dims.as_ref().and_then(|dims| dims.get(idx))
    }
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.dtype)?;
        match &self.dims {
            None => f.write_str(" (no shape)"),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
                write!(f, "[{}]", dims.join(", "))
            }
        }
    }
}

/// An operator set that a model imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsetImport {
    /// Empty for the standard ONNX operators.
    pub domain: String,
    /// Version of that domain's operators.
    pub version: i64,
}
