//! The words and signs of a text of policies, as Cedar's own parser tells them apart: what
//! stands in strings and comments is none of them.

use std::iter::Peekable;
use std::str::CharIndices;

/// A word, a string or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Letters, digits and `_`.
    Word(&'a str),
    /// A string of so many bytes, quotes left out.
    Text(usize),
    /// Any other character.
    Sign(char),
}

/// A token with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed<'a> {
    pub(crate) token: Token<'a>,
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    /// The byte behind it.
    pub(crate) end: usize,
    /// How many bytes it has.
    pub(crate) size: usize,
}

/// The tokens of a text, in their order.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    letters: Peekable<CharIndices<'a>>,
    line: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self {
            text,
            letters: text.char_indices().peekable(),
            line: 1,
        }
    }

    /// Where the next character begins.
    fn at(&mut self) -> usize {
        let next = self.letters.peek();
        next.map_or(self.text.len(), |(at, _)| *at)
    }

    /// Passes over all that `fits`, and says where it ends.
    fn pass(&mut self, fits: impl Fn(char) -> bool) -> usize {
        while self.letters.next_if(|(_, letter)| fits(*letter)).is_some() {}
        self.at()
    }

    /// Passes over a string whose first quote was read, and over its last one.
    fn pass_string(&mut self) -> usize {
        let mut escaped = false;
        for (_, letter) in self.letters.by_ref() {
            self.line += usize::from(letter == '\n');
            if letter == '"' && !escaped {
                break;
            }
            escaped = letter == '\\' && !escaped;
        }
        self.at()
    }
}

fn is_of_a_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Placed<'a>;

    fn next(&mut self) -> Option<Placed<'a>> {
        loop {
            let (from, letter) = self.letters.next()?;
            let line = self.line;
            let (token, end) = match letter {
                '\n' => {
                    self.line += 1;
                    continue;
                }
                _ if letter.is_whitespace() => continue,
                '/' if self.letters.next_if(|(_, next)| *next == '/').is_some() => {
                    self.pass(|letter| letter != '\n' && letter != '\r');
                    continue;
                }
                '"' => {
                    let end = self.pass_string();
                    (Token::Text(end.saturating_sub(from + 2)), end)
                }
                _ if is_of_a_word(letter) => {
                    // A number ends with its digits: to Cedar `1is` is two words.
                    let end = if letter.is_ascii_digit() {
                        self.pass(|letter| letter.is_ascii_digit())
                    } else {
                        self.pass(is_of_a_word)
                    };
                    (
                        Token::Word(self.text.get(from..end).unwrap_or_default()),
                        end,
                    )
                }
                _ => (Token::Sign(letter), from + letter.len_utf8()),
            };
            return Some(Placed {
                token,
                line,
                end,
                size: end - from,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_passed_over_with_their_lines() {
        let text = "a_1 // b \"c\n\"d\\\"\n//e\" / .x";
        let found: Vec<(Token<'_>, usize)> = Tokens::of(text)
            .map(|placed| (placed.token, placed.line))
            .collect();
        assert_eq!(
            found,
            [
                (Token::Word("a_1"), 1),
                (Token::Text(7), 2),
                (Token::Sign('/'), 3),
                (Token::Sign('.'), 3),
                (Token::Word("x"), 3),
            ]
        );
        let last = Tokens::of(text).last().map(|placed| placed.end);
        assert_eq!(last, Some(text.len()));
        // One that never ends is all that is left.
        assert_eq!(Tokens::of("\"a; b").count(), 1);
    }
}
