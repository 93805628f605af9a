//! The kernel's source, built by the system's C compiler, in place of the device.

use crate::signals::{
    Logits, LogitsData, SequenceSignals, SequenceTargets, SignalsConfig, SignalsError, reduce_batch,
};
use crate::teacher::cuda::compile::KERNEL;
use crate::teacher::cuda::layout::*;
use crate::teacher::cuda::outputs::{check_targets, read_sequences};
use crate::teacher::dtype::LogitsDtype;
use half::{bf16, f16};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

const EMULATION: &str = include_str!("emulation.c");

type Emulate = unsafe extern "C" fn(u32, *const Reduction, u32, u32) -> i32;

/// The kernel in a shared library. Its shared memory is static, so launches take turns.
pub(super) struct Emulator {
    pub(super) library: libloading::Library,
    one_at_a_time: Mutex<()>,
}

pub(super) fn emulator() -> &'static Emulator {
    static EMULATOR: OnceLock<Emulator> = OnceLock::new();
    EMULATOR.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("kernel.cu"), KERNEL).unwrap();
        std::fs::write(file("emulation.c"), EMULATION).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(&compiler);
        // A multiplication and an addition stay two operations, as the GPU's compiler is also told.
        command.args(["-std=c11", "-O1", "-ffp-contract=off", "-fno-strict-aliasing"]);
        command.args(["-fPIC", "-shared", "-pthread", "-o"]);
        command.args([file("kernel.so"), file("emulation.c")]).arg("-lm");
        let output = command.output().unwrap_or_else(|error| {
            panic!("this test builds the CUDA kernel for the CPU and needs a C compiler, but {compiler} cannot be started ({error}); install one, or name it in CC")
        });
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{compiler} refused the kernel:\n{messages}");
        // SAFETY: built just now from this directory's source, which has no initialisers.
        let library = unsafe { libloading::Library::new(file("kernel.so")) }.unwrap();
        Emulator {
            library,
            one_at_a_time: Mutex::new(()),
        }
    })
}

/// Logits of one batch in any dtype, `[B, T, stride]`.
pub(super) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Values {
    pub(super) fn new(dtype: LogitsDtype, values: &[f32]) -> Self {
        match dtype {
            LogitsDtype::F32 => Self::F32(values.to_vec()),
            LogitsDtype::F16 => Self::F16(values.iter().map(|&z| f16::from_f32(z)).collect()),
            LogitsDtype::Bf16 => Self::Bf16(values.iter().map(|&z| bf16::from_f32(z)).collect()),
        }
    }

    fn lend(&self) -> (LogitsData<'_>, LogitsDtype, u64) {
        match self {
            Self::F32(v) => (LogitsData::F32(v), LogitsDtype::F32, v.as_ptr() as u64),
            Self::F16(v) => (LogitsData::F16(v), LogitsDtype::F16, v.as_ptr() as u64),
            Self::Bf16(v) => (LogitsData::Bf16(v), LogitsDtype::Bf16, v.as_ptr() as u64),
        }
    }
}

/// One batch: its logits, and its targets.
pub(super) struct Batch {
    pub(super) values: Values,
    pub(super) width: usize,
    pub(super) stride: usize,
    pub(super) targets: Vec<(u64, Vec<u32>)>,
}

impl Batch {
    /// One row of positions, each with its target.
    pub(super) fn of_rows(dtype: LogitsDtype, rows: &[Vec<f32>], targets: Vec<u32>) -> Self {
        Self {
            values: Values::new(dtype, &rows.concat()),
            width: rows.len(),
            stride: rows[0].len(),
            targets: vec![(7, targets)],
        }
    }

    fn sequences(&self) -> Vec<SequenceTargets<'_>> {
        self.targets
            .iter()
            .map(|(seq_id, targets)| SequenceTargets {
                seq_id: *seq_id,
                targets,
            })
            .collect()
    }

    pub(super) fn on_cpu(
        &self,
        config: &SignalsConfig,
    ) -> Result<Vec<SequenceSignals>, SignalsError> {
        let logits = Logits {
            data: self.values.lend().0,
            n_rows: self.targets.len(),
            width: self.width,
            vocab_size: self.stride,
        };
        reduce_batch(logits, &self.sequences(), config)
    }

    pub(super) fn emulated(
        &self,
        config: &SignalsConfig,
        n_threads: u32,
    ) -> Result<Vec<SequenceSignals>, SignalsError> {
        let (_, dtype, address) = self.values.lend();
        let logits = DeviceLogits {
            address,
            dtype,
            n_rows: self.targets.len(),
            width: self.width,
            stride: self.stride,
        };
        reduce_emulated(logits, &self.sequences(), config, n_threads)
    }
}

/// As in `DeviceReducer::reduce`. The logits must be in this process's memory, with the stated
/// size.
pub(super) fn reduce_emulated(
    logits: DeviceLogits,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
    n_threads: u32,
) -> Result<Vec<SequenceSignals>, SignalsError> {
    check_targets(logits, sequences, config)?;
    let requested = RequestedOutputs::new(config).unwrap();
    let mut positions = Vec::new();
    write_positions(sequences, logits.width, &mut positions);
    let n_positions = positions.len() / POSITION_WORDS;
    let layout = OutputLayout::new(&requested, n_positions);
    let mut words = vec![u64::MAX; layout.n_words];
    let addresses = Addresses {
        positions: positions.as_ptr() as u64,
        inv_taus: requested.inv_taus.as_ptr() as u64,
        outputs: words.as_mut_ptr() as u64,
    };
    let reduction = layout.reduction(&requested, logits, addresses);
    launch(logits.dtype, &reduction, n_positions as u32, n_threads);
    read_sequences(&words, &layout, sequences, config)
}

fn launch(dtype: LogitsDtype, reduction: &Reduction, n_blocks: u32, n_threads: u32) {
    let emulator = emulator();
    let _turn = emulator
        .one_at_a_time
        .lock()
        .unwrap_or_else(|e| e.into_inner());
    // SAFETY: the symbol has this signature in emulation.c.
    let emulate = unsafe { emulator.library.get::<Emulate>(b"emulate\0") }.unwrap();
    // SAFETY: the addresses are those of buffers that the caller keeps and that are laid out for
    // the kernel.
    let error = unsafe { emulate(dtype as u32, reduction, n_blocks, n_threads) };
    assert_eq!(error, 0, "the system refused a thread");
}
