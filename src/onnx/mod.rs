//! What an ONNX file says of itself, and writing small ones. No runtime.
