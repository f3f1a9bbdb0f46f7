//! Server-sent events as a server sends them (HTML Living Standard §9.2.6), without
//! what ours never sends: a byte order mark, lone carriage returns, `retry`.

/// The longest message and the longest line that are read.
const LONGEST: usize = 256 * 1024;

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The `event` field; empty without one.
    pub event: String,
    /// The `id` field, if it has one.
    pub id: Option<String>,
    /// The lines of the `data` field.
    pub data: String,
}

/// What comes is longer than any message, or is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no stream of events")]
pub struct NotEvents;

/// Makes messages of bytes, however they are cut.
#[derive(Debug, Default)]
pub struct Messages {
    /// Bytes of a line that has no end yet.
    line: Vec<u8>,
    message: Message,
    has_data: bool,
}

impl Messages {
    /// Takes the next bytes in, and gives the messages that they complete. One without
    /// data has an id alone: the place to go on from.
    ///
    /// # Errors
    /// [`NotEvents`]; nothing that comes after it means anything.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Vec<Message>, NotEvents> {
        let mut complete = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LONGEST {
                return Err(NotEvents);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = std::str::from_utf8(&line).map_err(|_| NotEvents)?;
                let line = line.strip_suffix('\n').unwrap_or(line);
                self.line(line.strip_suffix('\r').unwrap_or(line), &mut complete)?;
            }
        }
        Ok(complete)
    }

    fn line(&mut self, line: &str, complete: &mut Vec<Message>) -> Result<(), NotEvents> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if std::mem::take(&mut self.has_data) || message.id.is_some() {
                complete.push(message);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            // One with a NUL is no id.
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.has_data = true;
                self.message.data.push_str(value);
            }
            // Comments, and fields that nobody knows.
            _ => {}
        }
        if self.message.data.len() > LONGEST {
            return Err(NotEvents);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<Message> {
        Messages::default().read(text.as_bytes()).unwrap()
    }

    fn message(event: &str, id: Option<&str>, data: &str) -> Message {
        Message {
            event: event.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    #[test]
    fn messages_end_with_an_empty_line() {
        assert_eq!(
            all("event: grant\nid: 7\ndata: {}\n\ndata:a\ndata: b\n\n"),
            [message("grant", Some("7"), "{}"), message("", None, "a\nb")]
        );
        assert_eq!(
            all("event: grant\r\ndata: {}\r\n\r\n"),
            [message("grant", None, "{}")]
        );
        assert_eq!(all("data\n\n"), [message("", None, "")]);
        // Not ended: not there.
        assert_eq!(all("data: a\n"), []);
    }

    #[test]
    fn comments_are_no_messages_and_an_id_alone_is_a_place() {
        assert_eq!(all(":\n\n: hello\n\nretry: 3\n\nevent: x\n\n\n"), []);
        assert_eq!(all(": hello\nid: 7\n\n"), [message("", Some("7"), "")]);
        assert_eq!(all("id: a\0b\n\n"), []);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let mut messages = Messages::default();
        let long = vec![b'a'; LONGEST];
        assert_eq!(messages.read(&long), Ok(Vec::new()));
        assert_eq!(messages.read(b"a"), Err(NotEvents));
        let mut messages = Messages::default();
        let line = [b"data: ", &long[..LONGEST / 2], b"\n"].concat();
        assert_eq!(messages.read(&line), Ok(Vec::new()));
        assert_eq!(messages.read(&line), Err(NotEvents));
        assert_eq!(Messages::default().read(b"data: \xff\n"), Err(NotEvents));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_is_cut(text in "(event: [a-z]{0,3}\n|id: [0-9]{0,3}\n|data: .{0,5}\n|:\n|\n){0,20}", at in any::<prop::sample::Index>()) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(at.index(bytes.len() + 1));
            let mut messages = Messages::default();
            let mut found = messages.read(one).unwrap();
            found.extend(messages.read(two).unwrap());
            prop_assert_eq!(found, all(&text));
        }
    }
}
