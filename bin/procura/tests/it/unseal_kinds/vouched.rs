//! The list of sources says where keepers are, and nothing vouches for it before the vault
//! is open: what it says of that is not gone by.

use super::kms::Service;
use super::place::{Kind, Place, first};
use super::softhsm::Tokens;
use super::swtpm::Chips;
use serde_json::{Value, json};
use std::path::Path;

fn says(health: &Value, words: &str) -> bool {
    let degraded = health["degraded"].as_array().unwrap();
    degraded
        .iter()
        .any(|why| why.as_str().unwrap().contains(words))
}

/// Lines for the configuration, with what the source asks for.
fn configuration(kind: &impl Kind, at: &str) -> String {
    let mut text = "auto_unseal = [\"one\"]\n".to_owned();
    if let Some(path) = kind.credentials() {
        text.push_str(&format!("[unseal_credentials]\none = {}\n", json!(path)));
    }
    text.push_str(at);
    text
}

/// Opens by itself where the configuration says, and nowhere else, whatever the list says.
fn goes_by_the_configuration<K: Kind>(at: &Path) {
    let mut kind = K::new(at);
    let environment: Vec<(String, String)> = kind
        .environment()
        .into_iter()
        .filter(|(name, _)| name != "PROCURA_UNSEAL_AT")
        .collect();
    let mut place = Place::new(at, "home", environment);
    let file = place.cli.home.join("procura.toml");
    place.add(&mut kind, "one");
    let one = kind.bring("home", "one");
    // Whoever added it had opened the vault.
    assert_eq!(place.test(&one)["name"], "one");
    let list = place.ok(&["unseal-source".to_owned(), "list".to_owned()], &[]);
    let (at, (member, evil)) = kind.place().unwrap();
    let lines = list["sources"][1]["configure"].as_str().unwrap().to_owned();
    assert_eq!(lines, format!("[unseal_at.one]\n{at}"));

    // Started again it does not know, nor does it show what to believe.
    place.stop();
    std::fs::write(&file, configuration(&kind, "")).unwrap();
    place.start();
    place.wait("gives up", |health| {
        says(health, "no source opens the vault")
    });
    place.not_unsealed(&one, "source_not_configured");
    let list = place.ok(&["unseal-source".to_owned(), "list".to_owned()], &[]);
    assert_eq!(list["sources"][1]["configure"], Value::Null);
    place.unseal(&first());

    // The lines that were shown are all that it takes.
    place.stop();
    std::fs::write(&file, configuration(&kind, &lines)).unwrap();
    place.start();
    place.wait("opens by itself", |health| health["sealed"] == json!(false));
    let list = place.ok(&["unseal-source".to_owned(), "list".to_owned()], &[]);
    assert_eq!(list["sources"][1]["configure"], Value::Null);

    // Who writes the list has it sought elsewhere; it is found where the configuration
    // says, and the list is found out.
    place.stop();
    let good = std::fs::read(place.file()).unwrap();
    let mut changed: Value = serde_json::from_slice(&good).unwrap();
    changed["sources"][1]["keeper"]["by"][member] = evil.into();
    std::fs::write(place.file(), serde_json::to_vec(&changed).unwrap()).unwrap();
    std::fs::write(&file, lines.clone()).unwrap();
    place.start();
    place.not_unsealed(&one, "damaged");
    place.stop();
    std::fs::write(&file, "").unwrap();
    place.start();
    place.not_unsealed(&one, "source_not_configured");
    place.stop();

    // Of another kind is as none.
    std::fs::write(place.file(), &good).unwrap();
    let other = match member {
        "module" => "device = \"/dev/null\"",
        _ => "module = \"/dev/null\"",
    };
    std::fs::write(&file, format!("[unseal_at.one]\n{other}\n")).unwrap();
    place.start();
    place.not_unsealed(&one, "source_not_configured");
    place.unseal(&first());
    // Nor is one added that the next start would seek elsewhere.
    let (args, lines) = kind.add("again", "one");
    let (mut all, mut typed) = place.with(&["unseal-source", "remove", "one"], &first());
    place.ok(&all, &typed);
    (all, typed) = place.with(&["unseal-source", "add", "one"], &first());
    all.extend(args);
    typed.extend(lines);
    place.refused(&all, &typed, "source_not_configured");
}

#[test]
fn tokens_are_sought_where_the_configuration_says() {
    goes_by_the_configuration::<Tokens>(tempfile::tempdir().unwrap().path());
}

#[test]
fn chips_are_sought_where_the_configuration_says() {
    goes_by_the_configuration::<Chips>(tempfile::tempdir().unwrap().path());
}

#[test]
fn services_are_sought_where_the_configuration_says() {
    goes_by_the_configuration::<Service>(tempfile::tempdir().unwrap().path());
}

/// A link that leads to a module is followed once: what was checked is what is loaded.
#[test]
fn a_module_is_loaded_by_the_path_that_was_checked() {
    let dir = tempfile::tempdir().unwrap();
    let kind = Tokens::new(dir.path());
    let shared = dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let link = shared.join("module.so");
    std::os::unix::fs::symlink(super::softhsm::MODULE, &link).unwrap();
    let environment = kind.environment();
    let conf = environment.first().unwrap().clone();
    let at = format!("{{ one = {{ module = {link:?} }} }}");
    let place = Place::new(
        dir.path(),
        "home",
        vec![conf, ("PROCURA_UNSEAL_AT".to_owned(), at)],
    );
    let add = |kind: &Tokens| {
        let (args, lines) = kind.add("home", "one");
        let (mut all, mut typed) = place.with(&["unseal-source", "add", "one"], &first());
        all.extend(args.into_iter().map(|word| {
            if word == super::softhsm::MODULE {
                link.display().to_string()
            } else {
                word
            }
        }));
        typed.extend(lines);
        (all, typed)
    };
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |bits| {
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    // Whoever can turn the link chooses what is loaded.
    mode(0o777);
    let (all, typed) = add(&kind);
    place.refused(&all, &typed, "wrapper_unfit");
    mode(0o755);
    place.ok(&all, &typed);
    assert_eq!(place.test(&kind.bring("home", "one"))["name"], "one");
}
