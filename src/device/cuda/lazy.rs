//! Stubs for the functions of NVIDIA's libraries, which look up the real function on their first call. The program
//! therefore starts without any of the libraries, whatever toolkit it was built with.
//!
//! candle links the libraries, and a program with a missing library does not start. But the linker does not take a symbol
//! from a library if an object file defines it, and drops libraries that nothing is taken from. So each function of
//! `functions/*.s` is defined here: it jumps to the address in its record. On the first call the record is empty, and the
//! stub calls [`transcribe_lazy_find`] with all arguments preserved.
//!
//! The stubs are hidden, so that the libraries do not bind to them, and weak, so that other stubs may be linked as well.
//! A function that is missing from the lists makes the program depend on its library again, which `tests/it/cuda_start.rs`
//! detects.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::libraries::{self, CudaLibrary};

/// The record that the assembler emits for each function.
#[repr(C)]
pub struct LazyFunction {
    /// Null until the first call.
    address: AtomicPtr<c_void>,
    name: *const c_char,
    library: usize,
}

// SAFETY: the name is a constant, and the rest is an atomic and a number.
unsafe impl Sync for LazyFunction {}

/// Returns the address of the function, or of a substitute that returns an error. The caller has saved all arguments.
#[unsafe(no_mangle)]
extern "C" fn transcribe_lazy_find(function: &'static LazyFunction) -> *const c_void {
    // SAFETY: the assembler ends each name with a zero.
    let name = unsafe { CStr::from_ptr(function.name) };
    #[cfg(test)]
    if function.library == CudaLibrary::ALL.len() {
        return tests::resolve(function, name);
    }
    let library = CudaLibrary::ALL[function.library.min(CudaLibrary::ALL.len() - 1)];
    match libraries::address(library, name) {
        // Only addresses that were found are cached.
        Some(address) => {
            function.address.store(address, Ordering::Release);
            address
        }
        None => substitute(library, name),
    }
}

/// Returns a function with the result that the library itself would return if it could not work.
fn substitute(library: CudaLibrary, name: &CStr) -> *const c_void {
    extern "C" fn text() -> *const c_char {
        c"the library is missing".as_ptr()
    }
    extern "C" fn no_device() -> u32 {
        100 // CUDA_ERROR_NO_DEVICE
    }
    extern "C" fn no_function() -> u32 {
        500 // CUDA_ERROR_NOT_FOUND
    }
    extern "C" fn no_blas() -> u32 {
        1 // CUBLAS_STATUS_NOT_INITIALIZED
    }
    extern "C" fn no_random() -> u32 {
        203 // CURAND_STATUS_INITIALIZATION_FAILED
    }
    extern "C" fn no_compiler() -> u32 {
        11 // NVRTC_ERROR_INTERNAL_ERROR
    }
    let returns_text = [c"cublasGetStatusName", c"cublasGetStatusString", c"cublasLtGetStatusName"]
        .into_iter()
        .chain([c"cublasLtGetStatusString", c"nvrtcGetErrorString"]);
    if returns_text.into_iter().any(|listed| listed == name) {
        return text as *const c_void;
    }
    match library {
        CudaLibrary::Driver if libraries::is_loadable(library) => no_function as *const c_void,
        CudaLibrary::Driver => no_device as *const c_void,
        CudaLibrary::Cublas | CudaLibrary::CublasLt => no_blas as *const c_void,
        CudaLibrary::Curand => no_random as *const c_void,
        CudaLibrary::Nvrtc => no_compiler as *const c_void,
    }
}

/// Assembles the stubs. `lazy` in the lists expands to a function of the library with this index.
macro_rules! functions {
    ($code:literal, $also:literal, $($option:ident),*) => {
        std::arch::global_asm!(
            include_str!($code),
            ".macro lazy name\nfunction \\name, 0\n.endm",
            include_str!("functions/driver.s"),
            ".purgem lazy\n.macro lazy name\nfunction \\name, 1\n.endm",
            include_str!("functions/cublas.s"),
            ".purgem lazy\n.macro lazy name\nfunction \\name, 2\n.endm",
            include_str!("functions/cublas_lt.s"),
            ".purgem lazy\n.macro lazy name\nfunction \\name, 3\n.endm",
            include_str!("functions/curand.s"),
            ".purgem lazy\n.macro lazy name\nfunction \\name, 4\n.endm",
            include_str!("functions/nvrtc.s"),
            $also,
            ".purgem lazy\n.purgem function",
            options($($option),*)
        );
    };
}

#[cfg(all(target_arch = "x86_64", not(test)))]
functions!("functions/x86_64.s", "", raw, att_syntax);
#[cfg(all(target_arch = "x86_64", test))]
functions!("functions/x86_64.s", "function lazy_tested, 5", raw, att_syntax);

#[cfg(all(target_arch = "aarch64", not(test)))]
functions!("functions/aarch64.s", "", raw);
#[cfg(all(target_arch = "aarch64", test))]
functions!("functions/aarch64.s", "function lazy_tested, 5", raw);

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("CUDA is for x86-64 and 64-bit ARM");

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    static SEARCHES: AtomicUsize = AtomicUsize::new(0);

    /// More integer and floating-point arguments than there are registers for them.
    macro_rules! arguments {
        ($($whole:ident)*; $($real:ident)*) => {
            unsafe extern "C" {
                fn lazy_tested($($whole: u64, $real: f64),*) -> f64;
            }

            /// Weights each argument differently.
            #[allow(clippy::too_many_arguments, reason = "that is what is tested")]
            extern "C" fn tested($($whole: u64, $real: f64),*) -> f64 {
                let all = [$($whole as f64, $real),*];
                all.iter().zip(1..).map(|(value, weight)| value * f64::from(weight * weight)).sum()
            }
        };
    }
    arguments!(a b c d e f g h i j; k l m n o p q r s t);

    pub fn resolve(function: &LazyFunction, name: &CStr) -> *const c_void {
        assert_eq!(name, c"lazy_tested");
        SEARCHES.fetch_add(1, Ordering::Relaxed);
        function.address.store(tested as *mut c_void, Ordering::Release);
        tested as *const c_void
    }

    #[test]
    fn arguments_are_preserved_on_the_first_call_and_later() {
        macro_rules! both {
            ($($value:literal)*) => {{
                // SAFETY: declared as it is defined.
                let call = || unsafe { lazy_tested($(black_box($value), black_box($value as f64 / 8.0)),*) };
                let expected = tested($($value, $value as f64 / 8.0),*);
                assert_eq!([call(), call(), call()], [expected; 3]);
            }};
        }
        both!(3 1 4 15 92 65 35 89 79 32);
        assert_eq!(SEARCHES.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn functions_of_a_missing_library_return_an_error() {
        let code = |library, name| {
            // SAFETY: these substitutes have this type.
            let substitute: extern "C" fn() -> u32 =
                unsafe { std::mem::transmute(substitute(library, name)) };
            substitute()
        };
        assert_eq!(code(CudaLibrary::Cublas, c"cublasCreate_v2"), 1);
        assert_eq!(code(CudaLibrary::Curand, c"curandCreateGenerator"), 203);
        assert_ne!(code(CudaLibrary::Driver, c"cuInit"), 0);
        let text = substitute(CudaLibrary::Nvrtc, c"nvrtcGetErrorString");
        // SAFETY: this substitute has this type.
        let text: extern "C" fn() -> *const c_char = unsafe { std::mem::transmute(text) };
        // SAFETY: the text is a constant.
        assert_eq!(unsafe { CStr::from_ptr(text()) }, c"the library is missing");
    }

    #[test]
    fn lists_each_function_once() {
        let lists = [
            include_str!("functions/driver.s"),
            include_str!("functions/cublas.s"),
            include_str!("functions/cublas_lt.s"),
            include_str!("functions/curand.s"),
            include_str!("functions/nvrtc.s"),
        ];
        let names: Vec<&str> = lists
            .iter()
            .flat_map(|list| list.lines())
            .filter_map(|line| line.strip_prefix("lazy "))
            .collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len());
        assert!(["cuInit", "cublasGemmEx", "cublasLtMatmul"].iter().all(|name| names.contains(name)));
    }
}
