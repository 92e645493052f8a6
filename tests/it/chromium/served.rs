//! The page of `transcribe serve`: recordings that are sent, followed, read, downloaded, cancelled and deleted in it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kept::downloaded;
use crate::browser::Browser;
use crate::html::HOSTILE;
use crate::program::{Running, bare, fixture};

const KEY: &str = "a-key-of-the-tests-0123456789";

/// The first job stops the engine until the server ends, so that others wait for as long as a test needs.
const STOPPED: &[(&str, &str)] = &[("TRANSCRIBE_TEST_AT", "stop encode 1")];

/// A server with a state folder of its own.
struct Served {
    running: Option<Running>,
    address: String,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

impl Served {
    fn start(options: &[&str]) -> Self {
        // A port that is free now; nothing else on this machine takes it in the meantime but by a rare chance.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self {
            running: None,
            address: format!("http://127.0.0.1:{port}"),
            folder: tempfile::tempdir().unwrap(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        server.restart(&[]);
        server
    }

    /// A server that asks for the key.
    fn with_key() -> Self {
        let mut server = Self::start(&[]);
        let keys = server.folder.path().join("keys");
        fs::write(&keys, format!("tests submit,read,admin {KEY}\n")).unwrap();
        server.options.extend(["--api-keys".into(), keys.to_str().unwrap().into()]);
        server.restart(&[]);
        server
    }

    /// Starts it again with the same jobs.
    fn restart(&mut self, environment: &[(&str, &str)]) {
        self.stop();
        let mut program = bare();
        program.env("TRANSCRIBE_MODEL", "demo");
        program.arg("serve").args([
            "--listen",
            self.address.trim_start_matches("http://"),
            "--device",
            "cpu",
        ]);
        program.arg("--state-dir").arg(self.folder.path().join("state")).args(&self.options);
        program.envs(environment.iter().copied());
        let mut running = Running::start(program);
        assert!(running.wait_for("listening on"));
        self.running = Some(running);
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
    }

    fn open(&self) -> Browser {
        let mut browser = Browser::start();
        browser.open_address(&self.address);
        browser
    }

    /// Copies a recording to a file of another name.
    fn recording(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::copy(fixture("long/short_en.flac"), &path).unwrap();
        path
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes a recording of noise that takes a while.
fn long_recording(folder: &Path) -> PathBuf {
    const RATE: u32 = 8000;
    let mut noise = 1_u32;
    let samples: Vec<u8> = (0..RATE * 1200)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            112 + (noise >> 27) as u8
        })
        .collect();
    let length = u32::try_from(samples.len()).unwrap();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + length).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE.to_le_bytes());
    bytes.extend(RATE.to_le_bytes());
    bytes.extend(b"\x01\0\x08\0data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples);
    let path = folder.join("noise.wav");
    fs::write(&path, bytes).unwrap();
    path
}

/// The nth job in the list.
fn job(nth: usize) -> String {
    format!("document.querySelectorAll('.job')[{nth}]")
}

/// A button of a job.
fn end_button(job: &str) -> String {
    format!("{job}.querySelector('.actions button')")
}

fn send(browser: &mut Browser, files: &[PathBuf]) {
    browser.choose("document.getElementById('files')", files);
    browser.until("!document.getElementById('send').disabled");
    browser.click("document.getElementById('send')", 0.5);
}

fn until_state(browser: &mut Browser, job: &str, state: &str) {
    browser.until(&format!("{job}?.dataset.state === '{state}'"));
}

/// Fails if anything was asked of another host, or if the page broke its policy or another rule.
fn assert_stays_at(server: &Served, browser: &Browser) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let is_own =
        |url: &String| url.starts_with(&server.address) || url.starts_with("blob:") || url == "data:,";
    assert!(browser.requests().iter().all(is_own), "{:?}", browser.requests());
}

#[test]
#[ignore = "needs Chromium"]
fn chosen_files_become_transcripts_in_every_format() {
    let server = Served::start(&[]);
    let mut browser = server.open();
    let downloads = tempfile::tempdir().unwrap();
    browser.download_to(downloads.path());
    browser.until("!none.hidden && model.options.length === 1");
    browser.choose(
        "document.getElementById('files')",
        &[server.recording("one.flac"), server.recording("two.flac")],
    );
    browser.until("document.querySelectorAll('#chosen li').length === 2");
    assert_eq!(browser.value("send.textContent"), "Transcribe 2 files");
    browser.click("document.querySelector('#chosen button')", 0.5);
    assert_eq!(browser.value("chosen.textContent.includes('one.flac')"), false);
    browser.click("document.querySelector('#settings summary')", 0.1);
    browser.value(
        "document.getElementById('language').value = 'en'; document.getElementById('vad').checked = true; 0",
    );
    browser.click("document.getElementById('send')", 0.5);
    until_state(&mut browser, &job(0), "completed");
    // Screen readers are told.
    browser.until("document.getElementById('status').textContent.includes('two.flac: completed.')");
    let facts = browser.value(&format!("{}.querySelector('.facts').textContent", job(0)));
    let facts = facts.as_str().unwrap();
    assert!(facts.starts_with("0:10 · English · model demo · "), "{facts}");
    let path = browser.value(&format!("new URL({}.querySelector('.open').href).pathname", job(0)));
    let path = path.as_str().unwrap().trim_end_matches("/transcript.html").to_owned();
    let view = browser.value(&format!("fetch('{path}').then((answer) => answer.json())"));
    assert_eq!(view["options"], json!({"export": "html", "language": "en", "vad": "true"}));

    browser.value(&format!("{}.querySelector('details').open = true; 0", job(0)));
    browser.until(&format!("{}.querySelector('.lines').textContent.includes('The door is blue.')", job(0)));

    let formats = browser
        .value(&format!("[...{}.querySelectorAll('.formats a')].map((link) => link.textContent)", job(0)));
    assert_eq!(formats, json!(["ass", "csv", "html", "json", "lrc", "srt", "tsv", "txt", "vtt"]));
    for (nth, format) in formats.as_array().unwrap().iter().enumerate() {
        browser.click(&format!("{}.querySelectorAll('.formats a')[{nth}]", job(0)), 0.5);
        let format = format.as_str().unwrap();
        let content = downloaded(downloads.path(), &format!("two.{format}"));
        let expected =
            browser.value(&format!("fetch('{path}/transcript.{format}').then((answer) => answer.text())"));
        assert_eq!(content, expected.as_str().unwrap(), "{format}");
        assert!(content.contains("door"), "{format}: {content}");
    }
    assert_stays_at(&server, &browser);

    // The transcript plays the recording that the server has.
    browser.click(&format!("{}.querySelector('.open')", job(0)), 0.5);
    browser.switch_to_tab(&format!("{}{path}/transcript.html", server.address));
    browser.until("document.body.dataset.media === 'ready'");
    assert_eq!(browser.value("document.querySelector('h1').textContent"), "two.flac");
    assert_eq!(browser.value("document.querySelectorAll('.w').length > 5"), true);
    assert_stays_at(&server, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn dropped_files_with_hostile_names_and_texts_stay_text() {
    let server = Served::start(&[]);
    let mut browser = Browser::start();
    // What a model says of a recording cannot be chosen, so the answers are.
    let name = "<img src=x onerror='window.harm=1'>&amp; \u{202e}.flac";
    let (said, named) = (json!(HOSTILE), json!(name));
    browser.run_first(&format!(
        "const real = window.fetch; window.fetch = async (path, options) => {{ \
           if (String(path).endsWith('/transcript.txt')) return new Response({said}); \
           const answer = await real(path, options); \
           if (String(path).includes('/v1/jobs?')) {{ \
             const list = await answer.json(); \
             list.data.forEach((job) => {{ job.source = {{ upload: {named} }}; }}); \
             return Response.json(list); }} \
           if (!String(path).endsWith('/events')) return answer; \
           const segments = [{{ start: 1, end: 2, text: {said}, speaker: {said} }}]; \
           return new Response('event: segments\\ndata: ' + JSON.stringify({{ segments }}) + '\\n\\n' + await answer.text()); }};"
    ));
    browser.open_address(&server.address);
    browser.drop_files("drop", &[server.recording(name), server.folder.path().join("state")]);
    browser.until("document.querySelectorAll('#chosen li').length === 1");
    // The other was a folder.
    browser.until("document.getElementById('trouble').textContent.startsWith('Folders cannot be sent')");
    browser.until("document.activeElement === send");
    browser.press("Enter", false);
    browser.until(&format!(
        "{}?.querySelector('.line') || {}?.dataset.state === 'completed'",
        job(0),
        job(0)
    ));
    until_state(&mut browser, &job(0), "completed");
    // The server gives recordings safe names; the page does not rely on it.
    browser.reload();
    until_state(&mut browser, &job(0), "completed");
    let shown = browser.value(&format!("{}.querySelector('h3').textContent", job(0)));
    assert!(shown.as_str().unwrap().starts_with("<img src=x onerror='window.harm=1'>"), "{shown}");
    browser.value(&format!("{}.querySelector('details').open = true; 0", job(0)));
    browser.until(&format!(
        "{}.querySelector('.lines').textContent.includes({})",
        job(0),
        json!(HOSTILE.trim())
    ));
    browser.click(&end_button(&job(0)), 0.5);
    browser.until("document.getElementById('confirm').open");
    assert_eq!(browser.value("document.getElementById('confirm-text').childElementCount"), 0);
    assert_eq!(
        browser.value("typeof harm + document.images.length + document.scripts.length"),
        "undefined01"
    );
    browser.press("Escape", false);
    browser.until("!document.getElementById('confirm').open");
    assert_eq!(browser.value("document.querySelectorAll('.job').length"), 1);
    assert_stays_at(&server, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn jobs_are_followed_cancelled_and_deleted() {
    let server = Served::start(&[]);
    let mut browser = server.open();
    send(&mut browser, &[long_recording(server.folder.path())]);
    until_state(&mut browser, &job(0), "running");
    browser.until(&format!("{}.querySelector('progress').value > 0", job(0)));
    browser.until(&format!("{}.querySelector('.facts').textContent.includes(' of 20:00')", job(0)));
    assert_eq!(browser.value(&format!("{}.textContent", end_button(&job(0)))), "Cancel");
    browser.click(&end_button(&job(0)), 0.5);
    until_state(&mut browser, &job(0), "cancelled");
    assert_eq!(browser.value(&format!("{}.querySelectorAll('.formats a').length", job(0))), 0);
    let id = browser.value(&format!("{}.dataset.id", job(0)));
    let button = end_button(&job(0));
    browser.until(&format!("{button}.textContent === 'Delete' && {button}.ariaBusy !== 'true'"));
    browser.click(&end_button(&job(0)), 0.5);
    browser.until("document.getElementById('confirm').open");
    browser.click("document.querySelector('#confirm .danger')", 0.5);
    browser.until("!document.querySelector('.job') && !none.hidden");
    // The keyboard goes on from the list.
    assert_eq!(browser.value("document.activeElement.id"), "jobs-title");
    browser.until(&format!(
        "fetch('/v1/jobs/{}').then((answer) => answer.status === 404)",
        id.as_str().unwrap()
    ));
}

#[test]
#[ignore = "needs Chromium"]
fn waiting_jobs_say_how_many_come_first() {
    let mut server = Served::start(&[]);
    server.restart(STOPPED);
    let mut browser = server.open();
    // More than the server opens at the same time.
    let files: Vec<PathBuf> = (0..16).map(|nth| server.recording(&format!("{nth}.flac"))).collect();
    send(&mut browser, &files);
    browser.until("document.querySelectorAll('.job').length === 16");
    browser.until(
        "window.waits = [...document.querySelectorAll('.job')].find((job) => job.dataset.state === 'queued' && \
         /^\\d+ jobs? before it/.test(job.querySelector('.facts').textContent))",
    );
    browser.click(&end_button("waits"), 0.5);
    until_state(&mut browser, "waits", "cancelled");
}

#[test]
#[ignore = "needs Chromium"]
fn a_key_is_asked_for_once_and_sent_with_everything() {
    let server = Served::with_key();
    let mut browser = server.open();
    let downloads = tempfile::tempdir().unwrap();
    browser.download_to(downloads.path());
    browser.until("!document.getElementById('key-form').hidden && document.activeElement.id === 'key'");
    let refused = browser.complaints().len();
    browser.type_keys("a wrong key");
    browser.press("Enter", false);
    browser.until("document.getElementById('key-why').textContent === 'The API key is not valid.'");
    browser.until("!document.getElementById('key-form').hidden");
    browser.call("Input.insertText", json!({"text": KEY}));
    browser.press("Enter", false);
    browser.until("!none.hidden && document.getElementById('key-form').hidden");
    assert_eq!(browser.value("localStorage.length"), 0);
    browser.reload();
    browser.until("!none.hidden && document.getElementById('key-form').hidden");
    // The browser notes each refusal, and nothing else.
    let complaints = browser.complaints();
    assert!(complaints.len() >= refused, "{complaints:?}");
    assert!(complaints.iter().all(|complaint| complaint.contains("status of 401")), "{complaints:?}");

    send(&mut browser, &[server.recording("one.flac")]);
    until_state(&mut browser, &job(0), "completed");
    browser.value(&format!("{}.querySelector('details').open = true; 0", job(0)));
    browser.until(&format!("{}.querySelector('.lines').textContent.includes('The door is blue.')", job(0)));
    browser.click(&format!("{}.querySelectorAll('.formats a')[5]", job(0)), 0.5);
    assert!(downloaded(downloads.path(), "one.srt").contains("The door is blue."));
    let before = browser.complaints().len();
    browser.click(&format!("{}.querySelector('.open')", job(0)), 0.5);
    browser.switch_to_tab(&format!("blob:{}", server.address));
    browser.until("document.body.dataset.media === 'ready'");
    assert_eq!(browser.value("document.querySelector('h1').textContent"), "one.flac");
    browser.click("document.querySelectorAll('.w')[2]", 0.5);
    browser.until("document.querySelector('.w.now')");
    assert_ne!(browser.value("getComputedStyle(document.body).margin"), "8px");
    assert_eq!(browser.complaints()[before..], [] as [String; 0]);
}

#[test]
#[ignore = "needs Chromium"]
fn the_list_is_there_again_after_a_reload_and_a_restart() {
    let mut server = Served::start(&["--max-upload", "200kB"]);
    let mut browser = server.open();
    let names: Vec<String> = (0..23).map(|nth| format!("{nth}.wav")).collect();
    // One after the other, so that their order is known.
    browser.value(&format!(
        "(async () => {{ const head = new Uint8Array([82,73,70,70,164,1,0,0,87,65,86,69,102,109,116,32,16,0,0,0,1,0,1,0, \
           64,31,0,0,64,31,0,0,1,0,8,0,100,97,116,97,128,1,0,0]); \
         for (const name of {}) {{ const form = new FormData(); \
           form.append('file', new Blob([head, new Uint8Array(384).fill(128)]), name); \
           await fetch('/v1/jobs', {{ method: 'POST', body: form }}); }} }})()",
        json!(names)
    ));
    browser.reload();
    browser.until("document.querySelectorAll('.job').length === 20 && !more.hidden");
    // Jobs that are still transcribed change their height, and move the button away from the pointer.
    browser.until("[...document.querySelectorAll('.job')].every((job) => job.dataset.state === 'completed')");
    let titles = "[...document.querySelectorAll('.job h3')].map((title) => title.textContent)";
    browser.click("more", 0.5);
    browser.until("document.querySelectorAll('.job').length === 23 && more.hidden");
    let newest_first: Vec<&String> = names.iter().rev().collect();
    assert_eq!(browser.value(titles), json!(newest_first));
    browser.until("[...document.querySelectorAll('.job')].every((job) => job.dataset.state === 'completed')");

    server.stop();
    browser
        .until("document.getElementById('trouble').textContent.startsWith('The server cannot be reached.')");
    server.restart(&[]);
    browser.until("document.getElementById('trouble').hidden");
    assert_eq!(browser.value(titles), json!(newest_first));
    // A job that goes elsewhere goes here, too.
    browser
        .value(&format!("fetch('/v1/jobs/' + {}.dataset.id, {{ method: 'DELETE' }}).then(() => 0)", job(22)));
    browser.until("document.querySelectorAll('.job').length === 22");

    let large = server.folder.path().join("large.flac");
    fs::copy(fixture("long/long_en.flac"), &large).unwrap();
    send(&mut browser, &[large]);
    browser.until("document.querySelector('.upload .alert')?.checkVisibility()");
    let message = browser.value("document.querySelector('.upload .alert').textContent");
    assert!(
        message.as_str().unwrap().starts_with("The file is too large: the recording has more than "),
        "{message}"
    );
    assert_eq!(browser.value("document.querySelectorAll('.job').length"), 22);
}

#[test]
#[ignore = "needs Chromium"]
fn a_busy_server_is_asked_again_when_it_wants_to_be() {
    let mut server = Served::start(&["--max-queue", "1"]);
    server.restart(STOPPED);
    let mut browser = server.open();
    send(&mut browser, &["a.flac", "b.flac", "c.flac", "d.flac"].map(|name| server.recording(name)));
    browser.until("/^The server is busy: .+ Trying again in \\d+ s\\.$/.test(document.querySelector('.upload .alert')?.textContent)");
    // It goes on, and so does what was refused.
    server.restart(&[]);
    browser.until(
        "!document.querySelector('.upload') && document.querySelectorAll('.job[data-state=\"completed\"]').length === 4",
    );
}

/// Returns what assistive programs know of the elements that the keyboard reaches: `role: name`.
fn controls(browser: &mut Browser) -> Vec<(String, String)> {
    let found = browser.value(
        "(window.controls = [...document.querySelectorAll('a, button, input, select, summary, progress, [tabindex]')] \
         .filter((one) => one.checkVisibility())).length",
    );
    let count = found.as_u64().unwrap();
    assert!(count > 0);
    let mut known = Vec::new();
    for nth in 0..count {
        let element = browser.call("Runtime.evaluate", json!({"expression": format!("controls[{nth}]")}));
        let id = element["result"]["objectId"].clone();
        let params = json!({"objectId": id, "fetchRelatives": false});
        let nodes = browser.call("Accessibility.getPartialAXTree", params)["nodes"].clone();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        known.push((text(&nodes[0]["role"]), text(&nodes[0]["name"])));
    }
    known
}

#[test]
#[ignore = "needs Chromium"]
fn everything_has_a_role_and_a_name_and_fits_a_phone() {
    let server = Served::start(&[]);
    let mut browser = server.open();
    send(&mut browser, &[server.recording(&format!("{}.flac", "averylongnamewithoutanyspace".repeat(6)))]);
    until_state(&mut browser, &job(0), "completed");
    send(&mut browser, &[long_recording(server.folder.path())]);
    until_state(&mut browser, &job(0), "running");
    browser.choose(
        "document.getElementById('files')",
        &[server.recording(&format!("{}.flac", "another".repeat(25)))],
    );
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; }); 0");
    browser.value("document.getElementById('key-form').hidden = false; 0");
    let nameless: Vec<(String, String)> = controls(&mut browser)
        .into_iter()
        .filter(|(role, name)| name.is_empty() || role == "generic")
        .collect();
    assert_eq!(nameless, []);
    let known = controls(&mut browser);
    for (role, name) in [
        ("button", "Choose files"),
        ("button", "Cancel noise.wav"),
        ("combobox", "Spoken language"),
        ("combobox", "Speakers"),
        ("checkbox", "Skip silence (voice activity detection)"),
        ("textbox", "API key"),
        ("progressbar", "Progress of noise.wav"),
    ] {
        let has = |(its_role, its_name): &(String, String)| {
            (its_role.eq_ignore_ascii_case(role) || its_role == "ProgressIndicator") && its_name == name
        };
        assert!(known.iter().any(has), "no {role} `{name}` in {known:?}");
    }
    for colours in ["light", "dark"] {
        browser.prefer(colours);
        for width in [320, 360, 700, 1600] {
            browser.resize(width, 700);
            let wide = format!(
                "[...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() && \
                 one.getBoundingClientRect().right > {width}).map((one) => one.tagName + ' ' + one.className + ' ' + one.id)"
            );
            assert_eq!(browser.value(&wide), json!([]), "{width}");
            assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
        }
    }
    let back = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.value(back);
    browser.prefer("light");
    assert_ne!(browser.value(back), dark);
}

#[test]
#[ignore = "needs Chromium"]
fn the_policy_lets_nothing_leave_the_server() {
    let server = Served::start(&[]);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let other = format!("http://{}", elsewhere.local_addr().unwrap());
    for page in ["/", "/docs"] {
        let mut browser = Browser::start();
        browser.open_address(&format!("{}{page}", server.address));
        browser.until("document.readyState === 'complete'");
        std::thread::sleep(Duration::from_millis(300));
        assert_stays_at(&server, &browser);
        let refused = browser.value(&format!("fetch('{other}/').then(() => 'sent', () => 'refused')"));
        assert_eq!(refused, "refused", "{page}");
        let tries = format!(
            "(() => {{ const image = new Image(); image.src = '{other}/a.png'; document.body.append(image); \
             const script = document.createElement('script'); script.src = '{other}/a.js'; document.body.append(script); \
             const inline = document.createElement('script'); inline.textContent = 'window.harm = 1'; \
             document.body.append(inline); document.body.insertAdjacentHTML('beforeend', \
             '<p style=\"color: red\" onclick=\"window.harm = 1\" id=\"red\">red</p>'); red.click(); \
             return typeof harm + getComputedStyle(red).color; }})()"
        );
        let effect = browser.value(&tries);
        assert!(!effect.as_str().unwrap().contains("255, 0, 0"), "{page}: {effect}");
        assert!(effect.as_str().unwrap().starts_with("undefined"), "{page}: {effect}");
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(300) {
            assert!(elsewhere.accept().is_err(), "{page}: a request left the server");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The violations are reported, so the policy is what refused them.
        assert!(browser.complaints().iter().any(|text| text.contains("Content Security Policy")), "{page}");
    }
}

#[test]
#[ignore = "needs Chromium"]
fn every_route_is_in_the_documentation() {
    let server = Served::start(&[]);
    let mut browser = server.open();
    browser.open_address(&format!("{}/docs", server.address));
    browser.until("document.querySelectorAll('.route').length > 0");
    let listed =
        browser.value("[...document.querySelectorAll('.route')].map((route) => route.dataset.route).sort()");
    let expected = browser.value(
        "fetch('/openapi.json').then((answer) => answer.json()).then(({ paths }) => Object.entries(paths) \
         .flatMap(([path, routes]) => Object.keys(routes).map((method) => `${method} ${path}`)).sort())",
    );
    assert_eq!(listed, expected);
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; }); 0");
    // A field of a schema that is named elsewhere in the document.
    assert_eq!(
        browser.value(
            "document.querySelector('[data-route=\"get /v1/jobs\"]').textContent.includes('has_more')"
        ),
        true
    );
    let curl = browser
        .value("document.querySelector('[data-route=\"post /v1/audio/transcriptions\"] pre').textContent");
    let curl = curl.as_str().unwrap();
    assert!(curl.contains("curl") && curl.contains("-F file=@") && curl.contains(&server.address), "{curl}");
    for width in [360, 1300] {
        browser.resize(width, 800);
        assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
    }
    assert_stays_at(&server, &browser);
}
