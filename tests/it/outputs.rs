//! Names of outputs, what is replaced and what is kept, dry runs, and shards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::inputs::Tree;
use crate::program::{LEDGER, Running, fixture, names};

/// Returns the messages of a successful run.
fn messages(tree: &Tree, line: &[&str]) -> String {
    let output = tree.run(line);
    assert_eq!(output.status.code(), Some(0), "{line:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn outputs_are_named_by_a_template() {
    let tree = Tree::new(&["in/x/a.wav", "in/y/a.wav"]);
    let line = ["in", "-r", "--export", "txt", "--output-dir", "out", "--output-template"];
    let written =
        |template: &str, more: &[&str]| tree.written(&[&line[..], &[template], more].concat(), "txt");
    assert_eq!(written("{parent}-{name}.{ext}", &[]), ["out/x-a.wav.txt", "out/y-a.wav.txt"]);
    assert_eq!(written("{dir}/{{{index}}}", &[]), ["out/x/{1}.txt", "out/y/{2}.txt"]);
    let names = written("{dir}.{language}.{task}.{model}", &["--language", "en"]);
    assert_eq!(names, ["out/x.en.transcribe.demo.txt", "out/y.en.transcribe.demo.txt"]);
    let dated = written("{parent} {date}", &[]);
    assert!(dated[0].len() == "out/x 2026-01-01.txt".len() && dated[0].starts_with("out/x 20"), "{dated:?}");

    let refused = |template: &str| tree.refused(&[&line[..], &[template]].concat());
    assert!(refused("{stm}").contains("unknown field `{stm}`\nhint: did you mean `{stem}`?"));
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
fn inputs_of_one_stem_keep_their_extensions() {
    let tree = Tree::new(&["talk.wav", "talk.mp3", "other.wav"]);
    let line = [".", "--export", "srt"];
    let said = messages(&tree, &line);
    assert!(
        said.contains("`./talk.mp3`: its outputs keep the extension: `./talk.wav` has the same stem"),
        "{said}"
    );
    let outputs = ["other.srt", "other.wav", "talk.mp3", "talk.mp3.srt", "talk.wav", "talk.wav.srt"];
    assert_eq!(names(&tree.at("")), outputs);
    // The names do not depend on which of them is up to date.
    fs::remove_file(tree.at("talk.wav.srt")).unwrap();
    assert_eq!(messages(&tree, &line).matches("already done").count(), 2);
    assert_eq!(names(&tree.at("")), outputs);
}

#[test]
fn the_hint_of_a_clash_leads_out_of_it() {
    let tree = Tree::new(&["x/a/talk.wav", "x/a/talk.mp3", "x/b/talk.mp3", "y/a/talk.mp3"]);
    let line = ["--export", "srt", "--output-dir", "out"];
    for inputs in [
        &["x/a/talk.mp3", "x/b/talk.mp3"][..],
        &["x/a/talk.wav", "x/a/talk.mp3", "x/b/talk.mp3"],
        &["x/a/talk.wav", "x/a/talk.mp3", "x/b/talk.mp3", "y/a/talk.mp3"],
    ] {
        let line = [inputs, &line].concat();
        let said = tree.refused(&line);
        assert!(said.contains("would be written for both"), "{said}");
        let template = said.split("`--output-template ").nth(1).unwrap().split('`').next().unwrap();
        let outputs = tree.written(&[&line[..], &["--output-template", template]].concat(), "srt");
        assert_eq!(outputs.len(), inputs.len(), "{template}: {outputs:?}");
    }
}

#[test]
fn outdated_outputs_are_replaced_unless_they_were_edited() {
    let tree = Tree::new(&["a.wav", "b.wav"]);
    let run = |line: &[&str]| {
        messages(&tree, &[&["a.wav", "b.wav", "--export", "txt,srt", "--verbose"], line].concat())
    };
    run(&[]);
    let done = "already done; `--overwrite` does it again";
    let skipped = |messages: &str| messages.matches(done).count();
    assert_eq!(skipped(&run(&[])), 2);
    // Options that affect only speed change nothing.
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

    // The same weights under another name are another model, too.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let other = run(&["--language", "de", "--model", folder.to_str().unwrap()]);
    assert!(
        other.contains("`b.wav`: `b.txt` is outdated and will be replaced: the model has changed"),
        "{other}"
    );
    assert!(run(&["--language", "de"]).contains("the model has changed"));

    // The line width does not affect plain text.
    let wide = run(&["--language", "de", "--word-timestamps", "--max-line-width", "20"]);
    assert!(wide.contains("options that affect the text"), "{wide}");
    let wider = run(&["--language", "de", "--word-timestamps", "--max-line-width", "30"]);
    assert!(
        wider.contains("`a.srt` is outdated and will be replaced: options that affect its formatting"),
        "{wider}"
    );
    assert!(!wider.contains("wrote `a.txt`"), "{wider}");

    // Another recording with the same name, and a file that is not in the ledger.
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

/// A folder with recordings in English and Spanish.
fn two_languages() -> Tree {
    let tree = Tree::new(&[]);
    fs::create_dir(tree.at("in")).unwrap();
    fs::copy(fixture("long/short_en.flac"), tree.at("in/movie.flac")).unwrap();
    fs::copy(fixture("long/short_es.flac"), tree.at("in/cine.flac")).unwrap();
    tree
}

#[test]
fn outputs_are_named_after_the_detected_language() {
    let tree = two_languages();
    let line = ["in", "--language-in-name", "--verbose", "--export"];
    let run = |more: &[&str]| messages(&tree, &[&line[..], more].concat());
    let plan = tree.run(&[&line[..], &["srt,txt", "--dry-run"]].concat());
    assert!(String::from_utf8(plan.stdout).unwrap().contains("in/movie.{language}.srt"), "{:?}", plan.stderr);
    run(&["srt,txt"]);
    let first = ["cine.es.srt", "cine.es.txt", "cine.flac", "movie.en.srt", "movie.en.txt", "movie.flac"];
    assert_eq!(names(&tree.at("in")), first);

    // What is up to date is found by its record, for whatever language that is.
    let done = "already done; `--overwrite` does it again";
    assert_eq!(run(&["srt,txt"]).matches(done).count(), 2);
    let further = run(&["srt,txt,json"]);
    assert!(further.contains("wrote `in/movie.en.json`") && !further.contains(".en.srt`"), "{further}");
    fs::remove_file(tree.at("in/movie.en.json")).unwrap();
    fs::write(tree.at("in/movie.en.srt"), "mine").unwrap();
    let edited = run(&["srt"]);
    assert!(edited.contains("`in/movie.en.srt` is kept: it was edited"), "{edited}");
    assert!(!edited.contains("of audio in"), "it was transcribed again: {edited}");
    assert!(run(&["srt", "--overwrite"]).contains("wrote `in/movie.en.srt`"));
    // Other options may give another language; the names follow it.
    assert!(run(&["srt", "--language", "de"]).contains("wrote `in/movie.de.srt`"));

    // Files of unknown origin are kept, too, which shows only once the language is known.
    fs::create_dir(tree.at("out")).unwrap();
    fs::write(tree.at("out/movie.en.srt"), "of somebody").unwrap();
    let kept = run(&["srt", "--output-dir", "out"]);
    assert!(kept.contains("`out/movie.en.srt` is kept: it is not in the ledger"), "{kept}");
    assert_eq!(fs::read(tree.at("out/movie.en.srt")).unwrap(), b"of somebody");
    assert!(tree.at("out/cine.es.srt").is_file());
    // A conversion takes the language of the transcript.
    messages(&tree, &["in/movie.flac", "--export", "json", "--output-dir", "json"]);
    messages(&tree, &["export", "json/movie.json", "--export", "vtt", "--language-in-name"]);
    assert!(tree.at("json/movie.en.vtt").is_file());
}

#[test]
fn templates_take_the_detected_language() {
    let tree = two_languages();
    let line =
        ["in", "--export", "txt", "--output-dir", "out", "--output-template", "{language}/{stem}.{ext}"];
    assert_eq!(tree.written(&line, "txt"), ["out/en/movie.txt", "out/es/cine.txt"]);
    assert_eq!(names(&tree.at("out")), ["en", "es"]);
    // A translation is English.
    let translated = [&line[..], &["--task", "translate", "--dry-run"]].concat();
    let plan = String::from_utf8(tree.run(&translated).stdout).unwrap();
    assert!(plan.contains("out/en/cine.txt") && plan.contains("out/en/movie.txt"), "{plan}");
    // A fixed name may be what another recording gets.
    let lines = [
        r#"{"audio": "in/movie.flac", "outputs": ["txt"]}"#,
        r#"{"audio": "in/cine.flac", "outputs": {"txt": "out/en/movie.txt"}}"#,
    ];
    fs::write(tree.at("jobs.jsonl"), lines.join("\n")).unwrap();
    let clash = tree.refused(&[&["--manifest", "jobs.jsonl"], &line[3..]].concat());
    assert!(clash.contains("`out/en/movie.txt`: would be written for both"), "{clash}");
}

#[test]
#[cfg(unix)]
fn outputs_named_after_the_language_are_resumed() {
    let tree = Tree::new(&[]);
    fs::copy(fixture("long/long_en.flac"), tree.at("talk.flac")).unwrap();
    let line =
        ["talk.flac", "--export", "srt", "--language-in-name", "--chunk-length", "30", "--batch-size", "1"];
    let stop = |moment: &str, signal: &str| {
        let mut running = Running::start_until(tree.program(&line), moment);
        assert!(running.wait_for("test hook: chunk"));
        running.signal(signal);
        running.end();
    };
    stop("hang chunk 1", "KILL");
    assert_eq!(names(&tree.at("")), [".talk.auto.transcribe", "talk.flac"]);
    stop("stop chunk 1", "INT");
    assert_eq!(names(&tree.at("")), [".talk.auto.transcribe", "talk.en.partial.srt", "talk.flac"]);
    let text = messages(&tree, &[&line[..], &["--verbose"]].concat());
    assert!(text.contains("resuming where an earlier run stopped"), "{text}");
    assert_eq!(names(&tree.at("")), ["talk.en.srt", "talk.flac"]);
}

#[test]
fn a_further_format_does_not_replace_the_others() {
    let tree = Tree::new(&["a.wav"]);
    messages(&tree, &["a.wav", "--export", "txt"]);
    let text = messages(&tree, &["a.wav", "--export", "txt,json", "--verbose"]);
    assert!(text.contains("wrote `a.json`") && !text.contains("wrote `a.txt`"), "{text}");
    assert!(messages(&tree, &["a.wav", "--export", "json,txt"]).contains("already done"));
}

#[test]
#[cfg(unix)]
fn after_a_kill_between_two_outputs_only_the_second_is_written() {
    let tree = Tree::new(&["a.wav"]);
    let mut program = tree.program(&["a.wav", "--export", "txt,srt"]);
    program.env("TRANSCRIBE_MODEL", "demo");
    let mut running = Running::start_until(program, "stop write 2");
    assert!(running.wait_for("test hook: write"));
    running.signal("KILL");
    running.end();
    assert!(tree.at("a.txt").is_file() && !tree.at("a.srt").exists());
    let text = messages(&tree, &["a.wav", "--export", "txt,srt", "--verbose"]);
    assert!(text.contains("wrote `a.srt`") && !text.contains("wrote `a.txt`"), "{text}");
    assert!(messages(&tree, &["a.wav", "--export", "txt,srt"]).contains("already done"));
}

#[test]
fn concurrent_runs_all_record_their_outputs() {
    let tree = Tree::new(&["a.wav", "b.wav", "c.wav", "d.wav"]);
    let start = |input: &str| tree.program(&[input, "--export", "txt"]).spawn().unwrap();
    let children = ["a.wav", "b.wav", "c.wav", "d.wav"].map(start);
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let text = messages(&tree, &[".", "--export", "txt"]);
    assert_eq!(text.matches("already done").count(), 4, "{text}");
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let tree = Tree::new(&["in/a.wav", "in/deep/b.wav", "c.wav"]);
    messages(&tree, &["c.wav", "--export", "srt", "--output-dir", "out"]);
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
    let plan: Value = serde_json::from_str(&dry("--dry-run=json")).unwrap();
    assert_eq!(plan["inputs"].as_array().unwrap().len(), 4);
    assert_eq!(plan["inputs"][3]["id"], "first");
    assert_eq!(plan["inputs"][3]["settings"]["language"], "de");
    assert_eq!(plan["inputs"][1]["outputs"]["srt"], Path::new("out/deep/b.srt").display().to_string());
    assert!(plan["audio_seconds"].as_f64().unwrap() > 1.0 && plan["models"][0]["cached"] == true);
    assert_eq!(names(&tree.at("out")), ["c.srt"]);
    assert!(!tree.at("new").exists());

    // A model that is not cached is not downloaded, and an unknown one is an error.
    let other = tree.run(&["c.wav", "--dry-run", "--model", "small"]);
    let table = String::from_utf8(other.stdout).unwrap();
    assert!(table.contains("model   small, to be downloaded, about "), "{table}");
    assert!(table.contains("text on standard output"), "{table}");
    let nowhere = tree.run(&["c.wav", "--dry-run", "--model", "smal"]);
    assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");
    let line = ["c.wav", "in", "none.wav", "-r", "--export", "srt", "--dry-run", "nor.wav"];
    let wrong = tree.run(&line);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let wrong = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.contains("`none.wav`") && wrong.contains("`nor.wav`"), "{wrong}");
}

#[test]
fn shards_are_disjoint_and_complete() {
    let tree = Tree::new(&["in/a.wav", "in/b.wav", "in/x/c.wav", "in/x/d.wav", "in/e.wav", "f.wav"]);
    let line = ["in", "f.wav", "-r", "--export", "txt", "--dry-run=json"];
    let shard_inputs = |shard: &[&str], variables: &[(&str, &str)]| {
        let output =
            tree.program(&[&line[..], shard].concat()).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let inputs = plan["inputs"].as_array().unwrap().iter();
        inputs.map(|input| input["input"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let parts: Vec<_> = ["1/3", "2/3", "3/3"].iter().map(|k| shard_inputs(&["--shard", k], &[])).collect();
    assert!(parts.iter().all(|part| part.len() == 2), "{parts:?}");
    assert_eq!(parts.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
    // Finished inputs do not move others to another shard.
    assert_eq!(tree.run(&["in/a.wav", "in/b.wav", "--export", "txt"]).status.code(), Some(0));
    assert_eq!(shard_inputs(&["--shard", "2/3"], &[]), parts[1]);
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "12"),
        ("SLURM_ARRAY_TASK_MIN", "11"),
        ("SLURM_ARRAY_TASK_MAX", "13"),
        ("SLURM_ARRAY_TASK_COUNT", "3"),
    ];
    assert_eq!(shard_inputs(&["--shard", "auto"], &slurm), parts[1]);
    assert_eq!(
        shard_inputs(&["--shard=auto"], &[("JOB_COMPLETION_INDEX", "2"), ("TRANSCRIBE_SHARDS", "3")]),
        parts[2]
    );
    assert!(tree.refused(&["f.wav", "--shard", "auto"]).contains("the environment does not say which shard"));
    assert!(tree.refused(&["f.wav", "--shard", "4/3"]).contains("there is no shard 4 of 3"));
    // A shard may be empty.
    let empty = ["f.wav", "--export", "txt", "--shard", "2/2"];
    assert_eq!(tree.run(&empty).status.code(), Some(0));
    assert!(!tree.at("f.txt").exists() && !tree.at(LEDGER).exists());
}
