//! The flow on documents made from one whole document by exchanging single parts of it.

use proptest::prelude::*;

use super::*;
use crate::intake::testing::{World, outcome_text};
use crate::model::document::{AttachmentPlace, ContentType, DocumentKind};
use crate::model::identifiers::{Ipp, NetworkId, PathwayId, SessionId};
use crate::model::note::NoteReason;
use crate::model::outcome::Outcome;
use crate::model::patient::Patient;
use crate::model::questionnaire::FilledQuestionnaire;
use crate::model::session::SessionState;
use crate::store::PendingChanges;

const WHOLE: &str = include_str!("../../../fixtures/cda/meeting.xml");

/// The whole document with parts exchanged.
fn with(changes: &[(&str, &str)]) -> String {
    changes
        .iter()
        .fold(WHOLE.to_owned(), |document, (from, to)| {
            assert!(document.contains(from), "{from}");
            document.replace(from, to)
        })
}

/// The whole document with what stands from one text to the end of another exchanged.
fn between(document: &str, from: &str, to: &str, by: &str) -> String {
    let start = document.find(from).unwrap();
    let end = start + document[start..].find(to).unwrap() + to.len();
    format!("{}{by}{}", &document[..start], &document[end..])
}

fn without(from: &str, to: &str) -> String {
    between(WHOLE, from, to, "")
}

fn world() -> World {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "THORAX", "FAM");
    world
}

fn case(world: &World) -> Case {
    world.case("CASE-77").unwrap()
}

fn patient(world: &World) -> Patient {
    world.patient("P-77").unwrap()
}

/// A document of another time and version.
fn at(set: &str, version: &str, time: &str) -> String {
    with(&[
        ("<setId root=\"1.2.250.1.999.7\" extension=\"DOC-1\"/>", set),
        ("<versionNumber value=\"1\"/>", version),
        ("20250403101500+0200", time),
    ])
}

fn siu(trigger: &str, time: &str, date: &str, pathway: &str) -> String {
    format!(
        "MSH|^~\\&|||||{time}||SIU^{trigger}|1|P|2.5\r\
         SCH||CASE-77|||||||||^^^{date}\r\
         PID|1||P-77^^^^PI||LE GOFF^Rose^^^^^L||19600214|F\r\
         AIL|1||^^^{pathway}\rAIP|1||10100094977^SIU^Anne\r"
    )
}

#[test]
fn a_whole_document_is_scheduled_with_everything() {
    let mut world = World::configured(
        "ipp_oid = \"1.2.250.1.999.1\"\n[facility.cda]\nnetwork_root = \"1.2.250.1.999.3\"",
    );
    world.session("S-1", "2025-04-15", "THORAX", "");
    assert_eq!(outcome_text(&world.receive_cda(WHOLE)), "accepted");
    let case = case(&world);
    assert_eq!(case.state, CaseState::Scheduled(SessionId::new("S-1")));
    assert_eq!(case.ipp, Some(Ipp::new("P-77")));
    let submitter = case.submitter.unwrap();
    assert_eq!(submitter.known_rpps().unwrap().as_str(), "10100094977");
    assert_eq!(submitter.name().unwrap(), "DEMANDE Julie");
    let lead = case.lead.unwrap();
    assert_eq!(lead.known_rpps().unwrap().as_str(), "10102078838");
    assert_eq!(lead.name().unwrap(), "CHEF Marc");
    assert_eq!(case.network, Some(NetworkId::new("PNEUMO")));
    assert_eq!(case.pathway, Some(PathwayId::new("THORAX")));
    assert_eq!(case.date.unwrap().to_string(), "2025-04-15");
    assert!(case.has_questionnaire && case.scheduling_warnings.is_empty());

    let patient = patient(&world);
    assert_eq!(patient.birth_name, "LE GOFF");
    assert_eq!(patient.usual_name, "GARNIER");
    assert_eq!(patient.given_name, "Rosie");
    assert_eq!(patient.birth_given_name.as_deref(), Some("Rose"));
    assert_eq!(patient.sex.code(), "F");
    assert_eq!(patient.birth_date.to_string(), "1960-02-14");
    assert_eq!(patient.phone.unwrap().as_str(), "+33612345678");
    assert_eq!(patient.email.unwrap().as_str(), "rose.garnier@example.fr");
    let address = patient.address.unwrap();
    assert_eq!(address.street, "3 Rue des Lilas");
    assert_eq!(
        (
            address.postal_code.as_str(),
            address.city.as_str(),
            address.country.as_str()
        ),
        ("44000", "Nantes", "FRANCE")
    );
    assert_eq!(patient.authority.unwrap().universal_id, "1.2.250.1.999.1");
    assert_eq!(patient.network, Some(NetworkId::new("PNEUMO")));
    assert_eq!(patient.demographics_time, None);

    let documents = world.documents_of("CASE-77");
    let [document] = documents.as_slice() else {
        panic!("{documents:?}");
    };
    let document = world
        .view()
        .document(&world.facility.id, document)
        .unwrap()
        .unwrap();
    assert_eq!(document.kind, DocumentKind::Document);
    let current = document.current().unwrap();
    assert_eq!(current.content_type, ContentType::Cda);
    assert_eq!(current.file_name, "CDA_CASE-77.xml");
    assert_eq!(world.contents[&current.sha256], WHOLE.as_bytes());
    assert_eq!(outcome_text(&world.receive_cda(WHOLE)), "duplicate");
}

#[test]
fn every_datum_is_read_from_its_place_or_refused() {
    let rpps = "<id root=\"1.2.250.1.71.4.2.1\" extension=\"810100094977\"/><associatedPerson><name><given>Julie";
    let no_rpps = "<id nullFlavor=\"UNK\"/><associatedPerson><name><given>Julie";
    let low = "<low value=\"20250415140000+0200\"/></effectiveTime>\n    </enc";
    let order = "<id root=\"1.2.250.1.999.9\" extension=\"CASE-77\"/>";
    let ipp = "<id root=\"1.2.250.1.999.1\" extension=\"P-77\"/>";
    let ins = "<id root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"/>";
    let birth =
        "<family qualifier=\"BR\">LE GOFF</family><family qualifier=\"SP CL\">GARNIER</family>";
    let address = "<houseNumber>3</houseNumber>";
    for (from, to, expected) in [
        ("34794-8", "11488-4", "unsupported-document code"),
        (
            "<code code=\"34794-8\"",
            "<code nullFlavor=\"UNK\" xcode=\"34794-8\"",
            "unsupported-document code",
        ),
        ("extension=\"CASE-77\"", "nullFlavor=\"NI\"", "accepted"),
        (
            "<effectiveTime value=\"20250403101500+0200\"/>",
            "",
            "accepted",
        ),
        (
            "20250403101500+0200",
            "yesterday",
            "invalid-date effectiveTime",
        ),
        (
            rpps,
            no_rpps,
            "missing-field participant[@typeCode='REFB']/associatedEntity/id",
        ),
        (
            "\"810100094977\"/><associated",
            "\"12345\"/><associated",
            "accepted rpps-invalid",
        ),
        (
            "<id root=\"1.2.250.1.71.4.2.1\" extension=\"810102078838\"/><associatedPerson><name><prefix>",
            "<associatedPerson><name><prefix>",
            "missing-field participant[@typeCode='RESP']/associatedEntity/id",
        ),
        (
            "<encompassingEncounter>",
            "<encompassingEncounter nullFlavor=\"NI\">",
            "missing-field componentOf/encompassingEncounter/id",
        ),
        (
            low,
            "<low value=\"soon\"/></effectiveTime>\n    </enc",
            "invalid-date componentOf/encompassingEncounter/effectiveTime",
        ),
        (
            low,
            "<low value=\"202504\"/></effectiveTime>\n    </enc",
            "invalid-date componentOf/encompassingEncounter/effectiveTime",
        ),
        (ipp, "", "missing-ipp recordTarget/patientRole/id"),
        (
            ipp,
            "<id root=\"1.2.250.1.999.1\"/>",
            "missing-ipp recordTarget/patientRole/id",
        ),
        (
            ins,
            "<id root=\"9.9\" extension=\"P-78\"/>",
            "ambiguous-ipp recordTarget/patientRole/id",
        ),
        (ins, "<id root=\"9.9\" extension=\"P-77\"/>", "accepted"),
        (
            ins,
            "<id root=\"1.2.250.1.213.1.4.8\" extension=\"279035121518988\"/>",
            "accepted ins-invalid",
        ),
        (
            ins,
            "<id root=\"1.2.250.1.213.1.4.10\" extension=\"279035121518989\"/>",
            "accepted",
        ),
        (
            birth,
            "<family qualifier=\"CL\">GARNIER</family>",
            "missing-field recordTarget/patientRole/patient/name/family",
        ),
        (birth, "<family>LE GOFF</family>", "accepted"),
        (
            birth,
            "<family>A</family><family>B</family>",
            "missing-field recordTarget/patientRole/patient/name/family",
        ),
        (
            "<family qualifier=\"BR\">",
            "<family qualifier=\"BR\" nullFlavor=\"UNK\">",
            "missing-field recordTarget/patientRole/patient/name/family",
        ),
        (
            "<name><given>Rose Marie</given><given qualifier=\"BR\">Rose</given><given qualifier=\"CL\">Rosie</given>",
            "<name>",
            "missing-field recordTarget/patientRole/patient/name/given",
        ),
        (
            "<administrativeGenderCode code=\"F\"",
            "<administrativeGenderCode code=\"UN\"",
            "sex-not-supported recordTarget/patientRole/patient/administrativeGenderCode/@code",
        ),
        (
            "<administrativeGenderCode code=\"F\"",
            "<administrativeGenderCode nullFlavor=\"UNK\"",
            "missing-field recordTarget/patientRole/patient/administrativeGenderCode/@code",
        ),
        (
            "<birthTime value=\"19600214\"/>",
            "",
            "missing-field recordTarget/patientRole/patient/birthTime/@value",
        ),
        (
            "19600214",
            "14/02/1960",
            "invalid-date recordTarget/patientRole/patient/birthTime/@value",
        ),
        ("19600214", "196002", "accepted"),
        (
            "tel:0612345678",
            "tel:0000000000",
            "invalid-phone recordTarget/patientRole/telecom",
        ),
        (
            "tel:0612345678\" use=\"MC",
            "tel:0000000000\" use=\"XX",
            "accepted",
        ),
        ("tel:0612345678", "tel:", "accepted"),
        (
            "rose.garnier@example.fr",
            "rose@example",
            "invalid-email recordTarget/patientRole/telecom",
        ),
        (
            "<country>FRANCE</country></addr>\n      <telecom",
            "</addr>\n      <telecom",
            "accepted address-partial",
        ),
        (address, "", "accepted"),
        (
            "<confidentialityCode code=\"N\"",
            "<!DOCTYPE a><confidentialityCode code=\"N\"",
            "xml-doctype line 10, column 3",
        ),
    ] {
        let mut world = world();
        let before = world.everything();
        let outcome = world.receive_cda(&with(&[(from, to)]));
        assert_eq!(outcome_text(&outcome), expected, "{from} → {to}");
        if outcome.refusal().is_some() {
            assert_eq!(world.everything(), before);
        }
    }
    let mut world = world();
    let no_order = with(&[(order, "")]);
    let no_set = between(&no_order, "<setId", "/>", "");
    assert_eq!(
        outcome_text(&world.receive_cda(&no_set)),
        "missing-field inFulfillmentOf/order/id"
    );
    let no_date = with(&[(
        "<low value=\"20250415140000+0200\"/>",
        "<low nullFlavor=\"UNK\"/>",
    )]);
    let expected = "missing-field componentOf/encompassingEncounter/effectiveTime";
    assert_eq!(outcome_text(&world.receive_cda(&no_date)), expected);
    for (from, expected) in [
        (
            "<participant typeCode=\"REFB\">",
            "missing-field participant[@typeCode='REFB']/associatedEntity/id",
        ),
        (
            "<participant typeCode=\"RESP\">",
            "missing-field participant[@typeCode='RESP']/associatedEntity/id",
        ),
    ] {
        let mut nobody = between(WHOLE, "<author>", "</author>", "");
        nobody = between(&nobody, "<legalAuthenticator>", "</legalAuthenticator>", "");
        nobody = between(&nobody, from, "</participant>", "");
        assert_eq!(outcome_text(&world.receive_cda(&nobody)), expected);
    }
}

#[test]
fn what_is_absent_is_read_from_its_other_place() {
    let read = |document: &str| {
        let mut world = world();
        let outcome = outcome_text(&world.receive_cda(document));
        assert!(outcome.starts_with("accepted"), "{outcome}");
        world
    };
    // The case id: the order's, its root where it has no extension, else that of the set.
    for (order, id) in [
        ("<id root=\"2CE7-1\"/>", "2CE7-1"),
        (
            "<id nullFlavor=\"NI\"/><id root=\"9\" extension=\"E\"/>",
            "E",
        ),
        ("", "DOC-1"),
    ] {
        let world = read(&with(&[(
            "<id root=\"1.2.250.1.999.9\" extension=\"CASE-77\"/>",
            order,
        )]));
        assert!(world.case(id).is_some(), "{id}");
    }
    let no_refb = without("<participant typeCode=\"REFB\">", "</participant>");
    let submitter = case(&read(&no_refb)).submitter.unwrap();
    assert_eq!(submitter.name().unwrap(), "AUTEUR Anne");
    let no_resp = without("<participant typeCode=\"RESP\">", "</participant>");
    assert_eq!(
        case(&read(&no_resp)).lead.unwrap().name().unwrap(),
        "SIGNATAIRE Louis"
    );
    let encounter =
        "<effectiveTime><low value=\"20250415140000+0200\"/></effectiveTime>\n    </enc";
    for by in [
        "<effectiveTime value=\"20250415\"/></enc",
        "<effectiveTime nullFlavor=\"UNK\"/></enc",
        "<effectiveTime><low nullFlavor=\"UNK\"/></effectiveTime></enc",
        "</enc",
    ] {
        let world = read(&with(&[(encounter, by)]));
        assert_eq!(case(&world).date.unwrap().to_string(), "2025-04-15", "{by}");
    }
    // The date is that which is written, wherever it would be midnight.
    let late = with(&[(
        encounter,
        "<effectiveTime value=\"20250415233000-1000\"/></enc",
    )]);
    assert_eq!(case(&read(&late)).date.unwrap().to_string(), "2025-04-15");

    for (given, name) in [
        (
            "<given>Rose Marie</given><given qualifier=\"BR\">Rose</given>",
            "Rose",
        ),
        ("<given>Rose Marie</given>", "Rose Marie"),
        (
            "<given qualifier=\"XX BR\">R</given><given qualifier=\"CL XX\">C</given>",
            "C",
        ),
        (
            "<given qualifier=\"CL\" nullFlavor=\"UNK\"/><given> R\n M </given>",
            "R M",
        ),
    ] {
        let document = between(WHOLE, "<given>Rose Marie", "Rosie</given>", given);
        assert_eq!(patient(&read(&document)).given_name, name);
    }
    for (family, usual) in [
        ("<family qualifier=\"BR\">LE GOFF</family>", "LE GOFF"),
        (
            "<family qualifier=\"BR\">LE GOFF</family><family qualifier=\"SP\">S</family>",
            "S",
        ),
        (
            "<family qualifier=\"BR\">LE GOFF</family><family qualifier=\"SP\">S</family><family qualifier=\"CL\">C</family>",
            "C",
        ),
        ("<family>LE GOFF</family>", "LE GOFF"),
    ] {
        let document = between(
            WHOLE,
            "<family qualifier=\"BR\">",
            "GARNIER</family>",
            family,
        );
        let patient = patient(&read(&document));
        assert_eq!(
            (patient.birth_name.as_str(), patient.usual_name.as_str()),
            ("LE GOFF", usual)
        );
    }
    for (telecoms, phone) in [
        (
            "<telecom value=\"tel:0240000001\" use=\"WP\"/><telecom value=\"tel:0240000003\" use=\"HP\"/>",
            Some("+33240000003"),
        ),
        (
            "<telecom value=\"tel:0240000001\" use=\"WP\"/><telecom value=\"TEL:+33-240000003\" use=\"WP H\"/>",
            Some("+33240000003"),
        ),
        (
            "<telecom value=\"tel:0240000001\"/><telecom value=\"tel:0240000003\" use=\"WP\"/>",
            Some("+33240000001"),
        ),
        (
            "<telecom nullFlavor=\"UNK\" value=\"tel:1\"/><telecom nullFlavor=\"NASK\"/>",
            None,
        ),
        ("<telecom value=\"http://x.fr\"/>", None),
        ("", None),
    ] {
        let document = between(WHOLE, "<telecom", "use=\"MC\"/>", telecoms);
        let found = patient(&read(&document)).phone;
        assert_eq!(
            found.as_ref().map(|phone| phone.as_str()),
            phone,
            "{telecoms}"
        );
    }
    for (addresses, street) in [
        (
            "<addr><streetAddressLine>1 rue A</streetAddressLine><streetAddressLine>Bât B</streetAddressLine><postalCode>1</postalCode><city>C</city><country>F</country></addr>",
            Some("1 rue A Bât B"),
        ),
        (
            "<addr use=\"WP\"><streetName>W</streetName><postalCode>1</postalCode><city>C</city><country>F</country></addr><addr use=\"HP H\"><streetName>H</streetName><postalCode>1</postalCode><city>C</city><country>F</country></addr>",
            Some("H"),
        ),
        ("<addr/>", None),
        ("<addr nullFlavor=\"UNK\"><city>C</city></addr>", None),
    ] {
        let document = between(WHOLE, "<addr nullFlavor", "</addr>", addresses);
        let found = patient(&read(&document))
            .address
            .map(|address| address.street);
        assert_eq!(found.as_deref(), street, "{addresses}");
    }
    // What stands besides number and street is the complement, each part once.
    let street = "<houseNumber>3</houseNumber><streetName>rue A</streetName>";
    for (parts, complement) in [
        (
            "<additionalLocator>Bât B</additionalLocator>",
            Some("Bât B"),
        ),
        (
            "<careOf>Chez Paul</careOf><unitType>Escalier</unitType><unitID>A</unitID><unitID/>",
            Some("Chez Paul, Escalier A"),
        ),
        (
            "<unitType>Rez-de-chaussée</unitType>",
            Some("Rez-de-chaussée"),
        ),
        (
            "<streetAddressLine>3 RUE A</streetAddressLine><streetAddressLine>Bât B</streetAddressLine>",
            Some("Bât B"),
        ),
        (
            "<postBox>BP 12</postBox><unitID nullFlavor=\"NI\">x</unitID>",
            Some("BP 12"),
        ),
        ("", None),
    ] {
        let address = format!(
            "<addr use=\"H\">{parts}{street}<postalCode>1</postalCode><city>C</city><country>France</country></addr>"
        );
        let document = between(WHOLE, "<addr nullFlavor", "</addr>", &address);
        let found = patient(&read(&document)).address.unwrap();
        assert_eq!(found.street, "3 rue A", "{parts}");
        assert_eq!(found.complement.as_deref(), complement, "{parts}");
        assert_eq!(crate::model::country::code(&found.country), Some("FRA"));
    }
    // Nothing that is written is lost, whatever it stands in, and nothing is said twice.
    for (parts, street, complement) in [
        (
            "<houseNumber>3</houseNumber><houseNumberSuffix>bis</houseNumberSuffix><streetNameType>rue</streetNameType><streetNameBase>A</streetNameBase>",
            "3 bis rue A",
            None,
        ),
        (
            "<houseNumberNumeric>3</houseNumberNumeric><buildingNumberSuffix>B</buildingNumberSuffix><direction>N</direction><streetName>rue A</streetName>",
            "3 B N rue A",
            None,
        ),
        (
            "<houseNumber>3</houseNumber><streetAddressLine>rue A</streetAddressLine>",
            "3 rue A",
            None,
        ),
        (
            "<houseNumber>3</houseNumber><streetAddressLine>3, rue A</streetAddressLine><unitID>12</unitID>",
            "3, rue A",
            Some("12"),
        ),
        (
            "<streetAddressLine>3 bis rue A</streetAddressLine><streetAddressLine>Hameau B</streetAddressLine><houseNumber>3</houseNumber><streetName>rue A</streetName>",
            "3 bis rue A",
            Some("Hameau B"),
        ),
        (
            "<streetAddressLine>3, rue A</streetAddressLine><houseNumber>3</houseNumber><streetName>rue A</streetName>",
            "3 rue A",
            None,
        ),
        (
            "<streetAddressLine>Chez Paul</streetAddressLine><houseNumber>3</houseNumber><streetName>rue A</streetName><state>IDF</state><county>Seine</county><censusTract>7</censusTract>",
            "3 rue A",
            Some("Chez Paul, IDF, Seine, 7"),
        ),
        (
            "<deliveryAddressLine>Poste restante</deliveryAddressLine><deliveryMode>CEDEX</deliveryMode><deliveryModeIdentifier>9</deliveryModeIdentifier>",
            "Poste restante",
            Some("CEDEX, 9"),
        ),
        (
            "<streetName>rue A</streetName><delimiter>, </delimiter>lieu-dit B<city>c</city><city>D</city>",
            "rue A",
            Some("lieu-dit B, D"),
        ),
    ] {
        let address = format!(
            "<addr use=\"H\"><postalCode>1</postalCode><city>C</city>{parts}<country>France</country></addr>"
        );
        let document = between(WHOLE, "<addr nullFlavor", "</addr>", &address);
        let found = patient(&read(&document)).address.unwrap();
        assert_eq!(found.street, street, "{parts}");
        assert_eq!(found.complement.as_deref(), complement, "{parts}");
        assert_eq!(found.city, "C");
    }
    // However many parts there are, none is lost.
    let many: Vec<String> = (0..5_000).map(|it| format!("Bât {it}")).collect();
    let parts: String = many
        .iter()
        .map(|it| format!("<additionalLocator>{it}</additionalLocator>"))
        .collect();
    let address = format!(
        "<addr use=\"H\"><streetName>A</streetName><postalCode>1</postalCode><city>C</city><country>F</country>{parts}</addr>"
    );
    let document = between(WHOLE, "<addr nullFlavor", "</addr>", &address);
    let found = patient(&read(&document)).address.unwrap();
    assert_eq!(found.complement, Some(many.join(", ")));
    let ins = with(&[(
        "<id root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"/>",
        "<id root=\"1.2.250.1.213.1.4.10\" extension=\"279035121518989\"/>",
    )]);
    let ins = patient(&read(&ins)).ins.unwrap();
    assert_eq!(
        (ins.value.as_str(), ins.oid.as_str()),
        ("279035121518989", "1.2.250.1.213.1.4.10")
    );
}

#[test]
fn the_configuration_is_followed() {
    for (configuration, id) in [
        ("[facility.cda]\ncase_id = [\"setId\", \"order\"]", "DOC-1"),
        ("[facility.cda]\ncase_id = [\"order\"]", "CASE-77"),
    ] {
        let mut world = World::configured(configuration);
        world.receive_cda(WHOLE);
        assert!(world.case(id).is_some(), "{configuration}");
    }
    let mut world = World::configured("[facility.cda]\ndocument_codes = [\"A\", \"34794-8\"]");
    assert!(outcome_text(&world.receive_cda(WHOLE)).starts_with("accepted"));
    let mut world = World::configured("[facility.cda]\ndocument_codes = [\"A\"]");
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE)),
        "unsupported-document code"
    );
    let several = with(&[(
        "<id root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"/>",
        "<id root=\"9.9\" extension=\"X\"/>",
    )]);
    let mut world = World::configured("ipp_oid = \"9.9\"");
    world.receive_cda(&several);
    assert!(world.patient("X").is_some());
    let mut world = World::configured("ipp_oid = \"8.8\"");
    assert_eq!(
        outcome_text(&world.receive_cda(&several)),
        "missing-ipp recordTarget/patientRole/id"
    );
}

/// Sessions, each with its id, date, pathway and family.
type Sessions<'a> = &'a [(&'a str, &'a str, &'a str, &'a str)];

#[test]
fn the_session_is_searched_by_its_id_then_by_pathway_then_by_family() {
    let cases: &[(Sessions<'_>, &str, &str, &str)] = &[
        (&[], "accepted session-not-found", "", "THORAX"),
        (
            &[
                ("S-THORAX-15", "2025-04-15", "X", ""),
                ("S-1", "2025-04-15", "THORAX", ""),
            ],
            "accepted",
            "S-THORAX-15",
            "S-THORAX-15",
        ),
        (
            &[
                ("S-THORAX-15", "2025-04-16", "X", ""),
                ("S-1", "2025-04-15", "THORAX", ""),
            ],
            "accepted session-date-mismatch",
            "S-1",
            "THORAX",
        ),
        (
            &[("S-THORAX-15", "2025-04-16", "X", "")],
            "accepted session-date-mismatch session-not-found",
            "",
            "THORAX",
        ),
        (
            &[
                ("S-1", "2025-04-15", "4401", ""),
                ("S-2", "2025-04-15", "THORAX", ""),
            ],
            "accepted",
            "S-1",
            "4401",
        ),
        (
            &[
                ("S-1", "2025-04-15", "4401", ""),
                ("S-2", "2025-04-15", "4401", ""),
                ("S-3", "2025-04-15", "THORAX", ""),
            ],
            "accepted",
            "S-3",
            "THORAX",
        ),
        (
            &[
                ("S-1", "2025-04-15", "", "4401"),
                ("S-2", "2025-04-15", "THORAX", ""),
            ],
            "accepted",
            "S-2",
            "THORAX",
        ),
        (
            &[
                ("S-1", "2025-04-15", "", "4401"),
                ("S-2", "2025-04-15", "", "THORAX"),
            ],
            "accepted",
            "S-1",
            "4401",
        ),
        (
            &[("S-1", "2025-04-15", "S-THORAX-15", "")],
            "accepted",
            "S-1",
            "S-THORAX-15",
        ),
        (
            &[
                ("S-1", "2025-04-15", "THORAX", ""),
                ("S-2", "2025-04-15", "THORAX", ""),
            ],
            "accepted session-ambiguous",
            "",
            "THORAX",
        ),
        (
            &[("S-1", "2025-04-16", "THORAX", "")],
            "accepted session-not-found",
            "",
            "THORAX",
        ),
    ];
    for (sessions, expected, session, pathway) in cases {
        let mut world = World::new();
        for (id, date, pathway, family) in *sessions {
            world.session(id, date, pathway, family);
        }
        assert_eq!(outcome_text(&world.receive_cda(WHOLE)), *expected);
        let case = case(&world);
        let found = case
            .state
            .session()
            .map(SessionId::as_str)
            .unwrap_or_default();
        assert_eq!(found, *session, "{sessions:?}");
        assert_eq!(case.pathway.unwrap().as_str(), *pathway);
        let codes: Vec<&str> = case
            .scheduling_warnings
            .iter()
            .map(|code| code.code())
            .collect();
        assert_eq!(format!("accepted {}", codes.join(" ")).trim(), *expected);
    }
    // One root only.
    let mut world = World::configured("[facility.cda]\npathway_root = \"1.2.250.1.161.1.20.3.1\"");
    world.session("S-1", "2025-04-15", "4401", "");
    world.session("S-2", "2025-04-15", "", "THORAX");
    world.receive_cda(WHOLE);
    assert_eq!(
        case(&world).state,
        CaseState::Scheduled(SessionId::new("S-2"))
    );
    // Without the national id, the first.
    let mut world = World::new();
    world.receive_cda(&with(&[("1.2.250.1.161.1.20.3.1", "1.2.3")]));
    assert_eq!(case(&world).pathway.unwrap().as_str(), "4401");
    // A session that is not planned any more is none.
    let mut world = World::new();
    let mut closed = crate::intake::testing::session("S-THORAX-15", "2025-04-15", "THORAX", "");
    closed.state = SessionState::Closed;
    world.put([Record::Session(closed)]);
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE)),
        "accepted session-not-found"
    );
}

#[test]
fn without_a_session_the_document_waits_on_a_note() {
    let mut world = World::new();
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE)),
        "accepted session-not-found"
    );
    let notes = world.notes("P-77");
    assert_eq!(notes[0].reason, NoteReason::SessionNotFound);
    let [kept] = notes[0].documents.as_slice() else {
        panic!("{:?}", notes[0].documents);
    };
    let kept = world
        .view()
        .document(&world.facility.id, kept)
        .unwrap()
        .unwrap();
    assert_eq!(kept.kind, DocumentKind::Message);
    assert_eq!(kept.current().unwrap().content_type, ContentType::Cda);
    assert_eq!(
        world.contents[&kept.current().unwrap().sha256],
        WHOLE.as_bytes()
    );
    // It is in the case besides.
    assert_eq!(world.documents_of("CASE-77").len(), 1);
    assert_ne!(world.documents_of("CASE-77")[0], kept.id);
    // The next version finds the session.
    world.session("S-1", "2025-04-15", "THORAX", "");
    let next = with(&[(
        "<versionNumber value=\"1\"/>",
        "<versionNumber value=\"2\"/>",
    )]);
    assert_eq!(outcome_text(&world.receive_cda(&next)), "updated");
    assert!(world.notes("P-77").is_empty());
    let id = &world.documents_of("CASE-77")[0];
    let document = world
        .view()
        .document(&world.facility.id, id)
        .unwrap()
        .unwrap();
    assert_eq!(world.versions(&document).len(), 2);
}

#[test]
fn a_later_document_replaces_the_questionnaire_and_an_older_one_is_stale() {
    const SET: &str = "<setId root=\"1.2.250.1.999.7\" extension=\"DOC-1\"/>";
    const OTHER: &str = "<setId root=\"1.2.250.1.999.7\" extension=\"DOC-2\"/>";
    let version = |number: &str| format!("<versionNumber value=\"{number}\"/>");
    for (set, number, time, expected) in [
        (SET, version("3"), "20250401", "updated"),
        (SET, version("2"), "20250401", "updated"),
        (SET, version("1"), "20250409", "stale"),
        (SET, String::new(), "20250405", "updated"),
        (SET, String::new(), "20250404120000+0200", "updated"),
        (SET, String::new(), "20250404115959+0200", "stale"),
        (SET, String::new(), "202504041000+0000", "updated"),
        (OTHER, version("1"), "20250405", "updated"),
        (OTHER, version("9"), "20250403", "stale"),
        ("", version("9"), "20250403", "stale"),
        ("", version("1"), "20250405", "updated"),
    ] {
        let mut world = world();
        let first = at(SET, &version("2"), "20250404120000+0200");
        assert_eq!(outcome_text(&world.receive_cda(&first)), "accepted");
        let before = world.everything();
        let second = at(set, &number, time).replace("Motif &amp; question", "Nouveau motif");
        assert_eq!(
            outcome_text(&world.receive_cda(&second)),
            expected,
            "{set} {number} {time}"
        );
        let filled = questionnaire(&world, "CASE-77").unwrap();
        let title = filled.questionnaire.sections[0].title.as_deref();
        if expected == "stale" {
            assert_eq!(world.everything(), before);
            assert_eq!(title, Some("Motif & question"));
            continue;
        }
        assert_eq!((title, filled.number), (Some("Nouveau motif"), 2));
        let former =
            crate::store::keys::former_questionnaires(&world.facility.id, &CaseId::new("CASE-77"));
        let former: Vec<FilledQuestionnaire> =
            PendingChanges::new(&world.store).all(&former).unwrap();
        assert_eq!(
            former[0].questionnaire.sections[0].title.as_deref(),
            Some("Motif & question")
        );
        assert_eq!(former[0].number, 1);
    }
}

/// Whatever came first, the document and what was written by hand stand together.
#[test]
fn a_document_and_what_was_written_by_hand_stand_together() {
    const BY_HAND: &str = r#"{"command":"questionnaire","facility":"demo","case":"CASE-77","sections":[
        {"code":"10164-2","label":"Histoire","entries":[{"label":"Profession","value":"Maçon"}]},
        {"label":"Imagerie","entries":[{"label":"taille à l'imagerie","value":"16","unit":"mm"}]}]}"#;
    let mut hand_first = world();
    hand_first.receive(&siu("S12", "20250401120000", "20250415", "THORAX"));
    assert_eq!(outcome_text(&hand_first.command(BY_HAND)), "updated");
    assert_eq!(
        outcome_text(&hand_first.receive_cda(WHOLE)),
        "updated questionnaire-differs"
    );
    let mut document_first = world();
    document_first.receive_cda(WHOLE);
    assert_eq!(
        outcome_text(&document_first.command(BY_HAND)),
        "updated questionnaire-differs"
    );
    let (one, other) = (
        questionnaire(&hand_first, "CASE-77").unwrap(),
        questionnaire(&document_first, "CASE-77").unwrap(),
    );
    assert_eq!(one.questionnaire, other.questionnaire);
    assert!(one.filled_by.is_some() && one.filled_by == other.filled_by);
    assert_eq!((one.number, other.number), (2, 2));

    // The document alone says what it says without a hand, and so it does once that is taken away.
    let mut alone = world();
    alone.receive_cda(WHOLE);
    let document = questionnaire(&alone, "CASE-77").unwrap().questionnaire;
    assert_ne!(one.questionnaire, document);
    let erase = r#"{"command":"questionnaire","facility":"demo","case":"CASE-77","sections":[]}"#;
    assert_eq!(outcome_text(&hand_first.command(erase)), "updated");
    let left = questionnaire(&hand_first, "CASE-77").unwrap();
    assert_eq!((left.questionnaire, left.by_hand), (document, None));

    // A later document is compared anew, and one without a structured body takes nothing away.
    let agreeing = WHOLE
        .replace("value=\"14\" unit=\"mm\"", "value=\"16\" unit=\"mm\"")
        .replace("versionNumber value=\"1\"", "versionNumber value=\"2\"");
    assert_eq!(
        outcome_text(&document_first.receive_cda(&agreeing)),
        "updated"
    );
    let again = questionnaire(&document_first, "CASE-77").unwrap();
    let written = serde_json::to_string(&again.questionnaire).unwrap();
    assert!(
        written.contains("Maçon") && written.contains(r#""by_hand":"same""#),
        "{written}"
    );
    assert!(!written.contains("differs"), "{written}");
    assert_eq!(again.number, 3);
}

fn questionnaire(world: &World, case: &str) -> Option<FilledQuestionnaire> {
    world
        .view()
        .questionnaire(&world.facility.id, &CaseId::new(case))
        .unwrap()
}

#[test]
fn one_case_comes_by_siu_and_by_cda() {
    // The documents are of 3 April, the appointments before or after.
    for early in ["20250401", "20250430"] {
        let mut world = world();
        world.session("S-2", "2025-04-22", "OTHER", "");
        assert_eq!(
            outcome_text(&world.receive(&siu("S12", early, "20250422", "OTHER"))),
            "accepted"
        );
        assert_eq!(outcome_text(&world.receive_cda(WHOLE)), "updated");
        let scheduled = case(&world);
        assert_eq!(scheduled.state, CaseState::Scheduled(SessionId::new("S-1")));
        assert_eq!(
            scheduled.submitter.unwrap().name().unwrap(),
            "DEMANDE Julie"
        );
        assert!(scheduled.has_questionnaire);
        // The latest arrival wins that is not stale in its own source.
        assert_eq!(
            outcome_text(&world.receive(&siu("S14", "20250331", "20250422", "OTHER"))),
            "stale"
        );
        assert_eq!(
            outcome_text(&world.receive(&siu("S14", early, "20250422", "OTHER"))),
            "updated"
        );
        let moved = case(&world);
        assert_eq!(moved.state, CaseState::Scheduled(SessionId::new("S-2")));
        assert_eq!(moved.submitter.unwrap().name().unwrap(), "SIU Anne");
        assert_eq!(moved.pathway.unwrap().as_str(), "OTHER");
        assert!(moved.has_questionnaire && moved.cda.is_some());
    }
}

#[test]
fn a_cancelled_case_stays_cancelled_and_a_completed_one_closed() {
    let mut world = world();
    world.receive(&siu("S12", "20250401", "20250415", "THORAX"));
    world.receive(&siu("S15", "20250402", "", ""));
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE)),
        "updated case-cancelled"
    );
    assert_eq!(case(&world).state, CaseState::Cancelled);
    assert!(questionnaire(&world, "CASE-77").is_some());
    assert_eq!(world.documents_of("CASE-77").len(), 1);
    assert!(world.notes("P-77").is_empty());
    // A later appointment revives it.
    assert_eq!(
        outcome_text(&world.receive(&siu("S12", "20250403", "20250415", "THORAX"))),
        "updated"
    );
    assert!(case(&world).has_questionnaire);

    // A cancel that came before anything else.
    let mut world = self::world();
    world.receive(&siu("S15", "20250402", "", ""));
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE)),
        "updated case-cancelled"
    );
    assert_eq!(case(&world).ipp, Some(Ipp::new("P-77")));

    let mut world = self::world();
    world.receive_cda(WHOLE);
    let mut completed = case(&world);
    completed.state = CaseState::Completed(SessionId::new("S-1"));
    world.put([Record::Case(completed)]);
    let next = with(&[(
        "<versionNumber value=\"1\"/>",
        "<versionNumber value=\"2\"/>",
    )]);
    let before = case(&world);
    assert_eq!(outcome_text(&world.receive_cda(&next)), "updated");
    let after = case(&world);
    assert_eq!(
        (&after.state, after.date, &after.pathway),
        (&before.state, before.date, &before.pathway),
        "where and when it was discussed stays"
    );
    assert_eq!(after.cda.unwrap().version, Some(2));
    assert_eq!(
        outcome_text(&world.receive_cda(WHOLE)),
        "duplicate",
        "the first document"
    );
}

#[test]
fn identities_are_compared_and_known_patients_not_changed() {
    let one_name = (
        "<family qualifier=\"BR\">LE GOFF</family>",
        "<family qualifier=\"BR\">MARTIN</family>",
    );
    let one_date = ("19600214", "19700101");
    for (changes, expected) in [
        (&[][..], "updated"),
        (
            &[(
                "<family qualifier=\"BR\">LE GOFF</family>",
                "<family qualifier=\"BR\">Le-Goff</family>",
            )],
            "updated",
        ),
        (&[one_name], "updated identity-mismatch"),
        (&[one_date], "updated identity-mismatch"),
        (
            &[(
                "administrativeGenderCode code=\"F\"",
                "administrativeGenderCode code=\"M\"",
            )],
            "updated identity-mismatch",
        ),
        (
            &[one_name, one_date],
            "identity-mismatch recordTarget/patientRole/patient/name",
        ),
        (
            &[("extension=\"P-77\"", "extension=\"P-99\"")],
            "case-patient-mismatch recordTarget/patientRole/id",
        ),
    ] {
        let mut world = world();
        world.receive_cda(WHOLE);
        let known = patient(&world);
        let mut document = with(&[(
            "<versionNumber value=\"1\"/>",
            "<versionNumber value=\"2\"/>",
        )]);
        for (from, to) in changes {
            document = document.replace(from, to);
        }
        assert_eq!(
            outcome_text(&world.receive_cda(&document)),
            expected,
            "{changes:?}"
        );
        assert_eq!(patient(&world), known);
        let differs = expected.ends_with("updated identity-mismatch");
        assert_eq!(case(&world).identity_mismatch, differs);
        let given = case(&world).identity_given;
        assert_eq!(given.is_some(), differs);
        assert!(given.is_none_or(|given| given.by == "CDA" && given.birth_name.is_some()));
        assert!(case(&world).scheduling_warnings.is_empty());
    }
    // A merged patient id leads to the survivor.
    let mut world = world();
    let adt = |pid: &str, mrg: &str| {
        format!(
            "MSH|^~\\&|||||20250401||ADT^A40|1|P|2.5\rPID|1||{pid}^^^^PI||LE GOFF^Rose^^^^^L||19600214|F\rMRG|{mrg}^^^^PI\r"
        )
    };
    world.receive(&adt("P-1", "P-77"));
    assert_eq!(outcome_text(&world.receive_cda(WHOLE)), "accepted");
    assert_eq!(case(&world).ipp, Some(Ipp::new("P-1")));
}

#[test]
fn the_next_version_that_agrees_ends_a_doubt_of_identity() {
    let mut world = world();
    world.receive_cda(WHOLE);
    for (version, name, differs) in [("2", "DUPONX", true), ("3", "LE GOFF", false)] {
        let number = format!("<versionNumber value=\"{version}\"/>");
        let document = with(&[
            ("<versionNumber value=\"1\"/>", &*number),
            (
                "<family qualifier=\"BR\">LE GOFF</family>",
                &*format!("<family qualifier=\"BR\">{name}</family>"),
            ),
        ]);
        world.receive_cda(&document);
        assert_eq!(case(&world).identity_mismatch, differs);
        assert_eq!(case(&world).identity_given.is_some(), differs);
    }
}

#[test]
fn a_body_that_is_not_structured_schedules_all_the_same() {
    for body in [
        "<component><nonXMLBody><text mediaType=\"application/pdf\" representation=\"B64\">JVBERi0=</text></nonXMLBody></component>",
        "",
    ] {
        let document = between(
            WHOLE,
            "<component typeCode=\"COMP\">\n    <structuredBody",
            "</structuredBody>\n  </component>",
            body,
        );
        let mut world = world();
        assert_eq!(
            outcome_text(&world.receive_cda(&document)),
            "accepted questionnaire-not-structured"
        );
        assert!(!case(&world).has_questionnaire);
        assert_eq!(world.documents_of("CASE-77").len(), 1);
    }
    // What was filled before stays.
    let mut world = world();
    world.receive_cda(WHOLE);
    let flat = between(
        WHOLE,
        "<component typeCode=\"COMP\">\n    <structuredBody",
        "</structuredBody>\n  </component>",
        "",
    );
    assert_eq!(
        outcome_text(&world.receive_cda(&flat)),
        "updated questionnaire-not-structured"
    );
    assert!(case(&world).has_questionnaire && questionnaire(&world, "CASE-77").is_some());
}

#[test]
fn the_document_that_came_before_the_case_joins_it() {
    let mut world = world();
    let adt = "MSH|^~\\&|||||20250401||ADT^A28|1|P|2.5\rPID|1||P-77^^^^PI||LE GOFF^Rose^^^^^L||19600214|F\r";
    world.receive(adt);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, WHOLE);
    let oru = format!(
        "MSH|^~\\&|||||20250402||ORU^R01|1|P|2.5\rPID|1||P-77^^^^PI\rORC|NW|CASE-77\rOBR|1\rOBX|1|ED|CR||^^^Base64^{encoded}\r"
    );
    // Kept as a document only, when its kind scheduled nothing yet.
    let codes = std::mem::take(&mut world.facility.cda.document_codes);
    assert_eq!(outcome_text(&world.receive(&oru)), "accepted");
    world.facility.cda.document_codes = codes;
    assert_eq!(world.notes("P-77").len(), 1);
    assert_eq!(outcome_text(&world.receive_cda(WHOLE)), "accepted");
    assert!(world.notes("P-77").is_empty());
    let documents = world.documents_of("CASE-77");
    assert_eq!(documents.len(), 1);
    let document = world
        .view()
        .document(&world.facility.id, &documents[0])
        .unwrap()
        .unwrap();
    assert_eq!(world.versions(&document).len(), 1);
    assert_eq!(
        document.attached,
        AttachmentPlace::Case(CaseId::new("CASE-77"))
    );

    // The same unique id in another case and of another patient.
    let other = with(&[("CASE-77", "CASE-78")]);
    assert_eq!(outcome_text(&world.receive_cda(&other)), "accepted");
    assert_ne!(world.documents_of("CASE-78"), world.documents_of("CASE-77"));
    let other = with(&[
        ("CASE-77", "CASE-79"),
        ("extension=\"P-77\"", "extension=\"P-79\""),
    ]);
    assert_eq!(
        outcome_text(&world.receive_cda(&other)),
        "accepted document-id-reused"
    );
}

#[test]
fn the_other_document_of_ours_is_scheduled_too() {
    let mut world = World::new();
    world.session("S-1", "2025-04-15", "UROLOGIE", "");
    let document = include_str!("../../../fixtures/cda/values.xml");
    assert_eq!(outcome_text(&world.receive_cda(document)), "accepted");
    let case = world.case("3BBF7D3C-6A43-47CF-8F3A-5D52F8C1E001").unwrap();
    assert_eq!(
        case.submitter.unwrap().known_rpps().unwrap().as_str(),
        "10100094977"
    );
    assert_eq!(
        case.lead.unwrap().known_rpps().unwrap().as_str(),
        "10102078838"
    );
    let patient = world.patient("P-78").unwrap();
    assert_eq!(
        (patient.birth_name.as_str(), patient.usual_name.as_str()),
        ("Roux", "Roux")
    );
    assert_eq!(patient.birth_date.to_string(), "1951");
}

#[test]
fn the_sample_is_scheduled_in_the_session_it_names() {
    let Ok(sample) = std::fs::read("../shared/samples/frcp/CANCER-FRCP_2022.01_Appareil.xml")
    else {
        println!("skipped: there is no ../shared/samples");
        return;
    };
    let sample = String::from_utf8(sample).unwrap();
    let mut world = World::new();
    world.session("234567890", "2019-02-18", "", "");
    world.session("S-2", "2019-02-18", "27011113", "");
    assert_eq!(outcome_text(&world.receive_cda(&sample)), "accepted");
    let case = world.case("2CE71A5B-FD99-4958-ADE4-CA39E86625ED").unwrap();
    assert_eq!(
        case.state,
        CaseState::Scheduled(SessionId::new("234567890"))
    );
    assert_eq!(
        case.submitter.unwrap().known_rpps().unwrap().as_str(),
        "01234567897"
    );
    let patient = world.patient("1234567890121").unwrap();
    assert_eq!(patient.phone.unwrap().as_str(), "+33647151010");
    assert_eq!(patient.ins.unwrap().value, "279035121518989");
    let mut world = World::new();
    world.session("S-2", "2019-02-18", "27011113", "");
    assert_eq!(outcome_text(&world.receive_cda(&sample)), "accepted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_document_is_too_odd_to_be_decided_on(
        cuts in prop::collection::vec((0..WHOLE.len(), 0..400_usize, "[<>/a-z0-9\" =&;]{0,12}"), 0..3),
    ) {
        let mut document = WHOLE.as_bytes().to_vec();
        for (at, length, by) in cuts {
            let at = at.min(document.len());
            let end = at.saturating_add(length).min(document.len());
            document.splice(at..end, by.into_bytes());
        }
        let document = String::from_utf8_lossy(&document).into_owned();
        let mut world = world();
        let before = world.everything();
        let outcome = world.receive_cda(&document);
        if outcome.refusal().is_some() {
            prop_assert_eq!(world.everything(), before);
        }
        let again = outcome_text(&world.receive_cda(&document));
        match outcome {
            Outcome::Rejected(_) => prop_assert_eq!(again, outcome_text(&outcome)),
            Outcome::Taken { .. } => prop_assert_eq!(again, "duplicate"),
        }
    }
}

#[test]
fn a_patient_named_by_an_ins_alone_is_found() {
    const NO_INS: &str = "<id root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"/>";
    const INS: &str = "<id root=\"1.2.250.1.213.1.4.8\" extension=\"279035121518989\"/>";
    const OWN: &str = "<id root=\"1.2.250.1.999.1\" extension=\"P-77\"/>";
    let known = with(&[(NO_INS, INS)]);
    let alone = known.replace(OWN, "").replace("CASE-77", "CASE-78");
    for (from, to, expected) in [
        ("", "", "accepted"),
        (
            "19600214",
            "19600215",
            "unknown-patient recordTarget/patientRole/id",
        ),
        (
            "<given>Rose Marie</given><given qualifier=\"BR\">Rose</given><given qualifier=\"CL\">Rosie</given>",
            "<given>Paule</given>",
            "unknown-patient recordTarget/patientRole/id",
        ),
        (
            "<given>Rose Marie</given><given qualifier=\"BR\">Rose</given><given qualifier=\"CL\">Rosie</given>",
            "<given>Rose-Anne</given>",
            "accepted",
        ),
        (
            "518989",
            "518988",
            "missing-ipp recordTarget/patientRole/id",
        ),
        (
            "279035121518989",
            "179035121518942",
            "unknown-patient recordTarget/patientRole/id",
        ),
    ] {
        let mut world = world();
        assert_eq!(outcome_text(&world.receive_cda(&known)), "accepted");
        let outcome = outcome_text(&world.receive_cda(&alone.replace(from, to)));
        assert!(outcome.starts_with(expected), "{from}: {outcome}");
        let ipp = world.case("CASE-78").and_then(|case| case.ipp);
        assert_eq!(ipp.is_some(), expected == "accepted", "{from}");
        assert!(ipp.is_none_or(|ipp| ipp.as_str() == "P-77"));
    }
    // The id of one patient with the INS of another.
    let mut world = world();
    assert_eq!(outcome_text(&world.receive_cda(&known)), "accepted");
    let second = with(&[("P-77", "P-78"), ("CASE-77", "CASE-79")]);
    assert!(outcome_text(&world.receive_cda(&second)).starts_with("accepted"));
    let mixed = second.replace("CASE-79", "CASE-80").replace(NO_INS, INS);
    assert_eq!(
        outcome_text(&world.receive_cda(&mixed)),
        "identity-mismatch recordTarget/patientRole/id"
    );
    assert!(world.case("CASE-80").is_none());
    let other_id = alone.replace(INS, &format!("{INS}<id root=\"1.2.3\" extension=\"9\"/>"));
    let mut world = World::configured("ipp_oid = \"1.2.250.1.999.1\"");
    let outcome = outcome_text(&world.receive_cda(&other_id));
    assert!(outcome.starts_with("missing-ipp"), "{outcome}");
}

#[test]
fn all_given_names_of_a_participant_are_kept() {
    let mut world = world();
    let document = with(&[
        (
            "<given>Julie</given>",
            "<given>Julie</given><given>Anne</given>",
        ),
        (
            "<given>Marc</given>",
            "<given>Marc</given><given nullFlavor=\"UNK\"/><given>Luc</given>",
        ),
    ]);
    world.receive_cda(&document);
    let case = world.case("CASE-77").unwrap();
    assert_eq!(
        case.submitter.unwrap().name().unwrap(),
        "DEMANDE Julie Anne"
    );
    assert_eq!(case.lead.unwrap().name().unwrap(), "CHEF Marc Luc");
    let names: Vec<String> = case.people.into_iter().filter_map(|it| it.name).collect();
    for name in ["DEMANDE Julie Anne", "CHEF Marc Luc"] {
        assert!(names.iter().any(|it| it == name), "{names:?}");
    }
}

#[test]
fn a_time_as_iso_8601_writes_it_is_read_with_a_warning() {
    for (from, to) in [
        (
            "<low value=\"20250415140000+0200\"/>",
            "<low value=\"2025-04-15T14:00:00+02:00\"/>",
        ),
        (
            "<low value=\"20250415140000+0200\"/>",
            "<low value=\"2025-04-15\"/>",
        ),
    ] {
        let mut world = world();
        assert_eq!(outcome_text(&world.receive_cda(WHOLE)), "accepted");
        let before = world.case("CASE-77").unwrap();
        let mut other = self::world();
        let told = outcome_text(&other.receive_cda(&with(&[(from, to)])));
        assert_eq!(told, "accepted time-untidy", "{to}");
        let case = other.case("CASE-77").unwrap();
        assert_eq!((case.date, case.state), (before.date, before.state));
    }
}
