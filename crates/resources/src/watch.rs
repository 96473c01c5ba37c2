//! The loads of a folder as it changes.
//!
//! In: a [`Folder`]. Out: a [`Load`] after each change that means something, the latest only. The file system tells of most
//! changes; looking again every [`POLL_INTERVAL`] finds those it does not tell of (a folder deleted and made again, a link to
//! somewhere else, a network file system).
//! Never: a panic, a thread that outlives its [`Watch`] for longer than one load.

use crate::folder::{Folder, Load};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// How often the files are looked at when nothing is told.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// An editor or `kubectl cp` writes several files: wait until nothing was told for so long,
const QUIET: Duration = Duration::from_millis(100);
/// but never longer than this.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Tells of changes until it is dropped.
#[derive(Debug)]
pub struct Watch {
    loads: watch::Receiver<Load>,
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
}

impl Watch {
    /// The next load, when there is one. If several changes came meanwhile, the latest. `None` if there will be none.
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Load> {
        self.loads.changed().await.ok()?;
        Some(self.loads.borrow_and_update().clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A full channel wakes the thread as well.
        let _ = self.wake.try_send(());
    }
}

impl Folder {
    /// Watches for changes since the last load, on a thread of its own. If the system gives no thread there will be no load.
    pub fn watch(mut self) -> Watch {
        let (loads, receiver) = watch::channel(Load::default());
        // One wake-up is as good as many: what does not fit is told already.
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Watch { loads: receiver, stop: stop.clone(), wake: wake.clone() };
        let look = move || {
            let mut eyes = Eyes::new(wake);
            while !stop.load(Ordering::Acquire) {
                eyes.fix_on(self.paths());
                if let Some(load) = self.load_if_changed()
                    && loads.send(load).is_err()
                {
                    return;
                }
                wait(&woken, &stop);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("manifests".to_owned()).spawn(look) {
            tracing::error!(%error, "no thread to watch the manifests: changes are not taken up");
        }
        told
    }
}

/// Waits until something was told and then nothing for a while, or until it is time to look again.
fn wait(woken: &Receiver<()>, stop: &AtomicBool) {
    if woken.recv_timeout(POLL_INTERVAL) != Ok(()) {
        return;
    }
    let since = Instant::now();
    while !stop.load(Ordering::Acquire)
        && since.elapsed() < QUIET_MAX
        && woken.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout)
    {}
}

/// What the file system is asked to tell of.
struct Eyes {
    wake: SyncSender<()>,
    watcher: Option<RecommendedWatcher>,
    /// The folders watched, each with what tells it from another of its name.
    seen: BTreeMap<PathBuf, Option<SystemTime>>,
    /// A watched folder went away; the one that comes after it is another.
    lost: Arc<AtomicBool>,
}

impl Eyes {
    fn new(wake: SyncSender<()>) -> Eyes {
        Eyes { wake, watcher: None, seen: BTreeMap::new(), lost: Arc::default() }
    }

    /// Watches the folders of these paths, unless they are watched already.
    fn fix_on(&mut self, paths: &[PathBuf]) {
        let wanted: BTreeMap<_, _> = paths.iter().filter_map(|path| folder_of(path)).collect();
        let lost = self.lost.swap(false, Ordering::AcqRel);
        if wanted == self.seen && !lost {
            return;
        }
        self.watcher = self.watch(wanted.keys());
        self.seen = wanted;
    }

    fn watch<'p>(&self, folders: impl Iterator<Item = &'p PathBuf>) -> Option<RecommendedWatcher> {
        let (wake, lost) = (self.wake.clone(), self.lost.clone());
        let tell = move |event: notify::Result<notify::Event>| {
            match event {
                // Our own reading.
                Ok(event) if event.kind.is_access() => return,
                Ok(event) => lost.fetch_or(event.kind.is_remove(), Ordering::AcqRel),
                Err(_) => lost.swap(true, Ordering::AcqRel),
            };
            let _ = wake.try_send(());
        };
        let mut watcher = notify::recommended_watcher(tell)
            .inspect_err(
                |error| tracing::warn!(%error, "the file system tells of no changes; looking every 5 s"),
            )
            .ok()?;
        for folder in folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!(%error, %folder, "the file system tells of no changes here; looking every 5 s");
            }
        }
        Some(watcher)
    }
}

/// The folder to watch for a path: itself, or the one a file is in (an editor saves by renaming). A folder that a path led to
/// before and one that it leads to now differ in where they are and when they were made.
fn folder_of(path: &Path) -> Option<(PathBuf, Option<SystemTime>)> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = folder.canonicalize().ok()?;
    let made = real.metadata().and_then(|metadata| metadata.created()).ok();
    Some((real, made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_is_dropped_ends_its_thread_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Folder::new([folder.path()]).watch();
        // The thread and the watch hold one each.
        let stop = watch.stop.clone();
        drop(watch);
        let since = Instant::now();
        while Arc::strong_count(&stop) > 1 {
            assert!(since.elapsed() < POLL_INTERVAL, "the thread goes on");
            std::thread::yield_now();
        }
    }
}
