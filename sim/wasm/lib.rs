//! The simulator in a browser: one exported function over linear memory, no bindings generator.
//!
//! Who calls it: `.ci/wasm.mjs`, to compare trace hashes with native runs; the book's player.
//!
//! Book: `book/src/simulator/world.md`.

use wavetank_sim::{Scenario, Seed, World};

/// Reserves `length` bytes for the caller to write a scenario into.
#[unsafe(no_mangle)]
pub extern "C" fn reserve(length: usize) -> *mut u8 {
    let buffer = vec![0u8; length].into_boxed_slice();
    Box::leak(buffer).as_mut_ptr()
}

/// Runs the scenario in the buffer of [`reserve`] with `seed`, and returns where its last line is:
/// the address in the high 32 bits, the length in the low ones.
///
/// # Safety
/// `scenario` and `length` are those of one call of [`reserve`], used once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn run(scenario: *mut u8, length: usize, seed: u64) -> u64 {
    // SAFETY: the caller passes on what `reserve` leaked, once.
    let bytes = unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(scenario, length)) };
    let text = String::from_utf8_lossy(&bytes);
    let line = match Scenario::parse(&text) {
        Err(error) => error.to_string(),
        Ok(scenario) => {
            let mut world = World::new(&scenario, Seed(seed), false);
            world.finish(&scenario);
            format!(
                "trace {} events {}",
                world.trace().hash(),
                world.trace().events()
            )
        }
    };
    let line = Box::leak(line.into_bytes().into_boxed_slice());
    ((line.as_ptr() as u64) << 32) | line.len() as u64
}
