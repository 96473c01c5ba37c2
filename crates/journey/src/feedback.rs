//! Step 5 of 5, learn: what came back becomes load, health and predictions.

/// How a request ended at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The response came whole (any status below 500).
    Served,
    /// The endpoint answered 5xx; counts towards its ejection.
    ServerError {
        /// The status.
        status: u16,
    },
    /// Connecting failed, or the connection broke before the response was whole; counts towards its ejection.
    Broken,
    /// Our own time limit ended it; counts towards its ejection.
    TimedOut,
    /// The request's own time was over, and its client or its picker had taken most of that; says nothing about the endpoint.
    Late,
    /// The gateway in front answered itself, or nothing shows that the endpoint did; says nothing about the endpoint.
    LocalReply,
    /// The client went away, or the request was never sent; says nothing about the endpoint.
    Cancelled,
    /// The gateway stopped before the response was whole; says nothing about the endpoint.
    Stopped,
}

impl Outcome {
    /// What a status says of the endpoint whose answer came whole.
    pub fn of_status(status: u16) -> Outcome {
        match status {
            500.. => Outcome::ServerError { status },
            _ => Outcome::Served,
        }
    }
}
