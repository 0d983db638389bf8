//! A document that is added, gets a version, or ends.

use chrono::{DateTime, Utc};

use super::DocumentFlow;
use super::destination::Destination;
use super::file::DocumentFile;
use super::ids::DocumentIds;
use super::sent::ObxDocument;
use crate::intake::{Content, Stop, made};
use crate::model::change::Record;
use crate::model::document::{
    AttachmentPlace, Document, DocumentKind, DocumentVersion, UniqueId, VersionStanding,
};
use crate::model::identifiers::{DocumentId, Ipp};
use crate::model::note::NoteReason;
use crate::model::outcome::{Verdict, Warning, WarningCode};

impl<'m> DocumentFlow<'_, 'm> {
    pub(super) fn add_new(
        &mut self,
        ipp: &Ipp,
        file: DocumentFile,
        ids: DocumentIds,
        destination: Destination,
        differs: bool,
        number: usize,
    ) -> Result<(), Stop> {
        let key = match &ids.unique {
            Some(unique) => format!("{ipp}\n{unique}"),
            None => format!("{}\n{number}", self.message_hash()),
        };
        if let Some(unique) = &ids.unique {
            let answering = self
                .view
                .documents_by_unique_id(&self.facility.id, unique)?;
            if answering.iter().any(|document| document.ipp != *ipp) {
                self.decision.warnings.push(Warning::new(
                    WarningCode::DocumentIdReused,
                    "expected a unique id of the document's own, found one that another patient's document has",
                ));
            }
        }
        // The document that was made of this key may be another patient's by now: it went there with its case.
        let sent_in = || format!("{}\n{number}", self.message_hash());
        let id = made::own_id("document", &self.facility.id, &key, sent_in, |id| {
            let id = DocumentId::new(id);
            Ok(!self.documents.contains_key(&id)
                && self.view.document(&self.facility.id, &id)?.is_none())
        })?;
        let id = DocumentId::new(id);
        let note = self.note_of(&id, ipp)?;
        let mut document = Document::new(
            self.facility.id.clone(),
            ipp.clone(),
            id,
            AttachmentPlace::Note(note),
            DocumentKind::Document,
        );
        self.have_answer(&document, ids.own);
        self.keep(&mut document, file);
        match destination {
            destination if differs => self.wait_in_doubt(document, &destination)?,
            Destination::Case { case, .. } => self.join(document, *case)?,
            Destination::Awaits {
                case,
                claimed: Some(place),
            } => self.wait_for(document, case, place)?,
            Destination::Awaits { case, .. } => {
                self.wait(document, NoteReason::NoCase, None, Some(case))?;
            }
            Destination::Nowhere => self.wait(document, NoteReason::NoCase, None, None)?,
        }
        Ok(())
    }

    /// Adds a file to a known document, and moves the document if this version names another place for it.
    pub(super) fn add_version(
        &mut self,
        mut document: Document,
        file: DocumentFile,
        ids: DocumentIds,
        destination: Destination,
        differs: bool,
    ) -> Result<(), Stop> {
        self.keep(&mut document, file);
        self.have_answer(&document, ids.own);
        self.add_history(
            &document,
            format!("document {} has one more version", document.id),
        );
        match (destination, document.attached.clone()) {
            (destination, _) if differs => self.wait_in_doubt(document, &destination)?,
            (
                Destination::Case {
                    case,
                    claimed: true,
                },
                _,
            )
            | (Destination::Case { case, .. }, AttachmentPlace::Note(_)) => {
                self.join(document, *case)?
            }
            (
                Destination::Awaits {
                    case,
                    claimed: Some(place),
                },
                AttachmentPlace::Note(_),
            ) => {
                self.wait_for(document, case, place)?;
            }
            (
                Destination::Awaits {
                    case,
                    claimed: Some(place),
                },
                AttachmentPlace::Case(own),
            ) => {
                let stays = format!("the document stays in the case {own}");
                self.warn_unknown_case(&case, place, &stays);
                self.put(document);
            }
            (Destination::Awaits { case, .. }, AttachmentPlace::Note(_))
                if document.awaits.is_none() =>
            {
                document.awaits = Some(case);
                self.put(document);
            }
            _ => self.put(document),
        }
        Ok(())
    }

    /// Adds a version at its place in time (MSH-7): what is older than the current one becomes an older version.
    fn keep(&mut self, document: &mut Document, file: DocumentFile) {
        let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
        let content = Content::new(file.bytes);
        let known = document.current().and_then(|current| current.time);
        let standing = match (known, self.time) {
            (Some(known), Some(time)) if known > time => VersionStanding::Former,
            _ => VersionStanding::Latest,
        };
        let is_before_its_deletion = document
            .deletion_time
            .zip(self.time)
            .is_some_and(|(deletion, time)| time < deletion);
        if standing == VersionStanding::Latest && !is_before_its_deletion {
            document.deleted = false;
            document.deletion_time = None;
        }
        let former = document.add(standing, |version| DocumentVersion {
            version,
            file_name: file.file_name,
            content_type: file.content_type,
            size,
            sha256: content.hash.clone(),
            time: self.time,
        });
        self.decision
            .put(former.into_iter().map(Record::FormerVersion));
        self.decision.contents.push(content);
    }

    /// Has a document answer to these unique ids.
    fn have_answer(&mut self, document: &Document, unique_ids: Vec<String>) {
        for unique_id in unique_ids {
            let answering = self.answering.entry(unique_id.clone()).or_default();
            if !answering.contains(&document.id) {
                answering.push(document.id.clone());
            }
            self.decision.put([Record::UniqueId(UniqueId {
                facility: document.facility.clone(),
                unique_id,
                document: document.id.clone(),
            })]);
        }
    }

    pub(super) fn delete(
        &mut self,
        sent: &ObxDocument<'m>,
        ipp: &Ipp,
        ids: &DocumentIds,
    ) -> Result<Verdict, Stop> {
        let Some(mut document) = self.first_known(&ids.meant, ipp)? else {
            self.warn_unknown(sent, "deleted");
            return Ok(Verdict::Ignored);
        };
        let is_before = |known: Option<DateTime<Utc>>| {
            self.time
                .zip(known)
                .is_some_and(|(time, known)| time < known)
        };
        if is_before(document.current().and_then(|current| current.time)) {
            return Ok(Verdict::Stale);
        }
        // Of two deletions the later one counts: a version between them does not bring the document back.
        if document.deleted
            && (document.deletion_time == self.time || is_before(document.deletion_time))
        {
            return Ok(Verdict::Duplicate);
        }
        document.deleted = true;
        document.deletion_time = self.time;
        self.add_history(&document, format!("document {} deleted", document.id));
        self.put(document);
        Ok(Verdict::Updated)
    }

    pub(super) fn warn_unknown(&mut self, sent: &ObxDocument<'m>, what: &str) {
        self.decision.warnings.push(
            Warning::new(
                WarningCode::UnknownDocument,
                format!("expected a known document of the patient to be {what}, found none with these ids"),
            )
            .at(sent.obx.position()),
        );
    }

    pub(super) fn put(&mut self, document: Document) {
        self.documents.insert(document.id.clone(), document.clone());
        self.decision
            .changes
            .push(Record::Document(document).into());
    }
}
