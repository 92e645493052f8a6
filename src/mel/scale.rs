//! Scaling of mel powers: their logarithms, and the values that the network sees.

/// Lower powers are raised to this one, so that the logarithm of silence is −10.
const POWER_FLOOR: f32 = 1e-10;
/// The logarithm of [`POWER_FLOOR`].
pub const SILENCE: f32 = -10.0;
/// Dynamic range below the loudest value, in powers of ten.
const RANGE: f32 = 8.0;

/// Scales values relative to the loudest one of the audio.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    floor: f32,
}

impl Scale {
    /// `max` is the maximum raw value of the audio, padding included.
    pub fn new(max: f32) -> Self {
        Self { floor: max - RANGE }
    }

    pub fn apply(&self, raw: f32) -> f32 {
        (raw.max(self.floor) + 4.0) / 4.0
    }
}

/// Returns the raw value of a mel power, its logarithm to base 10.
pub fn log_power(power: f32) -> f32 {
    // An infinite or undefined value must not spread to all others through the loudest value.
    let power = if power > POWER_FLOOR { power.min(f32::MAX) } else { POWER_FLOOR };
    // The logarithm to base 2 is faster in the usual maths libraries.
    power.log2() * std::f32::consts::LOG10_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_80_decibels() {
        let scale = Scale::new(2.0);
        assert_eq!(scale.apply(2.0), 1.5);
        assert_eq!(scale.apply(-6.0), -0.5);
        assert_eq!(scale.apply(-7.0), -0.5);
    }

    #[test]
    fn silence_has_a_finite_logarithm() {
        assert!((log_power(0.0) - SILENCE).abs() < 2e-6);
        assert!((log_power(1e-3) + 3.0).abs() < 1e-6);
    }

    #[test]
    fn every_power_has_a_finite_value() {
        for power in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, f32::MIN_POSITIVE] {
            assert!(log_power(power).is_finite(), "{power}");
        }
    }
}
