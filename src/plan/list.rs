//! Lists of input names: one per line, or each ended by NUL as `find -print0` writes them.

use std::path::PathBuf;

/// Returns the names and their line numbers. Skips blank lines and lines that begin with `#`.
pub fn names(content: &[u8]) -> Vec<(usize, PathBuf)> {
    if content.contains(&0) {
        let names = content.split(|byte| *byte == 0).enumerate().filter(|(_, name)| !name.is_empty());
        return names.map(|(index, name)| (index + 1, path(name))).collect();
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.map(|(index, line)| (index + 1, line.strip_suffix(b"\r").unwrap_or(line)));
    let is_name = |line: &[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
    lines.filter(|(_, line)| is_name(line)).map(|(number, line)| (number, path(line))).collect()
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_from_editors_and_from_find() {
        let named = |content: &[u8]| {
            let names = names(content).into_iter();
            names.map(|(line, name)| format!("{line}:{}", name.display())).collect::<Vec<_>>()
        };
        assert_eq!(
            named(b"\xef\xbb\xbfa b.mp3\r\n\r\n# no\r\n ./#yes \r\nlast"),
            ["1:a b.mp3", "4: ./#yes ", "5:last"]
        );
        assert_eq!(named(b"a\nb\0#c\0\0"), ["1:a\nb", "2:#c"]);
        assert!(named(b"").is_empty() && named(b"\n \n").is_empty());
    }
}
