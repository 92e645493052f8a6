//! Plans of real folders: where outputs go, what is skipped, and what is refused.

use super::*;

struct InputFolder(tempfile::TempDir);

impl InputFolder {
    fn new(files: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for file in files {
            let path = folder.at(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        folder
    }

    fn at(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn plan(&self, inputs: &[&str], options: &OutputOptions) -> Result<Plan, Vec<Error>> {
        let at = |input: &&str| if *input == "-" { "-".into() } else { self.at(input) };
        plan_files(&inputs.iter().map(at).collect::<Vec<_>>(), options)
    }
}

fn formats(formats: &[Format]) -> OutputOptions {
    OutputOptions { formats: formats.to_vec(), ..OutputOptions::default() }
}

#[test]
fn outputs_go_beside_the_input_or_into_the_output_folder() {
    let folder = InputFolder::new(&["a/talk.v2.mp3", "b/x"]);
    let options = formats(&[Format::Srt, Format::Txt]);
    let planned = folder.plan(&["a/talk.v2.mp3", "b/x"], &options).unwrap();
    let paths: Vec<&PathBuf> =
        planned.items.iter().flat_map(|i| i.outputs.iter().map(|(_, path)| path)).collect();
    assert_eq!(
        paths,
        [
            &folder.at("a/talk.v2.srt"),
            &folder.at("a/talk.v2.txt"),
            &folder.at("b/x.srt"),
            &folder.at("b/x.txt")
        ]
    );

    let out = OutputOptions { output_dir: Some(folder.at("new/out")), ..options };
    let planned = folder.plan(&["b/x", "-"], &out).unwrap();
    assert_eq!(planned.items[0].outputs[0].1, folder.at("new/out/x.srt"));
    assert_eq!(planned.items[1].outputs[0].1, folder.at("new/out/stdin.srt"));
    assert!(folder.at("new/out").is_dir());
}

#[test]
fn existing_outputs_are_kept_unless_overwritten() {
    let folder = InputFolder::new(&["talk.mp3", "talk.srt"]);
    let both = formats(&[Format::Srt, Format::Txt]);
    let planned = folder.plan(&["talk.mp3"], &both).unwrap();
    assert_eq!(planned.items[0].outputs, [(Format::Txt, folder.at("talk.txt"))]);
    assert!(!planned.items[0].is_done);
    assert!(folder.plan(&["talk.mp3"], &formats(&[Format::Srt])).unwrap().items[0].is_done);
    let again = OutputOptions { overwrite: true, ..both };
    assert_eq!(folder.plan(&["talk.mp3"], &again).unwrap().items[0].outputs.len(), 2);
    // Without outputs there is nothing that could exist.
    assert!(!folder.plan(&["talk.mp3"], &formats(&[])).unwrap().items[0].is_done);
}

#[test]
fn rejects_two_inputs_with_the_same_output() {
    let folder = InputFolder::new(&["a/talk.mp3", "a/talk.wav", "b/talk.mp3"]);
    let srt = formats(&[Format::Srt]);
    let clash = |inputs: &[&str], options: &OutputOptions| {
        let faults = folder.plan(inputs, options).unwrap_err();
        assert!(faults.iter().all(|fault| matches!(fault, Error::Usage { .. })), "{faults:?}");
        faults[0].to_string()
    };
    let planned = folder.plan(&["a/talk.mp3", "a/talk.wav"], &srt).unwrap();
    let outputs: Vec<&PathBuf> = planned.items.iter().map(|item| &item.outputs[0].1).collect();
    assert_eq!(outputs, [&folder.at("a/talk.mp3.srt"), &folder.at("a/talk.wav.srt")]);
    assert_eq!(planned.notes.len(), 2);
    let template = OutputOptions { template: Some("{stem}".parse().unwrap()), ..srt.clone() };
    assert!(clash(&["a/talk.mp3", "a/talk.wav"], &template).contains("would be written for both"));
    let twice = folder.plan(&["a/talk.mp3", "b/../a/talk.mp3"], &srt).unwrap();
    assert_eq!((twice.items.len(), twice.notes.len()), (1, 1));
    assert!(twice.notes[0].1.starts_with("the same file as `"), "{:?}", twice.notes);
    assert!(folder.plan(&["a/talk.mp3", "b/talk.mp3"], &srt).is_ok());
    let out = OutputOptions { output_dir: Some(folder.at("out")), ..srt };
    assert!(clash(&["a/talk.mp3", "b/talk.mp3"], &out).contains("talk.mp3.srt"));
    assert!(!folder.at("out").exists());
    assert!(clash(&["-", "-"], &OutputOptions::default()).contains("only once"));
}

#[test]
fn rejects_outputs_that_overwrite_an_input() {
    let folder = InputFolder::new(&["talk.mp3", "talk.json"]);
    let again = OutputOptions { overwrite: true, ..formats(&[Format::Json]) };
    let faults = folder.plan(&["talk.json"], &again).unwrap_err();
    assert!(faults[0].to_string().contains("is an input"), "{faults:?}");
    // Of two of one stem, both keep their extensions and overwrite nothing.
    let planned = folder.plan(&["talk.mp3", "talk.json"], &again).unwrap();
    assert_eq!(planned.items[0].outputs[0].1, folder.at("talk.mp3.json"));
    let template = OutputOptions { template: Some("{stem}".parse().unwrap()), ..again };
    assert!(folder.plan(&["talk.mp3", "talk.json"], &template).is_err());
    std::fs::write(folder.at(".talk.transcribe"), b"x").unwrap();
    let faults = folder.plan(&["talk.mp3", ".talk.transcribe"], &formats(&[Format::Srt])).unwrap_err();
    assert!(faults[0].to_string().contains(".talk.transcribe`: is an input"), "{faults:?}");
}

#[test]
fn all_faults_of_the_inputs_are_reported_at_once() {
    let folder = InputFolder::new(&["a/talk.mp3", "b/notes.md"]);
    let named = ["none.mp3", "b", "a/talk.mp3/x"];
    let faults = folder.plan(&named, &formats(&[])).unwrap_err();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3);
    assert!(faults.iter().all(|fault| matches!(fault, Error::Usage { .. })), "{faults:?}");
    assert!(texts[0].ends_with("none.mp3`: there is no such file"), "{texts:?}");
    assert!(texts[1].ends_with("a folder without recordings"), "{texts:?}");
    // With another input they fail alone.
    let plan = folder.plan(&[&named[..], &["a/talk.mp3"]].concat(), &formats(&[])).unwrap();
    assert_eq!((plan.items.len(), plan.failures.len()), (1, 3));
    assert_eq!(*plan.failures[0].name, *folder.at("none.mp3").display().to_string());
}

#[test]
fn a_folder_that_cannot_be_created_is_a_fault() {
    let folder = InputFolder::new(&["talk.mp3", "file"]);
    let options = OutputOptions { output_dir: Some(folder.at("file/out")), ..formats(&[Format::Srt]) };
    let faults = folder.plan(&["talk.mp3"], &options).unwrap_err();
    assert!(
        matches!(&faults[..], [Error::Output { path, .. }] if *path == folder.at("file/out")),
        "{faults:?}"
    );
}
