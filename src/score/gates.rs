//! How bad a score may be.

use super::Score;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    WordErrors,
    CharacterErrors,
    TimingError,
}

/// The limits that were set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gates {
    /// As a part of the words.
    pub max_wer: Option<f64>,
    pub max_cer: Option<f64>,
    /// Seconds, of the mean absolute error of the finest times there are.
    pub max_timing_error: Option<f64>,
}

/// What came out at one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct GateResult {
    pub gate: Gate,
    /// Whose score it is; none for all together.
    pub pair: Option<String>,
    pub limit: f64,
    /// None if there was nothing to measure.
    pub value: Option<f64>,
}

impl Gate {
    pub fn option(self) -> &'static str {
        match self {
            Gate::WordErrors => "max-wer",
            Gate::CharacterErrors => "max-cer",
            Gate::TimingError => "max-timing-error",
        }
    }

    fn value(self, score: &Score) -> Option<f64> {
        match self {
            Gate::WordErrors => Some(score.words.error_rate()),
            Gate::CharacterErrors => Some(score.characters.error_rate()),
            Gate::TimingError => score.timings.first()?.all().map(|figures| figures.mean),
        }
    }

    fn written(self, value: f64) -> String {
        match self {
            Gate::WordErrors | Gate::CharacterErrors => format!("{} %", trimmed(value * 100.0)),
            Gate::TimingError => format!("{} s", trimmed(value)),
        }
    }
}

/// With what makes a difference only.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Gates {
    fn set(&self) -> impl Iterator<Item = (Gate, f64)> {
        let all = [
            (Gate::WordErrors, self.max_wer),
            (Gate::CharacterErrors, self.max_cer),
            (Gate::TimingError, self.max_timing_error),
        ];
        all.into_iter().filter_map(|(gate, limit)| Some((gate, limit?)))
    }

    /// Holds a score against every limit.
    pub fn check(&self, pair: Option<&str>, score: &Score) -> Vec<GateResult> {
        let verdict = |(gate, limit): (Gate, f64)| GateResult {
            gate,
            pair: pair.map(str::to_owned),
            limit,
            value: gate.value(score),
        };
        self.set().map(verdict).collect()
    }
}

impl GateResult {
    pub fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.limit)
    }

    /// What was asked for.
    pub fn limit(&self) -> String {
        format!("--{} {}", self.gate.option(), self.gate.written(self.limit))
    }

    /// What came out.
    pub fn message(&self) -> String {
        let of = self.pair.as_deref().map(|pair| format!(" in `{pair}`")).unwrap_or_default();
        match (self.value, self.gate) {
            (None, _) => format!("there are no times to compare{of}"),
            (Some(value), Gate::WordErrors) => {
                format!("the word error rate{of} is {}", self.gate.written(value))
            }
            (Some(value), Gate::CharacterErrors) => {
                format!("the character error rate{of} is {}", self.gate.written(value))
            }
            (Some(value), Gate::TimingError) => {
                format!("times{of} are off by {} on average", self.gate.written(value))
            }
        }
    }
}
