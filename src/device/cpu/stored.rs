//! The number formats that weights and caches are stored in. The kernels compute in f32; numbers of 16 bits are widened in
//! registers, so that they take half of the memory's bandwidth.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::{Simd, WithSimd};

use super::memory::Element;

/// A number as it is stored.
pub trait Stored: Element {
    /// Whether values are loaded as they are.
    const IS_F32: bool = false;

    fn narrow(values: &[f32], to: &mut [Self]);

    fn widen(self) -> f32;

    /// Returns the first values as a vector.
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::f32s;

    /// Runs an operation that loads such values.
    #[inline(always)]
    fn vectorize<S: Simd, Op: WithSimd>(simd: S, op: Op) -> Op::Output {
        simd.vectorize(op)
    }
}

impl Stored for f32 {
    const IS_F32: bool = true;

    fn narrow(values: &[f32], to: &mut [f32]) {
        to.copy_from_slice(values);
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn load<S: Simd>(_: S, from: &[f32]) -> S::f32s {
        S::as_simd_f32s(&from[..S::F32_LANES]).0[0]
    }
}

impl Stored for f16 {
    fn narrow(values: &[f32], to: &mut [f16]) {
        to.convert_from_f32_slice(values);
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn load<S: Simd>(_: S, from: &[f16]) -> S::f32s {
        let from = &from[..S::F32_LANES];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::*;
            if const { S::F32_LANES == 16 } {
                // SAFETY: only AVX-512 has 16 lanes, and there are as many values.
                let wide = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) };
                return same_vector::<S, _>(wide);
            }
            if const { S::F32_LANES == 8 } {
                // SAFETY: only AVX2 has 8 lanes, `vectorize` has found F16C, and there are as many values.
                let wide = unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())) };
                return same_vector::<S, _>(wide);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if const { S::F32_LANES == 4 } {
            use std::arch::aarch64::*;
            let wide: float32x4_t;
            // SAFETY: there are four values. The instruction belongs to every processor with NEON; its intrinsic is not
            // stable.
            unsafe {
                std::arch::asm!(
                    "fcvtl {wide:v}.4s, {from:v}.4h",
                    from = in(vreg) vld1_u16(from.as_ptr().cast()),
                    wide = lateout(vreg) wide,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            return same_vector::<S, _>(wide);
        }
        load_each::<S, _>(from)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn vectorize<S: Simd, Op: WithSimd>(simd: S, op: Op) -> Op::Output {
        if const { S::F32_LANES == 8 } {
            assert!(std::arch::is_x86_feature_detected!("f16c"), "a processor with AVX2, but without F16C");
            // SAFETY: only AVX2 has 8 lanes, and F16C was just found.
            return unsafe { with_f16c(simd, op) };
        }
        simd.vectorize(op)
    }
}

/// Compiles an operation for AVX2 and F16C, which every processor with AVX2 has, but which [`pulp`] leaves out.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,fma,lzcnt,popcnt,f16c")]
fn with_f16c<S: Simd, Op: WithSimd>(simd: S, op: Op) -> Op::Output {
    op.with_simd(simd)
}

impl Stored for bf16 {
    fn narrow(values: &[f32], to: &mut [bf16]) {
        to.convert_from_f32_slice(values);
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn load<S: Simd>(_: S, from: &[bf16]) -> S::f32s {
        let from = &from[..S::F32_LANES];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::*;
            if const { S::F32_LANES == 16 } {
                // SAFETY: only AVX-512 has 16 lanes, and there are as many values.
                let wide = unsafe {
                    let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
                    _mm512_slli_epi32::<16>(bits)
                };
                return same_vector::<S, _>(wide);
            }
            if const { S::F32_LANES == 8 } {
                // SAFETY: only AVX2 has 8 lanes, and there are as many values.
                let wide = unsafe {
                    let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()));
                    _mm256_slli_epi32::<16>(bits)
                };
                return same_vector::<S, _>(wide);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if const { S::F32_LANES == 4 } {
            use std::arch::aarch64::*;
            // SAFETY: only NEON has 4 lanes, and there are as many values.
            return same_vector::<S, _>(unsafe { vshll_n_u16::<16>(vld1_u16(from.as_ptr().cast())) });
        }
        load_each::<S, _>(from)
    }
}

/// Returns the bits of one type of vector as another of the same size.
#[inline(always)]
fn same_vector<S: Simd, V: Copy>(vector: V) -> S::f32s {
    assert_eq!(size_of::<V>(), size_of::<S::f32s>());
    // SAFETY: both are vectors of the same size, and any bits are an f32.
    unsafe { std::mem::transmute_copy(&vector) }
}

#[inline(always)]
fn load_each<S: Simd, T: Stored>(from: &[T]) -> S::f32s {
    let mut wide = [0f32; 16];
    wide.iter_mut().zip(from).for_each(|(to, from)| *to = from.widen());
    S::as_simd_f32s(&wide[..S::F32_LANES]).0[0]
}

/// Widens values in whole vectors.
pub struct Widen<'a, T> {
    pub from: &'a [T],
    pub to: &'a mut [f32],
}

impl<T: Stored> WithSimd for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let to = S::as_mut_simd_f32s(self.to).0;
        for (to, from) in to.iter_mut().zip(self.from.chunks_exact(S::F32_LANES)) {
            *to = T::load(simd, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::level::SimdLevel;

    struct WidenAll<'a, T>(&'a [T], &'a mut [f32]);

    impl<T: Stored> WithSimd for WidenAll<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            T::vectorize(simd, Widen { from: self.0, to: self.1 });
        }
    }

    fn assert_widens<T: Stored>(values: &[T]) {
        for level in SimdLevel::all() {
            let mut wide = vec![0f32; values.len()];
            level.dispatch(WidenAll(values, &mut wide));
            for (wide, value) in wide.iter().zip(values) {
                assert!(wide.to_bits() == value.widen().to_bits() || wide.is_nan(), "{level:?}: {wide}");
            }
        }
    }

    #[test]
    fn all_numbers_of_16_bits_are_widened_exactly() {
        assert_widens(&(0..=u16::MAX).map(f16::from_bits).collect::<Vec<_>>());
        assert_widens(&(0..=u16::MAX).map(bf16::from_bits).collect::<Vec<_>>());
    }
}
