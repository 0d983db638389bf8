//! The document itself, kept in its case as a document or as a version of one.

use super::CdaFlow;
use crate::cda::header::{Identifier, places};
use crate::intake::{Content, Decision, content, made, scheduling};
use crate::model::case::Case;
use crate::model::change::Record;
use crate::model::document::{
    AttachmentPlace, ContentType, Document, DocumentKind, DocumentVersion, UniqueId,
    VersionStanding,
};
use crate::model::identifiers::{ContentHash, DocumentId, Ipp};
use crate::model::outcome::{Location, Warning, WarningCode};
use crate::model::view::ViewError;

impl<'m> CdaFlow<'_, 'm> {
    /// Keeps the received document in the case, as the next version of the one with its ids.
    pub(super) fn keep_document(
        &self,
        decision: &mut Decision<'m>,
        case: &Case,
    ) -> Result<(), ViewError> {
        let Some(ipp) = case.ipp.clone() else {
            return Ok(());
        };
        let header = &self.cda.header;
        let ids: Vec<String> = [&header.set_id, &header.id]
            .into_iter()
            .flatten()
            .map(Identifier::entity)
            .collect();
        let carried = self.carried.map_or(&[][..], |carried| carried.ids);
        let hash = self.cda.hash.clone();
        let mut document = match self.known_document(ids.first(), &ipp, case, decision)? {
            Some(known) => known,
            None => self.document_of_case(case, ipp, ids.first(), &hash)?,
        };
        let is_new = self.view.document(&case.facility, &document.id)?.is_none();
        let ids = ids.into_iter().chain(carried.iter().cloned());
        decision.put(ids.map(|unique_id| {
            Record::UniqueId(UniqueId {
                facility: document.facility.clone(),
                unique_id,
                document: document.id.clone(),
            })
        }));
        document.deleted = false;
        document.deletion_time = None;
        let current = document.current();
        if current.is_none_or(|current| current.sha256 != hash) {
            let former = document.add(VersionStanding::Latest, |version| DocumentVersion {
                version,
                file_name: self.file_name(case),
                content_type: ContentType::Cda,
                size: u64::try_from(self.bytes.len()).unwrap_or(u64::MAX),
                sha256: hash.clone(),
                time: self.this.time,
            });
            decision.put(former.into_iter().map(Record::FormerVersion));
        }
        // The note of a case without session keeps the same bytes.
        if decision.contents.iter().all(|content| content.hash != hash) {
            decision.contents.push(self.content());
        }
        if matches!(document.attached, AttachmentPlace::Case(_)) {
            if is_new {
                scheduling::add_history(decision, case, format!("document {} joined", document.id));
            }
            decision.changes.push(Record::Document(document).into());
            return Ok(());
        }
        scheduling::join(self.view, decision, case, vec![document])
    }

    /// The document that a case keeps under this unique id, or under the hash of its content where it has none: the one
    /// that is there, else a new one. A document that went into another case since is another one.
    fn document_of_case(
        &self,
        case: &Case,
        ipp: Ipp,
        unique_id: Option<&String>,
        hash: &ContentHash,
    ) -> Result<Document, ViewError> {
        let key = unique_id.map_or(hash.as_str(), String::as_str);
        let key = format!("{}\n{key}", case.id);
        let attached = AttachmentPlace::Case(case.id.clone());
        let known = |id: &str| self.view.document(&case.facility, &DocumentId::new(id));
        let sent_in = || hash.to_string();
        let id = made::own_id("cda", &case.facility, &key, sent_in, |id| {
            Ok(known(id)?.is_none_or(|known| {
                known.kind == DocumentKind::Document
                    && known.attached == attached
                    && known.ipp == ipp
            }))
        })?;
        Ok(match known(&id)? {
            Some(known) => known,
            None => Document::new(
                case.facility.clone(),
                ipp,
                DocumentId::new(id),
                attached,
                DocumentKind::Document,
            ),
        })
    }

    /// The document of this patient that answers to the id, if it is in this case or on a note.
    fn known_document(
        &self,
        unique_id: Option<&String>,
        ipp: &Ipp,
        case: &Case,
        decision: &mut Decision<'m>,
    ) -> Result<Option<Document>, ViewError> {
        let answering = match unique_id {
            Some(unique_id) => self
                .view
                .documents_by_unique_id(&case.facility, unique_id)?,
            None => Vec::new(),
        };
        let (mut answering, others): (Vec<Document>, Vec<Document>) = answering
            .into_iter()
            .partition(|document| document.ipp == *ipp);
        // Else it is the next version of what the message says.
        let is_cda = |known: &&Document| {
            let current = known.current();
            current.is_none_or(|current| current.content_type == ContentType::Cda)
        };
        if answering.is_empty()
            && let Some(known) = self.carried.and_then(|carried| carried.known.as_ref())
        {
            answering.extend(Some(known).filter(is_cda).cloned());
        }
        if !others.is_empty() {
            decision.warnings.push(
                Warning::new(
                    WarningCode::DocumentIdReused,
                    "expected a unique id of the document's own, found one that another patient's document has",
                )
                .at(Location::named(places::SET_ID)),
            );
        }
        let mut found: Option<Document> = None;
        for document in answering {
            // It may have joined by this very decision.
            let document = decision.document(&document.id).cloned().unwrap_or(document);
            let is_here = document.attached == AttachmentPlace::Case(case.id.clone());
            let is_free = matches!(document.attached, AttachmentPlace::Note(_));
            let is_document = document.kind == DocumentKind::Document;
            if is_document && (is_here || is_free && found.is_none()) {
                let is_better = found.as_ref().is_none_or(|found| {
                    found.deleted || matches!(found.attached, AttachmentPlace::Note(_))
                });
                if is_better {
                    found = Some(document);
                }
            }
        }
        Ok(found)
    }

    /// The received document.
    pub(super) fn content(&self) -> Content<'m> {
        Content {
            hash: self.cda.hash.clone(),
            bytes: self.bytes.into(),
        }
    }

    pub(super) fn file_name(&self, case: &Case) -> String {
        if let Some(carried) = self.carried {
            return carried.file_name.to_owned();
        }
        content::display_name(&format!("CDA_{}", case.id), ContentType::Cda)
    }
}
