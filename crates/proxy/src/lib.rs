//! Door 1: the whole journey in one process, over HTTP/1.1.

mod deadlines;
mod settings;

pub use settings::Settings;
