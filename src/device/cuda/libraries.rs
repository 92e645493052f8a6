//! NVIDIA's libraries, loaded once when the first of their functions is needed, and never closed.

use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library as Handle, RTLD_LAZY, RTLD_LOCAL};

use super::library_paths;
use super::unavailable::Refusal;

/// In the order of their numbers in `lazy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    Driver,
    Cublas,
    CublasLt,
    Curand,
    Nvrtc,
}

/// Of the toolkit that this program was built with.
pub const MAJOR: &str = env!("TRANSCRIBE_CUDA_MAJOR");

type Loaded = OnceLock<Result<Handle, Refusal>>;

static LOADED: [Loaded; Library::ALL.len()] = [const { OnceLock::new() }; Library::ALL.len()];

impl Library {
    pub const ALL: [Library; 5] =
        [Library::Driver, Library::Cublas, Library::CublasLt, Library::Curand, Library::Nvrtc];

    fn file(self) -> String {
        match self {
            Library::Driver => "libcuda.so.1".into(),
            Library::Cublas => format!("libcublas.so.{MAJOR}"),
            Library::CublasLt => format!("libcublasLt.so.{MAJOR}"),
            // It did not change with CUDA 11, 12 and 13.
            Library::Curand => "libcurand.so.10".into(),
            Library::Nvrtc => format!("libnvrtc.so.{MAJOR}"),
        }
    }

    fn handle(self) -> Result<&'static Handle, Refusal> {
        LOADED[self as usize].get_or_init(|| load(self)).as_ref().map_err(Clone::clone)
    }
}

/// The driver, or why there is none.
pub fn check_driver() -> Result<(), Refusal> {
    Library::Driver.handle().map(drop)
}

/// All that candle cannot do without, or the first that is not to be had.
pub fn check() -> Result<(), Refusal> {
    [Library::Cublas, Library::CublasLt, Library::Curand]
        .into_iter()
        .try_for_each(|library| library.handle().map(drop))
}

pub fn is_there(library: Library) -> bool {
    library.handle().is_ok()
}

/// Of a function, if the library is here and has it.
pub fn address(library: Library, function: &CStr) -> Option<*mut c_void> {
    let handle = library.handle().ok()?;
    // SAFETY: only the address is taken; whoever calls it knows its type.
    let found = unsafe { handle.get::<*mut c_void>(function.to_bytes_with_nul()) }.ok()?;
    Some(*found).filter(|address| !address.is_null())
}

/// From where the loader looks, else from one of the folders.
fn load(library: Library) -> Result<Handle, Refusal> {
    let file = library.file();
    let mut said = match open(Path::new(&file)) {
        Ok(handle) => return Ok(handle),
        Err(said) => Some(said).filter(|said| !is_about_absence(said, &file)),
    };
    let folders = folders(library);
    if library == Library::Cublas {
        // Its own neighbour, for which it looks only beside itself.
        drop(Library::CublasLt.handle());
    }
    for path in folders.iter().map(|folder| folder.join(&file)).filter(|path| path.is_file()) {
        match open(&path) {
            Ok(handle) => return Ok(handle),
            Err(why) => said = said.or(Some(why)),
        }
    }
    Err(match (said, library) {
        (Some(said), _) => Refusal::Unloadable { library: file, said },
        (None, Library::Driver) => Refusal::NoDriver,
        (None, _) => {
            let major = MAJOR.parse().unwrap_or_default();
            Refusal::NoLibrary { library: file, folders: folders.len(), major }
        }
    })
}

fn folders(library: Library) -> Vec<PathBuf> {
    match library {
        Library::Driver => library_paths::driver_folders(),
        _ => library_paths::folders(MAJOR.parse().unwrap_or_default()),
    }
}

fn open(path: &Path) -> Result<Handle, String> {
    // SAFETY: NVIDIA's libraries may be loaded at any time, and are never unloaded.
    unsafe { Handle::open(Some(path), RTLD_LAZY | RTLD_LOCAL) }.map_err(|error| {
        // What the loader said is the cause.
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let said = cause.unwrap_or_else(|| error.to_string());
        said.lines().next().unwrap_or_default().to_owned()
    })
}

/// Not about something else that the library needs.
fn is_about_absence(said: &str, file: &str) -> bool {
    said.contains("No such file") && said.contains(file) && !said.contains("needed by")
}
