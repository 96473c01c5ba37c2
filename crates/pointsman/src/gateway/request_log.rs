//! The access log: a line for each request that has ended, on standard output, written by a thread of its own.
//!
//! The data path only fills its rings, and a reader that does not read stops nobody but this thread: what it misses is lost.

use super::settings::AccessLog;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use telemetry::{Cursor, LogFormat, Telemetry, access_log};

/// How often ended requests are written.
const INTERVAL: Duration = Duration::from_millis(100);

/// The longest that the end of the program waits for the last lines to be taken.
const LAST_LINES_WAIT: Duration = Duration::from_secs(1);

/// The access log. Dropped, it ends with the lines of the requests that have ended.
pub(super) struct RequestLog {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl RequestLog {
    /// Starts writing; `None` if it is off.
    pub(super) fn start(telemetry: &Arc<Telemetry>, form: AccessLog) -> io::Result<Option<RequestLog>> {
        let format = match form {
            AccessLog::Off => return Ok(None),
            AccessLog::Plain => LogFormat::Plain,
            AccessLog::Json => LogFormat::Json,
        };
        let (telemetry, mut cursor) = (Arc::clone(telemetry), telemetry.now());
        let (stop, stopped) = channel::<()>();
        let (ends, ended) = channel();
        std::thread::Builder::new().name("access log".to_owned()).spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                write(&telemetry, &mut cursor, format);
            }
            write(&telemetry, &mut cursor, format);
            // Nobody may be waiting any more.
            let _ = ends.send(());
        })?;
        Ok(Some(RequestLog { stop: Some(stop), ended }))
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.stop.take();
        // A reader that does not read keeps no program from ending.
        let _ = self.ended.recv_timeout(LAST_LINES_WAIT);
    }
}

/// Writes what has ended since the last time.
fn write(telemetry: &Telemetry, cursor: &mut Cursor, format: LogFormat) {
    let records = telemetry.since(cursor);
    let lines: String = records.iter().map(|record| access_log(record, format) + "\n").collect();
    // A reader that has gone away is no reason to stop serving.
    let _ = io::stdout().lock().write_all(lines.as_bytes());
}
