//! Quality gates: limits that a score must meet.

use super::Score;

/// A score that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    WordErrors,
    CharacterErrors,
    TimingError,
    SpeakerTurns,
    SpeakerWords,
}

/// The limits the user set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gates {
    /// As a fraction of the reference words.
    pub max_wer: Option<f64>,
    /// As a fraction of the reference characters.
    pub max_cer: Option<f64>,
    /// Limit in seconds for the mean absolute error of the finest times available.
    pub max_timing_error: Option<f64>,
    /// Limit for the diarization error rate, with every moment scored.
    pub max_der: Option<f64>,
    /// Limit for the word error rate of the speakers' texts.
    pub max_cpwer: Option<f64>,
}

/// The result of checking one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct GateResult {
    pub gate: Gate,
    /// The name of the pair; None for the total.
    pub pair: Option<String>,
    pub limit: f64,
    /// The measured value; None if there was nothing to measure.
    pub value: Option<f64>,
}

impl Gate {
    /// Returns the name of the option that sets the limit.
    pub fn option(self) -> &'static str {
        match self {
            Gate::WordErrors => "max-wer",
            Gate::CharacterErrors => "max-cer",
            Gate::TimingError => "max-timing-error",
            Gate::SpeakerTurns => "max-der",
            Gate::SpeakerWords => "max-cpwer",
        }
    }

    fn value(self, score: &Score) -> Option<f64> {
        match self {
            Gate::WordErrors => Some(score.text.as_ref()?.words.error_rate()),
            Gate::CharacterErrors => Some(score.text.as_ref()?.characters.error_rate()),
            Gate::TimingError => {
                let statistics = score.text.as_ref()?.timings.first()?.statistics();
                statistics.map(|statistics| statistics.mean)
            }
            Gate::SpeakerTurns => Some(score.turns.as_ref()?.errors.error_rate()),
            Gate::SpeakerWords => Some(score.speaker_words?.error_rate()),
        }
    }

    fn format(self, value: f64) -> String {
        match self {
            Gate::TimingError => format!("{} s", trimmed(value)),
            _ => format!("{} %", trimmed(value * 100.0)),
        }
    }

    /// Names what is limited.
    fn measure(self) -> &'static str {
        match self {
            Gate::WordErrors => "the word error rate",
            Gate::CharacterErrors => "the character error rate",
            Gate::TimingError => "times",
            Gate::SpeakerTurns => "the diarization error rate",
            Gate::SpeakerWords => "the word error rate of the speakers",
        }
    }

    /// Names what either side lacks if nothing could be measured.
    fn missing(self) -> &'static str {
        match self {
            Gate::WordErrors | Gate::CharacterErrors => "text",
            Gate::TimingError => "times",
            Gate::SpeakerTurns => "turns of speakers",
            Gate::SpeakerWords => "text of speakers",
        }
    }
}

/// Formats a number with up to four decimals and no trailing zeros.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Gates {
    fn limits(&self) -> impl Iterator<Item = (Gate, f64)> {
        let all = [
            (Gate::WordErrors, self.max_wer),
            (Gate::CharacterErrors, self.max_cer),
            (Gate::TimingError, self.max_timing_error),
            (Gate::SpeakerTurns, self.max_der),
            (Gate::SpeakerWords, self.max_cpwer),
        ];
        all.into_iter().filter_map(|(gate, limit)| Some((gate, limit?)))
    }

    /// Checks a score against every limit.
    pub fn check(&self, pair: Option<&str>, score: &Score) -> Vec<GateResult> {
        let check = |(gate, limit): (Gate, f64)| GateResult {
            gate,
            pair: pair.map(str::to_owned),
            limit,
            value: gate.value(score),
        };
        self.limits().map(check).collect()
    }
}

impl GateResult {
    pub fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.limit)
    }

    /// Returns the limit as an option, such as `--max-wer 10 %`.
    pub fn limit(&self) -> String {
        format!("--{} {}", self.gate.option(), self.gate.format(self.limit))
    }

    /// Describes the measured value.
    pub fn message(&self) -> String {
        let pair = self.pair.as_deref().map(|pair| format!(" in `{pair}`")).unwrap_or_default();
        let (gate, measure) = (self.gate, self.gate.measure());
        match self.value {
            None => format!("no {} to compare{pair}", gate.missing()),
            Some(value) if gate == Gate::TimingError => {
                format!("{measure}{pair} are off by {} on average", gate.format(value))
            }
            Some(value) => format!("{measure}{pair} is {}", gate.format(value)),
        }
    }
}
