//! Renders one output of one input, which for an HTML page includes its audio and waveform, and writes it.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::waveform::WaveformBuilder;
use super::{DoneMove, RunContext, RunEvent};
use crate::audio::{AudioInput, AudioOptions, AudioReader};
use crate::error::{Error, Result};
use crate::export::{Format, HtmlAudio, Media, Rendering};
use crate::plan::{InputName, InputSource, PlannedInput};
use crate::store::write_file;
use crate::transcript::{Transcript, Waveform};

/// The largest recording that a page embeds, in bytes.
const MAX_EMBEDDED: u64 = 128 << 20;

/// Whether an output shows the waveform, or it is kept.
pub fn needs_waveform(item: &PlannedInput) -> bool {
    let formats = item.outputs.iter().map(|(format, _)| *format).chain(item.printed);
    item.waveform.is_some() || formats.into_iter().any(Format::plays_media)
}

/// Returns the bytes of an output; `source` is where the audio comes from, and `moves` where it will go.
pub fn render(
    format: Format,
    path: &Path,
    rendering: &Rendering<'_>,
    source: &InputSource,
    moves: Option<&DoneMove>,
    context: RunContext<'_>,
) -> Vec<u8> {
    if !format.plays_media() {
        return format.write(rendering);
    }
    let (media, lacks) = media(rendering.options().html_audio, path, source, moves);
    if let Some(why) = lacks {
        context.emit(RunEvent::AudioNotEmbedded { page: path.to_owned(), why });
    }
    format.write_with_media(rendering, media)
}

/// Returns the bytes of the output that is printed, if one is.
pub fn render_printed(
    item: &PlannedInput,
    rendering: &Rendering<'_>,
    source: &InputSource,
    context: RunContext<'_>,
) -> Option<Arc<[u8]>> {
    // Links of a page start at the working folder.
    Some(render(item.printed?, Path::new("-"), rendering, source, None, context).into())
}

pub fn write(input: &InputName, path: &Path, content: &[u8], context: RunContext<'_>) -> Result<()> {
    write_file(path, content)?;
    context.emit(RunEvent::OutputWritten { input: input.clone(), path: path.to_owned() });
    Ok(())
}

/// Creates the folders of outputs that have been named only now.
pub fn create_folders(item: &PlannedInput) -> Result<()> {
    for (_, path) in &item.outputs {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let created = folder.map_or(Ok(()), std::fs::create_dir_all);
        created.map_err(|source| Error::Output { path: path.clone(), source })?;
    }
    Ok(())
}

/// Returns what the page plays, and why it is not what was asked for.
fn media(
    asked: HtmlAudio,
    page: &Path,
    source: &InputSource,
    moves: Option<&DoneMove>,
) -> (Media, Option<String>) {
    let InputSource::File(recording) = source else {
        let lacks = (asked == HtmlAudio::Embed).then(|| "there is no file to take it from".into());
        return (Media::None, lacks);
    };
    match asked {
        HtmlAudio::None => (Media::None, None),
        HtmlAudio::Link => (linked(page, recording, moves), None),
        HtmlAudio::Embed => match embedded(recording) {
            Ok(bytes) => (Media::Embedded(bytes), None),
            Err(why) => (linked(page, recording, moves), Some(format!("{why}; it is linked"))),
        },
    }
}

fn embedded(recording: &Path) -> Result<Vec<u8>, String> {
    let unread = |error: io::Error| format!("`{}` cannot be read: {error}", recording.display());
    let bytes = recording.metadata().map_err(unread)?.len();
    if bytes > MAX_EMBEDDED {
        let (has, most) = (bytes.div_ceil(1 << 20), MAX_EMBEDDED >> 20);
        return Err(format!("`{}` has {has} MiB, and a page takes up to {most}", recording.display()));
    }
    std::fs::read(recording).map_err(unread)
}

/// Links a regular file; a pipe could not be read again.
fn linked(page: &Path, recording: &Path, moves: Option<&DoneMove>) -> Media {
    let target = moves.map(|moves| moves.target(recording));
    match recording.is_file() {
        true => Media::Linked(link(page, target.as_deref().unwrap_or(recording))),
        false => Media::None,
    }
}

/// Returns the URL of the recording relative to the page, so that both can be moved together.
fn link(page: &Path, recording: &Path) -> String {
    let (page, recording) = (real(page), real(recording));
    let (mut from, mut to) = (page.parent().unwrap_or(&page).components(), recording.components());
    let (mut left, mut right) = (from.clone(), to.clone());
    while let (Some(a), Some(b)) = (left.next(), right.next()) {
        if a != b {
            break;
        }
        (from, to) = (left.clone(), right.clone());
    }
    let is_apart = to.clone().any(|part| matches!(part, Component::Prefix(_) | Component::RootDir));
    if is_apart {
        return absolute(&recording);
    }
    let names = from.map(|_| "..".to_owned()).chain(to.map(|part| encoded(part.as_os_str())));
    names.collect::<Vec<_>>().join("/")
}

/// Returns the URL of a recording on another drive.
fn absolute(recording: &Path) -> String {
    let names = recording.components().filter_map(|part| match part {
        Component::Prefix(drive) => {
            Some(drive.as_os_str().to_string_lossy().trim_start_matches(r"\\?\").to_owned())
        }
        Component::RootDir => None,
        part => Some(encoded(part.as_os_str())),
    });
    format!("file:///{}", names.collect::<Vec<_>>().join("/"))
}

/// Resolves the folder of a path; the file itself may be a symbolic link.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    folder.unwrap_or_default().join(path.file_name().unwrap_or_default())
}

/// Percent-encodes a name for a URL.
fn encoded(name: &OsStr) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.as_encoded_bytes()
        .iter()
        .map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Finds the recording of an imported transcript beside it, and draws its waveform.
pub fn recording_of(
    input: &InputSource,
    transcript: &Transcript,
    context: RunContext<'_>,
) -> Result<Option<(InputSource, Waveform)>> {
    let name = Path::new(&transcript.source);
    let InputSource::File(input) = input else { return Ok(None) };
    // Only this program writes the name of the recording, without its folder.
    if name.file_name() != Some(name.as_os_str()) || input.file_name() == name.file_name() {
        return Ok(None);
    }
    let path = input.with_file_name(name);
    let opened = AudioInput::file_cancellable(&path, context.cancel)
        .and_then(|audio| audio.open(&AudioOptions::default()));
    match opened.and_then(|reader| drawn(reader, context)) {
        Ok(waveform) => Ok(Some((InputSource::File(path), waveform))),
        Err(error @ Error::Cancelled(_)) => Err(error),
        // The recording is gone, or the file is something else.
        Err(_) => Ok(None),
    }
}

fn drawn(mut reader: AudioReader, context: RunContext<'_>) -> Result<Waveform> {
    let mut waveform = WaveformBuilder::new();
    while let Some(block) = reader.next_block()? {
        context.check()?;
        waveform.push(block);
    }
    Ok(waveform.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_to_the_page() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::create_dir_all(at("c")).unwrap();
        let cases = [
            ("a/talk.html", "a/talk.mp3", "talk.mp3"),
            ("a/b/talk.html", "a/talk.mp3", "../talk.mp3"),
            ("a/talk.html", "a/b/talk.mp3", "b/talk.mp3"),
            ("a/b/talk.html", "c/talk.mp3", "../../c/talk.mp3"),
            ("a/b/../talk.html", "a/../c/talk.mp3", "../c/talk.mp3"),
            ("a/x.html", "a/50% #1?: \"é\"&<.mp3", "50%25%20%231%3F%3A%20%22%C3%A9%22%26%3C.mp3"),
        ];
        for (page, recording, expected) in cases {
            assert_eq!(link(&at(page), &at(recording)), expected, "{page} {recording}");
        }
        assert_eq!(absolute(Path::new("/a b/c.mp3")), "file:///a%20b/c.mp3");
    }

    #[test]
    fn links_recordings_that_are_too_large_to_embed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.mp3");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(MAX_EMBEDDED + 1).unwrap();
        let page = folder.path().join("talk.html");
        let (found, lacks) = media(HtmlAudio::Embed, &page, &InputSource::File(path.clone()), None);
        assert_eq!(found, Media::Linked("talk.mp3".into()));
        assert!(lacks.unwrap().ends_with("has 129 MiB, and a page takes up to 128; it is linked"));
        file.set_len(3).unwrap();
        let (found, lacks) = media(HtmlAudio::Embed, &page, &InputSource::File(path), None);
        assert_eq!((found, lacks), (Media::Embedded(vec![0; 3]), None));
        let (found, lacks) = media(HtmlAudio::Embed, &page, &InputSource::Stdin, None);
        assert_eq!((found, lacks.as_deref()), (Media::None, Some("there is no file to take it from")));
    }
}
