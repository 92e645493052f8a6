//! Scores for programs, as JSON.

use serde_json::{Value, json};

use super::{ErrorCounts, GateResult, Score, TimingErrors, TimingStatistics, TranscriptPair};

/// What became of one pair.
pub struct PairResult {
    pub pair: TranscriptPair,
    /// The score and its normaliser's name, or why there is none.
    pub result: Result<(Score, &'static str), String>,
}

pub fn json_report(outcomes: &[PairResult], total: &Score, verdicts: &[GateResult]) -> Value {
    json!({
        "pairs": outcomes.iter().map(of_outcome).collect::<Vec<_>>(),
        "total": of_score(total),
        "limits": verdicts.iter().map(of_verdict).collect::<Vec<_>>(),
    })
}

fn of_outcome(outcome: &PairResult) -> Value {
    let TranscriptPair { name, reference, hypothesis } = &outcome.pair;
    let mut value = json!({
        "name": name,
        "reference": reference.to_string_lossy(),
        "hypothesis": hypothesis.to_string_lossy(),
    });
    let more = match &outcome.result {
        Ok((score, normaliser)) => {
            let mut more = of_score(score);
            more["normaliser"] = json!(normaliser);
            more
        }
        Err(error) => json!({ "error": error }),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn of_score(score: &Score) -> Value {
    let timing = |level: &TimingErrors| {
        let value = json!({ "starts": of_figures(&level.starts), "ends": of_figures(&level.ends) });
        (level.level.name().to_owned(), value)
    };
    json!({
        "wer": score.words.error_rate(),
        "cer": score.characters.error_rate(),
        "mer": score.words.match_error_rate(),
        "wil": score.words.information_lost(),
        "words": of_counts(&score.words),
        "characters": of_counts(&score.characters),
        "timing": score.timings.iter().map(timing).collect::<serde_json::Map<_, _>>(),
    })
}

fn of_counts(counts: &ErrorCounts) -> Value {
    json!({
        "hits": counts.hits,
        "substitutions": counts.substitutions,
        "insertions": counts.insertions,
        "deletions": counts.deletions,
        "reference": counts.reference(),
        "hypothesis": counts.hypothesis(),
    })
}

fn of_figures(errors: &[f64]) -> Value {
    TimingStatistics::of(errors).map_or(json!({ "count": 0 }), |figures| {
        // To a microsecond: what comes after is only what subtraction leaves.
        let round = |seconds: f64| (seconds * 1e6).round() / 1e6;
        json!({
            "count": figures.count,
            "mean": round(figures.mean),
            "median": round(figures.median),
            "p95": round(figures.p95),
            "max": round(figures.max),
            "bias": round(figures.bias),
        })
    })
}

fn of_verdict(verdict: &GateResult) -> Value {
    json!({
        "limit": verdict.gate.option(),
        "pair": verdict.pair,
        "max": verdict.limit,
        "value": verdict.value,
        "met": verdict.is_met(),
    })
}
