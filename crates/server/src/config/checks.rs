//! What does not go together in a configuration, or would be unsafe.

use super::{Config, ConfigError, WebOrigin};

/// Identity providers that one sign-in page offers.
const MOST_PROVIDERS: usize = 8;

impl Config {
    /// Refuses combinations that would be unsafe or do nothing.
    pub fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |text: &str| Err(ConfigError::Contradiction(text.to_owned()));
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return contradiction("tls_cert and tls_key go together; one is missing");
        }
        if self.tls_cert.is_none() && !self.listen.ip().is_loopback() {
            return contradiction(
                "listen is not a loopback address: plain HTTP is served on loopback only; give tls_cert and tls_key",
            );
        }
        self.check_web()?;
        if self.request_seconds == 0 || self.max_connections == 0 {
            return contradiction("request_seconds and max_connections must be at least 1");
        }
        if self.max_connections_per_address == Some(0) {
            return contradiction("max_connections_per_address must be at least 1");
        }
        if [self.head_seconds, self.idle_seconds, self.stall_seconds].contains(&0) {
            return contradiction(
                "head_seconds, idle_seconds and stall_seconds must be at least 1",
            );
        }
        if self.log_megabytes == 0 || self.log_days == 0 || self.log_files == 0 {
            return contradiction("log_megabytes, log_days and log_files must be at least 1");
        }
        if self.auto_unseal.len() > procura_vault::MAX_SOURCES {
            return contradiction("auto_unseal names more unseal sources than there can be");
        }
        if self.danger_stop_at.is_some()
            && (self.tls_cert.is_some() || !self.listen.ip().is_loopback())
        {
            return contradiction(
                "danger_stop_at is for tests: it takes plain HTTP on a loopback address",
            );
        }
        self.guard_server()?;
        if self.guard_password_file.is_some() && self.guard_url.is_none() {
            return contradiction("guard_password_file says nothing without guard_url");
        }
        self.check_database()?;
        if let Some(url) = &self.danger_telegram_api
            && procura_client::Target::parse(url).is_err()
        {
            return contradiction("danger_telegram_api must be a URL");
        }
        if self.web_login_idle_minutes == 0 || self.web_login_hours == 0 {
            return contradiction("web_login_idle_minutes and web_login_hours must be at least 1");
        }
        if self.agent_secret_days == 0 {
            return contradiction("agent_secret_days must be at least 1");
        }
        Ok(())
    }

    /// What browsers are led to is encrypted, or stays on this machine: a cookie is as good
    /// as a password.
    fn check_web(&self) -> Result<(), ConfigError> {
        let contradiction = |text: &str| Err(ConfigError::Contradiction(text.to_owned()));
        if !self.web.enabled && !self.oidc.is_empty() {
            return contradiction("oidc says nothing without web.enabled = true");
        }
        if self.oidc.len() > MOST_PROVIDERS {
            return contradiction("oidc names more than 8 identity providers");
        }
        if !self.web.enabled {
            return match self.web.origin {
                Some(_) => contradiction("web.origin says nothing without web.enabled = true"),
                None => Ok(()),
            };
        }
        let public = self.public_url.as_deref();
        if self.web.origin.is_none() && public.is_some_and(|url| WebOrigin::of(url).is_none()) {
            return contradiction(
                "web.enabled takes TLS, or a browser on this machine: public_url must be https://NAME[:PORT] or name a loopback address, or web.origin say where browsers find the pages",
            );
        }
        Ok(())
    }

    fn check_database(&self) -> Result<(), ConfigError> {
        let contradiction = |text: &str| Err(ConfigError::Contradiction(text.to_owned()));
        if self.max_stale_seconds == 0 {
            return contradiction("max_stale_seconds must be at least 1");
        }
        // Each says that it is there once a minute.
        if self.server_absent_seconds < 300 {
            return contradiction("server_absent_seconds must be at least 300");
        }
        if self.database()?.is_some() {
            if self.guard_url.is_none() {
                return contradiction(
                    "database_url needs guard_url: what one server has let in once, another must not let in again, so they share a replay guard",
                );
            }
            return Ok(());
        }
        let without = [
            (
                "database_password_file",
                self.database_password_file.is_some(),
            ),
            ("database_ca", self.database_ca.is_some()),
            ("danger_async_standby", self.danger_async_standby),
        ];
        match without.into_iter().find(|(_, set)| *set) {
            Some((key, _)) => contradiction(&format!("{key} says nothing without database_url")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;
    use procura_vault::RotationStep;
    use std::path::PathBuf;

    #[test]
    fn plain_http_stays_on_loopback() {
        let mut config = Config::defaults(PathBuf::from("/nowhere"));
        config.check().unwrap();
        config.listen = "0.0.0.0:7310".parse().unwrap();
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("loopback only")
        );
        config.tls_cert = Some("c.pem".into());
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("one is missing")
        );
        config.tls_key = Some("k.pem".into());
        config.check().unwrap();
    }

    #[test]
    fn pages_take_tls_or_this_machine() {
        assert!(!load("", &[]).unwrap().web.enabled);
        for (url, good) in [
            ("https://procura.example", true),
            ("http://localhost:7310", true),
            ("http://127.0.0.1:7310/", true),
            ("http://[::1]:7310", true),
            ("http://procura.example", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
        ] {
            let text = format!("public_url = \"{url}\"\n[web]\nenabled = true\n");
            let checked = load(&text, &[]).unwrap().check();
            assert_eq!(checked.is_ok(), good, "{url}");
            let off = format!("public_url = \"{url}\"");
            load(&off, &[]).unwrap().check().unwrap();
        }
        for (web, good) in [
            ("origin = \"https://pages.example\"\nenabled = true", true),
            ("origin = \"https://pages.example\"", false),
        ] {
            let text = format!("public_url = \"http://procura.example\"\n[web]\n{web}");
            let checked = load(&text, &[]).unwrap().check();
            assert_eq!(checked.is_ok(), good, "{web}");
        }
        let error = load("[web]\nenable = true", &[]).unwrap_err().to_string();
        assert!(error.contains("unknown field `enable`"), "{error}");
        let by_variable = load("", &[("PROCURA_WEB", "{ enabled = true }")]).unwrap();
        assert!(by_variable.web.enabled);
    }

    #[test]
    fn identity_providers_are_for_pages() {
        let of = |name: &str| {
            format!("[oidc.{name}]\nissuer = \"https://login.example\"\nclient_id = \"procura\"\n")
        };
        let error = load(&of("work"), &[]).unwrap().check().unwrap_err();
        let error = error.to_string();
        assert_eq!(error, "oidc says nothing without web.enabled = true");
        let web = "[web]\nenabled = true\n";
        let config = load(&format!("{web}{}", of("work")), &[]).unwrap();
        config.check().unwrap();
        assert_eq!(config.oidc.len(), 1);
        let many: String = (0..9).map(|number| of(&format!("p{number}"))).collect();
        let config = load(&format!("{web}{many}"), &[]).unwrap();
        assert!(config.check().is_err());
        assert!(load(&of("Not-A-Label"), &[]).is_err());
        let error = load(
            "[oidc.work]\nissuer = \"http://login.example\"\nclient_id = \"x\"",
            &[],
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("issuer must be a URL"), "{error}");
    }

    #[test]
    fn a_server_that_others_reach_does_not_stop_at_a_step() {
        let config = load("danger_stop_at = \"file-replaced\"", &[]).unwrap();
        assert_eq!(config.danger_stop_at, Some(RotationStep::FileReplaced));
        config.check().unwrap();
        for (listen, certificate) in [("0.0.0.0:7310", true), ("127.0.0.1:7310", true)] {
            let mut reached = config.clone();
            reached.listen = listen.parse().unwrap();
            reached.tls_cert = certificate.then(|| "c.pem".into());
            reached.tls_key = certificate.then(|| "k.pem".into());
            let error = reached.check().unwrap_err().to_string();
            assert!(error.starts_with("danger_stop_at is for tests"), "{error}");
        }
        let error = load("danger_stop_at = \"somewhere\"", &[]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("is no step of a rotation"), "{error}");
    }
}
