//! The session that a document puts its case before (interface.md 5).

use super::request::{CdaRequest, SESSION_ROOT};
use super::{BY, CdaFlow};
use crate::cda::header::places;
use crate::intake::Decision;
use crate::intake::scheduling::{self, MessageCopy, SessionMatch};
use crate::model::case::{Case, CaseState};
use crate::model::document::ContentType;
use crate::model::identifiers::{PathwayId, SessionId};
use crate::model::outcome::{Location, Warning, WarningCode};
use crate::model::session::{SessionKey, SessionState};
use crate::model::view::ViewError;

impl<'m> CdaFlow<'_, 'm> {
    /// Puts the case before the session that the document asks for; a cancelled one stays so.
    pub(super) fn place(
        &self,
        decision: &mut Decision<'m>,
        case: &mut Case,
        asked: &CdaRequest<'_>,
    ) -> Result<(), ViewError> {
        let mut doubts = Vec::new();
        let (found, pathway) = self.find_session(asked, &mut doubts)?;
        case.date = Some(asked.date);
        case.pathway = Some(pathway);
        if case.state == CaseState::Cancelled {
            decision.warnings.push(
                Warning::new(
                    WarningCode::CaseCancelled,
                    format!(
                        "the case {} is cancelled and stays so; its questionnaire is kept",
                        case.id
                    ),
                )
                .at(Location::named(places::ORDER)),
            );
            return Ok(());
        }
        decision.warnings.append(&mut doubts);
        let file_name = self.file_name(case);
        let received = || MessageCopy {
            content: self.content(),
            content_type: ContentType::Cda,
            file_name,
            time: self.this.time,
            place: Some(Location::named(places::ENCOUNTER)),
        };
        scheduling::place_case(self.view, decision, case, &found, received, BY)
    }

    /// The session that the ids of the encounter lead to, and the pathway of the case (interface.md 5, "Which session").
    fn find_session(
        &self,
        asked: &CdaRequest<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<(SessionMatch, PathwayId), ViewError> {
        for id in asked
            .encounters
            .iter()
            .filter(|id| id.is_under(SESSION_ROOT))
        {
            let Some(session) = self.view.session(&SessionId::new(id.value()))? else {
                continue;
            };
            if session.date != asked.date {
                warnings.push(
                    Warning::new(
                        WarningCode::SessionDateMismatch,
                        format!(
                            "expected the session {} on {}, as the document says, but it is on {}; it is looked for by pathway",
                            session.id, asked.date, session.date
                        ),
                    )
                    .at(Location::named(places::SESSION_DATE)),
                );
            } else if session.state == SessionState::Planned {
                return Ok((
                    SessionMatch::Session(Box::new(session)),
                    PathwayId::new(id.value()),
                ));
            }
        }
        let root = self.facility.cda.pathway_root.as_deref();
        let mut ambiguous = false;
        for by in [SessionKey::Pathway, SessionKey::Family] {
            for id in asked
                .encounters
                .iter()
                .filter(|id| root.is_none_or(|root| id.is_under(root)))
            {
                let id = PathwayId::new(id.value());
                match scheduling::find_by(self.view, asked.date, by, &id)? {
                    SessionMatch::Session(session) => {
                        return Ok((SessionMatch::Session(session), id));
                    }
                    SessionMatch::Ambiguous => ambiguous = true,
                    SessionMatch::NotFound => {}
                }
            }
        }
        let named = asked
            .encounters
            .iter()
            .find(|id| id.is_under(MEETING_ROOT))
            .unwrap_or(asked.first);
        let found = match ambiguous {
            true => SessionMatch::Ambiguous,
            false => SessionMatch::NotFound,
        };
        Ok((found, PathwayId::new(named.value())))
    }
}

/// The root of the national ids of meetings (CI-SIS, FRCP).
const MEETING_ROOT: &str = "1.2.250.1.161.1.20.3.1";
