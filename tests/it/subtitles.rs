//! The formats of other programs, and readable subtitles.

use serde_json::{Value, json};
use transcribe::export::{Cue, CueQuality, Cues, ExportOptions, Format, JsonStyle, Preset, is_partial};
use transcribe::transcript::Transcript;

use crate::export::{self, spoken};

fn written(format: Format, transcript: &Transcript, options: &ExportOptions) -> String {
    String::from_utf8(export::written(format, transcript, options)).unwrap()
}

fn highlighted() -> ExportOptions {
    ExportOptions { highlight_words: true, ..ExportOptions::default() }
}

fn with(words: &str, transcript: Transcript) -> Transcript {
    Transcript { text: words.into(), ..transcript }
}

/// The content of a file from `start` on.
fn from<'a>(content: &'a str, start: &str) -> &'a str {
    &content[content.find(start).unwrap_or_else(|| panic!("no {start}: {content}"))..]
}

/// The transcript without word times.
fn wordless() -> Transcript {
    let mut transcript = spoken();
    transcript.segments.iter_mut().for_each(|segment| segment.words = None);
    transcript
}

#[test]
fn subtitles_are_readable_with_word_times_and_openais_without() {
    let readable = "1
00:00:00,440 --> 00:00:01,780
One three.

2
00:00:02,120 --> 00:00:03,900
The door is blue.

3
00:00:05,520 --> 00:00:08,720
Close Friday two eight Monday six door.

";
    assert_eq!(written(Format::Srt, &spoken(), &ExportOptions::default()), readable);
    let plain = written(Format::Srt, &wordless(), &ExportOptions::default());
    assert!(plain.starts_with("1\n00:00:00,660 --> 00:00:01,280\nOne three.\n\n2\n"), "{plain}");
    // Requested by name, the readable preset estimates word times from those of segments.
    let narrow = ExportOptions {
        preset: Some(Preset::Readable),
        max_line_width: Some(12),
        ..ExportOptions::default()
    };
    let guessed = written(Format::Vtt, &wordless(), &narrow);
    let last = "00:05.520 --> 00:06.640
Close
Friday two

00:06.723 --> 00:08.720
eight Monday
six door.

";
    assert_eq!(from(&guessed, "00:05.520"), last);
}

#[test]
fn highlights_the_spoken_word() {
    let srt = written(Format::Srt, &spoken(), &highlighted());
    let first = "1
00:00:00,440 --> 00:00:00,540
One three.

2
00:00:00,540 --> 00:00:00,860
<u>One</u> three.

3
00:00:00,860 --> 00:00:01,280
One <u>three.</u>

4
00:00:01,280 --> 00:00:01,780
One three.

5
";
    assert!(srt.starts_with(first), "{srt}");
    let ass = written(Format::Ass, &spoken(), &highlighted());
    let line = "Dialogue: 0,0:00:05.52,0:00:08.72,Default,,0,0,0,,{\\k10}{\\k64}Close{\\k44} Friday{\\k46} two{\\k26} eight{\\k0} Monday{\\k48} six{\\k32} door.\n";
    assert_eq!(from(&ass, "Dialogue: 0,0:00:05.52"), line);
    let lrc = written(Format::Lrc, &spoken(), &highlighted());
    assert!(lrc.starts_with("[by:transcribe]\n[00:00.66] <00:00.54> One <00:00.86> three.\n"), "{lrc}");
    let vtt = written(Format::Vtt, &spoken(), &ExportOptions { vtt_words: true, ..ExportOptions::default() });
    let cue = "WEBVTT\n\n00:00.440 --> 00:01.780\n<00:00:00.540><c>One</c><00:00:00.860><c> three.</c>\n\n";
    assert!(vtt.starts_with(cue), "{vtt}");
}

#[test]
fn csv_and_lrc_are_those_of_whisper_cpp() {
    let csv = "start,end,text\n660,1280,\" One three.\"\n2440,3400,\" The door is blue.\"\n5620,8220,\" Close Friday two eight Monday six door.\"\n";
    assert_eq!(written(Format::Csv, &spoken(), &ExportOptions::default()), csv);
    let lrc = "[by:transcribe]\n[00:00.66] One three.\n[00:02.44] The door is blue.\n[00:05.62] Close Friday two eight Monday six door.\n";
    assert_eq!(written(Format::Lrc, &spoken(), &ExportOptions::default()), lrc);
    let mut quoted = wordless();
    quoted.segments.truncate(1);
    quoted.segments[0].text = " say \"no\",\nor <b>{\\an8} &".into();
    let csv = written(Format::Csv, &quoted, &ExportOptions::default());
    assert_eq!(csv, "start,end,text\n660,1280,\" say \"\"no\"\",\nor <b>{\\an8} &\"\n");
    quoted.segments[0].start = 6_000.129;
    let lrc = written(Format::Lrc, &quoted, &ExportOptions::default());
    assert_eq!(from(&lrc, "[100"), "[100:00.12] say \"no\", or <b>{\\an8} &\n");
    // Text that players would take for a command is escaped.
    let ass = written(Format::Ass, &quoted, &ExportOptions::default());
    assert!(ass.ends_with(",,say \"no\",\\Nor <b>\\{\\\u{2060}an8\\} &\n"), "{ass}");
    let readable = ExportOptions { preset: Some(Preset::Readable), ..ExportOptions::default() };
    let vtt = written(Format::Vtt, &quoted, &readable);
    assert!(vtt.ends_with("say \"no\", or &lt;b&gt;{\\an8} &amp;\n\n"), "{vtt}");
}

fn styled(style: JsonStyle, transcript: &Transcript) -> Value {
    let json =
        written(Format::Json, transcript, &ExportOptions { json_style: style, ..ExportOptions::default() });
    serde_json::from_str(&json).unwrap()
}

#[test]
fn writes_json_in_the_style_of_each_program() {
    let spoken = with(" All.", spoken());
    let openai = written(
        Format::Json,
        &spoken,
        &ExportOptions { json_style: JsonStyle::OpenAi, ..ExportOptions::default() },
    );
    let full = written(Format::Json, &spoken, &ExportOptions::default());
    let ours =
        ", \"source\": \"talk.mp3\", \"duration\": 60.0, \"model\": {\"name\": \"demo\", \"revision\": null}";
    // openai's keys come first, with the digits that mean something; then the others.
    assert!(
        full.starts_with("{\"text\": \" All.\", \"segments\": [{\"id\": 0, \"seek\": 0, \"start\": 0.66, "),
        "{full}"
    );
    assert!(full.contains(&format!("], \"language\": \"en\"{ours}")), "{full}");
    let [full, openai]: [Value; 2] = [&full, &openai].map(|json| serde_json::from_str(json).unwrap());
    assert_eq!(full["segments"][0]["tokens"], openai["segments"][0]["tokens"]);
    let score = |json: &Value| json["segments"][0]["avg_logprob"].as_f64().unwrap();
    assert!((score(&full) - score(&openai)).abs() < 1e-7, "{} {}", score(&full), score(&openai));
    assert_eq!(full["quality"]["coverage"]["duration"], 60.0);
    assert_eq!(full["quality"]["coverage"]["ratio"], Value::Null);
    assert!(full["quality"]["confidence"].as_f64().unwrap() > 0.5);
    assert_eq!(full["subtitles"]["overlaps"], 0);

    let hf = styled(JsonStyle::Hf, &spoken);
    assert_eq!(hf["text"], " All.");
    assert_eq!(hf["chunks"][0], json!({"timestamp": [0.66, 1.28], "text": " One three."}));

    let whisperx = styled(JsonStyle::WhisperX, &spoken);
    let word = json!({"word": "door", "start": 2.54, "end": 2.84, "score": 0.998418});
    assert_eq!(whisperx["segments"][1]["words"][1], word);
    assert_eq!(whisperx["word_segments"][3], word);
    assert_eq!(whisperx["language"], "en");

    let cpp = styled(JsonStyle::WhisperCpp, &spoken);
    assert_eq!(cpp["result"]["language"], "en");
    let piece = &cpp["transcription"][1];
    assert_eq!(piece["timestamps"], json!({"from": "00:00:02,440", "to": "00:00:03,400"}));
    assert_eq!(
        (&piece["offsets"], &piece["text"]),
        (&json!({"from": 2440, "to": 3400}), &json!(" The door is blue."))
    );
    assert_eq!(piece["tokens"][1]["text"], " door");
    let bare = styled(JsonStyle::WhisperCpp, &wordless());
    assert!(bare["transcription"][0].get("tokens").is_none());
}

#[test]
fn partial_transcripts_are_marked_in_every_format() {
    let styles =
        [JsonStyle::Full, JsonStyle::OpenAi, JsonStyle::WhisperCpp, JsonStyle::WhisperX, JsonStyle::Hf];
    for (words, options) in
        [(true, ExportOptions::default()), (false, ExportOptions::default()), (true, highlighted())]
    {
        let whole = if words { spoken() } else { wordless() };
        let part = Transcript { is_partial: true, ..whole.clone() };
        for format in Format::ALL {
            assert!(is_partial(&export::written(format, &part, &options)), "{format}");
            assert!(!is_partial(&export::written(format, &whole, &options)), "{format}");
        }
        for json_style in styles {
            let options = ExportOptions { json_style, ..options.clone() };
            let content = written(Format::Json, &part, &options);
            assert!(is_partial(content.as_bytes()), "{json_style:?}");
            assert_eq!(styled(json_style, &part)["partial"], true);
        }
    }
}

/// A long sentence at an even pace of 0.4 seconds per word.
fn long_sentence() -> Transcript {
    let mut transcript = spoken();
    let text = "When the ship came in at last, everybody in the harbour stopped what they were doing and ran down to the water because nobody had expected to see it again.";
    let segment = &mut transcript.segments[0];
    let word = |(i, word): (usize, &str)| transcribe::transcript::Word {
        word: format!(" {word}"),
        start: i as f64 * 0.4,
        end: i as f64 * 0.4 + 0.4,
        probability: 1.0,
        speaker: None,
    };
    segment.words = Some(text.split(' ').enumerate().map(word).collect());
    segment.text = format!(" {text}");
    transcript.segments.truncate(1);
    transcript
}

#[test]
fn breaks_long_sentences_where_a_reader_pauses() {
    let options = ExportOptions::default();
    let shown = Cues::of(&long_sentence(), &options).list;
    let texts: Vec<&str> = shown.iter().map(|cue| cue.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "When the ship came in at last,",
            "everybody in the harbour\nstopped what they were doing",
            "and ran down to the water because\nnobody had expected to see it again."
        ]
    );
    assert_eq!(CueQuality::of(&shown, &options).score, 100.0);
    // openai's writer puts all of it into one cue of one line.
    let openai = ExportOptions { preset: Some(Preset::OpenAi), ..ExportOptions::default() };
    let found = CueQuality::of(&Cues::of(&long_sentence(), &openai).list, &options);
    assert_eq!((found.cues, found.long_lines, found.too_long), (1, 1, 1));
    assert_eq!(CueQuality::of(&[Cue::plain(0, 1_000, "x")], &options).score, 100.0);
}
