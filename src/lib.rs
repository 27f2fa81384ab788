//! The facade a library user imports: the simulator, and the crates it simulates.
//!
//! Book: `book/src/start/map.md`.

pub use wavetank_api as api;
pub use wavetank_controllers as controllers;
pub use wavetank_scheduler as scheduler;
pub use wavetank_sim as sim;
