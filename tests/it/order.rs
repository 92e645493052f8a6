//! Many inputs side by side, whose results come as if they were done one after the other.

use std::path::PathBuf;

use crate::program::{bare, fixture};

fn text(inputs: &[PathBuf], options: &[&str]) -> String {
    let output = bare().args(["--model", "demo"]).args(inputs).args(options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn text_of_many_inputs_comes_in_their_order_and_none_is_lost() {
    let inputs = ["long/long_en.flac", "long/short_es.flac", "long/long_de.flac", "long/short_en.flac"];
    let inputs: Vec<PathBuf> = inputs.into_iter().map(fixture).collect();
    let alone: Vec<String> = inputs.iter().map(|input| text(std::slice::from_ref(input), &[])).collect();
    assert!(alone.iter().all(|text| !text.trim().is_empty()));
    // The short ones are done long before the first.
    assert_eq!(text(&inputs, &[]), alone.concat());
    assert_eq!(text(&inputs, &["--jobs", "2", "--batch-size", "2"]), alone.concat());
}
