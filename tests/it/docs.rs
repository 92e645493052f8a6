//! The documentation: its links and options exist, its examples and its chart are what the program and the figures give.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::bare;

/// Lines of the README at most: it is an introduction, and the rest belongs in `docs/`.
const README_LINES: usize = 140;

/// Options of cargo that the pages mention.
const CARGO_OPTIONS: [&str; 4] = ["--features", "--path", "--release", "--test"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The pages for users of the program.
fn user_pages() -> Vec<PathBuf> {
    let mut pages = ["README.md", "CHANGELOG.md", "deploy/README.md"].map(|name| root().join(name)).to_vec();
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    pages
}

/// The pages for those who change it.
fn contributor_pages() -> [PathBuf; 4] {
    ["CONTRIBUTING.md", "fixtures/README.md", "benches/gpu/README.md", "models/demo/README.md"]
        .map(|name| root().join(name))
}

/// The page without its fenced blocks, which hold no links.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The anchors that headings get.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn relative_links_resolve() {
    let mut broken = Vec::new();
    for page in user_pages().into_iter().chain(contributor_pages()) {
        let text = prose(&read(&page));
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let has_anchor = || anchor.is_empty() || anchors(&prose(&read(&target))).contains(anchor);
            if !target.exists() || !has_anchor() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let linked: BTreeSet<String> = links(&read(&root().join("README.md"))).into_iter().collect();
    for page in fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap()) {
        let name = format!("docs/{}", page.file_name().to_string_lossy());
        assert!(!name.ends_with(".md") || linked.contains(&name), "{name} is not linked");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines <= README_LINES, "{lines} lines, more than {README_LINES}");
}

#[test]
fn documented_options_exist() {
    let commands = [
        &[][..],
        &["watch"],
        &["serve"],
        &["export"],
        &["score"],
        &["models", "list"],
        &["models", "pull"],
        &["models", "remove"],
        &["doctor"],
        &["bench"],
        &["report", "merge"],
        &["man"],
    ];
    let mut known: BTreeSet<String> = CARGO_OPTIONS.iter().map(|option| (*option).to_owned()).collect();
    for command in commands {
        let output = bare().args(command).arg("--help").output().unwrap();
        known.extend(options(&String::from_utf8(output.stdout).unwrap()));
    }
    for page in user_pages() {
        let unknown: Vec<String> =
            options(&read(&page)).into_iter().filter(|option| !known.contains(option)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", page.display());
    }
}

/// The long options that a text mentions.
fn options(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("--").map(|(at, _)| at);
    let is_start =
        |at: &usize| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '-');
    let name = |at: usize| {
        let rest = &text[at + 2..];
        let end =
            rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '-').unwrap_or(rest.len());
        format!("--{}", rest[..end].trim_end_matches('-'))
    };
    starts.filter(is_start).map(name).filter(|option| option.len() > 2).collect()
}

#[test]
fn the_chart_is_what_the_figures_give() {
    let mut python = Command::new("python3");
    match python.arg(root().join("benches/charts.py")).arg("--check").output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// The commands of a page's `console` blocks, each with the output shown below it.
#[cfg(unix)]
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => examples.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => panic!("`{line}` follows no command"),
            }
        }
    }
    examples
}

/// What does not change from run to run: after the version and the machine, all but the numbers and the column widths.
#[cfg(unix)]
fn without_figures(table: &str) -> Vec<String> {
    let letters = |word: &str| word.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
    let line = |line: &str| line.split_whitespace().map(letters).collect::<Vec<_>>().join(" ");
    table.lines().skip_while(|line| !line.is_empty()).map(line).collect()
}

#[cfg(unix)]
#[test]
fn console_examples_are_real() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(root().join("fixtures"), file("fixtures")).unwrap();
    let readme = examples(&read(&root().join("README.md")));
    assert!(readme.len() >= 4);
    check_examples(folder.path(), &readme);
    // The other pages score and rate the subtitles that the README makes.
    fs::copy(file("out/short_en.srt"), file("talk.srt")).unwrap();
    let reference = "One three.\nThe door is blue.\nClose Friday eight Monday six door.\n";
    fs::write(file("truth.txt"), reference).unwrap();
    let turns = "SPEAKER talk 1 0 4 <NA> <NA> Anna <NA> <NA>\nSPEAKER talk 1 4 4 <NA> <NA> Ben <NA> <NA>\n";
    fs::write(file("truth.rttm"), turns).unwrap();
    let segment =
        |start, end, speaker| serde_json::json!({"start": start, "end": end, "text": "", "speaker": speaker});
    let labelled = [segment(0, 5, "SPEAKER_00"), segment(5, 8, "SPEAKER_01")];
    fs::write(file("talk.json"), serde_json::json!({"segments": labelled}).to_string()).unwrap();
    for page in user_pages().iter().filter(|page| !page.ends_with("README.md")) {
        check_examples(folder.path(), &examples(&read(page)));
    }
}

#[cfg(unix)]
fn check_examples(folder: &Path, examples: &[(String, String)]) {
    let program = bare();
    let programs = Path::new(program.get_program()).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    for (line, expected) in examples {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).current_dir(folder).env_clear();
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", &path);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        if line.contains("report show") {
            assert_eq!(without_figures(printed.trim_end()), without_figures(expected.trim_end()), "{line}");
        } else {
            assert_eq!(printed.trim_end(), expected.trim_end(), "{line}");
        }
    }
}
