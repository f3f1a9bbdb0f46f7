//! What `policy` shows of versions, explanations and reports.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use procura_types::wire::{
    PolicyAnswer, PolicyExplained, PolicyReport, PolicyVersionList, PolicyWould,
};

/// The versions, newest first.
pub(crate) fn listed(context: &Context, found: PolicyVersionList) -> Result<(), Failure> {
    if context.json {
        return output::json(&found);
    }
    let mut table = Table::new([
        "VERSION", "STATE", "POLICIES", "AUTHOR", "STORED", "TEXT OF",
    ]);
    for version in found.versions {
        table.row([
            version.version.to_string(),
            version.state.to_string(),
            version.policies.to_string(),
            version.author,
            version.created.to_string(),
            version
                .text_of
                .map_or_else(String::new, |of| of.to_string()),
        ]);
    }
    table.print("no policies: roles and grants alone decide")?;
    if let Some(why) = found.unusable {
        output::say(output::plain(&format!("cannot be used: {why}")));
    }
    Ok(())
}

/// What policies would say, version by version.
pub(crate) fn explained(context: &Context, told: &PolicyExplained) -> Result<(), Failure> {
    if context.json {
        return output::json(told);
    }
    let mut table = Table::new(["POLICIES", "STATE", "ANSWER", "REASON", "BY", "LOOKED AT"]);
    for version in &told.versions {
        let of = version.namespace.as_deref().unwrap_or("installation");
        table.row([
            format!("{of}@{}", version.version),
            version.state.to_string(),
            version.answer.as_str().to_owned(),
            version.reason.clone(),
            version.by.join(" "),
            version.looked_at.to_string(),
        ]);
    }
    table.print("no policies count here: roles and grants alone decide")?;
    output::say(match told.answer {
        PolicyAnswer::Allow => "policies allow what roles and grants allow",
        PolicyAnswer::Deny => "policies deny it, whatever roles and grants allow",
    });
    Ok(())
}

/// What enforcing would change.
pub(crate) fn reported(context: &Context, report: &PolicyReport) -> Result<(), Failure> {
    if context.json {
        return output::json(report);
    }
    let Some(version) = report.version else {
        output::say("no policies are observed: `procura policy observe VERSION` begins");
        return Ok(());
    };
    let mut table = Table::new([
        "TIMES", "", "OWNER", "AGENT", "ACTION", "ON", "REASON", "BY",
    ]);
    for line in &report.lines {
        let would = match line.would {
            PolicyWould::WouldDeny => "would_deny",
            PolicyWould::WouldAllow => "would_allow",
        };
        table.row([
            line.count.to_string(),
            would.to_owned(),
            line.owner.clone(),
            line.actor.clone(),
            line.action.clone(),
            line.resource.clone(),
            line.reason.clone(),
            line.by.join(" "),
        ]);
    }
    table.print("nothing would be otherwise so far")?;
    let since = report.since.map_or_else(
        || "nothing was asked yet".to_owned(),
        |since| format!("since {since}"),
    );
    output::say(format!(
        "version {version}, {} decisions, {since}",
        report.decisions
    ));
    if report.left_out > 0 {
        output::say(format!(
            "{} more would be otherwise and are in no line",
            report.left_out
        ));
    }
    Ok(())
}
