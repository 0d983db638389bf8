//! What a field of a message says: a value, nothing, or that what is known is erased (interface.md 2).

use std::borrow::Cow;

use crate::hl7::{Field, Position, Value};

/// What a message says about one datum (interface.md 2): `""` erases, an empty field says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FieldUpdate<T> {
    /// Nothing: what is known stays.
    #[default]
    Absent,
    /// `""`: what is known is erased.
    Delete,
    /// A value.
    Given(T),
}

impl<T> FieldUpdate<T> {
    /// The value, if one is given.
    pub fn given(self) -> Option<T> {
        match self {
            FieldUpdate::Given(value) => Some(value),
            FieldUpdate::Absent | FieldUpdate::Delete => None,
        }
    }

    /// The value, if one is given.
    pub fn as_given(&self) -> Option<&T> {
        match self {
            FieldUpdate::Given(value) => Some(value),
            FieldUpdate::Absent | FieldUpdate::Delete => None,
        }
    }

    /// What is known once this was said.
    pub fn over(self, known: Option<T>) -> Option<T> {
        match self {
            FieldUpdate::Absent => known,
            FieldUpdate::Delete => None,
            FieldUpdate::Given(value) => Some(value),
        }
    }

    /// The same of a value made from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> FieldUpdate<U> {
        match self {
            FieldUpdate::Absent => FieldUpdate::Absent,
            FieldUpdate::Delete => FieldUpdate::Delete,
            FieldUpdate::Given(value) => FieldUpdate::Given(make(value)),
        }
    }
}

/// What a field or component says, as text.
pub fn field_update(value: &Value<'_>) -> FieldUpdate<String> {
    if value.is_delete() {
        return FieldUpdate::Delete;
    }
    text(value).map_or(FieldUpdate::Absent, FieldUpdate::Given)
}

/// The text of a value without the white space around it; none where nothing is said or it is erased.
pub fn text(value: &Value<'_>) -> Option<String> {
    word(value).map(Cow::into_owned)
}

/// The same, to be compared: borrowed from the message where it stands there as it is.
pub fn word<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    if value.is_empty() || value.is_delete() {
        return None;
    }
    let word = match value.text_of_entities() {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    (!word.is_empty()).then_some(word)
}

/// Where a further repetition of a field, which HL7 does not repeat, says something else in this component than the first.
pub fn another(field: &Field<'_>, component: u32) -> Option<Position> {
    let mut repetitions = field
        .repetitions()
        .map(|it| Value::from(it.component(component)));
    let first = word(&repetitions.next()?);
    repetitions
        .find(|other| word(other).is_some_and(|it| Some(it) != first))
        .map(|other| other.position())
}
