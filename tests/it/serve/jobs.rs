//! Jobs: results, events, options, the list, cancelling and deleting.

use serde_json::{Value, json};

use super::{Form, Serving, printed, short};
use crate::program::fixture;

#[test]
fn results_are_those_of_the_command_line_in_every_format() {
    let serving = Serving::start(&[]).ready();
    let options = ["--language", "en", "--max-line-width", "20", "--speakers", "auto"];
    let form = short().text("language", "en").text("max-line-width", "20").text("speakers", "auto");
    let id = serving.submit(form.text("outputs", "srt,vtt,json"));
    let job = serving.wait_for(&id, &["completed", "failed"]);
    assert_eq!((&job["state"], &job["progress"]["share"]), (&"completed".into(), &1.0.into()), "{job}");
    assert_eq!(job["result"]["duration"], 10.0);
    assert!(job["result"]["speakers"].as_u64() >= Some(1), "{job}");
    let results = job["links"]["results"].as_object().unwrap();
    for format in ["txt", "srt", "vtt", "tsv", "csv", "json", "ass", "rttm", "lrc"] {
        let answer = serving.get(results[format].as_str().unwrap());
        assert_eq!(answer.status, 200, "{format}");
        let args = [&["--export", format], &options[..]].concat();
        let expected = printed(&fixture("long/short_en.flac"), &args);
        assert_eq!(answer.text().trim_end(), String::from_utf8(expected).unwrap().trim_end(), "{format}");
    }
    let styled = serving.get(&format!("/v1/jobs/{id}/transcript.json?json-style=whisperx")).json();
    assert!(styled["word_segments"].is_array(), "{styled}");
    let named = serving.get(results["srt"].as_str().unwrap());
    assert_eq!(named.header("content-disposition"), Some("inline; filename*=UTF-8''short_en.srt"));
    // How subtitles look can be changed later.
    let wide = serving.get(&format!("/v1/jobs/{id}/transcript.srt?max-line-width=60"));
    assert_ne!(wide.body, serving.get(results["srt"].as_str().unwrap()).body);
    serving.get(&format!("/v1/jobs/{id}/transcript.srt?nonsense=1")).error(400, "invalid_request");
    serving.get(&format!("/v1/jobs/{id}/transcript.docx")).error(404, "not_found");
    serving.get(&format!("/v1/jobs/{id}/job.json")).error(404, "not_found");
}

#[test]
fn pages_play_the_recording_from_the_server() {
    let serving = Serving::start(&[]).ready();
    let id = serving.submit(short());
    serving.wait_for(&id, &["completed"]);
    let page = serving.get(&format!("/v1/jobs/{id}/transcript.html"));
    assert!(page.text().contains("\"recording/audio\""));
    let audio = format!("/v1/jobs/{id}/recording/audio");
    let whole = serving.get(&audio);
    assert_eq!(whole.body, std::fs::read(fixture("long/short_en.flac")).unwrap());
    let part = serving.get_with(&audio, &[("range", "bytes=100-199")]);
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[100..200]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 100-199/{}", whole.body.len()).as_str()));
    assert_eq!(serving.get_with(&audio, &[("range", "bytes=99999999-")]).status, 416);
}

#[test]
fn pages_have_the_waveform_of_a_run_also_after_a_restart() {
    let mut serving = Serving::start(&[]).ready();
    let form = Form::default().file("long/long_en.flac").text("chunk-length", "10").text("outputs", "html");
    let id = serving.submit(form);
    serving.wait_for(&id, &["completed"]);
    let args = ["--export", "html", "--html-audio", "none", "--chunk-length", "10"];
    let expected = String::from_utf8(printed(&fixture("long/long_en.flac"), &args)).unwrap();
    let page = |serving: &Serving| {
        let page = serving.get(&format!("/v1/jobs/{id}/transcript.html?html-audio=none"));
        page.text().trim_end().to_owned()
    };
    assert!(expected.contains("cut in a pause"));
    assert_eq!(page(&serving), expected.trim_end());
    serving.kill();
    serving.launch(None);
    assert_eq!(page(&serving), expected.trim_end());
    // A page without a waveform is better than none.
    let waveform = serving.state().join("jobs").join(&id).join("waveform.json");
    std::fs::write(&waveform, "{\"version\": 2}").unwrap();
    assert!(page(&serving).contains("The door is blue"));
    serving.delete(&format!("/v1/jobs/{id}"));
    assert!(!waveform.exists());
}

#[test]
fn events_tell_everything_from_the_first_segment_on() {
    let serving = Serving::start(&[]).ready();
    let id = serving.submit(short());
    let events = serving.get(&format!("/v1/jobs/{id}/events"));
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    let events: Vec<(String, Value)> = events
        .text()
        .split("\n\n")
        .filter_map(|event| {
            let name = event.lines().find_map(|line| line.strip_prefix("event: "))?.to_owned();
            let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
            Some((name, serde_json::from_str(data).unwrap()))
        })
        .collect();
    let segments = events.iter().filter(|(name, _)| name == "segments");
    let text: String = segments
        .flat_map(|(_, data)| data["segments"].as_array().unwrap())
        .map(|segment| segment["text"].as_str().unwrap())
        .collect();
    let last = events.last().unwrap();
    assert_eq!((last.0.as_str(), &last.1["state"]), ("state", &"completed".into()));
    let transcript = serving.get(&format!("/v1/jobs/{id}/transcript.json")).json();
    assert_eq!(transcript["text"], text);
    // A job that is over sends its text and its state.
    let again = serving.get(&format!("/v1/jobs/{id}/events"));
    assert_eq!(again.text().matches("event: segments\n").count(), 1);
    assert_eq!(again.text().matches("event: ").count(), 2);
}

#[test]
fn the_list_has_pages_and_states() {
    let serving = Serving::start(&[]).ready();
    let ids: Vec<String> = (0..3).map(|_| serving.submit(short())).collect();
    let bad = serving.submit(Form::default().bytes("noise.mp3", &[9; 9000]));
    ids.iter().chain([&bad]).for_each(|id| drop(serving.wait_for(id, &["completed", "failed"])));
    let list = |query: &str| serving.get(&format!("/v1/jobs{query}")).json();
    let names = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = list("?limit=2");
    assert_eq!((names(&first), &first["has_more"]), (vec![bad.clone(), ids[2].clone()], &true.into()));
    let rest = list(&format!("?limit=2&after={}", ids[2]));
    assert_eq!((names(&rest), &rest["has_more"]), (vec![ids[1].clone(), ids[0].clone()], &false.into()));
    assert_eq!(names(&list("?state=failed")), [bad.as_str()]);
    serving.get("/v1/jobs?color=red").error(400, "invalid_request");
    let failed = serving.job(&bad);
    let error = failed["error"]["message"].as_str().unwrap();
    assert!(error.contains("noise.mp3") && error.contains("not an audio"), "{failed}");
    serving.get(&format!("/v1/jobs/{bad}/transcript.srt")).error(409, "job_not_completed");
    // Deleting takes everything with it.
    assert_eq!(serving.delete(&format!("/v1/jobs/{bad}")).json()["state"], "failed");
    serving.get(&format!("/v1/jobs/{bad}")).error(404, "job_not_found");
    assert!(serving.files("jobs").iter().all(|file| !file.contains(&bad)));
}

#[test]
fn running_and_waiting_jobs_can_be_cancelled() {
    // The first job stops in front of its first window, so that the others wait.
    let serving = Serving::start_at(&["--jobs", "1"], Some("stop read 1"));
    let running = serving.submit(short());
    serving.wait_for(&running, &["running"]);
    let waiting: Vec<String> = (0..3).map(|_| serving.submit(short())).collect();
    let urgent = serving.submit(short().text("priority", "5"));
    // One job has left the queue for the run; what waits here keeps its order.
    let position = |id: &str| serving.job(id)["position"].as_u64();
    assert!(position(&urgent).unwrap() < position(&waiting[1]).unwrap());
    let cancelled = serving.delete(&format!("/v1/jobs/{}", waiting[2])).json();
    assert_eq!((&cancelled["state"], cancelled.get("position")), (&"cancelled".into(), None));
    assert_eq!(serving.delete(&format!("/v1/jobs/{running}")).json()["state"], "cancelled");
    // It stays known, and is deleted by the next call.
    assert_eq!(serving.job(&running)["state"], "cancelled");
    serving.delete(&format!("/v1/jobs/{}", waiting[2]));
    serving.get(&format!("/v1/jobs/{}", waiting[2])).error(404, "job_not_found");
}

#[test]
fn what_jobs_ask_for_is_checked_before_they_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("talk.flac");
    std::fs::copy(fixture("long/short_en.flac"), &inside).unwrap();
    let outside = fixture("long/short_es.flac");
    std::os::unix::fs::symlink(&outside, folder.path().join("link.flac")).unwrap();
    let serving = Serving::start(&["--allow-folder", folder.path().to_str().unwrap()]).ready();
    let job = |body: Value| serving.post_json("/v1/jobs", &body);
    for (body, expected) in [
        (json!({}), "needs a `file`"),
        (json!({"path": inside, "url": "http://host/"}), "takes one of"),
        (json!({"path": inside, "priority": 1000}), "`priority`"),
        (json!({"path": inside, "outputs": ["docx"]}), "docx"),
        (json!({"path": inside, "options": {"language": "klingon"}}), "klingon"),
        (json!({"path": inside, "options": {"model": "large-v3"}}), "its models are `demo`"),
        (json!({"path": inside, "webhook": "file:///etc/passwd"}), "`webhook`"),
        (json!({"path": inside, "colour": "red"}), "colour"),
        (json!({"path": 7}), "cannot be read"),
    ] {
        let message = job(body).error(400, "invalid_request");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    for path in [outside.to_str().unwrap(), "link.flac", "../x", "/etc/passwd", "/"] {
        let path = if path == "link.flac" { folder.path().join(path) } else { path.into() };
        job(json!({ "path": path })).error(403, "not_allowed");
    }
    job(json!({"url": "http://127.0.0.1/"})).error(403, "not_allowed");
    assert!(serving.files("jobs").is_empty() && serving.files("incoming").is_empty());
    let accepted = job(json!({"path": inside, "outputs": ["srt"], "options": {"language": "en"}})).json();
    let done = serving.wait_for(accepted["id"].as_str().unwrap(), &["completed", "failed"]);
    assert_eq!(done["state"], "completed", "{done}");
    // The recording is still where it was.
    serving.delete(&format!("/v1/jobs/{}", done["id"].as_str().unwrap()));
    assert!(inside.is_file());
}

#[test]
fn hostile_names_stay_in_the_folder_of_their_job() {
    let serving = Serving::start(&[]).ready();
    let content = std::fs::read(fixture("long/short_en.flac")).unwrap();
    for name in [
        "../../../escape.flac",
        "/etc/escape.flac",
        "..",
        "a\\..\\escape.flac",
        ".flac",
        "CON",
        "ü 100%.flac",
    ] {
        let id = serving.submit(Form::default().bytes(name, &content));
        let job = serving.wait_for(&id, &["completed", "failed"]);
        assert_eq!(job["state"], "completed", "{name}: {job}");
        let shown = job["source"]["upload"].as_str().unwrap();
        assert!(!shown.contains(['/', '\\']) && !shown.starts_with('.'), "{shown}");
    }
    let state = serving.state();
    let around: Vec<_> = std::fs::read_dir(state.parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(around.len(), 1, "{around:?}");
    assert!(serving.files("").iter().all(|file| file.starts_with("jobs/") || file == "server.lock"));
}

#[test]
fn old_jobs_are_removed() {
    let serving = Serving::start(&["--keep", "1s"]).ready();
    let id = serving.submit(short());
    serving.wait(|serving| serving.get(&format!("/v1/jobs/{id}")).status == 404);
    serving.wait(|serving| serving.files("jobs").is_empty());
    drop(serving);
    let serving = Serving::start(&["--keep-size", "1kB", "--keep", "1s"]).ready();
    let id = serving.submit(short());
    serving.wait(|serving| serving.get(&format!("/v1/jobs/{id}")).status == 404);
}
