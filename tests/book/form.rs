//! What a chapter has: guarantees with the tests that enforce them, and terms that the glossary has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::links::links;
use crate::tests_of::Tests;
use crate::{book, chapters, collect, normal_path, read, root, shown};

/// The lines below the heading that `fits`, with their line numbers, up to the next heading of its
/// depth or less.
fn section(text: &str, fits: impl Fn(&str) -> bool) -> Vec<(usize, &str)> {
    let depth = |line: &str| line.bytes().take_while(|b| *b == b'#').count();
    let mut inside = None;
    let mut fenced = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if !fenced && line.starts_with('#') {
            if inside.is_some_and(|of| depth(line) <= of) {
                break;
            }
            if fits(line.trim_start_matches('#').trim()) {
                inside = Some(depth(line));
                continue;
            }
        }
        if inside.is_some() {
            found.push((at + 1, line));
        }
    }
    found
}

/// What stands between single backticks, outside fenced code, with line numbers.
fn spans(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if !fenced {
            let inner = line.split('`').skip(1).step_by(2);
            found.extend(inner.map(|span| (at + 1, span)));
        }
    }
    found
}

/// `a_name_of_four_words` or more: a test's claim, or a function with a long name.
fn is_claim(span: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    span.chars().all(letters) && span.matches('_').count() >= 3
}

#[test]
fn each_guarantee_of_a_chapter_names_a_test_that_exists() {
    let tests = Tests::of_the_tree();
    let mut broken = Vec::new();
    for (chapter, text) in chapters() {
        let lines = section(&text, |heading| heading.ends_with("must guarantee"));
        let item = |line: &str| {
            line.split_once(". ")
                .is_some_and(|(n, _)| n.parse::<u32>().is_ok())
        };
        for (line, guarantee) in lines.iter().filter(|(_, line)| item(line)) {
            let named = guarantee.split('`').skip(1).step_by(2);
            if !named.into_iter().any(|name| tests.has(name)) {
                broken.push(format!(
                    "{}:{line}: names no test: {guarantee}",
                    shown(&chapter)
                ));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn claims_that_a_page_names_are_in_the_source() {
    let mut files = Vec::new();
    for folder in ["src", "sim", "tests", "benches"] {
        collect(&root().join(folder), "rs", &mut files);
    }
    let mut words = BTreeSet::new();
    for file in &files {
        let text = read(file);
        let of_names = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        words.extend(
            text.split(of_names)
                .filter(|word| is_claim(word))
                .map(str::to_owned),
        );
    }
    let mut broken = Vec::new();
    for (chapter, text) in chapters() {
        for (line, name) in spans(&text) {
            let name = name.rsplit("::").next().unwrap_or(name);
            if is_claim(name) && !words.contains(name) {
                broken.push(format!(
                    "{}:{line}: nothing is named {name}",
                    shown(&chapter)
                ));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn source_files_that_a_page_names_exist() {
    let mut broken = Vec::new();
    for (chapter, text) in chapters() {
        for (line, span) in spans(&text) {
            let ours = ["src/", "sim/", "tests/", "benches/", "book/"];
            let is_file = span.contains('.') && !span.contains([' ', '*', '…', '{']);
            if !is_file || !ours.iter().any(|folder| span.starts_with(folder)) {
                continue;
            }
            if !root().join(span.split(':').next().unwrap_or(span)).exists() {
                broken.push(format!("{}:{line}: {span} does not exist", shown(&chapter)));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Terms in bold: in lower case and without a full stop; other bold text is a label.
fn terms(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        for bold in prose.split("**").skip(1).step_by(2) {
            let is_term = bold.starts_with(|c: char| c.is_lowercase()) && !bold.ends_with('.');
            if is_term {
                found.push((at + 1, bold.to_owned()));
            }
        }
    }
    found
}

/// The glossary: each term with its line and the chapter that its entry leads to.
fn glossary() -> BTreeMap<String, (usize, String)> {
    let text = read(&book().join("glossary.md"));
    let mut entries = BTreeMap::new();
    for (line, term) in terms(&text) {
        let entry = text.lines().nth(line - 1).unwrap_or_default();
        let leads_to = links(entry).into_iter().next().map(|(_, link)| link);
        entries.insert(term, (line, leads_to.unwrap_or_default()));
    }
    entries
}

#[test]
fn the_glossary_has_the_terms_that_chapters_introduce_and_no_others() {
    let entries = glossary();
    let mut broken = Vec::new();
    let mut introduced: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (chapter, text) in chapters() {
        if chapter.ends_with("glossary.md") {
            continue;
        }
        for (line, term) in terms(&text) {
            let place = format!("{}:{line}", shown(&chapter));
            if !entries.contains_key(&term) {
                broken.push(format!("{place}: {term:?} is not in the glossary"));
            }
            let places = introduced.entry(term.clone()).or_default();
            if let Some(first) = places.first() {
                broken.push(format!(
                    "{place}: {term:?} is introduced at {first} already"
                ));
            }
            places.push(place);
        }
    }
    for (term, (line, link)) in &entries {
        let place = format!("book/src/glossary.md:{line}");
        let target = normal_path(&book().join(link.split('#').next().unwrap_or_default()));
        let target = shown(&target);
        match introduced.get(term) {
            None => broken.push(format!("{place}: no chapter introduces {term:?}")),
            Some(places) if !places.iter().any(|at| at.starts_with(&target)) => {
                broken.push(format!("{place}: {term:?} is introduced in {}", places[0]));
            }
            Some(_) => {}
        }
    }
    let text = read(&book().join("glossary.md"));
    let order: Vec<String> = terms(&text).into_iter().map(|(_, term)| term).collect();
    if !order.is_sorted_by_key(|term| term.to_lowercase()) {
        broken.push("book/src/glossary.md: not in alphabetical order".to_owned());
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Parts of a chapter, by the beginning of the heading; `|` where it has another name.
const PARTS: [&str; 11] = [
    "What it must guarantee|What they must guarantee",
    "Predict first",
    "The idea",
    "Source map",
    "Code: ",
    "When things go wrong",
    "What the real one does|What others do",
    "What we left out",
    "Measure it",
    "Exercises",
    "Checkpoint",
];
const OPENING: &str = "an opening that runs";
const ALTERNATIVE: &str = "a design alternative";
const VERSION: &str = "a version of the real one";

/// What chapters still lack, by chapter; a line that is no longer true fails.
const OWED: &[(&str, &str)] = &[
    ("control-plane/admission.md", VERSION),
    ("control-plane/serving.md", ALTERNATIVE),
    ("controllers/endpoints.md", VERSION),
    ("controllers/garbage-collector.md", VERSION),
    ("controllers/nodes.md", VERSION),
    ("node/pod-lifecycle.md", ALTERNATIVE),
    ("simulator/runtime.md", VERSION),
];

/// Whether a page is a chapter that teaches a part of the source.
fn teaches(page: &Path) -> bool {
    let folder = page.parent().and_then(Path::file_name);
    let others = ["src", "start", "reference"];
    folder.is_some_and(|folder| others.iter().all(|other| folder != *other))
}

/// Whether a text names a version: `1.33`, `v3.5`.
fn has_version(text: &str) -> bool {
    let digit = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_digit());
    let bytes = text.as_bytes();
    let dots = (1..bytes.len()).filter(|at| bytes[*at] == b'.');
    dots.into_iter()
        .any(|at| digit(Some(bytes[at - 1])) && digit(bytes.get(at + 1).copied()))
}

/// What a chapter lacks.
fn lacks(text: &str) -> Vec<&'static str> {
    let headings: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches('#').trim())
        .collect();
    let has = |part: &str| {
        let begins = |name: &str| headings.iter().any(|h| h.starts_with(name.trim_end()));
        part.split('|').any(begins)
    };
    let mut found: Vec<&str> = PARTS.into_iter().filter(|part| !has(part)).collect();
    let first = text.lines().take(12).find(|line| line.starts_with("```"));
    if first != Some("```console") {
        found.push(OPENING);
    }
    let lower = text.to_lowercase();
    if !["alternative", "the design not taken"]
        .iter()
        .any(|word| lower.contains(word))
    {
        found.push(ALTERNATIVE);
    }
    let real = section(text, |heading| heading == "What the real one does");
    if !real.is_empty() && !real.iter().any(|(_, line)| has_version(line)) {
        found.push(VERSION);
    }
    found
}

#[test]
fn a_chapter_has_all_its_parts() {
    let mut broken = Vec::new();
    let mut owed: BTreeSet<(&str, &str)> = OWED.iter().copied().collect();
    for (chapter, text) in chapters().into_iter().filter(|(page, _)| teaches(page)) {
        let page = shown(&chapter);
        for part in lacks(&text) {
            match owed
                .iter()
                .find(|(of, what)| page.ends_with(of) && *what == part)
                .copied()
            {
                Some(known) => {
                    owed.remove(&known);
                }
                None => broken.push(format!("{page}: lacks {part:?}")),
            }
        }
    }
    let paid = owed
        .iter()
        .map(|line| format!("{line:?} is not owed any more (fix: delete it)"));
    broken.extend(paid);
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
