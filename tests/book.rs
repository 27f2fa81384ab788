//! What keeps the book true: excerpts, source maps, links and stamps, checked without mdbook.
//!
//! mdBook renders a missing anchor as an empty block without a word; here it is an error with file
//! and line. `UPDATE=1 cargo test --test book` rewrites `book/stamps.toml` after re-reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const EXCERPT_LINES: std::ops::RangeInclusive<usize> = 3..=40;
const EXCERPT_COLUMNS: usize = 88;

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
fn normal(path: &Path) -> PathBuf {
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

/// One `{{#include file:anchor}}` of a chapter.
struct Excerpt {
    chapter: PathBuf,
    line: usize,
    file: PathBuf,
    anchor: Option<String>,
    lead: String,
}

fn excerpts() -> Vec<Excerpt> {
    let mut all = Vec::new();
    for (chapter, text) in chapters() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(inner) = line.trim().strip_prefix("{{#include ") else {
                continue;
            };
            let target = inner.trim_end_matches("}}");
            let (file, anchor) = match target.split_once(':') {
                Some((file, anchor)) => (file, Some(anchor.to_owned())),
                None => (target, None),
            };
            let folder = chapter.parent().expect("a chapter is in a folder");
            let above = lines[..at]
                .iter()
                .rev()
                .find(|l| !l.is_empty() && !l.starts_with("```"));
            all.push(Excerpt {
                file: normal(&folder.join(file)),
                anchor,
                line: at + 1,
                lead: above.unwrap_or(&"").to_string(),
                chapter: chapter.clone(),
            });
        }
    }
    all
}

/// The lines between `ANCHOR: name` and `ANCHOR_END: name`.
fn region(text: &str, name: &str) -> Result<Vec<String>, String> {
    let marks = |line: &str, mark: &str| {
        line.trim()
            .strip_prefix("// ")
            .is_some_and(|l| l == format!("{mark}: {name}"))
    };
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len())
        .filter(|i| marks(lines[*i], "ANCHOR"))
        .collect();
    let ends: Vec<usize> = (0..lines.len())
        .filter(|i| marks(lines[*i], "ANCHOR_END"))
        .collect();
    match (starts.as_slice(), ends.as_slice()) {
        ([from], [to]) if from < to => {
            let inner = lines[from + 1..*to]
                .iter()
                .filter(|l| !l.contains("// ANCHOR"));
            Ok(inner.map(|l| l.to_string()).collect())
        }
        ([], _) => Err(format!("no anchor {name}")),
        (_, []) => Err(format!("anchor {name} has no end")),
        _ => Err(format!(
            "anchor {name} does not stand exactly once, start before end"
        )),
    }
}

#[test]
fn excerpts_are_regions_of_the_real_source() {
    let mut broken = Vec::new();
    for excerpt in excerpts() {
        let place = format!("{}:{}", shown(&excerpt.chapter), excerpt.line);
        let Ok(text) = fs::read_to_string(&excerpt.file) else {
            broken.push(format!("{place}: {} does not exist", shown(&excerpt.file)));
            continue;
        };
        let Some(anchor) = &excerpt.anchor else {
            broken.push(format!(
                "{place}: includes a whole file (fix: name an anchor)"
            ));
            continue;
        };
        match region(&text, anchor) {
            Err(what) => broken.push(format!("{place}: {}: {what}", shown(&excerpt.file))),
            Ok(lines) => {
                if !EXCERPT_LINES.contains(&lines.len()) {
                    broken.push(format!("{place}: {anchor} has {} lines", lines.len()));
                }
                if lines.iter().any(|l| l.chars().count() > EXCERPT_COLUMNS) {
                    broken.push(format!("{place}: {anchor} is wider than {EXCERPT_COLUMNS}"));
                }
            }
        }
        let name = excerpt
            .file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_string();
        if !excerpt.lead.contains(&name) {
            broken.push(format!("{place}: the line above does not name {name}"));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_source_file_has_a_home_chapter_that_maps_it() {
    let mut files = Vec::new();
    collect(&root().join("src"), "rs", &mut files);
    collect(&root().join("sim"), "rs", &mut files);
    let mut broken = Vec::new();
    for file in files {
        let path = shown(&file);
        let text = read(&file);
        let header = text.lines().find_map(|l| l.strip_prefix("//! Book: `"));
        let Some(chapter) = header.and_then(|l| l.split('`').next()) else {
            if !path.contains("/tests") {
                broken.push(format!("{path}:1: names no chapter"));
            }
            continue;
        };
        let Ok(prose) = fs::read_to_string(root().join(chapter)) else {
            broken.push(format!("{path}:1: {chapter} does not exist"));
            continue;
        };
        if !prose.contains(&format!("`{path}`")) {
            broken.push(format!("{chapter}: its source map does not name `{path}`"));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// A heading's id as mdBook makes it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut ids = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced && line.starts_with('#') {
            ids.insert(slug(line.trim_start_matches('#')));
        }
    }
    ids
}

/// `](target)` links outside code, with their line numbers.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some(from) = rest.find("](") {
            rest = &rest[from + 2..];
            let Some(to) = rest.find(')') else { break };
            found.push((at + 1, rest[..to].to_owned()));
        }
    }
    found
}

#[test]
fn internal_links_and_fragments_resolve() {
    let mut broken = Vec::new();
    for (chapter, text) in chapters() {
        for (line, link) in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let folder = chapter.parent().expect("a chapter is in a folder");
            let target = if file.is_empty() {
                chapter.clone()
            } else {
                normal(&folder.join(file))
            };
            let place = format!("{}:{line}", shown(&chapter));
            if !target.is_file() {
                broken.push(format!("{place}: {link} leads nowhere"));
            } else if !fragment.is_empty() && !headings(&read(&target)).contains(fragment) {
                broken.push(format!("{place}: {link} names no heading"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_chapter_is_in_the_summary() {
    let summary = read(&book().join("SUMMARY.md"));
    let listed: BTreeSet<PathBuf> = links(&summary)
        .into_iter()
        .map(|(_, link)| normal(&book().join(link)))
        .collect();
    let missing: Vec<String> = chapters()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("SUMMARY.md") && !listed.contains(path))
        .map(|(path, _)| shown(&path))
        .collect();
    assert!(missing.is_empty(), "not in SUMMARY.md: {missing:?}");
}

/// FNV-1a over the region's code without comments and white space: what a reader would notice.
fn stamp(lines: &[String]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for line in lines {
        let code = line.split("//").next().unwrap_or_default();
        for byte in code.bytes().filter(|b| !b.is_ascii_whitespace()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[test]
fn changed_excerpts_send_their_chapter_back_to_be_read() {
    let mut now: BTreeMap<String, String> = BTreeMap::new();
    for excerpt in excerpts() {
        let Some(anchor) = &excerpt.anchor else {
            continue;
        };
        let Ok(text) = fs::read_to_string(&excerpt.file) else {
            continue;
        };
        let Ok(lines) = region(&text, anchor) else {
            continue;
        };
        let key = format!(
            "{} {}:{anchor}",
            shown(&excerpt.chapter),
            shown(&excerpt.file)
        );
        now.insert(key, stamp(&lines));
    }
    let file = root().join("book/stamps.toml");
    let mut text =
        String::from("# Hashes of excerpted code, by chapter. UPDATE=1 after re-reading.\n");
    for (key, value) in &now {
        text.push_str(&format!("{key:?} = {value:?}\n"));
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).expect("book/stamps.toml is writable");
        return;
    }
    let old = fs::read_to_string(&file).unwrap_or_default();
    let stale: Vec<String> = now
        .iter()
        .filter(|(key, value)| !old.contains(&format!("{key:?} = {value:?}")))
        .map(|(key, _)| format!("{key}: the code changed; re-read the section, then UPDATE=1"))
        .collect();
    assert!(stale.is_empty(), "\n{}\n", stale.join("\n"));
    assert_eq!(
        old, text,
        "book/stamps.toml has lines that nothing includes (fix: UPDATE=1)"
    );
}
