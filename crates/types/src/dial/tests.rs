use super::*;
use crate::{ForeignId, Timestamp};
use proptest::prelude::*;

fn prefix(text: &str) -> RoutePrefix {
    text.parse().unwrap()
}

fn mode(text: &str) -> Option<Mode> {
    match text {
        "-" => None,
        text => Some(text.parse().unwrap()),
    }
}

/// A dial of `mode` and routes written as `/prefix=mode`.
fn dial(of_service: &str, routes: &[&str]) -> Dial {
    let route = |text: &&str| {
        let (path, of_route) = text.split_once('=').unwrap();
        Route {
            mode: mode(of_route),
            ..Route::new(prefix(path))
        }
    };
    Dial {
        mode: mode(of_service),
        routes: routes
            .iter()
            .map(route)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap(),
    }
}

fn asked<'a>(method: &'a str, path: &'a str) -> Asked<'a> {
    Asked {
        method,
        path,
        cors: false,
        bare: true,
    }
}

#[test]
fn a_mode_is_one_of_three_words_and_nothing_else() {
    for mode in Mode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(mode));
        let json = serde_json::to_string(&mode).unwrap();
        assert_eq!(json, format!("\"{mode}\""));
        assert_eq!(serde_json::from_str::<Mode>(&json).unwrap(), mode);
    }
    for wrong in [
        "",
        "on",
        "Enforce",
        "enforce ",
        "enfroce",
        "observe,enforce",
        "0",
    ] {
        let error = wrong.parse::<Mode>().unwrap_err();
        assert_eq!(error.to_string(), "mode: must be off, observe or enforce");
        assert!(serde_json::from_str::<Mode>(&format!("{wrong:?}")).is_err());
    }
    assert!(Mode::Off < Mode::Observe && Mode::Observe < Mode::Enforce);
}

#[test]
fn prefixes_have_one_spelling() {
    let longest = format!("/{}", "a".repeat(254));
    for good in [
        "/",
        "/api",
        "/api/v1",
        "/a.b",
        "/.well-known",
        "/a~b_c-d",
        "/%20a",
        "/%7Ba%7D",
        "/a:b@c",
        "/(x)",
        &longest,
    ] {
        assert_eq!(prefix(good).as_str(), good);
    }
    let longer = format!("{longest}a");
    for bad in [
        "",
        "api",
        "api/",
        "/api/",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/a/../b",
        "/a/.",
        "/api?x",
        "/api#x",
        "/a;b",
        "/a\\b",
        "/%2e",
        "/%2E%2E/a",
        "/a%2Fb",
        "/a%2fb",
        "/%5C",
        "/%41",
        "/%c3",
        "/%",
        "/%4",
        "/%zz",
        "/%25",
        "/%00",
        "/%3B",
        "/ü",
        "/%C3%BC",
        "/%80",
        "/...",
        "/a./b",
        "/a.",
        "/%20",
        "/a%20",
        "/a b",
        "/a\nb",
        "/a\"b",
        "/\u{7f}",
        "*",
        &longer,
    ] {
        assert_eq!(
            bad.parse::<RoutePrefix>().unwrap_err().field,
            "route",
            "{bad:?}"
        );
    }
}

#[test]
fn routes_are_few_and_each_prefix_is_there_once() {
    let routes = |prefixes: Vec<String>| {
        let routes = prefixes.iter().map(|text| Route::new(prefix(text)));
        Routes::try_from(routes.collect::<Vec<_>>()).map_err(|error| error.to_string())
    };
    assert!(routes((0..64).map(|number| format!("/{number}")).collect()).is_ok());
    assert_eq!(
        routes((0..65).map(|number| format!("/{number}")).collect()),
        Err("routes: must be at most 64".to_owned())
    );
    assert_eq!(
        routes(vec!["/b".into(), "/a".into(), "/b".into()]),
        Err("routes: must have each prefix at most once, whatever its case".to_owned())
    );
    assert!(routes(vec!["/b/a".into(), "/B".into(), "/B/A".into()]).is_err());
    let long = |number| format!("/{number:02}{}", "x".repeat(252));
    assert!(routes((0..16).map(long).collect()).is_ok());
    assert_eq!(
        routes((0..17).map(long).collect()),
        Err("routes: must have prefixes of at most 4096 bytes together".to_owned())
    );
}

#[test]
fn routes_are_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Routes>(text).map(drop);
    assert!(read(r#"[{"prefix":"/b","mode":"enforce"},{"prefix":"/a","stream":true}]"#).is_ok());
    for (text, problem) in [
        (r#"[{"prefix":"/a","mode":"on"}]"#, "mode: must be"),
        (r#"[{"prefix":"a"}]"#, "route: must begin with /"),
        (r#"[{"mode":"off"}]"#, "missing field `prefix`"),
        (
            r#"[{"prefix":"/a","modes":"off"}]"#,
            "unknown field `modes`",
        ),
        (
            r#"[{"prefix":"/a"},{"prefix":"/a"}]"#,
            "routes: must have each",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

#[test]
fn the_environment_is_over_what_is_stored_and_that_over_off() {
    let stored = dial("observe", &["/api=enforce"]);
    let resolved = |dial: &Dial, environment: &str, path: &str| {
        let setting = dial.resolve(mode(environment), &asked("POST", path));
        (setting.mode, setting.by)
    };
    for (environment, path, expected) in [
        ("-", "/", (Mode::Observe, DecidedBy::Service)),
        ("-", "/api/x", (Mode::Enforce, DecidedBy::Route)),
        ("off", "/", (Mode::Off, DecidedBy::Environment)),
        ("off", "/api/x", (Mode::Off, DecidedBy::Environment)),
        ("enforce", "/", (Mode::Enforce, DecidedBy::Environment)),
    ] {
        assert_eq!(
            resolved(&stored, environment, path),
            expected,
            "{environment} {path}"
        );
    }
    let nothing = Dial::default();
    assert_eq!(
        resolved(&nothing, "-", "/api"),
        (Mode::Off, DecidedBy::Default)
    );
    assert_eq!(
        resolved(&nothing, "enforce", "/api"),
        (Mode::Enforce, DecidedBy::Environment)
    );
}

#[test]
fn prefixes_match_on_the_borders_of_segments() {
    let stored = dial(
        "off",
        &["/api=observe", "/api/admin=enforce", "/a%20b=enforce"],
    );
    for (path, expected) in [
        ("/", Mode::Off),
        ("/ap", Mode::Off),
        ("/api", Mode::Observe),
        ("/api/", Mode::Observe),
        ("/apis", Mode::Off),
        ("/api-v2/admin", Mode::Off),
        ("/api/admi", Mode::Observe),
        ("/api/admin", Mode::Enforce),
        ("/api/admin/users", Mode::Enforce),
        ("/api/administrators", Mode::Observe),
        ("/x/api/admin", Mode::Off),
        // The same path in another spelling.
        ("/%61pi/admi%6E", Mode::Enforce),
        ("/%61pi/admi%6e/", Mode::Enforce),
        ("/a%20b/c", Mode::Enforce),
        ("/a b/c", Mode::Enforce),
    ] {
        assert_eq!(stored.at(path).mode, expected, "{path}");
    }
    assert_eq!(
        dial("off", &["/=enforce"]).at("/any/thing").mode,
        Mode::Enforce
    );
}

#[test]
fn a_path_that_may_be_read_in_two_ways_gets_the_strictest_mode() {
    let stored = Dial {
        routes: dial("-", &["/public=off", "/admin=enforce"])
            .routes
            .with(Route {
                stream: Some(true),
                danger_unsigned_body: Some(true),
                ..Route::new(prefix("/"))
            })
            .unwrap(),
        mode: Some(Mode::Observe),
    };
    for path in [
        "",
        "*",
        "admin",
        "example.com:443",
        "//admin",
        "/public//admin",
        "/public/../admin",
        "/public/./x",
        "/public/..",
        "/public/%2e%2E/admin",
        "/public/.%2e/admin",
        "/public%2Fadmin",
        "/public%2f..%2fadmin",
        "/public\\..\\admin",
        "/public%5c..%5cadmin",
        "/public;/../admin",
        "/admin;x=1",
        "/public%3b",
        "/public%00",
        "/public%0a",
        "/public%2561",
        "/public%",
        "/public%2",
        "/public%zz",
        "/public?x",
        "/public#x",
        // What is dropped at the end of a name somewhere.
        "/admin.",
        "/admin./x",
        "/admin..",
        "/admin%20",
        "/admin /x",
        "/admin.%20.",
        "/public/...",
        // Bytes outside ASCII: the shortest form, a longer one, none.
        "/ａdmin",
        "/%EF%BD%81dmin",
        "/%C1%A1dmin",
        "/public/%C0%AE%C0%AE/admin",
        "/public/%E2%80%A5%EF%BC%8Fadmin",
        "/public%FF",
        "/public/na%C3%AFve",
    ] {
        let setting = stored.at(path);
        assert_eq!(
            (setting.mode, setting.by),
            (Mode::Enforce, DecidedBy::UnclearPath),
            "{path:?}"
        );
        assert!(!setting.stream && !setting.danger_unsigned_body, "{path:?}");
    }
    // Somebody behind may not look at the case of letters, or may take what follows a
    // dot for the form of the answer.
    for path in [
        "/ADMIN",
        "/Admin/x",
        "/%41dmin",
        "/Public",
        "/admin.json",
        "/admin.tar.gz",
        "/Admin.JSON",
        "/admin.json/x",
        "/admin%2Ejson",
        "/public.html",
    ] {
        let setting = stored.at(path);
        assert_eq!(
            (setting.mode, setting.by),
            (Mode::Enforce, DecidedBy::UnclearPath),
            "{path}"
        );
    }
    let nested = dial("off", &["/API=off", "/api/x=enforce"]);
    assert_eq!(nested.at("/API/x").mode, Mode::Enforce);
    assert_eq!(nested.at("/API/y").mode, Mode::Off);
    assert_eq!(nested.at("/API/y").by, DecidedBy::Route);
    // Another name is another name.
    for path in ["/admin-json", "/.admin", "/x.admin", "/x/admin.json"] {
        assert_eq!(stored.at(path).mode, Mode::Observe, "{path}");
    }
    let dotted = dial("off", &["/v1=enforce", "/v1.2=off", "/v1/x.y=off"]);
    assert_eq!(dotted.at("/v1.2/a").by, DecidedBy::UnclearPath);
    assert_eq!(dotted.at("/v1/x.y").mode, Mode::Off);
    assert_eq!(dotted.at("/v1/x.y.z").by, DecidedBy::UnclearPath);
    assert_eq!(dotted.at("/v1/x").mode, Mode::Enforce);
    assert_eq!(dotted.at("/v1/x.json").by, DecidedBy::Route);
    // Where all is off there is nothing to get around.
    assert_eq!(dial("-", &["/x=off"]).at("//x").mode, Mode::Off);
    // What the environment says is for these too.
    let setting = stored.resolve(Some(Mode::Off), &asked("GET", "//admin"));
    assert_eq!(setting.mode, Mode::Off);
}

#[test]
fn what_watches_a_service_is_never_gated_and_nothing_like_it_is() {
    let stored = dial("enforce", &["/health=enforce"]);
    let resolved = |environment, method, path, cors| {
        let asked = Asked {
            method,
            path,
            cors,
            bare: true,
        };
        let more = Asked {
            bare: false,
            ..asked
        };
        // With a body or an upgrade, none is more than any other path.
        assert_eq!(stored.resolve(environment, &more).mode, Mode::Enforce);
        stored.resolve(environment, &asked)
    };
    for environment in [None, Some(Mode::Enforce)] {
        for (method, path, cors) in [
            ("GET", "/health", false),
            ("GET", "/metrics", false),
            ("OPTIONS", "/api", true),
        ] {
            let setting = resolved(environment, method, path, cors);
            assert_eq!(
                (setting.mode, setting.by),
                (Mode::Off, DecidedBy::NeverGated)
            );
        }
        for (method, path, cors) in [
            ("POST", "/health", false),
            ("HEAD", "/health", false),
            ("get", "/health", false),
            ("GET", "/health/", false),
            ("GET", "/healthz", false),
            ("GET", "/health/../api", false),
            ("GET", "/%68ealth", false),
            ("GET", "//metrics", false),
            ("GET", "/api", true),
            ("OPTIONS", "/api", false),
        ] {
            let setting = resolved(environment, method, path, cors);
            assert_eq!(setting.mode, Mode::Enforce, "{method} {path}");
        }
    }
}

#[test]
fn each_thing_is_stated_by_the_longest_route_that_states_it() {
    let route = |path: &str, mode, stream, body| Route {
        mode,
        stream,
        danger_unsigned_body: body,
        ..Route::new(prefix(path))
    };
    let dial = Dial {
        mode: None,
        routes: vec![
            route("/a", Some(Mode::Enforce), Some(true), Some(true)),
            route("/a/b", None, None, Some(false)),
            route("/a/b/c", Some(Mode::Off), None, None),
        ]
        .try_into()
        .unwrap(),
    };
    let at = |path| {
        let setting = dial.at(path);
        let route = setting.route.map(|prefix| prefix.as_str().to_owned());
        (
            setting.mode,
            setting.stream,
            setting.danger_unsigned_body,
            route,
        )
    };
    let route = |text: &str| Some(text.to_owned());
    assert_eq!(at("/"), (Mode::Off, false, false, None));
    assert_eq!(at("/a/x"), (Mode::Enforce, true, true, route("/a")));
    assert_eq!(at("/a/b"), (Mode::Enforce, true, false, route("/a/b")));
    assert_eq!(at("/a/b/c/d"), (Mode::Off, true, false, route("/a/b/c")));
}

#[test]
fn a_rate_is_stated_like_all_else_and_no_spelling_goes_around_it() {
    let route = |path: &str, rate: Option<&str>| Route {
        rate: rate.map(|rate| rate.parse().unwrap()),
        ..Route::new(prefix(path))
    };
    let routes = |routes: Vec<Route>| Dial {
        mode: None,
        routes: routes.try_into().unwrap(),
    };
    let dial = routes(vec![
        route("/a", Some("100/s")),
        route("/a/b", None),
        route("/a/b/c", Some("off")),
        route("/slow", Some("1/m")),
    ]);
    let at = |path| {
        let setting = dial.resolve(None, &asked("GET", path));
        let (of, rate) = setting.rate?;
        Some(format!("{of} {rate}"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(at("/"), None);
    assert_eq!(at("/a/x"), some("/a 100/s"));
    assert_eq!(at("/a/b/x"), some("/a 100/s"));
    assert_eq!(at("/a/b/c/d"), None);
    for unclear in ["//slow", "/SLOW", "/a/%2e%2e/slow", "/x;y"] {
        assert_eq!(at(unclear), some("/slow 1/m"), "{unclear}");
    }
    assert_eq!(
        routes(vec![route("/health", Some("1/m"))])
            .resolve(None, &asked("GET", "/health"))
            .rate,
        None
    );
    let text = serde_json::to_string(&dial.routes).unwrap();
    assert!(
        text.contains(r#"{"prefix":"/a/b/c","rate":"off"}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Routes>(&text).unwrap(), dial.routes);
    let wrong = r#"[{"prefix":"/a","rate":"often"}]"#;
    let error = serde_json::from_str::<Routes>(wrong)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("rate: must be like"), "{error}");
}

#[test]
fn an_exception_is_about_somebody_or_some_paths() {
    let read =
        |text: &str| serde_json::from_str::<Exceptions>(text).map_err(|error| error.to_string());
    let one = read(r#"[{"agent":"probe-1","route":"/api","reason":"never signs","until":"2026-12-01T00:00:00Z"}]"#).unwrap();
    let one = one.iter().next().unwrap();
    let (probe, other): (ForeignId, ForeignId) =
        ("probe-1".parse().unwrap(), "probe-2".parse().unwrap());
    assert!(one.covers(Some(&probe), "/api/x"));
    for (agent, path) in [
        (Some(&other), "/api/x"),
        (None, "/api/x"),
        (Some(&probe), "/apix"),
        (Some(&probe), "/api/../admin"),
    ] {
        assert!(!one.covers(agent, path), "{agent:?} {path}");
    }
    let end: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    assert!(one.holds(end.minus(std::time::Duration::from_millis(1))) && !one.holds(end));

    let anybody = read(r#"[{"route":"/api","reason":"x"}]"#).unwrap();
    assert!(anybody.iter().next().unwrap().covers(None, "/api"));
    for (text, problem) in [
        (
            r#"[{"reason":"all"}]"#.to_owned(),
            "exceptions: must each name",
        ),
        (r#"[{"agent":"a"}]"#.to_owned(), "missing field `reason`"),
        (
            r#"[{"agent":"a","reason":""}]"#.to_owned(),
            "reason: must be 1 to 200",
        ),
        (
            r#"[{"agent":"a","reason":"a\nb"}]"#.to_owned(),
            "reason: must be 1 to 200",
        ),
        (
            r#"[{"agent":"a","reason":"x"},{"agent":"a","reason":"y"}]"#.to_owned(),
            "exceptions: must have each",
        ),
        (
            r#"[{"agent":"a","because":"x","reason":"y"}]"#.to_owned(),
            "unknown field",
        ),
        (
            format!(
                "[{}]",
                (0..33)
                    .map(|number| format!(r#"{{"agent":"a{number}","reason":"x"}}"#))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            "exceptions: must be at most 32",
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.starts_with(problem), "{error}");
    }
}

fn any_mode() -> impl Strategy<Value = Option<Mode>> {
    prop_oneof![
        Just(None),
        Just(Some(Mode::Off)),
        Just(Some(Mode::Observe)),
        Just(Some(Mode::Enforce)),
    ]
}

/// Segments that differ in little, so that prefixes overlap and nearly do.
fn any_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("a-b"), Just("b%20a")];
    proptest::collection::vec(segment, 0..5).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn any_routes() -> impl Strategy<Value = Vec<Route>> {
    let route = (
        any_path(),
        any_mode(),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
    );
    proptest::collection::vec(route, 0..12).prop_map(|routes| {
        let mut distinct: Vec<Route> = Vec::new();
        for (path, mode, stream, danger_unsigned_body) in routes {
            if distinct.iter().all(|route| route.prefix.as_str() != path) {
                distinct.push(Route {
                    mode,
                    stream,
                    danger_unsigned_body,
                    ..Route::new(prefix(&path))
                });
            }
        }
        distinct
    })
}

/// Whether a clear path lies at or below a prefix, by its segments.
fn below(path: &str, prefix: &str) -> bool {
    let segments = |text: &str| -> Vec<String> {
        text.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    segments(path).starts_with(&segments(prefix))
}

proptest! {
    #[test]
    fn a_longer_prefix_that_matches_always_wins(routes in any_routes(), of_service in any_mode(), path in any_path()) {
        let dial = Dial { mode: of_service, routes: routes.clone().try_into().unwrap() };
        let mut matching: Vec<&Route> = routes.iter().filter(|route| below(&path, route.prefix.as_str())).collect();
        matching.sort_by_key(|route| std::cmp::Reverse(route.prefix.as_str().len()));
        let setting = dial.at(&path);
        prop_assert_eq!(setting.route, matching.first().map(|route| &route.prefix));
        let expected = matching.iter().find_map(|route| route.mode).or(of_service).unwrap_or(Mode::Off);
        prop_assert_eq!(setting.mode, expected);
        prop_assert_eq!(setting.stream, matching.iter().find_map(|route| route.stream).unwrap_or(false));
        let body = matching.iter().find_map(|route| route.danger_unsigned_body).unwrap_or(false);
        prop_assert_eq!(setting.danger_unsigned_body, body);
    }

    #[test]
    fn the_order_of_routes_does_not_matter(routes in any_routes(), seed in any::<usize>(), path in any_path()) {
        let mut turned = routes.clone();
        if !turned.is_empty() {
            let middle = seed % turned.len();
            turned.rotate_left(middle);
        }
        if seed.is_multiple_of(2) {
            turned.reverse();
        }
        let (one, two): (Routes, Routes) = (routes.try_into().unwrap(), turned.try_into().unwrap());
        prop_assert_eq!(&one, &two);
        let dial = |routes| Dial { mode: None, routes };
        let (one, two) = (dial(one), dial(two));
        prop_assert_eq!(one.at(&path), two.at(&path));
    }

    #[test]
    fn a_route_changes_nothing_outside_it(routes in any_routes(), of_service in any_mode(), added in any_path(), of_route in any_mode(), path in any_path()) {
        let before = Dial { mode: of_service, routes: routes.try_into().unwrap() };
        let route = Route { mode: of_route, ..Route::new(prefix(&added)) };
        let after = Dial { mode: of_service, routes: before.routes.clone().with(route).unwrap() };
        prop_assume!(!below(&path, &added));
        prop_assert_eq!(before.at(&path), after.at(&path));
    }

    #[test]
    fn any_text_is_a_clear_path_in_one_spelling_or_gets_the_strictest(text in "[/a.%25;2eEfF\\\\ü-]{0,12}") {
        let dial = dial("observe", &["/a=off", "/a/e=enforce"]);
        let setting = dial.at(&text);
        match path::Spelled::read(&text) {
            None => prop_assert_eq!(setting.mode, Mode::Enforce),
            Some(spelled) => {
                // What is read is read as itself again.
                let again = dial.at(spelled.as_str());
                prop_assert_eq!(setting, again);
            }
        }
    }
}
