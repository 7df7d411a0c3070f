//! Nouns and rules of the platform. Nothing here reads a clock, a socket or a database: time and randomness
//! come in as arguments, so every rule is tested as a function.

pub mod backoff;
pub mod channel;
pub mod endpoint;
pub mod id;
mod known_numbers;
pub mod message;
pub mod outcome;
pub mod participants;
pub mod provider_health;
pub mod reason;
pub mod receipt;
pub mod receipt_deadline;
pub mod route;
pub mod segments;
pub mod transition;

pub use backoff::RetryPolicy;
pub use channel::{Channel, Medium};
pub use endpoint::{Addressing, Endpoint, EndpointError};
pub use id::{Bucket, IdGenerator};
pub use message::{Delivery, Direction, Message, NewMessage, Priority, Status, StatusPayload};
pub use outcome::{OnUnknown, Outcome};
pub use participants::Participants;
pub use provider_health::ProviderHealth;
pub use reason::Reason;
pub use route::{Candidate, Facts, Route, Routes, Variant};
pub use transition::{Next, Transition};
