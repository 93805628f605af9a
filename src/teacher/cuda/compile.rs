//! Compiles the kernel's source for one device with NVIDIA's run-time compiler (NVRTC), which needs
//! neither a GPU nor a driver.

use super::error::CudaError;
use cudarc::nvrtc::{Ptx, result, sys};
use std::ffi::{CStr, CString, c_char};

/// Plain CUDA C, documented in the file.
pub(super) const KERNEL: &str = include_str!("kernel.cu");

/// The compiler must not fuse operations that the CPU does not fuse, nor flush subnormals to zero.
const OPTIONS: [&str; 3] = ["--fmad=false", "--ftz=false", "--prec-div=true"];

/// Compute capability of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capability {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Capability {
    /// In the numbering of architectures: 9.0 is 90.
    fn number(self) -> i32 {
        (10 * self.major + self.minor) as i32
    }
}

/// What to compile for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Architecture {
    /// The device's own machine code, which any driver of the compiler's major version loads.
    Binary(i32),
    /// Code that the driver translates, for a device newer than the compiler.
    Virtual(i32),
}

impl Architecture {
    /// `known` are the compiler's architectures, in increasing order.
    fn choose(device: Capability, known: &[i32]) -> Option<Self> {
        let number = device.number();
        if known.contains(&number) {
            return Some(Self::Binary(number));
        }
        let older = known.iter().rev().find(|&&known| known < number);
        older.map(|&known| Self::Virtual(known))
    }

    fn name(self) -> String {
        match self {
            Self::Binary(number) => format!("sm_{number}"),
            Self::Virtual(number) => format!("compute_{number}"),
        }
    }
}

/// The kernel for device number `device`.
pub(super) fn compile(device: u32, capability: Capability) -> Result<Ptx, CudaError> {
    // SAFETY: it opens the library, whose initialisers do not depend on the program.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::CompilerMissing);
    }
    let known = known_architectures()?;
    let architecture = Architecture::choose(capability, &known)
        .ok_or_else(|| too_old(device, capability, &known))?;
    compile_for(architecture)
}

fn too_old(device: u32, capability: Capability, known: &[i32]) -> CudaError {
    let oldest = known.first().map_or(0, |&oldest| oldest as u32);
    CudaError::DeviceTooOld {
        device,
        major: capability.major,
        minor: capability.minor,
        oldest_major: oldest / 10,
        oldest_minor: oldest % 10,
    }
}

fn known_architectures() -> Result<Vec<i32>, CudaError> {
    let mut n_known = 0;
    // SAFETY: the pointer is valid for writing one number.
    let status = unsafe { sys::nvrtcGetNumSupportedArchs(&mut n_known) };
    check(status, "any device")?;
    let mut known = vec![0; usize::try_from(n_known).unwrap_or(0)];
    // SAFETY: there is room for as many numbers as the compiler has just said it writes.
    let status = unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) };
    check(status, "any device")?;
    known.sort_unstable();
    Ok(known)
}

fn check(status: sys::nvrtcResult, architecture: &str) -> Result<(), CudaError> {
    status.result().map_err(|error| CudaError::Compile {
        architecture: architecture.to_owned(),
        log: format!("{:?}", error.0),
    })
}

fn compile_for(architecture: Architecture) -> Result<Ptx, CudaError> {
    let name = architecture.name();
    let program = Program::new(&name)?;
    program.compile(&name)?;
    match architecture {
        Architecture::Binary(_) => program.binary(&name),
        Architecture::Virtual(_) => program.ptx(&name),
    }
}

/// One source handed to the compiler.
struct Program {
    handle: sys::nvrtcProgram,
    /// The handle may refer to it.
    _source: CString,
}

impl Program {
    fn new(architecture: &str) -> Result<Self, CudaError> {
        let source = CString::new(KERNEL).unwrap_or_default();
        let handle = result::create_program(&source, Some(c"kernel.cu"));
        let handle = handle.map_err(|error| failed(architecture, format!("{:?}", error.0)))?;
        Ok(Self {
            handle,
            _source: source,
        })
    }

    fn compile(&self, architecture: &str) -> Result<(), CudaError> {
        let target = format!("--gpu-architecture={architecture}");
        let options: Vec<&str> = OPTIONS.into_iter().chain([target.as_str()]).collect();
        // SAFETY: the handle comes from create_program and lives as long as `self`.
        let compiled = unsafe { result::compile_program(self.handle, &options) };
        compiled.map_err(|error| failed(architecture, self.log(&format!("{:?}", error.0))))
    }

    fn log(&self, error: &str) -> String {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(self.handle) }.unwrap_or_default();
        let bytes: Vec<u8> = log.iter().map(|&byte| byte as u8).collect();
        let text = CStr::from_bytes_until_nul(&bytes).map(CStr::to_string_lossy);
        format!("{error}: {}", text.unwrap_or_default().trim())
    }

    fn binary(&self, architecture: &str) -> Result<Ptx, CudaError> {
        let mut n_bytes = 0;
        // SAFETY: the handle lives as long as `self`; the pointer is valid for writing one number.
        let status = unsafe { sys::nvrtcGetCUBINSize(self.handle, &mut n_bytes) };
        check(status, architecture)?;
        let mut bytes = vec![0_u8; n_bytes];
        let start = bytes.as_mut_ptr().cast::<c_char>();
        // SAFETY: there is room for as many bytes as the compiler has just said it writes.
        let status = unsafe { sys::nvrtcGetCUBIN(self.handle, start) };
        check(status, architecture)?;
        Ok(Ptx::from_binary(bytes))
    }

    fn ptx(&self, architecture: &str) -> Result<Ptx, CudaError> {
        // SAFETY: the handle lives as long as `self`.
        let text = unsafe { result::get_ptx(self.handle) };
        let text = text.map_err(|error| failed(architecture, format!("{:?}", error.0)))?;
        // The compiler ends it with a NUL, which the driver requires too.
        Ok(Ptx::from_binary(
            text.iter().map(|&byte| byte as u8).collect(),
        ))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: destroyed once, and the handle is not used again. A failure leaks memory only.
        let _ = unsafe { result::destroy_program(self.handle) };
    }
}

fn failed(architecture: &str, log: String) -> CudaError {
    CudaError::Compile {
        architecture: architecture.to_owned(),
        log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [i32; 5] = [75, 80, 86, 90, 120];

    fn chosen(major: u32, minor: u32) -> Option<String> {
        Architecture::choose(Capability { major, minor }, &KNOWN).map(Architecture::name)
    }

    #[test]
    fn a_device_that_the_compiler_knows_gets_its_own_machine_code() {
        assert_eq!(chosen(8, 6).as_deref(), Some("sm_86"));
        assert_eq!(chosen(12, 0).as_deref(), Some("sm_120"));
    }

    #[test]
    fn a_device_that_is_newer_gets_code_for_the_driver_to_translate() {
        assert_eq!(chosen(12, 1).as_deref(), Some("compute_120"));
        assert_eq!(chosen(8, 9).as_deref(), Some("compute_86"));
    }

    /// NVRTC needs no GPU. Without it the same call has to say what is missing.
    #[test]
    fn the_kernel_compiles_for_every_architecture_or_the_compilers_absence_is_named() {
        let newest = Capability {
            major: 99,
            minor: 0,
        };
        match compile(0, newest) {
            Err(error) => {
                assert!(matches!(error, CudaError::CompilerMissing), "{error}");
                assert!(error.to_string().contains("pip install nvidia-cuda-nvrtc"));
            }
            Ok(ptx) => {
                assert!(!ptx.as_bytes().is_some_and(<[u8]>::is_empty));
                for number in known_architectures().unwrap() {
                    compile_for(Architecture::Binary(number)).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_device_that_is_older_is_refused_with_the_oldest_that_is_known() {
        assert_eq!(chosen(7, 0), None);
        let error = too_old(1, Capability { major: 7, minor: 0 }, &KNOWN).to_string();
        assert!(error.contains("7.0") && error.contains("7.5"), "{error}");
        assert!(error.contains("nvidia-cuda-nvrtc-cu12"), "{error}");
    }
}
