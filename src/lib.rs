//! The facade a library user imports.
pub use wavetank_api as api;
