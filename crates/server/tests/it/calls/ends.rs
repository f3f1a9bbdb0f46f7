//! What comes last, since little is left after it.

use super::{Case, c, plain};
use crate::actors::Actors;

pub(super) fn cases(actors: &Actors) -> Vec<Case> {
    vec![
        c(
            "POST",
            "/v1/devices/{thumbprint}/revoke",
            format!("/v1/devices/{}/revoke", actors.device("baker")),
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target(&actors.device("baker"), "x", "device"),
        c(
            "POST",
            "/v1/devices/{thumbprint}/hold",
            format!("/v1/devices/{}/hold", actors.device("bert")),
            "alice",
        )
        .refuses("adam", "not_found")
        .bad_target(&actors.device("bert"), "x", "device"),
        c(
            "POST",
            "/v1/devices/{thumbprint}/revoke",
            format!("/v1/devices/{}/revoke", actors.device("bert")),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&actors.device("bert"), "x", "device"),
        c(
            "DELETE",
            "/v1/operators/{name}",
            "/v1/operators/otto",
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target("otto", "o%00", "label"),
        c("GET", "/v1/status", "/v1/status?deep=true", "alice").refuses("adam", "forbidden"),
        plain("POST", "/v1/seal", "alice").refuses("adam", "forbidden"),
    ]
}
