//! The one mapping from a verb's failure to a gRPC status: code, safe message, and google.rpc
//! details (`ErrorInfo` with the kind and the next step, `Help` for people with other clients).

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::app::error::{Error, Kind};

/// For a caller who may ask nothing.
pub(super) fn denied(error: Error) -> Status {
    with_details(Code::PermissionDenied, error)
}

pub(super) fn status(error: Error) -> Status {
    let code = match error.kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Refused => Code::FailedPrecondition,
        Kind::Provider => Code::Unavailable,
        Kind::Storage => Code::Internal,
        Kind::Stopping => Code::Aborted,
    };
    with_details(code, error)
}

fn with_details(code: Code, error: Error) -> Status {
    let mut metadata = HashMap::new();
    if let Some(next) = error.next {
        metadata.insert("next".to_owned(), next);
    }
    let details = ErrorDetails::with_error_info(error.kind.as_str(), "bascule.v1", metadata);
    Status::with_error_details(code, error.message, details)
}
