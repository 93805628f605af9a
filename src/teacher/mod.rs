//! The model at work: ONNX Runtime found, loaded and run.
