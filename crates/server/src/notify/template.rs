//! The texts of messages: a few lines for each event, with variables. A channel may have
//! others in their place, which are looked at when they are put.

use procura_types::Malformed;
use procura_types::wire::NotifyEvent;

/// Most characters of a template.
const LONGEST: usize = 2000;

macro_rules! variables {
    ($($name:ident = $text:literal,)*) => {
        /// What a template may name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Variable { $($name,)* }

        impl Variable {
            fn named(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }

        const NO_VARIABLE: Malformed = Malformed::new(
            "templates",
            concat!("a variable is one of", $(" {", $text, "}",)* "; braces for themselves are doubled"),
        );
    };
}

variables! {
    Action = "action",
    By = "by",
    Command = "command",
    Count = "count",
    Entry = "entry",
    Event = "event",
    Link = "link",
    Names = "names",
    Namespace = "namespace",
    Project = "project",
    Reason = "reason",
    Resource = "resource",
    Severity = "severity",
    Time = "time",
    Who = "who",
}

/// A piece of a line.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Variable(Variable),
}

/// A text that was understood.
#[derive(Debug)]
pub(super) struct Template<'a> {
    lines: Vec<Vec<Piece<'a>>>,
}

impl<'a> Template<'a> {
    /// Reads a template.
    ///
    /// # Errors
    /// One that is too long, names what is no variable, has a brace that is none's, or
    /// characters that steer.
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.chars().count() > LONGEST || text.trim().is_empty() {
            return Err(Malformed::new(
                "templates",
                "a text has 1 to 2,000 characters",
            ));
        }
        if procura_types::plain(text) != text {
            return Err(Malformed::new(
                "templates",
                "a text has no characters that steer, hide or reverse",
            ));
        }
        let lines = text.lines().map(line).collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// The text, each variable by what `value` gives for it. A line with one that has no
    /// value is left out.
    pub(super) fn render(&self, value: impl Fn(Variable) -> Option<String>) -> String {
        let lines = self.lines.iter().filter_map(|pieces| {
            let pieces = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Some((*text).to_owned()),
                Piece::Variable(variable) => value(*variable),
            });
            pieces.collect::<Option<String>>()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn line(mut rest: &str) -> Result<Vec<Piece<'_>>, Malformed> {
    let mut pieces = Vec::new();
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        if let Some(after) = from.strip_prefix("{{") {
            pieces.push(Piece::Text("{"));
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            pieces.push(Piece::Text("}"));
            rest = after;
        } else {
            let inner = from.strip_prefix('{').ok_or(NO_VARIABLE)?;
            let (name, after) = inner.split_once('}').ok_or(NO_VARIABLE)?;
            pieces.push(Piece::Variable(Variable::named(name).ok_or(NO_VARIABLE)?));
            rest = after;
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// The text of an event where the channel has none of its own.
pub(super) const fn usual(event: NotifyEvent) -> &'static str {
    match event {
        NotifyEvent::Request => {
            "Procura: somebody has to answer a request in {namespace}\n\
             {who} asks for {names}\n\
             project {project}, {time}\n\
             look: {link}\n\
             approve: {command}\n\
             entry {entry}"
        }
        NotifyEvent::Answer => {
            "Procura: {action} in {namespace}\n\
             by {by}\n\
             {who} asked for {names}\n\
             project {project}, {time}\n\
             entry {entry}"
        }
        NotifyEvent::Grant | NotifyEvent::Revocation => {
            "Procura: {action}\n\
             on {resource}\n\
             about {who}\n\
             by {by}\n\
             namespace {namespace}\n\
             {time}, entry {entry}"
        }
        NotifyEvent::Alarm => {
            "Procura ALARM: {action}\n\
             on {resource}\n\
             reason: {reason}\n\
             who it names: {who}\n\
             how often: {count}\n\
             namespace {namespace}\n\
             {time}, entry {entry}"
        }
        NotifyEvent::Reminder => {
            "Procura: a date of {resource} is over\n\
             namespace {namespace}\n\
             {time}, entry {entry}"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_texts_are_templates() {
        for event in NotifyEvent::ALL {
            let template = Template::parse(usual(*event)).unwrap();
            let text = template.render(|_| Some("x".to_owned()));
            assert!(!text.contains(['{', '}']), "{text}");
        }
    }

    #[test]
    fn a_line_without_its_value_is_left_out() {
        let template = Template::parse("a {who}\nb {link}\n{{c}} {names}").unwrap();
        let text = template
            .render(|variable| (variable != Variable::Link).then(|| format!("<{variable:?}>")));
        assert_eq!(text, "a <Who>\n{c} <Names>");
    }

    #[test]
    fn what_is_no_template_is_refused_when_it_is_put() {
        for text in [
            "{value}",
            "{who",
            "who}",
            "{}",
            "{ who }",
            "",
            "  ",
            "a\u{1b}[2J",
            "a\u{202e}b",
        ] {
            assert_eq!(
                Template::parse(text).unwrap_err().field,
                "templates",
                "{text}"
            );
        }
        assert!(Template::parse(&"x".repeat(2000)).is_ok());
        assert!(Template::parse(&"x".repeat(2001)).is_err());
    }
}
