//! What keeps the book true, checked without mdbook.
//!
//! | file | what it checks |
//! | --- | --- |
//! | `book/excerpts.rs` | code is included from the source; changed code is read again |
//! | `book/links.rs` | links, fragments, the summary |
//! | `book/form.rs` | what a chapter has, its guarantees and their tests, the glossary |
//! | `book/tests_of.rs` | the tests that pages name exist |
//! | `book/console.rs` | what is shown of a terminal is what comes |
//! | `book/reference.rs` | the pages that are written from the code |
//!
//! `UPDATE=1 cargo test --test book` rewrites what is made from the code: the stamps of excerpts
//! (after re-reading), the output of commands, and the pages of reference.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of a whole system waits for it"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "player/cluster.rs"]
mod cluster;
#[path = "book/console.rs"]
mod console;
#[path = "book/excerpts.rs"]
mod excerpts;
#[path = "book/form.rs"]
mod form;
#[path = "book/links.rs"]
mod links;
#[path = "book/normal.rs"]
mod normal;
#[path = "player/patterns.rs"]
mod patterns;
#[path = "book/reference.rs"]
mod reference;
#[path = "book/tests_of.rs"]
mod tests_of;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn book() -> PathBuf {
    root().join("book/src")
}

fn collect(dir: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                collect(&path, extension, into);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            into.push(path);
        }
    }
    into.sort();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn chapters() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    collect(&book(), "md", &mut paths);
    paths
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

/// Joins `.` and `..` away without asking the file system.
fn normal_path(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
