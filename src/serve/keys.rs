//! API keys: who may do what.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Submit recordings, and see and cancel what was submitted with the same key.
    Submit,
    /// See all jobs, metrics and details of the machine.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    pub fn name(self) -> &'static str {
        match self {
            Scope::Submit => "submit",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Scope::Submit, Scope::Read, Scope::Admin].into_iter().find(|scope| scope.name() == name)
    }
}

/// Whoever sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key; none where no key is asked for.
    pub name: Option<String>,
    scopes: BTreeSet<Scope>,
}

impl Caller {
    /// Returns the caller of a server that asks for no key.
    pub fn anonymous() -> Self {
        Self { name: None, scopes: [Scope::Admin].into() }
    }

    /// Returns the caller of a path that is open to all, without a key.
    pub fn nobody() -> Self {
        Self { name: None, scopes: BTreeSet::new() }
    }

    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether it may see a job that was submitted by this owner.
    pub fn may_read(&self, owner: Option<&str>) -> bool {
        self.has(Scope::Read) || self.owns(owner)
    }

    /// Whether it may cancel and delete such a job.
    pub fn may_change(&self, owner: Option<&str>) -> bool {
        self.has(Scope::Admin) || (self.has(Scope::Submit) && self.owns(owner))
    }

    fn owns(&self, owner: Option<&str>) -> bool {
        self.name.is_some() && self.name.as_deref() == owner
    }
}

#[derive(Debug)]
struct ApiKey {
    digest: [u8; 32],
    caller: Caller,
}

/// The keys that a server accepts; none if it asks for none.
#[derive(Debug, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// Reads a file with a line for each key: its name, its scopes separated by commas, and the key itself or
    /// `sha256:` with its digest.
    pub fn read(path: &Path) -> Result<Self> {
        let what = || format!("`--api-keys {}`", path.display());
        let content = fs::read_to_string(path)
            .map_err(|error| Error::usage(what(), format!("cannot be read: {error}")))?;
        let fault = |line: usize, why: String| Error::Usage {
            what: format!("{}: line {}", what(), line + 1),
            why,
            hint: Some("write `NAME SCOPES KEY`, as in `anna submit,read 6f1c…`".into()),
        };
        let mut keys = Vec::new();
        let mut names = BTreeSet::new();
        for (number, line) in content.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let [name, scopes, key] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(fault(number, "does not have a name, scopes and a key".into()));
            };
            let scopes = scopes.split(',').map(|scope| {
                Scope::named(scope)
                    .ok_or_else(|| fault(number, format!("`{scope}` is none of submit, read and admin")))
            });
            let scopes = scopes.collect::<Result<BTreeSet<_>>>()?;
            let digest = match key.strip_prefix("sha256:") {
                Some(digest) => {
                    parse_digest(digest).ok_or_else(|| fault(number, "is not a SHA-256 digest".into()))?
                }
                None if key.len() < 16 => {
                    return Err(fault(number, "has a key of less than 16 characters".into()));
                }
                None => Sha256::digest(key).into(),
            };
            if !names.insert(name.to_owned()) {
                return Err(fault(number, format!("repeats the name `{name}`")));
            }
            keys.push(ApiKey { digest, caller: Caller { name: Some(name.to_owned()), scopes } });
        }
        match keys.is_empty() {
            true => Err(Error::usage(what(), "has no key")),
            false => Ok(Self(keys)),
        }
    }

    /// Whether no key is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns who has this key. Takes the same time whichever key is compared, and wherever it differs.
    pub fn caller(&self, key: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.digest.ct_eq(&digest)) {
                found = Some(known.caller.clone());
            }
        }
        found
    }
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (at, byte) in digest.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    is_hex.then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256_hex;

    fn keys(content: &str) -> Result<ApiKeys> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        ApiKeys::read(file.path())
    }

    #[test]
    fn keys_have_names_and_scopes() {
        let digest = sha256_hex(b"the key of the monitor");
        let content = format!(
            "# name scopes key\nanna submit 0123456789abcdef0\n\nmonitor read sha256:{digest}\nroot admin fedcba9876543210f\n"
        );
        let keys = keys(&content).unwrap();
        let anna = keys.caller("0123456789abcdef0").unwrap();
        assert!(anna.has(Scope::Submit) && !anna.has(Scope::Read) && !anna.has(Scope::Admin));
        assert!(anna.may_read(Some("anna")) && anna.may_change(Some("anna")));
        assert!(!anna.may_read(Some("bert")) && !anna.may_read(None));
        let monitor = keys.caller("the key of the monitor").unwrap();
        assert!(monitor.may_read(Some("anna")) && !monitor.may_change(Some("anna")));
        assert!(keys.caller("fedcba9876543210f").unwrap().may_change(Some("anna")));
        assert_eq!(keys.caller("0123456789abcdef"), None);
        assert_eq!(keys.caller(&format!("sha256:{digest}")), None);
        assert!(Caller::anonymous().may_change(None));
    }

    #[test]
    fn faults_name_the_line() {
        let cases = [
            ("anna submit", "line 1: does not have"),
            ("\nanna write 0123456789abcdef0", "line 2: `write`"),
            ("anna submit short", "less than 16"),
            ("anna submit sha256:12", "SHA-256"),
            ("a submit 0123456789abcdef0\na read 0123456789abcdef1", "line 2: repeats the name `a`"),
            ("# nobody", "has no key"),
        ];
        for (content, expected) in cases {
            let error = keys(content).unwrap_err().to_string();
            assert!(error.contains(expected), "{content}: {error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
        }
    }
}
