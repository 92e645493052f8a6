//! `transcribe completions` and `transcribe man`: files that packages install for shells and `man`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::CommandLine;
use super::exit::ExitCode;
use super::printer::Printer;
use crate::decode::Language;
use crate::error::Error;
use crate::export::Format;
use crate::models::source;
use crate::store::write_file;

const NAME: &str = "transcribe";

const SHELLS: &str = "Examples:
  source <(transcribe completions bash)                                    # for the current shell
  transcribe completions bash > ~/.local/share/bash-completion/completions/transcribe
  transcribe completions zsh > ~/.zfunc/_transcribe                        # if fpath contains ~/.zfunc
  transcribe completions fish > ~/.config/fish/completions/transcribe.fish
  transcribe completions powershell >> $PROFILE";

/// Print a shell script that completes options, models and languages
#[derive(Debug, Args)]
#[command(after_help = SHELLS)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

const PAGES: &str = "Examples:
  transcribe man | man -l -                                      # read the manual page
  transcribe man --dir ~/.local/share/man/man1                   # install all pages for `man`";

/// Print the manual page, or write a page for each command to a folder
#[derive(Debug, Args)]
#[command(after_help = PAGES)]
pub struct ManArgs {
    /// Write all pages to this folder, which is created if missing
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub fn print_script(args: &CompletionsArgs, printer: Printer) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut with_value_names(CommandLine::described()), NAME, &mut script);
    printer.result(&with_lists(args.shell, &String::from_utf8_lossy(&script)))?;
    Ok(ExitCode::Done)
}

/// Completes every one of several formats separated by commas, and models that are on this machine, which the scripts of
/// clap_complete do not.
fn with_lists(shell: Shell, script: &str) -> String {
    let (formats, models) = (format_names().join(" "), model_names().join(" "));
    let cached = format!("$({NAME} models list --names 2>/dev/null)");
    match shell {
        Shell::Bash => {
            let last = r#"compgen -P "${cur%"${cur##*,}"}" -W"#;
            script
                .replace(
                    &format!(r#"compgen -W "{formats}" -- "${{cur}}""#),
                    &format!(r#"{last} "{formats}" -- "${{cur##*,}}""#),
                )
                .replace(&format!(r#"-W "{models}""#), &format!(r#"-W "{models} {cached}""#))
        }
        Shell::Zsh => script
            .replace(&format!(":FORMATS:({formats})"), &format!(":FORMATS:_sequence compadd - {formats}"))
            .replace(&format!(":MODEL:({models})"), &format!(":MODEL:{{compadd - {models} {cached}}}")),
        Shell::Fish => {
            let listed = |names: &[&str]| {
                names.iter().map(|name| format!("{name}\\t''")).collect::<Vec<_>>().join("\n")
            };
            script.replace(&listed(&format_names()), &format!("(__fish_append , {formats})")).replace(
                &listed(&model_names()),
                &format!("{models} ({NAME} models list --names 2>/dev/null)"),
            )
        }
        _ => script.to_owned(),
    }
}

/// Adds the names of models to arguments that take them.
fn with_model_names(arg: clap::Arg) -> clap::Arg {
    match arg.get_id().as_str() {
        "name" | "names" if arg.is_positional() => arg.value_parser(PossibleValuesParser::new(model_names())),
        _ => arg,
    }
}

fn format_names() -> Vec<&'static str> {
    Format::ALL.map(Format::name).into_iter().chain(["all"]).collect()
}

fn model_names() -> Vec<&'static str> {
    source::names().chain(["auto"]).collect()
}

/// Adds the names that options accept, so that shells complete them.
fn with_value_names(command: Command) -> Command {
    let languages: Vec<&str> = Language::all().map(Language::code).chain(["auto"]).collect();
    let named = |command: Command| {
        command.mut_args(|arg| {
            let names = match arg.get_long() {
                Some("model") => &model_names(),
                Some("language") => &languages,
                Some("export") => &format_names(),
                Some("device") => return arg.value_parser(["auto", "cpu", "cuda", "metal"]),
                _ => return arg,
            };
            arg.value_parser(PossibleValuesParser::new(names.iter().copied()))
        })
    };
    let of_models = |models: Command| models.mut_subcommands(|inner| inner.mut_args(with_model_names));
    let command = named(command).mut_subcommands(named);
    command.mut_subcommand("models", of_models)
}

/// Prints the manual page of the program, or writes the pages of all commands to a folder.
pub fn write_manual(args: &ManArgs, printer: Printer) -> Result<ExitCode> {
    let mut command = CommandLine::described().mut_args(|arg| arg.hide_env(false));
    command.build();
    match &args.dir {
        None => printer.result(&page(&command)?)?,
        Some(folder) => {
            let failed = |source| Error::Output { path: folder.clone(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
            write_pages(&command, folder)?;
        }
    }
    Ok(ExitCode::Done)
}

fn write_pages(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    write_file(&path, page(command)?.as_bytes())?;
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.into_iter().try_for_each(|inner| write_pages(inner, folder))
}

fn page(command: &Command) -> Result<String> {
    let mut page = Vec::new();
    write_page(command, &mut page).context("cannot write the manual page")?;
    // Escapes are read correctly by every roff, whatever encoding it assumes.
    let letter = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    Ok(String::from_utf8_lossy(&page).chars().map(letter).collect())
}

fn write_page(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // The name section of a page has one line.
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

/// Writes the usage line of the help: a list of all options would take a page of its own.
fn synopsis(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    writeln!(page, ".SH SYNOPSIS\n.nf\n{}\n.fi", escaped(&usage))
}

/// Writes a part of the text after the help: a part with a heading keeps its lines, as examples need; others are filled.
fn section(part: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
    let Some(heading) = first.strip_suffix(':') else {
        return writeln!(page, ".SH NOTES\n{}", escaped(part));
    };
    writeln!(page, ".SH \"{}\"\n.nf\n{}\n.fi", escaped(&heading.to_uppercase()), escaped(rest))
}

/// Escapes characters that have a meaning in roff.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
