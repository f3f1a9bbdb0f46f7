//! `/agent/*`: how agents of other systems are enrolled, and what they get.

mod agent;
mod dial;
mod enrolment;
mod hmac;
mod ids;
mod refusals;
mod sessions;
