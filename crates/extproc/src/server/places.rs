//! Where connections may be, and how many.
//!
//! In: whoever comes. Out: a [`Place`], once there is one. Never, where places are yielding: one that a peer can keep, whatever
//! it does.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// So many places.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    count: usize,
    yielding: Option<Arc<Mutex<Holders>>>,
}

/// Those who have places, or wait for them, the oldest first: each can be told that its place is wanted. At most as many as there
/// are places.
type Holders = VecDeque<oneshot::Sender<()>>;

/// A connection's place; given back when it ends, however it does.
#[derive(Debug)]
pub(super) struct Place {
    // Goes before the place does: nobody is told to go in the stead of one that has gone.
    wanted: Option<oneshot::Receiver<()>>,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// Places for which others wait until somebody has gone.
    pub(super) fn new(count: usize) -> Places {
        Places { free: Arc::new(Semaphore::new(count)), count, yielding: None }
    }

    /// Places of which another who comes is given that of the one who is longest there.
    pub(super) fn yielding(count: usize) -> Places {
        Places { yielding: Some(Arc::default()), ..Places::new(count) }
    }

    /// A place, once there is one.
    pub(super) async fn take(&self) -> Place {
        let wanted = self.yielding.as_ref().map(|holders| {
            let mut holders = holders.lock().unwrap_or_else(PoisonError::into_inner);
            holders.retain(|holder| !holder.is_closed());
            if holders.len() >= self.count {
                // Who has gone by itself needs not be told.
                let _ = holders.pop_front().map(|oldest| oldest.send(()));
            }
            let (holder, wanted) = oneshot::channel();
            holders.push_back(holder);
            wanted
        });
        let of_all = Arc::clone(&self.free).acquire_owned().await.expect("places are never closed");
        Place { wanted, _of_all: of_all }
    }

    /// Until nobody is there.
    pub(super) async fn emptied(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        // They are never closed.
        let _ = self.free.acquire_many(all).await;
    }

    pub(super) fn taken(&self) -> usize {
        self.count - self.free.available_permits()
    }
}

impl Place {
    /// Until another is to have this place.
    pub(super) async fn wanted(&mut self) {
        if let Some(wanted) = &mut self.wanted
            && wanted.await.is_ok()
        {
            return;
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    /// Whether it is done when all that can be done at once has been.
    async fn at_once<T>(done: impl Future<Output = T>) -> Option<T> {
        timeout(Duration::from_secs(1), done).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn where_places_yield_the_oldest_goes_for_whoever_comes_and_elsewhere_nobody_does() {
        for (places, yields) in [(Places::yielding(2), true), (Places::new(2), false)] {
            let (mut oldest, mut other) = (places.take().await, places.take().await);
            let mut coming = tokio::spawn({
                let places = places.clone();
                async move { places.take().await }
            });
            assert_eq!(at_once(oldest.wanted()).await.is_some(), yields);
            assert!(at_once(&mut coming).await.is_none(), "it has not gone yet");
            drop(oldest);
            let _last = at_once(&mut coming).await.expect("a place").expect("no panic");
            assert!(at_once(other.wanted()).await.is_none(), "one goes for each who comes");
            assert_eq!(places.taken(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_goes_where_a_place_is_free_or_the_server_does() {
        let places = Places::yielding(2);
        let mut first = places.take().await;
        drop(places.take().await);
        let mut second = places.take().await;
        drop(places);
        for place in [&mut first, &mut second] {
            assert!(at_once(place.wanted()).await.is_none());
        }
    }
}
