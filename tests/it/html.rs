//! Pages: their content, how they find their recordings, and that text cannot inject markup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use transcribe::export::{ExportOptions, Format, Media, Rendering};
use transcribe::transcript::{Seam, SkipReason, Skipped, Transcript, Waveform};

use crate::export::spoken;
use crate::program::{bare, demo, fixture, run};

/// The page of a transcript.
pub fn page(transcript: &Transcript, media: Media) -> Vec<u8> {
    let options = ExportOptions::default();
    Format::Html.write_with_media(&Rendering::new(transcript, &options), media)
}

fn written(transcript: &Transcript) -> String {
    String::from_utf8(page(transcript, Media::None)).unwrap()
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a page between `from` and the next `to`.
fn between<'p>(page: &'p str, from: &str, to: &str) -> &'p str {
    let rest = page.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

pub const HOSTILE: &str =
    "</script><script>window.harm = 1</script>{{script}}<img src=x onerror='harm = 1'>&amp;\" \u{2028}x";

pub fn hostile() -> Transcript {
    let mut transcript = spoken();
    transcript.source = format!("a\"'{HOSTILE}.mp3");
    transcript.language = "\"><b>".into();
    transcript.model.name = HOSTILE.into();
    transcript.segments[0].language = Some("'\"><i>".into());
    transcript.segments[0].words = None;
    transcript.segments[0].text = HOSTILE.into();
    transcript.segments[1].words.as_mut().unwrap()[0].word = format!(" {HOSTILE}");
    transcript
}

#[test]
fn escapes_text() {
    let page = written(&hostile());
    // Its data and its own script are the only ones.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    for element in ["<img", "<i>", "<b>\"", "onerror='"] {
        assert!(!page.contains(element), "{element}");
    }
    assert_eq!(page.matches("{{script}}").count(), 9);
    assert!(page.contains("<p class=\"facts\">1:00 · language &quot;&gt;&lt;b&gt; · model &lt;/script&gt;"));
}

#[test]
fn policy_allows_only_the_own_script_and_styles() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use sha2::{Digest, Sha256};
    let page = written(&spoken());
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (script, style) = (between(&page, "<script>", "</script>"), between(&page, "<style>", "</style>"));
    assert!(policy.contains(&format!("default-src 'none'; script-src {}; ", hash(script))), "{policy}");
    assert!(policy.contains(&format!("style-src {};", hash(style))), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    // Nothing is fetched from anywhere.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url(\""));
    assert!(!script.contains("innerHTML"));
}

#[test]
fn draws_and_lists_what_is_known() {
    let mut transcript = spoken();
    transcript.duration = 20.0;
    transcript.waveform = Some(Waveform { samples_per_pair: 160_000, pairs: vec![(-10, 20), (0, 0)] });
    transcript.seams = vec![Seam { at: 5.0, follows: false }, Seam { at: 15.0, follows: true }];
    let skipped = |start, end, why| Skipped { start, end, why };
    transcript.skipped =
        vec![skipped(10.0, 12.0, SkipReason::Silence), skipped(18.0, 20.0, SkipReason::NotAskedFor)];
    transcript.speech = Some(vec![(0.0, 9.0), (12.5, 17.5)]);
    transcript.segments[1].words.as_mut().unwrap().iter_mut().for_each(|word| word.probability = 0.1);
    let page = written(&transcript);
    let wave = between(&page, "<svg id=\"wave\"", "</svg>");
    assert!(wave.contains("viewBox=\"0 0 2 300\""));
    assert!(wave.contains("d=\"M0 128V0h1V127h1V129h-1V192h-1Z\""), "{wave}");
    assert!(wave.contains("<path class=\"seam\" d=\"M0.5 0V256\"/>"));
    assert!(wave.contains("<path class=\"seam on\" d=\"M1.5 0V256\"/>"));
    assert!(wave.contains("<rect class=\"silence\" x=\"1\" width=\"0.2\""));
    assert!(wave.contains("<rect class=\"unasked\" x=\"1.8\" width=\"0.2\""));
    assert!(wave.contains("class=\"doubt low\"") && wave.contains("class=\"doubt dropped\""));
    let lists = between(&page, "<h2>To check</h2>", "</aside>");
    for link in [
        "<a href=\"#t=2.44\"><b>0:02–0:03</b> <span class=\"note\">10 %</span> <q dir=\"auto\">The door is blue.</q></a>",
        "<a href=\"#t=12.5\"><b>0:12–0:17</b></a>",
        "<a href=\"#t=10\"><b>0:10–0:12</b> <span class=\"note\">2.0 s</span></a>",
        "<a href=\"#t=18\"><b>0:18–0:20</b> <span class=\"note\">2.0 s</span></a>",
    ] {
        assert!(lists.contains(link), "{link}\n{lists}");
    }
    let text = between(&page, "<article", "</article>");
    assert!(
        text.contains("<span class=\"w c0\" data-t=2.22 data-u=2.54 data-p=10>The</span> <span"),
        "{text}"
    );
}

#[test]
fn marks_where_the_language_changes() {
    let mut transcript = spoken();
    let languages = ["en", "ar", "ar"];
    transcript.segments.iter_mut().zip(languages).for_each(|(s, code)| s.language = Some(code.into()));
    transcript.language = "en".into();
    let page = written(&transcript);
    let text = between(&page, "<article", "</article>");
    assert_eq!(text.matches("<span class=\"language\">ar</span>").count(), 1);
    assert_eq!(text.matches("<span class=\"language\">").count(), 1);
    assert_eq!(text.matches("dir=\"auto\" lang=\"ar\"").count(), 2);
    assert!(!written(&spoken()).contains("<span class=\"language\">"));
}

#[test]
fn text_without_probabilities_is_not_shaded() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("talk.srt"), "1\n00:00:01,000 --> 00:00:02,500\nHi & \"you\"\n").unwrap();
    let mut program = bare();
    program.arg("export").arg(at("talk.srt")).args(["--export", "html"]);
    assert!(run(program).status.success());
    let page = read(&at("talk.html"));
    assert!(page.contains("data-rated=\"no\""));
    assert!(page.contains("<span class=\"w\" data-t=1 data-u=2.5>Hi &amp; &quot;you&quot;</span>"));
}

#[test]
fn a_page_is_read_like_the_json_that_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let transcript = hostile();
    let options = ExportOptions::default();
    fs::write(at("page.html"), page(&transcript, Media::None)).unwrap();
    fs::write(at("data.json"), Format::Json.write(&Rendering::new(&transcript, &options))).unwrap();
    for name in ["page.html", "data.json"] {
        let mut program = bare();
        program.arg("export").arg(at(name)).args(["--export", "json,srt,vtt", "--output-dir"]).arg(at("out"));
        let ended = run(program);
        assert!(ended.status.success(), "{}", ended.stderr);
    }
    for extension in ["json", "srt", "vtt"] {
        let found = ["page", "data"].map(|name| read(&at("out").join(format!("{name}.{extension}"))));
        assert!(found[0] == found[1] && !found[0].is_empty(), "{extension}");
    }
    assert!(read(&at("out").join("page.json")) == read(&at("data.json")));

    fs::write(at("other.html"), "<p>Hi").unwrap();
    let mut program = bare();
    program.arg("export").arg(at("other.html")).args(["--export", "srt"]);
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("is not a page that this program wrote"), "{}", ended.stderr);
}

#[test]
fn embeds_the_whole_recording() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let bytes = fs::read(fixture("long/short_en.flac")).unwrap();
    let page = String::from_utf8(page(&spoken(), Media::Embedded(bytes.clone()))).unwrap();
    let held = between(&page, "id=\"recording\" data-kind=\"audio/flac\">", "</script>");
    assert_eq!(BASE64_STANDARD.decode(held).unwrap(), bytes);
    assert!(page.contains("<audio id=\"player\" preload=\"metadata\"></audio>"));
}

/// Writes a transcript and, beside it, the recording it names: silence at 16 kHz.
fn beside(folder: &Path, seconds: u32) -> Command {
    let bytes = seconds * 32_000;
    let mut header = b"RIFF".to_vec();
    header.extend((36 + bytes).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    header.extend(bytes.to_le_bytes());
    let length = header.len() as u64 + u64::from(bytes);
    fs::write(folder.join("talk.wav"), header).unwrap();
    fs::File::options().write(true).open(folder.join("talk.wav")).unwrap().set_len(length).unwrap();
    let segment = json!({"id": 0, "seek": 0, "start": 1.0, "end": 2.0, "text": " Hi", "tokens": [],
        "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0});
    let json = json!({"text": " Hi", "segments": [segment], "language": "en", "source": "talk.wav",
        "duration": seconds});
    fs::write(folder.join("a.json"), json.to_string()).unwrap();
    let mut program = bare();
    program.arg("export").arg(folder.join("a.json")).args(["--export", "html", "--overwrite"]);
    program
}

#[test]
fn finds_the_recording_beside_the_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(run(beside(folder.path(), 10)).status.success());
    let page = read(&at("a.html"));
    assert!(page.contains("preload=\"metadata\" src=\"talk.wav\""));
    assert_eq!(between(&page, "class=\"all\" d=\"", "\"").matches("h1").count(), 1_000);

    let mut program = beside(folder.path(), 10);
    program.args(["--html-audio", "none"]);
    assert!(run(program).status.success());
    let page = read(&at("a.html"));
    assert!(page.contains("preload=\"metadata\"></audio>") && page.contains("class=\"all\""));

    let program = beside(folder.path(), 10);
    fs::remove_file(at("talk.wav")).unwrap();
    assert!(run(program).status.success());
    let page = read(&at("a.html"));
    assert!(page.contains("preload=\"metadata\"></audio>") && !page.contains("class=\"all\""));
}

#[test]
fn warns_about_recordings_that_cannot_be_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = beside(folder.path(), 4_300);
    program.args(["--html-audio", "embed"]);
    let ended = run(program);
    assert!(ended.status.success());
    let expected = "talk.wav` has 132 MiB, and a page takes up to 128; it is linked\n";
    assert!(ended.stderr.starts_with("warning: `") && ended.stderr.ends_with(expected), "{}", ended.stderr);
    assert!(read(&folder.path().join("a.html")).contains("src=\"talk.wav\""));

    let mut program = demo();
    program.args(["-", "--export", "html", "--html-audio", "embed", "--output-dir"]).arg(folder.path());
    program.stdin(fs::File::open(fixture("long/short_en.flac")).unwrap());
    let ended = run(program);
    assert!(
        ended.stderr.contains("the audio is not embedded: there is no file to take it from"),
        "{}",
        ended.stderr
    );
    let page = read(&folder.path().join("stdin.html"));
    assert!(page.contains("class=\"all\"") && page.contains("preload=\"metadata\"></audio>"));

    let mut program = demo();
    program.args(["x.mp3", "--html-audio", "inline"]);
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(2));
    assert!(
        ended.stderr.contains("`--html-audio inline`: must be `link`, `embed` or `none`"),
        "{}",
        ended.stderr
    );
}

/// A recording with an awkward name, and the command that makes a page of it.
pub fn recording(folder: &Path) -> (PathBuf, Command) {
    let input = folder.join("Gespräch #1 & 50% <b>'x'.flac");
    fs::copy(fixture("long/long_en_hole.flac"), &input).unwrap();
    let mut program = demo();
    program.arg(&input).args(["--export", "html,json", "--word-timestamps", "--language", "en", "--vad"]);
    program.args(["--chunk-length", "20", "--overwrite", "--output-dir"]).arg(folder.join("out"));
    (folder.join("out").join(input.with_extension("html").file_name().unwrap()), program)
}

#[test]
#[cfg(unix)]
fn the_same_command_writes_the_same_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = [1, 2].map(|_| {
        let (page, program) = recording(folder.path());
        assert!(run(program).status.success());
        read(&page)
    });
    assert!(pages[0] == pages[1]);
    let page = &pages[0];
    assert!(page.contains(" src=\"../Gespr%C3%A4ch%20%231%20%26%2050%25%20%3Cb%3E%27x%27.flac\""));
    assert!(page.contains("<title>Gespräch #1 &amp; 50% &lt;b&gt;&#39;x&#39;.flac</title>"));
    let wave = between(page, "<svg id=\"wave\"", "</svg>");
    assert!(wave.matches("class=\"seam\"").count() >= 3);
    assert!(wave.contains("class=\"silence\""));
    let path = between(wave, "class=\"all\" d=\"", "\"");
    assert!((1_000..=2_000).contains(&path.matches("h1").count()));
}
