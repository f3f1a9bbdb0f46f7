//! Templates decide as they say: on each side of what they are told, for those whom they
//! are about and for nobody else.

use crate::cases::{ask, deliver, said, set};
use procura_cedar::PolicySet;
use procura_cedar::template::Template;
use procura_types::Delivery;
use serde_json::{Value, json};

/// A template about agents `ci-*`, beside a policy that permits everything.
fn beside_all(template: &Template) -> PolicySet {
    let text = template.text().unwrap();
    set(&format!(
        "@id(\"all\") permit(principal, action, resource);\n{text}"
    ))
}

/// That a question is decided so, and by the policy of this name where it is denied.
fn decides(set: &PolicySet, asked: Value, by: Option<&str>) {
    let expected = match by {
        None => said("allow", "permitted", &["all"]),
        Some(name) => said("deny", "policy_forbids", &[name]),
    };
    assert_eq!(ask(set, asked.clone()), expected, "{asked}");
}

/// The same, by an agent whom the template is not about.
fn of_another(mut asked: Value) -> Value {
    asked["principal"] = json!("agent/dev");
    asked
}

/// Each action that hands values over, on what it is done.
const VALUES: [(&str, &str); 5] = [
    ("run.deliver", "project/web"),
    ("key.read", "secret/shop/key"),
    ("project_token.issue", "project/web"),
    ("project_token.use", "project/web"),
    ("project_token.rotate", "project_token/1"),
];

fn doing((action, resource): (&str, &str), context: &Value) -> Value {
    let mut asked = deliver(context.clone());
    asked["action"] = json!(action);
    asked["resource"] = json!(resource);
    asked
}

#[test]
fn a_network_has_an_inside_and_an_outside() {
    let of = |network: &str| {
        beside_all(&Template::Network {
            agents: "ci-*".to_owned(),
            network: network.parse().unwrap(),
        })
    };
    let outside = Some("network.ci-x");
    let (four, six) = (of("10.0.0.0/8"), of("2001:db8::/32"));
    for (source, in_four, in_six) in [
        (json!("10.0.0.0"), true, false),
        (json!("10.255.255.255"), true, false),
        (json!("::ffff:10.9.8.7"), true, false),
        (json!("9.255.255.255"), false, false),
        (json!("11.0.0.0"), false, false),
        (json!("2001:db8::"), false, true),
        (json!("2001:db8:ffff::1"), false, true),
        (json!("2001:db9::"), false, false),
        // No address is known.
        (Value::Null, false, false),
    ] {
        let asked = deliver(json!({"source": source}));
        decides(&four, asked.clone(), outside.filter(|_| !in_four));
        decides(&six, asked.clone(), outside.filter(|_| !in_six));
        decides(&four, of_another(asked), None);
    }
    // Nothing at all, not values alone.
    let far = json!({"source": "192.0.2.1"});
    let starts = json!({
        "principal": "agent/ci-1", "action": "session.start",
        "resource": "installation", "context": far,
    });
    decides(&four, starts, outside);
}

#[test]
fn values_are_delivered_in_the_one_way() {
    for allowed in Delivery::ALL {
        let set = beside_all(&Template::Delivery {
            agents: "ci-*".to_owned(),
            delivery: allowed,
        });
        for way in Delivery::ALL {
            let by = (way != allowed).then_some("delivery.ci-x");
            let context = json!({"delivery": way.as_str(), "items": {"KEY": "shop/key"}});
            for action in VALUES {
                let asked = doing(action, &context);
                decides(&set, asked.clone(), by);
                decides(&set, of_another(asked), None);
            }
            // To ask for it is something else.
            let asked = doing(("request.create", "project/web"), &context);
            decides(&set, asked, None);
        }
    }
}

#[test]
fn so_many_times_an_hour_and_not_once_more() {
    let most = |most: u32| {
        beside_all(&Template::Rate {
            agents: "ci-*".to_owned(),
            most,
        })
    };
    let sixty = most(60);
    for (uses, allowed) in [
        (0_u64, true),
        (59, true),
        (60, false),
        (61, false),
        // What cannot be counted any more.
        (u64::MAX, false),
    ] {
        let context = json!({"uses_last_hour": uses});
        for action in VALUES {
            let asked = doing(action, &context);
            let by = Some("rate.ci-x").filter(|_| !allowed);
            decides(&sixty, asked.clone(), by);
            decides(&sixty, of_another(asked), None);
        }
        let asked = doing(("request.create", "project/web"), &context);
        decides(&sixty, asked, None);
    }
    let never = most(0);
    decides(&never, deliver(json!({})), Some("rate.ci-x"));
}

#[test]
fn all_of_them_together_each_have_their_say() {
    let agents = || "ci-*".to_owned();
    let texts = [
        Template::Network {
            agents: agents(),
            network: "10.0.0.0/8".parse().unwrap(),
        },
        Template::Delivery {
            agents: agents(),
            delivery: Delivery::Env,
        },
        Template::Rate {
            agents: agents(),
            most: 60,
        },
    ]
    .map(|template| template.text().unwrap());
    let all = "@id(\"all\") permit(principal, action, resource);\n";
    let set = set(&format!("{all}{}", texts.concat()));
    let asked = |source: &str, delivery: &str, uses: u64| {
        let context = json!({"source": source, "delivery": delivery, "uses_last_hour": uses});
        ask(&set, deliver(context))
    };
    let no = |names: &[&str]| said("deny", "policy_forbids", names);
    assert_eq!(
        asked("10.1.1.1", "env", 59),
        said("allow", "permitted", &["all"])
    );
    assert_eq!(asked("11.1.1.1", "env", 59), no(&["network.ci-x"]));
    assert_eq!(asked("10.1.1.1", "file", 59), no(&["delivery.ci-x"]));
    assert_eq!(asked("10.1.1.1", "env", 60), no(&["rate.ci-x"]));
    let each = ["delivery.ci-x", "network.ci-x", "rate.ci-x"];
    assert_eq!(asked("11.1.1.1", "file", 60), no(&each));
}
