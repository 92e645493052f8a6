//! Scores for continuous integration, as JUnit's XML: a case for each pair, and one for each limit.

use super::{GateResult, PairResult, Score};

/// One `<testcase>`.
struct JunitCase {
    class: &'static str,
    name: String,
    /// What it found.
    out: Option<String>,
    /// Kind and message of what is wrong.
    wrong: Option<(&'static str, String)>,
}

pub fn junit_report(outcomes: &[PairResult], verdicts: &[GateResult]) -> String {
    let cases: Vec<JunitCase> = outcomes
        .iter()
        .map(JunitCase::of_outcome)
        .chain(verdicts.iter().map(JunitCase::of_verdict))
        .collect();
    let wrong =
        |kind| cases.iter().filter(|case| case.wrong.as_ref().is_some_and(|(k, _)| *k == kind)).count();
    let counts =
        format!("tests=\"{}\" failures=\"{}\" errors=\"{}\"", cases.len(), wrong("failure"), wrong("error"));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"transcribe\" {counts}>\n  \
         <testsuite name=\"transcribe score\" {counts}>\n"
    );
    cases.iter().for_each(|case| case.write(&mut out));
    out + "  </testsuite>\n</testsuites>\n"
}

impl JunitCase {
    fn of_outcome(outcome: &PairResult) -> Self {
        let name = outcome.pair.name.clone();
        let (out, wrong) = match &outcome.result {
            Ok((score, _)) => (Some(figures(score)), None),
            Err(error) => (None, Some(("error", error.clone()))),
        };
        Self { class: "transcribe.score", name, out, wrong }
    }

    fn of_verdict(verdict: &GateResult) -> Self {
        let of = verdict.pair.as_deref().map(|pair| format!(" {pair}")).unwrap_or_default();
        Self {
            class: "transcribe.score.limits",
            name: format!("{}{of}", verdict.limit()),
            out: Some(verdict.message()),
            wrong: (!verdict.is_met()).then(|| ("failure", verdict.message())),
        }
    }

    fn write(&self, out: &mut String) {
        let (class, name) = (self.class, escaped(&self.name));
        out.push_str(&format!("    <testcase classname=\"{class}\" name=\"{name}\">\n"));
        if let Some((kind, message)) = &self.wrong {
            out.push_str(&format!("      <{kind} message=\"{}\"/>\n", escaped(message)));
        }
        if let Some(text) = &self.out {
            out.push_str(&format!("      <system-out>{}</system-out>\n", escaped(text)));
        }
        out.push_str("    </testcase>\n");
    }
}

fn figures(score: &Score) -> String {
    let words = &score.words;
    format!(
        "wer {:.6}, cer {:.6}, {} words: {} substituted, {} inserted, {} deleted",
        words.error_rate(),
        score.characters.error_rate(),
        words.reference(),
        words.substitutions,
        words.insertions,
        words.deletions
    )
}

/// For between quotes and between tags. What XML cannot say is left out.
fn escaped(text: &str) -> String {
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
