//! The string form of a label selector: tokens, and a parser that looks one token ahead.
//!
//! Called by [`super::LabelSelector::parse`]. Token rules and error texts are those of `Lexer` and
//! `Parser` in `k8s.io/apimachinery/pkg/labels/selector.go`.
//!
//! Book: `book/src/ground/objects.md`.

use std::collections::BTreeSet;

use super::{Error, Operator, Requirement, invalid};
use crate::names;
use crate::status::quote;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
    Broken,
}

/// Tokens with the text each stands for; what follows the last one is `End`.
struct Parser {
    items: Vec<(Token, String)>,
    position: usize,
}

/// The requirements of `text`, in the order written.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut parser = Parser {
        items: tokens(text),
        position: 0,
    };
    let mut found = Vec::new();
    loop {
        match parser.peek() {
            (Token::End, _) => return Ok(found),
            (Token::Identifier | Token::Not, _) => {
                let requirement = parser
                    .requirement()
                    .map_err(|Error(why)| Error(format!("unable to parse requirement: {why}")))?;
                found.push(requirement);
            }
            (_, text) => {
                return unexpected(&text, "expected: !, identifier, or 'end of string'");
            }
        }
        match parser.take() {
            (Token::End, _) => return Ok(found),
            (Token::Comma, _) => match parser.peek() {
                (Token::Identifier | Token::Not, _) => {}
                (_, text) => return unexpected(&text, "expected: identifier after ','"),
            },
            (_, text) => return unexpected(&text, "expected: ',' or 'end of string'"),
        }
    }
}

fn unexpected<T>(found: &str, expected: &str) -> Result<T, Error> {
    Err(Error(format!("found '{found}', {expected}")))
}

impl Parser {
    /// The next token, where `in` and `notin` are words like any other.
    fn peek(&self) -> (Token, String) {
        let item = self.items.get(self.position).cloned();
        match item.unwrap_or((Token::End, String::new())) {
            (Token::In | Token::NotIn, text) => (Token::Identifier, text),
            other => other,
        }
    }

    fn take(&mut self) -> (Token, String) {
        let item = self.peek();
        self.position += 1;
        item
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let (mut token, mut key) = self.take();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take();
        }
        if token != Token::Identifier {
            return unexpected(&key, "expected: identifier");
        }
        let complaints = names::qualified_name(&key);
        if !complaints.is_empty() {
            // "<nil>" is how upstream prints the path it does not have here.
            return Err(Error(invalid(
                "<nil>",
                &quote(&key),
                &complaints.join("; "),
            )));
        }
        let ends = matches!(self.peek().0, Token::End | Token::Comma);
        match (negated, ends) {
            (true, _) => return Requirement::new(key, Operator::DoesNotExist, [""; 0]),
            (false, true) => return Requirement::new(key, Operator::Exists, [""; 0]),
            _ => {}
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, Error> {
        let item = self.items.get(self.position).cloned();
        let (token, text) = item.unwrap_or((Token::End, String::new()));
        self.position += 1;
        Ok(match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return unexpected(&text, "expected: in, notin, =, ==, !=, gt, lt"),
        })
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, Error> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.take() {
            (Token::Identifier, value) => Ok(BTreeSet::from([value])),
            (_, text) => unexpected(&text, "expected: identifier"),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, Error> {
        match self.take() {
            (Token::Open, _) => {}
            (_, text) => return Err(Error(format!("found '{text}' expected: '('"))),
        }
        let (first, text) = self.peek();
        match first {
            Token::Identifier | Token::Comma => {
                let values = self.listed()?;
                match self.take() {
                    (Token::Close, _) => Ok(values),
                    _ => unexpected(&text, "expected: ')'"),
                }
            }
            Token::Close => {
                self.take();
                Ok(BTreeSet::from([String::new()]))
            }
            _ => unexpected(&text, "expected: ',', ')' or identifier"),
        }
    }

    /// `a,b,,c`: what is empty between commas is the empty value.
    fn listed(&mut self) -> Result<BTreeSet<String>, Error> {
        let mut values = BTreeSet::new();
        loop {
            match self.take() {
                (Token::Identifier, value) => {
                    values.insert(value);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, text) => return unexpected(&text, "expected: ',' or ')'"),
                    }
                }
                (Token::Comma, _) => {
                    let next = self.peek().0;
                    if values.is_empty() || matches!(next, Token::Close | Token::Comma) {
                        values.insert(String::new());
                    }
                    if next == Token::Close {
                        return Ok(values);
                    }
                }
                (_, text) => return unexpected(&text, "expected: ',', or identifier"),
            }
        }
    }
}

fn tokens(text: &str) -> Vec<(Token, String)> {
    let mut items = Vec::new();
    let mut rest = text;
    loop {
        // Upstream's lexer takes a NUL for the end of the text.
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next().filter(|c| *c != '\0') else {
            return items;
        };
        let is_word = |c: char| !" \t\r\n=!(),><\0".contains(c);
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if ["==", "!="].iter().any(|two| rest.starts_with(two)) {
            2
        } else {
            1
        };
        let (text, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        let token = match text {
            ")" => Token::Close,
            "," => Token::Comma,
            "!" => Token::Not,
            "==" => Token::DoubleEquals,
            "=" => Token::Equals,
            ">" => Token::Greater,
            "in" => Token::In,
            "<" => Token::Less,
            "!=" => Token::NotEquals,
            "notin" => Token::NotIn,
            "(" => Token::Open,
            _ if is_word(first) => Token::Identifier,
            _ => Token::Broken,
        };
        items.push((token, text.to_owned()));
    }
}
