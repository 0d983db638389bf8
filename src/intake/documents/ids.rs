//! The ids of a document, and the known document that answers to one (interface.md 6, "Identity of a document").

use std::collections::HashMap;

use super::DocumentFlow;
use super::sent::ObxDocument;
use crate::hl7::{Field, Position};
use crate::intake::checks;
use crate::intake::field_update::text;
use crate::intake::head::CdaIdentifiers;
use crate::model::document::{Document, DocumentKind};
use crate::model::identifiers::{ContentHash, Ipp};
use crate::model::outcome::Location;
use crate::model::view::ViewError;

/// The ids of a sent document, each with the number of its place where the message repeats it (`#2`).
#[derive(Debug, Default)]
pub(super) struct DocumentIds {
    /// By which it is identified.
    pub(super) unique: Option<String>,
    /// All that it came with and will answer to.
    pub(super) own: Vec<String>,
    /// By which the document to replace or delete is looked for, in turn.
    pub(super) meant: Vec<String>,
}

impl<'m> DocumentFlow<'_, 'm> {
    /// The ids of a document, in the order in which they count (interface.md 6, "Identity of a document").
    pub(super) fn ids(
        &mut self,
        sent: &ObxDocument<'m>,
        ipp: &Ipp,
        cda: Option<&CdaIdentifiers>,
    ) -> DocumentIds {
        let of_transport = |number| self.transport.and_then(|txa| identifier(txa.field(number)));
        let (transport, parent) = (of_transport(12), of_transport(13));
        let order = sent.obr.and_then(|obr| identifier(obr.field(3)));
        let observation = text(&sent.obx.field(3).component(1)).unwrap_or_default();
        let part = text(&sent.obx.field(4)).unwrap_or_default();
        // The line ends tell these from each other and from every id that a sender can write.
        let whole_order = order
            .as_ref()
            .map(|order| format!("{order}\n{observation}\n{part}"));
        let order = order.map(|order| format!("{order}\n{observation}"));
        let (set_id, id) = cda.map_or((None, None), |cda| (cda.set_id.clone(), cda.id.clone()));
        let parents = cda.map(|cda| cda.parents.clone()).unwrap_or_default();

        let mut numbered: HashMap<String, String> = HashMap::new();
        let mut number = |id: String| {
            if let Some(known) = numbered.get(&id) {
                return known.clone();
            }
            let times = self
                .times_sent
                .entry((ipp.clone(), id.clone()))
                .or_insert(0);
            *times = times.saturating_add(1);
            let with_number = match *times {
                1 => id.clone(),
                times => format!("{id}#{times}"),
            };
            numbered.insert(id, with_number.clone());
            with_number
        };
        let places: [(&Option<String>, Location, &str); 4] = [
            (
                &transport,
                Position::of_segment("TXA").with_field(12).into(),
                "",
            ),
            (
                &set_id,
                "setId".into(),
                "setId of the CDA that the document is",
            ),
            (&id, "id".into(), "id of the CDA that the document is"),
            (
                &whole_order,
                sent.obr
                    .map_or_else(Location::default, |obr| obr.field(3).position().into()),
                "whole OBR-3 + OBX-3.1 + OBX-4",
            ),
        ];
        for (id, place, rule) in places {
            if let Some(id) = id {
                let id = id.trim_end_matches('\n').replace('\n', " + ");
                self.trail.record("unique_id", id, place, rule);
                break;
            }
        }
        let own: Vec<String> = [&transport, &set_id, &id, &whole_order, &order]
            .into_iter()
            .flatten()
            .map(|id| number(id.clone()))
            .collect();
        let meant = [transport, parent, set_id, id]
            .into_iter()
            .flatten()
            .chain(parents)
            .chain([whole_order, order].into_iter().flatten())
            .map(number)
            .collect();
        DocumentIds {
            unique: own.first().cloned(),
            own,
            meant,
        }
    }

    /// The patient's document that answers to this id.
    pub(super) fn known(&self, id: &str, ipp: &Ipp) -> Result<Option<Document>, ViewError> {
        let since = self.answering.get(id).into_iter().flatten();
        let since = since.filter_map(|id| self.documents.get(id)).cloned();
        let mut answering: Vec<Document> = self
            .view
            .documents_by_unique_id(&self.facility.id, id)?
            .into_iter()
            .map(|known| self.documents.get(&known.id).cloned().unwrap_or(known))
            .chain(since)
            .filter(|document| document.ipp == *ipp && document.kind == DocumentKind::Document)
            .collect();
        // A merge can bring two of them together: the one that is still there is meant.
        answering.sort_by(|one, other| (!one.deleted, &one.id).cmp(&(!other.deleted, &other.id)));
        Ok(answering.pop())
    }

    pub(super) fn first_known(
        &self,
        ids: &[String],
        ipp: &Ipp,
    ) -> Result<Option<Document>, ViewError> {
        for id in ids {
            if let Some(known) = self.known(id, ipp)? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// The hash of the message as it is compared (interface.md 9); only documents without an id of their own need it.
    pub(super) fn message_hash(&self) -> &ContentHash {
        self.message_hash
            .get_or_init(|| checks::hash_of(self.message))
    }
}

/// A whole entity identifier (EI), without the empty components at its end; nothing where it says nothing.
fn identifier(field: Field<'_>) -> Option<String> {
    let whole = text(&field.as_repetition())?;
    let whole = whole.trim_end_matches('^').trim();
    (!whole.is_empty()).then(|| whole.to_owned())
}
