//! The large runs, once each: wall and CPU time, events, and how many pods run at the end.
//!
//! `cargo bench -p wavetank-benches --bench scale -- [NAME]`
#![allow(clippy::disallowed_types, reason = "a bench measures the wall clock")]

use std::time::Instant;

use wavetank_benches::deployments;
use wavetank_sim::{Scenario, Seed, World};

/// CPU seconds of this thread, which is the only one (`/proc/self/schedstat`).
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.unwrap_or(f64::NAN) / 1e9
}

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let runs: [(&str, Scenario); 6] = [
        ("beats-10m", deployments(100, 1, "10m", false)),
        ("start-100", deployments(100, 1_000, "60s", false)),
        ("beats-100", deployments(100, 1, "1h", false)),
        ("hour-100", deployments(100, 1_000, "1h", true)),
        ("start-5000", deployments(5_000, 10_000, "60s", false)),
        ("hour-1000", deployments(1_000, 10_000, "1h", true)),
    ];
    println!(
        "{:<12} {:>9} {:>9} {:>12} {:>9} {:>9}",
        "run", "wall s", "cpu s", "events", "us/event", "running"
    );
    for (name, scenario) in runs {
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let (began, cpu_before) = (Instant::now(), cpu());
        let mut world = World::new(&scenario, Seed(1), false);
        world.finish(&scenario);
        let wall = began.elapsed().as_secs_f64();
        let cpu = cpu() - cpu_before;
        let events = world.trace().events();
        let pods = world.range("/registry/pods/");
        let running = pods.iter().filter(|pod| {
            let text = String::from_utf8_lossy(&pod.value);
            text.contains("\"phase\":\"Running\"")
        });
        let running = running.count();
        let each = cpu * 1e6 / events as f64;
        println!("{name:<12} {wall:>9.2} {cpu:>9.2} {events:>12} {each:>9.2} {running:>9}");
    }
}
