//! Which tests there are, read off the tree: what `cargo test` would print without running it.
//!
//! Each test runs in the suite anyway; a page that names one must name one that exists.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{chapters, collect, read, root, shown};

/// One test function.
pub struct Test {
    /// Cargo's name of the package.
    package: String,
    /// Name of the integration test it is in; unit tests have none.
    target: Option<String>,
    /// As `cargo test` prints it: `barrier::tests::a_claim`.
    path: String,
}

/// All tests of the tree.
pub struct Tests {
    all: Vec<Test>,
    names: BTreeSet<String>,
}

impl Tests {
    pub fn of_the_tree() -> Self {
        let mut files = Vec::new();
        for folder in ["src", "sim", "tests", "benches"] {
            collect(&root().join(folder), "rs", &mut files);
        }
        let mut all: Vec<Test> = files.iter().flat_map(|file| tests_of(file)).collect();
        all.sort_by(|a, b| (&a.package, &a.path).cmp(&(&b.package, &b.path)));
        let last = |test: &Test| test.path.rsplit("::").next().unwrap_or_default().to_owned();
        let names = all.iter().map(last).collect();
        Tests { all, names }
    }

    /// Whether a test function has this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The tests that a `cargo test` command line selects.
    fn selected(&self, command: &str) -> Result<Vec<&Test>, String> {
        let mut package = None;
        let mut target = None;
        let mut filters = Vec::new();
        let mut beyond = false;
        let mut words = command.split_whitespace().skip(2);
        while let Some(word) = words.next() {
            match word {
                "-p" => package = words.next(),
                "--test" => target = words.next(),
                "--" => beyond = true,
                "--release" => {}
                _ if word.starts_with("--") && beyond => {}
                _ if word.starts_with('-') => {
                    return Err(format!("`{command}`: {word} is unknown"));
                }
                _ => filters.push(word),
            }
        }
        if filters.len() > 1 && !beyond {
            return Err(format!(
                "`{command}`: cargo takes one name (fix: `-- NAMES`)"
            ));
        }
        let fits = |test: &&Test| {
            package.is_none_or(|p| test.package == p)
                && target.is_none_or(|t| test.target.as_deref() == Some(t))
                && (filters.is_empty() || filters.iter().any(|f| test.path.contains(f)))
        };
        let found: Vec<&Test> = self.all.iter().filter(fits).collect();
        match found.is_empty() {
            true => Err(format!("`{command}` runs no test")),
            false => Ok(found),
        }
    }

    /// What a page shows of a run: some of its tests, each `ok`, and `…` for the rest.
    pub fn play(&self, command: &str, shown: &[String]) -> Result<Option<String>, String> {
        const SHOWN: usize = 3;
        let found = self.selected(command)?;
        let lines: Vec<String> = found
            .iter()
            .map(|test| format!("test {} ... ok", test.path))
            .collect();
        let fits = !shown.is_empty()
            && shown.iter().all(|line| line == "…" || lines.contains(line))
            && (shown.len() >= lines.len() || shown.iter().any(|line| line == "…"));
        if fits {
            return Ok(None);
        }
        let mut new = lines[..lines.len().min(SHOWN)].join("\n");
        if lines.len() > SHOWN {
            new.push_str("\n…");
        }
        Ok(Some(new))
    }
}

/// `(package, integration test, path of the module)` of a source file.
fn place(file: &Path) -> (String, Option<String>, Vec<String>) {
    let path = shown(file);
    let mut parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let folder = match parts[0] {
        "src" if parts.len() > 2 => parts.drain(..2).next_back(),
        "sim" | "benches" => parts.drain(..1).next_back(),
        _ => None,
    };
    let package = match folder {
        Some(name) => format!("wavetank-{name}"),
        None => "wavetank".to_owned(),
    };
    let module: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
    // A folder `tests` with a `tests.rs` beside it is a module, without one it holds programs.
    let above = file
        .ancestors()
        .find(|a| a.file_name().is_some_and(|n| n == "tests"));
    let program = parts.len() > 1
        && parts[0] == "tests"
        && above.is_some_and(|folder| !folder.with_extension("rs").is_file());
    let inner = |from: usize| {
        module[from..]
            .iter()
            .filter(|part| *part != "main")
            .cloned()
    };
    match program {
        true => (package, Some(module[1].clone()), inner(2).collect()),
        false if module == ["lib"] || module == ["main"] => (package, None, Vec::new()),
        false => (package, None, module),
    }
}

/// Relies on rustfmt: an inline module ends where its indentation does.
fn tests_of(file: &Path) -> Vec<Test> {
    let (package, target, module) = place(file);
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut marked = false;
    let mut found = Vec::new();
    for line in read(file).lines() {
        let code = line.trim_start();
        let depth = line.len() - code.len();
        if code.is_empty() {
            continue;
        }
        if code.starts_with('}') {
            inline.retain(|(at, _)| *at < depth);
        }
        let opened = code.trim_start_matches("pub ").strip_prefix("mod ");
        if let Some(name) = opened.and_then(|rest| rest.strip_suffix(" {")) {
            inline.push((depth, name.to_owned()));
        }
        if code == "#[test]" || code.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = code.trim_start_matches("async ").strip_prefix("fn ")
            && std::mem::take(&mut marked)
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            let parts = module.iter().chain(inline.iter().map(|(_, name)| name));
            let mut path: Vec<&str> = parts.map(String::as_str).collect();
            path.push(name);
            found.push(Test {
                package: package.clone(),
                target: target.clone(),
                path: path.join("::"),
            });
        }
    }
    found
}

/// The `cargo test` commands in the text of a page.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let spans = line.split('`').skip(1).step_by(2);
        let commands = spans.filter(|span| span.starts_with("cargo test -p"));
        found.extend(commands.map(|command| (at + 1, command.to_owned())));
    }
    found
}

#[test]
fn the_tests_that_a_page_tells_to_run_exist() {
    let tests = Tests::of_the_tree();
    let mut broken = Vec::new();
    for (chapter, text) in chapters() {
        for (line, command) in commands(&text) {
            if let Err(what) = tests.selected(&command) {
                broken.push(format!("{}:{line}: {what}", shown(&chapter)));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn tests_are_found_by_the_names_that_cargo_prints() {
    let tests = Tests::of_the_tree();
    let here = "tests_of::tests_are_found_by_the_names_that_cargo_prints";
    assert_eq!(std::thread::current().name(), Some(here));
    assert!(tests.all.iter().any(|test| test.path == here));
    assert!(!tests.has("no_test_has_this_name"));
    let found = tests.selected("cargo test -p wavetank-store compares_see_what_is_staged");
    assert!(found.is_ok_and(|found| found.len() == 1));
    assert!(
        tests
            .selected("cargo test -p wavetank-store quantity")
            .is_err()
    );
}
