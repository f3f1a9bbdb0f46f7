//! How many devices wait at once, and that no network keeps the others out.

use crate::device_grants::{ASK, form, post, question, refused, server};
use crate::world::{Answer, World};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::{Duration, RateLimit, Thumbprint};
use std::net::{IpAddr, Ipv6Addr};

/// So many of one network.
const OF_ONE: u16 = 256;

async fn asks(world: &World, server: &Thumbprint, from: IpAddr) -> Answer {
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let parameters = question(&key, server, "build-7");
    post(world, ASK, &form(&parameters), from).await
}

/// A host in a /64 of a /48.
const fn host(wide: u16, narrow: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, wide, narrow, 0, 0, 0, 1))
}

#[tokio::test]
async fn the_networks_of_one_customer_leave_room_for_others() {
    let world = World::standing(|config| config.rate_device_grants = Some(RateLimit::Off));
    let actors = crate::actors::Actors::within(world).await;
    let world = &actors.world;
    let server = server(world).await;
    for narrow in 0..OF_ONE {
        let answer = asks(world, &server, host(1, narrow)).await;
        assert_eq!(answer.status, 200, "{narrow}: {}", answer.text());
    }
    for narrow in [0, OF_ONE, 0xffff] {
        let over = asks(world, &server, host(1, narrow)).await;
        refused(&over, 429, "temporarily_unavailable", "one more of them");
        assert_eq!(
            over.json()["error_description"],
            "As many devices of this network wait for an answer as may; ask again later."
        );
        assert_eq!(over.headers["retry-after"], "60");
    }
    for free in [host(2, 0), IpAddr::from([192, 0, 2, 1])] {
        let answer = asks(world, &server, free).await;
        assert_eq!(answer.status, 200, "{free}: {}", answer.text());
    }
    // Those of before are over by then.
    world.clock.turn(Duration::from_secs(600));
    let answer = asks(world, &server, host(1, 0)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
