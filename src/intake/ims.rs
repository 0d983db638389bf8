//! Patients by ADT: created and updated (interface.md 3; IHE PAM, Patient Identification Management). How they are merged is
//! told in [`merge`].
//!
//! ADT is the authority on identities: unlike the flows that only name a patient, it may change one.

use super::field_update::FieldUpdate;
use super::identity::ipp::{self, IppRead};
use super::identity::{self, compare, ins, reliability};
use super::message_time::message_time;
use super::pid_context::{PidContext, is_stale, merged_away, record_agreements};
use super::required::required_segment;
use super::trail::Trail;
use super::{Context, Decision, DecisionResult, merge};
use crate::hl7::{Message, Position};
use crate::model::change::{Record, Subject};
use crate::model::identifiers::{Ins, Ipp};
use crate::model::outcome::{Reason, Refusal, Verdict, Warning, WarningCode};
use crate::model::patient::Patient;
use crate::model::view::View;

/// Decides on A01, A04, A05, A08, A28, A31 (create or update), A40 (merge) and A47 (change of an INS).
pub fn decide<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    match message.trigger().trim() {
        "A40" => merge::decide(message, view, context, trail),
        "A47" => change_ins(message, view, context, trail),
        trigger => create_or_update(message, view, context, trigger, trail),
    }
}

fn create_or_update<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trigger: &str,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = context.facility;
    let pid = required_segment(message, "PID", trail)?;
    let read = ipp::ipp(&pid, facility, trail)?;
    let survivor = view.survivor(&facility.id, &read.ipp)?;
    if survivor != read.ipp {
        return Ok(ignored_as_merged_away(&read, &survivor));
    }
    let time = message_time(message, context, trail)?;
    let known = view.patient(&facility.id, &read.ipp)?;
    if is_stale(known.as_ref(), time) {
        return Ok(Decision::unchanged(Verdict::Stale));
    }
    let mut decision = Decision::unchanged(match known {
        None => Verdict::Accepted,
        Some(_) => Verdict::Updated,
    });
    read.warn(&mut decision.warnings);
    let patient = PidContext {
        message,
        facility,
        view,
        time,
        about_one: true,
    }
    .patient(
        &pid,
        read,
        known.clone(),
        &|ins| ins::other_with_ins(ins, &survivor, view, facility),
        &mut decision.warnings,
        trail,
    )?;
    if let Some(known) = &known {
        record_agreements(
            view,
            &mut decision,
            known,
            &patient,
            &format!("ADT^{trigger}"),
        )?;
    }
    let what = match decision.verdict {
        Verdict::Accepted => "created",
        _ => "updated",
    };
    decision.history.push((
        Subject::Patient(facility.id.clone(), patient.ipp.clone()),
        format!("{what} by ADT^{trigger}"),
    ));
    decision.changes.push(Record::Patient(patient).into());
    Ok(decision)
}

/// A47: an INS is given, changed, or taken away (PAM.fr). The rest of the identity is compared, and not changed.
fn change_ins<'m>(
    message: &Message<'m>,
    view: &dyn View,
    context: &Context<'_>,
    trail: &mut Trail,
) -> DecisionResult<'m> {
    let facility = context.facility;
    let pid = required_segment(message, "PID", trail)?;
    let read = ipp::ipp(&pid, facility, trail)?;
    let former = message.first("MRG").map(|merged| merged.field(1));
    if let Some(former) = former
        && let Ok(old) = ipp::read_ipp(former, "former_ipp", facility, trail)
        && !old.untyped
        && old.ipp != read.ipp
    {
        return Err(Refusal::new(
            Reason::UnsupportedMessage,
            "expected in MRG-1 the INS to change, found another patient id: two patients are made one by ADT^A40",
        )
        .at(old.place)
        .with_value(old.ipp.as_str())
        .into());
    }
    let survivor = view.survivor(&facility.id, &read.ipp)?;
    if survivor != read.ipp {
        return Ok(ignored_as_merged_away(&read, &survivor));
    }
    let time = message_time(message, context, trail)?;
    let Some(known) = view.patient(&facility.id, &read.ipp)? else {
        return Ok(Decision::unchanged(Verdict::Ignored));
    };
    if is_stale(Some(&known), time) || known.ins_time.is_some_and(|last| time < last) {
        return Ok(Decision::unchanged(Verdict::Stale));
    }
    let mut decision = Decision::unchanged(Verdict::Updated);
    read.warn(&mut decision.warnings);
    let place = pid.field(5).position();
    let traits = identity::traits(&pid, trail);
    compare::check_identity(&known, &traits, place, &mut decision.warnings)?;
    let said = ins::kept_ins(&pid, &mut decision.warnings, trail);
    let former = former.map(ins::ins_numbers).unwrap_or_default();
    // One that MRG-1 names is taken away by that.
    let stays = |ins: &&Ins| !former.contains(&ins.value);
    let said = ins::keep_nir(
        said,
        known.ins.as_ref().filter(stays),
        pid.field(3).position(),
        &mut decision.warnings,
    );
    let said = ins::keep_own_ins(
        said,
        |ins| ins::other_with_ins(ins, &survivor, view, facility),
        &mut decision.warnings,
    )?;
    let (status, attributes) = reliability::reliability(&pid, trail);
    let names_known = |ins: &Ins| former.is_empty() || former.contains(&ins.value);
    let by_status = !pid.field(32).is_empty() && !reliability::is_verified(&pid);
    // One that is not kept (of another patient, with a wrong key, or not verified) takes the place of none.
    let is_kept = said.as_given().is_some();
    let is_refused = !by_status && !ins::ins_numbers(pid.field(3)).is_empty();
    let ins = match (said, &known.ins) {
        (FieldUpdate::Given(ins), _) => Some(ins),
        (_, Some(own)) if is_refused => Some(own.clone()),
        (_, Some(own)) if !by_status && !names_known(own) => {
            decision.warnings.push(
                Warning::new(
                    WarningCode::InsUnknown,
                    "expected in MRG-1 the INS that is known, found another; the known one stays",
                )
                .at(Position::of_segment("MRG").with_field(1)),
            );
            Some(own.clone())
        }
        _ => None,
    };
    let what = match (&known.ins, &ins) {
        _ if is_refused && !is_kept => "INS not kept, the known one is left as it was",
        (before, after) if before == after => "INS confirmed",
        (_, None) => "INS taken away",
        (None, Some(_)) => "INS given",
        (Some(_), Some(_)) => "INS changed",
    };
    decision.history.push((
        Subject::Patient(facility.id.clone(), known.ipp.clone()),
        format!("{what} by ADT^A47"),
    ));
    let patient = Patient {
        ins,
        identity_status: status.over(known.identity_status.clone()),
        identity_attributes: attributes
            .over(Some(known.identity_attributes.clone()))
            .unwrap_or_default(),
        ins_time: Some(time),
        ..known
    };
    decision.changes.push(Record::Patient(patient).into());
    Ok(decision)
}

/// Nothing is changed of a patient who was merged into another one.
fn ignored_as_merged_away<'m>(read: &IppRead, survivor: &Ipp) -> Decision<'m> {
    let mut decision = Decision::unchanged(Verdict::Ignored);
    decision.warnings.push(merged_away(read, survivor));
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::testing::{World, outcome_text};
    use crate::model::document::{AttachmentPlace, Document, DocumentKind};
    use crate::model::identifiers::{CaseId, DocumentId, Ins, NoteId};
    use crate::model::note::{Note, NoteReason};

    const INS: &str = "279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS";

    /// An ADT of this event and minute; `pid` is PID-3 and what follows.
    fn adt(event: &str, minute: u32, pid: &str) -> String {
        format!(
            "MSH|^~\\&|GAM|CHU|RCP|RCP|202504011{minute:03}00||ADT^{event}^ADT_A01|7|P|2.5^FRA^2.11|||||FRA|UNICODE UTF-8\r\
             EVN||20250401\rPID|1||{pid}\r"
        )
    }

    fn lea(ipp: &str) -> String {
        format!("{ipp}^^^CHU&1.2.3&ISO^PI||MARTIN^Léa^^^^^L||19700102|F")
    }

    fn merge(minute: u32, pairs: &[(&str, &str)]) -> String {
        let mut message = adt("A40", minute, "").replace("PID|1||\r", "");
        for (survivor, old) in pairs {
            message.push_str(&format!("PID|1||{}\rMRG|{old}^^^CHU^PI\r", lea(survivor)));
        }
        message
    }

    /// What follows PID-8 where the identity is verified.
    const VERIFIED: &str = "||||||||||||||||||||||||VALI";
    const NIA: &str = "279035121518989^^^ASIP-SANTE-INS-NIA&1.2.250.1.213.1.4.9&ISO^INS";

    /// Léa with these ids besides her IPP, and this PID-32.
    fn with_status(ids: &str, status: &str) -> String {
        let lea = lea("P-1").replace("||MARTIN", &format!("{ids}||MARTIN"));
        format!("{lea}{}{status}", "|".repeat(24))
    }

    fn ins_of(world: &World) -> Option<String> {
        world.patient("P-1").unwrap().ins.map(|ins| ins.oid)
    }

    #[test]
    fn an_ins_is_kept_only_of_a_verified_identity() {
        const OID: &str = "1.2.250.1.213.1.4.8";
        for (status, kept, outcome) in [
            ("VALI", true, "accepted"),
            ("vali", true, "accepted"),
            ("VALI~HOMD", true, "accepted"),
            ("HOMD~VALI", true, "accepted"),
            ("VALI~DOUT", false, "accepted ins-unverified"),
            ("VALI~FICT", false, "accepted ins-unverified"),
            ("PROV~VALI", false, "accepted ins-unverified"),
            ("VALI~inva", false, "accepted ins-unverified"),
            ("PROV", false, "accepted ins-unverified"),
            ("VIDE~CACH", false, "accepted ins-unverified"),
            ("", false, "accepted ins-unverified"),
            ("\"\"", false, "accepted ins-unverified"),
        ] {
            let mut world = World::new();
            let message = adt("A28", 1, &with_status(&format!("~{INS}"), status));
            assert_eq!(outcome_text(&world.receive(&message)), outcome, "{status}");
            let expected = kept.then(|| OID.to_owned());
            assert_eq!(ins_of(&world), expected, "{status}");
        }
    }

    #[test]
    fn a_later_status_takes_the_ins_away() {
        for (status, kept, outcome) in [
            ("PROV", false, "updated ins-unverified"),
            ("PROV~DOUT", false, "updated ins-unverified"),
            ("VALI~PROV", false, "updated ins-unverified"),
            ("VALI", true, "updated"),
            ("", true, "updated"),
        ] {
            let mut world = World::new();
            world.receive(&adt("A28", 1, &with_status(&format!("~{INS}"), "VALI")));
            let later = adt("A31", 2, &with_status("", status));
            assert_eq!(outcome_text(&world.receive(&later)), outcome, "{status}");
            assert_eq!(ins_of(&world).is_some(), kept, "{status}");
        }
    }

    #[test]
    fn the_nir_wins_over_the_number_that_waits_for_it() {
        for ids in [format!("~{INS}~{NIA}"), format!("~{NIA}~{INS}")] {
            let mut world = World::new();
            world.receive(&adt("A28", 1, &with_status(&ids, "VALI")));
            assert_eq!(
                ins_of(&world).as_deref(),
                Some("1.2.250.1.213.1.4.8"),
                "{ids}"
            );
        }
        let mut world = World::new();
        world.receive(&adt("A28", 1, &with_status(&format!("~{NIA}"), "VALI")));
        assert_eq!(ins_of(&world).as_deref(), Some("1.2.250.1.213.1.4.9"));
        // In messages that follow one another.
        let other = "179035121518942^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS";
        let by_oid = "279035121518989^^^&1.2.250.1.213.1.4.8&ISO^INS";
        let (nir, nia) = (Some("1.2.250.1.213.1.4.8"), Some("1.2.250.1.213.1.4.9"));
        for (before, ids, status, outcome, oid, value) in [
            (
                INS,
                NIA,
                "VALI",
                "updated ins-unknown",
                nir,
                "279035121518989",
            ),
            (
                by_oid,
                NIA,
                "VALI",
                "updated ins-unknown",
                nir,
                "279035121518989",
            ),
            (NIA, INS, "VALI", "updated", nir, "279035121518989"),
            (NIA, by_oid, "VALI", "updated", nir, "279035121518989"),
            (NIA, NIA, "VALI", "updated", nia, "279035121518989"),
            (INS, other, "VALI", "updated", nir, "179035121518942"),
            (INS, NIA, "PROV", "updated ins-unverified", None, ""),
            (
                INS,
                NIA,
                "",
                "updated ins-unverified",
                nir,
                "279035121518989",
            ),
        ] {
            let mut world = World::new();
            world.receive(&adt("A28", 1, &with_status(&format!("~{before}"), "VALI")));
            let later = adt("A31", 2, &with_status(&format!("~{ids}"), status));
            assert_eq!(
                outcome_text(&world.receive(&later)),
                outcome,
                "{before} {ids} {status}"
            );
            let ins = world.patient("P-1").unwrap().ins;
            let ins = ins
                .as_ref()
                .map(|ins| (ins.oid.as_str(), ins.value.as_str()));
            assert_eq!(ins, oid.map(|oid| (oid, value)), "{before} {ids} {status}");
        }
        // Two that differ in one message.
        for (ids, outcome) in [
            (format!("~{INS}~{other}"), "accepted ins-unknown"),
            (format!("~{NIA}~{INS}~{other}"), "accepted ins-unknown"),
            (format!("~{INS}~{INS}"), "accepted"),
            (format!("~{INS}~{by_oid}~{NIA}"), "accepted"),
        ] {
            let mut world = World::new();
            let message = adt("A28", 1, &with_status(&ids, "VALI"));
            assert_eq!(outcome_text(&world.receive(&message)), outcome, "{ids}");
            let ins = world.patient("P-1").unwrap().ins.unwrap();
            assert_eq!(ins.value, "279035121518989", "{ids}");
        }
    }

    #[test]
    fn all_that_is_said_of_an_identity_is_kept() {
        for (sent, status, attributes) in [
            ("VALI~HOMD~CACH", "VALI", &["HOMD", "CACH"][..]),
            ("DOUT~PROV", "PROV", &["DOUT"]),
            ("CACH", "CACH", &[]),
            ("PROV~~HOMA~HOMA", "PROV", &["HOMA"]),
        ] {
            let mut world = World::new();
            world.receive(&adt("A28", 1, &with_status("", sent)));
            let patient = world.patient("P-1").unwrap();
            assert_eq!(patient.identity_status.as_deref(), Some(status), "{sent}");
            assert_eq!(patient.identity_attributes, attributes, "{sent}");
            world.receive(&adt("A31", 2, &with_status("", "")));
            assert_eq!(
                world.patient("P-1").unwrap(),
                Patient {
                    demographics_time: world.patient("P-1").unwrap().demographics_time,
                    ..patient
                }
            );
            world.receive(&adt("A31", 3, &with_status("", "\"\"")));
            let patient = world.patient("P-1").unwrap();
            assert_eq!(
                (patient.identity_status, patient.identity_attributes),
                (None, vec![])
            );
        }
    }

    #[test]
    fn an_ins_is_given_changed_and_taken_away_by_a47() {
        let a47 = |minute, ids: &str, status: &str, former: &str| {
            format!(
                "{}MRG|{former}\r",
                adt("A47", minute, &with_status(ids, status))
            )
        };
        let (nir, nia) = (format!("~{INS}"), format!("~{NIA}"));
        const NIA_OTHER: &str = "179035121518942^^^ASIP-SANTE-INS-NIA&1.2.250.1.213.1.4.9&ISO^INS";
        let other = "179035121518942^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS";
        let (own_oid, nia_oid) = (Some("1.2.250.1.213.1.4.8"), Some("1.2.250.1.213.1.4.9"));
        for (before, ids, status, former, outcome, expected) in [
            (&nia, &nir[..], "VALI", NIA, "updated", own_oid),
            (&nir, "", "PROV", INS, "updated", None),
            (&nir, "", "VALI", INS, "updated", None),
            (&nir, "", "", INS, "updated", None),
            (&nir, "", "VALI", "", "updated", None),
            (&nir, "", "VALI", other, "updated ins-unknown", own_oid),
            (&nir, &nir, "PROV", INS, "updated ins-unverified", None),
            (&nia, &nia, "VALI", "", "updated", nia_oid),
            (&nir, &nia, "VALI", "", "updated ins-unknown", own_oid),
            (
                &nir,
                &nia,
                "VALI",
                NIA_OTHER,
                "updated ins-unknown",
                own_oid,
            ),
            (&nir, &nia, "VALI", INS, "updated", nia_oid),
            (&nir, &nia, "PROV", "", "updated ins-unverified", None),
            (
                &nir,
                "",
                "VALI",
                "P-2^^^CHU^PI",
                "unsupported-message MRG-1.1",
                own_oid,
            ),
        ] {
            let mut world = World::new();
            world.receive(&adt("A28", 1, &with_status(before, "VALI")));
            let message = a47(3, ids, status, former);
            assert_eq!(
                outcome_text(&world.receive(&message)),
                outcome,
                "{ids} {status} {former}"
            );
            assert_eq!(
                ins_of(&world).as_deref(),
                expected,
                "{ids} {status} {former}"
            );
        }
    }

    #[test]
    fn an_ins_that_a47_gives_and_nobody_keeps_takes_none_away() {
        let other = "179035121518942^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS";
        let wrong = other.replace("18942", "18943");
        for (given, status, outcome) in [
            (other, "VALI", "updated ins-duplicate"),
            (&wrong, "VALI", "updated ins-invalid"),
            (other, "", "updated ins-unverified"),
        ] {
            for former in [INS, "", other] {
                let mut world = World::new();
                world.receive(&adt("A28", 1, &with_status(&format!("~{INS}"), "VALI")));
                let second = with_status(&format!("~{other}"), "VALI").replace("P-1", "P-2");
                world.receive(&adt("A28", 1, &second));
                let known = ins_of(&world);
                assert!(known.is_some());
                let a47 = adt("A47", 3, &with_status(&format!("~{given}"), status));
                let told = outcome_text(&world.receive(&format!("{a47}MRG|{former}\r")));
                assert_eq!(told, outcome, "{given} {former}");
                assert_eq!(ins_of(&world), known, "{given} {former}");
            }
        }
    }

    #[test]
    fn what_is_older_than_an_a47_says_nothing_of_the_ins() {
        let mut world = World::new();
        world.receive(&adt("A28", 1, &with_status(&format!("~{INS}"), "VALI")));
        let away = format!("{}MRG|{INS}\r", adt("A47", 5, &with_status("", "PROV")));
        assert_eq!(outcome_text(&world.receive(&away)), "updated");
        let late = adt("A31", 3, &with_status(&format!("~{INS}"), "VALI")).replace(
            "||||||||||||||||||||||||VALI",
            "|||||||||||SSN|||||||||||||VALI",
        );
        assert_eq!(outcome_text(&world.receive(&late)), "updated");
        let patient = world.patient("P-1").unwrap();
        assert_eq!(
            (patient.ins, patient.identity_status.as_deref()),
            (None, Some("PROV"))
        );
        assert_eq!(patient.social_security_number.as_deref(), Some("SSN"));
        let older = away
            .replace("0500||ADT", "0400||ADT")
            .replace("PROV", "VALI");
        assert_eq!(outcome_text(&world.receive(&older)), "stale");
        let unknown = adt("A47", 6, &lea("P-9"));
        assert_eq!(outcome_text(&world.receive(&unknown)), "ignored");
        let another = adt(
            "A47",
            6,
            &lea("P-1")
                .replace("MARTIN", "AUTRE")
                .replace("1970", "1950"),
        );
        assert_eq!(
            outcome_text(&world.receive(&another)),
            "identity-mismatch PID-5"
        );
    }

    #[test]
    fn an_id_of_another_authority_is_warned_of_or_refused() {
        for (authority, lenient, strict) in [
            ("CHU", "accepted", "accepted"),
            ("X&CHU&ISO", "accepted", "accepted"),
            ("", "accepted", "accepted"),
            ("AUTRE", "accepted ipp-authority", "ipp-authority PID-3.1"),
            (
                "AUTRE&1.2.3&ISO",
                "accepted ipp-authority",
                "ipp-authority PID-3.1",
            ),
        ] {
            let message = adt("A28", 1, &lea("P-1").replace("CHU&1.2.3&ISO", authority));
            let mut world = World::configured("ipp_authority = \"CHU\"");
            assert_eq!(
                outcome_text(&world.receive(&message)),
                lenient,
                "{authority}"
            );
            let mut world = World::configured("ipp_authority = \"CHU\"\nstrict_authority = true");
            assert_eq!(
                outcome_text(&world.receive(&message)),
                strict,
                "{authority}"
            );
        }
    }

    #[test]
    fn patients_are_created_and_updated() {
        for event in ["A01", "A04", "A05", "A28", "A08", "A31"] {
            let mut world = World::new();
            assert_eq!(
                outcome_text(&world.receive(&adt(event, 1, &lea("P-1")))),
                "accepted"
            );
            let again = adt(event, 2, &lea("P-1")).replace("Léa", "Lea");
            assert_eq!(outcome_text(&world.receive(&again)), "updated");
            let patient = world.patient("P-1").unwrap();
            assert_eq!(patient.given_name, "Lea");
            assert_eq!(patient.authority.unwrap().universal_id, "1.2.3");
        }
    }

    #[test]
    fn two_names_of_one_type_are_no_guess() {
        for (names, expected) in [
            ("MARTIN^Léa^^^^^L~DURAND^Léa^^^^^L", "malformed PID-5(2).1"),
            (
                "MARTIN^Léa^^^^^L~A^Léa^^^^^D~B^Léa^^^^^D",
                "malformed PID-5(3).1",
            ),
            ("LE GOFF^Léa^^^^^L~Le Goff^Léa Anne^^^^^L", "accepted"),
            ("D'ALEMBERT^Léa^^^^^L~DALEMBERT^Léa^^^^^L", "accepted"),
            ("LEGOFF^Léa^^^^^L~Le Goff^Léa Anne^^^^^L", "accepted"),
            ("MARTIN^Léa^^^^^L~DURAND^Léa^^^^^D", "accepted"),
            ("MARTIN^Léa^^^^^L~DURAND^Léa^^^^^M", "accepted"),
        ] {
            let mut world = World::new();
            let pid = format!("P-1^^^CHU^PI||{names}||1970|F");
            assert_eq!(outcome_text(&world.receive(&adt("A28", 1, &pid))), expected);
        }
    }

    #[test]
    fn other_events_are_ignored() {
        let mut world = World::new();
        for event in ["A02", "A03", "A11", "A24", "A34", "Z99"] {
            assert_eq!(
                outcome_text(&world.receive(&adt(event, 1, &lea("P-1")))),
                "ignored"
            );
        }
        assert!(world.everything().is_empty());
    }

    #[test]
    fn network_and_physician_are_read_where_the_configuration_says() {
        let pv1 = "PV1|1|O|WARD^^^^^^^^NET-1||||810102078838^Médecin^Audrey\r";
        let mut world = World::new();
        world.receive(&(adt("A01", 1, &lea("P-1")) + pv1));
        let patient = world.patient("P-1").unwrap();
        assert_eq!(patient.network.unwrap().as_str(), "NET-1");
        let physician = patient.physician.unwrap();
        assert_eq!(physician.known_rpps().unwrap().as_str(), "10102078838");
        assert_eq!(physician.name().unwrap(), "Médecin Audrey");
        world.receive(&(adt("A01", 2, &lea("P-1")) + "PV1|1|O|^^^^^^^^\"\"||||\"\"\r"));
        let patient = world.patient("P-1").unwrap();
        assert_eq!((patient.network, patient.physician), (None, None));

        let mut world =
            World::configured("[facility.fields]\nnetwork = \"PV1-10\"\nphysician = \"PV1-8\"");
        world.receive(&(adt("A01", 1, &lea("P-1")) + "PV1|1|O||||||10102078838||NET-2\r"));
        let patient = world.patient("P-1").unwrap();
        assert_eq!(patient.network.unwrap().as_str(), "NET-2");
        assert_eq!(
            patient.physician.unwrap().known_rpps().unwrap().as_str(),
            "10102078838"
        );
    }

    #[test]
    fn the_latest_counts_by_the_time_of_the_message() {
        let mut world = World::new();
        assert_eq!(
            outcome_text(&world.receive(&adt("A31", 5, &lea("P-1")))),
            "accepted"
        );
        let older = adt("A31", 4, &lea("P-1")).replace("|F", "|X");
        assert_eq!(outcome_text(&world.receive(&older)), "stale");
        let same = adt("A08", 5, &lea("P-1")).replace("MARTIN", "DUPONT");
        assert_eq!(
            outcome_text(&world.receive(&same)),
            "updated identity-changed"
        );
        assert_eq!(world.patient("P-1").unwrap().birth_name, "DUPONT");
        assert_eq!(world.patient("P-1").unwrap().usual_name, "DUPONT");
        let both = adt("A08", 6, &lea("P-1")).replace("19700102", "19700103");
        assert_eq!(
            outcome_text(&world.receive(&both)),
            "updated identity-changed"
        );
        let without = adt("A31", 7, &lea("P-1")).replace("20250401100700", "");
        assert_eq!(
            outcome_text(&world.receive(&without)),
            "missing-field MSH-7"
        );
    }

    #[test]
    fn an_empty_field_keeps_and_two_quotes_erase() {
        let full = format!(
            "P-1^^^CHU^PI~{INS}||MARTIN^Léa^^^^^L~DUPONT^Lili^^^^^D||19700102|F|||\
             1 rue X^^Paris^^75001^FRA^H||0612345678^PRN^CP~^NET^Internet^a@b.fr||||||123||||||||||||VALI"
        );
        let full = full.replace("|123||||||||||||VALI", "|123|||||||||||||VALI");
        let mut world = World::new();
        assert_eq!(
            outcome_text(&world.receive(&adt("A28", 1, &full))),
            "accepted"
        );
        let known = world.patient("P-1").unwrap();
        assert_eq!(known.identity_status.as_deref(), Some("VALI"));
        assert_eq!(known.social_security_number.as_deref(), Some("123"));
        assert_eq!(known.phone.as_ref().unwrap().as_str(), "+33612345678");
        assert_eq!(known.email.as_ref().unwrap().as_str(), "a@b.fr");
        assert_eq!(known.address.as_ref().unwrap().street, "1 rue X");
        assert_eq!(known.ins.as_ref().unwrap().oid, "1.2.250.1.213.1.4.8");
        assert_eq!(
            (known.usual_name.as_str(), known.given_name.as_str()),
            ("DUPONT", "Lili")
        );

        assert_eq!(
            outcome_text(&world.receive(&adt("A31", 2, "P-1^^^CHU^PI||^^^||||||^^^||~"))),
            "updated"
        );
        let mut kept = world.patient("P-1").unwrap();
        kept.demographics_time = known.demographics_time;
        assert_eq!(kept, known);

        let erase = format!(
            "P-1^^^CHU^PI~\"\"^^^ASIP-SANTE-INS-NIR||MARTIN^Léa^^^^^L~\"\"^\"\"^^^^^D|||||{}|{}",
            "|\"\"||\"\"|||||", "\"\"|||||||||||||\"\""
        );
        assert_eq!(
            outcome_text(&world.receive(&adt("A31", 3, &erase))),
            "updated"
        );
        let erased = world.patient("P-1").unwrap();
        assert_eq!((erased.ins, erased.phone, erased.email), (None, None, None));
        assert_eq!(
            (erased.address, erased.social_security_number),
            (None, None)
        );
        assert_eq!(erased.identity_status, None);
        assert_eq!(
            (erased.usual_name.as_str(), erased.given_name.as_str()),
            ("MARTIN", "Léa")
        );
    }

    #[test]
    fn what_is_required_cannot_be_erased() {
        let mut world = World::new();
        world.receive(&adt("A28", 1, &lea("P-1")));
        for (from, to, expected) in [
            ("MARTIN", "\"\"", "missing-field PID-5.1"),
            ("MARTIN^Léa^^^^^L", "\"\"", "missing-field PID-5.1"),
            ("Léa", "\"\"", "missing-field PID-5.2"),
            ("19700102", "\"\"", "missing-field PID-7.1"),
            ("|F", "|\"\"", "missing-field PID-8.1"),
        ] {
            for ipp in ["P-1", "P-2"] {
                let message = adt("A31", 2, &lea(ipp).replace(from, to));
                let expected = match (from, ipp) {
                    ("MARTIN^Léa^^^^^L", "P-2") => "missing-field PID-5.2",
                    _ => expected,
                };
                assert_eq!(
                    outcome_text(&world.receive(&message)),
                    expected,
                    "{from} {ipp}"
                );
            }
        }
    }

    #[test]
    fn an_ins_is_one_patients_only() {
        let mut world = World::new();
        let with_ins = |ipp: &str| {
            let lea = lea(ipp).replace("||MARTIN", &format!("~{INS}||MARTIN"));
            format!("{lea}{VERIFIED}")
        };
        world.receive(&adt("A28", 1, &with_ins("P-1")));
        assert_eq!(
            outcome_text(&world.receive(&adt("A28", 1, &with_ins("P-2")))),
            "accepted ins-duplicate"
        );
        assert_eq!(world.patient("P-2").unwrap().ins, None);
        assert_eq!(
            outcome_text(&world.receive(&adt("A31", 2, &with_ins("P-1")))),
            "updated"
        );
        let wrong = with_ins("P-1").replace("518989", "518980");
        assert_eq!(
            outcome_text(&world.receive(&adt("A31", 3, &wrong))),
            "updated ins-invalid"
        );
        assert!(world.patient("P-1").unwrap().ins.is_some());
    }

    #[test]
    fn everything_of_the_old_ipp_moves() {
        let mut world = World::new();
        world.session("S-1", "2025-04-15", "PATH", "");
        world.receive(&adt(
            "A28",
            1,
            &(lea("OLD").replace("||MARTIN", &format!("~{INS}||MARTIN")) + VERIFIED),
        ));
        let siu = |case: &str, date: &str, ipp: &str| {
            format!(
                "MSH|^~\\&|||||20250401||SIU^S12|1|P|2.5\rSCH||{case}|||||||||^^^{date}\r\
                 PID|1||{}\rAIL|1||^^^PATH\rAIP|1||10100094977\r",
                lea(ipp)
            )
        };
        world.receive(&siu("C-1", "20250415", "OLD"));
        world.receive(&siu("C-2", "20250416", "OLD"));
        let facility = world.facility.id.clone();
        world.put([
            Record::Note(Note {
                id: NoteId::new("N"),
                facility: facility.clone(),
                ipp: Ipp::new("OLD"),
                case: None,
                reason: NoteReason::NoCase,
                documents: vec![DocumentId::new("D")],
            }),
            Record::Document(Document {
                facility: facility.clone(),
                ipp: Ipp::new("OLD"),
                id: DocumentId::new("D"),
                attached: AttachmentPlace::Note(NoteId::new("N")),
                kind: DocumentKind::Document,
                unique_ids: vec!["U".to_owned()],
                awaits: Some(CaseId::new("C-3")),
                latest: None,
                versions: Vec::new(),
                deleted: false,
                deletion_time: None,
            }),
        ]);
        // The merge is older than what is known: it counts, its demographics do not matter.
        assert_eq!(
            outcome_text(&world.receive(&merge(0, &[("NEW", "OLD")]))),
            "accepted"
        );
        let new = Ipp::new("NEW");
        assert_eq!(
            world.view().survivor(&facility, &Ipp::new("OLD")).unwrap(),
            new
        );
        assert_eq!(
            world
                .view()
                .cases_of_patient(&facility, &new)
                .unwrap()
                .len(),
            2
        );
        assert_eq!(world.notes("NEW").len(), 2);
        assert_eq!(
            world
                .view()
                .documents_of_patient(&facility, &new)
                .unwrap()
                .len(),
            2
        );
        assert_eq!(world.notes("OLD"), world.notes("NEW"), "both lead to one");
        assert_eq!(world.patient("OLD"), None, "an alias is no patient");
        let ins = Ins {
            value: "279035121518989".into(),
            oid: "1.2.250.1.213.1.4.8".into(),
        };
        assert_eq!(
            world.view().patients_with_ins(&facility, &ins).unwrap(),
            [new]
        );

        // Messages that still carry the old IPP reach the survivor.
        assert_eq!(
            outcome_text(&world.receive(&siu("C-3", "20250415", "OLD"))),
            "accepted"
        );
        let case = world.case("C-3").unwrap();
        assert_eq!(case.ipp, Some(Ipp::new("NEW")));
        assert_eq!(world.documents_of("C-3"), [DocumentId::new("D")]);
        assert_eq!(world.notes("NEW").len(), 1);
        assert_eq!(
            outcome_text(&world.receive(&adt("A31", 9, &lea("OLD")))),
            "ignored merged-ipp"
        );
        assert_eq!(
            world
                .view()
                .document(&facility, &DocumentId::new("D"))
                .unwrap()
                .unwrap()
                .attached,
            AttachmentPlace::Case(CaseId::new("C-3"))
        );
    }

    /// A document names a case of a patient under another IPP: it joins when a merge brings both together.
    #[test]
    fn documents_and_cases_find_each_other_by_the_merge() {
        for (document_of, case_of) in [("OLD", "NEW"), ("NEW", "OLD"), ("OLD", "OTHER")] {
            for (claim, hint) in [("", "C-1"), ("C-1", "")] {
                let mut world = World::new();
                world.session("S-1", "2025-04-15", "PATH", "");
                for ipp in ["OLD", "NEW", "OTHER"] {
                    world.receive(&adt("A28", 1, &lea(ipp)));
                }
                let document = format!(
                    "MSH|^~\\&|||||20250402||MDM^T02|1|P|2.5\rPID|1||{document_of}^^^^PI\rORC|RE|{hint}\r\
                     TXA|1|CR||||||||||||{claim}\rOBX|1|ED|CR||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F\r"
                );
                let warned = outcome_text(&world.receive(&document));
                assert!(warned.starts_with("accepted"), "{warned}");
                let case = format!(
                    "MSH|^~\\&|||||20250401||SIU^S12|1|P|2.5\rSCH||C-1|||||||||^^^20250415\r\
                     PID|1||{}\rAIL|1||^^^PATH\rAIP|1||10100094977\r",
                    lea(case_of)
                );
                assert_eq!(outcome_text(&world.receive(&case)), "accepted");
                assert!(world.documents_of("C-1").is_empty());
                assert_eq!(world.notes(document_of).len(), 1);

                let merged = merge(2, &[("NEW", "OLD"), ("NEW", "OTHER")]);
                assert_eq!(outcome_text(&world.receive(&merged)), "updated");
                let case = world.case("C-1").unwrap();
                assert_eq!(case.ipp, Some(Ipp::new("NEW")));
                let [id] = &world.documents_of("C-1")[..] else {
                    panic!("{document_of} {case_of} {claim} {hint}")
                };
                let document = world.view().document(&case.facility, id).unwrap().unwrap();
                assert_eq!(document.ipp, Ipp::new("NEW"));
                assert_eq!(document.attached, AttachmentPlace::Case(case.id));
                for ipp in ["OLD", "NEW", "OTHER"] {
                    assert!(world.notes(ipp).is_empty(), "{ipp}");
                }
                let left = world.everything();
                let dangling = left.iter().find(|(key, _)| {
                    key.starts_with("patient-note/") || key.starts_with("awaiting/")
                });
                assert_eq!(dangling, None);
            }
        }
    }

    #[test]
    fn merges_make_chains_and_no_circles() {
        let survivor = |world: &World, ipp: &str| {
            let ipp = world
                .view()
                .survivor(&world.facility.id, &Ipp::new(ipp))
                .unwrap();
            ipp.as_str().to_owned()
        };
        for messages in [
            vec![merge(1, &[("B", "A")]), merge(2, &[("C", "B")])],
            vec![merge(1, &[("B", "A"), ("C", "B")])],
            vec![merge(1, &[("C", "B"), ("B", "A")])],
            vec![merge(2, &[("C", "B")]), merge(1, &[("B", "A")])],
        ] {
            let mut world = World::new();
            for message in &messages {
                let told = outcome_text(&world.receive(message));
                assert!(
                    told.starts_with("accepted") || told == "updated merged-ipp",
                    "{told}"
                );
            }
            for ipp in ["A", "B", "C"] {
                assert_eq!(survivor(&world, ipp), "C");
            }
            assert!(world.patient("C").is_some());
            let before = world.everything();
            for (new, old) in [("A", "C"), ("B", "C"), ("C", "C")] {
                let outcome = world.receive(&merge(3, &[(new, old)]));
                assert_eq!(outcome_text(&outcome), "merge-cycle MRG-1.1", "{new} {old}");
            }
            let circle = merge(3, &[("D", "C"), ("C", "D")]);
            assert_eq!(
                outcome_text(&world.receive(&circle)),
                "merge-cycle MRG(2)-1.1"
            );
            assert_eq!(world.everything(), before);
            assert_eq!(
                outcome_text(&world.receive(&merge(4, &[("C", "A")]))),
                "updated"
            );
        }
    }

    #[test]
    fn a_merge_is_never_stale_but_its_demographics_are() {
        let mut world = World::new();
        world.receive(&adt("A28", 5, &lea("NEW").replace("MARTIN", "DUPONT")));
        assert_eq!(
            outcome_text(&world.receive(&merge(4, &[("NEW", "OLD")]))),
            "updated"
        );
        assert_eq!(world.patient("NEW").unwrap().birth_name, "DUPONT");
        let ipp = world
            .view()
            .survivor(&world.facility.id, &Ipp::new("OLD"))
            .unwrap();
        assert_eq!(ipp.as_str(), "NEW");
        assert_eq!(
            outcome_text(&world.receive(&merge(6, &[("NEW", "OLD")]))),
            "updated identity-changed"
        );
        assert_eq!(world.patient("NEW").unwrap().birth_name, "MARTIN");
    }

    #[test]
    fn a_survivor_inherits_an_ins_only_where_nothing_is_said_against_it() {
        for (status, inherits) in [
            ("", true),
            ("VALI", true),
            ("VALI~HOMD", true),
            ("PROV", false),
            ("PROV~VALI", false),
            ("VALI~DOUT", false),
            ("CACH", false),
        ] {
            let mut world = World::new();
            let old = with_status(&format!("~{INS}"), "VALI").replace("P-1^", "OLD^");
            world.receive(&adt("A28", 1, &old));
            world.receive(&adt("A28", 1, &with_status("", status)));
            let expected = match inherits {
                true => "updated",
                false => "updated ins-unverified",
            };
            let outcome = world.receive(&merge(2, &[("P-1", "OLD")]));
            assert_eq!(outcome_text(&outcome), expected, "{status}");
            assert_eq!(ins_of(&world).is_some(), inherits, "{status}");
        }
    }

    #[test]
    fn both_may_have_the_same_ins() {
        let mut world = World::new();
        let with_ins = lea("OLD").replace("||MARTIN", &format!("~{INS}||MARTIN")) + VERIFIED;
        world.receive(&adt("A28", 1, &with_ins));
        world.receive(&adt("A28", 1, &lea("NEW")));
        let message = merge(2, &[("NEW", "OLD")])
            .replace("||MARTIN", &format!("~{INS}||MARTIN"))
            .replace("|F\r", &format!("|F{VERIFIED}\r"));
        assert_eq!(outcome_text(&world.receive(&message)), "updated");
        assert!(world.patient("NEW").unwrap().ins.is_some());
    }

    #[test]
    fn a_merge_needs_its_segments() {
        let whole = merge(1, &[("B", "A"), ("D", "C")]);
        for (from, to, expected) in [
            ("MRG|C", "ZRG|C", "missing-segment MRG"),
            ("PID|", "ZID|", "missing-segment PID"),
            ("PID|1||D", "ZID|1||D", "malformed MRG(2)"),
            ("MRG|A^", "MRG|^", "missing-ipp MRG-1"),
            ("MRG|C^", "MRG|^", "missing-ipp MRG(2)-1"),
            ("MARTIN", "", "missing-field PID-5.1"),
            ("MRG|A^^^CHU^PI", "MRG|A^^^CHU", "accepted ipp-untyped"),
        ] {
            let mut world = World::new();
            let outcome = world.receive(&whole.replace(from, to));
            assert_eq!(outcome_text(&outcome), expected, "{from} → {to}");
        }
    }

    #[test]
    fn a_merge_of_several_leaves_network_and_physician_alone() {
        let visit = "PV1|1|O|^^^^^^^^NET||||10102078838\r";
        let mut world = World::new();
        world.receive(&(merge(1, &[("B", "A"), ("D", "C")]) + visit));
        for ipp in ["B", "D"] {
            assert_eq!(world.patient(ipp).unwrap().network, None);
            assert_eq!(world.patient(ipp).unwrap().physician, None);
        }
        world.receive(&(merge(2, &[("B", "A")]) + visit));
        assert_eq!(world.patient("B").unwrap().network.unwrap().as_str(), "NET");
        assert!(world.patient("B").unwrap().physician.is_some());
    }
}
