//! What becomes of the program when the system refuses memory: it says so, and ends with the exit code for that.
//!
//! The standard library aborts then, and nothing can be unwound. So the allocator notes that an allocation has failed, and a
//! handler of the abort looks at the note. Allocations that their caller may see fail stay what they are.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// An allocation has failed.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// The system's allocator, which notes that an allocation has failed.
pub struct NotingAllocator;

/// Returns the pointer, and notes it if it is null.
fn noted(start: *mut u8) -> *mut u8 {
    if start.is_null() {
        HAS_FAILED.store(true, Ordering::Relaxed);
    }
    start
}

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for NotingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what the system's allocator asks for.
        noted(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.realloc(start, layout, size) })
    }
}

/// From now on, an abort because memory is exhausted prints a message to standard error and ends the process with a code.
/// Has no effect on systems without signals, and none unless the process uses [`NotingAllocator`].
pub fn exit_when_exhausted(code: u8, message: &'static str) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn write(file: c_int, bytes: *const c_void, count: usize) -> isize;
        }
        let end = move || {
            if HAS_FAILED.load(Ordering::Relaxed) {
                // SAFETY: the bytes are static. That they may not be written changes nothing.
                let _ = unsafe { write(2, message.as_ptr().cast(), message.len()) };
                signal_hook::low_level::exit(code.into());
            }
        };
        // SAFETY: the handler only does what a handler of a signal may do.
        unsafe { signal_hook::low_level::register(signal_hook::consts::SIGABRT, end) }?;
    }
    #[cfg(not(unix))]
    let _ = (code, message);
    Ok(())
}
