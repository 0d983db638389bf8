//! Fields, repetitions, components and subcomponents: small views that find their parts when asked.
//!
//! Each is a slice of the message with what is needed to read it (delimiters, character set) and to name it
//! ([`Position`]). What is absent is an empty value at its position.

use std::borrow::Cow;
use std::ops::Deref;

use super::charset::Charset;
use super::delimiters::Delimiters;
use super::entity;
use super::escape;
use super::path::Position;
use super::search::find;

/// How the message that a value stands in is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageSyntax {
    pub(super) delimiters: Delimiters,
    pub(super) charset: Charset,
}

/// What is common to fields and their parts.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    raw: &'a [u8],
    context: MessageSyntax,
    position: Position,
}

impl<'a> Value<'a> {
    /// The bytes as they came: not unescaped, and with the line ends of a field that goes over several lines.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The text: unescaped, in Unicode. Separators of parts are kept as they came.
    pub fn text(&self) -> Cow<'a, str> {
        escape::read(self.raw, &self.context.delimiters, self.context.charset)
    }

    /// The text with the characters that entities of XML stand for in it (`&apos;`), which a sender left there.
    pub fn text_of_entities(&self) -> Cow<'a, str> {
        match self.has_entity() {
            true => Cow::Owned(entity::read(&self.text())),
            false => self.text(),
        }
    }

    /// Whether an entity of XML stands in the value: warning `charset-mismatch`.
    pub(super) fn has_entity(&self) -> bool {
        self.context.delimiters.subcomponent == Some(b'&') && entity::first_in(self.raw).is_some()
    }

    /// Whether nothing is said: no bytes, or separators only, so that what is known stays (interface.md 2).
    pub fn is_empty(&self) -> bool {
        let Delimiters {
            component,
            repetition,
            subcomponent,
            ..
        } = self.context.delimiters;
        let separators = [component, repetition, subcomponent];
        self.raw
            .iter()
            .all(|byte| matches!(byte, b'\r' | b'\n') || separators.contains(&Some(*byte)))
    }

    /// Whether this is `""`, by which a sender erases what was known (interface.md 2).
    pub fn is_delete(&self) -> bool {
        self.raw == b"\"\""
    }

    /// Where the value stands in its message.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The value read as one of a simple type: its first repetition's first component's first subcomponent.
    ///
    /// A sender of a later version may have put a composite where a simple value is meant, whose first part is
    /// then that value (HL7 v2.5 chapter 2.8.2). The position stays the one that was asked for.
    pub fn simple(&self) -> Value<'a> {
        let raw = self.first_component();
        let raw = subcomponents(raw, self.context.delimiters.subcomponent).next();
        Value {
            raw: raw.unwrap_or_default(),
            ..*self
        }
    }

    /// The value read as an id: without the authority that follows it in subcomponents (`RCP&1.2.250.1&ISO`).
    ///
    /// An `&` with no authority behind it is a part of the id: what stands before it may be another's.
    pub fn identifier(&self) -> Value<'a> {
        self.first_unless_text(|[_, authority, kind, ..]| {
            let is_oid = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
            !kind.is_empty() || (authority.contains(&b'.') && authority.iter().all(is_oid))
        })
    }

    /// The value read as a family name: the whole name, which its own prefix and name follow in subcomponents, and those
    /// of a spouse (`DE LA TOUR&DE LA&TOUR`; FN, HL7 v2.5 chapter 2.A.30).
    ///
    /// An `&` behind which something else stands is a part of the name.
    pub fn family_name(&self) -> Value<'a> {
        self.first_unless_text(|[whole, prefix, own, spouse @ ..]| match (prefix, own) {
            ([], []) => spouse.iter().any(|part| !part.is_empty()),
            _ => has_words(whole, prefix) && has_words(whole, own),
        })
    }

    /// The first subcomponent, where the first five are those of a compound type; else all of them, as one text.
    fn first_unless_text(&self, is_compound: impl Fn([&[u8]; 5]) -> bool) -> Value<'a> {
        let raw = self.first_component();
        let separator = self.context.delimiters.subcomponent;
        if separator.is_none_or(|separator| find(separator, raw).is_none()) {
            return Value { raw, ..*self };
        }
        let mut pieces = subcomponents(raw, separator);
        let parts: [&[u8]; 5] = std::array::from_fn(|_| pieces.next().unwrap_or_default());
        let [first, others @ ..] = parts;
        let says_more = others.iter().any(|part| !part.is_empty()) || pieces.next().is_some();
        let raw = match says_more && !first.is_empty() && !is_compound(parts) {
            true => {
                let is_said = |byte: &u8| Some(*byte) != separator;
                let last = raw.iter().rposition(is_said).unwrap_or_default();
                raw.get(..=last).unwrap_or(raw)
            }
            false => first,
        };
        Value { raw, ..*self }
    }

    /// The bytes of the first component of the first repetition.
    fn first_component(&self) -> &'a [u8] {
        let Delimiters {
            component,
            repetition,
            ..
        } = self.context.delimiters;
        [repetition, component]
            .into_iter()
            .fold(self.raw, |raw, separator| {
                Pieces::of(raw, separator).next().unwrap_or_default()
            })
    }

    /// The value as a repetition with components: of a field its first, else itself.
    pub fn as_repetition(&self) -> Repetition<'a> {
        let raw = Pieces::of(self.raw, self.context.delimiters.repetition)
            .next()
            .unwrap_or_default();
        Repetition(Value { raw, ..*self })
    }

    /// The value as repetitions with components: of a field all, else itself.
    pub fn as_repetitions(&self) -> impl Iterator<Item = Repetition<'a>> + use<'a> {
        let value = *self;
        Pieces::of(value.raw, value.context.delimiters.repetition)
            .zip(value.position.repetition()..)
            .map(move |(raw, number)| {
                let position = value.position.with_repetition(number);
                Repetition(Value {
                    raw,
                    position,
                    ..value
                })
            })
    }

    /// The part at this position below the value, parts being told apart by the separator.
    fn part(&self, separator: Option<u8>, number: u32, position: Position) -> Value<'a> {
        Value {
            raw: nth(Pieces::of(self.raw, separator), number).unwrap_or_default(),
            context: self.context,
            position,
        }
    }
}

macro_rules! level {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name<'a>(Value<'a>);

        impl<'a> Deref for $name<'a> {
            type Target = Value<'a>;

            fn deref(&self) -> &Value<'a> {
                &self.0
            }
        }

        impl<'a> From<$name<'a>> for Value<'a> {
            fn from(part: $name<'a>) -> Self {
                part.0
            }
        }
    };
}

level!(
    /// A field with all its repetitions.
    Field
);
level!(
    /// One repetition of a field.
    Repetition
);
level!(
    /// A component of a repetition.
    Component
);
level!(
    /// A subcomponent of a component.
    Subcomponent
);

impl<'a> Field<'a> {
    pub(super) fn new(raw: &'a [u8], context: MessageSyntax, position: Position) -> Self {
        Self(Value {
            raw,
            context,
            position,
        })
    }

    /// The repetitions in their order; of an empty field none.
    pub fn repetitions(&self) -> impl Iterator<Item = Repetition<'a>> + use<'a> {
        let field = *self;
        Pieces::of(field.raw, field.context.delimiters.repetition)
            .zip(1..)
            .map(move |(raw, number)| {
                let position = field.position.with_repetition(number);
                Repetition(Value {
                    raw,
                    position,
                    ..field.0
                })
            })
    }

    /// The n-th repetition, from 1.
    pub fn repetition(&self, number: u32) -> Repetition<'a> {
        let position = self.position.with_repetition(number);
        Repetition(self.part(self.context.delimiters.repetition, number, position))
    }

    /// The n-th component, from 1, of the first repetition.
    pub fn component(&self, number: u32) -> Component<'a> {
        self.repetition(1).component(number)
    }
}

impl<'a> Repetition<'a> {
    /// Which repetition of its field this is, from 1.
    pub fn number(&self) -> u32 {
        self.position.repetition()
    }

    /// The n-th component, from 1.
    pub fn component(&self, number: u32) -> Component<'a> {
        let position = self.position.with_component(number);
        Component(self.part(self.context.delimiters.component, number, position))
    }
}

impl<'a> Component<'a> {
    /// The n-th subcomponent, from 1.
    pub fn subcomponent(&self, number: u32) -> Subcomponent<'a> {
        let position = self.position.with_subcomponent(number);
        let nth = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        let separator = self.context.delimiters.subcomponent;
        let raw = nth.and_then(|nth| subcomponents(self.raw, separator).nth(nth));
        Subcomponent(Value {
            raw: raw.unwrap_or_default(),
            context: self.context,
            position,
        })
    }
}

/// Whether these words stand in a name, between the ends of words.
fn has_words(name: &[u8], words: &[u8]) -> bool {
    let words = words.trim_ascii();
    let goes_on =
        |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || !it.is_ascii());
    words.is_empty()
        || name.windows(words.len()).enumerate().any(|(at, part)| {
            let before = at.checked_sub(1).and_then(|before| name.get(before));
            let after = name.get(at.saturating_add(words.len()));
            part.eq_ignore_ascii_case(words)
                && !(goes_on(before) && goes_on(words.first()))
                && !(goes_on(after) && goes_on(words.last()))
        })
}

/// The subcomponents of a component: the `&` of an entity of XML is none of their separators.
fn subcomponents(raw: &[u8], separator: Option<u8>) -> impl Iterator<Item = &[u8]> {
    let has_entity = separator == Some(b'&') && entity::first_in(raw).is_some();
    let plain = Pieces::of(if has_entity { &[] } else { raw }, separator);
    let with_entities = has_entity.then(|| entity::pieces(raw, b'&'));
    plain.chain(with_entities.into_iter().flatten())
}

/// The pieces of some bytes between separators; of no bytes none.
pub(super) struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: Option<u8>,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(bytes: &'a [u8], separator: Option<u8>) -> Self {
        Self {
            rest: Some(bytes).filter(|bytes| !bytes.is_empty()),
            separator,
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let cut = self
            .separator
            .and_then(|separator| find(separator, rest))
            .and_then(|at| rest.split_at_checked(at));
        let (piece, tail) = match cut {
            Some((piece, tail)) => (piece, tail.get(1..)),
            None => (rest, None),
        };
        self.rest = tail;
        Some(piece)
    }
}

/// The n-th piece, from 1.
pub(super) fn nth<'a>(mut pieces: Pieces<'a>, number: u32) -> Option<&'a [u8]> {
    pieces.nth(usize::try_from(number).ok()?.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(raw: &str) -> Field<'_> {
        let context = MessageSyntax {
            delimiters: Delimiters::STANDARD,
            charset: Charset::UTF_8,
        };
        Field::new(
            raw.as_bytes(),
            context,
            Position::of_segment("PID").with_field(3),
        )
    }

    #[test]
    fn parts_are_found_and_named() {
        let field = field(r"000003^^^CHU-X&0008&N^PI~27903^^^A\T\B");
        let cases = [
            (Value::from(field.component(1)), "000003", "PID-3.1"),
            (field.component(4).into(), "CHU-X&0008&N", "PID-3.4"),
            (
                field.component(4).subcomponent(2).into(),
                "0008",
                "PID-3.4.2",
            ),
            (field.component(5).subcomponent(1).into(), "PI", "PID-3.5.1"),
            (
                field.repetition(2).component(1).into(),
                "27903",
                "PID-3(2).1",
            ),
            (field.repetition(2).component(4).into(), "A&B", "PID-3(2).4"),
            (field.simple(), "000003", "PID-3"),
            (field.component(4).simple(), "CHU-X", "PID-3.4"),
            (field.as_repetition().component(5).into(), "PI", "PID-3.5"),
            (field.component(5).as_repetition().into(), "PI", "PID-3.5"),
            (
                field.repetition(3).component(7).subcomponent(9).into(),
                "",
                "PID-3(3).7.9",
            ),
            (field.component(0).into(), "", "PID-3"),
            (field.repetition(u32::MAX).into(), "", "PID-3(4294967295)"),
        ];
        for (value, text, position) in cases {
            assert_eq!(value.text(), text, "{position}");
            assert_eq!(value.position().to_string(), position);
            assert_eq!(value.is_empty(), text.is_empty());
        }
        let repetitions: Vec<_> = field
            .repetitions()
            .map(|repetition| repetition.number())
            .collect();
        assert_eq!(repetitions, [1, 2]);
    }

    #[test]
    fn a_text_around_an_ampersand_is_not_cut() {
        for (raw, id, family) in [
            ("A", "A", "A"),
            ("A&B", "A&B", "A&B"),
            ("A&B^x~y", "A&B", "A&B"),
            ("A&B&C", "A", "A&B&C"),
            ("A&", "A", "A"),
            ("MARTIN&de&", "MARTIN&de", "MARTIN&de"),
            ("RCP&1.2.250.1", "RCP", "RCP&1.2.250.1"),
            ("RCP&chu&DNS", "RCP", "RCP&chu&DNS"),
            ("DE LA TOUR&DE LA&TOUR", "DE LA TOUR", "DE LA TOUR"),
            ("D'ORS&d'&Ors", "D'ORS", "D'ORS"),
            ("MARTIN&&&&DURAND", "MARTIN&&&&DURAND", "MARTIN"),
            (
                "DURAND-MARTIN&&MARTIN&&DURAND",
                "DURAND-MARTIN",
                "DURAND-MARTIN",
            ),
            ("LEROY&ROY", "LEROY&ROY", "LEROY&ROY"),
            (
                "MARTIN &amp; FILS",
                "MARTIN &amp; FILS",
                "MARTIN &amp; FILS",
            ),
            ("A&&&&&B", "A&&&&&B", "A&&&&&B"),
            ("&B", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(field(raw).identifier().raw(), id.as_bytes(), "{raw}");
            assert_eq!(field(raw).family_name().raw(), family.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn separators_say_nothing_and_two_quotes_erase() {
        for (raw, empty, delete, repetitions) in [
            ("", true, false, 0),
            ("^^^", true, false, 1),
            ("~^&~", true, false, 3),
            ("^\r\n^", true, false, 1),
            ("\"\"", false, true, 1),
            ("\"\"^\"\"", false, false, 1),
            (" ", false, false, 1),
            ("^0", false, false, 1),
            ("\0", false, false, 1),
        ] {
            assert_eq!(field(raw).is_empty(), empty, "{raw:?}");
            assert_eq!(field(raw).is_delete(), delete, "{raw:?}");
            assert_eq!(field(raw).repetitions().count(), repetitions, "{raw:?}");
        }
        assert!(field("\"\"^\"\"").component(2).is_delete());
    }
}
