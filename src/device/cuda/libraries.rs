//! Loads NVIDIA's libraries on the first use of one of their functions, and never unloads them.

use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library as Handle, RTLD_LAZY, RTLD_LOCAL};

use super::library_paths;
use super::unavailable::CudaUnavailable;

/// In the order of their indices in `lazy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CudaLibrary {
    Driver,
    Cublas,
    CublasLt,
    Curand,
    Nvrtc,
}

/// The major version of the toolkit that this program was built with.
pub const MAJOR: &str = env!("TRANSCRIBE_CUDA_MAJOR");

type LibrarySlot = OnceLock<Result<Handle, CudaUnavailable>>;

static LOADED: [LibrarySlot; CudaLibrary::ALL.len()] = [const { OnceLock::new() }; CudaLibrary::ALL.len()];

impl CudaLibrary {
    pub const ALL: [CudaLibrary; 5] = [
        CudaLibrary::Driver,
        CudaLibrary::Cublas,
        CudaLibrary::CublasLt,
        CudaLibrary::Curand,
        CudaLibrary::Nvrtc,
    ];

    fn file(self) -> String {
        match self {
            CudaLibrary::Driver => "libcuda.so.1".into(),
            CudaLibrary::Cublas => format!("libcublas.so.{MAJOR}"),
            CudaLibrary::CublasLt => format!("libcublasLt.so.{MAJOR}"),
            // The same in CUDA 11, 12 and 13.
            CudaLibrary::Curand => "libcurand.so.10".into(),
            CudaLibrary::Nvrtc => format!("libnvrtc.so.{MAJOR}"),
        }
    }

    fn handle(self) -> Result<&'static Handle, CudaUnavailable> {
        LOADED[self as usize].get_or_init(|| load(self)).as_ref().map_err(Clone::clone)
    }
}

/// Loads the driver, or returns the reason why it cannot be loaded.
pub fn check_driver() -> Result<(), CudaUnavailable> {
    CudaLibrary::Driver.handle().map(drop)
}

/// Loads the libraries that candle requires, or returns the reason why the first missing one cannot be loaded.
pub fn check() -> Result<(), CudaUnavailable> {
    [CudaLibrary::Cublas, CudaLibrary::CublasLt, CudaLibrary::Curand]
        .into_iter()
        .try_for_each(|library| library.handle().map(drop))
}

pub fn is_loadable(library: CudaLibrary) -> bool {
    library.handle().is_ok()
}

/// Returns the address of a function, if the library is installed and has it.
pub fn address(library: CudaLibrary, function: &CStr) -> Option<*mut c_void> {
    let handle = library.handle().ok()?;
    // SAFETY: only the address is taken; the caller knows the function's type.
    let found = unsafe { handle.get::<*mut c_void>(function.to_bytes_with_nul()) }.ok()?;
    Some(*found).filter(|address| !address.is_null())
}

/// Loads a library by its name, or else from one of the known folders.
fn load(library: CudaLibrary) -> Result<Handle, CudaUnavailable> {
    let file = library.file();
    let mut rejection = match open(Path::new(&file)) {
        Ok(handle) => return Ok(handle),
        Err(why) => Some(why).filter(|why| !is_not_found(why, &file)),
    };
    let folders = folders(library);
    if library == CudaLibrary::Cublas {
        // cuBLAS looks for cuBLASLt only in its own folder.
        drop(CudaLibrary::CublasLt.handle());
    }
    for path in folders.iter().map(|folder| folder.join(&file)).filter(|path| path.is_file()) {
        match open(&path) {
            Ok(handle) => return Ok(handle),
            Err(why) => rejection = rejection.or(Some(why)),
        }
    }
    Err(match (rejection, library) {
        (Some(why), _) => CudaUnavailable::Unloadable { library: file, why },
        (None, CudaLibrary::Driver) => CudaUnavailable::NoDriver,
        (None, _) => {
            let major = MAJOR.parse().unwrap_or_default();
            CudaUnavailable::NoLibrary { library: file, folders: folders.len(), major }
        }
    })
}

fn folders(library: CudaLibrary) -> Vec<PathBuf> {
    match library {
        CudaLibrary::Driver => library_paths::driver_folders(),
        _ => library_paths::folders(MAJOR.parse().unwrap_or_default()),
    }
}

fn open(path: &Path) -> Result<Handle, String> {
    // SAFETY: NVIDIA's libraries may be loaded at any time, and are never unloaded.
    unsafe { Handle::open(Some(path), RTLD_LAZY | RTLD_LOCAL) }.map_err(|error| {
        // The loader's own message is the source.
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let message = source.unwrap_or_else(|| error.to_string());
        message.lines().next().unwrap_or_default().to_owned()
    })
}

/// Returns whether the loader did not find the library itself, rather than a dependency of it.
fn is_not_found(message: &str, file: &str) -> bool {
    message.contains("No such file") && message.contains(file) && !message.contains("needed by")
}
