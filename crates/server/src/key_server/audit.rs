//! `<home>/logs/verify.jsonl`: one line for each proof that an allowed client asked
//! about. Who is not allowed writes nothing there, so that strangers cannot make the
//! file turn over; the record has them.

use procura_edge::jsonl::Line;
use procura_types::Timestamp;
use std::net::IpAddr;

/// The file, in the folder of logs.
pub(super) const FILE: &str = "verify.jsonl";

/// Characters that are written of what a client sent.
const LONGEST_AGENT: usize = 64;
const LONGEST_METHOD: usize = 32;
const LONGEST_PATH: usize = 512;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Result {
    /// The proof is good.
    Ok,
    /// The proof is not good.
    Fail,
    /// It could not be told, or there was none.
    Error,
}

/// One question and its answer.
pub(super) struct Verification<'a> {
    /// As it was sent; none when nothing could be read.
    pub(super) agent_id: Option<&'a str>,
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) result: Result,
    pub(super) reason: Option<&'static str>,
    /// Of the client that asked.
    pub(super) ip: IpAddr,
}

impl Verification<'_> {
    /// The line, with its end.
    pub(super) fn line(&self, now: Timestamp) -> Vec<u8> {
        let mut line = Line::new(now, "verify")
            .text("agent_id", self.agent_id, LONGEST_AGENT)
            .text("method", self.method, LONGEST_METHOD)
            .text("path", self.path, LONGEST_PATH)
            .field(
                "result",
                match self.result {
                    Result::Ok => "ok",
                    Result::Fail => "fail",
                    Result::Error => "error",
                },
            );
        if let Some(reason) = self.reason {
            line = line.field("reason", reason);
        }
        line.field("ip", self.ip).end()
    }
}
