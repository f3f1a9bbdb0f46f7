//! What a server says of itself: the answer to `INFO`.

/// What matters of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Info {
    /// Of the process: another one after every start.
    pub(super) run_id: String,
    /// `master`, or what else it is.
    pub(super) role: String,
    /// What becomes of keys when there is no more room.
    pub(super) policy: String,
    /// Its keys are spread over several servers.
    pub(super) cluster: bool,
    /// It is still reading what it stored.
    pub(super) loading: bool,
}

impl Info {
    /// Lines of `name:value`. Nothing when one that matters is missing.
    pub(super) fn read(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        Some(Self {
            run_id: value("run_id")?.to_owned(),
            role: value("role")?.to_owned(),
            policy: value("maxmemory_policy")?.to_owned(),
            cluster: value("cluster_enabled").is_some_and(|enabled| enabled != "0"),
            loading: value("loading").is_some_and(|loading| loading != "0"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Info;

    const SAID: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:9f2c\r\n\r\n# Memory\r\n\
        maxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\nasync_loading:1\r\n\
        # Replication\r\nrole:master\r\n# Cluster\r\ncluster_enabled:0\r\n";

    #[test]
    fn what_matters_is_read() {
        let info = Info::read(SAID).unwrap();
        assert_eq!(
            info,
            Info {
                run_id: "9f2c".to_owned(),
                role: "master".to_owned(),
                policy: "noeviction".to_owned(),
                cluster: false,
                loading: false,
            }
        );
        let other = SAID
            .replace("cluster_enabled:0", "cluster_enabled:1")
            .replace("\nloading:0", "\nloading:1");
        let other = Info::read(&other).unwrap();
        assert!(other.cluster && other.loading);
    }

    #[test]
    fn what_is_not_said_is_not_assumed() {
        for missing in ["run_id", "role", "maxmemory_policy"] {
            assert_eq!(
                Info::read(&SAID.replace(missing, "other")),
                None,
                "{missing}"
            );
        }
    }
}
