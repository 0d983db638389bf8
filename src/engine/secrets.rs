//! Keeps the API keys of facilities out of everything that is told of a message: whatever the field they came in,
//! they pass here before they are journalled, answered or shown.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Engine;
use crate::config::ApiKey;
use crate::journal::Place;

impl Engine {
    /// What is told of a message, with each key in it hidden. One that does not carry the facility's own key
    /// (`is_authorised`) may carry another's, for instance in the wrong folder.
    pub(super) fn without_keys<T: Serialize + DeserializeOwned>(
        &self,
        place: &Place,
        is_authorised: bool,
        told: T,
    ) -> T {
        let own = |id: &str| matches!(place, Place::Facility(own) if own == id);
        let facilities = self.config.facilities.iter();
        let of_others = !is_authorised
            || !facilities
                .clone()
                .any(|it| own(it.id.as_str()) && it.api_key.is_some());
        let wanted = facilities.filter(|it| of_others || own(it.id.as_str()));
        let keys: Vec<&ApiKey> = wanted.filter_map(|it| it.api_key.as_ref()).collect();
        match keys.is_empty() {
            true => told,
            false => hide(&keys, told),
        }
    }
}

fn hide<T: Serialize + DeserializeOwned>(keys: &[&ApiKey], told: T) -> T {
    let Ok(mut value) = serde_json::to_value(&told) else {
        return told;
    };
    match hide_in(keys, &mut value) {
        // A key that is a word of ours, such as a reason, is no secret.
        true => serde_json::from_value(value).unwrap_or(told),
        false => told,
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
