//! `setup agent-host` on the machine itself, at `/`, as root types it; in a mount namespace
//! whose `/etc`, `/usr/bin` and `/var/lib` lie over those of the machine and are thrown away
//! at its end. What it installed is started there as its unit says.
//!
//! What it does below another root, step by step, is in `bin/procura/tests/it/setup.rs`.

use procura_acceptance::{Outcome, program};
use serde_json::{Value, json};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// The user whose agents are served: every machine has this one.
const USER: &str = "nobody";

/// Nothing of `/run` is there, so no service manager of the machine hears of it.
const SCRIPT: &str = r##"
set -eu
programs=$1 work=$2 user=$3
mount -t tmpfs tmpfs "$work"
for place in etc usr/bin var/lib; do
  mkdir -p "$work/$place/upper" "$work/$place/work"
  over="lowerdir=/$place,upperdir=$work/$place/upper,workdir=$work/$place/work"
  mount -t overlay overlay -o "$over" "/$place"
done
mount -t tmpfs -o mode=755 tmpfs /run
cd /

echo "# typed"
"$programs/procura" setup agent-host --user "$user"
echo "# typed again"
"$programs/procura" setup agent-host --user "$user"

echo "# there"
getent passwd procurad | cut -d: -f1,5,6
getent group procura-agents | cut -d: -f1,4 | tr : '\n' | tr , '\n' | sort
unit=/etc/systemd/system/procurad.service
stat -c '%U %G %a %n' /usr/bin/procura /usr/bin/procurad /var/lib/procurad "$unit"
readlink /etc/systemd/system/multi-user.target.wants/procurad.service
cmp "$programs/procura" /usr/bin/procura
cmp "$programs/procurad" /usr/bin/procurad

echo "# started"
# What systemd does for RuntimeDirectory=, User=, SupplementaryGroups= and UMask=.
install -d -o procurad -g procurad -m 0755 /run/procura
line=$(sed -n 's/^ExecStart=//p' "$unit")
(
  umask 0077
  exec setpriv --reuid=procurad --regid=procurad --groups=procura-agents \
    --inh-caps=-all --no-new-privs $line > /run/ready 2> /run/said
) &
daemon=$!
trap 'kill "$daemon" && wait "$daemon" || true' EXIT
tries=0
until [ -s /run/ready ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 600 ] && kill -0 "$daemon" || { cat /run/said >&2; exit 1; }
  sleep 0.1
done
cat /run/ready
stat -c '%U %G %a %n' /run/procura/agent.sock

echo "# asked"
as_user() {
  groups=$1; shift
  code=0
  setpriv --reuid="$user" --regid="$(id -g "$user")" "$groups" --inh-caps=-all "$@" || code=$?
  echo "$code"
}
list="/usr/bin/procura --json device list --here --socket /run/procura/agent.sock"
as_user --init-groups $list
as_user --clear-groups $list 2> /dev/null
as_user --init-groups ls /var/lib/procurad 2> /dev/null
as_user --init-groups cat "/proc/$daemon/environ" 2> /dev/null
"##;

/// Whether the machine lets root lay a directory over another.
const PROBE: &str = r##"
set -eu
mount -t tmpfs tmpfs "$1"
mkdir -p "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc
"##;

/// A shell with mounts of its own.
fn apart(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg("sh")
        .stdin(Stdio::null());
    command
}

/// What of the machine it could have touched.
fn machine() -> Vec<Option<Vec<u8>>> {
    let files = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];
    let texts = files.map(|file| std::fs::read(file).ok());
    let places = [
        "/usr/bin/procura",
        "/usr/bin/procurad",
        "/var/lib/procurad",
        "/etc/systemd/system/procurad.service",
        "/etc/systemd/system/multi-user.target.wants/procurad.service",
    ];
    let places = places.map(|place| {
        let found = Path::new(place).symlink_metadata().ok()?;
        Some(format!("{} {}", found.ino(), found.mode()).into_bytes())
    });
    texts.into_iter().chain(places).collect()
}

/// A release that was unpacked where nobody but root can write.
pub(crate) fn release() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    for name in ["procura", "procurad"] {
        let copy = folder.path().join(name);
        std::fs::copy(program(name), &copy).unwrap();
        set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn a_machine_is_set_up_at_its_own_root_and_what_its_unit_starts_serves_the_group_alone() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("skipped: only root can set a machine up, and mount over it");
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let probed = apart(PROBE).arg(work.path()).output().unwrap();
    if !probed.status.success() {
        eprintln!("skipped: this machine lets root lay nothing over /etc: {probed:?}");
        return;
    }
    let before = machine();
    let programs = release();
    let outcome: Outcome = apart(SCRIPT)
        .args([programs.path(), work.path()])
        .arg(USER)
        .env("PROCURA_HOME", programs.path().join("home"))
        .env("LC_ALL", "C")
        .env_remove("SUDO_UID")
        .env_remove("PROCURA_SERVER")
        .env_remove("PROCURA_SOCKET")
        .output()
        .unwrap()
        .into();
    let said = outcome.ok();
    assert_eq!(machine(), before, "the machine is as it was");

    let text = said.text();
    let part = |name: &str| -> Vec<String> {
        let (_, from) = text.split_once(&format!("# {name}\n")).unwrap();
        let lines = from.lines().take_while(|line| !line.starts_with("# "));
        lines.map(str::to_owned).collect()
    };
    let from = programs.path().canonicalize().unwrap();
    let steps = |word: &str| {
        [
            "/usr/bin/systemd-sysusers --inline 'u procurad - \"Procura daemon\" /var/lib/procurad' 'g procura-agents -' 'm procurad procura-agents' 'm nobody procura-agents'".to_owned(),
            format!("install -m 0755 {}/procura /usr/bin/procura", from.display()),
            format!("install -m 0755 {}/procurad /usr/bin/procurad", from.display()),
            "install -d -o procurad -g procurad -m 0700 /var/lib/procurad".to_owned(),
            "install -m 0644 deploy/systemd/procurad.service /etc/systemd/system/procurad.service".to_owned(),
            "/usr/bin/systemctl --quiet enable procurad.service".to_owned(),
        ]
        .map(|step| format!("{word}: {step}"))
    };
    assert_eq!(part("typed"), steps("done"));
    assert_eq!(part("typed again"), steps("there already"));
    assert_eq!(
        part("there"),
        [
            "procurad:Procura daemon:/var/lib/procurad",
            "nobody",
            "procura-agents",
            "procurad",
            "root root 755 /usr/bin/procura",
            "root root 755 /usr/bin/procurad",
            "procurad procurad 700 /var/lib/procurad",
            "root root 644 /etc/systemd/system/procurad.service",
            "/etc/systemd/system/procurad.service",
        ]
    );
    let started = part("started");
    let [ready, socket] = started.as_slice() else {
        panic!("{text}");
    };
    let ready: Value = serde_json::from_str(ready).unwrap();
    assert_eq!(ready["event"], "ready", "{ready}");
    assert_eq!(
        socket,
        "procurad procura-agents 660 /run/procura/agent.sock"
    );
    // A member of the group is served by another user than their own; others are refused,
    // and neither reads what is the daemon's.
    let asked = part("asked");
    let served: Value = serde_json::from_str(&asked[0]).unwrap();
    assert_eq!(served["danger_same_uid"], false, "{served}");
    assert_eq!(served["devices"], json!([]));
    assert_eq!(asked[1], "0");
    let refused: Vec<&str> = asked[2..]
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with('{'))
        .collect();
    assert_eq!(refused, ["77", "2", "1"]);
}
