//! Why a CUDA device cannot be used, in one line, and what helps.

use std::fmt;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    NoDriver,
    /// The driver or a library is there; what the loader says against it.
    Unloadable {
        library: String,
        said: String,
    },
    /// CUDA's versions: of the driver, and of this build.
    OldDriver {
        has: Version,
        needs: Version,
    },
    /// What `CUDA_VISIBLE_DEVICES` says, if it is set.
    NoDevice {
        visible: Option<String>,
    },
    NoSuchDevice {
        count: usize,
        visible: Option<String>,
    },
    /// Older than Ampere.
    TooOld {
        name: String,
        capability: Version,
    },
    /// The kernels were compiled for another kind, which their text calls `target`.
    OtherKind {
        name: String,
        capability: Version,
        target: String,
    },
    /// After looking in so many folders.
    NoLibrary {
        library: String,
        folders: usize,
        major: u32,
    },
    /// The administrator's compute mode forbids all programs to compute on it.
    Forbidden,
    InUse,
    NoMemory,
    /// Whatever else the driver or a library answers.
    Failed {
        during: &'static str,
        said: String,
    },
}

/// Major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// From CUDA's number, as in 13020 for 13.2.
    pub fn of_driver(number: i32) -> Self {
        let number = u32::try_from(number).unwrap_or_default();
        Version(number / 1000, number % 1000 / 10)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The oldest capability with all that the kernels need.
const OLDEST: Version = Version(8, 0);

/// Refuses a device that kernels made for `target` (as in `sm_80`, or `sm_90a` for that kind alone) do not run on.
pub fn check_kind(name: &str, capability: Version, target: &str) -> Result<(), Refusal> {
    if capability < OLDEST {
        return Err(Refusal::TooOld { name: name.to_owned(), capability });
    }
    let runs = kind(target).is_none_or(|(made_for, suffix)| match suffix {
        "a" => capability == made_for,
        "f" => capability.0 == made_for.0 && capability >= made_for,
        _ => capability >= made_for,
    });
    match runs {
        true => Ok(()),
        false => Err(Refusal::OtherKind { name: name.to_owned(), capability, target: target.to_owned() }),
    }
}

/// The capability and the suffix in `sm_120a`.
fn kind(target: &str) -> Option<(Version, &str)> {
    let digits = target.strip_prefix("sm_")?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: u32 = digits[..end].parse().ok()?;
    Some((Version(number / 10, number % 10), &digits[end..]))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoDriver => f.write_str("no NVIDIA driver is here: `libcuda.so.1` was not found"),
            Refusal::Unloadable { library, said } => write!(f, "`{library}` cannot be loaded: {said}"),
            Refusal::OldDriver { has, needs } => write!(
                f,
                "NVIDIA's driver is too old: it supports CUDA {has}, and this program was built with CUDA {needs}"
            ),
            Refusal::NoDevice { visible: Some(visible) } => {
                write!(f, "no GPU is visible: CUDA_VISIBLE_DEVICES is `{visible}`")
            }
            Refusal::NoDevice { visible: None } => f.write_str("NVIDIA's driver is here, but finds no GPU"),
            Refusal::NoSuchDevice { count, visible } => {
                match count {
                    1 => f.write_str("there is no such GPU; the only one is `cuda:0`")?,
                    count => write!(f, "there is no such GPU; there are `cuda:0` to `cuda:{}`", count - 1)?,
                }
                match visible {
                    Some(visible) => write!(f, " as CUDA_VISIBLE_DEVICES is `{visible}`"),
                    None => Ok(()),
                }
            }
            Refusal::TooOld { name, capability } => {
                write!(f, "{name} has compute capability {capability}, and at least {OLDEST} is needed")
            }
            Refusal::OtherKind { name, capability, target } => {
                write!(
                    f,
                    "{name} has compute capability {capability}, and this program was built for `{target}`"
                )
            }
            Refusal::NoLibrary { library, folders: 0, .. } => write!(
                f,
                "`{library}` was not found by the system's loader, and there is no toolkit and no package of Python with it"
            ),
            Refusal::NoLibrary { library, folders, .. } => write!(
                f,
                "`{library}` was not found, neither by the system's loader nor in {folders} folder{} of toolkits and of Python's packages",
                if *folders == 1 { "" } else { "s" }
            ),
            Refusal::Forbidden => f.write_str("its compute mode is `Prohibited`"),
            Refusal::InUse => f.write_str("another process has it for itself"),
            Refusal::NoMemory => f.write_str("it has not enough free memory to begin with"),
            Refusal::Failed { during, said } => write!(f, "{during} failed: {said}"),
        }
    }
}

impl Refusal {
    /// What the person can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Refusal::NoDriver => {
                "install NVIDIA's driver; in a container, start it with the GPU (`--gpus all`)".into()
            }
            Refusal::OldDriver { needs, .. } => {
                format!("update NVIDIA's driver to one for CUDA {needs} or later")
            }
            Refusal::NoDevice { visible: Some(_) } | Refusal::NoSuchDevice { visible: Some(_), .. } => {
                "unset CUDA_VISIBLE_DEVICES, or name in it the devices to use".into()
            }
            Refusal::NoDevice { visible: None } => {
                "`nvidia-smi` should list it; in a container, start it with the GPU (`--gpus all`)".into()
            }
            Refusal::OtherKind { capability: OLDEST, .. } => {
                "build with CUDA_COMPUTE_CAP=80, which serves every kind since".into()
            }
            Refusal::OtherKind { capability: Version(major, minor), .. } => {
                format!("build with CUDA_COMPUTE_CAP={major}{minor}, or with 80 for every kind")
            }
            Refusal::NoLibrary { major, .. } => format!(
                "`{}` into the active Python, or install CUDA {major} and set CUDA_HOME to it",
                wheels(*major)
            ),
            Refusal::Unloadable { .. } => "install it again".into(),
            Refusal::Forbidden => "`nvidia-smi --compute-mode=DEFAULT` lets programs compute on it".into(),
            Refusal::InUse | Refusal::NoMemory => {
                "`nvidia-smi` tells who uses it; end that, or take another `--device`".into()
            }
            Refusal::NoSuchDevice { visible: None, .. } | Refusal::TooOld { .. } | Refusal::Failed { .. } => {
                return None;
            }
        };
        Some(text)
    }
}

/// NVIDIA's names on PyPI changed with CUDA 13.
fn wheels(major: u32) -> String {
    match major {
        ..=12 => format!("pip install nvidia-cublas-cu{major} nvidia-curand-cu{major}"),
        13.. => format!("pip install 'nvidia-cublas=={major}.*' nvidia-curand"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_run_on_what_they_were_made_for() {
        let runs = |major, minor, target| check_kind("X", Version(major, minor), target).is_ok();
        for (major, minor) in [(8, 0), (8, 9), (9, 0), (12, 1)] {
            assert!(runs(major, minor, "sm_80"));
        }
        assert!(runs(9, 0, "sm_90a") && runs(12, 1, "sm_120f") && runs(9, 0, "unknown"));
        for (major, minor, target) in
            [(8, 0, "sm_90a"), (10, 0, "sm_90a"), (8, 6, "sm_89"), (10, 3, "sm_120f")]
        {
            assert!(!runs(major, minor, target), "{major}.{minor} {target}");
        }
        let old = check_kind("GTX 1080", Version(6, 1), "sm_80").unwrap_err();
        assert_eq!(old.to_string(), "GTX 1080 has compute capability 6.1, and at least 8.0 is needed");
        let other = check_kind("A100", Version(8, 0), "sm_90a").unwrap_err();
        assert!(other.to_string().contains("built for `sm_90a`"), "{other}");
        assert!(other.hint().unwrap().contains("CUDA_COMPUTE_CAP=80"), "{other:?}");
    }

    #[test]
    fn versions_are_named_as_people_do() {
        assert_eq!(Version::of_driver(12040).to_string(), "12.4");
        assert!(Version::of_driver(13000) < Version(13, 2) && Version::of_driver(13000) > Version(12, 9));
        assert_eq!(Version::of_driver(-1), Version(0, 0));
    }

    #[test]
    fn each_reason_is_one_line() {
        let visible = Some(String::new());
        let reasons = [
            Refusal::NoDriver,
            Refusal::OldDriver { has: Version(12, 4), needs: Version(13, 0) },
            Refusal::NoDevice { visible: visible.clone() },
            Refusal::NoSuchDevice { count: 1, visible },
            Refusal::NoSuchDevice { count: 4, visible: None },
            Refusal::NoLibrary { library: "libcublas.so.13".into(), folders: 9, major: 13 },
            Refusal::NoLibrary { library: "libcublas.so.13".into(), folders: 0, major: 13 },
            Refusal::InUse,
        ];
        for reason in reasons {
            let said = format!("{reason} {}", reason.hint().unwrap_or_default());
            assert!(!said.contains('\n') && !said.contains("  "), "{said}");
        }
        assert!(wheels(12).contains("nvidia-cublas-cu12") && wheels(13).contains("nvidia-cublas==13.*"));
    }
}
