//! What a shard records about the program and the machine that made its numbers.

use crate::shards::RuntimeStamp;
use crate::signals;
use crate::teacher::{ReduceChoice, Teacher, TeacherInfo};

/// The part of a sidecar about program and machine.
pub(super) fn runtime_stamp(teacher: &Teacher) -> RuntimeStamp {
    RuntimeStamp {
        ort_version: teacher.info().ort_version.clone(),
        provider: provider_stamp(teacher.info()),
        instruction_set: match teacher.info().reduction {
            // Then no sums are made on this processor.
            ReduceChoice::Cuda => "cuda".to_owned(),
            _ => signals::instruction_set().to_owned(),
        },
        saltworks_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The provider, and where the reduction runs if not on this processor: the order of sums is
/// different there.
fn provider_stamp(info: &TeacherInfo) -> String {
    match info.reduction {
        ReduceChoice::Auto | ReduceChoice::Host => info.provider.clone(),
        place => format!("{}+{place}", info.provider),
    }
}
