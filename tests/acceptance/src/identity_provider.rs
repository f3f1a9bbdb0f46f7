//! An identity provider that is not ours, on this machine: a certified one, which people
//! sign in at with any name.

use crate::{Installation, Program};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// One that runs until it is dropped. Browsers find it as `127.0.0.1`, which is another site
/// than the `localhost` of the pages.
pub struct IdentityProvider {
    program: Program,
    url: String,
    secret: String,
    folder: TempDir,
}

impl IdentityProvider {
    /// One that does not know yet where it leads back to. `alg` signs its ID tokens; with
    /// `is_pushed` it takes what it is asked before a browser comes.
    ///
    /// # Panics
    /// When it is not installed, with what to type.
    #[must_use]
    pub fn start(alg: &str, is_pushed: bool) -> Self {
        let library = library();
        let pushed = if is_pushed { "yes" } else { "no" };
        let words = [library.to_str().unwrap(), alg, pushed];
        let program = Program::node("oidc_provider.mjs", &words);
        let told = program.hear();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        let (url, secret) = (text("url"), text("secret"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            program,
            url,
            secret,
            folder,
        }
    }

    /// Its issuer.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it knows the server by, which nobody else is to see.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The provider `work` in a `procura.toml` with pages, up to what its groups lend.
    #[must_use]
    pub fn config(&self) -> String {
        format!(
            "[web]\nenabled = true\n[oidc.work]\ntitle = \"Example Login\"\nissuer = {}\n\
             client_id = \"procura\"\nclient_secret_file = \"{}\"\n\
             scopes = [\"profile\", \"groups\"]\nnetworks = [\"127.0.0.0/8\"]\n",
            json!(self.url),
            self.folder.path().join("secret").display(),
        )
    }

    /// Has it lead back to this server, and gives where browsers find that one.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn leads_back(&mut self, server: &Installation) -> String {
        let origin = server.url().replace("127.0.0.1", "localhost");
        let callback = format!("{origin}/oidc/work/callback");
        self.program.tell(&callback);
        assert_eq!(self.program.hear()["serves"], callback);
        origin
    }
}

/// Where `./x setup` puts it.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .and_then(|folder| folder.parent()?.parent());
    let library = target.unwrap().join("oidc-provider");
    assert!(
        library.join("done").exists(),
        "{} is missing; run ./x setup",
        library.display()
    );
    library
}
