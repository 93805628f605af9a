//! Settings of ONNX Runtime's CUDA execution provider.

use ort::ep::{ArenaExtendStrategy, CUDA, cuda::ConvAlgorithmSearch};

/// The provider on device `number`.
///
/// - TF32 off: it is on by default since Ampere, and keeps 10 bits of a product's factors, which
///   changes logits, and with them ranks and scores, far more than anything else here.
/// - Convolutions chosen by heuristic: the default times every algorithm at each new shape, so a
///   short last batch costs seconds, and the winner may differ from run to run.
/// - Memory extended by what is requested: the default doubles it, and the largest buffer, the
///   logits, comes last; the rest is needed for the next batch and the reduction's own buffers.
pub(in crate::teacher) fn cuda_provider(number: u32) -> CUDA {
    CUDA::default()
        .with_device_id(i32::try_from(number).unwrap_or(i32::MAX))
        .with_tf32(false)
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
}
