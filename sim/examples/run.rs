//! The simulator without the root binary: `cargo run -p wavetank-sim --example run -- FILE SEED`.
//!
//! Book: `book/src/simulator/scenarios.md`.

use wavetank_sim::{Scenario, Seed, World};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, seed] = arguments.as_slice() else {
        return Err("usage: run FILE SEED".into());
    };
    let scenario = Scenario::parse(&std::fs::read_to_string(file)?)?;
    let mut world = World::new(&scenario, Seed(seed.parse()?), false);
    world.finish(&scenario);
    for failure in world.verdict().failures {
        println!("{failure}");
    }
    println!(
        "trace {} events {}",
        world.trace().hash(),
        world.trace().events()
    );
    Ok(())
}
