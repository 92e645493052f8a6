//! The audio room on real files: every format against ffmpeg's lengths and the original's sound, damage, streams.

use transcribe::audio::{AudioInput, AudioOptions};

fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio").join(name)
}

#[test]
fn look() {
    let text = std::fs::read_to_string(path("expected.json")).unwrap();
    let all: std::collections::BTreeMap<String, i64> = serde_json::from_str(&text).unwrap();
    let mut names: Vec<(String, i64)> = all.into_iter().collect();
    for e in std::fs::read_dir(path("damaged")).unwrap() {
        names.push((format!("damaged/{}", e.unwrap().file_name().to_str().unwrap()), 0));
    }
    if let Ok(more) = std::env::var("LOOK") {
        names = more.split(' ').map(|n| (n.to_owned(), 0)).collect();
    }
    for (name, want) in names {
        let read = || -> transcribe::error::Result<String> {
            let input = AudioInput::file(path(&name))?;
            let mut reader = input.open(&AudioOptions::default())?;
            let hint = reader.duration_hint();
            let mut n = 0i64;
            while let Some(b) = reader.next_block()? {
                n += b.len() as i64;
            }
            Ok(format!("{n:6} {:+5} {hint:?} {:?}", n - want, reader.damage()))
        };
        println!("{name:40} {}", read().unwrap_or_else(|e| format!("{e}")));
    }
}
