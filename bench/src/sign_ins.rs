//! Reads by session while a crowd signs in, from an address of its own each time and with
//! a name that nobody has: so many that the queue of passwords is full all the time.

use crate::Outcome;
use crate::browser::Browser;
use crate::connection::Connection;
use crate::installation::Installation;
use crate::process;
use crate::report::{Figure, median, say};
use crate::turns::{RUNS, SECRETS, Turns};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Those who try at once: as many as the server lets wait. One more would be sent away.
const CROWD: usize = 16;
/// Devices that read.
const DEVICES: usize = 4;

/// Who try to sign in.
struct Crowd {
    authority: String,
    browser: Browser,
    token: String,
    /// How many tries were begun.
    begun: Cell<u32>,
}

impl Crowd {
    async fn gather(authority: &str) -> Outcome<Self> {
        let (browser, token) = Browser::begin(authority).await?;
        Ok(Self {
            authority: authority.to_owned(),
            browser,
            token,
            begun: Cell::new(0),
        })
    }

    /// Has all of them try, again and again, until `stop`; gives how many tries a second
    /// were answered.
    async fn push(self: Rc<Self>, stop: Rc<Cell<bool>>) -> Outcome<f64> {
        let begun = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..CROWD {
            let (crowd, stop) = (Rc::clone(&self), Rc::clone(&stop));
            all.spawn_local(async move {
                let tried = crowd.try_until(&stop).await;
                tried.map_err(|error| error.to_string())
            });
        }
        let mut tries: u32 = 0;
        while let Some(ended) = all.join_next().await {
            tries += ended??;
        }
        Ok(f64::from(tries) / begun.elapsed().as_secs_f64())
    }

    async fn try_until(&self, stop: &Cell<bool>) -> Outcome<u32> {
        let mut tries: u32 = 0;
        while !stop.get() {
            let number = self.begun.get();
            self.begun.set(number + 1);
            let form = format!(
                "csrf={}&name=nobody-{number}&password=wrong+horse+battery&code=000000&next=",
                self.token
            );
            let mut connection = Connection::open_from(&self.authority, address(number)).await?;
            let request = self.browser.form("/sign-in", &form);
            let answer = connection.exchange(&request).await?;
            // Whoever is told to come later costs no hash.
            if answer.status != 401 {
                return Err(format!("a wrong password is answered with {}", answer.status).into());
            }
            tries += 1;
        }
        Ok(tries)
    }
}

/// An address of this machine that nobody else comes from: tries of one address slow each
/// other down.
fn address(number: u32) -> Ipv4Addr {
    let [_, a, b, c] = number.saturating_add(2).to_be_bytes();
    Ipv4Addr::new(127, a, b, c)
}

/// Measures in turns, in an installation of its own in `dir`.
pub(crate) async fn measure(dir: &Path, time: Duration) -> Outcome<Vec<Figure>> {
    let folder = tempfile::Builder::new()
        .prefix("sign-ins-")
        .tempdir_in(dir)?;
    let installation = Installation::make_with(folder, &[("PROCURA_WEB", "{ enabled = true }")])?;
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(installation.join().await?);
    }
    let writer = devices.first().ok_or("no device")?;
    installation.write(writer, 0..SECRETS).await?;
    let crowd = Rc::new(Crowd::gather(installation.authority()).await?);
    let memory = || process::anonymous_kib(installation.pid()).map(f64::from);
    let mut turns = Turns::new(&installation, &devices, time);
    let (mut rates, mut small, mut large) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let alone = turns.alone().await?;
        small.push(memory()?);
        let stop = Rc::new(Cell::new(false));
        let pushing = tokio::task::spawn_local({
            let (crowd, stop) = (Rc::clone(&crowd), Rc::clone(&stop));
            async move { crowd.push(stop).await.map_err(|error| error.to_string()) }
        });
        let beside = turns.beside().await?;
        large.push(memory()?);
        stop.set(true);
        let rate = pushing.await??;
        say(&format!(
            "p50 {alone:.0} µs while nobody signs in, {beside:.0} µs beside {rate:.1} tries a second"
        ));
        rates.push(rate);
    }
    let mut figures = turns.figures("sign_ins");
    let more = median(large) - median(small);
    figures.push(Figure::plain("sign_ins.tried", median(rates), "1/s"));
    figures.push(Figure::plain("sign_ins.rss_more_mb", more / 1024.0, "MB"));
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tries_come_from_one_address() {
        assert_eq!(address(0), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(address(254), Ipv4Addr::new(127, 0, 1, 0));
        assert!((0..100_000).all(|number| address(number).is_loopback()));
    }
}
