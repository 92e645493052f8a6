//! Where outputs go, what is done again and what is left alone, what a dry run tells, and parts of a batch.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::inputs::Tree;
use crate::program::{LEDGER, Running, names};

/// What it says on stderr, having done its work.
fn said(tree: &Tree, line: &[&str]) -> String {
    let output = tree.run(line);
    assert_eq!(output.status.code(), Some(0), "{line:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn names_follow_a_template() {
    let tree = Tree::new(&["in/x/a.wav", "in/y/a.wav"]);
    let line = ["in", "-r", "--export", "txt", "--output-dir", "out", "--output-template"];
    let written =
        |template: &str, more: &[&str]| tree.written(&[&line[..], &[template], more].concat(), "txt");
    assert_eq!(written("{parent}-{name}.{ext}", &[]), ["out/x-a.wav.txt", "out/y-a.wav.txt"]);
    assert_eq!(written("{dir}/{{{index}}}", &[]), ["out/x/{1}.txt", "out/y/{2}.txt"]);
    let told = written("{dir}.{language}.{task}.{model}", &["--language", "en"]);
    assert_eq!(told, ["out/x.en.transcribe.demo.txt", "out/y.en.transcribe.demo.txt"]);
    let dated = written("{parent} {date}", &[]);
    assert!(dated[0].len() == "out/x 2026-01-01.txt".len() && dated[0].starts_with("out/x 20"), "{dated:?}");

    let refused = |template: &str| tree.refused(&[&line[..], &[template]].concat());
    assert!(refused("{stm}").contains("`{stm}` stands for nothing\nhint: did you mean `{stem}`?"));
    assert!(refused("{language}-{dir}").contains("known only after listening"));
    assert!(
        refused("{id}").contains("`in/x/a.wav`: has no `id`\nhint: give each line of the manifest an `id`")
    );
    let clash = refused("{stem}.{ext}");
    assert!(
        clash.contains("`out/a.txt`: would be written for both `in/x/a.wav` and `in/y/a.wav`"),
        "{clash}"
    );
    assert!(
        clash.contains("--output-template {parent}/{stem}.{ext}") && clash.contains("`--output-dir`"),
        "{clash}"
    );
    assert!(tree.refused(&["in/x/a.wav", "--flat"]).contains("`--flat`: has no effect without `--export`"));
}

#[test]
fn same_names_in_one_folder_are_told_apart_by_their_endings() {
    let tree = Tree::new(&["talk.wav", "talk.mp3"]);
    let clash = tree.refused(&[".", "--export", "srt"]);
    assert!(clash.contains("talk.srt`: would be written for both `./talk.mp3` and `./talk.wav`"), "{clash}");
    assert!(
        clash.contains("`--output-template {name}.{ext}`") && clash.contains("`--output-dir`"),
        "{clash}"
    );
    let line = [".", "--export", "srt", "--output-template", "{name}.{ext}"];
    assert_eq!(tree.written(&line, "srt"), ["talk.mp3.srt", "talk.wav.srt"]);
}

#[test]
fn what_would_come_out_otherwise_is_made_again_unless_somebody_changed_it() {
    let tree = Tree::new(&["a.wav", "b.wav"]);
    let run = |line: &[&str]| {
        said(&tree, &[&["a.wav", "b.wav", "--export", "txt,srt", "--verbose"], line].concat())
    };
    run(&[]);
    let done = "already done; `--overwrite` does it again";
    let skipped = |said: &str| said.matches(done).count();
    assert_eq!(skipped(&run(&[])), 2);
    // How fast, and where, changes nothing.
    assert_eq!(skipped(&run(&["--batch-size", "1", "--threads", "1", "--device", "cpu"])), 2);

    fs::write(tree.at("a.srt"), "mine").unwrap();
    let text = run(&["--language", "de"]);
    assert!(
        text.contains(
            "`a.wav`: `a.txt` is outdated and will be replaced: options that affect the text have changed"
        ),
        "{text}"
    );
    assert!(text.contains("`a.wav`: `a.srt` is kept: it was edited after it was written"), "{text}");
    assert!(text.contains("wrote `b.srt`") && !text.contains("wrote `a.srt`"), "{text}");
    assert_eq!(fs::read(tree.at("a.srt")).unwrap(), b"mine");
    fs::remove_file(tree.at("a.srt")).unwrap();

    // Another model, by another name; then one of the same weights.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let other = run(&["--language", "de", "--model", folder.to_str().unwrap()]);
    assert!(
        other.contains("`b.wav`: `b.txt` is outdated and will be replaced: the model has changed"),
        "{other}"
    );
    assert!(run(&["--language", "de"]).contains("the model has changed"));

    // Text does not care how long lines are.
    let wide = run(&["--language", "de", "--word-timestamps", "--max-line-width", "20"]);
    assert!(wide.contains("options that affect the text"), "{wide}");
    let wider = run(&["--language", "de", "--word-timestamps", "--max-line-width", "30"]);
    assert!(
        wider.contains("`a.srt` is outdated and will be replaced: options that affect its formatting"),
        "{wider}"
    );
    assert!(!wider.contains("wrote `a.txt`"), "{wider}");

    // Another recording by the same name, and a file that nobody knows of.
    fs::copy(tree.at("a.wav"), tree.at("c.wav")).unwrap();
    let mut content = fs::read(tree.at("b.wav")).unwrap();
    content.extend([0; 3_200]);
    fs::write(tree.at("b.wav"), content).unwrap();
    fs::write(tree.at("c.txt"), "who knows").unwrap();
    let line = ["--language", "de", "--word-timestamps", "--max-line-width", "30", "c.wav"];
    let last = run(&line);
    assert!(
        last.contains("`b.wav`: `b.txt` is outdated and will be replaced: the input has changed"),
        "{last}"
    );
    assert!(last.contains("`c.txt` is kept: it is not in the ledger of its folder"), "{last}");
    assert!(last.contains("wrote `c.srt`") && skipped(&last) == 1, "{last}");
    assert_eq!(fs::read(tree.at("c.txt")).unwrap(), b"who knows");
    assert!(run(&[&line[..], &["--overwrite"]].concat()).contains("wrote `c.txt`"));
    assert!(skipped(&run(&line)) == 3);
}

#[test]
fn another_format_is_added_to_those_that_are_there() {
    let tree = Tree::new(&["a.wav"]);
    said(&tree, &["a.wav", "--export", "txt"]);
    let text = said(&tree, &["a.wav", "--export", "txt,json", "--verbose"]);
    assert!(text.contains("wrote `a.json`") && !text.contains("wrote `a.txt`"), "{text}");
    assert!(said(&tree, &["a.wav", "--export", "json,txt"]).contains("already done"));
}

#[test]
#[cfg(unix)]
fn a_kill_between_two_outputs_leaves_no_stranger() {
    let tree = Tree::new(&["a.wav"]);
    let mut program = tree.program(&["a.wav", "--export", "txt,srt"]);
    program.env("TRANSCRIBE_MODEL", "demo");
    let mut running = Running::start_until(program, "stop write 2");
    assert!(running.wait_for("test hook: write"));
    running.signal("KILL");
    running.end();
    assert!(tree.at("a.txt").is_file() && !tree.at("a.srt").exists());
    let text = said(&tree, &["a.wav", "--export", "txt,srt", "--verbose"]);
    assert!(text.contains("wrote `a.srt`") && !text.contains("wrote `a.txt`"), "{text}");
    assert!(said(&tree, &["a.wav", "--export", "txt,srt"]).contains("already done"));
}

#[test]
fn two_at_once_note_both() {
    let tree = Tree::new(&["a.wav", "b.wav", "c.wav", "d.wav"]);
    let start = |input: &str| tree.program(&[input, "--export", "txt"]).spawn().unwrap();
    let children = ["a.wav", "b.wav", "c.wav", "d.wav"].map(start);
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let text = said(&tree, &[".", "--export", "txt"]);
    assert_eq!(text.matches("already done").count(), 4, "{text}");
}

#[test]
fn a_dry_run_tells_everything_and_touches_nothing() {
    let tree = Tree::new(&["in/a.wav", "in/deep/b.wav", "c.wav"]);
    said(&tree, &["c.wav", "--export", "srt", "--output-dir", "out"]);
    let line = r#"{"audio": "in/a.wav", "language": "de", "outputs": {"txt": "new/a.txt"}, "id": "first"}"#;
    fs::write(tree.at("jobs.jsonl"), line).unwrap();
    let line = ["in", "c.wav", "-r", "--manifest", "jobs.jsonl", "--export", "srt", "--output-dir", "out"];
    let dry = |how: &str| {
        let output = tree.run(&[&line[..], &[how]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = dry("--dry-run");
    let length = "0:0";
    for part in [
        "in/deep/b.wav",
        "out/deep/b.srt",
        length,
        "skipped: already done",
        "new/a.txt; language de",
        "model   demo (demo@",
        "windows at a time",
        "device  cpu",
        "total   3 to do, 0:",
        "1 skipped",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let told: Value = serde_json::from_str(&dry("--dry-run=json")).unwrap();
    assert_eq!(told["inputs"].as_array().unwrap().len(), 4);
    assert_eq!(told["inputs"][3]["id"], "first");
    assert_eq!(told["inputs"][3]["settings"]["language"], "de");
    assert_eq!(told["inputs"][1]["outputs"]["srt"], Path::new("out/deep/b.srt").display().to_string());
    assert!(told["audio_seconds"].as_f64().unwrap() > 1.0 && told["models"][0]["cached"] == true);
    assert_eq!(names(&tree.at("out")), ["c.srt"]);
    assert!(!tree.at("new").exists());

    // A model that is not here is not fetched, and one that is none is told.
    let other = tree.run(&["c.wav", "--dry-run", "--model", "small"]);
    let table = String::from_utf8(other.stdout).unwrap();
    assert!(table.contains("model   small, to be downloaded, about "), "{table}");
    assert!(table.contains("text on standard output"), "{table}");
    let nowhere = tree.run(&["c.wav", "--dry-run", "--model", "smal"]);
    assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");
    let wrong = tree.refused(&[
        "c.wav",
        "in",
        "none.wav",
        "-r",
        "--export",
        "srt",
        "--flat",
        "--output-dir",
        "o",
        "--dry-run",
        "nor.wav",
    ]);
    assert!(wrong.contains("`none.wav`") && wrong.contains("`nor.wav`"), "{wrong}");
}

#[test]
fn parts_of_a_batch_are_disjoint_and_complete() {
    let tree = Tree::new(&["in/a.wav", "in/b.wav", "in/x/c.wav", "in/x/d.wav", "in/e.wav", "f.wav"]);
    let line = ["in", "f.wav", "-r", "--export", "txt", "--dry-run=json"];
    let part = |shard: &[&str], variables: &[(&str, &str)]| {
        let output =
            tree.program(&[&line[..], shard].concat()).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let inputs = told["inputs"].as_array().unwrap().iter();
        inputs.map(|input| input["input"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let parts: Vec<_> = ["1/3", "2/3", "3/3"].iter().map(|k| part(&["--shard", k], &[])).collect();
    assert!(parts.iter().all(|part| part.len() == 2), "{parts:?}");
    assert_eq!(parts.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
    // What is done already moves nothing to another part.
    assert_eq!(tree.run(&["in/a.wav", "in/b.wav", "--export", "txt"]).status.code(), Some(0));
    assert_eq!(part(&["--shard", "2/3"], &[]), parts[1]);
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "12"),
        ("SLURM_ARRAY_TASK_MIN", "11"),
        ("SLURM_ARRAY_TASK_MAX", "13"),
        ("SLURM_ARRAY_TASK_COUNT", "3"),
    ];
    assert_eq!(part(&["--shard", "auto"], &slurm), parts[1]);
    assert_eq!(
        part(&["--shard=auto"], &[("JOB_COMPLETION_INDEX", "2"), ("TRANSCRIBE_SHARDS", "3")]),
        parts[2]
    );
    assert!(
        tree.refused(&["f.wav", "--shard", "auto"]).contains("nothing in the environment says which part")
    );
    assert!(tree.refused(&["f.wav", "--shard", "4/3"]).contains("there is no part 4 of 3"));
    // A part may be empty.
    let empty = ["f.wav", "--export", "txt", "--shard", "2/2"];
    assert_eq!(tree.run(&empty).status.code(), Some(0));
    assert!(!tree.at("f.txt").exists() && !tree.at(LEDGER).exists());
}
