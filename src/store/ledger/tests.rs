//! Which outputs are up to date, outdated or foreign, whatever happened to the ledger.

use std::fs::File;

use super::*;

struct LedgerFolder(tempfile::TempDir);

impl LedgerFolder {
    /// With an input and two outputs that were recorded and written.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.at("talk.mp3"), b"sound").unwrap();
        folder.write_outputs("options", &ExportOptions::default(), b"text");
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn record(&self, options: &str, export: &ExportOptions, content: &[u8]) {
        let input = self.at("talk.mp3");
        let fingerprint = serde_json::json!({
            "format": 1, "program": env!("CARGO_PKG_VERSION"), "model": "demo@1", "device": "cpu",
            "options": options, "input": InputDigest::of(&input).unwrap(),
        });
        let snapshot = InputSnapshot {
            fingerprint: serde_json::from_value(fingerprint).unwrap(),
            modified: modified(&input),
        };
        let (srt, txt) = (self.at("talk.srt"), self.at("talk.txt"));
        let outputs = [(Format::Srt, &*srt, content.to_vec()), (Format::Txt, &*txt, content.to_vec())];
        record_outputs(&snapshot, "demo", export, &outputs);
    }

    fn write_outputs(&self, options: &str, export: &ExportOptions, content: &[u8]) {
        self.record(options, export, content);
        fs::write(self.at("talk.srt"), content).unwrap();
        fs::write(self.at("talk.txt"), content).unwrap();
    }

    fn states(&self, model: Option<&str>, options: &str, export: &ExportOptions) -> [OutputState; 2] {
        let input = self.at("talk.mp3");
        let current = CurrentProvenance { name: "demo", model, options, input: &input };
        let mut reader = LedgerReader::default();
        [("talk.srt", Format::Srt), ("talk.txt", Format::Txt)]
            .map(|(name, format)| reader.state(&self.at(name), format, export, &current))
    }

    fn state(&self) -> OutputState {
        self.states(Some("demo@1"), "options", &ExportOptions::default())[0]
    }
}

#[test]
fn outputs_are_up_to_date_until_model_options_or_look_change() {
    let folder = LedgerFolder::new();
    let (plain, wide) =
        (ExportOptions::default(), ExportOptions { max_line_width: Some(30), ..ExportOptions::default() });
    assert_eq!(folder.states(Some("demo@1"), "options", &plain), [OutputState::UpToDate; 2]);
    assert_eq!(folder.states(None, "options", &plain), [OutputState::UpToDate; 2]);
    let other = OutputState::Outdated("the model has changed");
    assert_eq!(folder.states(Some("demo@2"), "options", &plain), [other; 2]);
    let other = OutputState::Outdated("options that affect the text have changed");
    assert_eq!(folder.states(Some("demo@1"), "more", &plain), [other; 2]);
    // Plain text has no line width.
    let other = OutputState::Outdated("options that affect its formatting have changed");
    assert_eq!(folder.states(Some("demo@1"), "options", &wide), [other, OutputState::UpToDate]);
    fs::remove_file(folder.at("talk.srt")).unwrap();
    assert_eq!(
        folder.states(Some("demo@1"), "options", &plain),
        [OutputState::Missing, OutputState::UpToDate]
    );
}

#[test]
fn an_input_is_compared_by_its_content() {
    let folder = LedgerFolder::new();
    // A copy with another time.
    let file = File::options().write(true).open(folder.at("talk.mp3")).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
    assert_eq!(folder.state(), OutputState::UpToDate);
    fs::write(folder.at("talk.mp3"), b"noise").unwrap();
    assert_eq!(folder.state(), OutputState::Outdated("the input has changed"));
}

#[test]
fn edited_outputs_are_foreign() {
    let folder = LedgerFolder::new();
    fs::write(folder.at("talk.srt"), b"better").unwrap();
    assert_eq!(folder.state(), OutputState::Foreign("it was edited after it was written"));
    fs::remove_file(folder.at(NAME)).unwrap();
    assert_eq!(folder.state(), OutputState::Foreign("it is not in the ledger of its folder"));
}

#[test]
fn a_kill_between_record_and_outputs_makes_no_output_foreign() {
    let folder = LedgerFolder::new();
    folder.record("others", &ExportOptions::default(), b"other text");
    // The old outputs are still there and in the ledger.
    assert_eq!(folder.state(), OutputState::UpToDate);
    let others = folder.states(Some("demo@1"), "others", &ExportOptions::default());
    assert_eq!(others, [OutputState::Outdated("options that affect the text have changed"); 2]);
    fs::write(folder.at("talk.srt"), b"other text").unwrap();
    let [srt, txt] = folder.states(Some("demo@1"), "others", &ExportOptions::default());
    assert_eq!(
        (srt, txt),
        (OutputState::UpToDate, OutputState::Outdated("options that affect the text have changed"))
    );
}

#[test]
fn a_damaged_record_costs_only_itself() {
    let folder = LedgerFolder::new();
    let whole = fs::read(folder.at(NAME)).unwrap();
    // Cut off by a kill, and then appended to.
    for length in [1, 9, whole.len() / 2, whole.len() - 1] {
        fs::write(folder.at(NAME), &whole[..length]).unwrap();
        if length < whole.len() - 1 {
            assert!(matches!(folder.state(), OutputState::Foreign(_)), "{length}");
        }
        folder.record("options", &ExportOptions::default(), b"text");
        assert_eq!(folder.state(), OutputState::UpToDate, "{length}");
    }
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    fs::write(folder.at(NAME), [&flipped[..], b"\xff\xfe rubbish\n", &whole].concat()).unwrap();
    assert_eq!(folder.state(), OutputState::UpToDate);
}

#[test]
fn several_threads_append_at_once() {
    let folder = LedgerFolder::new();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let folder = &folder;
            scope.spawn(move || {
                for line in 0..20 {
                    folder.record(&format!("{writer} {line}"), &ExportOptions::default(), b"text");
                }
            });
        }
    });
    let content = fs::read(folder.at(NAME)).unwrap();
    let intact = records::<LedgerEntry>(&content).filter(|(entry, _)| entry.is_some());
    assert_eq!(intact.count(), 161);
}

#[test]
#[cfg(unix)]
fn does_not_write_through_links_and_tolerates_folders() {
    let folder = LedgerFolder::new();
    fs::remove_file(folder.at(NAME)).unwrap();
    fs::write(folder.at("mine"), b"mine").unwrap();
    std::os::unix::fs::symlink("mine", folder.at(NAME)).unwrap();
    folder.record("options", &ExportOptions::default(), b"text");
    assert_eq!(fs::read(folder.at("mine")).unwrap(), b"mine");
    fs::remove_file(folder.at(NAME)).unwrap();
    fs::create_dir(folder.at(NAME)).unwrap();
    folder.record("options", &ExportOptions::default(), b"text");
    assert!(matches!(folder.state(), OutputState::Foreign(_)));
}

#[test]
#[cfg(unix)]
fn names_that_are_not_utf8_have_distinct_keys() {
    use std::os::unix::ffi::OsStrExt;
    let keys =
        [&b"a"[..], b"caf\xe9", b"caf\xe8", "caf\u{fffd}".as_bytes()].map(|b| key(OsStr::from_bytes(b)));
    let unique: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(unique.len(), 4, "{keys:?}");
}

/// An entry as version 0.1.0 has written it.
#[test]
fn reads_entries_of_earlier_builds() {
    let folder = LedgerFolder::new();
    let current = fs::read_to_string(folder.at(NAME)).unwrap();
    let entry: serde_json::Value = serde_json::from_str(current.split_once(' ').unwrap().1).unwrap();
    let outputs = entry["outputs"].as_array().unwrap();
    assert_eq!(outputs[0]["look"], "33daca4b9829108d");
    assert_eq!(outputs[1]["look"], "a465d96f606d4f54");
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&entry), ["program", "name", "model", "options", "input", "modified", "outputs"]);
    assert_eq!(keys(&entry["input"]), ["bytes", "sha256"]);
    assert_eq!(keys(&outputs[0]), ["name", "bytes", "sha256", "look"]);
}
