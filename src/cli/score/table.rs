//! Formats scores for people.

use unicode_width::UnicodeWidthStr;

use crate::cli::alignment::AlignmentRenderer;
use crate::score::{
    COLLAR, ErrorCounts, PairResult, Score, SpeakerMatrix, SpeakerScore, TextScore, TimingErrors,
    TimingStatistics, WordAlignment,
};

/// Speakers of either side at most whose shared seconds are shown as a table.
const MAX_TABLE: usize = 12;

/// Formats the results of all pairs and the total.
pub fn render(
    results: &[PairResult],
    alignments: &[WordAlignment],
    total: &Score,
    renderer: Option<AlignmentRenderer>,
) -> String {
    let mut lines = Vec::new();
    for (result, aligned) in results.iter().zip(alignments) {
        let Ok((score, _)) = &result.result else { continue };
        lines.push(result.pair.name.clone());
        lines.extend(score_lines(score));
        if let (Some(renderer), Some(_)) = (&renderer, &score.text) {
            lines.extend([String::new(), renderer.render(aligned), String::new()]);
        }
    }
    if results.len() > 1 && !lines.is_empty() {
        lines.push(format!("all {}", results.len()));
        lines.extend(score_lines(total));
    }
    lines.join("\n")
}

fn score_lines(score: &Score) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(score.text.iter().flat_map(text_lines));
    lines.extend(score.speaker_words.iter().map(speaker_words_line));
    lines.extend(score.turns.iter().flat_map(turns_lines));
    lines
}

fn percent(rate: f64) -> String {
    format!("{:.2} %", rate * 100.0)
}

fn text_lines(score: &TextScore) -> Vec<String> {
    let words = &score.words;
    let mut lines = vec![
        format!(
            "  WER {}  CER {}  MER {}  WIL {}",
            percent(words.error_rate()),
            percent(score.characters.error_rate()),
            percent(words.match_error_rate()),
            percent(words.information_lost())
        ),
        format!(
            "  {} words: {} correct, {} substituted, {} deleted; {} inserted",
            words.reference(),
            words.hits,
            words.substitutions,
            words.deletions,
            words.insertions
        ),
    ];
    for TimingErrors { level, starts, ends } in &score.timings {
        for (edge, errors) in [("starts", starts), ("ends", ends)] {
            lines.extend(TimingStatistics::of(errors).map(|TimingStatistics { count, mean, median, p95, max, bias }| {
                format!(
                    "  {edge} of {count} {}: mean error {mean:.3} s (bias {bias:+.3}), median {median:.3}, 95th percentile \
                     {p95:.3}, max {max:.3}",
                    level.name()
                )
            }));
        }
    }
    lines
}

fn speaker_words_line(words: &ErrorCounts) -> String {
    format!(
        "  cpWER {}: {} substituted, {} deleted, {} inserted",
        percent(words.error_rate()),
        words.substitutions,
        words.deletions,
        words.insertions
    )
}

fn turns_lines(score: &SpeakerScore) -> Vec<String> {
    let errors = &score.errors;
    let part = |seconds: f64| percent(errors.fraction(seconds));
    let mut lines = vec![
        format!(
            "  DER {}: missed {}, false alarm {}, confused {}",
            percent(errors.error_rate()),
            part(errors.missed),
            part(errors.false_alarm),
            part(errors.confused)
        ),
        format!(
            "  DER {} with a collar of {COLLAR} s  JER {}",
            percent(score.errors_with_collar.error_rate()),
            percent(score.jaccard.error_rate())
        ),
        format!(
            "  {:.1} s of {} speakers; {} found",
            errors.reference, score.reference_speakers, score.hypothesis_speakers
        ),
    ];
    lines.extend(score.matrices.iter().flat_map(matrix_lines));
    lines
}

/// Shows for each pair of speakers the seconds in which both speak; a star marks those who are matched.
fn matrix_lines(matrix: &SpeakerMatrix) -> Vec<String> {
    let (rows, columns) = (matrix.reference.len(), matrix.hypothesis.len());
    if rows == 0 || columns == 0 || rows.max(columns) > MAX_TABLE {
        return Vec::new();
    }
    let name = |(name, seconds): &(String, f64)| {
        // A file must not control the terminal.
        format!("{} ({seconds:.1} s)", name.replace(char::is_control, ""))
    };
    let mut table = vec![vec![matrix.recording.clone().unwrap_or_default()]];
    table[0].extend(matrix.hypothesis.iter().map(name));
    for (row, speaker) in matrix.reference.iter().enumerate() {
        let cell = |(column, seconds): (usize, &f64)| {
            let mark = if matrix.matches[row] == Some(column) { "*" } else { " " };
            format!("{seconds:.1}{mark}")
        };
        let cells = matrix.shared[row].iter().enumerate().map(cell);
        table.push([name(speaker)].into_iter().chain(cells).collect());
    }
    let width = |column: usize| table.iter().map(|row| row[column].width()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..=columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let blanks = " ".repeat(width - cell.width());
            // Names on the left, numbers on the right.
            if column == 0 { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
        });
        format!("    {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    table.iter().map(line).collect()
}
