//! Pages: what they hold, that nothing in a text can do harm, and in a real Chromium that they do what they promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use transcribe::export::{Format, Media, Shape, page};
use transcribe::transcript::{Seam, SkipReason, Skipped, Transcript, Waveform};

use crate::export::spoken;
use crate::program::{bare, demo, fixture, run};

fn written(transcript: &Transcript) -> String {
    String::from_utf8(Format::Html.exporter().write(transcript, &Shape::default())).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between the first of these and the next of those.
fn between<'p>(page: &'p str, from: &str, to: &str) -> &'p str {
    let rest = page.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

const HOSTILE: &str =
    "</script><script>window.harm = 1</script>{{script}}<img src=x onerror='harm = 1'>&amp;\" \u{2028}x";

fn hostile() -> Transcript {
    let mut transcript = spoken();
    transcript.source = format!("a\"'{HOSTILE}.mp3");
    transcript.language = "\"><b>".into();
    transcript.model.name = HOSTILE.into();
    transcript.segments[0].language = Some("'\"><i>".into());
    transcript.segments[0].words = None;
    transcript.segments[0].text = HOSTILE.into();
    transcript.segments[1].words.as_mut().unwrap()[0].word = format!(" {HOSTILE}");
    transcript
}

#[test]
fn texts_stay_texts() {
    let page = written(&hostile());
    // Its own scripts and no other elements.
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    for element in ["<img", "<i>", "<b>\"", "onerror='"] {
        assert!(!page.contains(element), "{element}");
    }
    assert_eq!(page.matches("{{script}}").count(), 5);
    assert!(page.contains("<p class=\"facts\">1:00 · language &quot;&gt;&lt;b&gt; · model &lt;/script&gt;"));
}

#[test]
fn only_its_own_script_and_styles_may_work_in_it() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use sha2::{Digest, Sha256};
    let page = written(&spoken());
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (script, style) = (between(&page, "<script>", "</script>"), between(&page, "<style>", "</style>"));
    assert!(policy.contains(&format!("default-src 'none'; script-src {}; ", hash(script))), "{policy}");
    assert!(policy.contains(&format!("style-src {};", hash(style))), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    // Nothing to be fetched from anywhere.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url(\""));
    assert!(!script.contains("innerHTML"));
}

#[test]
fn what_is_known_is_drawn_and_listed() {
    let mut transcript = spoken();
    transcript.duration = 20.0;
    transcript.waveform = Some(Waveform { samples_per_pair: 160_000, pairs: vec![(-10, 20), (0, 0)] });
    transcript.seams = vec![Seam { at: 5.0, follows: false }, Seam { at: 15.0, follows: true }];
    let skipped = |start, end, why| Skipped { start, end, why };
    transcript.skipped =
        vec![skipped(10.0, 12.0, SkipReason::Silence), skipped(18.0, 20.0, SkipReason::NotAskedFor)];
    transcript.speech = Some(vec![(0.0, 9.0), (12.5, 17.5)]);
    transcript.segments[1].words.as_mut().unwrap().iter_mut().for_each(|word| word.probability = 0.1);
    let page = written(&transcript);
    let wave = between(&page, "<svg id=\"wave\"", "</svg>");
    assert!(wave.contains("viewBox=\"0 0 2 300\""));
    assert!(wave.contains("d=\"M0 128V0h1V127h1V129h-1V192h-1Z\""), "{wave}");
    assert!(wave.contains("<path class=\"seam\" d=\"M0.5 0V256\"/>"));
    assert!(wave.contains("<path class=\"seam on\" d=\"M1.5 0V256\"/>"));
    assert!(wave.contains("<rect class=\"silence\" x=\"1\" width=\"0.2\""));
    assert!(wave.contains("<rect class=\"unasked\" x=\"1.8\" width=\"0.2\""));
    assert!(wave.contains("class=\"doubt low\"") && wave.contains("class=\"doubt dropped\""));
    let lists = between(&page, "<h2>To check</h2>", "</aside>");
    for link in [
        "<a href=\"#t=2.44\"><b>0:02–0:03</b> <span class=\"note\">10 %</span> <q dir=\"auto\">The door is blue.</q></a>",
        "<a href=\"#t=12.5\"><b>0:12–0:17</b></a>",
        "<a href=\"#t=10\"><b>0:10–0:12</b> <span class=\"note\">2.0 s</span></a>",
        "<a href=\"#t=18\"><b>0:18–0:20</b> <span class=\"note\">2.0 s</span></a>",
    ] {
        assert!(lists.contains(link), "{link}\n{lists}");
    }
    let text = between(&page, "<article", "</article>");
    assert!(
        text.contains("<span class=\"w c0\" data-t=2.22 data-u=2.54 data-p=10>The</span> <span"),
        "{text}"
    );
}

#[test]
fn each_language_is_marked_where_it_begins() {
    let mut transcript = spoken();
    let languages = ["en", "ar", "ar"];
    transcript.segments.iter_mut().zip(languages).for_each(|(s, code)| s.language = Some(code.into()));
    transcript.language = "en".into();
    let page = written(&transcript);
    let text = between(&page, "<article", "</article>");
    assert_eq!(text.matches("<span class=\"language\">ar</span>").count(), 1);
    assert_eq!(text.matches("<span class=\"language\">").count(), 1);
    assert_eq!(text.matches("dir=\"auto\" lang=\"ar\"").count(), 2);
    assert!(!written(&spoken()).contains("<span class=\"language\">"));
}

#[test]
fn text_of_which_nobody_knows_how_sure_it_is_is_not_shaded() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("talk.srt"), "1\n00:00:01,000 --> 00:00:02,500\nHi & \"you\"\n").unwrap();
    let mut program = bare();
    program.arg("export").arg(at("talk.srt")).args(["--export", "html"]);
    assert!(run(program).status.success());
    let page = read(&at("talk.html"));
    assert!(page.contains("data-rated=\"no\""));
    assert!(page.contains("<span class=\"w\" data-t=1 data-u=2.5>Hi &amp; &quot;you&quot;</span>"));
}

#[test]
fn an_embedded_recording_is_all_there() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let bytes = fs::read(fixture("long/short_en.flac")).unwrap();
    let page = String::from_utf8(page(&spoken(), Media::Embedded(bytes.clone()))).unwrap();
    let held = between(&page, "id=\"recording\" data-kind=\"audio/flac\">", "</script>");
    assert_eq!(BASE64_STANDARD.decode(held).unwrap(), bytes);
    assert!(page.contains("<audio id=\"player\" preload=\"metadata\"></audio>"));
}

/// A recording of a bad name, and the command that makes a page of it.
fn recording(folder: &Path) -> (PathBuf, Command) {
    let input = folder.join("Gespräch #1 & 50% <b>'x'.flac");
    fs::copy(fixture("long/long_en_hole.flac"), &input).unwrap();
    let mut program = demo();
    program.arg(&input).args(["--export", "html,json", "--word-timestamps", "--language", "en", "--vad"]);
    program.args(["--chunk-length", "20", "--overwrite", "--output-dir"]).arg(folder.join("out"));
    (folder.join("out").join(input.with_extension("html").file_name().unwrap()), program)
}

#[test]
#[cfg(unix)]
fn the_same_command_makes_the_same_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = [1, 2].map(|_| {
        let (page, program) = recording(folder.path());
        assert!(run(program).status.success());
        read(&page)
    });
    assert!(pages[0] == pages[1]);
    let page = &pages[0];
    assert!(page.contains(" src=\"../Gespr%C3%A4ch%20%231%20%26%2050%25%20%3Cb%3E%27x%27.flac\""));
    assert!(page.contains("<title>Gespräch #1 &amp; 50% &lt;b&gt;&#39;x&#39;.flac</title>"));
    let wave = between(page, "<svg id=\"wave\"", "</svg>");
    assert!(wave.matches("class=\"seam\"").count() >= 3);
    assert!(wave.contains("class=\"silence\""));
    let path = between(wave, "class=\"all\" d=\"", "\"");
    assert!((1_000..=2_000).contains(&path.matches("h1").count()));
}

#[cfg(unix)]
mod in_chromium {
    use super::*;
    use crate::browser::Browser;

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
        let start =
            json["segments"][2]["words"].as_array().unwrap().last().unwrap()["start"].as_f64().unwrap();
        near(browser.number("sought[0]"), start);
        browser.until(&format!("!player.paused && player.currentTime > {start}"));
        assert_eq!(browser.value("document.body.className.includes('plays-now')"), true);

        browser.press(" ", false);
        browser.until("player.paused");
        browser.value(&format!("player.currentTime = {start}; 0"));
        browser.until(&format!(
            "!player.seeking && {word}.matches('.now') && {word}.closest('.s').matches('.now')"
        ));
        browser.press("ArrowRight", false);
        near(browser.number("player.currentTime"), start + 5.0);
        browser.press("ArrowLeft", false);
        near(browser.number("player.currentTime"), start);
        browser.press("ArrowDown", false);
        near(browser.number("player.currentTime"), json["segments"][3]["start"].as_f64().unwrap());
        browser.press("ArrowRight", true);
        near(
            browser.number("player.currentTime"),
            json["segments"][3]["words"][1]["start"].as_f64().unwrap(),
        );

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
        let texts =
            json["segments"].as_array().unwrap().iter().map(|segment| segment["text"].as_str().unwrap());
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
}
