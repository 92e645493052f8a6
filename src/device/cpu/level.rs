//! The sets of vector instructions that the kernels are compiled for. The program uses the widest one of the processor;
//! tests and benchmarks run them all.

use pulp::{Arch, WithSimd};

/// A set of vector instructions, of the processor that the program runs on.
#[derive(Debug, Clone, Copy)]
pub struct SimdLevel(Arch);

impl SimdLevel {
    /// Returns the widest set of the processor.
    pub fn best() -> Self {
        #[cfg(feature = "testing")]
        if let Some(level) = std::env::var("TRANSCRIBE_TEST_SIMD").ok().and_then(|name| Self::named(&name)) {
            return level;
        }
        SimdLevel(Arch::new())
    }

    /// Returns all sets of the processor, the widest one first.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(pulp::x86::V4::try_new().map(|simd| SimdLevel(Arch::V4(simd))));
            all.extend(pulp::x86::V3::try_new().map(|simd| SimdLevel(Arch::V3(simd))));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(pulp::aarch64::Neon::try_new().map(|simd| SimdLevel(Arch::Neon(simd))));
        all.push(SimdLevel(Arch::Scalar));
        all
    }

    /// Returns the set with this name, if the processor has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|level| level.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self.lanes() {
            16 => "avx512",
            8 => "avx2",
            4 => "neon",
            _ => "scalar",
        }
    }

    /// Returns the number of f32 values in a vector.
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => 16,
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => 8,
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => 4,
            _ => 1,
        }
    }

    /// Runs an operation compiled for these instructions.
    #[inline(always)]
    pub fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
        self.0.dispatch(op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_comes_first_and_the_scalar_one_is_always_there() {
        let names: Vec<&str> = SimdLevel::all().into_iter().map(SimdLevel::name).collect();
        assert_eq!(names[0], SimdLevel(Arch::new()).name());
        assert_eq!(names.last(), Some(&"scalar"));
        for name in ["avx512", "avx2", "neon"].into_iter().filter(|name| !names.contains(name)) {
            println!("not tested, because the processor lacks it: {name}");
        }
    }
}
