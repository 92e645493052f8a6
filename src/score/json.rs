//! Writes scores as JSON for programs.

use serde_json::{Value, json};

use super::{ErrorCounts, GateResult, Score, TimingErrors, TimingStatistics, TranscriptPair};

/// The result of comparing one pair.
pub struct PairResult {
    pub pair: TranscriptPair,
    /// The score and the name of its normaliser, or the error.
    pub result: Result<(Score, &'static str), String>,
}

/// Returns the JSON document.
pub fn json_report(pairs: &[PairResult], total: &Score, gates: &[GateResult]) -> Value {
    json!({
        "pairs": pairs.iter().map(of_pair).collect::<Vec<_>>(),
        "total": of_score(total),
        "limits": gates.iter().map(of_gate).collect::<Vec<_>>(),
    })
}

fn of_pair(pair: &PairResult) -> Value {
    let TranscriptPair { name, reference, hypothesis, .. } = &pair.pair;
    let mut value = json!({
        "name": name,
        "reference": reference.to_string_lossy(),
        "hypothesis": hypothesis.to_string_lossy(),
    });
    let fields = match &pair.result {
        Ok((score, normaliser)) => {
            let mut fields = of_score(score);
            fields["normaliser"] = json!(normaliser);
            fields
        }
        Err(error) => json!({ "error": error }),
    };
    if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields) {
        value.extend(fields);
    }
    value
}

fn of_score(score: &Score) -> Value {
    let timing = |errors: &TimingErrors| {
        let value = json!({ "starts": of_statistics(&errors.starts), "ends": of_statistics(&errors.ends) });
        (errors.level.name().to_owned(), value)
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

fn of_statistics(errors: &[f64]) -> Value {
    TimingStatistics::of(errors).map_or(json!({ "count": 0 }), |statistics| {
        // Rounded to microseconds: further digits are subtraction noise.
        let round = |seconds: f64| (seconds * 1e6).round() / 1e6;
        json!({
            "count": statistics.count,
            "mean": round(statistics.mean),
            "median": round(statistics.median),
            "p95": round(statistics.p95),
            "max": round(statistics.max),
            "bias": round(statistics.bias),
        })
    })
}

fn of_gate(result: &GateResult) -> Value {
    json!({
        "limit": result.gate.option(),
        "pair": result.pair,
        "max": result.limit,
        "value": result.value,
        "met": result.is_met(),
    })
}
