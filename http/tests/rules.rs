//! The rules of this repository that a machine can check: they are tests, so that nobody has
//! to remember them. (The engine's own are in `engine/tests/purity.rs`.)

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file, at most.
const LINES_MAX: usize = 550;
/// Folders that are built or filled, never written by hand.
const SKIPPED: [&str; 3] = ["target", "data", ".git"];
/// Words of unfinished work, and switches that skip a test in silence. In two pieces each,
/// so that this file does not find itself.
const UNFINISHED: [(&str, &str); 7] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ig", "nore"),
    ("dbg", "!("),
];
/// Where packages come from is each machine's own setting.
const REGISTRIES: [(&str, &str); 8] = [
    ("crates", ".io"),
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("debian", ".org"),
    ("docker", ".io"),
    ("ghcr", ".io"),
];
/// What the lock file may name: the registry that every cargo knows, and no mirror.
const LOCKED: (&str, &str) = ("source = \"registry+https://github.com/rust-lang/crates", ".io-index\"");

/// A file of the repository: its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }
}

fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == wanted)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text that people wrote.
fn files() -> Vec<File> {
    let (root, mut found) = (root(), Vec::new());
    collect(&root, &root, &mut found);
    assert!(found.iter().filter(|file| file.is_rust()).count() > 100, "the sources were not found");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // In a work tree of its own `.git` is a file.
        if SKIPPED.contains(&name) || has_extension(name, "log") {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(File { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text });
        }
    }
}

/// Fails with everything that is wrong, not only the first.
fn none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

/// Where any of `words` stands.
fn places(file: &File, words: &[(&str, &str)]) -> Vec<String> {
    let words: Vec<String> = words.iter().map(|(first, second)| format!("{first}{second}")).collect();
    let lines = file.text.lines().enumerate();
    lines
        .flat_map(|(at, line)| words.iter().filter(|word| line.contains(word.as_str())).map(move |word| (at + 1, word)))
        .map(|(line, word)| format!("{}:{line}: {word}", file.path))
        .collect()
}

#[test]
fn every_source_file_opens_with_what_it_is_for() {
    let wrong = |file: &File| file.is_rust() && !file.text.starts_with("//! ");
    let wrong: Vec<String> = files().into_iter().filter(wrong).map(|file| file.path).collect();
    none(&wrong, "the first line is a `//!` comment");
}

#[test]
fn no_source_file_is_too_long() {
    let length = |file: &File| file.text.lines().count();
    let wrong: Vec<String> = files()
        .iter()
        .filter(|file| file.is_rust() && length(file) > LINES_MAX)
        .map(|file| format!("{}: {} lines", file.path, length(file)))
        .collect();
    none(&wrong, &format!("at most {LINES_MAX} lines"));
}

#[test]
fn nothing_is_unfinished_or_skipped_in_silence() {
    let wrong: Vec<String> = files().iter().filter(|f| f.is_rust()).flat_map(|f| places(f, &UNFINISHED)).collect();
    none(&wrong, "finish it, or say in the documentation that it is not there");
}

#[test]
fn no_file_names_a_registry() {
    let files = files();
    let wrong: Vec<String> =
        files.iter().filter(|file| file.path != "Cargo.lock").flat_map(|file| places(file, &REGISTRIES)).collect();
    none(&wrong, "where packages come from is the machine's setting");
    let lock = files.iter().find(|file| file.path == "Cargo.lock").unwrap();
    let public = format!("{}{}", LOCKED.0, LOCKED.1);
    let sources = lock.text.lines().filter(|line| line.starts_with("source = "));
    let wrong: Vec<String> = sources.filter(|line| **line != public).map(str::to_owned).collect();
    none(&wrong, "the lock file names one registry, the public one");
}

/// Every `SON7_…` in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_part(c));
    words.filter(|word| word.len() > 5 && word.starts_with("SON7_")).map(str::to_owned).collect()
}

/// The variables in the first column of a document's table.
fn rows(text: &str) -> BTreeSet<String> {
    let first_column = |line: &str| line.strip_prefix("| ").and_then(|row| row.split(" |").next().map(variables));
    text.lines().filter_map(first_column).flatten().collect()
}

#[test]
fn the_readme_names_every_setting_and_contributing_every_other_variable() {
    let files = files();
    let read = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
    let code = read("http/src/settings.rs").split("#[cfg(test)]").next().unwrap();
    let settings = variables(code);
    assert!(settings.len() > 5, "the settings were not found");
    assert_eq!(rows(read("README.md")), settings, "the README's table against http/src/settings.rs");

    let used = files.iter().filter(|file| file.is_rust() || file.path == "Makefile");
    let others: BTreeSet<String> = used.flat_map(|file| variables(&file.text)).collect();
    let others: BTreeSet<String> = others.difference(&settings).cloned().collect();
    assert_eq!(rows(read("CONTRIBUTING.md")), others, "CONTRIBUTING's table against the sources");
}
