//! Speakers in every format: exported, read back, and the labels of other programs.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::{Value, json};
use transcribe::transcript::{Segment, SpeakerTurns, Transcript, Word};

use crate::program::{bare, names};

/// Makes a transcript of what each speaker says, with the start of every segment; a word takes 0.4 seconds.
pub fn conversation(said: &[(f64, Option<&str>, &str)]) -> Transcript {
    let mut segments = Vec::new();
    for (id, (start, speaker, text)) in said.iter().enumerate() {
        let speaker = speaker.map(str::to_owned);
        let word = |(at, word): (usize, &str)| Word {
            word: format!(" {word}"),
            start: start + 0.4 * at as f64,
            end: start + 0.4 * (at + 1) as f64,
            probability: 0.9,
            speaker: speaker.clone(),
        };
        let words: Vec<Word> = text.split(' ').enumerate().map(word).collect();
        let end = words.last().unwrap().end;
        let (text, words) = (format!(" {text}"), Some(words));
        segments.push(Segment {
            id,
            start: *start,
            end,
            text,
            speaker: speaker.clone(),
            words,
            avg_logprob: -0.1,
            ..Segment::default()
        });
    }
    let turns = segments.iter().filter_map(|s: &Segment| Some((s.start, s.end, s.speaker.clone()?)));
    Transcript {
        source: "my talk.mp3".into(),
        duration: 20.0,
        language: "en".into(),
        text: segments.iter().map(|segment| segment.text.as_str()).collect(),
        speakers: Some(SpeakerTurns::from_named(turns)),
        segments,
        ..Transcript::default()
    }
}

pub const SAID: [(f64, Option<&str>, &str); 6] = [
    (0.0, Some("Anna"), "The door is blue."),
    (2.0, Some("Anna"), "Is it open?"),
    (4.0, Some("Ben <3"), "It was open on Friday."),
    (8.0, Some("Anna"), "Ready?"),
    (8.5, Some("Ben <3"), "Yes."),
    (12.0, None, "Doors close."),
];

fn export() -> Command {
    let mut program = bare();
    program.arg("export");
    Command::from_std(program)
}

/// Writes this program's JSON of the conversation into a folder.
fn talk(folder: &Path) -> PathBuf {
    let path = folder.join("talk.json");
    let options = transcribe::export::ExportOptions::default();
    let made = crate::export::written(transcribe::export::Format::Json, &conversation(&SAID), &options);
    fs::write(&path, made).unwrap();
    path
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The content of the file that the program makes of another one.
fn exported(from: &Path, format: &str, options: &[&str]) -> String {
    let out = tempfile::tempdir().unwrap();
    let mut program = export();
    program.arg(from).args(["--export", format]).args(options).arg("--output-dir").arg(out.path());
    program.assert().code(0).stdout(is_empty()).stderr(is_empty());
    let made = names(out.path());
    read(out.path().join(&made[0]))
}

#[test]
fn every_format_names_the_speakers() {
    let folder = tempfile::tempdir().unwrap();
    let talk = talk(folder.path());
    let file = |format: &str| exported(&talk, format, &[]);
    let paragraphs = "Anna: The door is blue. Is it open?\n\nBen <3: It was open on Friday.\n\nAnna: Ready?\n\n\
                      Ben <3: Yes.\n\nDoors close.\n";
    assert_eq!(file("txt"), paragraphs);
    let srt = file("srt");
    let texts: Vec<&str> =
        srt.trim_end().split("\n\n").map(|cue| cue.splitn(3, '\n').nth(2).unwrap()).collect();
    let expected = [
        "Anna: The door is blue.",
        "Is it open?",
        "Ben <3: It was open on Friday.",
        "- Ready?\n- Yes.",
        "Doors close.",
    ];
    assert_eq!(texts, expected);
    let vtt = file("vtt");
    assert!(vtt.contains("\n<v Anna>The door is blue.\n\n"), "{vtt}");
    assert!(vtt.contains("\n<v Anna>- Ready?</v>\n<v Ben &lt;3>- Yes.</v>\n\n"), "{vtt}");
    assert!(vtt.contains("\n<v Anna>Is it open?\n\n") && vtt.ends_with("\nDoors close.\n\n"), "{vtt}");
    let ass = file("ass");
    assert!(
        ass.contains("\nStyle: Anna,Arial,64,&H0042E4F0,")
            && ass.contains("\nStyle: Ben <3,Arial,64,&H00E9B456,")
    );
    assert!(ass.contains(",Anna,Anna,0,0,0,,The door is blue.\n"), "{ass}");
    assert!(ass.contains(",Anna,Anna / Ben <3,0,0,0,,{\\rAnna}- Ready?\\N{\\rBen <3}- Yes.\n"), "{ass}");
    assert!(ass.ends_with(",Default,,0,0,0,,Doors close.\n"), "{ass}");
    assert!(file("tsv").starts_with("start\tend\ttext\tspeaker\n0\t1600\tThe door is blue.\tAnna\n"));
    assert!(file("tsv").ends_with("12000\t12800\tDoors close.\t\n"));
    assert!(file("csv").starts_with("start,end,speaker,text\n0,1600,\"Anna\",\" The door is blue.\"\n"));
    assert!(file("csv").ends_with("12000,12800,,\" Doors close.\"\n"));
    let lrc = file("lrc");
    assert!(
        lrc.contains("[00:00.00] Anna: The door is blue.\n[00:02.00] Is it open?\n[00:04.00] Ben <3: It"),
        "{lrc}"
    );
    let rttm = file("rttm");
    assert!(rttm.starts_with("SPEAKER my_talk 1 0.000 1.600 <NA> <NA> Anna <NA> <NA>\n"), "{rttm}");
    assert!(rttm.contains("\nSPEAKER my_talk 1 4.000 2.000 <NA> <NA> Ben_<3 <NA> <NA>\n"), "{rttm}");
    assert_eq!(rttm.lines().count(), 5);
    let page = file("html");
    assert!(page.contains("<b class=\"speaker v1\">Ben &lt;3</b>"));
}

#[test]
fn labels_are_shown_always_or_never() {
    let folder = tempfile::tempdir().unwrap();
    let talk = talk(folder.path());
    let never = ["--speaker-labels", "never"];
    for format in ["srt", "vtt", "ass", "lrc"] {
        let file = exported(&talk, format, &never);
        assert!(!file.contains("Anna") && !file.contains("<v "), "{file}");
    }
    assert!(exported(&talk, "srt", &never).contains("\n- Ready?\n- Yes.\n"));
    let always = ["--speaker-labels", "always"];
    let srt = exported(&talk, "srt", &always);
    assert!(srt.contains("\nAnna: Is it open?\n") && srt.contains("\nBen <3: Yes.\n"), "{srt}");
    assert!(exported(&talk, "vtt", &always).contains("\n<v Ben &lt;3>Ben &lt;3: Yes.\n"));
    assert!(exported(&talk, "ass", &always).contains(",,Anna: Is it open?\n"));
    assert!(exported(&talk, "lrc", &always).contains("] Anna: Is it open?\n"));
    // openai's layout of cues names them, too.
    let openai = exported(&talk, "srt", &["--subtitles", "openai"]);
    assert!(openai.contains("\nAnna: The door is blue.\n") && openai.contains("\nIs it open?\n"), "{openai}");
    export().arg(&talk).args(["--export", "srt", "--speaker-labels", "some"]).assert().code(2);
}

#[test]
fn json_keeps_speakers_and_turns() {
    let folder = tempfile::tempdir().unwrap();
    let talk = talk(folder.path());
    let json: Value = serde_json::from_str(&read(talk.clone())).unwrap();
    assert_eq!(json["segments"][4]["speaker"], "Ben <3");
    assert_eq!(json["segments"][4]["words"][0]["speaker"], "Ben <3");
    assert_eq!(json["segments"][5].get("speaker"), None);
    assert_eq!(
        json["speakers"],
        json!([{"name": "Anna", "seconds": 3.2}, {"name": "Ben <3", "seconds": 2.4}])
    );
    assert_eq!(json["turns"][2], json!({"start": 4.0, "end": 6.0, "speaker": "Ben <3"}));
    assert_eq!(exported(&talk, "json", &[]), read(talk.clone()));
    // Through a page, too.
    let page = folder.path().join("page.html");
    fs::write(&page, exported(&talk, "html", &[])).unwrap();
    assert_eq!(exported(&page, "json", &[]), read(talk.clone()));

    let styled = |style: &str| exported(&talk, "json", &["--json-style", style]);
    assert!(!styled("openai").contains("speaker"));
    let whisperx: Value = serde_json::from_str(&styled("whisperx")).unwrap();
    assert_eq!(whisperx["segments"][2]["speaker"], "Ben <3");
    assert_eq!(whisperx["segments"][2]["words"][0]["speaker"], "Ben <3");
    assert_eq!(whisperx["word_segments"][0]["speaker"], "Anna");
    let hf: Value = serde_json::from_str(&styled("hf")).unwrap();
    assert_eq!(
        hf["speakers"][0],
        json!({"speaker": "Anna", "timestamp": [0.0, 1.6], "text": " The door is blue."})
    );
    assert_eq!(hf["speakers"].as_array().unwrap().len(), 5);
    let cpp: Value = serde_json::from_str(&styled("whisper-cpp")).unwrap();
    assert_eq!(cpp["transcription"][2]["speaker"], "Ben <3");

    // Every style and table keeps enough to name them again.
    for options in [
        &["json", "whisperx"][..],
        &["json", "hf"],
        &["json", "whisper-cpp"],
        &["vtt", "full"],
        &["tsv", "full"],
    ] {
        let kept = folder.path().join(format!("kept.{}", options[0]));
        fs::write(&kept, exported(&talk, options[0], &["--json-style", options[1]])).unwrap();
        let txt = exported(&kept, "txt", &[]);
        let expected = exported(&talk, "txt", &[]);
        assert_eq!(txt, expected, "{options:?}");
    }
}

#[test]
fn labels_of_other_programs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let txt = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        exported(&path, "txt", &[])
    };
    let expected = "SPEAKER_00: Hi you.\n\nSPEAKER_01: No.\n";
    let whisperx = r#"{"segments": [{"start": 0.5, "end": 1, "text": " Hi you.", "speaker": "SPEAKER_00", "words": [
        {"word": "Hi", "start": 0.5, "end": 0.7, "score": 0.9, "speaker": "SPEAKER_00"}, {"word": "you."}]},
        {"start": 1, "end": 2, "text": " No.", "speaker": "SPEAKER_01", "words": []}], "language": "en"}"#;
    assert_eq!(txt("x.json", whisperx), expected);
    assert_eq!(
        txt("x.srt", "1\n0:00 --> 0:01\n[SPEAKER_00]: Hi you.\n\n2\n0:01 --> 0:02\n[SPEAKER_01]: No.\n"),
        expected
    );
    assert_eq!(
        txt("x.vtt", "WEBVTT\n\n0:00 --> 0:01\n<v SPEAKER_00>Hi you.\n\n0:01 --> 0:02\n<v SPEAKER_01>No.\n"),
        expected
    );
    let insane = r#"{"text": " Hi you. No.", "chunks": [{"timestamp": [0, 1], "text": " Hi you."}, {"timestamp": [1, null], "text": " No."}],
        "speakers": [{"speaker": "SPEAKER_00", "timestamp": [0, 1], "text": " Hi you."}, {"speaker": "SPEAKER_01", "timestamp": [1, null], "text": " No."}]}"#;
    assert_eq!(txt("h.json", insane), expected);
    let diarized = r#"{"task": "transcribe", "duration": 2.0, "text": "Hi you. No.", "segments": [
        {"type": "transcript.text.segment", "id": "seg_001", "start": 0, "end": 1, "text": " Hi you.", "speaker": "SPEAKER_00"},
        {"type": "transcript.text.segment", "id": "seg_002", "start": 1, "end": 2, "text": " No.", "speaker": "SPEAKER_01"}]}"#;
    assert_eq!(txt("api.json", diarized), expected);
    let path = folder.path().join("x.json");
    assert_eq!(
        exported(&path, "rttm", &[]),
        "SPEAKER x 1 0.500 0.500 <NA> <NA> SPEAKER_00 <NA> <NA>\nSPEAKER x 1 1.000 1.000 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
    );
    let json: Value = serde_json::from_str(&exported(&path, "json", &[])).unwrap();
    assert_eq!(json["speakers"][1], json!({"name": "SPEAKER_01", "seconds": 1.0}));
}

#[test]
fn turns_need_speakers() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.json");
    fs::write(&plain, r#"{"segments": [{"start": 0, "end": 1, "text": " Hi."}]}"#).unwrap();
    let failed = export().arg(&plain).args(["--export", "rttm"]).assert().code(1);
    failed.stderr(contains("speakers").and(contains("rttm")));
    // `all` is what there is.
    export()
        .arg(&plain)
        .args(["--export", "all", "--output-dir"])
        .arg(folder.path().join("all"))
        .assert()
        .code(0);
    assert_eq!(read(folder.path().join("all/plain.rttm")), ";; no speakers are known\n");
    assert_eq!(read(folder.path().join("all/plain.tsv")), "start\tend\ttext\n0\t1000\tHi.\n");
}

/// The rating of a file counts what it shows.
#[test]
fn subtitles_with_speakers_keep_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let long: String =
        (0..60).map(|n| format!("wo{}{} ", n % 7, if n % 9 == 8 { "." } else { "" })).collect();
    let said = [
        (0.0, Some("Speaker 1"), long.trim()),
        (25.0, Some("Speaker 2"), "Yes."),
        (25.6, Some("Speaker 1"), "No."),
    ];
    let path = folder.path().join("talk.json");
    let options = transcribe::export::ExportOptions::default();
    fs::write(
        &path,
        crate::export::written(transcribe::export::Format::Json, &conversation(&said), &options),
    )
    .unwrap();
    for labels in ["auto", "always"] {
        for format in ["srt", "vtt"] {
            let file = folder.path().join(format!("{labels}.{format}"));
            fs::write(&file, exported(&path, format, &["--speaker-labels", labels])).unwrap();
            // Two short turns that may not share a cue leave no time to read both.
            let checked = export().arg("--check").arg(&file).args(["--min-score", "90"]).assert().code(0);
            checked.stdout(contains(" cues: ").and(contains("lines").not()).and(contains("overlap").not()));
        }
    }
}
