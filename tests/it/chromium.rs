//! Pages in a real Chromium: clicked, searched, corrected and rendered.
//!
//! The tests are ignored by default because they need Chromium; `.ci/run` includes them.

mod corrections;
mod kept;
mod served;
mod speakers;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use transcribe::export::Media;

use crate::browser::Browser;
use crate::html::{HOSTILE, hostile, page, read, recording};
use crate::program::{fixture, run};

/// Exports a page, and opens it in a browser; returns the transcript, too.
fn opened(folder: &Path, audio: &str) -> (Browser, Value) {
    let (page, mut program) = recording(folder);
    let mut browser = Browser::start();
    program.args(["--html-audio", audio]);
    let ended = run(program);
    assert!(ended.status.success(), "{}", ended.stderr);
    browser.open(&page, "");
    let json = serde_json::from_str(&read(&page.with_extension("json"))).unwrap();
    (browser, json)
}

fn assert_no_complaints(browser: &Browser) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let local = |url: &String| ["file:", "blob:", "data:"].iter().any(|scheme| url.starts_with(scheme));
    assert!(browser.requests().iter().all(local), "{:?}", browser.requests());
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.02, "{found} instead of {expected}");
}

fn plays_what_is_clicked(audio: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (mut browser, json) = opened(folder.path(), audio);
    browser.until("document.body.dataset.media === 'ready'");
    assert_near(browser.number("player.duration"), json["duration"].as_f64().unwrap());
    browser.value("sought = []; player.onseeking = () => sought.push(player.currentTime); 0");
    // The last word of the third segment.
    let word = "text.querySelectorAll('.s')[2].querySelector('.w:last-child')";
    browser.click(word, 0.5);
    browser.until("sought.length");
    let start = json["segments"][2]["words"].as_array().unwrap().last().unwrap()["start"].as_f64().unwrap();
    assert_near(browser.number("sought[0]"), start);
    browser.until(&format!("!player.paused && player.currentTime > {start}"));
    assert_eq!(browser.value("document.body.className.includes('plays-now')"), true);

    browser.press(" ", false);
    browser.until("player.paused");
    browser.value(&format!("player.currentTime = {start}; 0"));
    browser
        .until(&format!("!player.seeking && {word}.matches('.now') && {word}.closest('.s').matches('.now')"));
    browser.press("ArrowRight", false);
    assert_near(browser.number("player.currentTime"), start + 5.0);
    browser.press("ArrowLeft", false);
    assert_near(browser.number("player.currentTime"), start);
    browser.press("ArrowDown", false);
    assert_near(browser.number("player.currentTime"), json["segments"][3]["start"].as_f64().unwrap());
    browser.press("ArrowRight", true);
    assert_near(
        browser.number("player.currentTime"),
        json["segments"][3]["words"][1]["start"].as_f64().unwrap(),
    );

    // The spoken text is scrolled into view.
    let last = "text.querySelector('.s:last-of-type')";
    let is_visible = format!("{last}.getBoundingClientRect().bottom < innerHeight");
    assert_eq!(browser.value(&is_visible), false);
    browser.value(&format!("player.currentTime = Number({last}.dataset.t) + 0.1; 0"));
    browser.until(&format!("{last}.matches('.now') && {is_visible}"));
    browser.click("wave", 0.75);
    assert_near(browser.number("player.currentTime / player.duration"), 0.75);
    browser.click("document.querySelector('.list a')", 0.2);
    let start = browser.number("Number(document.querySelector('.list a').hash.slice(3))");
    browser.until(&format!("Math.abs(sought.at(-1) - {start}) < 0.02"));
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn plays_clicked_words_of_a_linked_recording() {
    plays_what_is_clicked("link");
}

#[test]
#[ignore = "needs Chromium"]
fn plays_clicked_words_of_an_embedded_recording() {
    plays_what_is_clicked("embed");
}

#[test]
#[ignore = "needs Chromium"]
fn finds_searched_text_and_shades_doubtful_text() {
    let folder = tempfile::tempdir().unwrap();
    let (mut browser, json) = opened(folder.path(), "link");
    let texts = json["segments"].as_array().unwrap().iter().map(|segment| segment["text"].as_str().unwrap());
    let count = texts.map(|text| text.to_lowercase().matches("and friday").count()).sum::<usize>();
    assert!(count > 1);
    browser.press("/", false);
    browser.call("Input.insertText", json!({"text": "ÂND  friday".replace("  ", " ")}));
    browser.until(&format!("hits.textContent === '1 / {count}'"));
    assert_eq!(browser.value("CSS.highlights.get('hits').size"), count);
    assert_eq!(browser.value("[...CSS.highlights.get('hit')][0].toString()"), "and Friday");
    browser.press("Enter", false);
    browser.until(&format!("hits.textContent === '2 / {count}'"));
    browser.click("document.getElementById('before')", 0.5);
    browser.until(&format!("hits.textContent === '1 / {count}'"));
    browser.click("document.getElementById('before')", 0.5);
    browser.until(&format!("hits.textContent === '{count} / {count}'"));
    browser.click("search", 0.5);
    browser.press("Escape", false);
    browser.until("hits.textContent === '' && CSS.highlights.get('hits').size === 0");
    // Letters typed into the search field are no shortcuts.
    assert_eq!(browser.value("shade.checked && follow.checked"), true);

    let colour = "getComputedStyle(document.querySelector('.w.c0')).backgroundColor";
    let (shaded, clear) = (browser.value(colour), json!("rgba(0, 0, 0, 0)"));
    assert_ne!(shaded, clear);
    assert_eq!(
        browser.value("getComputedStyle(document.querySelector('.shades .c0')).backgroundColor"),
        shaded
    );
    browser.click("shade", 0.5);
    assert_eq!(browser.value(colour), clear);
    browser.press("c", false);
    assert_eq!(browser.value(colour), shaded);
    browser.prefer("dark");
    assert_ne!(browser.value(colour), shaded);
    for width in [320, 700, 1600] {
        browser.resize(width, 700);
        let wide = format!(
            "[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > {width}) \
             .map((one) => one.tagName + ' ' + one.className + ' ' + one.id)"
        );
        assert_eq!(browser.value(&wide), json!([]), "{width}");
    }
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn hostile_text_is_shown_and_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.html");
    fs::write(&path, page(&hostile(), Media::None)).unwrap();
    let mut browser = Browser::start();
    browser.open(&path, "#t=2.6");
    assert_eq!(browser.value("typeof harm"), "undefined");
    assert_eq!(browser.value("document.scripts.length + document.images.length"), 2);
    assert_eq!(browser.value("text.querySelector('.w').textContent"), HOSTILE.replace('\t', " "));
    assert_eq!(
        browser.value("document.querySelector('h1').textContent"),
        hostile().source.rsplit('/').next().unwrap()
    );
    // Without a recording the position is still shown, and a recording can be opened.
    assert_eq!(browser.value("document.querySelector('.w.now').dataset.t"), "2.54");
    browser.click("text.querySelector('.w')", 0.5);
    assert_eq!(browser.value("document.querySelector('.w.now').textContent"), HOSTILE);
    let input =
        browser.call("Runtime.evaluate", json!({"expression": "choose"}))["result"]["objectId"].clone();
    let files = json!({"files": [fixture("long/short_en.flac")], "objectId": input});
    browser.call("DOM.setFileInputFiles", files);
    browser.until("document.body.dataset.media === 'ready' && document.getElementById('trouble').hidden");
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn asks_for_a_missing_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.html");
    // A file name may contain an incomplete UTF-8 sequence.
    fs::write(&path, page(&hostile(), Media::Linked("gone%C3.mp3".into()))).unwrap();
    let mut browser = Browser::start();
    browser.open(&path, "");
    browser.until("!trouble.hidden");
    let message = browser.value("trouble.firstElementChild.textContent");
    assert_eq!(message, "“gone%C3.mp3” is not there, or this browser cannot play it.");
    assert_eq!(browser.value("play.disabled"), true);
    browser.click("text.querySelectorAll('.w')[1]", 0.5);
    assert_eq!(browser.value("text.querySelectorAll('.w')[1].matches('.now')"), true);
}
