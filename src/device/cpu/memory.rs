//! Large allocations in huge pages, scratch memory per thread, and slices that threads share.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::thread::LocalKey;

/// The size below which an allocation may not hold a whole huge page.
const HUGE_PAGES_FROM: usize = 4 << 20;

/// A cache line, which is as long as the longest vector.
const LINE: usize = 64;

/// Types whose values may be zero bytes, and need no drop.
pub trait Element: Copy + Default + Send + Sync + 'static {}
impl Element for f32 {}
impl Element for half::f16 {}
impl Element for half::bf16 {}
impl Element for i8 {}
impl Element for u8 {}

/// Numbers from the start of a cache line on, so that no vector lies in two of them.
pub struct Aligned<T: Element> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its numbers.
unsafe impl<T: Element> Send for Aligned<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for Aligned<T> {}

impl<T: Element> Aligned<T> {
    /// Returns zeros, in huge pages where the system has them. Reading gigabytes then misses the TLB less often, which
    /// gained a fifth of bandwidth where it was measured.
    pub fn zeros(len: usize) -> Self {
        let layout = Self::layout(len);
        if layout.size() == 0 {
            return Aligned { start: NonNull::dangling(), len };
        }
        // SAFETY: the size is not zero.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast()) else { alloc::handle_alloc_error(layout) };
        if layout.size() >= HUGE_PAGES_FROM {
            advise_huge_pages(start.as_ptr() as usize, layout.size());
        }
        Aligned { start, len }
    }

    fn layout(len: usize) -> Layout {
        let layout = Layout::array::<T>(len).and_then(|layout| layout.align_to(LINE));
        layout.expect("no more than the address space holds")
    }
}

impl<T: Element> Drop for Aligned<T> {
    fn drop(&mut self) {
        let layout = Self::layout(self.len);
        if layout.size() > 0 {
            // SAFETY: allocated with this layout, and not used any more.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

impl<T: Element> Deref for Aligned<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: it holds `len` initialized numbers.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Element> DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed only here.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Element> fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers", self.len)
    }
}

/// Moves zeros of a tensor to huge pages where the system has them.
pub fn use_huge_pages<T>(values: Vec<T>) -> Vec<T> {
    if size_of_val(&values[..]) >= HUGE_PAGES_FROM {
        advise_huge_pages(values.as_ptr() as usize, size_of_val(&values[..]));
    }
    values
}

#[cfg(target_os = "linux")]
fn advise_huge_pages(start: usize, size: usize) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    const PAGE: usize = 2 << 20;
    let first = start.next_multiple_of(PAGE);
    let last = (start + size) / PAGE * PAGE;
    // SAFETY: the range holds whole pages of one allocation, and the advice does not change their content. If it is
    // refused, nothing changes.
    let _ = unsafe { madvise(first as *mut c_void, last - first, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_: usize, _: usize) {}

/// A slice that several threads write to, each in a part of its own.
#[derive(Clone, Copy)]
pub struct SharedSlice<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: the values are reachable only through `slice`, whose callers guarantee disjoint parts.
unsafe impl Send for SharedSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    pub fn new(values: &'a mut [f32]) -> Self {
        SharedSlice { start: values.as_mut_ptr(), len: values.len(), life: PhantomData }
    }

    /// # Safety
    ///
    /// Slices that are alive at the same time must not overlap.
    #[inline(always)]
    pub unsafe fn slice(&self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(at <= self.len && len <= self.len - at, "a slice outside of the shared one");
        // SAFETY: the range is inside the slice borrowed for 'a, and the caller guarantees no overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Aligned<f32>>> = const { Cell::new(None) };
    static BYTE_SCRATCH: Cell<Option<Aligned<u8>>> = const { Cell::new(None) };
}

/// Calls `f` with `len` values of this thread's scratch memory, which is kept for the next call. Their content is
/// whatever the last call left.
pub fn with_scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    with_kept(&SCRATCH, len, f)
}

/// Does the same with bytes.
pub fn with_byte_scratch<T>(len: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    with_kept(&BYTE_SCRATCH, len, f)
}

fn with_kept<N: Element, T>(
    scratch: &'static LocalKey<Cell<Option<Aligned<N>>>>,
    len: usize,
    f: impl FnOnce(&mut [N]) -> T,
) -> T {
    let kept = scratch.take().filter(|kept| kept.len() >= len);
    let mut kept = kept.unwrap_or_else(|| Aligned::zeros(len));
    let result = f(&mut kept[..len]);
    scratch.set(Some(kept));
    result
}
