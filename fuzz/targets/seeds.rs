//! Inputs to start from: fixtures, what the program itself writes, and the files in `fuzz/seeds`, among which are those that
//! once broke a promise.

use std::fs;
use std::path::{Path, PathBuf};

use transcribe::export::{ExportOptions, Format, Rendering};
use transcribe::import::{ImportFormat, from_import};

use super::{forged, requests, root, state};

/// Larger fixtures are too slow to be decoded thousands of times.
const MAX_BYTES: u64 = 100_000;
/// What is looked at of a recording without decoding it.
const SNIFF_BYTES: usize = 8_192;

/// Returns the inputs of a target, the same in the same order each time.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut all = files(&root().join("fuzz/seeds").join(target));
    let text = |text: &str| text.as_bytes().to_vec();
    all.extend(match target {
        "audio" => recordings(),
        "sniff" => {
            recordings().into_iter().map(|bytes| bytes[..bytes.len().min(SNIFF_BYTES)].to_vec()).collect()
        }
        "ffmpeg" => ffmpeg_outputs(),
        "config" => vec![read("models/demo/config.json")],
        "generation_config" => vec![read("models/demo/generation_config.json")],
        "tokenizer" => vec![small_tokenizer()],
        "safetensors" => vec![small_safetensors()],
        "weights_index" => {
            vec![text(r#"{"metadata": {}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.bin"}}"#)]
        }
        "hub" => hub_answers(),
        "import" => transcripts(),
        "rttm" => vec![text("SPEAKER talk 1 0.5 1.25 <NA> <NA> Anna <NA> <NA> ;; a comment\nLEXEME x\n")],
        "stm" => vec![text(TRUTH)],
        "known_voices" => voices(),
        "speaker_networks" => vec![small_safetensors()],
        "job_options" => vec![text(JOB_OPTIONS)],
        "requests" => requests::all(),
        "manifest" => vec![text(MANIFEST)],
        "list" => vec![text("# recordings\ntalk.mp3\r\n./a/b.wav\n-\n"), text("a.mp3\0b.wav\0")],
        "template" => vec![text("{parent}/{stem}.{language}.{ext}"), text("{{{id}}}-{index}-{date}")],
        "settings" => vec![text(SETTINGS)],
        "journal" => vec![state::whole_journal()],
        "ledger" => vec![state::whole_ledger()],
        "report" => vec![text(REPORT)],
        _ => Vec::new(),
    });
    all
}

fn read(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the files below a folder; none if it does not exist.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| match path.is_dir() {
        true => files(path),
        false => vec![fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))],
    };
    paths.iter().flat_map(read).collect()
}

fn recordings() -> Vec<Vec<u8>> {
    let mut all = files(&root().join("fixtures/audio"));
    all.retain(|bytes| bytes.len() as u64 <= MAX_BYTES);
    all.extend(forged::recordings().into_iter().map(|(_, bytes)| bytes));
    all
}

/// Returns recordings in which somebody speaks, and some in which nobody does.
fn voices() -> Vec<Vec<u8>> {
    let speech = read("fixtures/long/short_en.flac");
    let others = ["original.wav", "mulaw-8k.wav", "opus-short.opus"];
    let others = others.iter().map(|name| read(&format!("fixtures/audio/{name}")));
    std::iter::once(speech).chain(others).collect()
}

/// Returns what `ffmpeg` says, a zero byte, and what it writes.
fn ffmpeg_outputs() -> Vec<Vec<u8>> {
    let wav = |tag: u16, channels: u16, extension: &[u8]| {
        let format = [
            &tag.to_le_bytes()[..],
            &channels.to_le_bytes(),
            &48_000_u32.to_le_bytes(),
            &[0; 6],
            &32_u16.to_le_bytes(),
            extension,
        ]
        .concat();
        let samples: Vec<u8> =
            [0.5_f32, -0.25, f32::NAN, 1e30].iter().flat_map(|x| x.to_le_bytes()).collect();
        let length = (format.len() as u32).to_le_bytes();
        let head = b"RIFF\xff\xff\xff\xffWAVEfmt ".as_slice();
        [head, &length, &format, b"data\xff\xff\xff\xff", &samples].concat()
    };
    let extension = [&[22, 0, 32, 0, 0x3f, 0, 0, 0, 3, 0][..], &[0; 14]].concat();
    let outputs = [wav(3, 1, &[]), wav(3, 2, &[0, 0]), wav(0xfffe, 6, &extension), Vec::new()];
    outputs.iter().map(|output| [FFMPEG_LOG.as_bytes(), &[0], output].concat()).collect()
}

/// Returns a tokenizer with single bytes and the special tokens.
fn small_tokenizer() -> Vec<u8> {
    let json = read("models/demo/tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let is_single = |id: &serde_json::Value| id.as_u64().is_some_and(|id| id < 256);
    if let Some(vocabulary) = json["model"]["vocab"].as_object_mut() {
        vocabulary.retain(|_, id| is_single(id));
    }
    json["model"]["merges"] = serde_json::json!([]);
    if let Some(added) = json["added_tokens"].as_array_mut() {
        // Without most of the timestamps.
        added.truncate(130);
    }
    serde_json::to_vec(&json).expect("JSON")
}

fn small_safetensors() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F16","shape":[3],"data_offsets":[16,22]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[0x3c; 22]].concat()
}

fn hub_answers() -> Vec<Vec<u8>> {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let config = String::from_utf8(read("models/demo/config.json")).expect("UTF-8");
    let answer = |status: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Repo-Commit: {commit}\r\n{headers}\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    vec![
        answer("200 OK", "ETag: \"abc\"\r\n", &config),
        answer("302 Found", "X-Linked-Etag: \"abc\"\r\nX-Linked-Size: 7\r\nLocation: /elsewhere\r\n", ""),
        answer("206 Partial Content", "ETag: \"abc\"\r\nContent-Range: bytes 0-1/2\r\n", "{}"),
        answer("404 Not Found", "X-Error-Code: EntryNotFound\r\nX-Error-Message: none\r\n", ""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"a\"\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec(),
    ]
}

/// Returns transcripts after the number of their format.
fn transcripts() -> Vec<Vec<u8>> {
    let number = |name: &str| ImportFormat::ALL.iter().position(|format| format.extension() == name);
    let mut all = Vec::new();
    let mut add = |extension: &str, content: &[u8]| {
        if let Some(number) = number(extension) {
            all.push([&[number as u8], content].concat());
        }
    };
    for name in ["empty", "numbers", "plain", "texts", "times"] {
        for extension in ["json", "srt", "vtt", "tsv", "txt"] {
            add(extension, &read(&format!("fixtures/export/{name}.{extension}")));
        }
    }
    for other in OTHER_JSON {
        add("json", other.as_bytes());
    }
    let transcript =
        from_import::from_openai_json("talk", &read("fixtures/export/plain.json")).expect("a transcript");
    let options = ExportOptions::default();
    let rendering = Rendering::new(&transcript, &options);
    add("html", &Format::Html.write(&rendering));
    add("json", &Format::Json.write(&rendering));
    all
}

const OTHER_JSON: [&str; 4] = [
    r#"{"result": {"language": "en"}, "transcription": [{"offsets": {"from": 0, "to": 1500}, "text": " Hello you", "speaker": "?",
        "tokens": [{"text": " Hello", "offsets": {"from": 0, "to": 700}, "p": 0.9}, {"text": "[_TT_50]", "p": 1.0}]}]}"#,
    r#"{"text": " Hello you", "chunks": [{"timestamp": [0.0, 1.5], "text": " Hello"}, {"timestamp": [1.5, null], "text": " you"}],
        "speakers": [{"timestamp": [0.0, 9.0], "text": "", "speaker": "SPEAKER_00"}]}"#,
    r#"[{"start": 0.0, "end": 1.5, "text": " Hello", "speaker": 3, "words": [{"start": 0, "end": 1, "word": " Hello", "score": 0.5}]}]"#,
    r#"{"text": "Hello you", "language": "english", "words": [{"word": "Hello", "start": 0.0, "end": 0.5}], "segments":
        [{"start": 0.0, "end": 2.0, "text": "Hello you"}], "turns": [{"start": 0.0, "end": 1.0, "speaker": "A"}]}"#,
];

const FFMPEG_LOG: &str = "[info] Input #0, mpegts, from 'file:a.ts':
[info]   Duration: 00:01:02.50, start: 1.400000, bitrate: 135 kb/s
[info]   Stream #0:1[0x101](eng): Audio: mp2 (mp2), 44100 Hz, mono
[mp3 @ 0x1] [warning] Estimating duration from bitrate, this may be inaccurate
[info]   Stream #0:1 -> #0:0 (mp2 (native) -> pcm_f32le (native))
[info] Output #0, wav, to 'pipe:1':
[mpegts @ 0x1] [warning] Packet corrupt (stream = 1, dts = 9).
[ac3 @ 0x5591] [error] frame sync error
[fatal] Stream map '0:a:3' matches no streams.
";

const TRUTH: &str = ";; CATEGORY \"0\"
talk 1 inter_segment_gap 0 0.5 <o,f0>
talk 1 Anna 0.5 2 <o,f0,female> good morning, Mr. Smith
talk 1 Ben 1.5 3 twenty one dollars
talk 1 Ben 4 5 <o> IGNORE_TIME_SEGMENT_IN_SCORING
";

const JOB_OPTIONS: &str = r#"{"language": "de", "vad": true, "temperature": "0,0.2", "beam-size": 2, "word_timestamps": true,
    "clip-timestamps": "0,10", "speakers": 2, "prompt": "a", "max-line-width": 40, "chunk-length": "2m"}"#;

const MANIFEST: &str = r#"{"audio": "manifest.jsonl", "id": 7, "language": "de", "task": "translate", "prompt": "a", "clip": "1,2.5"}
{"audio": "manifest.jsonl", "id": "b", "outputs": ["srt", "txt"], "output_dir": "out", "model": "tiny", "clip": [0, 1.5]}
{"audio": "-", "outputs": {"json": "a/b.json"}, "language": null}
"#;

const SETTINGS: &str = r#"# A comment.
model = "tiny"
language = "de"
export = ["srt", "txt"]
batch-size = 4
temperature = [0.0, 0.5]
verbose = true
clip-timestamps = "0,10"
max-file-size = "2GB"
[watch]
settle = 5
"#;

const REPORT: &str = r#"{"event":"run_started","time":"2026-01-01T00:00:00.000Z","elapsed":0.0,"version":1}
{"event":"file_planned","time":"2026-01-01T00:00:00.100Z","input":"a.mp3","id":"1"}
{"event":"file_started","time":"2026-01-01T00:00:00.200Z","input":"a.mp3","id":"1"}
{"event":"model_loaded","time":"2026-01-01T00:00:00.300Z","model":{"name":"tiny"},"device":"cpu","seconds":0.5}
{"event":"chunk_done","time":"2026-01-01T00:00:00.400Z","input":"a.mp3","id":"1","chunk":0,"windows":2,"kept":false,"memory":{"host":{"now":1,"peak":2}}}
{"event":"file_done","time":"2026-01-01T00:00:01.000Z","input":"a.mp3","id":"1","audio_seconds":10.0,"coverage":{}}
{"event":"file_failed","time":"2026-01-01T00:00:02.000Z","input":"b.mp3","kind":"not_audio","message":"m","exit_code":1}
{"event":"limit_missed","time":"2026-01-01T00:00:02.500Z","input":"a.mp3","id":"1","kind":"quality_gate","message":"m","exit_code":7}
{"event":"summary","time":"2026-01-01T00:00:03.000Z","tokens":7,"exit_code":1,"peak_memory":{"host":5,"device":null}}
"#;
