//! The countable rules of the house, as an ordinary test.
//!
//! Each rule is a function from the tree to violations, printed as `file:line: what (fix: how)`.
//! An exemption is a line of [`EXEMPT`] with its reason; one that no longer violates fails too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file before its `#[cfg(test)]`.
const FILE_LINES: usize = 600;
/// Most lines of a function, signature and closing brace included.
const FUNCTION_LINES: usize = 60;
/// Most columns of a line.
const COLUMNS: usize = 100;

/// Which of our crates each crate may depend on: arrows point down only (dev-dependencies aside).
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("store", &["api"]),
    ("apiserver", &["api", "store"]),
    ("informer", &["api"]),
    ("controllers", &["api", "informer"]),
    ("scheduler", &["api", "informer"]),
    ("cri", &["api"]),
    ("kubelet", &["api", "informer", "cri"]),
    ("serve", &["api", "store", "apiserver", "informer"]),
    (
        "sim",
        &[
            "api",
            "store",
            "apiserver",
            "informer",
            "controllers",
            "scheduler",
            "cri",
            "kubelet",
        ],
    ),
];

/// Crates that may touch clocks, sockets, threads and files.
const SHELLS: &[&str] = &["serve"];

/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils.rs", "helpers.rs", "common.rs", "misc.rs", "mod.rs"];

/// `(rule, file, reason)`: a rule that a file may break, and why.
const EXEMPT: &[(&str, &str, &str)] = &[(
    "columns",
    "src/apiserver/tests/chaos.rs",
    "the body of a request is one line",
)];

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    rule: &'static str,
    file: String,
    line: usize,
    what: String,
    fix: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            rule,
            file,
            line,
            what,
            fix,
        } = self;
        write!(f, "{file}:{line}: {what} (fix: {fix}) [{rule}]")
    }
}

/// One file of the tree, read once.
struct Source {
    /// Path from the root, with `/`.
    path: String,
    lines: Vec<String>,
    /// Index of the first line of the unit tests; the number of lines when there are none.
    tests_from: usize,
}

impl Source {
    fn violation(
        &self,
        rule: &'static str,
        line: usize,
        what: impl Into<String>,
        fix: &'static str,
    ) -> Violation {
        Violation {
            rule,
            file: self.path.clone(),
            line: line + 1,
            what: what.into(),
            fix,
        }
    }

    /// The crate's folder name: `store` for `src/store/mvcc.rs`, `sim` for `sim/world.rs`.
    fn crate_name(&self) -> &str {
        let mut parts = self.path.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("src"), Some(name), Some(_)) => name,
            (Some(top), ..) => top,
            _ => "",
        }
    }

    fn is_test_file(&self) -> bool {
        let path = &self.path;
        path.contains("/tests/") || path.contains("/examples/") || path.ends_with("/tests.rs")
    }

    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test_file() {
            0
        } else {
            self.tests_from
        };
        self.lines[..end].iter().map(String::as_str).enumerate()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is readable UTF-8");
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let tests_from = lines
                .iter()
                .position(|l| l.trim() == "#[cfg(test)]")
                .unwrap_or(lines.len());
            let path = path
                .strip_prefix(root())
                .expect("below the root")
                .to_string_lossy();
            Source {
                path: path.replace('\\', "/"),
                lines,
                tests_from,
            }
        })
        .collect()
}

fn file_is_short(source: &Source) -> Vec<Violation> {
    if source.is_test_file() || source.tests_from <= FILE_LINES {
        return Vec::new();
    }
    let what = format!(
        "{} lines before its tests, {FILE_LINES} at most",
        source.tests_from
    );
    vec![source.violation("file-lines", FILE_LINES, what, "split by concept")]
}

fn lines_are_narrow(source: &Source) -> Vec<Violation> {
    let wide = |line: &&String| line.chars().count() > COLUMNS;
    let found = source
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| wide(line));
    found
        .map(|(at, line)| {
            let what = format!("{} columns, {COLUMNS} at most", line.chars().count());
            source.violation("columns", at, what, "break the line or shorten the text")
        })
        .collect()
}

/// Relies on rustfmt: a function ends at the first `}` that stands as deep as its `fn`.
fn functions_are_short(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (at, line) in source.code() {
        let depth = line.len() - line.trim_start().len();
        let text = line.trim_start();
        if open.is_none() && is_function(text) && !text.ends_with(';') && !text.ends_with('}') {
            open = Some((at, depth));
        } else if let Some((from, of)) = open {
            let closed = depth == of && text.starts_with('}');
            let bodiless = depth == of && text.ends_with(';');
            if closed || bodiless {
                open = None;
                let lines = at - from + 1;
                if lines > FUNCTION_LINES {
                    let what = format!("function of {lines} lines, {FUNCTION_LINES} at most");
                    found.push(source.violation("fn-lines", from, what, "split it by step"));
                }
            }
        }
    }
    found
}

fn is_function(text: &str) -> bool {
    let mut rest = text;
    for prefix in [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const ",
        "async ",
        "unsafe ",
    ] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

fn header_names_a_chapter(source: &Source) -> Vec<Violation> {
    if source.is_test_file() {
        return Vec::new();
    }
    if !source.lines.first().is_some_and(|l| l.starts_with("//! ")) {
        let fix = "begin with `//!` and one sentence of what the file is";
        return vec![source.violation("header", 0, "no module header", fix)];
    }
    let header = source.lines.iter().take_while(|l| l.starts_with("//!"));
    let chapter = header.filter_map(|l| l.strip_prefix("//! Book: `")).next();
    let Some(chapter) = chapter.and_then(|c| c.split('`').next()) else {
        let fix = "end the header with Book: and the chapter's path";
        return vec![source.violation("header", 0, "no chapter in the header", fix)];
    };
    if root().join(chapter).is_file() {
        return Vec::new();
    }
    vec![source.violation(
        "header",
        0,
        format!("{chapter} does not exist"),
        "write the chapter",
    )]
}

fn file_name_is_a_concept(source: &Source) -> Vec<Violation> {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if !EMPTY_NAMES.contains(&name) {
        return Vec::new();
    }
    vec![source.violation(
        "file-name",
        0,
        format!("named {name}"),
        "name it after its concept",
    )]
}

fn core_is_pure(source: &Source) -> Vec<Violation> {
    let shell = SHELLS.contains(&source.crate_name()) || source.path.matches('/').count() < 2;
    if shell && source.crate_name() != "sim" {
        return Vec::new();
    }
    let banned = [
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "std::fs",
        "std::process",
        "std::env",
        "thread_rng",
        "tokio::",
    ];
    let mut found = Vec::new();
    for (at, line) in source.code() {
        let code = line.split("//").next().unwrap_or_default();
        for name in banned.iter().filter(|b| code.contains(*b)) {
            let what = format!("{name} in a core");
            found.push(source.violation(
                "pure",
                at,
                what,
                "take it as an argument, or move to serve",
            ));
        }
    }
    found
}

fn nothing_left_over(source: &Source) -> Vec<Violation> {
    let marks = [
        "TODO",
        "FIXME",
        "XXX",
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "#[ignore",
    ];
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        for mark in marks.iter().filter(|m| line.contains(*m)) {
            found.push(source.violation("left-over", at, *mark, "finish it, or file an issue"));
        }
        let allow = line.trim_start();
        if (allow.starts_with("#[allow(") || allow.starts_with("#![allow("))
            && !source.lines[at..(at + 4).min(source.lines.len())]
                .iter()
                .any(|l| l.contains("reason = "))
        {
            found.push(source.violation(
                "allow",
                at,
                "allow without a reason",
                "add reason = \"…\"",
            ));
        }
    }
    found
}

/// `Guards::without` breaks a controller on purpose; only the simulator and tests may call it.
fn guards_stand(source: &Source) -> Vec<Violation> {
    if source.crate_name() == "sim" || source.path.starts_with("tests/") {
        return Vec::new();
    }
    let calls = source.code().filter(|(_, l)| {
        l.contains("Guards::without(") && !l.trim_start().starts_with("//") && !l.contains("fn ")
    });
    calls
        .map(|(at, _)| {
            source.violation(
                "guards",
                at,
                "Guards::without outside sim",
                "use Guards::all()",
            )
        })
        .collect()
}

fn crates_point_down() -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, allowed) in ARROWS {
        let folder = if *name == "sim" {
            "sim".to_owned()
        } else {
            format!("src/{name}")
        };
        let file = format!("{folder}/Cargo.toml");
        let text = fs::read_to_string(root().join(&file)).expect("a crate has a manifest");
        let mut section = "";
        for (at, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                section = line.trim();
            }
            let dependency = line
                .strip_prefix("wavetank-")
                .and_then(|l| l.split(['.', ' ']).next());
            let Some(dependency) = dependency.filter(|_| section == "[dependencies]") else {
                continue;
            };
            if !allowed.contains(&dependency) {
                found.push(Violation {
                    rule: "arrows",
                    file: file.clone(),
                    line: at + 1,
                    what: format!("{name} depends on {dependency}"),
                    fix: "arrows point down only: turn the dependency round, or pass a value",
                });
            }
        }
    }
    found
}

fn all_violations() -> Vec<Violation> {
    let per_file: &[fn(&Source) -> Vec<Violation>] = &[
        file_is_short,
        lines_are_narrow,
        functions_are_short,
        header_names_a_chapter,
        file_name_is_a_concept,
        core_is_pure,
        nothing_left_over,
        guards_stand,
    ];
    let sources = sources(&["src", "sim"]);
    let mut all: Vec<Violation> = sources
        .iter()
        .flat_map(|s| per_file.iter().flat_map(move |rule| rule(s)))
        .collect();
    all.extend(crates_point_down());
    all.sort();
    all
}

#[test]
fn the_tree_keeps_the_rules_of_the_house() {
    let mut used = BTreeSet::new();
    let exempt: BTreeMap<(&str, &str), &str> = EXEMPT
        .iter()
        .map(|(rule, file, reason)| ((*rule, *file), *reason))
        .collect();
    let mut broken = Vec::new();
    let violations = all_violations();
    for violation in &violations {
        let key = (violation.rule, violation.file.as_str());
        if let Some((key, _)) = exempt.get_key_value(&key) {
            used.insert(*key);
        } else {
            broken.push(violation.to_string());
        }
    }
    for key in exempt.keys().filter(|key| !used.contains(*key)) {
        broken.push(format!(
            "exemption {key:?} no longer violates (fix: delete it)"
        ));
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn plain_cargo_test_runs_every_crate_but_the_book() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace manifest");
    let list = |key: &str| -> BTreeSet<String> {
        let from = text
            .find(&format!("\n{key} = ["))
            .expect("the key is there");
        let body = &text[from..from + text[from..].find(']').expect("the list is closed")];
        body.split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut members = list("members");
    members.insert(".".to_owned());
    let left_out: BTreeSet<String> = members
        .difference(&list("default-members"))
        .cloned()
        .collect();
    let allowed: BTreeSet<String> = ["book", "benches", "sim/wasm"].map(str::to_owned).into();
    assert!(
        left_out.is_subset(&allowed),
        "not in default-members: {left_out:?}"
    );
}
