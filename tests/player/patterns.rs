//! Lines of expected output in which `…` stands for any text, and `…` alone for any lines.

/// Whether a line fits a pattern in which `…` stands for any text.
pub fn line_fits(pattern: &str, line: &str) -> bool {
    let mut rest = line.trim_end();
    let parts: Vec<&str> = pattern.trim_end().split('…').collect();
    let last = parts.len() - 1;
    for (at, part) in parts.iter().enumerate() {
        let found = match at {
            0 => rest.strip_prefix(part),
            _ if at == last && part.is_empty() => Some(""),
            _ if at == last => rest.ends_with(part).then_some(""),
            _ => rest.find(part).map(|from| &rest[from + part.len()..]),
        };
        match found {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Whether the output fits: each pattern a line, `…` alone any number of lines.
pub fn fits(patterns: &[String], lines: &[&str]) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=lines.len()).any(|skip| fits(rest, &lines[skip..]))
        }
        Some((pattern, rest)) => {
            lines.first().is_some_and(|line| line_fits(pattern, line)) && fits(rest, &lines[1..])
        }
    }
}
