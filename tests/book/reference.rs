//! The pages of reference are written from the code; a stale page fails.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use wavetank::api::Guard;
use wavetank::api::kinds::{KINDS, Kind, KindId, SubresourceKind};
use wavetank::scheduler::default_profile;

use crate::{book, collect, read, root, shown};

const MARK: &str = "<!-- Written from the code: UPDATE=1 cargo test --test book. -->";

#[test]
fn pages_of_reference_say_what_the_code_says() {
    let pages = [
        ("commands.md", commands()),
        ("kinds.md", kinds()),
        ("controllers.md", controllers()),
        ("plugins.md", plugins()),
        ("guards.md", guards()),
        ("invariants.md", invariants()),
    ];
    let mut stale = Vec::new();
    for (name, body) in pages {
        let path = book().join("reference").join(name);
        let (title, body) = body.split_once('\n').expect("a title");
        let text = format!("{title}\n\n{MARK}\n{body}");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, text).expect("a page is writable");
        } else if fs::read_to_string(&path).ok() != Some(text) {
            stale.push(format!("{}: stale (fix: UPDATE=1)", shown(&path)));
        }
    }
    assert!(stale.is_empty(), "\n{}\n", stale.join("\n"));
}

/// The first sentence of a file's header.
fn sentence(path: &Path) -> String {
    let text = read(path);
    let header = text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = header
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let paragraph = paragraph.join(" ");
    let end = paragraph.find(". ").map_or(paragraph.len(), |at| at + 1);
    linkless(&paragraph[..end])
}

/// Without rustdoc's links: `[`Guards`]` becomes `` `Guards` ``.
fn linkless(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

/// A link to the chapter that a source file names.
fn chapter_of(path: &Path) -> String {
    let text = read(path);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("//! Book: `book/src/"));
    let Some(page) = line.and_then(|line| line.split('`').next()) else {
        return String::new();
    };
    let title = read(&book().join(page));
    let title = title
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("# ");
    let title = title.split(':').next().unwrap_or(title);
    format!("[{title}](../{page})")
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wavetank"))
        .args(arguments)
        .arg("--help")
        .output()
        .expect("wavetank runs");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

fn commands() -> String {
    let mut page =
        "# Commands\nWhat `wavetank --help` prints, and each command below it.\n".to_owned();
    add_command(&mut page, &mut Vec::new());
    page
}

fn add_command(page: &mut String, path: &mut Vec<&str>) {
    let text = help(path);
    let name = [&["wavetank"], path.as_slice()].concat().join(" ");
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    let _ = write!(
        page,
        "\n## {name}\n\n```text\n{}\n```\n",
        trimmed.join("\n").trim_end()
    );
    let below = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = below
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let name = line.strip_prefix("  ")?;
            name.split_whitespace()
                .next()
                .filter(|_| !name.starts_with(' '))
        });
    for name in names.filter(|name| *name != "help") {
        let name = name.to_owned();
        let mut below: Vec<&str> = path.clone();
        below.push(&name);
        add_command(page, &mut below);
    }
}

fn codes(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn kinds() -> String {
    let mut page = "# Table of kinds\nWhat the API serves, in the order of discovery; \
        the table is `src/api/kinds/table.rs`, and [the wire](../ground/wire.md) tells of it.\n\n\
        | kind | `apiVersion` | resource | short | in a namespace |\n\
        | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for kind in &KINDS {
        let _ = writeln!(
            page,
            "| {} | `{}` | `{}` | {} | {} |",
            kind.kind,
            kind.api_version,
            kind.plural,
            codes(kind.short_names),
            if kind.namespaced { "yes" } else { "no" }
        );
    }
    page.push_str("\n## Verbs\n\n");
    let mut verbs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kind in &KINDS {
        verbs.entry(codes(kind.verbs)).or_default().push(kind.kind);
    }
    for (verbs, kinds) in verbs {
        let _ = writeln!(page, "- {verbs}: {}.", kinds.join(", "));
    }
    page.push_str("\n## Subresources\n\n| path | speaks | verbs |\n| --- | --- | --- |\n");
    for kind in &KINDS {
        for below in kind.subresources {
            let path = format!("{}/{}", kind.plural, below.name);
            let speaks = speaks(kind, below.kind);
            let _ = writeln!(page, "| `{path}` | {speaks} | {} |", codes(below.verbs));
        }
    }
    page
}

fn speaks(parent: &Kind, kind: SubresourceKind) -> String {
    match kind {
        SubresourceKind::Parent => parent.kind.to_owned(),
        SubresourceKind::Virtual(id) => format!("{id:?}"),
    }
}

/// What stands between two texts, after the first.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = &text[text.find(from)? + from.len()..];
    Some(&rest[..rest.find(to)?])
}

/// The name that an implementation gives in `fn name`.
fn given_name(text: &str) -> &str {
    let body = between(text, "fn name(&self) -> &'static str {", "}").unwrap_or_default();
    body.trim().trim_matches('"')
}

fn controllers() -> String {
    let table = root().join("src/controllers/controllers.rs");
    let text = read(&table);
    let mut page = "# Controllers\nWhat the controller manager runs, in the order in which each \
        gets its input; the table is `src/controllers/controllers.rs`.\n\n\
        | controller | what it is | chapter |\n| --- | --- | --- |\n"
        .to_owned();
    for line in text.lines() {
        let Some(of) = between(line, "looped(", ",") else {
            continue;
        };
        let kind = of.split([' ', ':', '{', '(']).next().unwrap_or(of);
        let uses = text
            .lines()
            .find(|line| line.ends_with(&format!("::{kind};")));
        let Some(module) = uses.and_then(|line| between(line, "use crate::", "::")) else {
            continue;
        };
        let file = root().join(format!("src/controllers/{module}.rs"));
        let name = given_name(&read(&file)).to_owned();
        let _ = writeln!(
            page,
            "| `{name}` | {} | {} |",
            sentence(&file),
            chapter_of(&file)
        );
    }
    page
}

fn plugins() -> String {
    let table = read(&root().join("src/scheduler/plugins.rs"));
    let mut page =
        "# Scheduler plugins\nThe default profile, in the order in which its plugins are \
        asked; the table is `src/scheduler/plugins.rs`, and \
        [the framework](../scheduler/framework.md) says what the moments are.\n\n\
        | plugin | weight | moments | what it is |\n| --- | --- | --- | --- |\n"
            .to_owned();
    let mut files = Vec::new();
    collect(&root().join("src/scheduler/plugins"), "rs", &mut files);
    for name in default_profile("default-scheduler").plugin_names() {
        let of_it = |file: &&std::path::PathBuf| given_name(&read(file)) == name;
        let file = files.iter().find(of_it).expect("a plugin has a file");
        let text = read(file);
        let moments = text.lines().filter_map(|line| between(line, "fn as_", "("));
        let moments: Vec<String> = moments.map(camel).collect();
        let moments: Vec<&str> = moments.iter().map(String::as_str).collect();
        let row = table
            .lines()
            .find(|line| line.contains(&format!("Box::new({name}")));
        let weight = row.and_then(|row| row.trim_end_matches("),").rsplit(' ').next());
        let weight = weight.filter(|weight| *weight != "0").unwrap_or_default();
        let _ = writeln!(
            page,
            "| {name} | {weight} | {} | {} |",
            codes(&moments),
            sentence(file)
        );
    }
    page
}

/// `pre_filter` becomes `PreFilter`.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}

fn guards() -> String {
    let mut files = Vec::new();
    collect(&root().join("src"), "rs", &mut files);
    collect(&root().join("sim"), "rs", &mut files);
    let mut stands: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut tried: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.ends_with("api/guards.rs")) {
        let mut is_test = shown(file).contains("tests");
        for line in read(file).lines() {
            is_test |= line.starts_with("#[cfg(test)]");
            for guard in line.split("Guard::").skip(1) {
                let number: String = guard
                    .chars()
                    .take_while(char::is_ascii_alphanumeric)
                    .collect();
                let list = if is_test { &mut tried } else { &mut stands };
                let places = list.entry(number).or_default();
                let place = format!("`{}`", shown(file));
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    let mut page = "# Guards\nThe lines that prevent a known bug, by their number in \
        `src/api/guards.rs`: where each stands, and the tests that take it away and must then \
        see the bug. [Informers](../control-plane/informers.md) says what a guard is.\n\n"
        .to_owned();
    for guard in Guard::all() {
        let (number, what) = (guard.name(), guard.says());
        let Some(places) = stands.get(number) else {
            continue;
        };
        let _ = write!(page, "- `{number}` {what} Stands in {}", places.join(", "));
        let tests = tried.get(number).map(|tests| tests.join(", "));
        let _ = match tests {
            Some(tests) => writeln!(page, "; taken away by {tests}."),
            None => writeln!(page, "; no test takes it away yet."),
        };
    }
    page
}

/// The numbered invariants of a file's header.
fn numbered(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
        let number = line
            .trim_start()
            .split_once(". ")
            .map(|(n, _)| n.parse::<u32>());
        if let Some(Ok(_)) = number {
            found.push(line.trim().to_owned());
            open = true;
        } else if open && line.starts_with("    ") {
            let last = found.last_mut().expect("one is open");
            last.push(' ');
            last.push_str(line.trim());
        } else {
            open = false;
        }
    }
    found.iter().map(|line| linkless(line)).collect()
}

fn invariants() -> String {
    let mut page = "# Invariants\nWhat the headers of the source files promise, file by file. \
        Letters with numbers (C1, I3, L29) and guards (M08) are those of the catalogue of known bugs; \
        the chapters name the tests.\n"
        .to_owned();
    let mut files = Vec::new();
    collect(&root().join("src"), "rs", &mut files);
    collect(&root().join("sim"), "rs", &mut files);
    let mut folder = String::new();
    for file in files {
        let path = shown(&file);
        let promises = numbered(&read(&file));
        if promises.is_empty() || path.contains("tests") {
            continue;
        }
        let parts: Vec<&str> = path.split('/').collect();
        let of = match parts[0] {
            "src" if parts.len() > 2 => parts[..2].join("/"),
            first => first.to_owned(),
        };
        if of != folder {
            let _ = write!(page, "\n## {of}\n");
            folder = of;
        }
        let _ = write!(page, "\n`{path}` · {}\n\n", chapter_of(&file));
        for promise in promises {
            let _ = writeln!(page, "{promise}");
        }
    }
    page
}

#[test]
fn every_kind_has_a_row_in_the_table_of_kinds() {
    let page = kinds();
    for id in KindId::all() {
        assert!(page.contains(&format!("| {} |", id.info().kind)));
    }
}
