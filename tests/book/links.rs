//! Links, their fragments, and the summary.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::{book, chapters, normal_path, read, shown};

/// A heading's id as mdBook makes it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

pub fn headings(text: &str) -> BTreeSet<String> {
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
pub fn links(text: &str) -> Vec<(usize, String)> {
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
                normal_path(&folder.join(file))
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
        .map(|(_, link)| normal_path(&book().join(link)))
        .collect();
    let missing: Vec<String> = chapters()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("SUMMARY.md") && !listed.contains(path))
        .map(|(path, _)| shown(&path))
        .collect();
    assert!(missing.is_empty(), "not in SUMMARY.md: {missing:?}");
}
