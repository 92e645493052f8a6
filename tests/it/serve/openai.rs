//! OpenAI's and whisper.cpp's routes.

use serde_json::Value;

use super::{Form, Serving, printed, short};
use crate::program::fixture;

const TEXT: &str = "One three. The door is blue. Close Friday two eight Monday six door.";
const ROUTE: &str = "/v1/audio/transcriptions";

#[test]
fn every_response_format_says_the_same() {
    let serving = Serving::start(&[]).ready();
    let ask = |format: &str| {
        serving.post(ROUTE, short().text("model", "whisper-1").text("response_format", format))
    };
    let json = ask("json").json();
    assert_eq!((&json["text"], &json["usage"]["seconds"]), (&TEXT.into(), &10.into()));
    assert_eq!(ask("text").text(), format!("{TEXT}\n"));
    for format in ["srt", "vtt"] {
        let answer = ask(format);
        let printed = printed(&fixture("long/short_en.flac"), &["--export", format, "--no-word-timestamps"]);
        assert_eq!(answer.text(), String::from_utf8(printed).unwrap());
        assert!(answer.header("content-type").unwrap().contains(format.replace("srt", "subrip").as_str()));
    }
    let verbose = ask("verbose_json").json();
    assert_eq!((&verbose["task"], &verbose["language"]), (&"transcribe".into(), &"english".into()));
    assert_eq!((&verbose["duration"], &verbose["text"]), (&10.0.into(), &TEXT.into()));
    let segments = verbose["segments"].as_array().unwrap();
    assert_eq!((segments.len(), &segments[1]["text"]), (3, &" The door is blue.".into()));
    assert!(verbose.get("words").is_none());
    let words = serving.post(
        ROUTE,
        short().text("response_format", "verbose_json").text("timestamp_granularities[]", "word"),
    );
    let words = words.json();
    assert!(words.get("segments").is_none());
    let spoken: Vec<&str> =
        words["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(spoken.join(" "), TEXT);
    let diarized = ask("diarized_json").json();
    assert_eq!(diarized["segments"][0]["speaker"], "Speaker 1");
    assert_eq!(diarized["segments"][0]["type"], "transcript.text.segment");
}

#[test]
fn text_is_streamed_as_it_is_decoded() {
    let serving = Serving::start(&[]).ready();
    let answer = serving.post(ROUTE, short().text("stream", "true"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let events: Vec<Value> = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (last, deltas) = events.split_last().unwrap();
    assert_eq!((&last["type"], &last["text"]), (&"transcript.text.done".into(), &TEXT.into()));
    assert!(deltas.iter().all(|event| event["type"] == "transcript.text.delta"));
    assert_eq!(deltas.iter().map(|event| event["delta"].as_str().unwrap()).collect::<String>(), TEXT);
    assert!(deltas.len() > 1);
}

#[test]
fn translations_are_in_english_and_models_are_listed() {
    let serving = Serving::start(&[]).ready();
    let form = Form::default().file("long/short_es.flac").text("response_format", "verbose_json");
    let translated = serving.post("/v1/audio/translations", form).json();
    assert_eq!(translated["task"], "translate");
    let models = serving.get("/v1/models").json();
    let names: Vec<&str> =
        models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["demo", "whisper-1"]);
    assert_eq!(serving.get("/v1/models/demo").json()["object"], "model");
    serving.get("/v1/models/gpt-4o").error(404, "model_not_found");
}

#[test]
fn wrong_fields_are_named() {
    let serving = Serving::start(&[]).ready();
    let cases = [
        (short().text("langauge", "de"), "`langauge`: is no field and no option; did you mean `language`?"),
        (short().text("language", "klingon"), "klingon"),
        (short().text("response_format", "docx"), "`docx` is none of"),
        (short().text("temperature", "hot"), "hot"),
        (short().text("beam-size", "40"), "this server has 5"),
        (short().text("stream", "maybe"), "`stream`"),
        (short().text("stream", "true").text("response_format", "srt"), "streamed"),
        (short().text("timestamp_granularities[]", "word"), "verbose_json"),
        (short().text("timestamp_granularities[]", "letter"), "`letter`"),
        (short().text("include[]", "logprobs"), "`include[]`"),
        (short().text("language", "de").text("language", "en"), "more than once"),
        (short().text("device", "cuda"), "is an option of the server"),
        (short().text("voices", "/etc"), "is an option of the server"),
        (Form::default().text("language", "en"), "no `file`"),
        (short().file("long/short_es.flac"), "one `file`"),
        (Form::default().bytes("empty.wav", b""), "is empty"),
    ];
    for (form, expected) in cases {
        let message = serving.post(ROUTE, form).error(400, "invalid_request");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    serving.post(ROUTE, short().text("model", "large-v3")).error(404, "model_not_found");
    assert_eq!(serving.post(ROUTE, short().text("beam-size", "5")).status, 200);
    let noise = serving.post(ROUTE, Form::default().bytes("talk.mp3", &[7; 5000]));
    let message = noise.error(422, "transcription_failed");
    assert!(message.contains("`talk.mp3`") && message.contains("not an audio"), "{message}");
    let answer = serving.post_json(ROUTE, &serde_json::json!({}));
    answer.error(400, "invalid_request");
    // Nothing of all this stays.
    assert_eq!(serving.files("requests").len() + serving.files("incoming").len(), 0);
}

#[test]
fn whisper_cpps_route_answers_as_its_server() {
    let serving = Serving::start(&[]).ready();
    let ask = |form: Form| serving.post("/inference", form);
    let lines = " One three.\n The door is blue.\n Close Friday two eight Monday six door.\n";
    assert_eq!(ask(short()).json()["text"], lines);
    let form =
        short().text("response_format", "text").text("temperature", "0.0").text("temperature_inc", "0.2");
    assert_eq!(ask(form).text(), lines);
    let verbose = ask(short().text("response_format", "verbose_json").text("duration", "5000")).json();
    assert_eq!(verbose["segments"].as_array().unwrap().len(), 2);
    assert!(ask(short().text("response_format", "srt")).text().starts_with("1\n00:00:00,"));
    ask(short().text("response_format", "lrc")).error(400, "invalid_request");
    ask(short().text("nonsense", "1")).error(400, "invalid_request");
}
