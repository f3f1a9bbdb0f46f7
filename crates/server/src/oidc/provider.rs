//! One identity provider: what it was last heard to say of itself, its keys, and the way
//! to it.

use super::discovery::{self, Metadata};
use super::fault::Fault;
use super::ways::Ways;
use crate::app::App;
use crate::config::{Config, ConfigError, OidcProvider};
use crate::start::StartError;
use http::{HeaderName, HeaderValue, header};
use procura_client::{Outward, OutwardDocument, Target, authorities};
use procura_edge::places::{Each, Place, Places};
use procura_edge::private_file::read_private_file;
use procura_token::ProviderKeys;
use procura_types::wire::RoleAssignment;
use procura_types::{Duration, Label, Secret, SecretBytes};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// How long a provider may take for an answer.
const TIME: Duration = Duration::from_secs(5);
/// How long its description counts.
const METADATA_LIFE: Duration = Duration::from_secs(60 * 60);
/// How long its keys count.
const KEYS_LIFE: Duration = Duration::from_secs(15 * 60);
/// How often its keys are fetched because a token names one that is not there.
const NEWER_EVERY: Duration = Duration::from_secs(60);
/// How long one is left alone that could not be used.
const REST: Duration = Duration::from_secs(5);
/// Sign-ins by one provider that wait for it at once; one address has a quarter of them.
const PLACES: usize = 32;

/// The identity providers of the configuration.
pub(crate) struct Oidc(BTreeMap<Label, Provider>);

impl Oidc {
    /// Nobody has signed in by any yet.
    pub(crate) fn new(config: &Config) -> Self {
        let providers = config.oidc.iter();
        Self(
            providers
                .map(|(name, terms)| (name.clone(), Provider::new(name, terms)))
                .collect(),
        )
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &Label) -> Option<&Provider> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Provider> {
        self.0.values()
    }
}

/// Looks at the start whether the files of the configuration are there and fit.
///
/// # Errors
/// [`StartError::Config`].
pub(crate) fn check(config: &Config) -> Result<(), StartError> {
    for (name, terms) in &config.oidc {
        let provider = Provider::new(name, terms);
        let read = provider.secret().map(drop);
        let read = read.and_then(|()| match provider.authorities()? {
            None => Ok(()),
            Some(pem) => authorities(Some(&pem))
                .map(drop)
                .map_err(|_| Fault::File("ca_file has no certificate of an authority".to_owned())),
        });
        read.map_err(|fault| ConfigError::Contradiction(format!("oidc.{name}: {fault}")))?;
    }
    Ok(())
}

/// An identity provider.
pub(crate) struct Provider {
    name: Label,
    terms: OidcProvider,
    outward: Outward,
    places: Arc<Places>,
    ways: Ways,
    known: Mutex<Known>,
}

/// What it said, and since when that is known.
#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Instant)>,
    keys: Option<(Arc<ProviderKeys>, Instant)>,
    /// When its keys were last fetched because one was missing.
    newer: Option<Instant>,
    /// Why it could not be used.
    fault: Option<(Fault, Instant)>,
}

impl Known {
    /// Whether it is left alone now.
    fn rests(&self, now: Instant) -> Result<(), Fault> {
        match &self.fault {
            Some((fault, since)) if is_within(*since, REST, now) => Err(fault.before()),
            _ => Ok(()),
        }
    }

    /// Keeps why it cannot be used.
    fn failed(&mut self, fault: Fault, now: Instant) -> Fault {
        self.fault = Some((fault.clone(), now));
        fault
    }
}

fn is_within(since: Instant, life: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) < life
}

fn kept<T>(known: Option<&(Arc<T>, Instant)>, life: Duration, now: Instant) -> Option<Arc<T>> {
    let (value, since) = known?;
    is_within(*since, life, now).then(|| Arc::clone(value))
}

impl Provider {
    fn new(name: &Label, terms: &OidcProvider) -> Self {
        Self {
            name: name.clone(),
            terms: terms.clone(),
            outward: Outward::new(terms.networks.clone()),
            places: Places::new(PLACES, Each::quarter_of(PLACES)),
            ways: Ways::default(),
            known: Mutex::default(),
        }
    }

    /// Its name in the configuration.
    pub(crate) const fn name(&self) -> &Label {
        &self.name
    }

    /// What people call it.
    pub(crate) fn title(&self) -> &dyn fmt::Display {
        match &self.terms.title {
            Some(title) => title,
            None => &self.name,
        }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.terms.issuer
    }

    pub(super) fn client_id(&self) -> &str {
        &self.terms.client_id
    }

    /// What it is asked for.
    pub(super) fn scope(&self) -> String {
        self.terms.scopes.join(" ")
    }

    pub(super) fn groups_claim(&self) -> Option<&str> {
        self.terms.groups_claim.as_deref()
    }

    /// The roles that these groups lend.
    pub(super) fn lent(&self, groups: &[String]) -> Vec<RoleAssignment> {
        self.terms.lent(groups)
    }

    /// Whether the configuration still has a group lend this role.
    pub(crate) fn lends(&self, role: &RoleAssignment) -> bool {
        self.terms.lends(role)
    }

    /// A place among those who wait for it now.
    pub(super) fn enter(&self, from: Option<IpAddr>) -> Result<Place, Fault> {
        let from = from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.places.take(from).ok_or(Fault::Busy)
    }

    /// What came of the ways to it.
    pub(super) const fn ways(&self) -> &Ways {
        &self.ways
    }

    /// The secret of this server, if it has one. Read each time, so that another one counts
    /// from then on.
    pub(super) fn secret(&self) -> Result<Option<Secret<String>>, Fault> {
        let Some(path) = &self.terms.client_secret_file else {
            return Ok(None);
        };
        let failed = |problem: String| Fault::File(format!("client_secret_file: {problem}"));
        let bytes = read_private_file(path, rustix::process::getuid().as_raw())
            .map_err(|error| failed(error.to_string()))?;
        let text = std::str::from_utf8(bytes.expose())
            .map_err(|_| failed(format!("{} is not UTF-8", path.display())))?;
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(failed(format!("{} has no secret", path.display())));
        }
        Ok(Some(Secret::new(line.to_owned())))
    }

    fn authorities(&self) -> Result<Option<Vec<u8>>, Fault> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| Fault::File(format!("ca_file: {}: {error}", path.display())))
        };
        self.terms.ca_file.as_deref().map(read).transpose()
    }

    /// Asks it something.
    pub(super) async fn ask(
        &self,
        (what, target): (&'static str, &Target),
        headers: &[(HeaderName, HeaderValue)],
        body: Option<SecretBytes>,
    ) -> Result<OutwardDocument, Fault> {
        let authorities = self.authorities()?;
        self.outward
            .ask(target, headers, body, authorities.as_deref(), TIME)
            .await
            .map_err(|error| Fault::of(what, error))
    }

    async fn document(&self, what: &'static str, target: &Target) -> Result<SecretBytes, Fault> {
        let json = HeaderValue::from_static("application/json");
        let answer = self
            .ask((what, target), &[(header::ACCEPT, json)], None)
            .await?;
        if answer.status != 200 {
            return Err(Fault::Status(what, answer.status));
        }
        Ok(answer.body)
    }

    /// What it says of itself. Whoever asks meanwhile waits for the same answer.
    pub(super) async fn metadata(&self, app: &App) -> Result<Arc<Metadata>, Fault> {
        let mut known = self.known.lock().await;
        let now = app.clock.steady();
        if let Some(metadata) = kept(known.metadata.as_ref(), METADATA_LIFE, now) {
            return Ok(metadata);
        }
        known.rests(now)?;
        match self.described().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((Arc::clone(&metadata), now));
                Ok(metadata)
            }
            Err(fault) => Err(known.failed(fault, now)),
        }
    }

    async fn described(&self) -> Result<Metadata, Fault> {
        let target = discovery::address(self.issuer())?;
        let bytes = self.document("description", &target).await?;
        let has_secret = self.terms.client_secret_file.is_some();
        Metadata::parse(bytes.expose(), self.issuer(), has_secret)
    }

    /// Its keys.
    pub(super) async fn keys(
        &self,
        app: &App,
        metadata: &Metadata,
    ) -> Result<Arc<ProviderKeys>, Fault> {
        let mut known = self.known.lock().await;
        let now = app.clock.steady();
        if let Some(keys) = kept(known.keys.as_ref(), KEYS_LIFE, now) {
            return Ok(keys);
        }
        self.fetch_keys(&mut known, metadata, now).await
    }

    /// Its keys once more, because a token names one that is not among them: at most once
    /// a minute, whoever sends such tokens.
    pub(super) async fn newer_keys(
        &self,
        app: &App,
        metadata: &Metadata,
    ) -> Result<Arc<ProviderKeys>, Fault> {
        let mut known = self.known.lock().await;
        let now = app.clock.steady();
        let asked = known
            .newer
            .is_some_and(|since| is_within(since, NEWER_EVERY, now));
        if asked && let Some(keys) = kept(known.keys.as_ref(), KEYS_LIFE, now) {
            return Ok(keys);
        }
        known.newer = Some(now);
        self.fetch_keys(&mut known, metadata, now).await
    }

    async fn fetch_keys(
        &self,
        known: &mut Known,
        metadata: &Metadata,
        now: Instant,
    ) -> Result<Arc<ProviderKeys>, Fault> {
        known.rests(now)?;
        let unfit = |_| Fault::Unfit("keys", "are not a JWK Set");
        let fetched = self.document("keys", &metadata.keys).await;
        let parsed = fetched.and_then(|bytes| ProviderKeys::parse(bytes.expose()).map_err(unfit));
        match parsed {
            Ok(keys) => {
                let keys = Arc::new(keys);
                known.keys = Some((Arc::clone(&keys), now));
                Ok(keys)
            }
            Err(fault) => Err(known.failed(fault, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_quarter_of_the_places() {
        let terms = OidcProvider {
            title: None,
            issuer: "https://login.example".to_owned(),
            client_id: "procura".to_owned(),
            client_secret_file: None,
            scopes: Vec::new(),
            groups_claim: None,
            roles: Vec::new(),
            networks: Vec::new(),
            ca_file: None,
        };
        let provider = Provider::new(&"work".parse().unwrap(), &terms);
        let enter = |from: &str| provider.enter(Some(from.parse().unwrap()));
        let held: Vec<Place> = (0..8).filter_map(|_| enter("2001:db8::1").ok()).collect();
        assert_eq!(held.len(), 8);
        assert_eq!(enter("2001:db8::2").err(), Some(Fault::Busy));
        // Others have the rest, this machine all that is free.
        let other = enter("192.0.2.1").ok().unwrap();
        let rest: Vec<Place> = (0..23).filter_map(|_| provider.enter(None).ok()).collect();
        assert_eq!(rest.len(), 23);
        assert_eq!(enter("192.0.2.2").err(), Some(Fault::Busy));
        drop((held, other, rest));
        assert!(enter("2001:db8::2").is_ok());
    }
}
