//! The file of a document, decoded, and what it is (interface.md 6, "Content").

use super::DocumentFlow;
use super::cut_base64::refuse_cut_base64;
use super::sent::ObxDocument;
use crate::hl7::{Position, Value};
use crate::intake::content;
use crate::intake::field_update::text;
use crate::model::document::ContentType;
use crate::model::outcome::{Reason, Refusal, Warning, WarningCode};

/// A decoded file.
pub(super) struct DocumentFile {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: ContentType,
    pub(super) file_name: String,
}

/// A document as it stood in its OBX.
pub(super) struct ObxContent {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: ContentType,
    /// Whether its end is there.
    pub(super) is_whole: bool,
    /// The value that it stood in.
    pub(super) place: Position,
}

impl<'m> DocumentFlow<'_, 'm> {
    /// Decodes the file of an OBX and tells what it is (interface.md 6, "Content").
    pub(super) fn file(&mut self, sent: &ObxDocument<'m>) -> Result<DocumentFile, Refusal> {
        let content = self.content(sent);
        if let Ok(decoded) = &content {
            self.warn_of_file(sent, decoded);
            let place = decoded.place;
            self.trail.record(
                "type",
                decoded.content_type.word(),
                place,
                "told from its first bytes",
            );
            self.trail
                .record("size", decoded.bytes.len(), place, "bytes, decoded");
        }
        let content = content.map(|decoded| (decoded.bytes, decoded.content_type));
        let (bytes, content_type) = self
            .trail
            .go_on(content, || (Vec::new(), ContentType::Text))?;
        let name = self.file_name(sent);
        let (name, place, rule) = self
            .trail
            .go_on(name, || (String::new(), sent.obx.position(), ""))?;
        let file_name = content::display_name(&name, content_type);
        if !name.is_empty() {
            self.trail.record("file_name", &file_name, place, rule);
        }
        Ok(DocumentFile {
            bytes,
            content_type,
            file_name,
        })
    }

    /// Warns where the OBX does not say that it is a file, and where the end of the file is missing.
    fn warn_of_file(&mut self, sent: &ObxDocument<'m>, decoded: &ObxContent) {
        let kind = sent.obx.field(2);
        if kind.simple().raw() != b"ED" {
            self.decision.warnings.push(
                Warning::new(
                    WarningCode::ObxType,
                    "expected ED as the type of an OBX with a document, found another; it was taken as a document",
                )
                .at(kind.position()),
            );
        }
        if !decoded.is_whole {
            self.decision.warnings.push(
                Warning::new(
                    WarningCode::DocumentDamaged,
                    format!(
                        "expected a whole {}, found one that is damaged or whose end is missing; it is kept as it came",
                        decoded.content_type.word()
                    ),
                )
                .at(decoded.place),
            );
        }
    }

    /// The document itself, and what it is.
    pub(super) fn content(&self, sent: &ObxDocument<'m>) -> Result<ObxContent, Refusal> {
        let value = sent.value;
        let (encoding, encoded) = (value.component(4), value.component(5));
        let bare = value.component(1);
        let said = text(&encoding.simple());
        let has_file = |value: &Value<'_>| !value.is_empty() && !value.is_delete();
        let encoded = match &said {
            _ if has_file(&encoded) => encoded,
            None if has_file(&bare) => bare,
            _ if value.number() > 1 => {
                return Err(Refusal::new(
                    Reason::BadBase64,
                    "expected a document in each repetition, found a repetition separator and no document behind it",
                )
                .at(value.position()));
            }
            _ => {
                return Err(Refusal::new(
                    Reason::MissingField,
                    "expected the document in base64, found nothing",
                )
                .at(encoded.position()));
            }
        };
        if let Some(said) = said
            .as_ref()
            .filter(|said| !said.eq_ignore_ascii_case("Base64"))
        {
            return Err(Refusal::new(
                Reason::BadBase64,
                "expected a document in Base64, found another encoding named",
            )
            .at(encoding.position())
            .with_value(said));
        }
        let joined = self.joined.get(&sent.obx.occurrence());
        let bytes = match joined.filter(|_| value.number() == 1) {
            Some(joined) => joined.clone(),
            None => content::decode_base64(encoded.raw()).map_err(|error| {
                Refusal::new(Reason::BadBase64, error.to_string()).at(encoded.position())
            })?,
        };
        let accepted = &self.facility.documents.types;
        let content_type = content::content_type(&bytes);
        let is_whole = content_type.is_some_and(|kind| content::ends_whole(&bytes, kind));
        refuse_cut_base64(sent, is_whole)?;
        // What follows a separator within the base64 of one document begins as none.
        let begins = content_type.is_some_and(|kind| kind != ContentType::Text);
        if value.number() > 1 && said.is_none() && !begins {
            return Err(Refusal::new(
                Reason::BadBase64,
                "expected a document of its own in each repetition, found a repetition separator within base64",
            )
            .at(encoded.position()));
        }
        let content_type = content_type
            .filter(|found| accepted.contains(found))
            .ok_or_else(|| {
                let words: Vec<&str> = accepted.iter().map(|accepted| accepted.word()).collect();
                Refusal::new(
                    Reason::DocumentType,
                    format!(
                        "expected a document of one of the kinds {}, found {}",
                        words.join(", "),
                        content_type.map_or("content of an unknown kind", ContentType::word)
                    ),
                )
                .at(encoded.position())
            })?;
        Ok(ObxContent {
            bytes,
            content_type,
            is_whole,
            place: encoded.position(),
        })
    }

    /// The name of the document as it is sent, where it stands, and why it is that one.
    pub(super) fn file_name(
        &self,
        sent: &ObxDocument<'m>,
    ) -> Result<(String, Position, &'static str), Refusal> {
        let observation = sent.obx.field(3);
        let transport = self.first("TXA").map(|txa| txa.field(16));
        let (second, first) = (observation.component(2), observation.component(1));
        let places: [(Option<Value<'m>>, &'static str); 3] = [
            (transport.map(Into::into), "TXA-16"),
            (Some(second.into()), "no TXA-16: OBX-3.2"),
            (Some(first.into()), "no TXA-16, no OBX-3.2: OBX-3.1"),
        ];
        places
            .into_iter()
            .find_map(|(value, rule)| {
                let value = value?;
                Some((text(&value)?, value.position(), rule))
            })
            .ok_or_else(|| {
                Refusal::new(
                    Reason::MissingField,
                    "expected the name of the document in TXA-16 or OBX-3, found nothing",
                )
                .at(first.position())
            })
    }
}
