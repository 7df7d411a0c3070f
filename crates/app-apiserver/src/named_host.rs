//! How a request by a foreign name or site is refused.

use http::StatusCode;
use service::named_hosts::ForeignRequest;

use crate::problem::Problem;

impl From<ForeignRequest> for Problem {
    fn from(foreign: ForeignRequest) -> Self {
        let code = match foreign {
            ForeignRequest::Host => "forbidden_host",
            ForeignRequest::Site => "cross_site",
        };
        Self::new(StatusCode::FORBIDDEN, code, foreign.to_string())
    }
}
