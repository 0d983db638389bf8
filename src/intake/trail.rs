//! What was read where: the data of a message, recorded by the flows while they read them, for `check` (interface.md 12).
//!
//! A flow records each datum in the trail as it takes it, so what is shown is what decides. The daemon keeps no trail:
//! recording costs it nothing, and a refusal ends the reading. Where a trail is kept, reading goes on past a refusal
//! with a stand-in, so that one look shows everything that is wrong; what was decided with stand-ins counts for nothing.

use std::fmt::Display;

use super::field_update::{FieldUpdate, field_update};
use crate::hl7::Value;
use crate::model::outcome::{Location, Reason, Refusal};

/// A datum as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datum {
    /// What it is a datum of: `patient`, `case`, `document 1`.
    pub about: String,
    /// What it is, as the listings name it: `birth_name`.
    pub name: String,
    /// What it says, as it is kept, or as sent where it cannot be; nothing where `""` erases what is known.
    pub value: Option<String>,
    /// Where it stands.
    pub place: Location,
    /// Why it was taken from there, where there was a choice.
    pub rule: Option<String>,
}

/// What a reading leaves behind, if anybody wants it.
#[derive(Debug, Default)]
pub struct Trail {
    kept: Option<TrailRecord>,
}

/// So many problems of a message are found where only they are looked for; the next one ends the reading.
const MOST_PROBLEMS: usize = 100;

#[derive(Debug, Default)]
struct TrailRecord {
    /// Whether what was read is of no interest, only what is wrong with it: that of a large message would fill the
    /// memory.
    only_problems: bool,
    about: String,
    data: Vec<Datum>,
    refusals: Vec<Refusal>,
}

impl Trail {
    /// None: a refusal ends the reading.
    pub fn off() -> Self {
        Self::default()
    }

    /// One that is kept.
    pub fn kept() -> Self {
        Self {
            kept: Some(TrailRecord::default()),
        }
    }

    /// One that keeps what is wrong, and nothing of what was read.
    pub fn of_problems() -> Self {
        Self {
            kept: Some(TrailRecord {
                only_problems: true,
                ..TrailRecord::default()
            }),
        }
    }

    /// Says what the next data are about.
    pub fn about(&mut self, about: impl Display) {
        if let Some(kept) = &mut self.kept {
            kept.about = about.to_string();
        }
    }

    /// Records a datum; `rule` is empty where there was no choice.
    pub fn record(
        &mut self,
        name: impl Display,
        value: impl Display,
        place: impl Into<Location>,
        rule: impl Display,
    ) {
        self.add(name, Some(&value), place, rule);
    }

    /// Records what a field or component says, and gives it as text.
    pub fn record_field(
        &mut self,
        name: impl Display,
        value: &Value<'_>,
        rule: impl Display,
    ) -> FieldUpdate<String> {
        let said = field_update(value);
        match &said {
            FieldUpdate::Given(text) => self.add(name, Some(text), value.position(), rule),
            FieldUpdate::Delete => self.add(name, None::<&str>, value.position(), rule),
            FieldUpdate::Absent => {}
        }
        said
    }

    /// Tells a datum as it is kept, or as it was sent where it is refused.
    pub fn read<T: Display>(
        &mut self,
        name: impl Display,
        read: &Result<T, Refusal>,
        sent: &str,
        place: impl Into<Location>,
        rule: impl Display,
    ) {
        match read {
            Ok(value) => self.add(name, Some(value), place, rule),
            Err(_) => self.add(name, Some(sent), place, rule),
        }
    }

    /// The same result; but where the trail is kept a refusal is noted, and reading goes on with a stand-in.
    pub fn go_on<T>(
        &mut self,
        read: Result<T, Refusal>,
        stand_in: impl FnOnce() -> T,
    ) -> Result<T, Refusal> {
        match (read, &mut self.kept) {
            (Err(refusal), Some(kept))
                if !kept.only_problems || kept.refusals.len() < MOST_PROBLEMS =>
            {
                kept.refusals.push(refusal);
                Ok(stand_in())
            }
            (read, _) => read,
        }
    }

    /// The data in the order of their reading, and each refusal once: what was refused where it stands, or has no
    /// segment to stand in, is not missing besides.
    pub fn into_parts(self) -> (Vec<Datum>, Vec<Refusal>) {
        let TrailRecord { data, refusals, .. } = self.kept.unwrap_or_default();
        let shown = |refusal: &Refusal| refusal.place.as_ref().map(|place| place.shown.clone());
        let absent: Vec<String> = refusals
            .iter()
            .filter(|refusal| refusal.reason == Reason::MissingSegment)
            .filter_map(shown)
            .collect();
        let mut told: Vec<Refusal> = Vec::new();
        for refusal in refusals {
            let place = shown(&refusal);
            let segment = place.as_deref().and_then(|place| place.split_once('-'));
            let has_segment = segment.is_none_or(|(name, _)| !absent.iter().any(|it| it == name));
            let is_missing_besides = refusal.reason == Reason::MissingField
                && told
                    .iter()
                    .any(|told| place.is_some() && shown(told) == place);
            if has_segment && !is_missing_besides && !told.contains(&refusal) {
                told.push(refusal);
            }
        }
        (data, told)
    }

    fn add(
        &mut self,
        name: impl Display,
        value: Option<impl Display>,
        place: impl Into<Location>,
        rule: impl Display,
    ) {
        let Some(kept) = self.kept.as_mut().filter(|kept| !kept.only_problems) else {
            return;
        };
        let rule = rule.to_string();
        kept.data.push(Datum {
            about: kept.about.clone(),
            name: name.to_string(),
            value: value.map(|value| value.to_string()),
            place: place.into(),
            rule: (!rule.is_empty()).then_some(rule),
        });
    }
}
