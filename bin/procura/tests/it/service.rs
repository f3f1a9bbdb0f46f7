//! Services and their dials, from the command line.

use crate::installed::Installed;
use serde_json::json;

#[test]
fn a_service_is_added_turned_shown_and_removed() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let added = cli.json(&["service", "add", "web", "--route", "/admin=enforce"]);
    assert_eq!(
        (&added["name"], &added["mode"], &added["routes"]),
        (
            &json!("web"),
            &json!(null),
            &json!([{"prefix": "/admin", "mode": "enforce"}])
        )
    );
    let again = cli.run(&["service", "add", "web"], b"");
    assert_eq!(
        (again.code, again.err.as_str()),
        (
            77,
            "procura: the service web exists already\n  next: procura service show web, or procura auth mode web\n"
        )
    );
    let turned = cli.run(&["auth", "mode", "web", "observe"], b"");
    assert_eq!(
        (turned.code, turned.out.as_str(), turned.err.as_str()),
        (0, "", "web in default is at observe now, it was at off\n")
    );
    let same = cli.run(&["auth", "mode", "web", "observe"], b"");
    assert_eq!(same.err, "web in default is at observe, as before\n");
    cli.ok(&["auth", "mode", "web", "enforce", "--route", "/api"], b"");
    cli.ok(
        &["service", "route", "web", "/upload", "--stream", "true"],
        b"",
    );
    assert_eq!(
        cli.ok(&["auth", "mode", "web"], b""),
        "ROUTE     MODE     STREAM  UNSIGNED BODY  RATE\n\
         /admin    enforce\n\
         /api      enforce\n\
         /upload            yes\n\
         all else  observe\n"
    );
    for (route, mode, by) in [
        ("/api/x", "enforce", "route"),
        ("/upload", "observe", "service"),
        ("/", "observe", "service"),
    ] {
        let at = cli.json(&["auth", "mode", "web", "--route", route]);
        assert_eq!(
            at,
            json!({"service": "web", "route": route, "mode": mode, "by": by})
        );
        let at = cli.ok(&["auth", "mode", "web", "--route", route], b"");
        assert_eq!(at, format!("{mode}\n"));
    }
    cli.ok(&["agent", "add", "door", "--no-code"], b"");
    let gates = |args: &[&str]| cli.json(&[&["service", "gate", "web", "door"], args].concat());
    assert_eq!(gates(&[])["gates"], json!(["door"]));
    let shown = cli.run(&["service", "show", "web"], b"");
    assert!(
        shown.err.ends_with("its gate runs as door\n"),
        "{}",
        shown.err
    );
    assert_eq!(gates(&["--remove"])["gates"], json!([]));
    let none = cli.run(&["service", "gate", "web", "door", "--remove"], b"");
    assert_eq!(
        (none.code, none.err.as_str()),
        (
            64,
            "procura: nothing was changed: door runs no gate of the service web\n  next: procura service show web\n"
        )
    );
    let list = cli.json(&["service", "list"]);
    assert_eq!(
        list["services"],
        json!([cli.json(&["service", "show", "web"])])
    );

    cli.ok(&["service", "route", "web", "/upload", "--remove"], b"");
    let gone = cli.run(&["service", "route", "web", "/upload", "--remove"], b"");
    assert_eq!(
        (gone.code, gone.err.as_str()),
        (
            64,
            "procura: nothing was changed: the service web has no route /upload\n  next: procura service show web\n"
        )
    );
    let removed = cli.json(&["service", "remove", "web", "--yes"]);
    assert_eq!(removed, json!({"removed": "web"}));
    let none = cli.run(&["auth", "mode", "web"], b"");
    assert_eq!(none.code, 77);
    let words = "procura: there is no service web in default\n  next: procura service add web, or ";
    assert!(none.err.starts_with(words), "{}", none.err);
    let said = cli.ok(&["audit", "list", "--action", "service.write"], b"");
    for words in [
        "service/web added /admin:none>enforce",
        "service/web changed mode:none>observe",
        "service/web changed /upload#stream:none>true",
        "service/web removed mode:observe>none /admin:enforce>none /api:enforce>none",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn less_is_not_checked_without_a_yes() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let add = [
        "service",
        "add",
        "web",
        "--mode",
        "enforce",
        "--route",
        "/api=observe",
    ];
    cli.ok(&add, b"");
    let before = cli.json(&["service", "show", "web"]);
    for (args, question) in [
        (
            &["auth", "mode", "web", "observe"][..],
            "Turn web in default from enforce to observe? Requests without a valid proof are let through.",
        ),
        (
            &["auth", "mode", "web", "off"],
            "Turn web in default from enforce to off? Nothing is checked any more, and nothing is written down.",
        ),
        (
            &["auth", "mode", "web", "off", "--route", "/api"],
            "Turn /api of web in default from observe to off? Nothing is checked any more, and nothing is written down.",
        ),
        (
            &["auth", "mode", "web", "observe", "--route", "/pay"],
            "Turn /pay of web in default from enforce to observe? Requests without a valid proof are let through.",
        ),
        (
            &[
                "service",
                "route",
                "web",
                "/pay",
                "--danger-unsigned-body",
                "true",
            ],
            "Let bodies through to /pay of web that no proof covers? Whoever is in between can change them.",
        ),
        (
            &["service", "set", "web", "--allow-hmac-v1", "true"],
            "Let hmac-v1 in at web in default? It protects no more than the body: whoever has seen one request can send it to any path, at any time.",
        ),
        (
            &["service", "remove", "web"],
            "Remove the service web in default? Nothing says any more that its callers have to prove anything.",
        ),
    ] {
        let ran = cli.run(args, b"");
        assert_eq!(
            (ran.code, ran.err),
            (
                64,
                format!(
                    "procura: not done without a yes: there is no terminal to ask at: {question}\n  next: the same command with --yes\n"
                )
            ),
            "{args:?}"
        );
    }
    assert_eq!(cli.json(&["service", "show", "web"]), before);
    // Nobody is asked about more, nor about what is so already.
    cli.ok(&["auth", "mode", "web", "enforce", "--route", "/api"], b"");
    cli.ok(&["auth", "mode", "web", "off", "--yes"], b"");
    cli.ok(&["auth", "mode", "web", "off"], b"");
    // Without it, the paths of the route would fall to the mode of all else.
    let ran = cli.run(&["service", "route", "web", "/api", "--remove"], b"");
    assert_eq!(ran.code, 64);
    let question = "Turn /api of web in default from enforce to off?";
    assert!(ran.err.contains(question), "{}", ran.err);
}

#[test]
fn a_service_says_whether_it_lets_the_weak_profile_in() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["service", "add", "web"], b"");
    assert!(
        cli.json(&["service", "show", "web"])
            .get("hmac_v1")
            .is_none()
    );
    let set = ["service", "set", "web", "--allow-hmac-v1"];
    let on = cli.ok(
        &[
            &["--yes"][..],
            &set,
            &["true", "--window", "30", "--nonce-required"],
        ]
        .concat(),
        b"",
    );
    assert!(on.starts_with("ROUTE"), "{on}");
    assert_eq!(
        cli.json(&["service", "show", "web"])["hmac_v1"],
        json!({"window_seconds": 30, "nonce_required": true})
    );
    let wrong = cli.run(&[&set[..], &["true", "--window", "121"]].concat(), b"");
    assert_eq!(wrong.code, 64, "{}", wrong.err);
    let unsaid = cli.run(&["service", "set", "web"], b"");
    assert_eq!(unsaid.code, 64, "{}", unsaid.err);
    // Whatever else is turned leaves it as it is.
    cli.ok(&["auth", "mode", "web", "observe"], b"");
    let shown = cli.json(&["service", "show", "web"]);
    assert!(shown["hmac_v1"].is_object(), "{shown}");
    cli.ok(&[&set[..], &["false"]].concat(), b"");
    assert!(
        cli.json(&["service", "show", "web"])
            .get("hmac_v1")
            .is_none()
    );
}
