//! What a shard records of the program and the machine that made its numbers.

use crate::shards::RuntimeStamp;
use crate::signals;
use crate::teacher::{ReduceChoice, Teacher, TeacherInfo};

/// What a sidecar records of the machine's side of the numbers.
pub(super) fn runtime_stamp(teacher: &Teacher) -> RuntimeStamp {
    RuntimeStamp {
        ort_version: teacher.info().ort_version.clone(),
        provider: provider_stamp(teacher.info()),
        instruction_set: match teacher.info().reduction {
            // This processor adds nothing up then.
            ReduceChoice::Cuda => "cuda".to_owned(),
            _ => signals::instruction_set().to_owned(),
        },
        saltworks_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The provider, and the place of the reduction where it is not this processor: sums are made in
/// another order there.
fn provider_stamp(info: &TeacherInfo) -> String {
    match info.reduction {
        ReduceChoice::Auto | ReduceChoice::Host => info.provider.clone(),
        place => format!("{}+{place}", info.provider),
    }
}
