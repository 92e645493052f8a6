//! Writes scores as JUnit XML for continuous integration: a test case for each pair and for each limit.

use super::{GateResult, PairResult, Score};

/// A `<testcase>`.
struct JunitCase {
    class: &'static str,
    name: String,
    /// The `<system-out>` text.
    output: Option<String>,
    /// The element (`failure` or `error`) and message if the case failed.
    problem: Option<(&'static str, String)>,
}

/// Returns the XML document.
pub fn junit_report(pairs: &[PairResult], gates: &[GateResult]) -> String {
    let cases: Vec<JunitCase> =
        pairs.iter().map(JunitCase::of_pair).chain(gates.iter().map(JunitCase::of_gate)).collect();
    let count =
        |kind| cases.iter().filter(|case| case.problem.as_ref().is_some_and(|(k, _)| *k == kind)).count();
    let counts =
        format!("tests=\"{}\" failures=\"{}\" errors=\"{}\"", cases.len(), count("failure"), count("error"));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"transcribe\" {counts}>\n  \
         <testsuite name=\"transcribe score\" {counts}>\n"
    );
    cases.iter().for_each(|case| case.write(&mut out));
    out + "  </testsuite>\n</testsuites>\n"
}

impl JunitCase {
    fn of_pair(pair: &PairResult) -> Self {
        let name = pair.pair.name.clone();
        let (output, problem) = match &pair.result {
            Ok((score, _)) => (Some(summary(score)), None),
            Err(error) => (None, Some(("error", error.clone()))),
        };
        Self { class: "transcribe.score", name, output, problem }
    }

    fn of_gate(result: &GateResult) -> Self {
        let pair = result.pair.as_deref().map(|pair| format!(" {pair}")).unwrap_or_default();
        Self {
            class: "transcribe.score.limits",
            name: format!("{}{pair}", result.limit()),
            output: Some(result.message()),
            problem: (!result.is_met()).then(|| ("failure", result.message())),
        }
    }

    fn write(&self, out: &mut String) {
        let (class, name) = (self.class, escape(&self.name));
        out.push_str(&format!("    <testcase classname=\"{class}\" name=\"{name}\">\n"));
        if let Some((kind, message)) = &self.problem {
            out.push_str(&format!("      <{kind} message=\"{}\"/>\n", escape(message)));
        }
        if let Some(text) = &self.output {
            out.push_str(&format!("      <system-out>{}</system-out>\n", escape(text)));
        }
        out.push_str("    </testcase>\n");
    }
}

fn summary(score: &Score) -> String {
    let text = score.text.as_ref().map(|text| {
        let words = &text.words;
        format!(
            "wer {:.6}, cer {:.6}, {} words: {} substituted, {} inserted, {} deleted",
            words.error_rate(),
            text.characters.error_rate(),
            words.reference(),
            words.substitutions,
            words.insertions,
            words.deletions
        )
    });
    let words = score.speaker_words.map(|words| format!("cpwer {:.6}", words.error_rate()));
    let turns = score.turns.as_ref().map(|turns| {
        let errors = &turns.errors;
        format!(
            "der {:.6}, jer {:.6}, {:.3} s of {} speakers: {:.3} s missed, {:.3} s false alarm, {:.3} s confused",
            errors.error_rate(),
            turns.jaccard.error_rate(),
            errors.reference,
            turns.reference_speakers,
            errors.missed,
            errors.false_alarm,
            errors.confused
        )
    });
    text.into_iter().chain(words).chain(turns).collect::<Vec<_>>().join("; ")
}

/// Escapes text for attributes and elements. Characters that XML cannot hold become U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", c as u32)),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
