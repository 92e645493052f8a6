//! Pages in a real Chromium: clicked, searched and looked at as a person does.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use transcribe::export::Media;

use crate::browser::Browser;
use crate::html::{HOSTILE, hostile, page, read, recording};
use crate::program::{fixture, run};

/// A browser, and a page that was made for it.
fn opened(folder: &Path, audio: &str) -> Option<(Browser, Value)> {
    let (page, mut program) = recording(folder);
    let mut browser = Browser::start()?;
    program.args(["--html-audio", audio]);
    let ended = run(program);
    assert!(ended.status.success(), "{}", ended.said);
    browser.open(&page, "");
    let json = serde_json::from_str(&read(&page.with_extension("json"))).unwrap();
    Some((browser, json))
}

fn at_peace(browser: &Browser) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let local = |url: &String| ["file:", "blob:", "data:"].iter().any(|scheme| url.starts_with(scheme));
    assert!(browser.requests().iter().all(local), "{:?}", browser.requests());
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.02, "{found} instead of {expected}");
}

fn plays_what_is_clicked(audio: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut browser, json)) = opened(folder.path(), audio) else { return };
    browser.until("document.body.dataset.media === 'ready'");
    near(browser.number("player.duration"), json["duration"].as_f64().unwrap());
    browser.value("sought = []; player.onseeking = () => sought.push(player.currentTime); 0");
    // The last word of the third segment.
    let word = "text.querySelectorAll('.s')[2].querySelector('.w:last-child')";
    browser.click(word, 0.5);
    browser.until("sought.length");
    let start = json["segments"][2]["words"].as_array().unwrap().last().unwrap()["start"].as_f64().unwrap();
    near(browser.number("sought[0]"), start);
    browser.until(&format!("!player.paused && player.currentTime > {start}"));
    assert_eq!(browser.value("document.body.className.includes('plays-now')"), true);

    browser.press(" ", false);
    browser.until("player.paused");
    browser.value(&format!("player.currentTime = {start}; 0"));
    browser
        .until(&format!("!player.seeking && {word}.matches('.now') && {word}.closest('.s').matches('.now')"));
    browser.press("ArrowRight", false);
    near(browser.number("player.currentTime"), start + 5.0);
    browser.press("ArrowLeft", false);
    near(browser.number("player.currentTime"), start);
    browser.press("ArrowDown", false);
    near(browser.number("player.currentTime"), json["segments"][3]["start"].as_f64().unwrap());
    browser.press("ArrowRight", true);
    near(browser.number("player.currentTime"), json["segments"][3]["words"][1]["start"].as_f64().unwrap());

    // What is spoken comes into sight.
    let last = "text.querySelector('.s:last-of-type')";
    let is_seen = format!("{last}.getBoundingClientRect().bottom < innerHeight");
    assert_eq!(browser.value(&is_seen), false);
    browser.value(&format!("player.currentTime = Number({last}.dataset.t) + 0.1; 0"));
    browser.until(&format!("{last}.matches('.now') && {is_seen}"));
    browser.click("wave", 0.75);
    near(browser.number("player.currentTime / player.duration"), 0.75);
    browser.click("document.querySelector('.list a')", 0.2);
    let told = browser.number("Number(document.querySelector('.list a').hash.slice(3))");
    browser.until(&format!("Math.abs(sought.at(-1) - {told}) < 0.02"));
    at_peace(&browser);
}

#[test]
fn a_clicked_word_is_played_from_a_linked_recording() {
    plays_what_is_clicked("link");
}

#[test]
fn a_clicked_word_is_played_from_an_embedded_recording() {
    plays_what_is_clicked("embed");
}

#[test]
fn what_is_sought_is_found_and_what_is_doubtful_is_shaded() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut browser, json)) = opened(folder.path(), "link") else { return };
    let texts = json["segments"].as_array().unwrap().iter().map(|segment| segment["text"].as_str().unwrap());
    let count = texts.map(|text| text.to_lowercase().matches("and friday").count()).sum::<usize>();
    assert!(count > 1);
    browser.press("/", false);
    browser.ask("Input.insertText", json!({"text": "ÂND  friday".replace("  ", " ")}));
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
    // Typed letters are no commands.
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
    at_peace(&browser);
}

#[test]
fn hostile_texts_are_shown_and_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.html");
    fs::write(&path, page(&hostile(), Media::None)).unwrap();
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&path, "#t=2.6");
    assert_eq!(browser.value("typeof harm"), "undefined");
    assert_eq!(browser.value("document.scripts.length + document.images.length"), 1);
    assert_eq!(browser.value("text.querySelector('.w').textContent"), HOSTILE.replace('\t', " "));
    assert_eq!(
        browser.value("document.querySelector('h1').textContent"),
        hostile().source.rsplit('/').next().unwrap()
    );
    // Without a recording the place is still shown, and one can be opened.
    assert_eq!(browser.value("document.querySelector('.w.now').dataset.t"), "2.54");
    browser.click("text.querySelector('.w')", 0.5);
    assert_eq!(browser.value("document.querySelector('.w.now').textContent"), HOSTILE);
    let input =
        browser.ask("Runtime.evaluate", json!({"expression": "choose"}))["result"]["objectId"].clone();
    let files = json!({"files": [fixture("long/short_en.flac")], "objectId": input});
    browser.ask("DOM.setFileInputFiles", files);
    browser.until("document.body.dataset.media === 'ready' && document.getElementById('trouble').hidden");
    at_peace(&browser);
}

#[test]
fn a_recording_that_is_gone_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.html");
    // Half a letter is no text, but may be in a name.
    fs::write(&path, page(&hostile(), Media::Linked("gone%C3.mp3".into()))).unwrap();
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&path, "");
    browser.until("!trouble.hidden");
    let said = browser.value("trouble.firstElementChild.textContent");
    assert_eq!(said, "“gone%C3.mp3” is not there, or this browser cannot play it.");
    assert_eq!(browser.value("play.disabled"), true);
    browser.click("text.querySelectorAll('.w')[1]", 0.5);
    assert_eq!(browser.value("text.querySelectorAll('.w')[1].matches('.now')"), true);
}
