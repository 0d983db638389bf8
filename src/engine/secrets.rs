//! Keeps the API keys of facilities out of everything that is told of a message: whatever the field they came in,
//! they pass here before they are journalled, answered or shown.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Engine;
use crate::config::{ApiKey, Config};
use crate::model::owner::Owner;

impl Engine {
    /// What is told of a message, with each key in it hidden. One that does not carry the facility's own key
    /// (`is_authorised`) may carry another's, for instance in the wrong folder.
    pub(super) fn without_keys<T: Serialize + DeserializeOwned>(
        &self,
        owner: &Owner,
        is_authorised: bool,
        content: T,
    ) -> T {
        let own = |id: &str| matches!(owner, Owner::Facility(own) if own == id);
        let facilities = self.config.facilities.iter();
        let of_others = !is_authorised
            || !facilities
                .clone()
                .any(|it| own(it.id.as_str()) && it.api_key.is_some());
        let wanted = facilities.filter(|it| of_others || own(it.id.as_str()));
        let keys: Vec<&ApiKey> = wanted.filter_map(|it| it.api_key.as_ref()).collect();
        match keys.is_empty() {
            true => content,
            false => hide(&keys, content),
        }
    }
}

/// A message without the keys that stand in a field of its header where no key belongs (all but MSH-4), whosever they
/// are. What is read of a header may be cut or put into upper case before it is told, and is no key any more then.
pub(super) fn without_keys_in_header<'b>(config: &Config, message: &'b [u8]) -> Cow<'b, [u8]> {
    let facilities = config.facilities.iter();
    let mut keys = facilities.filter_map(|it| it.api_key.as_ref()).peekable();
    if keys.peek().is_none() {
        return Cow::Borrowed(message);
    }
    let ends = message
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'));
    let (header, rest) = message.split_at(ends.unwrap_or(message.len()));
    let separator = memchr::memmem::find(header, b"MSH").and_then(|at| header.get(at + 3));
    let Some(separator) = separator else {
        return Cow::Borrowed(message);
    };
    let mut is_changed = false;
    let mut fields: Vec<Cow<'_, [u8]>> = header
        .split(|byte| byte == separator)
        .map(Cow::Borrowed)
        .collect();
    for key in keys {
        // The name, the separators, and MSH-3 come before MSH-4.
        for (_, field) in fields.iter_mut().enumerate().filter(|(at, _)| *at != 3) {
            if let Some(without) = key.hide_in_bytes(field) {
                *field = Cow::Owned(without);
                is_changed = true;
            }
        }
    }
    match is_changed {
        true => {
            let separator = std::slice::from_ref(separator);
            let mut without = fields.join(separator);
            without.extend_from_slice(rest);
            Cow::Owned(without)
        }
        false => Cow::Borrowed(message),
    }
}

fn hide<T: Serialize + DeserializeOwned>(keys: &[&ApiKey], content: T) -> T {
    let Ok(mut value) = serde_json::to_value(&content) else {
        return content;
    };
    match hide_in(keys, &mut value) {
        // A key that is a word of ours, such as a reason, is no secret.
        true => serde_json::from_value(value).unwrap_or(content),
        false => content,
    }
}

/// Whether a key stood in any text of this value.
fn hide_in(keys: &[&ApiKey], value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let mut hidden = false;
            for key in keys {
                if let Some(without) = key.hide(text) {
                    *text = without;
                    hidden = true;
                }
            }
            hidden
        }
        Value::Array(values) => values
            .iter_mut()
            .fold(false, |any, it| hide_in(keys, it) | any),
        Value::Object(values) => values
            .values_mut()
            .fold(false, |any, it| hide_in(keys, it) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
