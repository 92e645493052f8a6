//! `transcribe completions` and `transcribe man`: what a package puts where shells and `man` look for it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::decode::Language;
use crate::error::{Error, Result};
use crate::export::Format;
use crate::models::source;
use crate::store::write_file;

const NAME: &str = "transcribe";

const SHELLS: &str = "Examples:
  source <(transcribe completions bash)                                    for this shell
  transcribe completions bash > ~/.local/share/bash-completion/completions/transcribe
  transcribe completions zsh > ~/.zfunc/_transcribe                        if fpath has ~/.zfunc
  transcribe completions fish > ~/.config/fish/completions/transcribe.fish
  transcribe completions powershell >> $PROFILE";

/// Print a script that lets a shell complete options, models and languages
#[derive(Debug, Args)]
#[command(after_help = SHELLS)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

const PAGES: &str = "Examples:
  transcribe man | man -l -                                      read it
  transcribe man --dir ~/.local/share/man/man1                   for `man transcribe` and all commands";

/// Print the manual page, or write one for each command
#[derive(Debug, Args)]
#[command(after_help = PAGES)]
pub struct ManArgs {
    /// Write all pages into this folder, which is made if it is missing
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// The script; `command` is the program's.
pub fn script(args: &CompletionsArgs, command: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut with_names(command), NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Lets shells know the names that options take besides paths and numbers.
fn with_names(command: Command) -> Command {
    let models: Vec<&str> = source::names().chain(["auto"]).collect();
    let languages: Vec<&str> = Language::all().map(Language::code).chain(["auto"]).collect();
    let formats: Vec<&str> = Format::ALL.map(Format::name).into_iter().chain(["all"]).collect();
    let named = |command: Command| {
        command.mut_args(|arg| {
            let names = match arg.get_long() {
                Some("model") => &models,
                Some("language") => &languages,
                Some("export") => &formats,
                Some("device") => return arg.value_parser(["auto", "cpu", "cuda", "metal"]),
                _ => return arg,
            };
            arg.value_parser(PossibleValuesParser::new(names.iter().copied()))
        })
    };
    named(command).mut_subcommands(named)
}

/// The page of the program, or None if all pages were written into a folder.
pub fn manual(args: &ManArgs, mut command: Command) -> Result<Option<String>> {
    command = command.mut_args(|arg| arg.hide_env(false));
    command.build();
    let Some(folder) = &args.dir else { return page(&command).map(Some) };
    let failed = |source| Error::Output { path: folder.clone(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    pages(&command, folder).map(|()| None)
}

fn pages(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    write_file(&path, page(command)?.as_bytes())?;
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.into_iter().try_for_each(|inner| pages(inner, folder))
}

fn page(command: &Command) -> Result<String> {
    let mut page = Vec::new();
    write_page(command, &mut page).map_err(|error| Error::compute("writing the manual", error))?;
    // Any roff reads these, whatever it takes for the encoding of its input.
    let letter = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    Ok(String::from_utf8_lossy(&page).chars().map(letter).collect())
}

fn write_page(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // The name of a page has one line.
    let short = about.split("\n\n").next().unwrap_or_default().to_owned();
    let long = command.get_long_about().map(ToString::to_string).unwrap_or(about);
    let plain = command.clone().after_help("").about(short.trim_end_matches('.').to_owned()).long_about(long);
    let man = Man::new(plain).source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")));
    man.render_title(page)?;
    man.render_name_section(page)?;
    synopsis(command, page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    after.split("\n\n").filter(|part| !part.is_empty()).try_for_each(|part| section(part, page))
}

/// As the help has it: all options by name would be a page of their own.
fn synopsis(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    writeln!(page, ".SH SYNOPSIS\n.nf\n{}\n.fi", escaped(&usage))
}

/// Of the end of the help: what has a head keeps its lines, as examples must; the rest is text.
fn section(part: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
    let Some(head) = first.strip_suffix(':') else {
        return writeln!(page, ".SH NOTES\n{}", escaped(part));
    };
    writeln!(page, ".SH \"{}\"\n.nf\n{}\n.fi", escaped(&head.to_uppercase()), escaped(rest))
}

/// Signs that mean something to roff.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
