//! Checksums of cached files. The hub's cache names large files by their SHA-256 and small ones by their git hash.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::cancel::CancelToken;
use crate::digest::hex;
use crate::error::Result;
use crate::models::checkpoint::unreadable;

/// Returns the kind of checksum that a name is, by its length; `None` if it is none.
pub fn kind(name: &str) -> Option<&'static str> {
    match name.len() {
        _ if !name.bytes().all(|byte| byte.is_ascii_hexdigit()) => None,
        64 => Some("SHA-256"),
        // Git hashes the content after a preamble.
        40 => Some("git"),
        _ => None,
    }
}

/// Returns how the content of a file differs from the checksum in its name, if it does. `on_bytes` receives the number
/// of bytes read so far.
pub fn mismatch(
    model: &str,
    path: &Path,
    name: &str,
    cancel: &CancelToken,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<Option<String>> {
    let Some(kind) = kind(name) else { return Ok(None) };
    let digest = if kind == "git" {
        let length = path.metadata().map_err(|e| unreadable(model, path, e))?.len();
        digest(model, path, Sha1::new_with_prefix(format!("blob {length}\0")), cancel, on_bytes)?
    } else {
        digest(model, path, Sha256::new(), cancel, on_bytes)?
    };
    let differs = !digest.eq_ignore_ascii_case(name);
    Ok(differs.then(|| format!("its {kind} checksum is {digest} instead of {name}")))
}

fn digest(
    model: &str,
    path: &Path,
    mut digest: impl Digest,
    cancel: &CancelToken,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<String> {
    let unreadable = |e| unreadable(model, path, e);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        cancel.check()?;
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok(hex(&digest.finalize())),
            read => {
                digest.update(&buffer[..read]);
                done += read as u64;
                on_bytes(done);
            }
        }
    }
}
