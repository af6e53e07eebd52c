//! Calling out: which addresses may be called, how a call is signed, sent and judged, and how secrets rest.
//! It knows HTTP and nothing of schedules: when to call, and whether to call again, is the domain's business.
//!
//! Reading order: [`guard`] and [`target`] (may it be called?), [`resolver`] (where does the name lead?),
//! [`headers`], [`sealing`] and [`signature`] (what goes out), `exchange` (one exchange), [`client`] (the call),
//! `failure` (what went wrong); then [`subscription`] and [`push`] (pushes, to a gateway or straight to browsers).

pub mod client;
mod destinations;
mod exchange;
mod failure;
pub mod guard;
pub mod headers;
pub mod push;
pub mod resolver;
mod retry_after;
mod rules;
pub mod sealing;
pub mod signature;
mod signing_keys;
pub mod subscription;
pub mod target;

pub use client::{CallerError, CallerSettings, HttpCaller};
pub use guard::AddressPolicy;
pub use push::{PushSenders, SenderSettings};
pub use sealing::SealingKey;
pub use signature::SigningSecret;
pub use target::UrlGuard;
