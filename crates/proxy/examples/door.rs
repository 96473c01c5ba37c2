//! The proxy door alone, for profiling: serves a folder of manifests with the default settings until it is killed.
//!
//! `door FOLDER [CORES]`

use mimalloc::MiMalloc;
use proxy::{Proxy, Settings};
use resources::Folder;
use state::{Clock, World};
use std::sync::Arc;
use telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("a folder of manifests");
    let cores = arguments.next().map_or(1, |cores| cores.parse().expect("a number of cores"));
    let world = Arc::new(World::new(state::Settings::default(), Clock::start()));
    world.apply(Folder::new([folder]).load());
    let settings = Settings { cores, ..Settings::default() };
    let _door = Proxy::start(world, settings, Telemetry::new(cores, 4096)).expect("free ports");
    loop {
        std::thread::park();
    }
}
