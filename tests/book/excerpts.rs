//! Code in the book is a region of the real source, and a changed region is read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::{chapters, collect, normal_path, read, root, shown};

const EXCERPT_LINES: std::ops::RangeInclusive<usize> = 3..=40;
const EXCERPT_COLUMNS: usize = 88;

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
                file: normal_path(&folder.join(file)),
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
