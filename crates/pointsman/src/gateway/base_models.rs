//! The base models of adapters, from the ConfigMaps of a folder as it changes.

use super::{StartError, read};
use arc_swap::ArcSwap;
use extproc::bbr::BaseModels;
use resources::{Audience, Load};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Keeps the base models as the folder has them. Dropped, it ends.
pub(crate) struct BaseModelMaps {
    models: Arc<ArcSwap<BaseModels>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl BaseModelMaps {
    /// Reads the folder, and follows its changes; without paths there are no base models. A file that cannot be used ends the
    /// start.
    pub(crate) fn start(config: &[PathBuf], namespace: Option<String>) -> Result<BaseModelMaps, StartError> {
        let models = Arc::<ArcSwap<BaseModels>>::default();
        if config.is_empty() {
            return Ok(BaseModelMaps { models, stop: None, thread: None });
        }
        let (folder, load, mut told) = read(config, Audience::BodyBasedRouter)?;
        take_up(&models, &load, namespace.as_deref());
        if models.load().is_empty() {
            tell(&models);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let followed = Arc::clone(&models);
        let follow = async move {
            let mut watch = folder.watch();
            while let Some(load) = watch.next().await {
                told.tell_new(&load.findings);
                take_up(&followed, &load, namespace.as_deref());
            }
            std::future::pending::<()>().await;
        };
        let work = async move {
            tokio::select! {
                _ = stopped => (),
                () = follow => (),
            }
        };
        let thread = std::thread::Builder::new()
            .name("base-models".to_owned())
            .spawn(move || runtime.block_on(work))
            .map_err(StartError::Thread)?;
        Ok(BaseModelMaps { models, stop: Some(stop), thread: Some(thread) })
    }

    /// The base models, kept up to date.
    pub(crate) fn models(&self) -> Arc<ArcSwap<BaseModels>> {
        Arc::clone(&self.models)
    }
}

impl Drop for BaseModelMaps {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

fn take_up(models: &ArcSwap<BaseModels>, load: &Load, namespace: Option<&str>) {
    let new = BaseModels::of(load.store.config_maps.values(), namespace);
    if **models.load() != new {
        models.store(Arc::new(new));
        tell(models);
    }
}

/// How many are known: at a start also where there are none.
fn tell(models: &ArcSwap<BaseModels>) {
    tracing::info!(models = models.load().len(), "the base models of adapters have been read");
}
