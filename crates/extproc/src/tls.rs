//! TLS of the ext_proc ports: a certificate made at start, or one from files that is taken up anew when they change.
//!
//! Gateways do not verify an endpoint picker's certificate (the Endpoint Picker Protocol asks for TLS, not for a name), so
//! a self-signed one is as good as they ask for.
//! Never: a key in the log; a broken file in the place of a certificate that works.

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// The certificate's file in the folder, and its key's.
const CERTIFICATE_FILE: &str = "tls.crt";
const KEY_FILE: &str = "tls.key";

/// How often the files are looked at when nothing is told.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Kubernetes swaps a mounted Secret in several steps: wait until nothing was told for so long.
const QUIET: Duration = Duration::from_millis(250);

/// The longest that a folder which is never quiet is waited for.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// Who a self-signed certificate names.
const ORGANIZATION: &str = "Pointsman";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The key does not fit, or is of no kind that is known.
    #[error("the certificate cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

/// The certificate that connections are answered with.
#[derive(Debug)]
pub struct Certificates(ArcSwap<CertifiedKey>);

impl Certificates {
    /// One made here and now.
    pub fn self_signed() -> Result<Arc<Certificates>, TlsError> {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, ORGANIZATION);
        let key = rcgen::KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let usable = usable(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(Certificates(ArcSwap::from_pointee(usable))))
    }

    /// The one in `folder`, as `tls.crt` and `tls.key`; taken up again whenever these change, as long as it is used.
    pub fn of_folder(folder: &Path) -> Result<Arc<Certificates>, TlsError> {
        let certificates = Arc::new(Certificates(ArcSwap::from_pointee(read(folder)?)));
        let (folder, used) = (folder.to_owned(), Arc::downgrade(&certificates));
        let watch = move || keep_reading(&folder, &used);
        if let Err(error) = std::thread::Builder::new().name("certificates".to_owned()).spawn(watch) {
            tracing::error!(%error, "no thread to watch the certificate: changes are not taken up");
        }
        Ok(certificates)
    }

    /// How connections are served with it: HTTP/2 only.
    pub fn config(self: &Arc<Certificates>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read(folder: &Path) -> Result<CertifiedKey, TlsError> {
    let path = folder.join(CERTIFICATE_FILE);
    let unread = |error| TlsError::File { path: path.clone(), error };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(&path).map_err(unread)?.collect::<Result<_, _>>().map_err(unread)?;
    if chain.is_empty() {
        return Err(TlsError::Empty(path));
    }
    let path = folder.join(KEY_FILE);
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|error| TlsError::File { path, error })?;
    usable(chain, key)
}

fn usable(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    let usable = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key)?);
    usable.keys_match()?;
    Ok(usable)
}

/// Reads the files again when they change, until nobody uses the certificate.
fn keep_reading(folder: &Path, used: &Weak<Certificates>) {
    let (wake, woken) = sync_channel(1);
    // Kept here too: without eyes nobody wakes this thread, and it sleeps all the same.
    let _eyes = eyes(folder, wake.clone());
    loop {
        if woken.recv_timeout(POLL_INTERVAL).is_ok() {
            let since = Instant::now();
            while since.elapsed() < QUIET_MAX && woken.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) {
            }
        }
        let Some(certificates) = used.upgrade() else { return };
        match read(folder) {
            Ok(new) if new.cert == certificates.0.load().cert => {}
            Ok(new) => {
                certificates.0.store(Arc::new(new));
                tracing::info!(folder = %folder.display(), "the certificate has changed and is in force");
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate cannot be taken up; the last good one stays")
            }
        }
    }
}

/// What tells of changes; without it they are found by looking.
fn eyes(folder: &Path, wake: SyncSender<()>) -> Option<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        // Our own reading tells of nothing; and one wake-up is as good as many.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = wake.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher.inspect_err(|error| tracing::warn!(%error, "the certificate is looked at only now and then")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
        std::fs::write(folder.join(CERTIFICATE_FILE), certificate.pem()).unwrap();
        std::fs::write(folder.join(KEY_FILE), key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    fn wait_for(certificates: &Certificates, wanted: &[u8]) {
        let patience = Instant::now() + Duration::from_secs(30);
        while *certificates.0.load().cert[0] != *wanted {
            assert!(Instant::now() < patience, "the new certificate never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_certificate_is_taken_up_when_its_files_change_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Certificates::of_folder(folder.path()).is_err());
        let first = write(folder.path());
        let certificates = Certificates::of_folder(folder.path()).unwrap();
        wait_for(&certificates, &first);
        std::fs::write(folder.path().join(CERTIFICATE_FILE), "nonsense").unwrap();
        let second = write(folder.path());
        wait_for(&certificates, &second);
        assert!(certificates.config().is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_an_error() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(folder.path());
        write(other.path());
        std::fs::copy(other.path().join(KEY_FILE), folder.path().join(KEY_FILE)).unwrap();
        assert!(matches!(Certificates::of_folder(folder.path()), Err(TlsError::Use(_))));
    }
}
