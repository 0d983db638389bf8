//! The case or note that a document goes to (interface.md 6, "Case").

use super::DocumentFlow;
use super::patient::PidPatient;
use super::sent::ObxDocument;
use crate::hl7::{Position, Segment, Value};
use crate::intake::Stop;
use crate::intake::field_update::text;
use crate::intake::required::check_visible;
use crate::model::case::Case;
use crate::model::identifiers::CaseId;
use crate::model::outcome::{Location, Reason, Refusal};
use crate::model::view::ViewError;

/// Where a document wants to go.
pub(super) enum Destination {
    /// Into this case of the patient; whether the message claims it, or an order's number only hints at it.
    Case { case: Box<Case>, claimed: bool },
    /// Onto a note, until this case comes; claimed at this place, else an order's number only hints at it.
    Awaits {
        case: CaseId,
        claimed: Option<Location>,
    },
    /// Onto a note.
    Nowhere,
}

impl<'m> DocumentFlow<'_, 'm> {
    /// The case that the message claims, else one that an order's number hints at (interface.md 6, "Case").
    pub(super) fn destination(
        &mut self,
        sent: &ObxDocument<'m>,
        found: &PidPatient,
    ) -> Result<Destination, Stop> {
        let ipp = &found.patient.ipp;
        let claimed = self.first_value(&self.facility.documents.case_id, sent);
        if let Some((id, value)) = claimed {
            let rule = "documents.case_id: the case is claimed";
            self.trail.record("case", &id, value.position(), rule);
            check_visible(id.as_str(), "case id", value.position())?;
            return match self.case(&id)? {
                Some(case) if case.ipp.as_ref() == Some(ipp) => Ok(Destination::Case {
                    case: Box::new(case),
                    claimed: true,
                }),
                Some(case) if case.ipp.is_some() => Err(Refusal::new(
                    Reason::CasePatientMismatch,
                    format!("expected a case of the patient {ipp}, but {id} is another's"),
                )
                .at(value.position())
                .with_value(id.as_str())
                .into()),
                _ => Ok(Destination::Awaits {
                    case: id,
                    claimed: Some(value.position().into()),
                }),
            };
        }
        let mut hinted = None;
        for path in &self.facility.documents.case_hint {
            let Some((id, value)) = self.value(path, sent) else {
                continue;
            };
            let rule = "documents.case_hint: the case, if it is known by this id";
            self.trail.record("case_hint", &id, value.position(), rule);
            match self.case(&id)? {
                Some(case) if case.ipp.as_ref() == Some(ipp) => {
                    return Ok(Destination::Case {
                        case: Box::new(case),
                        claimed: false,
                    });
                }
                _ => hinted = hinted.or(Some(id)),
            }
        }
        Ok(
            hinted.map_or(Destination::Nowhere, |case| Destination::Awaits {
                case,
                claimed: None,
            }),
        )
    }

    fn first_value(
        &self,
        paths: &[Position],
        sent: &ObxDocument<'m>,
    ) -> Option<(CaseId, Value<'m>)> {
        paths.iter().find_map(|path| self.value(path, sent))
    }

    /// The case id at a configured position: of the segments that an OBX belongs to, those that are nearest to it.
    pub(super) fn value(
        &self,
        path: &Position,
        sent: &ObxDocument<'m>,
    ) -> Option<(CaseId, Value<'m>)> {
        let segment = match path.segment() {
            "PID" => sent.pid,
            "ORC" => sent.orc,
            "OBR" => sent.obr,
            "OBX" => Some(sent.obx),
            other => self.first(other),
        }?;
        let repetition = segment
            .field(path.field())
            .repetition(path.repetition().max(1));
        let value: Value<'m> = match (path.component(), path.subcomponent()) {
            (0, _) => repetition.into(),
            (component, 0) => repetition.component(component).into(),
            (component, part) => repetition.component(component).subcomponent(part).into(),
        };
        Some((CaseId::new(text(&value.identifier())?), value))
    }

    pub(super) fn first(&self, name: &str) -> Option<Segment<'m>> {
        let mut firsts = self.firsts.borrow_mut();
        match firsts.get(name) {
            Some(known) => *known,
            None => {
                let first = self.message.first(name);
                firsts.insert(name.to_owned(), first);
                first
            }
        }
    }

    pub(super) fn case(&self, id: &CaseId) -> Result<Option<Case>, ViewError> {
        match self.cases.get(id) {
            Some(case) => Ok(Some(case.clone())),
            None => self.view.case(&self.facility.id, id),
        }
    }
}
