//! Correcting a transcript in its page, with the keys that a person presses.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use transcribe::export::Media;
use transcribe::transcript::Transcript;

use super::assert_no_complaints;
use crate::browser::{ALT, Browser, CONTROL, SHIFT};
use crate::export::spoken;
use crate::html::page;
use crate::program::fixture;

/// Writes the page of a transcript and opens it.
pub fn opened(folder: &Path, transcript: &Transcript, media: Media) -> (Browser, PathBuf) {
    let path = folder.join("talk.html");
    fs::write(&path, page(transcript, media)).unwrap();
    let mut browser = Browser::start();
    browser.download_to(folder);
    browser.open(&path, "");
    (browser, path)
}

/// Three segments: ` One three.`, ` The door is blue.`, ` Close Friday two eight Monday six door.`
pub fn opened_spoken(folder: &Path) -> Browser {
    opened(folder, &spoken(), Media::None).0
}

pub fn texts(browser: &mut Browser) -> Vec<String> {
    let found = browser.value("[...document.querySelectorAll('.s .t')].map((row) => row.textContent)");
    serde_json::from_value(found).unwrap()
}

/// The words of a row: their texts and times.
fn words(browser: &mut Browser, row: usize) -> Vec<(String, f64, f64)> {
    let script = format!(
        "[...document.querySelectorAll('.s')[{row}].querySelectorAll('.w')] \
         .map((word) => [word.textContent, Number(word.dataset.t), Number(word.dataset.u)])"
    );
    serde_json::from_value(browser.value(&script)).unwrap()
}

fn word(text: &str, start: f64, end: f64) -> (String, f64, f64) {
    (text.into(), start, end)
}

/// Chooses a row with the keys, from the top.
pub fn choose(browser: &mut Browser, row: usize) {
    browser.value("document.activeElement.blur()");
    (0..5).for_each(|_| browser.press("ArrowUp", false));
    (0..row).for_each(|_| browser.press("ArrowDown", false));
    let chosen = "[...document.querySelectorAll('.s')].findIndex((row) => row.ariaCurrent === 'true')";
    assert_eq!(browser.value(chosen), row);
}

#[test]
#[ignore = "needs Chromium"]
fn edits_text_and_keeps_the_times_of_unchanged_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_spoken(folder.path());
    choose(&mut browser, 1);
    browser.press("Enter", false);
    browser.chord("ArrowLeft", CONTROL);
    browser.chord("ArrowLeft", CONTROL);
    browser.type_keys("left wing ");
    browser.press("Enter", false);
    let before = [word("The", 2.22, 2.54), word("door", 2.54, 2.84)];
    let inserted = [word("is", 2.84, 3.12), word("left", 3.12, 3.12), word("wing", 3.12, 3.12)];
    let after = [word("blue.", 3.12, 3.4)];
    let found = words(&mut browser, 1);
    // The caret may stop before or after the full stop, depending on the system.
    let is_before_blue = found[3].0 == "left";
    let expected = match is_before_blue {
        true => [&before[..], &inserted, &after].concat(),
        false => found.clone(),
    };
    assert_eq!(found, expected);

    // A word for a word has its time, several share the time of those they replace.
    let mut browser = opened_spoken(folder.path());
    browser.double_click("document.querySelectorAll('.s')[1].querySelectorAll('.w')[1]", 0.5);
    browser.press("Home", false);
    (0..4).for_each(|_| browser.press("ArrowRight", false));
    (0..4).for_each(|_| browser.press("Delete", false));
    browser.type_keys("gate");
    browser.press("Enter", false);
    assert_eq!(texts(&mut browser)[1], "The gate is blue.");
    assert_eq!(words(&mut browser, 1)[1], word("gate", 2.54, 2.84));
    browser.press("Enter", false);
    browser.press("Home", false);
    (0..8).for_each(|_| browser.press("Delete", false));
    browser.type_keys("A front door");
    browser.press("Enter", false);
    let found = words(&mut browser, 1);
    let expected = [word("A", 2.22, 2.282), word("front", 2.282, 2.592), word("door", 2.592, 2.84)];
    assert_eq!(found[..3], expected);
    assert_eq!(found[3..], [word("is", 2.84, 3.12), word("blue.", 3.12, 3.4)]);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn splits_merges_and_deletes_and_undoes_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_spoken(folder.path());
    let original = texts(&mut browser);
    choose(&mut browser, 1);
    browser.press("Enter", false);
    browser.press("Home", false);
    (0..8).for_each(|_| browser.press("ArrowRight", false));
    browser.chord("Enter", CONTROL);
    assert_eq!(texts(&mut browser)[1..3], ["The door", "is blue."]);
    let times =
        "[...document.querySelectorAll('.s')].slice(1, 3).map((row) => [row.dataset.t, row.dataset.u])";
    assert_eq!(browser.value(times), json!([["2.44", "2.84"], ["2.84", "3.4"]]));
    // The second half is edited, with the cursor at its start: merged again, and with the next one.
    browser.press("Backspace", false);
    assert_eq!(texts(&mut browser), original);
    browser.chord("m", CONTROL);
    assert_eq!(texts(&mut browser)[1], "The door is blue. Close Friday two eight Monday six door.");
    browser.press("Enter", false);
    assert_eq!(words(&mut browser, 1)[4], word("Close", 5.62, 6.26));
    assert_eq!(browser.value("document.activeElement.matches('.s.edited')"), true);
    browser.press("Delete", false);
    assert_eq!(texts(&mut browser), ["One three."]);
    for _ in 0..4 {
        browser.chord("z", CONTROL);
    }
    assert_eq!(texts(&mut browser), original);
    assert_eq!(browser.value("document.querySelectorAll('.edited').length"), 0);
    for _ in 0..9 {
        browser.chord("Z", CONTROL | SHIFT);
    }
    assert_eq!(texts(&mut browser), ["One three."]);

    // A step for each change, however many; and within an editor for what is typed.
    for _ in 0..150 {
        browser.press("Enter", false);
        browser.type_keys("q");
        browser.press("Enter", false);
    }
    browser.press("Enter", false);
    browser.type_keys("more");
    browser.chord("z", CONTROL);
    assert_eq!(browser.value("document.activeElement.className"), "t");
    for _ in 0..154 {
        browser.chord("z", CONTROL);
    }
    assert_eq!(texts(&mut browser), original);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn sets_times_by_timecode_and_steps_by_frames() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("long/short_en.flac"), folder.path().join("talk.flac")).unwrap();
    let (mut browser, _) = opened(folder.path(), &spoken(), Media::Linked("talk.flac".into()));
    browser.until("document.body.dataset.media === 'ready'");
    browser.value("rate.value = '25'; rate.dispatchEvent(new Event('change'))");
    choose(&mut browser, 1);
    browser.press("t", false);
    assert_eq!(browser.value("start.value + ' ' + end.value"), "0:00:02:11 0:00:03:10");
    browser.type_keys("0:00:02:30");
    browser.press("Enter", false);
    assert_eq!(browser.value("start.ariaInvalid + ' ' + document.activeElement.id"), "true start");
    browser.value("start.select()");
    browser.type_keys("0:00:02:00");
    browser.press("Tab", false);
    browser.type_keys("4.5");
    browser.press("Enter", false);
    let times =
        "(() => { const { t, u } = document.querySelectorAll('.s')[1].dataset; return `${t} ${u}`; })()";
    assert_eq!(browser.value(times), "2 4.5");
    assert_eq!(words(&mut browser, 1)[1], word("door", 2.54, 2.84));

    // Drop-frame timecodes have no first two frames in a minute, but in every tenth.
    browser.value("rate.value = '29.97df'; rate.dispatchEvent(new Event('change'))");
    for (typed, seconds, shown) in [
        ("0:01:00;02", 60.06, "0:01:00;02"),
        ("0:10:00;00", 600.0, "0:10:00;00"),
        ("59.94", 59.94, "0:00:59;26"),
    ] {
        browser.press("t", false);
        browser.value("start.value = '0'; end.select()");
        browser.type_keys(typed);
        browser.press("Enter", false);
        let found = browser.number("Number(document.querySelector('.s[aria-current]').dataset.u)");
        assert!((found - seconds).abs() < 0.002, "{typed}: {found}");
        browser.press("t", false);
        assert_eq!(browser.value("end.value"), shown);
        browser.press("Escape", false);
    }

    browser.value("rate.value = '25'; rate.dispatchEvent(new Event('change')); player.currentTime = 1; 0");
    browser.press(".", false);
    browser.press(".", false);
    browser.press(",", false);
    assert!((browser.number("player.currentTime") - 1.04).abs() < 0.001);
    browser.press("l", false);
    browser.until("!player.paused && player.playbackRate === 1");
    browser.press("l", false);
    browser.until("player.playbackRate === 2");
    browser.press("k", false);
    browser.until("player.paused");
    browser.value("player.currentTime = 1.5; 0");
    browser.press("j", false);
    browser.until("player.currentTime < 1.3");
    browser.press("k", false);
    // While editing the tabulator plays.
    browser.press("Enter", false);
    browser.press("Tab", false);
    browser.until("!player.paused");
    browser.press("Tab", false);
    browser.until("player.paused && document.activeElement.className === 't'");
    browser.chord("ArrowDown", ALT);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn replaces_and_walks_through_doubtful_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut transcript = spoken();
    transcript.segments[2].words.as_mut().unwrap()[1].probability = 0.2;
    let (mut browser, _) = opened(folder.path(), &transcript, Media::None);
    browser.press("n", false);
    assert_eq!(browser.value("document.querySelector('.w.now').textContent"), "One");
    browser.press("n", false);
    assert_eq!(browser.value("document.querySelector('.w.now').textContent"), "Friday");
    browser.press("n", false);
    assert_eq!(browser.value("document.querySelector('.w.now').textContent"), "two");
    browser.press("n", false);
    browser.until("note.textContent.startsWith('No doubtful place after')");

    browser.chord("h", CONTROL);
    browser.type_keys("DOOR");
    browser.until("hits.textContent === '1 / 2'");
    browser.click("replacement", 0.5);
    browser.type_keys("gate");
    browser.press("Enter", false);
    assert_eq!(texts(&mut browser)[1..], ["The gate is blue.", "Close Friday two eight Monday six door."]);
    browser.until("hits.textContent === '1 / 1'");
    browser.value("search.value = 'e'; search.dispatchEvent(new Event('input'))");
    browser.until("hits.textContent.endsWith('/ 8')");
    browser.chord("Enter", CONTROL);
    assert_eq!(texts(&mut browser)[0], "Ongate thrgategate.");
    browser.value("document.activeElement.blur()");
    browser.chord("z", CONTROL);
    assert_eq!(texts(&mut browser)[0], "One three.");
    // A corrected word is no longer doubtful.
    browser.value("document.querySelector('#search').value = ''");
    choose(&mut browser, 0);
    browser.press("Enter", false);
    browser.press("Home", false);
    (0..3).for_each(|_| browser.press("Delete", false));
    browser.type_keys("Won");
    browser.press("Enter", false);
    (0..3).for_each(|_| browser.press("ArrowLeft", false));
    browser.press("n", false);
    browser.until("document.querySelector('.w.now')?.textContent === 'Friday'");
    assert_no_complaints(&browser);
}
