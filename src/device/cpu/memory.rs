//! Big pieces of memory, and small ones that a thread keeps.

use std::cell::Cell;
use std::marker::PhantomData;

/// Below this there is no whole huge page in a piece.
const HUGE: usize = 4 << 20;

/// Zeros, in huge pages where the system has them to give: reading through gigabytes, the machine then finds
/// the next page sooner (a fifth more bandwidth where it was measured).
pub fn zeros(len: usize) -> Vec<f32> {
    let values = vec![0f32; len];
    if len * size_of::<f32>() >= HUGE {
        ask_for_huge_pages(&values);
    }
    values
}

#[cfg(target_os = "linux")]
fn ask_for_huge_pages(values: &[f32]) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    const PAGE: usize = 2 << 20;
    let range = values.as_ptr_range();
    let first = (range.start as usize).next_multiple_of(PAGE);
    let last = range.end as usize / PAGE * PAGE;
    // SAFETY: the whole pages inside of memory that is ours; the advice changes nothing that a program can
    // read. Where it is refused, things are as before.
    let _ = unsafe { madvise(first as *mut c_void, last - first, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: &[f32]) {}

/// A slice that several threads write to, each in places of its own.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: the one way to the values is `slice`, whose callers answer for its use.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(values: &'a mut [f32]) -> Self {
        Shared { start: values.as_mut_ptr(), len: values.len(), life: PhantomData }
    }

    /// # Safety
    ///
    /// Slices that are alive at the same time must not overlap.
    #[inline(always)]
    pub unsafe fn slice(&self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(at <= self.len && len <= self.len - at, "a slice of a shared one");
        // SAFETY: inside of the slice that was borrowed for 'a, and the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Calls `f` with `len` values of this thread's own memory, which it keeps for the next call. They are what
/// the last one left there.
pub fn with_scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    let result = f(&mut scratch[..len]);
    SCRATCH.set(scratch);
    result
}
