//! Whom a gate runs as: the agent that its home joined as, and the number of that home.

use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::operator::read_code;
use crate::output;
use clap::Args;
use procura_client::SystemClock;
use procura_crypto::SystemEntropy;
use procura_daemon::{Device, DeviceStore, HttpConnect, Membership};
use procura_store::guard::Start;
use procura_types::{Clock, Entropy, InstanceId, Joins};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a gate becomes a device of its agent.
#[derive(Debug, Args)]
pub(crate) struct GateJoin {
    /// A link code of the gate's agent; without it, one is asked for or read from a pipe, if this home has not joined
    #[arg(long, value_name = "CODE")]
    join: Option<String>,
}

/// Whom a gate runs as, and what it asks the server with.
pub(crate) struct Joined {
    /// Held until the end: a home is one gate's.
    _store: DeviceStore,
    pub(crate) home: PathBuf,
    pub(crate) connect: HttpConnect,
    pub(crate) device: Device,
    pub(crate) member: Membership,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl GateJoin {
    /// Takes the gate's home, and joins if it has not.
    pub(crate) async fn joined(&self, context: &Context) -> Result<Joined, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let home = context.home.dir().join("gate");
        let store = DeviceStore::open(&home)?;
        let connect = HttpConnect::new(Arc::clone(&clock), Arc::clone(&entropy));
        let device = self.device(context, &store, &connect).await?;
        let member = device
            .membership()
            .cloned()
            .ok_or_else(|| Failure::config("this home has not joined"))?;
        if let Some(typed) = context.typed_namespace()
            && *typed != member.namespace
        {
            return Err(Failure::usage(format!(
                "this gate runs as {}, which is an agent of {}, not of {typed}",
                output::plain(&member.lineage),
                member.namespace
            ))
            .next("leave --namespace out, or use another --home for another agent"));
        }
        Ok(Joined {
            _store: store,
            home,
            connect,
            device,
            member,
            clock,
            entropy,
        })
    }

    /// The gate's device: the one of this home, or one that joins now.
    async fn device(
        &self,
        context: &Context,
        store: &DeviceStore,
        connect: &HttpConnect,
    ) -> Result<Device, Failure> {
        let devices = store.load(context.now())?;
        if let Some(joined) = devices.iter().find(|device| device.membership().is_some()) {
            let mut device = joined.clone();
            if let Some(url) = context.typed_server() {
                url.clone_into(&mut device.url);
            }
            return Ok(device);
        }
        let code = read_code(self.join.clone()).await?;
        let url = context.server_of(&code)?;
        let Joins::Agent(actor) = code.joins else {
            return Err(
                Failure::usage("this code is for a person, not for a gate").next(
                    "procura agent code LABEL, for the agent that procura service add --gate named",
                ),
            );
        };
        let before = devices.into_iter().find(|device| device.waits_for(&code));
        let tried_before = before.is_some();
        let mut device = match before {
            Some(device) => device,
            None => Device::fresh(
                &code,
                actor,
                rustix::process::getuid().as_raw(),
                context.now(),
                context.entropy(),
            )?,
        };
        device.url = url;
        device.ca_pem = context
            .ca_pem()?
            .map(String::from_utf8)
            .transpose()
            .map_err(|error| Failure::usage("--ca is not PEM").because(error))?;
        Ok(store.join(connect, &code, device, tried_before).await?)
    }
}

/// The id of this home among gates, and whether it was used before.
pub(crate) fn instance(
    home: &Path,
    clock: &Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<(InstanceId, Start), Failure> {
    let path = home.join("instance");
    if let Some(bytes) = files::read(&path)? {
        let text = String::from_utf8(bytes).unwrap_or_default();
        let instance = text.trim().parse().map_err(|error| {
            Failure::config(format!("cannot use {}", path.display())).because(error)
        })?;
        return Ok((instance, Start::Again));
    }
    let instance = InstanceId::generate(clock.now(), entropy)?;
    files::create(&path, instance.to_string().as_bytes())?;
    Ok((instance, Start::FirstEver))
}
