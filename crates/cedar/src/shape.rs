//! How deep and how long a policy is, seen without parsing it: what parses and checks it
//! calls itself as often, and ends the process where its stack ends.

use crate::token::{Placed, Token};

/// Brackets in brackets of one policy.
const NESTED: usize = 32;

/// Signs and words of one policy that make chains: of conditions, clauses, sums and
/// attributes.
const LINKED: usize = 512;

/// Bytes of one policy that are neither blank nor comment.
pub(crate) const LONGEST: usize = 8 * 1024;

/// Bytes of one string of a policy.
pub(crate) const STRING: usize = 1024;

/// The shape of one policy, as far as it was read.
#[derive(Default, Clone, Copy)]
pub(crate) struct Shape<'a> {
    open: usize,
    deepest: usize,
    links: usize,
    size: usize,
    string: usize,
    odd_is: bool,
    /// What was read last, and before that.
    last: [Option<Token<'a>>; 2],
}

impl<'a> Shape<'a> {
    /// Reads on.
    pub(crate) fn see(&mut self, placed: &Placed<'a>) {
        self.size += placed.size;
        match placed.token {
            Token::Sign(sign) => self.see_sign(sign),
            // Cedar makes a chain of the clauses of a policy.
            Token::Word("else" | "when" | "unless") => self.links += 1,
            Token::Word("is") => self.odd_is |= !self.is_behind_a_variable(),
            Token::Word(_) => {}
            Token::Text(bytes) => self.string = self.string.max(bytes),
        }
        let [last, _] = self.last;
        self.last = [Some(placed.token), last];
    }

    fn see_sign(&mut self, sign: char) {
        match sign {
            '(' | '[' | '{' => {
                self.open += 1;
                self.deepest = self.deepest.max(self.open);
                // An attribute may be named in brackets: `context["hour"]`.
                self.links += usize::from(sign == '[');
            }
            ')' | ']' | '}' => self.open = self.open.saturating_sub(1),
            '.' | '&' | '|' | '+' | '-' | '*' | '!' => self.links += 1,
            _ => {}
        }
    }

    /// Whether what was read last is one of the variables that are somebody or something,
    /// and begins what `is` is asked of: a sum or a product that ends with one is all on the
    /// left.
    fn is_behind_a_variable(&self) -> bool {
        let [variable, before] = self.last;
        let begins = match before {
            None => true,
            Some(Token::Sign(sign)) => matches!(sign, '(' | '{' | '[' | ',' | ':' | '&' | '|'),
            Some(Token::Word(word)) => matches!(word, "if" | "then" | "else"),
            Some(Token::Text(_)) => false,
        };
        let is_one = matches!(
            variable,
            Some(Token::Word("principal" | "action" | "resource"))
        );
        begins && is_one
    }

    /// What of it is more than may be parsed, if anything is.
    pub(crate) fn flaw(&self) -> Option<String> {
        if self.deepest > NESTED || self.links > LINKED {
            return Some(TOO_DEEP.to_owned());
        }
        if self.size > LONGEST {
            return Some(format!("the policy is longer than {LONGEST} bytes"));
        }
        if self.string > STRING {
            return Some(format!("a string is longer than {STRING} bytes"));
        }
        // Cedar writes `x is T in y` as `x is T && x in y`, which doubles what is on the
        // left: one in another would double with every bracket.
        self.odd_is
            .then(|| "`is` is asked of principal, action or resource only".to_owned())
    }
}

/// What is said of a policy that is nested too deep.
pub(crate) const TOO_DEEP: &str = "the policy is nested too deep";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Tokens;

    fn flaw(text: &str) -> Option<String> {
        let mut shape = Shape::default();
        Tokens::of(text).for_each(|placed| shape.see(&placed));
        shape.flaw()
    }

    #[test]
    fn what_is_nested_too_deep_is_seen_before_it_is_parsed() {
        let too_deep = |text: &str| flaw(text).as_deref() == Some(TOO_DEEP);
        let in_brackets = |count: usize| format!("x {}{};", "(".repeat(count), ")".repeat(count));
        assert_eq!(flaw(&in_brackets(NESTED)), None);
        assert!(too_deep(&in_brackets(NESTED + 1)));
        assert!(too_deep(&"[".repeat(100_000)));
        for link in [
            ".a",
            "[\"a\"]",
            "!",
            "- ",
            "+1",
            "*1",
            " when{a}",
            " unless{a}",
            "if a then b else ",
        ] {
            assert_eq!(flaw(&format!("x{}", link.repeat(LINKED))), None, "{link}");
            let more = format!("x{}", link.repeat(LINKED + 1));
            assert!(too_deep(&more), "{link}");
        }
        for link in ["&&x", "||x"] {
            let most = format!("x{}", link.repeat(LINKED / 2));
            assert_eq!(flaw(&most), None, "{link}");
            assert!(too_deep(&format!("{most}{link}")), "{link}");
        }
        // Not what strings and comments say.
        let quoted = format!("\"{}\"; // {}", "[".repeat(99), "(".repeat(99));
        assert_eq!(flaw(&quoted), None);
    }

    #[test]
    fn what_is_too_long_is_seen_before_it_is_parsed() {
        let too_long = Some("the policy is longer than 8192 bytes".to_owned());
        assert_eq!(flaw(&"x ".repeat(LONGEST)), None);
        assert_eq!(flaw(&"x ".repeat(LONGEST + 1)), too_long);
        // What is said about it may be as long as the text is.
        assert_eq!(flaw(&format!("// {}\nx", "y".repeat(LONGEST))), None);
        let string = |bytes: usize| flaw(&format!("\"{}\"", "a".repeat(bytes)));
        let too_long = Some("a string is longer than 1024 bytes".to_owned());
        assert_eq!(string(STRING), None);
        assert_eq!(string(STRING + 1), too_long);
    }

    #[test]
    fn what_would_be_doubled_is_one_of_the_variables() {
        let odd = Some("`is` is asked of principal, action or resource only".to_owned());
        for text in [
            "permit(principal is T, action, resource is T) when { !(principal is T) && resource is T || action is T };",
            "if principal is T then resource is T else action is T",
        ] {
            assert_eq!(flaw(text), None, "{text}");
        }
        for text in [
            "principal is T in N::\"x\"",
            "(x)+principal is T in N::\"x\"",
            "(x) - resource is T in N::\"x\"",
            "2 * action is T in N::\"x\"",
            "!principal is T in N::\"x\"",
            "(x)+1is T in N::\"x\"",
            "(resource) is",
            "{action: (x)}.action is T",
            "{a: x}[\"a\"] is T",
            "x.principal // y\n is T",
            "(if a then b else c) is T in N",
        ] {
            let plain = text.starts_with("principal is");
            assert_eq!(flaw(text), odd.clone().filter(|_| !plain), "{text}");
        }
    }
}
