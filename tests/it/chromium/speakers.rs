//! Speakers in a page: their colours, the filter, and new names that are kept and downloaded.

use std::path::Path;

use serde_json::{Value, json};
use transcribe::export::Media;

use super::assert_no_complaints;
use super::corrections::opened;
use super::kept::downloaded;
use crate::browser::{Browser, CONTROL};
use crate::speakers::{SAID, conversation};

const LABELS: &str = "[...document.querySelectorAll('.s .speaker')].map((label) => label.textContent)";
/// The texts of the rows that are to be seen.
const SHOWN: &str = "[...document.querySelectorAll('.s')].filter((row) => row.offsetParent).map((row) => row.querySelector('.t').textContent)";

fn opened_talk(folder: &Path) -> Browser {
    opened(folder, &conversation(&SAID), Media::None).0
}

/// The name field of a speaker in the list.
fn field(nth: usize) -> String {
    format!("voices.querySelectorAll('li > input')[{nth}]")
}

fn rename(browser: &mut Browser, nth: usize, name: &str) {
    browser.value(&format!("{}.select()", field(nth)));
    browser.type_keys(name);
    browser.press("Enter", false);
}

#[test]
#[ignore = "needs Chromium"]
fn speakers_have_colours_and_their_rows_can_be_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_talk(folder.path());
    let names = ["Anna", "Anna", "Ben <3", "Anna", "Ben <3"];
    assert_eq!(browser.value(LABELS), json!(names));
    let colours =
        "[...document.querySelectorAll('.s .speaker')].map((label) => getComputedStyle(label).color)";
    let found = browser.value(colours);
    assert_eq!((&found[0], &found[2]), (&found[3], &found[4]));
    assert_ne!(found[0], found[2]);
    let listed = "[...voices.querySelectorAll('li')].map((item) => [item.querySelector('input:not([type])')?.value ?? item.querySelector('.name').textContent, item.querySelector('.note').textContent])";
    assert_eq!(
        browser.value(listed),
        json!([["Anna", "0:03"], ["Ben <3", "0:02"], ["nobody named", "0:00"]])
    );
    assert_eq!(browser.value("voices.querySelector('.count').textContent"), "2");

    browser.click("voices.querySelectorAll('input[type=checkbox]')[0]", 0.5);
    assert_eq!(browser.value(SHOWN), json!(["It was open on Friday.", "Yes.", "Doors close."]));
    // Keys and searches leave out what is hidden.
    browser.value("document.activeElement.blur()");
    browser.press("ArrowDown", false);
    let chosen = "document.querySelector('[aria-current]').querySelector('.t').textContent";
    assert_eq!(browser.value(chosen), "It was open on Friday.");
    browser.press("/", false);
    browser.type_keys("open");
    browser.until("hits.textContent === '1 / 1'");
    browser.click("voices.querySelectorAll('input[type=checkbox]')[2]", 0.5);
    assert_eq!(browser.value(SHOWN), json!(["It was open on Friday.", "Yes."]));
    browser.click("voices.querySelectorAll('input[type=checkbox]')[0]", 0.5);
    browser.until("hits.textContent.endsWith(' / 2')");
    assert_eq!(browser.value(SHOWN).as_array().unwrap().len(), 5);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn new_names_are_kept_undone_and_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_talk(folder.path());
    let colour = "getComputedStyle(document.querySelectorAll('.s .speaker')[2]).color";
    let before = browser.value(colour);
    rename(&mut browser, 1, "Zo\u{eb} <i>");
    let renamed = json!(["Anna", "Anna", "Zo\u{eb} <i>", "Anna", "Zo\u{eb} <i>"]);
    assert_eq!(browser.value(LABELS), renamed);
    assert_eq!(browser.value(colour), before);
    browser.value("document.activeElement.blur()");
    browser.chord("z", CONTROL);
    assert_eq!(browser.value(LABELS)[2], "Ben <3");
    rename(&mut browser, 1, "Zo\u{eb} <i>");
    browser.reload();
    assert_eq!(browser.value(LABELS), renamed);
    assert_eq!(browser.value(colour), before);
    assert_eq!(browser.value("state.textContent"), "2 corrected; kept in this browser");

    browser.chord("s", CONTROL);
    let corrected = "my talk.corrected";
    let json: Value = serde_json::from_str(&downloaded(folder.path(), &format!("{corrected}.json"))).unwrap();
    assert_eq!(json["segments"][2]["words"][0]["speaker"], "Zo\u{eb} <i>");
    assert_eq!(json["speakers"][1], json!({"name": "Zo\u{eb} <i>", "seconds": 2.4}));
    assert_eq!(json["turns"][2], json!({"start": 4, "end": 6, "speaker": "Zo\u{eb} <i>"}));
    browser.click("document.getElementById('save-srt')", 0.5);
    let srt = downloaded(folder.path(), &format!("{corrected}.srt"));
    assert!(srt.contains("\nAnna: The door is blue.\n") && srt.contains("\nIs it open?\n"), "{srt}");
    assert!(
        srt.contains("\nZo\u{eb} <i>: It was open on Friday.\n") && srt.contains("\nDoors close.\n"),
        "{srt}"
    );
    browser.click("document.getElementById('save-vtt')", 0.5);
    let vtt = downloaded(folder.path(), &format!("{corrected}.vtt"));
    assert!(
        vtt.contains("\n<v Zo\u{eb} &lt;i&gt;>Yes.\n") && vtt.contains("\n<v Anna>Is it open?\n"),
        "{vtt}"
    );

    // Two names of one speaker.
    rename(&mut browser, 1, "Anna");
    assert_eq!(browser.value(LABELS), json!(vec!["Anna"; 5]));
    assert_eq!(browser.value("voices.querySelector('.count').textContent"), "1");
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn one_segment_or_all_of_a_speaker_get_another_name_while_editing() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_talk(folder.path());
    browser.press("Enter", false);
    browser.value("speaker.select()");
    browser.type_keys("Ann");
    browser.click("everywhere", 0.5);
    browser.press("Enter", false);
    assert_eq!(browser.value(LABELS), json!(["Ann", "Ann", "Ben <3", "Ann", "Ben <3"]));
    browser.press("Enter", false);
    browser.value("speaker.select()");
    browser.type_keys("Ben <3");
    browser.press("Enter", false);
    assert_eq!(browser.value(LABELS), json!(["Ben <3", "Ann", "Ben <3", "Ann", "Ben <3"]));
    browser.reload();
    assert_eq!(browser.value(LABELS), json!(["Ben <3", "Ann", "Ben <3", "Ann", "Ben <3"]));
    // Who speaks when is then what the segments say.
    browser.chord("s", CONTROL);
    let json: Value = serde_json::from_str(&downloaded(folder.path(), "my talk.corrected.json")).unwrap();
    assert_eq!((json.get("turns"), json.get("speakers")), (None, None));
    assert_eq!(json["segments"][0]["speaker"], "Ben <3");
    assert_no_complaints(&browser);
}
