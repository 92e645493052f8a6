//! What makes a plan, and what is refused.

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

    fn plan(&self, inputs: &[&str], options: &OutputOptions) -> Result<Plan, Vec<Error>> {
        let at = |input: &&str| if *input == "-" { "-".into() } else { self.at(input) };
        plan_files(&inputs.iter().map(at).collect::<Vec<_>>(), options)
    }
}

fn formats(formats: &[Format]) -> OutputOptions {
    OutputOptions { formats: formats.to_vec(), ..OutputOptions::default() }
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
        [&place.at("a/talk.v2.srt"), &place.at("a/talk.v2.txt"), &place.at("b/x.srt"), &place.at("b/x.txt")]
    );

    let out = OutputOptions { output_dir: Some(place.at("new/out")), ..options };
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
    let again = OutputOptions { overwrite: true, ..both };
    assert_eq!(place.plan(&["talk.mp3"], &again).unwrap().items[0].outputs.len(), 2);
    // Without files there is nothing that could be there.
    assert!(!place.plan(&["talk.mp3"], &formats(&[])).unwrap().items[0].is_done);
}

#[test]
fn two_inputs_do_not_write_one_file() {
    let place = Place::new(&["a/talk.mp3", "a/talk.wav", "b/talk.mp3"]);
    let srt = formats(&[Format::Srt]);
    let clash = |inputs: &[&str], options: &OutputOptions| {
        let faults = place.plan(inputs, options).unwrap_err();
        assert!(faults.iter().all(|fault| matches!(fault, Error::Usage { .. })), "{faults:?}");
        faults[0].to_string()
    };
    assert!(clash(&["a/talk.mp3", "a/talk.wav"], &srt).contains("would be written for both"));
    let twice = place.plan(&["a/talk.mp3", "b/../a/talk.mp3"], &srt).unwrap();
    assert_eq!((twice.items.len(), twice.notes.len()), (1, 1));
    assert!(twice.notes[0].1.starts_with("the same file as `"), "{:?}", twice.notes);
    assert!(place.plan(&["a/talk.mp3", "b/talk.mp3"], &srt).is_ok());
    let out = OutputOptions { output_dir: Some(place.at("out")), ..srt };
    assert!(clash(&["a/talk.mp3", "b/talk.mp3"], &out).contains("talk.srt"));
    assert!(!place.at("out").exists());
    assert!(clash(&["-", "-"], &OutputOptions::default()).contains("only once"));
}

#[test]
fn an_input_is_not_written_over() {
    let place = Place::new(&["talk.mp3", "talk.json"]);
    let again = OutputOptions { overwrite: true, ..formats(&[Format::Json]) };
    let faults = place.plan(&["talk.json"], &again).unwrap_err();
    assert!(faults[0].to_string().contains("is an input"), "{faults:?}");
    assert!(place.plan(&["talk.mp3", "talk.json"], &again).is_err());
    std::fs::write(place.at(".talk.transcribe"), b"x").unwrap();
    let faults = place.plan(&["talk.mp3", ".talk.transcribe"], &formats(&[Format::Srt])).unwrap_err();
    assert!(faults[0].to_string().contains(".talk.transcribe`: is an input"), "{faults:?}");
}

#[test]
fn all_faults_of_the_inputs_are_told_at_once() {
    let place = Place::new(&["a/talk.mp3", "b/notes.md"]);
    let faults = place.plan(&["none.mp3", "b", "a/talk.mp3", "a/talk.mp3/x"], &formats(&[])).unwrap_err();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3);
    assert!(texts[0].ends_with("none.mp3`: there is no such file"), "{texts:?}");
    assert!(texts[1].ends_with("is a folder with no recording in it"), "{texts:?}");
}

#[test]
fn a_folder_that_cannot_be_is_found_before_the_work() {
    let place = Place::new(&["talk.mp3", "file"]);
    let options = OutputOptions { output_dir: Some(place.at("file/out")), ..formats(&[Format::Srt]) };
    let faults = place.plan(&["talk.mp3"], &options).unwrap_err();
    assert!(
        matches!(&faults[..], [Error::Output { path, .. }] if *path == place.at("file/out")),
        "{faults:?}"
    );
}
