//! The reasons why a CUDA device cannot be used, each in one line, and their hints.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaUnavailable {
    NoDriver,
    /// The driver or a library exists, but the loader rejects it.
    Unloadable {
        library: String,
        why: String,
    },
    /// The driver supports an older version of CUDA than the one that this program was built with.
    OldDriver {
        supported: Version,
        required: Version,
    },
    /// With the value of `CUDA_VISIBLE_DEVICES`, if it is set.
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
    /// The kernels were compiled for another architecture.
    OtherArchitecture {
        name: String,
        capability: Version,
        target: String,
    },
    /// The library is neither known to the loader nor in any of this many folders.
    NoLibrary {
        library: String,
        folders: usize,
        major: u32,
    },
    /// The compute mode prohibits all programs from using it.
    Prohibited,
    InUse,
    NoMemory,
    /// Any other error of the driver or of a library.
    Failed {
        during: &'static str,
        why: String,
    },
}

/// A version of CUDA or a compute capability: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Converts CUDA's own number, such as 13020 for 13.2.
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

/// The lowest compute capability with all instructions that the kernels use.
const OLDEST: Version = Version(8, 0);

/// Fails if kernels compiled for `target` (such as `sm_80`, or `sm_90a` for that architecture only) do not run on a device.
pub fn check_architecture(name: &str, capability: Version, target: &str) -> Result<(), CudaUnavailable> {
    if capability < OLDEST {
        return Err(CudaUnavailable::TooOld { name: name.to_owned(), capability });
    }
    let runs = architecture(target).is_none_or(|(compiled_for, suffix)| match suffix {
        "a" => capability == compiled_for,
        "f" => capability.0 == compiled_for.0 && capability >= compiled_for,
        _ => capability >= compiled_for,
    });
    match runs {
        true => Ok(()),
        false => Err(CudaUnavailable::OtherArchitecture {
            name: name.to_owned(),
            capability,
            target: target.to_owned(),
        }),
    }
}

/// Splits a target such as `sm_120a` into its compute capability and its suffix.
fn architecture(target: &str) -> Option<(Version, &str)> {
    let digits = target.strip_prefix("sm_")?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: u32 = digits[..end].parse().ok()?;
    Some((Version(number / 10, number % 10), &digits[end..]))
}

impl fmt::Display for CudaUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CudaUnavailable::NoDriver => {
                f.write_str("no NVIDIA driver is installed: `libcuda.so.1` was not found")
            }
            CudaUnavailable::Unloadable { library, why } => write!(f, "`{library}` cannot be loaded: {why}"),
            CudaUnavailable::OldDriver { supported, required } => write!(
                f,
                "the NVIDIA driver is too old: it supports CUDA {supported}, and this program was built with CUDA {required}"
            ),
            CudaUnavailable::NoDevice { visible: Some(visible) } => {
                write!(f, "no GPU is visible: CUDA_VISIBLE_DEVICES is `{visible}`")
            }
            CudaUnavailable::NoDevice { visible: None } => {
                f.write_str("the NVIDIA driver is installed, but finds no GPU")
            }
            CudaUnavailable::NoSuchDevice { count, visible } => {
                match count {
                    1 => f.write_str("there is no such GPU; the only one is `cuda:0`")?,
                    count => write!(f, "there is no such GPU; there are `cuda:0` to `cuda:{}`", count - 1)?,
                }
                match visible {
                    Some(visible) => write!(f, " (CUDA_VISIBLE_DEVICES is `{visible}`)"),
                    None => Ok(()),
                }
            }
            CudaUnavailable::TooOld { name, capability } => {
                write!(f, "{name} has compute capability {capability}, but at least {OLDEST} is required")
            }
            CudaUnavailable::OtherArchitecture { name, capability, target } => {
                write!(
                    f,
                    "{name} has compute capability {capability}, but this program was built for `{target}`"
                )
            }
            CudaUnavailable::NoLibrary { library, folders: 0, .. } => write!(
                f,
                "`{library}` was not found by the system's loader, and no CUDA toolkit or Python package with it is installed"
            ),
            CudaUnavailable::NoLibrary { library, folders, .. } => write!(
                f,
                "`{library}` was not found by the system's loader or in {folders} folder{} of CUDA toolkits and Python packages",
                if *folders == 1 { "" } else { "s" }
            ),
            CudaUnavailable::Prohibited => f.write_str("its compute mode is `Prohibited`"),
            CudaUnavailable::InUse => f.write_str("another process uses it exclusively"),
            CudaUnavailable::NoMemory => f.write_str("it does not have enough free memory to start"),
            CudaUnavailable::Failed { during, why } => write!(f, "{during} failed: {why}"),
        }
    }
}

impl CudaUnavailable {
    /// Returns what the user can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            CudaUnavailable::NoDriver => {
                "install the NVIDIA driver; start a container with `--gpus all`".into()
            }
            CudaUnavailable::OldDriver { required, .. } => {
                format!("update the NVIDIA driver to one that supports CUDA {required} or later")
            }
            CudaUnavailable::NoDevice { visible: Some(_) }
            | CudaUnavailable::NoSuchDevice { visible: Some(_), .. } => {
                "unset CUDA_VISIBLE_DEVICES, or list the devices to use in it".into()
            }
            CudaUnavailable::NoDevice { visible: None } => {
                "check that `nvidia-smi` lists the GPU; start a container with `--gpus all`".into()
            }
            CudaUnavailable::OtherArchitecture { capability: OLDEST, .. } => {
                "build with CUDA_COMPUTE_CAP=80, which runs on every later architecture".into()
            }
            CudaUnavailable::OtherArchitecture { capability: Version(major, minor), .. } => {
                format!("build with CUDA_COMPUTE_CAP={major}{minor}, or with 80 for every architecture")
            }
            CudaUnavailable::NoLibrary { major, .. } => format!(
                "run `{}` in the active Python environment, or install CUDA {major} and set CUDA_HOME to it",
                wheels(*major)
            ),
            CudaUnavailable::Unloadable { .. } => "reinstall it".into(),
            CudaUnavailable::Prohibited => {
                "run `nvidia-smi --compute-mode=DEFAULT` to allow programs to use it".into()
            }
            CudaUnavailable::InUse | CudaUnavailable::NoMemory => {
                "run `nvidia-smi` to see which processes use it; stop them, or choose another `--device`"
                    .into()
            }
            CudaUnavailable::NoSuchDevice { visible: None, .. }
            | CudaUnavailable::TooOld { .. }
            | CudaUnavailable::Failed { .. } => {
                return None;
            }
        };
        Some(text)
    }
}

/// Returns the command that installs NVIDIA's libraries. Their names on PyPI changed with CUDA 13.
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
    fn kernels_run_on_the_architectures_they_were_compiled_for() {
        let runs = |major, minor, target| check_architecture("X", Version(major, minor), target).is_ok();
        for (major, minor) in [(8, 0), (8, 9), (9, 0), (12, 1)] {
            assert!(runs(major, minor, "sm_80"));
        }
        assert!(runs(9, 0, "sm_90a") && runs(12, 1, "sm_120f") && runs(9, 0, "unknown"));
        for (major, minor, target) in
            [(8, 0, "sm_90a"), (10, 0, "sm_90a"), (8, 6, "sm_89"), (10, 3, "sm_120f")]
        {
            assert!(!runs(major, minor, target), "{major}.{minor} {target}");
        }
        let old = check_architecture("GTX 1080", Version(6, 1), "sm_80").unwrap_err();
        assert_eq!(old.to_string(), "GTX 1080 has compute capability 6.1, but at least 8.0 is required");
        let other = check_architecture("A100", Version(8, 0), "sm_90a").unwrap_err();
        assert!(other.to_string().contains("built for `sm_90a`"), "{other}");
        assert!(other.hint().unwrap().contains("CUDA_COMPUTE_CAP=80"), "{other:?}");
    }

    #[test]
    fn versions_print_as_major_and_minor() {
        assert_eq!(Version::of_driver(12040).to_string(), "12.4");
        assert!(Version::of_driver(13000) < Version(13, 2) && Version::of_driver(13000) > Version(12, 9));
        assert_eq!(Version::of_driver(-1), Version(0, 0));
    }

    #[test]
    fn reasons_and_hints_are_one_line() {
        let visible = Some(String::new());
        let reasons = [
            CudaUnavailable::NoDriver,
            CudaUnavailable::OldDriver { supported: Version(12, 4), required: Version(13, 0) },
            CudaUnavailable::NoDevice { visible: visible.clone() },
            CudaUnavailable::NoSuchDevice { count: 1, visible },
            CudaUnavailable::NoSuchDevice { count: 4, visible: None },
            CudaUnavailable::NoLibrary { library: "libcublas.so.13".into(), folders: 9, major: 13 },
            CudaUnavailable::NoLibrary { library: "libcublas.so.13".into(), folders: 0, major: 13 },
            CudaUnavailable::InUse,
        ];
        for reason in reasons {
            let text = format!("{reason} {}", reason.hint().unwrap_or_default());
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        }
        assert!(wheels(12).contains("nvidia-cublas-cu12") && wheels(13).contains("nvidia-cublas==13.*"));
    }
}
