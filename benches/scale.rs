//! The large runs, once each: wall time, events, and how many pods run at the end.
//!
//! `cargo bench -p wavetank-benches --bench scale -- [NAME]`
#![allow(clippy::disallowed_types, reason = "a bench measures the wall clock")]

use std::time::Instant;

use wavetank_benches::deployments;
use wavetank_sim::{Scenario, Seed, World};

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let runs: [(&str, Scenario); 3] = [
        ("hour-100", deployments(100, 1_000, "1h", true)),
        ("start-5000", deployments(5_000, 10_000, "60s", false)),
        ("hour-1000", deployments(1_000, 10_000, "1h", true)),
    ];
    println!(
        "{:<12} {:>9} {:>12} {:>9} {:>9}",
        "run", "wall s", "events", "us/event", "running"
    );
    for (name, scenario) in runs {
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let began = Instant::now();
        let mut world = World::new(&scenario, Seed(1), false);
        world.finish(&scenario);
        let wall = began.elapsed().as_secs_f64();
        let events = world.trace().events();
        let pods = world.range("/registry/pods/");
        let running = pods.iter().filter(|pod| {
            let text = String::from_utf8_lossy(&pod.value);
            text.contains("\"phase\":\"Running\"")
        });
        let running = running.count();
        let each = wall * 1e6 / events as f64;
        println!("{name:<12} {wall:>9.2} {events:>12} {each:>9.2} {running:>9}");
    }
}
