//! Writes scores as JSON for programs.

use serde_json::{Value, json};

use super::{
    COLLAR, DiarizationErrors, ErrorCounts, GateResult, Score, SpeakerMatrix, SpeakerScore, TextScore,
    TimingErrors, TimingStatistics, TranscriptPair,
};

/// The result of comparing one pair.
pub struct PairResult {
    pub pair: TranscriptPair,
    /// The score and the name of its normaliser, which only text has; or the error.
    pub result: Result<(Score, Option<&'static str>), String>,
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
            if let Some(normaliser) = normaliser {
                fields["normaliser"] = json!(normaliser);
            }
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
    let mut value = score.text.as_ref().map_or(json!({}), of_text);
    if let Some(words) = &score.speaker_words {
        value["cpwer"] = json!(words.error_rate());
        value["speaker_words"] = of_counts(words);
    }
    if let Some(turns) = &score.turns {
        value["der"] = json!(turns.errors.error_rate());
        value["jer"] = json!(turns.jaccard.error_rate());
        value["speakers"] = of_turns(turns);
    }
    value
}

fn of_turns(score: &SpeakerScore) -> Value {
    let mut with_collar = of_diarization(&score.errors_with_collar);
    with_collar["collar"] = json!(COLLAR);
    with_collar["der"] = json!(score.errors_with_collar.error_rate());
    let mut value = json!({
        "reference": score.reference_speakers,
        "hypothesis": score.hypothesis_speakers,
        "seconds": of_diarization(&score.errors),
        "with_collar": with_collar,
    });
    if !score.matrices.is_empty() {
        value["recordings"] = score.matrices.iter().map(of_matrix).collect();
    }
    value
}

fn of_diarization(errors: &DiarizationErrors) -> Value {
    json!({
        "reference": round(errors.reference),
        "missed": round(errors.missed),
        "false_alarm": round(errors.false_alarm),
        "confused": round(errors.confused),
    })
}

fn of_matrix(matrix: &SpeakerMatrix) -> Value {
    let speaker = |(name, seconds): &(String, f64)| json!({ "name": name, "seconds": round(*seconds) });
    let matched = |column: &Option<usize>| column.map(|column| matrix.hypothesis[column].0.clone());
    let mut reference: Vec<Value> = matrix.reference.iter().map(speaker).collect();
    for (speaker, column) in reference.iter_mut().zip(&matrix.matches) {
        speaker["is"] = json!(matched(column));
    }
    let row = |seconds: &Vec<f64>| seconds.iter().map(|seconds| round(*seconds)).collect();
    json!({
        "name": matrix.recording,
        "reference": reference,
        "hypothesis": matrix.hypothesis.iter().map(speaker).collect::<Vec<_>>(),
        "shared": matrix.shared.iter().map(row).collect::<Vec<Vec<f64>>>(),
    })
}

fn of_text(score: &TextScore) -> Value {
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

/// Rounds to microseconds: further digits are subtraction noise.
fn round(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
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
