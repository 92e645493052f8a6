//! `-h`: the options that most people use, on one screen. `--help` has all of them.

use std::ffi::OsString;

use clap::Command;

pub const PAGE: &str = "Transcribe recordings to text or subtitles.

Usage: transcribe [OPTIONS] INPUT...       files, folders, patterns; - for stdin

  -e, --export FORMATS       write files: txt, srt, vtt, json, html, ... or all
  -o, --output-dir FOLDER    write them there; - prints a single one
      --language-in-name     name them talk.en.srt
      --overwrite            make files again that are there already
  -r, --recursive            search folders below folders, too
  -m, --model NAME           tiny, base, small, medium, large-v3-turbo, large-v3
  -l, --language NAME        language that is spoken (found out by default)
      --task translate       translate to English
      --initial-prompt TEXT  names and terms to expect
      --subtitles NAME       readable, netflix, bbc, social or openai
      --speakers auto        name who speaks; 2 or 2-6 if you know how many
      --vad                  leave out silence
      --offset TIME          start at 90 (seconds), 1:30 or 0:01:30
      --duration TIME        transcribe only so much
      --device NAME          cpu, cuda or metal
      --dtype int8           fastest on a CPU, with a few more errors
      --beam-size N          5 is openai's: slower, sometimes better
      --threads N            CPU threads to use
      --dry-run              show what would be done
      --report FILE          write what became of each input, as lines of JSON
  -q, --quiet                print only warnings and errors
  -v, --verbose              print details

Examples:
  transcribe talk.mp3                              print the text
  transcribe *.m4a -e srt,txt -o out               two files for each recording
  transcribe talk.mp3 -m large-v3 -l de -e srt     a better model, and German

Commands: watch serve export score voices models doctor bench report
          completions man
All options: transcribe --help, transcribe COMMAND --help";

/// How the page came to be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BriefHelp {
    /// `-h`.
    Requested,
    /// Nothing was said of what to do.
    NothingToDo,
}

/// Returns whether a command line asks for the page.
pub fn requested(command: &Command, line: &[OsString], has_manifest: bool) -> Option<BriefHelp> {
    let words = || line.iter().skip(1).take_while(|word| *word != "--");
    let is_command = words().next().is_some_and(|word| command.find_subcommand(word).is_some());
    match words().any(|word| word == "-h") && !is_command {
        true => Some(BriefHelp::Requested),
        false => (line.len() <= 1 && !has_manifest).then_some(BriefHelp::NothingToDo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::CommandLine;

    #[test]
    fn the_page_fits_a_screen_and_names_what_exists() {
        let lines: Vec<&str> = PAGE.lines().collect();
        assert!(lines.len() <= 40, "{}", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{PAGE}");
        let command = CommandLine::described();
        for line in lines.iter().filter(|line| line.starts_with("  -") || line.starts_with("      --")) {
            let name = line.split("--").nth(1).unwrap().split(' ').next().unwrap();
            let option = command.get_arguments().find(|arg| arg.get_long() == Some(name)).unwrap();
            let short = line.trim_start().strip_prefix('-').and_then(|rest| rest.chars().next());
            assert_eq!(option.get_short(), short.filter(|short| *short != '-'), "{line}");
        }
        let commands = PAGE.split("\nCommands: ").nth(1).unwrap().split("\nAll options").next().unwrap();
        let mut named: Vec<&str> = commands.split_whitespace().collect();
        named.sort();
        let mut known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        known.sort();
        assert_eq!(named, known);
    }
}
