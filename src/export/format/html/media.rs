//! The player of a page, and the recording that it plays.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::escape::escaped;
use crate::export::Media;

/// The extensions of files that usually have a picture.
const VIDEO: [&str; 17] = [
    "3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob",
    "webm", "wmv",
];

/// Returns the name of the element that plays a file of this name.
pub fn player(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    match VIDEO.iter().any(|video| extension.eq_ignore_ascii_case(video)) {
        true => "video",
        false => "audio",
    }
}

/// Returns the `src` attribute of the player and the element that holds an embedded recording.
pub fn markup(media: Media, player: &str) -> (String, String) {
    match media {
        Media::None => Default::default(),
        Media::Linked(url) => (format!(" src=\"{}\"", escaped(&url)), String::new()),
        // The script makes a blob of it: browsers accept only short data URLs.
        Media::Embedded(bytes) => {
            let kind = media_type(&bytes);
            // These containers hold either.
            let kind = match kind {
                "audio/mp4" | "audio/ogg" | "audio/webm" => kind.replace("audio", player),
                kind => kind.into(),
            };
            let mut element = format!("<script type=\"text/plain\" id=\"recording\" data-kind=\"{kind}\">");
            BASE64_STANDARD.encode_string(bytes, &mut element);
            element.push_str("</script>\n");
            (String::new(), element)
        }
    }
}

/// Returns the media type of a file by its first bytes, since not every browser detects it.
fn media_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'R', b'I', b'F', b'F', ..] => "audio/wav",
        [b'f', b'L', b'a', b'C', ..] => "audio/flac",
        [b'O', b'g', b'g', b'S', ..] => "audio/ogg",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "audio/webm",
        [b'F', b'O', b'R', b'M', ..] => "audio/aiff",
        [b'c', b'a', b'f', b'f', ..] => "audio/x-caf",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "audio/mp4",
        [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, ..] => "audio/aac",
        [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..] => "audio/mpeg",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_picture_of_videos() {
        let names = ["talk.mp4", "talk.MKV", "a.mp4/talk.mp3", "talk", "mp4", "talk.m4a"];
        assert_eq!(names.map(player), ["video", "video", "audio", "audio", "audio", "audio"]);
        let webm = || Media::Embedded(vec![0x1a, 0x45, 0xdf, 0xa3]);
        assert!(markup(webm(), "video").1.contains("data-kind=\"video/webm\""));
        assert!(markup(webm(), "audio").1.contains("data-kind=\"audio/webm\""));
    }
}
