//! What of a line of output is different at each run, put into one form.

/// The letters of generated names, as in apimachinery's `rand.String`.
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
const WEEKDAYS: [&str; 7] = ["Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,"];

/// A line without its spacing, and with ages, times, generated names, uids, addresses, ports,
/// revisions and places in one form.
pub fn normal(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.split_whitespace();
    while let Some(word) = rest.next() {
        // `Mon, 23 Nov 2026 09:40:37 +0000`
        if WEEKDAYS.contains(&word) {
            words.push("<time>".to_owned());
            rest.nth(4);
            continue;
        }
        let after = words.last().map(String::as_str).unwrap_or_default();
        words.push(match after {
            "events" | "resourceVersion:" if is_number(word) => "<n>".to_owned(),
            _ => normal_word(word),
        });
    }
    words.join(" ")
}

/// A line of the simulator: only what the wall clock has written differs.
pub fn as_it_is(line: &str) -> String {
    match line.split_once(" wall ") {
        Some((history, _)) => history.to_owned(),
        None => line.trim_end().to_owned(),
    }
}

/// A line of the simulator, with any trace hash and number of events.
pub fn but_for_the_hash(line: &str) -> String {
    match line.starts_with("trace ") {
        true => normal(line),
        false => as_it_is(line),
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.trim_matches('"');
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn normal_word(word: &str) -> String {
    if word.starts_with("KUBECONFIG=") {
        return "KUBECONFIG=<path>".to_owned();
    }
    let bare = word.trim_matches(['(', ')', ',', ';', '"', '\'']);
    let form = match bare {
        _ if is_age(bare) => "<age>",
        _ if is_time(bare) => "<time>",
        _ if is_address(bare) => "<ip>",
        _ if bare.len() == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit()) => "<hash>",
        _ => return normal_pieces(word),
    };
    word.replacen(bare, form, 1)
}

/// `7s`, `2m30s`, `0.172s`.
fn is_age(word: &str) -> bool {
    let mut number = false;
    for c in word.chars() {
        match c {
            '0'..='9' | '.' => number = true,
            's' | 'm' | 'h' | 'd' if number => number = false,
            _ => return false,
        }
    }
    !word.is_empty() && !number
}

/// `2026-11-23T09:40:37Z`, with or without a fraction.
fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T'
}

/// `10.128.1.130`, `10.128.1.0/24`, `10.0.0.1:80`.
fn is_address(word: &str) -> bool {
    let host = word.split([':', '/', ',']).next().unwrap_or_default();
    let parts: Vec<&str> = host.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

/// Generated parts of names, uids, ports of loopback, numbers of nodes.
fn normal_pieces(word: &str) -> String {
    let mut out = String::new();
    let mut piece = String::new();
    let mut before = ' ';
    for c in word.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            piece.push(c);
            continue;
        }
        out.push_str(normal_piece(&out, before, &piece).unwrap_or(&piece));
        piece.clear();
        before = c;
        out.push(c);
    }
    let out = out.trim_end().to_owned();
    let uid = "<x>-<x>-<x>-<x>-<x>";
    out.replace(uid, "<uid>")
}

fn normal_piece(said: &str, before: char, piece: &str) -> Option<&'static str> {
    let generated = !piece.is_empty() && piece.chars().all(|c| GENERATED.contains(c));
    let hexadecimal = piece.bytes().all(|b| b.is_ascii_hexdigit());
    match (before, piece.len()) {
        (':', _) if said.ends_with("127.0.0.1:") => Some("<port>"),
        ('-', _) if said.ends_with("node-") && is_number(piece) => Some("<n>"),
        ('-', 5) if generated => Some("<id>"),
        ('-' | '=' | ' ' | '"', 8..=10) if generated => Some("<hash>"),
        ('.', 16) if hexadecimal => Some("<id>"),
        (_, 4 | 8 | 12) if hexadecimal && (piece.len() > 4 || before == '-') => Some("<x>"),
        _ => None,
    }
}

#[test]
fn what_differs_at_each_run_is_put_into_one_form() {
    let same = [
        (
            "web-7995b8d97d-c7zr6   1/1     Running   0          7s    10.128.1.130   node-3",
            "web-7995b8d97d-zn9x9 1/1 Running 0 1m7s 10.128.0.2 node-0",
        ),
        (
            "  uid: 3c5f0a7e-9d2b-4c1e-8a6f-0123456789ab",
            "uid: 00000000-1111-4222-8333-444444444444",
        ),
        (
            "  creationTimestamp: \"2026-11-23T09:40:37Z\"",
            "creationTimestamp: \"2027-01-01T00:00:00Z\"",
        ),
        (
            "Start Time:  Mon, 23 Nov 2026 09:40:37 +0000",
            "Start Time: Tue, 24 Nov 2026 10:00:00 +0000",
        ),
        (
            "5 simulated nodes at https://127.0.0.1:6443;",
            "5 simulated nodes at https://127.0.0.1:40001;",
        ),
        (
            "trace c3a1c73ba93ca84ad11cbea7e6d509e1 events 8996 virtual 20m wall 0.172s",
            "trace 00000000000000000000000000000000 events 1 virtual 20m wall 3s",
        ),
    ];
    for (one, other) in same {
        assert_eq!(normal(one), normal(other));
    }
    let different = [
        (
            "web-7995b8d97d-c7zr6 1/1 Running",
            "web-7995b8d97d-c7zr6 0/1 Running",
        ),
        (
            "deployment.apps/web created",
            "deployment.apps/web configured",
        ),
        ("replicas: 3", "replicas: 4"),
        ("shop-proxy", "shop-store"),
    ];
    for (one, other) in different {
        assert_ne!(normal(one), normal(other));
    }
}
