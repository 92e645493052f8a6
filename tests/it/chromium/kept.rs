//! Corrections that are kept, downloaded, exported and scored, and what holds for the whole page that makes them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use transcribe::export::Media;
use transcribe::transcript::{Segment, Transcript, Word};

use super::assert_no_complaints;
use super::corrections::{choose, opened, opened_spoken, texts};
use crate::browser::{Browser, CONTROL};
use crate::export::spoken;
use crate::html::{HOSTILE, hostile, page, read};
use crate::program::{bare, fixture, run};

/// Waits for a file that a page downloads.
pub fn downloaded(folder: &Path, name: &str) -> String {
    let started = Instant::now();
    loop {
        match fs::read_to_string(folder.join(name)) {
            Ok(content) if !content.is_empty() => return content,
            _ => assert!(started.elapsed() < Duration::from_secs(30), "{name} was not downloaded"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs Chromium"]
fn keeps_corrections_per_transcript_and_warns_before_they_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_spoken(folder.path());
    choose(&mut browser, 0);
    browser.press("Enter", false);
    browser.type_keys(" Four");
    // Not even left: what is typed is kept, too.
    assert!(browser.reload());
    assert_eq!(texts(&mut browser)[0], "One three. Four");
    assert_eq!(browser.value("state.textContent"), "1 corrected; kept in this browser");
    // Nothing new, so nothing to warn about.
    assert!(!browser.reload());

    let mut other = spoken();
    other.segments[2].text.push('!');
    let path = folder.path().join("other.html");
    fs::write(&path, page(&other, Media::None)).unwrap();
    browser.open(&path, "");
    assert_eq!(texts(&mut browser)[0], "One three.");
    browser.open(&folder.path().join("talk.html"), "");
    assert_eq!(texts(&mut browser)[0], "One three. Four");

    // Damaged entries, which other pages from disk could write, are left out.
    let key = browser.value("`transcribe:${transcript.dataset.digest}`");
    let foreign = [
        "{",
        "[]",
        "{\"version\": 2}",
        "{\"version\": 1, \"segments\": [[0, 99]]}",
        "{\"version\": 1, \"segments\": [{\"from\": [0], \"differences\": {\"text\": {}}}]}",
        "{\"version\": 1, \"segments\": [{\"from\": [0], \"differences\": {\"words\": [[\"a\", -1, \"\", 0]]}}]}",
    ];
    for entry in foreign {
        browser.value(&format!("localStorage.setItem({key}, {})", json!(entry)));
        browser.reload();
        assert_eq!(texts(&mut browser).len(), 3, "{entry}");
        let state = browser.value("state.textContent");
        assert!(state.as_str().unwrap().contains("cannot be read"), "{entry}: {state}");
    }
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn says_when_the_browser_cannot_keep_corrections() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_spoken(folder.path());
    browser.value(
        "(() => { for (let size = 1 << 22; size; size >>= 1) { \
         try { for (let i = 0; ; i++) localStorage.setItem(`x${size}-${i}`, 'x'.repeat(size)); } catch {} } })()",
    );
    browser.press("Enter", false);
    browser.type_keys(" Four");
    browser.press("Enter", false);
    browser.until("state.textContent.startsWith('Not kept') && state.textContent.includes('full')");
    assert!(browser.reload());

    browser.run_first(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })",
    );
    browser.reload();
    browser.until("state.textContent.includes('does not let the page keep corrections')");
    browser.press("Enter", false);
    browser.type_keys(" Five");
    browser.press("Enter", false);
    browser.until("state.textContent.includes('not available')");
    assert_eq!(texts(&mut browser)[0], "One three. Five");
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn downloads_what_the_program_exports_and_scores() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut browser = opened_spoken(folder.path());
    choose(&mut browser, 1);
    browser.press("Enter", false);
    browser.press("Home", false);
    (0..3).for_each(|_| browser.press("Delete", false));
    browser.type_keys("<b>That</b> & \"this\"");
    browser.press("Enter", false);
    browser.chord("s", CONTROL);
    let json: Value = serde_json::from_str(&downloaded(folder.path(), "talk.corrected.json")).unwrap();
    assert_eq!(json["segments"][1]["text"], " <b>That</b> & \"this\" door is blue.");
    let unchanged: Segment = serde_json::from_value(json["segments"][0].clone()).unwrap();
    // JSON leaves out the last digits of numbers.
    let original = &spoken().segments[0];
    assert_eq!((&unchanged.text, &unchanged.tokens), (&original.text, &original.tokens));
    let times = |segment: &Segment| -> Vec<i64> {
        let words = segment.words.iter().flatten().flat_map(|word| [word.start, word.end, word.probability]);
        let all = words.chain([segment.start, segment.end, segment.avg_logprob]);
        all.map(|value| (value * 1e5).round() as i64).collect()
    };
    assert_eq!(times(&unchanged), times(original));
    assert!(!browser.reload(), "downloaded corrections are not lost");

    let mut export = bare();
    export.arg("export").arg(at("talk.corrected.json")).args([
        "--export",
        "all",
        "--subtitles",
        "openai",
        "--output-dir",
    ]);
    export.arg(at("out"));
    let ended = run(export);
    assert!(ended.status.success(), "{}", ended.stderr);
    let expected = "1\n00:00:00,540 --> 00:00:01,280\nOne three.\n\n\
                    2\n00:00:02,220 --> 00:00:03,400\n<b>That</b> & \"this\" door is blue.\n\n";
    assert!(read(&at("out").join("talk.corrected.srt")).starts_with(expected));
    browser.click("document.getElementById('save-vtt')", 0.5);
    let vtt = downloaded(folder.path(), "talk.corrected.vtt");
    assert!(vtt.contains("\n&lt;b&gt;That&lt;/b&gt; &amp; \"this\" door is blue.\n"), "{vtt}");

    fs::write(at("reference.txt"), "One three. That door is blue. Close Friday two eight Monday six door.")
        .unwrap();
    let wer = |hypothesis: &str| {
        let mut score = bare();
        score.arg("score").arg(at("reference.txt")).arg(at(hypothesis)).args(["--language", "en", "--json"]);
        let output = score.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        found["total"]["words"]["substitutions"].as_u64().unwrap()
    };
    // The page itself is read, too, as it was written.
    assert_eq!((wer("talk.html"), wer("talk.corrected.json")), (1, 0));
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn hostile_text_stays_text_when_it_is_edited() {
    let folder = tempfile::tempdir().unwrap();
    let (mut browser, _) = opened(folder.path(), &hostile(), Media::None);
    for row in 0..2 {
        choose(&mut browser, row);
        browser.press("Enter", false);
        browser.call("Input.insertText", json!({"text": HOSTILE}));
        browser.press("Enter", false);
    }
    let paste = "(() => { const data = new DataTransfer(); data.setData('text/plain', 'plain\\n<i>text'); \
                 data.setData('text/html', '<img src=x onerror=\"harm = 1\">'); document.activeElement.dispatchEvent( \
                 new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); })()";
    browser.press("Enter", false);
    browser.value(paste);
    browser.press("Enter", false);
    browser.chord("s", CONTROL);
    let name = browser.value("document.querySelector('h1').textContent").as_str().unwrap().to_owned();
    assert!(name.contains('<'));
    browser.reload();
    assert!(texts(&mut browser)[1].ends_with("plain <i>text"));
    assert_eq!(browser.value("typeof harm"), "undefined");
    assert_eq!(browser.value("document.scripts.length + document.images.length"), 2);
    assert_eq!(browser.value("document.querySelectorAll('#rows i, #rows img, #rows script').length"), 0);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn shows_the_picture_of_a_video_that_was_moved_with_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut transcript = spoken();
    transcript.source = "films/video.webm".into();
    let (browser, path) = opened(folder.path(), &transcript, Media::Linked("video.webm".into()));
    drop(browser);
    let moved = folder.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(path, moved.join("talk.html")).unwrap();
    fs::copy(fixture("audio/video.webm"), moved.join("video.webm")).unwrap();
    let mut browser = Browser::start();
    browser.open(&moved.join("talk.html"), "");
    browser.until("document.body.dataset.media === 'ready' && document.body.matches('.pictured')");
    assert_eq!(browser.value("player.tagName + (player.videoWidth > 0)"), "VIDEOtrue");
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium"]
fn every_control_has_a_role_and_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = opened_spoken(folder.path());
    browser.press("Enter", false);
    let nodes = browser.call("Accessibility.getFullAXTree", json!({}))["nodes"].clone();
    let nodes: Vec<&Value> =
        nodes.as_array().unwrap().iter().filter(|node| node["ignored"] != true).collect();
    let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
    let controls = ["button", "textbox", "searchbox", "combobox", "checkbox", "slider", "link"];
    for node in nodes.iter().filter(|node| controls.contains(&&*role(node))) {
        assert!(!node["name"]["value"].as_str().unwrap_or_default().is_empty(), "{node}");
    }
    let count = |wanted: &str| nodes.iter().filter(|node| role(node) == wanted).count();
    assert_eq!((count("list") >= 1, count("listitem") >= 3), (true, true));
    let named =
        |name: &str| nodes.iter().any(|node| node["name"]["value"] == name && role(node) == "textbox");
    assert!(named("Text at 0:00") && named("Start") && named("End"));
    browser.press("Escape", false);
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.value("document.activeElement.matches('.s')"), true);
    assert_eq!(browser.value(outline), "solid");
    browser.press("?", false);
    assert_eq!(browser.value("help.open && help.contains(document.activeElement)"), true);
    browser.press("Escape", false);
    assert_eq!(browser.value("help.open"), false);
    assert_no_complaints(&browser);
}

/// A transcript of 5,000 segments with ten words each.
fn fifty_thousand_words() -> Transcript {
    let segment = |id: usize| {
        let word = |at: usize| Word {
            word: format!(" word{}", (id * 7 + at * 13) % 997),
            start: id as f64 * 4.0 + at as f64 * 0.35,
            end: id as f64 * 4.0 + at as f64 * 0.35 + 0.35,
            probability: ((id + at) % 10) as f64 / 10.0,
            speaker: None,
        };
        let words: Vec<Word> = (0..10).map(word).collect();
        let text = words.iter().map(|word| word.word.as_str()).collect();
        let (start, end) = (words[0].start, words[9].end);
        Segment { id, start, end, text, words: Some(words), avg_logprob: -0.2, ..Segment::default() }
    };
    let segments: Vec<Segment> = (0..5_000).map(segment).collect();
    let text = segments.iter().map(|segment| segment.text.as_str()).collect();
    Transcript { duration: 20_000.0, text, segments, ..spoken() }
}

#[test]
#[ignore = "needs Chromium"]
fn fifty_thousand_words_stay_fluid() {
    let folder = tempfile::tempdir().unwrap();
    let (mut browser, path) = opened(folder.path(), &fifty_thousand_words(), Media::None);
    let size = fs::metadata(path).unwrap().len() as f64 / 1e6;
    browser.until("performance.getEntriesByName('first-contentful-paint').length");
    let paint = browser.number("performance.getEntriesByName('first-contentful-paint')[0].startTime");
    let loaded = browser.number("performance.getEntriesByType('navigation')[0].loadEventEnd");
    browser.double_click("document.querySelectorAll('.s')[2500].querySelector('.w')", 0.5);
    // From a key to the end of the frame that shows it.
    browser.value(
        "window.delays = []; addEventListener('keydown', () => { const from = performance.now(), channel = new \
         MessageChannel(); channel.port1.onmessage = () => delays.push(performance.now() - from); \
         requestAnimationFrame(() => channel.port2.postMessage(0)); }, true); 0",
    );
    for letter in "typed in the middle".chars() {
        browser.press(&letter.to_string(), false);
        std::thread::sleep(Duration::from_millis(30));
    }
    let mut delays: Vec<f64> = serde_json::from_value(browser.value("delays")).unwrap();
    delays.sort_by(f64::total_cmp);
    let (median, slowest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!(
        "50,000 words, {size:.1} MB: first paint after {paint:.0} ms, loaded after {loaded:.0} ms, a key to its frame \
         {median:.1} ms in the median and {slowest:.1} at most"
    );
    assert!(delays.len() >= 15 && median < 150.0, "{delays:?}");
    browser.press("Enter", false);
    browser.chord("z", CONTROL);
    browser.chord("h", CONTROL);
    browser.type_keys("word1");
    browser.until("hits.textContent !== ''");
    browser.click("replacement", 0.5);
    browser.type_keys("WORD1");
    let started = Instant::now();
    browser.chord("Enter", CONTROL);
    browser.until("note.textContent.startsWith('Replaced')");
    println!("replaced: {} after {:?}", browser.value("note.textContent"), started.elapsed());
    browser.until("state.textContent.includes('kept in this browser')");
    browser.reload();
    assert!(browser.number("document.querySelectorAll('.edited').length") > 1_000.0);
    assert_no_complaints(&browser);
}
