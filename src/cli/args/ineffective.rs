//! Options that have no effect without another one. On the command line that is an error; the environment and the
//! configuration file serve many commands, so there they are ignored where the other option is absent.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// Options that need files to write.
const OF_FILES: &[&str] = &["output_dir", "output_template", "language_in_name", "flat"];
/// Options that need times of words, measured or estimated.
const OF_WORDS: &[&str] =
    &["max_line_width", "max_line_count", "max_words_per_line", "highlight_words", "vtt_words"];

/// Returns the options that are to be ignored: those whose need is not met, unless the command line sets them.
pub fn ignored_options(matches: &ArgMatches) -> Vec<&'static str> {
    let matches = matches.subcommand().map_or(matches, |(_, inner)| inner);
    let writes_files = is_present(matches, "export") || is_present(matches, "manifest");
    let has_openai_words = is_true(matches, "word_timestamps").unwrap_or(false)
        || is_true(matches, "word_timestamps_value").unwrap_or(false);
    let searches = text(matches, "beam_size").is_none_or(|beams| beams != "1");
    let is_basic = text(matches, "normaliser").is_none_or(|name| name == "basic");
    let needs: [(bool, &[&str]); 4] = [
        (writes_files, OF_FILES),
        (has_openai_words, &["hallucination_silence_threshold"]),
        (searches, &["patience"]),
        (is_basic, &["remove_diacritics", "split_letters"]),
    ];
    let unmet = needs.into_iter().filter(|(is_met, _)| !is_met).flat_map(|(_, options)| options);
    unmet.copied().filter(|option| !is_on_line(matches, option)).collect()
}

/// Returns whether the command line sets an option that needs times of words. Whether there are any is known only when the
/// formats are.
pub fn sets_word_options(matches: &ArgMatches) -> bool {
    let matches = matches.subcommand().map_or(matches, |(_, inner)| inner);
    OF_WORDS.iter().any(|option| is_on_line(matches, option))
}

fn is_present(matches: &ArgMatches, option: &str) -> bool {
    matches.try_contains_id(option).unwrap_or(false)
}

fn is_on_line(matches: &ArgMatches, option: &str) -> bool {
    is_present(matches, option) && matches.value_source(option) == Some(ValueSource::CommandLine)
}

/// Returns the value of a switch, if the command has it and it is set.
fn is_true(matches: &ArgMatches, option: &str) -> Option<bool> {
    matches.try_get_one::<bool>(option).ok().flatten().copied()
}

fn text(matches: &ArgMatches, option: &str) -> Option<String> {
    let value = matches.try_get_raw(option).ok().flatten()?.next()?;
    Some(value.to_string_lossy().into_owned())
}
