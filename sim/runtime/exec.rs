//! The few commands that a simulated container knows: as its program, in probes, in `kubectl exec`.
//!
//! 1. The same command in the same container at the same time gives the same answer.
//!
//! Left out: pipes, loops, globs, variables other than the environment's.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::{ContainerConfig, Labels};

use super::behavior::{Script, duration};
use super::files::{Found, Volumes, find};

/// What a command finds around it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Its container.
    pub config: &'a ContainerConfig,
    /// Its sandbox.
    pub sandbox: SandboxView<'a>,
    /// The volumes of its host.
    pub volumes: &'a Volumes,
    /// The time.
    pub now: Time,
}

/// What a program sees of its sandbox.
#[derive(Clone, Copy, Debug)]
pub struct SandboxView<'a> {
    /// `hostname`.
    pub hostname: &'a str,
    /// The pod's address.
    pub ip: Option<Ipv4Addr>,
    /// The `sim.wavetank.dev/` annotations.
    pub script: &'a Labels,
}

/// What a command says, and how and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecAnswer {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; 127 for a command that is not there.
    pub exit_code: i32,
    /// How long it takes; `None`: for ever.
    pub takes: Option<Duration>,
    /// Whether the command is one of those built in or scripted.
    pub is_known: bool,
    /// There is no such program: it could not even be started.
    pub is_missing: bool,
    /// Then it goes on to copy its standard input to its standard output.
    pub copies_input: bool,
}

/// A container's program, as far as its command says what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it prints at its start.
    pub stdout: String,
    /// Its exit code.
    pub code: i32,
    /// When it ends; `None`: never.
    pub takes: Option<Duration>,
    /// It copies its standard input to its standard output, and ends with it.
    pub copies_input: bool,
}

/// What the command of a container does, if it is one that is known here.
pub fn program(config: &ContainerConfig, around: &Surroundings<'_>) -> Option<Program> {
    let argv: Vec<Arc<str>> = config.command.iter().chain(&config.args).cloned().collect();
    if argv.is_empty() {
        return None;
    }
    let answer = run(&argv, around);
    let instant = Duration::from_millis(50);
    let waits = answer.copies_input && config.stdin;
    answer.is_known.then(|| Program {
        stdout: answer.stdout,
        code: answer.exit_code,
        takes: answer
            .takes
            .filter(|_| !waits)
            .map(|takes| takes.max(instant)),
        copies_input: answer.copies_input,
    })
}

/// Carries out a command.
pub fn run(argv: &[Arc<str>], around: &Surroundings<'_>) -> ExecAnswer {
    let words: Vec<&str> = argv.iter().map(|word| &**word).collect();
    if let Some(output) = scripted(&words.join(" "), around) {
        return said(output);
    }
    simple(&words, around)
}

/// An answer out of the annotation `exec-answers`.
fn scripted(command: &str, around: &Surroundings<'_>) -> Option<String> {
    let container = &around.config.metadata.name;
    let script = Script {
        annotations: around.sandbox.script,
        container,
    };
    let lines = script.text("exec-answers")?.lines();
    let mut answers = lines.filter_map(|line| line.split_once("=>"));
    let (_, output) = answers.find(|(asked, _)| asked.trim() == command)?;
    Some(format!("{}\n", output.trim()))
}

fn said(stdout: impl Into<String>) -> ExecAnswer {
    ExecAnswer {
        stdout: stdout.into(),
        takes: Some(Duration::ZERO),
        is_known: true,
        ..failed()
    }
}

fn failed() -> ExecAnswer {
    ExecAnswer {
        takes: Some(Duration::ZERO),
        is_known: true,
        ..ExecAnswer::default()
    }
}

fn ends_with(exit_code: i32) -> ExecAnswer {
    ExecAnswer {
        exit_code,
        ..failed()
    }
}

/// One command without a shell.
fn simple(words: &[&str], around: &Surroundings<'_>) -> ExecAnswer {
    let Some((name, args)) = words.split_first() else {
        return ends_with(0);
    };
    match name.rsplit('/').next().unwrap_or(name) {
        "echo" => match args {
            ["-n", rest @ ..] => said(rest.join(" ")),
            _ => said(args.join(" ") + "\n"),
        },
        "true" | ":" => ends_with(0),
        "false" => ends_with(1),
        "sleep" => sleep(args),
        "hostname" => hostname(args, around),
        "env" | "printenv" if args.is_empty() => said(environment(around)),
        "printenv" => printenv(args, around),
        "cat" if args.is_empty() => ExecAnswer {
            copies_input: true,
            ..said("")
        },
        "cat" => args
            .iter()
            .fold(said(""), |so_far, path| then(so_far, cat(path, around))),
        "ls" => ls(args, around),
        "pwd" => said(format!("{}\n", directory(around.config))),
        "date" => said(format!("{}\n", around.now.to_rfc3339())),
        "id" => said("uid=0(root) gid=0(root) groups=0(root)\n"),
        "whoami" => said("root\n"),
        "uname" if args == ["-a"] => {
            let host = around.sandbox.hostname;
            said(format!(
                "Linux {host} 6.12.0-wavetank #1 SMP x86_64 GNU/Linux\n"
            ))
        }
        "uname" => said("Linux\n"),
        "ps" => {
            let command: Vec<&str> = around.config.command.iter().map(|word| &**word).collect();
            said(format!(
                "PID   USER     TIME  COMMAND\n    1 root      0:00 {}\n",
                command.join(" ")
            ))
        }
        "exit" => ends_with(args.first().and_then(|code| code.parse().ok()).unwrap_or(0)),
        "sh" | "bash" | "ash" => match args {
            ["-c" | "-ec" | "-exc" | "-lc", script, ..] => shell(script, around),
            _ => ends_with(0),
        },
        _ => ExecAnswer {
            stderr: format!("exec: \"{name}\": executable file not found in $PATH"),
            exit_code: 127,
            is_known: false,
            is_missing: true,
            ..failed()
        },
    }
}

fn sleep(args: &[&str]) -> ExecAnswer {
    let time = args.first().and_then(|text| match *text {
        "infinity" | "inf" => Some(None),
        text => {
            let text = if text.ends_with(|c: char| c.is_ascii_digit()) {
                format!("{text}s")
            } else {
                text.to_string()
            };
            duration(&text).map(Some)
        }
    });
    match time {
        Some(takes) => ExecAnswer { takes, ..failed() },
        None => ExecAnswer {
            stderr: "sleep: invalid number\n".into(),
            ..ends_with(1)
        },
    }
}

fn hostname(args: &[&str], around: &Surroundings<'_>) -> ExecAnswer {
    match (args, around.sandbox.ip) {
        (["-i" | "-I", ..], Some(ip)) => said(format!("{ip}\n")),
        _ => said(format!("{}\n", around.sandbox.hostname)),
    }
}

fn variables<'a>(around: &Surroundings<'a>) -> BTreeMap<&'a str, &'a str> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let built_in = [
        ("PATH", path),
        ("HOSTNAME", around.sandbox.hostname),
        ("HOME", "/root"),
    ];
    let own = around
        .config
        .envs
        .iter()
        .map(|(name, value)| (&**name, &**value));
    built_in.into_iter().chain(own).collect()
}

fn environment(around: &Surroundings<'_>) -> String {
    variables(around)
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}

fn printenv(names: &[&str], around: &Surroundings<'_>) -> ExecAnswer {
    let known = variables(around);
    names
        .iter()
        .fold(said(""), |so_far, name| match known.get(name) {
            Some(value) => then(so_far, said(format!("{value}\n"))),
            None => then(so_far, ends_with(1)),
        })
}

fn directory(config: &ContainerConfig) -> &str {
    if config.working_dir.is_empty() {
        "/"
    } else {
        &config.working_dir
    }
}

fn cat(path: &str, around: &Surroundings<'_>) -> ExecAnswer {
    let why = match find(path, around) {
        Some(Found::File(text)) => return said(text),
        Some(Found::Directory(_)) => "read error: Is a directory".to_string(),
        None => format!("can't open '{path}': No such file or directory"),
    };
    ExecAnswer {
        stderr: format!("cat: {why}\n"),
        ..ends_with(1)
    }
}

fn ls(args: &[&str], around: &Surroundings<'_>) -> ExecAnswer {
    let mut paths = args.iter().filter(|arg| !arg.starts_with('-'));
    let path = paths.next().copied().unwrap_or(".");
    match find(path, around) {
        Some(Found::File(_)) => said(format!("{path}\n")),
        Some(Found::Directory(names)) => said(
            names
                .iter()
                .map(|name| format!("{name}\n"))
                .collect::<String>(),
        ),
        None => ExecAnswer {
            stderr: format!("ls: {path}: No such file or directory\n"),
            ..ends_with(1)
        },
    }
}

/// Both answers, the second after the first.
fn then(first: ExecAnswer, second: ExecAnswer) -> ExecAnswer {
    ExecAnswer {
        stdout: first.stdout + &second.stdout,
        stderr: first.stderr + &second.stderr,
        exit_code: if second.exit_code == 0 {
            first.exit_code
        } else {
            second.exit_code
        },
        takes: first
            .takes
            .zip(second.takes)
            .map(|(a, b)| a.saturating_add(b)),
        is_known: first.is_known && second.is_known,
        is_missing: false,
        copies_input: first.copies_input || second.copies_input,
    }
}

/// A script of commands with `;`, newlines, `&&` and `||` between. What has a loop in it runs for
/// ever; a trap is passed over.
fn shell(script: &str, around: &Surroundings<'_>) -> ExecAnswer {
    if ["while ", "until ", "for ", "tail -f"]
        .iter()
        .any(|word| script.contains(word))
    {
        return ExecAnswer {
            takes: None,
            ..failed()
        };
    }
    let spaced = script
        .replace("&&", "\n&")
        .replace("||", "\n|")
        .replace(';', "\n");
    let mut answer = said("");
    for line in spaced.lines() {
        let line = line.trim();
        let (wanted, command) = match line.split_at_checked(1) {
            Some(("&", rest)) => (answer.exit_code == 0, rest.trim()),
            Some(("|", rest)) => (answer.exit_code != 0, rest.trim()),
            _ => (true, line),
        };
        if !wanted || command.is_empty() || command.starts_with("trap ") {
            continue;
        }
        let words = split(command.trim_start_matches("exec "), around);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut next = simple(&words, around);
        if let (true, Some(name)) = (next.is_missing, words.first()) {
            next.stderr = format!("sh: {name}: not found\n");
        }
        let code = next.exit_code;
        answer = then(answer, next);
        answer.exit_code = code;
        if words.first() == Some(&"exit") || answer.takes.is_none() {
            break;
        }
    }
    answer
}

/// Words of a command: quotes hold words together, `$NAME` is replaced outside single quotes,
/// redirections are dropped.
fn split(command: &str, around: &Surroundings<'_>) -> Vec<String> {
    let known = variables(around);
    let (mut words, mut word, mut quote, mut is_open) = (Vec::new(), String::new(), None, false);
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                is_open = true;
            }
            (c, Some(q)) if c == q => quote = None,
            ('$', q) if q != Some('\'') => {
                let mut name = String::new();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || "_{}".contains(*c)) {
                    name.push(c);
                }
                let name = name.trim_matches(['{', '}']);
                word.push_str(known.get(name).copied().unwrap_or_default());
                is_open = true;
            }
            ('>', None) => break,
            (c, None) if c.is_whitespace() => {
                if is_open {
                    words.push(core::mem::take(&mut word));
                }
                is_open = false;
            }
            (c, _) => {
                word.push(c);
                is_open = true;
            }
        }
    }
    if is_open {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_cri::container::{ContainerMetadata, LinuxContainerResources};

    fn answer(argv: &[&str]) -> ExecAnswer {
        let config = ContainerConfig {
            metadata: ContainerMetadata {
                name: "web".into(),
                attempt: 0,
            },
            image: "nginx".into(),
            command: Vec::new(),
            args: Vec::new(),
            working_dir: "".into(),
            envs: vec![("COLOR".into(), "blue green".into())],
            labels: Labels::new(),
            annotations: Labels::new(),
            resources: LinuxContainerResources::default(),
            stdin: false,
            stdin_once: false,
            tty: false,
            mounts: Vec::new(),
        };
        let script = Labels::from([(
            "sim.wavetank.dev/exec-answers".into(),
            "redis-cli ping => PONG".into(),
        )]);
        let ip = Some(Ipv4Addr::new(10, 244, 0, 7));
        let sandbox = SandboxView {
            hostname: "web-0",
            ip,
            script: &script,
        };
        let around = Surroundings {
            config: &config,
            sandbox,
            volumes: &Volumes::new(),
            now: Time::from_secs(0),
        };
        let argv: Vec<Arc<str>> = argv.iter().map(|word| Arc::from(*word)).collect();
        run(&argv, &around)
    }

    #[test]
    fn commands_answer_as_a_person_would_expect() {
        for (argv, stdout, code) in [
            (&["hostname"][..], "web-0\n", 0),
            (&["hostname", "-i"], "10.244.0.7\n", 0),
            (&["echo", "a", "b"], "a b\n", 0),
            (&["printenv", "COLOR"], "blue green\n", 0),
            (&["cat", "/etc/hostname"], "web-0\n", 0),
            (&["sh", "-c", "exit 3"], "", 3),
            (
                &[
                    "sh",
                    "-c",
                    "echo \"$COLOR\" 'x y' && false || echo z; exit 4",
                ],
                "blue green x y\nz\n",
                4,
            ),
            (&["redis-cli", "ping"], "PONG\n", 0),
            (&["date"], "1970-01-01T00:00:00Z\n", 0),
            (&["nosuch"], "", 127),
        ] {
            let answer = answer(argv);
            assert_eq!(
                (&*answer.stdout, answer.exit_code),
                (stdout, code),
                "{argv:?}"
            );
        }
        assert_eq!(
            answer(&["sleep", "90"]).takes,
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            answer(&["sh", "-c", "while true; do sleep 1; done"]).takes,
            None
        );
        assert!(!answer(&["nosuch"]).is_known);
    }
}
