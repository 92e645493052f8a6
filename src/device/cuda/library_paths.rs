//! The folders that may hold NVIDIA's libraries: those of toolkits, and of the packages that `pip` and `conda` install.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The folders of the libraries in a toolkit; the last one for a variable that names that folder itself.
#[cfg(not(target_arch = "aarch64"))]
const IN_TOOLKIT: [&str; 4] = ["lib64", "lib", "targets/x86_64-linux/lib", ""];
#[cfg(target_arch = "aarch64")]
const IN_TOOLKIT: [&str; 4] = ["lib64", "lib", "targets/sbsa-linux/lib", ""];

/// The folders of drivers that the loader does not search: in WSL, on NixOS, and in containers of cloud providers.
const DRIVERS: [&str; 3] = ["usr/lib/wsl/lib", "run/opengl-driver/lib", "usr/local/nvidia/lib64"];

/// The environment that the folders are derived from.
pub struct SearchEnvironment<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The root of the file system.
    pub root: &'a Path,
    /// CUDA's major version.
    pub major: u32,
}

/// Returns the existing folders of this machine, the most specific first.
pub fn folders(major: u32) -> Vec<PathBuf> {
    SearchEnvironment { variable: &|name| env::var_os(name), root: Path::new("/"), major }.folders()
}

/// Returns the existing folders that may hold the driver.
pub fn driver_folders() -> Vec<PathBuf> {
    DRIVERS.into_iter().map(|folder| Path::new("/").join(folder)).filter(|folder| folder.is_dir()).collect()
}

impl SearchEnvironment<'_> {
    fn folders(&self) -> Vec<PathBuf> {
        let toolkits = self.toolkits();
        let in_toolkits = toolkits.iter().flat_map(|home| IN_TOOLKIT.map(|below| home.join(below)));
        let packages = self.packages();
        let in_packages = packages.iter().flat_map(|site| self.in_packages().map(|below| site.join(below)));
        let conda = self.set("CONDA_PREFIX");
        let in_conda = conda.iter().flat_map(|home| IN_TOOLKIT.map(|below| home.join(below)));
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in in_toolkits.chain(in_packages).chain(in_conda) {
            if folder.is_dir() && !found.contains(&folder) {
                found.push(folder);
            }
        }
        found
    }

    fn set(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// Returns the toolkits that variables name, then the installed ones, newest first.
    fn toolkits(&self) -> Vec<PathBuf> {
        let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|variable| self.set(variable));
        let local = self.root.join("usr/local");
        let installed = [local.join("cuda")].into_iter().chain(below(&local, "cuda-"));
        named.chain(installed).chain([self.root.join("opt/cuda")]).collect()
    }

    /// Returns the folders of NVIDIA's wheels: one for all libraries since CUDA 13, one for each before.
    fn in_packages(&self) -> [String; 4] {
        let all = format!("nvidia/cu{}/lib", self.major);
        [all, "nvidia/cublas/lib".into(), "nvidia/curand/lib".into(), "nvidia/cuda_nvrtc/lib".into()]
    }

    /// Returns the folders of Python packages: those of the active environment, then those of each `python3` on the path,
    /// and the user's. Runs no Python.
    fn packages(&self) -> Vec<PathBuf> {
        let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(|variable| self.set(variable));
        let mut homes: Vec<PathBuf> = active.collect();
        let path = (self.variable)("PATH").unwrap_or_default();
        for folder in env::split_paths(&path) {
            let python = folder.join("python3");
            if python.is_file() {
                // The `python3` of an environment is a link to another installation's.
                let real = python.canonicalize().ok();
                let real = real.as_deref().and_then(|real| real.parent());
                homes.extend([Some(folder.as_path()), real].into_iter().flatten().flat_map(home_of));
            }
        }
        homes.extend([self.root.join("usr/local"), self.root.join("usr")]);
        homes.extend(self.set("HOME").map(|home| home.join(".local")));
        let on_python_path = (self.variable)("PYTHONPATH").unwrap_or_default();
        let named = env::split_paths(&on_python_path).filter(|folder| folder.is_absolute());
        named.collect::<Vec<_>>().into_iter().chain(homes.iter().flat_map(|home| sites(home))).collect()
    }
}

/// Returns the installation that a `bin` folder belongs to; for pyenv's shims, each installed version.
fn home_of(bin: &Path) -> Vec<PathBuf> {
    let Some(home) = bin.parent() else { return Vec::new() };
    match bin.file_name() {
        Some(name) if name == "shims" => below(&home.join("versions"), ""),
        _ => vec![home.to_owned()],
    }
}

fn sites(home: &Path) -> Vec<PathBuf> {
    let versions = [home.join("lib/python3")].into_iter().chain(below(&home.join("lib"), "python3."));
    let kinds = |version: PathBuf| ["site-packages", "dist-packages"].map(|kind| version.join(kind));
    versions.flat_map(kinds).collect()
}

/// Returns the entries of a folder with this prefix, the highest version first.
fn below(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let version = numbers(entry.file_name().to_str()?.strip_prefix(start)?);
            Some((version, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Parses a version, so that `3.10` sorts after `3.9`.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FakeFileSystem {
        root: tempfile::TempDir,
        variables: Vec<(&'static str, PathBuf)>,
    }

    impl FakeFileSystem {
        fn new(folders: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            folders.iter().for_each(|folder| fs::create_dir_all(root.path().join(folder)).unwrap());
            Self { root, variables: Vec::new() }
        }

        fn with(mut self, variable: &'static str, below: &str) -> Self {
            self.variables.push((variable, self.root.path().join(below)));
            self
        }

        /// Returns the folders relative to the root.
        fn folders(&self, major: u32) -> Vec<String> {
            let variable = |name: &str| {
                let found = self.variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| value.clone().into_os_string())
            };
            let machine = SearchEnvironment { variable: &variable, root: self.root.path(), major };
            let below =
                |folder: PathBuf| folder.strip_prefix(self.root.path()).unwrap().display().to_string();
            machine.folders().into_iter().map(below).collect()
        }
    }

    #[test]
    fn finds_toolkits_in_variables_and_in_their_usual_folders() {
        let fake = FakeFileSystem::new(&[
            "mine/lib64",
            "usr/local/cuda-9.2/lib64",
            "usr/local/cuda-13.1/lib64",
            "opt/cuda/lib",
        ])
        .with("CUDA_HOME", "mine")
        .with("CUDA_PATH", "absent");
        let found = fake.folders(13);
        let libraries: Vec<&str> =
            found.iter().map(String::as_str).filter(|folder| folder.contains("/lib")).collect();
        assert_eq!(
            libraries,
            ["mine/lib64", "usr/local/cuda-13.1/lib64", "usr/local/cuda-9.2/lib64", "opt/cuda/lib"]
        );
        assert_eq!(found[1], "mine", "a variable may name the folder of the libraries");
    }

    #[test]
    fn finds_both_layouts_of_wheels_in_the_active_environment() {
        let fake = FakeFileSystem::new(&[
            "venv/lib/python3.9/site-packages/nvidia/cublas/lib",
            "venv/lib/python3.11/site-packages/nvidia/cu13/lib",
            "venv/lib/python3.11/site-packages/nvidia/cu12/lib",
            "usr/lib/python3/dist-packages/nvidia/curand/lib",
            "home/.local/lib/python3.11/site-packages/nvidia/cu13/lib",
        ])
        .with("VIRTUAL_ENV", "venv")
        .with("HOME", "home");
        assert_eq!(
            fake.folders(13),
            [
                "venv/lib/python3.11/site-packages/nvidia/cu13/lib",
                "venv/lib/python3.9/site-packages/nvidia/cublas/lib",
                "usr/lib/python3/dist-packages/nvidia/curand/lib",
                "home/.local/lib/python3.11/site-packages/nvidia/cu13/lib",
            ]
        );
        assert!(fake.folders(12)[0].ends_with("nvidia/cu12/lib"));
    }

    #[cfg(unix)]
    #[test]
    fn finds_the_packages_of_the_python_on_the_path_without_running_it() {
        let packages = "lib/python3.12/site-packages/nvidia/cu13/lib";
        let fake = FakeFileSystem::new(&[
            "venv/bin",
            &format!("venv/{packages}"),
            "base/bin",
            &format!("base/{packages}"),
            "pyenv/shims",
            &format!("pyenv/versions/3.12.1/{packages}"),
        ]);
        let root = fake.root.path().to_owned();
        for python in ["base/bin/python3", "pyenv/shims/python3"] {
            fs::write(root.join(python), "#!/bin/false").unwrap();
        }
        std::os::unix::fs::symlink(root.join("base/bin/python3"), root.join("venv/bin/python3")).unwrap();
        let mut fake = fake.with("PATH", "venv/bin");
        assert_eq!(fake.folders(13), [format!("venv/{packages}"), format!("base/{packages}")]);
        fake.variables.clear();
        let fake = fake.with("PATH", "pyenv/shims");
        assert_eq!(fake.folders(13), [format!("pyenv/versions/3.12.1/{packages}")]);
    }
}
