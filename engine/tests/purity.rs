//! The engine is pure by manifest and by source: a test says so, not a habit.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// What the engine may be built with. None of these does I/O, reads a clock or draws a number.
const DEPENDENCIES: [&str; 6] = ["compact_str", "foldhash", "hashbrown", "serde", "smallvec", "thiserror"];

/// What its source may not name, and why.
const BANNED: [(&str, &str); 13] = [
    ("std::fs", "no files"),
    ("std::net", "no network"),
    ("std::thread", "no tasks of its own"),
    ("std::process", "no processes"),
    ("std::env", "no settings: they come in as arguments"),
    ("std::io", "no I/O"),
    ("std::time", "no clock: time comes in as an argument"),
    ("SystemTime", "no clock: time comes in as an argument"),
    ("Instant", "no clock: time comes in as an argument"),
    ("RandomState::new", "no randomness: seeds come in as arguments"),
    ("HashMap::new", "no randomness: seeds come in as arguments"),
    ("async fn", "nothing waits here"),
    ("println!", "no output"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_manifest_names_pure_crates_only() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let section = manifest.split("[dependencies]").nth(1).expect("[dependencies]");
    let section = section.split("\n[").next().unwrap_or_default();
    let named: Vec<&str> = section
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split(['.', ' ']).next().unwrap_or_default())
        .collect();
    assert_eq!(named, DEPENDENCIES);
    assert_eq!(manifest.matches("dependencies").count(), 2, "one list of dependencies and one for tests");
    assert!(!root().join("build.rs").exists(), "a build script runs anything");
}

#[test]
fn the_source_names_nothing_impure() {
    let files = sources(&root().join("src"));
    assert!(files.len() > 10, "the source was not found");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            for (word, why) in BANNED {
                assert!(!line.contains(word), "{}:{}: '{word}': {why}", file.display(), number + 1);
            }
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
