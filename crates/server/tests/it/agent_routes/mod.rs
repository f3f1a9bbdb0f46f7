//! `/agent/*`: how agents of other systems are enrolled, and what they get.

mod agent;
mod dial;
mod enrolment;
mod filed;
mod hmac;
mod ids;
mod names;
mod refusals;
mod sessions;
