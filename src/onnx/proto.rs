//! The small messages of `onnx.proto` that are decoded or written as structs. Field numbers are ONNX's.

use super::types::{DType, Dim, TensorInfo};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) r#type: Option<TypeProto>,
}

/// Only the tensor case: a sequence, map or optional leaves `tensor_type` empty.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(super) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) dim_param: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StringEntryProto {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(float, tag = "2")]
    pub(super) f: f32,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<SmallTensorProto>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(super) r#type: i32,
}

/// A tensor small enough to sit in a node's attribute.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SmallTensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) raw_data: Vec<u8>,
}

impl ValueInfoProto {
    pub(super) fn from_info(info: &TensorInfo) -> Self {
        let shape = info.dims.as_ref().map(|dims| TensorShapeProto {
            dim: dims.iter().map(DimensionProto::from_dim).collect(),
        });
        Self {
            name: info.name.clone(),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: info.dtype.code(),
                    shape,
                }),
            }),
        }
    }

    pub(super) fn into_info(self) -> TensorInfo {
        let tensor = self.r#type.and_then(|t| t.tensor_type).unwrap_or_default();
        TensorInfo {
            name: self.name,
            dtype: DType::from_code(tensor.elem_type),
            dims: tensor
                .shape
                .map(|s| s.dim.into_iter().map(DimensionProto::into_dim).collect()),
        }
    }
}

impl DimensionProto {
    fn from_dim(dim: &Dim) -> Self {
        match dim {
            Dim::Fixed(size) => Self {
                dim_value: Some(i64::try_from(*size).unwrap_or(i64::MAX)),
                dim_param: None,
            },
            Dim::Symbol(name) => Self {
                dim_value: None,
                dim_param: Some(name.clone()),
            },
            Dim::Unknown => Self::default(),
        }
    }

    /// A negative size, which some exporters write for "dynamic", is [`Dim::Unknown`].
    fn into_dim(self) -> Dim {
        match (self.dim_value.map(u64::try_from), self.dim_param) {
            (_, Some(name)) if !name.is_empty() => Dim::Symbol(name),
            (Some(Ok(size)), _) => Dim::Fixed(size),
            _ => Dim::Unknown,
        }
    }
}
