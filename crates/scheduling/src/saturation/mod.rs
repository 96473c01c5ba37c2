//! Saturation detectors tell whether a pool's endpoints are full; step 3, admit, asks them. The reference's two are
//! filters as well, where a profile refers to them.

mod concurrency;
mod no_room;
mod utilization;

pub use concurrency::ConcurrencyDetector;
pub use no_room::NoRoomDetector;
pub use utilization::UtilizationDetector;

use crate::Load;

/// A saturation detector, by its plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SaturationDetector {
    /// `concurrency-detector`
    Concurrency(ConcurrencyDetector),
    /// Our own, where no file names one
    NoRoom(NoRoomDetector),
    /// `utilization-detector`
    Utilization(UtilizationDetector),
}

impl Default for SaturationDetector {
    fn default() -> SaturationDetector {
        SaturationDetector::NoRoom(NoRoomDetector::default())
    }
}

impl SaturationDetector {
    /// How full the endpoints are: from 1 on, saturated.
    pub fn saturation(&self, endpoints: &[Load]) -> f32 {
        match self {
            SaturationDetector::Concurrency(detector) => detector.saturation(endpoints),
            SaturationDetector::NoRoom(detector) => detector.saturation(endpoints),
            SaturationDetector::Utilization(detector) => detector.saturation(endpoints),
        }
    }

    /// Why it tells saturation, of so many ready endpoints.
    pub fn why(&self, ready: u32) -> String {
        match self {
            SaturationDetector::Concurrency(detector) => detector.why(ready),
            SaturationDetector::NoRoom(detector) => detector.why(ready),
            SaturationDetector::Utilization(detector) => detector.why(ready),
        }
    }
}

/// The subject of a reason.
fn endpoints_have(ready: u32) -> String {
    match ready {
        1 => "one ready endpoint has".to_owned(),
        _ => format!("{ready} ready endpoints have"),
    }
}

#[cfg(test)]
mod tests;
