//! Which input makes which files: all that can be found wrong before any work is found here.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Settings;
use crate::error::{Error, Result};
use crate::export::Format;

/// What to do with the results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// None: no files.
    pub formats: Vec<Format>,
    /// Beside each input if not given.
    pub output_dir: Option<PathBuf>,
    /// Replace files that are there.
    pub overwrite: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Stdin,
    File(PathBuf),
}

/// One input and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub source: Source,
    /// How to do it, if not as the job says.
    pub settings: Option<Arc<Settings>>,
    /// In seconds, as far as the file says it.
    pub length: Option<f64>,
    /// The files to write; those that are there already are left out.
    pub outputs: Vec<(Format, PathBuf)>,
    /// All that were asked for, also those that are there.
    pub asked: Vec<PathBuf>,
    /// Where to keep what is finished; only of what is there again the next time.
    pub journal: Option<PathBuf>,
    /// Nothing is left to do.
    pub is_done: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub items: Vec<Item>,
}

impl Item {
    /// What to call the input in messages: as the person did.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Stdin => "-".into(),
            Source::File(path) => path.display().to_string(),
        }
    }
}

/// Looks at every input and every place for an output. All that is wrong is told at once.
pub fn plan(inputs: &[PathBuf], options: &PlanOptions) -> Result<Plan, Vec<Error>> {
    let mut faults = Vec::new();
    let mut items = Vec::new();
    for input in inputs {
        match item(input, options) {
            Ok(item) => items.push(item),
            Err(fault) => faults.push(fault),
        }
    }
    faults.extend(clashes(&items));
    if faults.is_empty() {
        faults.extend(check_folders(&items));
    }
    for item in &mut items {
        if !options.overwrite && !item.outputs.is_empty() {
            item.outputs.retain(|(_, path)| !path.is_file());
            item.is_done = item.outputs.is_empty();
        }
    }
    if faults.is_empty() { Ok(Plan { items }) } else { Err(faults) }
}

fn item(input: &Path, options: &PlanOptions) -> Result<Item> {
    let source = if input == Path::new("-") {
        Source::Stdin
    } else {
        check_input(input)?;
        Source::File(input.to_owned())
    };
    let stem = match &source {
        Source::Stdin => "stdin".into(),
        Source::File(path) => path.file_stem().unwrap_or(path.as_os_str()).to_owned(),
    };
    let folder = match (&options.output_dir, &source) {
        (Some(folder), _) => folder.clone(),
        (None, Source::File(path)) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        (None, Source::Stdin) => PathBuf::new(),
    };
    let output = |format: &Format| {
        let mut name = stem.clone();
        name.push(".");
        name.push(format.name());
        (*format, folder.join(name))
    };
    let outputs: Vec<_> = options.formats.iter().map(output).collect();
    let is_file = matches!(&source, Source::File(path) if path.is_file());
    let journal = (is_file && !outputs.is_empty()).then(|| {
        let mut name = OsString::from(".");
        name.push(&stem);
        name.push(".transcribe");
        folder.join(name)
    });
    let asked = outputs.iter().map(|(_, path)| path.clone()).collect();
    Ok(Item { source, settings: None, length: None, outputs, asked, journal, is_done: false })
}

fn check_input(input: &Path) -> Result<()> {
    let fault = |why: &str, hint: &str| Error::Usage {
        what: format!("`{}`", input.display()),
        why: why.into(),
        hint: Some(hint.into()),
    };
    match input.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            Err(fault("is a folder", "name the files in it, for example with `*`"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(fault("there is no such file", "check the path; quote it if it has blanks"))
        }
        Err(error) => Err(fault(&format!("cannot be read: {error}"), "check the permissions of its folders")),
    }
}

/// Two inputs must not write the same file, and none may write over an input.
fn clashes(items: &[Item]) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut writers: HashMap<PathBuf, &Item> = HashMap::new();
    let stdins = items.iter().filter(|item| item.source == Source::Stdin).count();
    if stdins > 1 {
        faults.push(Error::usage("`-`", "standard input can be read only once"));
    }
    for item in items {
        if let Source::File(path) = &item.source {
            writers.insert(real(path), item);
        }
    }
    for item in items {
        // One fault per input says enough.
        let clash = item.outputs.iter().map(|(_, path)| path).chain(&item.journal).find_map(|path| {
            let other = writers.insert(real(path), item)?;
            Some((path, other))
        });
        if let Some((path, other)) = clash {
            let reads = matches!(&other.source, Source::File(input) if real(input) == real(path));
            let why = if reads {
                "is an input and would be overwritten".into()
            } else {
                format!("would be written for both `{}` and `{}`", other.name(), item.name())
            };
            faults.push(Error::Usage {
                what: format!("`{}`", path.display()),
                why,
                hint: Some("do them one after the other, each with its own `--output-dir`".into()),
            });
        }
    }
    faults
}

/// The same for every way to write a path, also of a file that is not there yet.
fn real(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that is not there yet is at least compared as it is written.
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or(folder.to_owned());
    folder.join(path.file_name().unwrap_or_default())
}

/// Hours of work should not end at a folder that cannot be written.
fn check_folders(items: &[Item]) -> Vec<Error> {
    let mut folders: Vec<&Path> = items
        .iter()
        .filter_map(|item| item.outputs.first()?.1.parent())
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .collect();
    folders.sort();
    folders.dedup();
    let try_out = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        tempfile::Builder::new().prefix(".transcribe-").tempfile_in(folder).map(drop)
    };
    let fault = |folder: &Path| {
        let source = try_out(folder).err()?;
        Some(Error::Output { path: folder.to_owned(), source })
    };
    folders.into_iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(files: &[&str]) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for file in files {
                let path = place.at(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, b"x").unwrap();
            }
            place
        }

        fn at(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        fn plan(&self, inputs: &[&str], options: &PlanOptions) -> Result<Plan, Vec<Error>> {
            let at = |input: &&str| if *input == "-" { "-".into() } else { self.at(input) };
            plan(&inputs.iter().map(at).collect::<Vec<_>>(), options)
        }
    }

    fn formats(formats: &[Format]) -> PlanOptions {
        PlanOptions { formats: formats.to_vec(), ..PlanOptions::default() }
    }

    #[test]
    fn outputs_lie_beside_the_input_or_in_the_folder() {
        let place = Place::new(&["a/talk.v2.mp3", "b/x"]);
        let options = formats(&[Format::Srt, Format::Txt]);
        let planned = place.plan(&["a/talk.v2.mp3", "b/x"], &options).unwrap();
        let paths: Vec<&PathBuf> =
            planned.items.iter().flat_map(|i| i.outputs.iter().map(|(_, path)| path)).collect();
        assert_eq!(
            paths,
            [
                &place.at("a/talk.v2.srt"),
                &place.at("a/talk.v2.txt"),
                &place.at("b/x.srt"),
                &place.at("b/x.txt")
            ]
        );

        let out = PlanOptions { output_dir: Some(place.at("new/out")), ..options };
        let planned = place.plan(&["b/x", "-"], &out).unwrap();
        assert_eq!(planned.items[0].outputs[0].1, place.at("new/out/x.srt"));
        assert_eq!(planned.items[1].outputs[0].1, place.at("new/out/stdin.srt"));
        assert!(place.at("new/out").is_dir());
    }

    #[test]
    fn what_is_there_is_not_done_again_unless_asked() {
        let place = Place::new(&["talk.mp3", "talk.srt"]);
        let both = formats(&[Format::Srt, Format::Txt]);
        let planned = place.plan(&["talk.mp3"], &both).unwrap();
        assert_eq!(planned.items[0].outputs, [(Format::Txt, place.at("talk.txt"))]);
        assert!(!planned.items[0].is_done);
        assert!(place.plan(&["talk.mp3"], &formats(&[Format::Srt])).unwrap().items[0].is_done);
        let again = PlanOptions { overwrite: true, ..both };
        assert_eq!(place.plan(&["talk.mp3"], &again).unwrap().items[0].outputs.len(), 2);
        // Without files there is nothing that could be there.
        assert!(!place.plan(&["talk.mp3"], &formats(&[])).unwrap().items[0].is_done);
    }

    #[test]
    fn two_inputs_do_not_write_one_file() {
        let place = Place::new(&["a/talk.mp3", "a/talk.wav", "b/talk.mp3"]);
        let srt = formats(&[Format::Srt]);
        let clash = |inputs: &[&str], options: &PlanOptions| {
            let faults = place.plan(inputs, options).unwrap_err();
            assert!(faults.iter().all(|fault| matches!(fault, Error::Usage { .. })), "{faults:?}");
            faults[0].to_string()
        };
        assert!(clash(&["a/talk.mp3", "a/talk.wav"], &srt).contains("would be written for both"));
        assert!(clash(&["a/talk.mp3", "b/../a/talk.mp3"], &srt).contains("would be written for both"));
        assert!(place.plan(&["a/talk.mp3", "b/talk.mp3"], &srt).is_ok());
        let out = PlanOptions { output_dir: Some(place.at("out")), ..srt };
        assert!(clash(&["a/talk.mp3", "b/talk.mp3"], &out).contains("talk.srt"));
        assert!(!place.at("out").exists());
        assert!(clash(&["-", "-"], &PlanOptions::default()).contains("only once"));
    }

    #[test]
    fn an_input_is_not_written_over() {
        let place = Place::new(&["talk.mp3", "talk.json"]);
        let again = PlanOptions { overwrite: true, ..formats(&[Format::Json]) };
        let faults = place.plan(&["talk.json"], &again).unwrap_err();
        assert!(faults[0].to_string().contains("is an input"), "{faults:?}");
        assert!(place.plan(&["talk.mp3", "talk.json"], &again).is_err());
        std::fs::write(place.at(".talk.transcribe"), b"x").unwrap();
        let faults = place.plan(&["talk.mp3", ".talk.transcribe"], &formats(&[Format::Srt])).unwrap_err();
        assert!(faults[0].to_string().contains(".talk.transcribe`: is an input"), "{faults:?}");
    }

    #[test]
    fn all_faults_of_the_inputs_are_told_at_once() {
        let place = Place::new(&["a/talk.mp3"]);
        let faults = place.plan(&["none.mp3", "a", "a/talk.mp3", "a/talk.mp3/x"], &formats(&[])).unwrap_err();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3);
        assert!(texts[0].ends_with("none.mp3`: there is no such file"), "{texts:?}");
        assert!(texts[1].ends_with("is a folder"), "{texts:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_is_found_before_the_work() {
        let place = Place::new(&["talk.mp3", "file"]);
        let options = PlanOptions { output_dir: Some(place.at("file/out")), ..formats(&[Format::Srt]) };
        let faults = place.plan(&["talk.mp3"], &options).unwrap_err();
        assert!(
            matches!(&faults[..], [Error::Output { path, .. }] if *path == place.at("file/out")),
            "{faults:?}"
        );
    }
}
