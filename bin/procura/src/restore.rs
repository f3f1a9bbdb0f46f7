//! `restore`: from a backup to a home that can be looked at, and from there to the
//! installation again. Works without a server, and makes no connection.

use crate::context::Context;
use crate::failure::Failure;
use crate::operator_key;
use crate::output::{self, Table};
use crate::restore_opening::{With, not_opened};
use clap::{Args, Subcommand};
use procura_client::{SessionClient, SystemClock};
use procura_crypto::{PublicKey, SystemEntropy};
use procura_server::Config;
use procura_server::restoring::{
    Activated, Activation, Going, Marker, Means, Report, RestoreError, Seat, Way, activate, load,
    verify,
};
use procura_types::wire::{QuarantineList, Quarantined};
use procura_types::{ForeignId, Label, Thumbprint};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is said where `held` has nobody to list, and `release --all` nobody to let go on.
const NOBODY_HELD: &str = "nobody is held since the installation was restored";

/// Restore a backup into a home of its own, and make that the installation again
///
/// A restored home is a sandbox: no server starts on it, and nobody is told of it or
/// loses anything by it. --verify opens everything that is in it. --activate makes it the
/// installation again, once it is certain how its record goes on.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  procura restore /backups/monday.procura --to /var/lib/restored --verify\n  procura restore --activate --to /var/lib/restored --ledger /backups/ledger\n  procura restore --activate --to /var/lib/restored --nothing-after-backup\n  procura restore --activate --to /var/lib/restored --new-origin\n  procura restore --activate --to /var/lib/restored --new-origin --set-aside-checkpoints\n  procura restore /backups/monday.procura --to /var/lib/restored --verify --source hsm\n  procura restore release --all\n  procura restore accept --key procura/…/2-0f1e2d3c4b5a6978+1a2b3c4d+AZ…"
)]
pub(crate) struct Restore {
    #[command(subcommand)]
    command: Option<Command>,
    /// The backup
    #[arg(conflicts_with = "activate")]
    file: Option<PathBuf>,
    /// The home: empty or not there yet; with --activate, the restored one
    #[arg(long, value_name = "HOME")]
    to: Option<PathBuf>,
    /// Open everything that is in it, and say what that is
    #[arg(long, conflicts_with = "activate")]
    verify: bool,
    /// Make the restored home the installation again
    #[arg(long, requires = "to")]
    activate: bool,
    /// A copy of the record from after the backup, or a directory of them; may be given again
    #[arg(long, value_name = "FILE|DIR", requires = "activate")]
    ledger: Vec<PathBuf>,
    /// A checkpoint that somebody remembers; may be given again [and the one of this --home]
    #[arg(long, value_name = "FILE", requires = "activate")]
    checkpoint: Vec<PathBuf>,
    /// Say that nothing was recorded after the backup, where no copy shows it: the server was stopped right after it. What was revoked since acts again otherwise; the record says who said so
    #[arg(long, requires = "activate", conflicts_with_all = ["ledger", "new_origin"])]
    nothing_after_backup: bool,
    /// Go on under another origin: everybody else is held until an operator lets them go on
    #[arg(long, requires = "activate", conflicts_with = "ledger")]
    new_origin: bool,
    /// The one device of a steward that goes on, whoever is held [default: the key of this --home; with --ledger only if nothing that happened after the backup names it]
    // One in 64 begins with a hyphen.
    #[arg(
        long,
        value_name = "THUMBPRINT",
        requires = "activate",
        allow_hyphen_values = true
    )]
    device: Option<Thumbprint>,
    /// Let the operator's key of this --home be a device of this steward of the backup from now on, and go on: for when no device of a steward is left. The record says so, and it is an alarm
    #[arg(
        long,
        value_name = "STEWARD",
        requires = "activate",
        conflicts_with = "device"
    )]
    steward_key: Option<Label>,
    /// With --new-origin: go on though a checkpoint does not open with the keys of the backup, since the record's key turned after it
    #[arg(long, requires = "new_origin", conflicts_with_all = ["ledger", "nothing_after_backup"])]
    set_aside_checkpoints: bool,
    #[command(flatten)]
    with: With,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List who is held since the installation was restored
    #[command(after_help = "Example:\n  procura restore held")]
    Held,
    /// Let devices go on that are held since the installation was restored
    ///
    /// Their sessions and tokens from before stay over. What touched a decoy, and what a
    /// steward put on hold, before the backup or after, stays so: procura honey reinstate.
    #[command(
        after_help = "Examples:\n  procura restore release 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4\n  procura restore release --agent-id till.7\n  procura restore release --all"
    )]
    Release(Release),
    /// Accept that the record of the server goes on under another origin
    ///
    /// Compare the key with what the administrator was told by --new-origin.
    #[command(
        after_help = "Example:\n  procura restore accept --key procura/…/2-0f1e2d3c4b5a6978+1a2b3c4d+AZ…"
    )]
    Accept {
        /// The verification key that the record has from now on
        #[arg(long, value_name = "VKEY")]
        key: String,
    },
}

/// Lets them go on.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true).multiple(true))]
struct Release {
    /// Thumbprints of devices, as listed by `held`
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true, group = "who")]
    devices: Vec<Thumbprint>,
    /// An id of another system that has no device; may be given again
    #[arg(long, value_name = "ID", group = "who")]
    agent_id: Vec<ForeignId>,
    /// Everybody who is held since then
    #[arg(long, group = "who", conflicts_with_all = ["devices", "agent_id"])]
    all: bool,
}

/// What `restore release --json` prints.
#[derive(Serialize)]
struct Released {
    devices: Vec<Thumbprint>,
    agent_ids: Vec<ForeignId>,
}

/// Why a backup is not restored, as a failure.
pub(crate) fn refused(error: RestoreError) -> Failure {
    let text = error.to_string();
    match error {
        RestoreError::File { .. } | RestoreError::NotOurs(_) => {
            Failure::damaged("the file cannot be used")
                .because(text)
                .next("procura backup check FILE, with another copy of it, or an older backup")
        }
        RestoreError::NotWhole(_) => Failure::damaged("what was restored cannot be used")
            .because(text)
            .next("the same with an older backup"),
        RestoreError::NotRestored(home) if home.join("installation.json").exists() => {
            Failure::config(format!("there is nothing to activate in {}", home.display()))
                .because("it is activated already, or was not restored from a backup")
                .next(format!("procura server --home {}", home.display()))
        }
        RestoreError::NotRestored(home) => {
            Failure::config(format!("nothing was restored to {}", home.display()))
                .next("procura restore FILE --to HOME --verify, and then --activate with the same HOME")
        }
        RestoreError::Home { .. } => Failure::config("nothing was restored").because(text),
        RestoreError::OtherKind { .. } => Failure::usage("nothing was restored").because(text),
        RestoreError::OtherInstallation { .. } => Failure::usage("nothing was restored")
            .because(text)
            .next("a file of that installation; to restore a backup of another one, the same with a --home that belongs to none"),
        RestoreError::NothingKnown(_) => Failure::refused("it is not activated")
            .because(text)
            .next("procura restore --activate --to HOME --ledger DIR; --new-origin if nothing more is to be had; --nothing-after-backup only if you know that the server stopped right after the backup"),
        RestoreError::TooShort { .. } | RestoreError::Hole { .. } => {
            Failure::refused("it is not activated")
                .because(text)
                .next("procura restore --activate --to HOME --ledger DIR, with the copies that are missing, or --new-origin if nothing more is to be had")
        }
        RestoreError::Unread { .. } => Failure::refused("it is not activated")
            .because(text)
            .next("a backup from after the key turned; or, if there is none: procura restore --activate --to HOME --new-origin --set-aside-checkpoints"),
        RestoreError::NobodyLeft { held, .. } => {
            let failure = Failure::refused("it is not activated").because(text);
            let seat = "--steward-key STEWARD, from the --home of the key that is to act for that one";
            if held.is_empty() {
                return failure.next(format!("a backup from after that; or the same with {seat}"));
            }
            failure.next(format!(
                "the same with --device THUMBPRINT, of a steward's device that is in good hands: {}; or with {seat}",
                output::plain(&held.join(", "))
            ))
        }
        RestoreError::Begun(_) => Failure::usage("it is not activated").because(text),
        RestoreError::Forked { .. }
        | RestoreError::Checkpoint { .. }
        | RestoreError::NotChosen(_) => Failure::refused("it is not activated").because(text),
        RestoreError::Seal(_) | RestoreError::Refused(_) => {
            Failure::refused("it does not open").because(text).next(
                "what opened the vault when the backup was taken; what was changed since opens only later backups",
            )
        }
        RestoreError::Io { cause, .. } => {
            let failure = Failure::storage("a file cannot be used", &text);
            match cause.kind() {
                ErrorKind::NotFound => failure.next("the same command with a path that is there"),
                _ => failure,
            }
        }
        _ => Failure::storage("it could not be restored", &text),
    }
}

fn means(home: &Path, with: &With) -> Result<Means, Failure> {
    let home = std::path::absolute(home)
        .map_err(|error| Failure::storage(format!("cannot use {}", home.display()), &error))?;
    let config = Config::load(home, with.config(), std::env::vars())
        .map_err(|error| Failure::config("the server's configuration").because(error))?;
    Ok(Means {
        config,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    })
}

/// What `restore FILE --json` prints without `--verify`.
#[derive(Serialize)]
struct Loaded<'a> {
    home: &'a Path,
    #[serde(flatten)]
    marker: Marker,
}

/// What `restore accept --json` prints.
#[derive(Serialize)]
struct Accepted<'a> {
    ledger_vkey: &'a str,
}

/// Restores, unless this home belongs to another installation.
fn loaded(context: &Context, file: &Path, home: &Path) -> Result<Marker, Failure> {
    let known = crate::home::Known::find(&context.home)?;
    let of = known.as_ref().map(|known| &known.installation);
    load(file, home, of, context.now()).map_err(refused)
}

/// Restores and opens everything, and says what is there.
pub(crate) async fn verified(
    context: &Context,
    file: &Path,
    home: &Path,
    with: &With,
) -> Result<(), Failure> {
    loaded(context, file, home)?;
    let opening = with.ask(context, home).await?;
    let report = verify(&means(home, with)?, opening)
        .await
        .map_err(|error| not_opened(home, with, error))?;
    if context.json {
        return output::json(&report);
    }
    tell(&report);
    Ok(())
}

fn tell(report: &Report) {
    let Report {
        installation,
        taken,
        opened_by,
        entries,
        secrets,
        values,
        bytes,
        actors,
        devices,
        grants,
        ..
    } = report;
    output::say(format!(
        "installation {installation} as of {taken}, opened by {opened_by}: everything in it opens"
    ));
    output::say(format!(
        "{secrets} secrets with {values} values ({bytes} bytes); {actors} actors, {devices} devices, {grants} grants; a record of {entries} entries, root {}",
        report.root
    ));
}

impl Restore {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Some(Command::Accept { key }) => return accept(context, &key),
            Some(Command::Held) => return list_held(context).await,
            Some(Command::Release(release)) => return release.run(context).await,
            None => {}
        }
        let Some(home) = &self.to else {
            let why = match &self.file {
                Some(file) if !file.exists() => format!(
                    "{} is no file, and none of held, release and accept",
                    output::plain(&file.to_string_lossy())
                ),
                _ => "no home was named".to_owned(),
            };
            return Err(Failure::usage(why).next("procura restore FILE --to HOME --verify"));
        };
        if self.activate {
            return self.activate(context, home).await;
        }
        let Some(file) = &self.file else {
            return Err(Failure::usage("no backup was named")
                .next("procura restore FILE --to HOME --verify"));
        };
        if self.verify {
            verified(context, file, home, &self.with).await?;
        } else {
            let marker = loaded(context, file, home)?;
            if context.json {
                return output::json(&Loaded { home, marker });
            }
        }
        if !context.json {
            output::say(format!(
                "restored to {}; no server starts on it before: procura restore --activate --to {}",
                home.display(),
                home.display()
            ));
        }
        Ok(())
    }

    async fn activate(&self, context: &Context, home: &Path) -> Result<(), Failure> {
        let way = match self.new_origin {
            false => Way::Reach(self.ledger.clone(), self.going(context)?),
            true => Way::NewOrigin(self.going_on(context)?),
        };
        let seat = match &self.steward_key {
            None => None,
            Some(steward) => Some(Seat {
                steward: steward.clone(),
                key: own_key(context)?.to_jwk(),
            }),
        };
        let mut checkpoints = Vec::new();
        for path in &self.checkpoint {
            checkpoints.push((path.display().to_string(), checkpoint_in(path)?));
        }
        if let Some(remembered) = remembered(context, home)? {
            checkpoints.push(remembered);
        }
        context.confirm(&match self.new_origin {
            false if self.nothing_after_backup => format!(
                "Activate {}, as nothing was done after the backup? What was revoked or withdrawn after it acts again. The installation that it is a copy of must never run again.",
                home.display()
            ),
            false => format!(
                "Activate {}? The installation that it is a copy of must never run again.",
                home.display()
            ),
            true => format!(
                "Activate {} under another origin? The installation that it is a copy of must never run again; everybody is held until you let them go on, and all grants end.",
                home.display()
            ),
        })?;
        let opening = self.with.ask(context, home).await?;
        let wish = Activation {
            way,
            checkpoints,
            seat,
            nothing_after: self.nothing_after_backup,
            set_aside: self.set_aside_checkpoints,
        };
        let activated = activate(&means(home, &self.with)?, opening, wish)
            .await
            .map_err(|error| not_opened(home, &self.with, error))?;
        if context.json {
            return output::json(&activated);
        }
        tell_activated(&activated, home);
        Ok(())
    }

    /// The device that goes on where the record is led on.
    fn going(&self, context: &Context) -> Result<Going, Failure> {
        if let Some(device) = self.device {
            return Ok(Going::Named(device));
        }
        let own = operator_key::public(&context.home)?;
        Ok(own.map_or(Going::Nobody, |key| Going::Own(key.thumbprint())))
    }

    /// The device that goes on: named, or that of this home's key.
    fn going_on(&self, context: &Context) -> Result<Thumbprint, Failure> {
        if let Some(device) = self.device {
            return Ok(device);
        }
        own_key(context).map(|key| key.thumbprint())
    }
}

/// The signed note in a file that was named as a checkpoint; by whom it is signed is seen
/// with the keys of the backup. Any other file was named by mistake, which says nothing of
/// the record.
fn checkpoint_in(path: &Path) -> Result<String, Failure> {
    let no_checkpoint = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{} is no checkpoint", path.display()))
            .because(why)
            .next("the same command with another --checkpoint")
    };
    let note = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => no_checkpoint(&error),
        _ => Failure::storage(format!("cannot read {}", path.display()), &error),
    })?;
    procura_ledger::Note::parse(&note).map_err(|error| no_checkpoint(&error))?;
    Ok(note)
}

/// The public key of this home's operator.
fn own_key(context: &Context) -> Result<PublicKey, Failure> {
    operator_key::public(&context.home)?.ok_or_else(|| {
        Failure::usage("nobody is named who goes on")
            .because(format_args!(
                "there is no operator's key in {}",
                context.home.dir().display()
            ))
            .next("--device THUMBPRINT, of a steward's device, or the --home of one")
    })
}

/// The highest checkpoint that this home remembers of the installation that was restored.
fn remembered(context: &Context, home: &Path) -> Result<Option<(String, String)>, Failure> {
    let Some(known) = crate::home::Known::find(&context.home)? else {
        return Ok(None);
    };
    let restored = procura_server::restoring::find_marker(home)
        .map_err(refused)?
        .is_some_and(|marker| marker.installation == known.installation);
    let file = context.home.checkpoint_file();
    match crate::files::read(&file)? {
        Some(note) if restored => {
            let note = crate::checkpoint::text(note)?;
            Ok(Some((file.display().to_string(), note)))
        }
        _ => Ok(None),
    }
}

fn tell_activated(activated: &Activated, home: &Path) {
    tell(&activated.restored);
    output::say(format!(
        "activated: the record goes on after {} entries as {}",
        activated.reached, activated.origin
    ));
    let lists = [
        ("taken away once more", &activated.again),
        ("lost", &activated.lost),
        ("held because of", &activated.because),
        ("held", &activated.held),
    ];
    for (what, lines) in lists {
        for line in lines {
            output::say(output::plain(&format!("{what}: {line}")));
        }
    }
    if let Some(steward) = &activated.seated {
        output::say(output::plain(&format!(
            "seated: the key of this home is a device of {steward} from now on; tell every operator"
        )));
    }
    if activated.proposals_ended > 0 {
        output::say(format!(
            "{} open proposals ended: what stewards said to them since the backup is not known; propose and sign anew",
            activated.proposals_ended
        ));
    }
    if activated.new_origin {
        output::say(format!(
            "{} grants ended; agents ask anew. The record is verified with another key from here on, which every client is told: procura restore accept --key {}",
            activated.grants_ended, activated.ledger_vkey
        ));
    }
    output::say(
        "in a browser nobody is signed in any more, nor can be with what was set before: each operator sets theirs anew with their own key (procura operator password, totp, recovery-codes, oidc link); passkeys go on",
    );
    let home = home.display();
    output::say(format!(
        "next: procura server --home {home}, then procura --home {home} unseal"
    ));
}

/// Whom neither a decoy nor a steward is to blame for.
async fn held(server: &SessionClient) -> Result<Vec<Quarantined>, Failure> {
    let list = server.quarantine().await?.quarantined;
    Ok(list
        .into_iter()
        .filter(|held| held.canary.is_none() && held.by.is_none())
        .collect())
}

async fn list_held(context: &Context) -> Result<(), Failure> {
    let held = held(&context.operator().await?).await?;
    if context.json {
        return output::json(&QuarantineList { quarantined: held });
    }
    let mut table = Table::new(["DEVICE OR ID", "NAME", "SINCE"]);
    for held in held {
        let device = held.device.map(|device| device.to_string());
        let id = held.agent_id.map(|id| id.to_string());
        table.row([
            device.or(id).unwrap_or_default(),
            held.name,
            held.since.to_string(),
        ]);
    }
    table.print(NOBODY_HELD)
}

impl Release {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let held = held(&server).await?;
        let mut released = Released {
            devices: self.devices,
            agent_ids: self.agent_id,
        };
        if self.all {
            released.devices = held.iter().filter_map(|held| held.device).collect();
            released.agent_ids = held
                .iter()
                .filter_map(|held| held.agent_id.clone())
                .collect();
        }
        let among = |device: &Thumbprint| held.iter().any(|held| held.device == Some(*device));
        if let Some(other) = released.devices.iter().find(|device| !among(device)) {
            return Err(Failure::refused(format!(
                "{other} is not held since the installation was restored"
            ))
            .next("procura restore held, or procura honey reinstate for what touched a decoy or is on hold"));
        }
        let number = released
            .devices
            .len()
            .saturating_add(released.agent_ids.len());
        if number == 0 {
            return output::done(context.json, &released, NOBODY_HELD);
        }
        context.confirm(&format!(
            "Let {number} go on? Whoever was revoked after the backup is among them, if anybody was."
        ))?;
        for device in &released.devices {
            server.reinstate_device(device).await?;
        }
        for id in &released.agent_ids {
            server.reinstate_id(id).await?;
        }
        let words = format!("{number} go on; their sessions and tokens from before stay over");
        output::done(context.json, &released, &words)
    }
}

/// Takes the record's new key for the known one, and forgets what was seen of the old.
fn accept(context: &Context, key: &str) -> Result<(), Failure> {
    let mut known = context.known()?;
    let vkey: procura_ledger::Vkey = key
        .parse()
        .map_err(|error| Failure::usage("--key is no verification key").because(error))?;
    if !procura_ledger::is_origin_of(vkey.name(), &known.installation) {
        return Err(
            Failure::refused("the key is not of this installation's record")
                .because(format_args!("this home belongs to {}", known.installation)),
        );
    }
    context.confirm(&format!(
        "Believe {} from now on? What this home remembers of the record of before is forgotten.",
        vkey.name()
    ))?;
    vkey.to_string().clone_into(&mut known.ledger_vkey);
    known.replace(&context.home)?;
    match std::fs::remove_file(context.home.checkpoint_file()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::storage("cannot forget the checkpoint", &error));
        }
        _ => {}
    }
    let accepted = Accepted {
        ledger_vkey: &known.ledger_vkey,
    };
    output::done(context.json, &accepted, "the record's new key is known")
}
