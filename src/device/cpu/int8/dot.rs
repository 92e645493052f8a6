//! The innermost loop of products in 8-bit integers: a few rows of u8 against one panel of s8, into i32 sums.
//!
//! A panel holds a group of neighbouring steps for each of its columns, then the next group, as the instructions take
//! them: 4 steps for those that add four products to a sum (VNNI, NEON's `sdot`), 2 for AVX2. AVX2's `maddubs` adds two
//! products of bytes in 16 bits, where they saturate; the bytes are widened to 16 bits instead, for `madd`, which is exact
//! and on AMD's processors as fast.
//!
//! Integer sums are exact, so all of them give the same bits.

use crate::device::cpu::level::SimdLevel;

/// The largest number of rows in a tile.
pub const MAX_ROWS: usize = 8;
/// The largest number of columns in a panel.
pub const MAX_PANEL: usize = 48;

/// Adds up `groups` groups of steps of a row or several, the first at `x` and each next one `stride` bytes later, with the
/// panel at `w`, and writes the sums of each row side by side to `sums`.
///
/// # Safety
///
/// The processor has the instructions, and the memory holds as many rows, groups and sums.
type Tile = unsafe fn(x: *const u8, stride: usize, w: *const i8, groups: usize, sums: *mut i32);

/// Instructions for products of 8-bit integers, and the layout of what they multiply.
#[derive(Debug, Clone, Copy)]
pub struct DotKernel {
    pub name: &'static str,
    /// Columns of a panel.
    pub panel: usize,
    /// Steps in a group.
    pub group: usize,
    pub activations: ActivationLayout,
    /// One for each number of rows, from one on.
    tiles: &'static [Tile],
}

/// How the quantized values of a row are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationLayout {
    U8,
    /// In 16 bits.
    U16,
    /// As signed bytes, less 128.
    S8,
}

impl ActivationLayout {
    pub fn bytes(self) -> usize {
        if self == ActivationLayout::U16 { 2 } else { 1 }
    }
}

impl DotKernel {
    /// Returns the fastest kernel of the processor that needs no wider vectors than `level`.
    pub fn of(level: SimdLevel) -> Self {
        Self::available(level)[0]
    }

    /// Returns the kernels of the processor that need no wider vectors than `level`, the fastest one first.
    pub fn available(level: SimdLevel) -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if level.lanes() == 16 && has!("avx512vnni") {
                all.push(x86::AVX512_VNNI);
            }
            if level.lanes() >= 8 && has!("avxvnni") {
                all.push(x86::AVX_VNNI);
            }
            if level.lanes() >= 8 {
                all.push(x86::AVX2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if level.lanes() == 4 && std::arch::is_aarch64_feature_detected!("dotprod") {
            all.push(neon::DOTPROD);
        }
        let _ = level;
        all.push(SCALAR);
        all
    }

    /// The largest number of rows in a tile.
    pub fn rows(&self) -> usize {
        self.tiles.len()
    }

    /// Computes the sums of rows of `x`, each `stride` bytes after the other, with a panel.
    #[inline(always)]
    pub fn sums(&self, x: &[u8], stride: usize, rows: usize, w: &[i8], sums: &mut [i32]) {
        let groups = w.len() / (self.panel * self.group);
        let row = groups * self.group * self.activations.bytes();
        let fits = x.len() >= (rows - 1) * stride + row && sums.len() >= rows * self.panel;
        assert!(fits, "{}: {rows} rows of {row} bytes do not fit", self.name);
        // SAFETY: `available` has found the instructions, and the lengths were just compared.
        unsafe { (self.tiles[rows - 1])(x.as_ptr(), stride, w.as_ptr(), groups, sums.as_mut_ptr()) }
    }
}

/// Without vector instructions: what the others are compared with.
const SCALAR: DotKernel = DotKernel {
    name: "scalar",
    panel: 16,
    group: 4,
    activations: ActivationLayout::S8,
    tiles: &[scalar::<1>, scalar::<2>, scalar::<3>, scalar::<4>],
};

unsafe fn scalar<const R: usize>(x: *const u8, stride: usize, w: *const i8, groups: usize, sums: *mut i32) {
    // SAFETY: as long as the caller says.
    let w = unsafe { std::slice::from_raw_parts(w, groups * 64) };
    for r in 0..R {
        // SAFETY: as above.
        let (x, to) = unsafe {
            (
                std::slice::from_raw_parts(x.add(r * stride), groups * 4),
                &mut *sums.add(r * 16).cast::<[i32; 16]>(),
            )
        };
        let mut acc = [0i32; 16];
        for (x, w) in x.as_chunks::<4>().0.iter().zip(w.as_chunks::<64>().0) {
            for (acc, w) in acc.iter_mut().zip(w.as_chunks::<4>().0) {
                for (x, w) in x.iter().zip(w) {
                    *acc += i32::from(*x as i8) * i32::from(*w);
                }
            }
        }
        *to = acc;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ActivationLayout, DotKernel};

    pub const AVX512_VNNI: DotKernel = DotKernel {
        name: "avx512-vnni",
        panel: 48,
        group: 4,
        activations: ActivationLayout::U8,
        tiles: &[
            avx512_vnni::<1>,
            avx512_vnni::<2>,
            avx512_vnni::<3>,
            avx512_vnni::<4>,
            avx512_vnni::<5>,
            avx512_vnni::<6>,
            avx512_vnni::<7>,
            avx512_vnni::<8>,
        ],
    };

    pub const AVX_VNNI: DotKernel = DotKernel {
        name: "avx-vnni",
        panel: 16,
        group: 4,
        activations: ActivationLayout::U8,
        tiles: &[avx_vnni::<1>, avx_vnni::<2>, avx_vnni::<3>, avx_vnni::<4>, avx_vnni::<5>, avx_vnni::<6>],
    };

    pub const AVX2: DotKernel = DotKernel {
        name: "avx2",
        panel: 16,
        group: 2,
        activations: ActivationLayout::U16,
        tiles: &[avx2::<1>, avx2::<2>, avx2::<3>, avx2::<4>, avx2::<5>, avx2::<6>],
    };

    /// Bytes ahead of its use that a panel is prefetched from memory.
    const DISTANCE: usize = 2048;

    #[inline(always)]
    fn prefetch(w: *const i8) {
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { _mm_prefetch(w.wrapping_add(DISTANCE), _MM_HINT_T0) };
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn avx512_vnni<const R: usize>(
        x: *const u8,
        stride: usize,
        w: *const i8,
        groups: usize,
        sums: *mut i32,
    ) {
        let mut acc = [[_mm512_setzero_si512(); 3]; R];
        for group in 0..groups {
            // SAFETY: the memory is as large as the caller says.
            unsafe {
                let w = w.add(group * 192);
                (0..3).for_each(|line| prefetch(w.wrapping_add(64 * line)));
                let w = [0, 1, 2].map(|v| _mm512_loadu_si512(w.add(64 * v).cast()));
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(x.add(r * stride + 4 * group).cast::<i32>().read_unaligned());
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc = _mm512_dpbusd_epi32(*acc, x, w);
                    }
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                // SAFETY: as above.
                unsafe { _mm512_storeu_si512(sums.add(r * 48 + 16 * v).cast(), acc) };
            }
        }
    }

    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn avx_vnni<const R: usize>(
        x: *const u8,
        stride: usize,
        w: *const i8,
        groups: usize,
        sums: *mut i32,
    ) {
        let mut acc = [[_mm256_setzero_si256(); 2]; R];
        for group in 0..groups {
            // SAFETY: the memory is as large as the caller says.
            unsafe {
                let w = w.add(group * 64);
                prefetch(w);
                let w = [0, 1].map(|v| _mm256_loadu_si256(w.add(32 * v).cast()));
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = _mm256_set1_epi32(x.add(r * stride + 4 * group).cast::<i32>().read_unaligned());
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc = _mm256_dpbusd_avx_epi32(*acc, x, w);
                    }
                }
            }
        }
        store(&acc, sums);
    }

    #[target_feature(enable = "avx2")]
    unsafe fn avx2<const R: usize>(x: *const u8, stride: usize, w: *const i8, groups: usize, sums: *mut i32) {
        let mut acc = [[_mm256_setzero_si256(); 2]; R];
        for group in 0..groups {
            // SAFETY: the memory is as large as the caller says.
            unsafe {
                let w = w.add(group * 32);
                prefetch(w);
                let w = [0, 1].map(|v| _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(16 * v).cast())));
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = _mm256_set1_epi32(x.add(r * stride + 4 * group).cast::<i32>().read_unaligned());
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, w));
                    }
                }
            }
        }
        store(&acc, sums);
    }

    #[target_feature(enable = "avx2")]
    fn store<const R: usize>(acc: &[[__m256i; 2]; R], sums: *mut i32) {
        for (r, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                // SAFETY: the caller of the tile guarantees memory for 16 sums of each row.
                unsafe { _mm256_storeu_si256(sums.add(r * 16 + 8 * v).cast(), acc) };
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;
    use std::arch::asm;

    use super::{ActivationLayout, DotKernel};

    pub const DOTPROD: DotKernel = DotKernel {
        name: "neon-dotprod",
        panel: 16,
        group: 4,
        activations: ActivationLayout::S8,
        tiles: &[dotprod::<1>, dotprod::<2>, dotprod::<3>, dotprod::<4>, dotprod::<5>, dotprod::<6>],
    };

    #[target_feature(enable = "neon,dotprod")]
    unsafe fn dotprod<const R: usize>(
        x: *const u8,
        stride: usize,
        w: *const i8,
        groups: usize,
        sums: *mut i32,
    ) {
        let mut acc = [[vdupq_n_s32(0); 4]; R];
        for group in 0..groups {
            // SAFETY: the memory is as large as the caller says.
            unsafe {
                let w = w.add(group * 64);
                let w = [0, 1, 2, 3].map(|v| vld1q_s8(w.add(16 * v)));
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = vdupq_n_s32(x.add(r * stride + 4 * group).cast::<i32>().read_unaligned());
                    for (acc, w) in acc.iter_mut().zip(w) {
                        // The intrinsic is not stable.
                        asm!(
                            "sdot {acc:v}.4s, {x:v}.16b, {w:v}.16b",
                            acc = inout(vreg) *acc,
                            x = in(vreg) x,
                            w = in(vreg) w,
                            options(pure, nomem, nostack, preserves_flags)
                        );
                    }
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                // SAFETY: as above.
                unsafe { vst1q_s32(sums.add(r * 16 + 4 * v), acc) };
            }
        }
    }
}
