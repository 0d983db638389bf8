use super::*;
use crate::config::Config;
use crate::config::Reports;
use crate::model::date::PartialDate;
use crate::model::identifiers::{FacilityId, Ipp, Rpps};
use crate::model::patient::{Address, Authority, Sex};

/// A report with nothing but what it needs, modelled on the documentation's example.
struct ReportFixture {
    facility: Facility,
    patient: Patient,
    case: CaseId,
    document_id: DocumentId,
    submitter: Option<Physician>,
    lead: Option<Physician>,
    session_label: String,
    is_validated: bool,
}

impl ReportFixture {
    fn new() -> Self {
        let config = Config::demo(std::path::Path::new("spool"));
        Self {
            facility: config.facilities[0].clone(),
            patient: Patient {
                facility: FacilityId::new("demo"),
                ipp: Ipp::new("2100054546"),
                authority: Some(Authority {
                    namespace: "CHU IPP".into(),
                    ..Authority::default()
                }),
                ins: None,
                social_security_number: None,
                birth_name: "DUPONZZZ".into(),
                usual_name: "DUPONZZZ".into(),
                given_name: "FFFICTIF".into(),
                birth_given_name: None,
                sex: Sex::M,
                birth_date: PartialDate::new(1934, Some(10), Some(10)).unwrap(),
                phone: None,
                email: None,
                address: None,
                network: None,
                identity_status: None,
                identity_attributes: Vec::new(),
                physician: None,
                demographics_time: None,
                ins_time: None,
            },
            case: CaseId::new("59384"),
            document_id: DocumentId::new("67da8696f56896e0720d8bcf"),
            submitter: physician("10102078838", "Audrey", "Médecin"),
            lead: None,
            session_label: "3C - Dermatologie - Oncologie cutanée".into(),
            is_validated: true,
        }
    }

    fn envelope(&self) -> Envelope {
        envelope(&ReportMessage {
            facility: &self.facility,
            patient: &self.patient,
            case: &self.case,
            submitter: self.submitter.as_ref(),
            lead: self.lead.as_ref(),
            session_label: &self.session_label,
            document_id: &self.document_id,
            number: 3840,
            version: 1,
            time: "2025-04-01T11:05:02Z".parse().unwrap(),
            is_validated: self.is_validated,
            file_name: "rcp_questionnaire_DUPONZZZ-F_01042025.pdf",
        })
    }

    /// The lines of the message with the PDF left out.
    fn lines(&self) -> Vec<String> {
        let Envelope { prefix, suffix } = self.envelope();
        let text = format!("{prefix}{suffix}");
        let text = text.strip_suffix('\r').unwrap();
        text.split('\r').map(str::to_owned).collect()
    }

    fn set_lead_field(&mut self, position: &str) {
        let text = format!("[reports]\nlead = {position:?}\n[[facility]]\nid = \"demo\"\n");
        let config = Config::from_text(&text, std::path::Path::new("test.toml")).unwrap();
        self.facility.reports = config.facilities[0].reports.clone();
    }
}

fn physician(rpps: &str, family: &str, given: &str) -> Option<Physician> {
    Some(Physician {
        number: Some(PhysicianNumber::Rpps(Rpps::new(rpps))),
        family: Some(family.into()),
        given: Some(given.into()),
    })
}

fn lead() -> Option<Physician> {
    physician("10100094977", "Ferry", "Jules")
}

#[test]
fn mdm_is_the_documentation_example_field_by_field() {
    assert_eq!(
        ReportFixture::new().lines(),
        [
            r"MSH|^~\&|ROFIM|ROFIM|AXIGATE|AXIGATE|20250401130502||MDM^T02^MDM_T02|demo-3840-1|P|2.5|||||FRA|UTF-8|FRA",
            "EVN|T02|20250401130502",
            "PID|1||2100054546^^^CHU IPP^PI||DUPONZZZ^FFFICTIF||19341010|M|||^^^^^||^^^||||||NC||||",
            "PV1|1|O|||||10102078838^Audrey^Médecin^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^RPPS",
            "TXA|1|CR|PDF|20250401130502||20250401130502|20250401130502|20250401130502||||FRCP_ID^ROFIM^67da8696f56896e0720d8bcf^UIID|RCP_NAME^ROFIM^3C - Dermatologie - Oncologie cutanée^L|||rcp_questionnaire_DUPONZZZ-F_01042025.pdf|AU||AV",
            "OBX|1|ED|CR^rcp_questionnaire_DUPONZZZ-F_01042025.pdf||rcp_questionnaire_DUPONZZZ-F_01042025.pdf^^CR^Base64^||||||F|||20250401130502",
        ]
    );
}

#[test]
fn a_lead_that_is_not_wanted_is_in_neither_format() {
    for format in [Format::MdmT02, Format::OruR01] {
        let mut given = ReportFixture::new();
        given.lead = lead();
        given.set_lead_field("off");
        given.facility.reports.format = format;
        let lines = given.lines();
        assert!(
            !lines.iter().any(|line| line.contains("Ferry")),
            "{lines:?}"
        );
    }
}

#[test]
fn patient_and_lead_where_they_are_known() {
    let mut given = ReportFixture::new();
    given.patient.authority = Some(Authority {
        namespace: "CHU".into(),
        universal_id: "1.2.250.1.999.1".into(),
        universal_id_type: "ISO".into(),
    });
    given.patient.address = Some(Address {
        complement: None,
        street: "1 rue de l'Église".into(),
        city: "Marseille".into(),
        postal_code: "13005".into(),
        country: "FRA".into(),
    });
    given.patient.phone = crate::model::contact::Phone::parse("0612345678", "FR");
    given.patient.social_security_number = Some("134101305500112".into());
    given.lead = lead();
    let lines = given.lines();
    assert_eq!(
        lines[2],
        "PID|1||2100054546^^^CHU&1.2.250.1.999.1&ISO^PI||DUPONZZZ^FFFICTIF||19341010|M|||1 rue de l'Église^^Marseille^^13005^FRA||+33612345678^PRN^CP||||||134101305500112||||"
    );
    let fields: Vec<_> = lines[4].split('|').collect();
    assert_eq!(
        fields[10],
        "10100094977^Ferry^Jules^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^RPPS"
    );
    assert!(fields[12].starts_with("FRCP_ID^"));
}

#[test]
fn the_lead_goes_where_it_is_configured() {
    for (position, segment, field) in [("TXA-5", 4, 5), ("PV1-8", 3, 8), ("PV1-17", 3, 17)] {
        let mut given = ReportFixture::new();
        given.lead = lead();
        given.set_lead_field(position);
        let lines = given.lines();
        assert!(
            lines[segment]
                .split('|')
                .nth(field)
                .unwrap()
                .starts_with("10100094977^"),
            "{position}"
        );
        assert_eq!(lines.concat().matches("10100094977").count(), 1);
    }
}

#[test]
fn the_lead_is_left_out_where_it_is_off() {
    let mut given = ReportFixture::new();
    given.lead = lead();
    given.set_lead_field("off");
    assert!(!given.lines().concat().contains("10100094977"));
}

#[test]
fn a_control_id_fits_its_field_and_is_of_one_report_alone() {
    let long = "centre-hospitalier-universitaire";
    let facilities = ["demo", "chu-1", "chu-1-1", long, &format!("{long}-2")];
    let numbers = [1, 11, 1_764_200_000, u64::MAX];
    let versions = ["1", "2", "12", "4294967295", "1w"];
    let mut seen = std::collections::BTreeSet::new();
    for facility in facilities {
        for number in numbers {
            for version in versions {
                let id = control_id(&FacilityId::new(facility), number, version);
                assert!((3..=20).contains(&id.len()), "{id}");
                assert!(
                    id.bytes()
                        .all(|it| it.is_ascii_alphanumeric() || it == b'-')
                );
                assert_eq!(
                    id,
                    control_id(&FacilityId::new(facility), number, version),
                    "the same again"
                );
                assert!(seen.insert(id.clone()), "{id}");
            }
        }
    }
    assert!(seen.contains("chu-1-1764200000-12") && seen.contains("demo-11-1w"));
}

#[test]
fn oru_has_an_order_instead_of_event_and_document() {
    let mut given = ReportFixture::new();
    given.facility.reports = Reports {
        format: Format::OruR01,
        version: Hl7Version::V2_7,
        ..given.facility.reports
    };
    given.lead = lead();
    let lines = given.lines();
    let names: Vec<_> = lines.iter().map(|line| &line[..3]).collect();
    assert_eq!(names, ["MSH", "PID", "PV1", "OBR", "OBX"]);
    assert!(lines[0].contains("|ORU^R01^ORU_R01|demo-3840-1|P|2.7|||||FRA|UTF-8|FRA"));
    assert_eq!(
        lines[3],
        "OBR|1|59384|67da8696f56896e0720d8bcf^ROFIM|FRCP^3C - Dermatologie - Oncologie cutanée|||20250401130502|||||||||10102078838^Audrey^Médecin^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^RPPS|||||||||F|||||||10100094977&Ferry&Jules&&&&&&ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO"
    );
}

#[test]
fn an_address_is_sent_whole_with_the_code_of_its_country() {
    for (complement, country, sent) in [
        (Some("Bât. B"), "FRANCE", "1 rue A^Bât. B^Metz^^57000^FRA"),
        (None, "France", "1 rue A^^Metz^^57000^FRA"),
        (None, "BE", "1 rue A^^Metz^^57000^BEL"),
        (None, "FRA", "1 rue A^^Metz^^57000^FRA"),
        (None, "Lotharingie", "1 rue A^^Metz^^57000^Lotharingie"),
    ] {
        let mut given = ReportFixture::new();
        given.patient.address = Some(Address {
            street: "1 rue A".into(),
            complement: complement.map(str::to_owned),
            city: "Metz".into(),
            postal_code: "57000".into(),
            country: country.into(),
        });
        let lines = given.lines();
        assert_eq!(lines[2].split('|').nth(11), Some(sent), "{country}");
    }
}

#[test]
fn a_number_that_is_no_rpps_is_sent_as_what_it_is() {
    for (kind, sent) in [
        ("ADELI", "751234567^Ferry^Jules^^^^^^^D^^^ADELI"),
        ("", "751234567^Ferry^Jules^^^^^^^D"),
    ] {
        let physician = Physician {
            number: Some(PhysicianNumber::Other(crate::model::patient::OtherNumber {
                value: "751234567".to_owned(),
                kind: kind.to_owned(),
            })),
            family: Some("Ferry".to_owned()),
            given: Some("Jules".to_owned()),
        };
        let segment = super::physician(SegmentBuilder::new("PV1"), 7, Some(&physician));
        let written = Builder::new().segment(segment).finish();
        assert_eq!(written.trim_end(), format!("PV1|||||||{sent}"));
    }
}

#[test]
fn nobody_is_an_empty_field() {
    let mut given = ReportFixture::new();
    given.submitter = None;
    assert_eq!(given.lines()[3], "PV1|1|O|||||");
    given.facility.reports.format = Format::OruR01;
    let lines = given.lines();
    let fields: Vec<_> = lines[3].split('|').collect();
    assert_eq!((fields[16], fields[25], fields[32]), ("", "F", ""));
}

#[test]
fn text_is_escaped() {
    let mut given = ReportFixture::new();
    given.session_label = "RCP ORL|VADS^1\rEVN|\u{1}".into();
    let lines = given.lines();
    assert_eq!(lines.len(), 6);
    assert!(
        lines[4].contains(r"RCP_NAME^ROFIM^RCP ORL\F\VADS\S\1\.br\EVN\F\\X01\^L"),
        "{}",
        lines[4]
    );
}

#[test]
fn file_names_are_folded() {
    let date = NaiveDate::from_ymd_opt(2025, 4, 1).unwrap();
    for (birth, given, expected) in [
        ("DUPONZZZ", "FFFICTIF", "DUPONZZZ-F"),
        ("Lefèvre d'Aÿ", "Élodie", "LEFEVRE-D-AY-E"),
        ("Lecœur", "œdipe", "LECOEUR-O"),
        ("Cæsar", "Ægir", "CAESAR-A"),
        ("Weiß", "ßilke", "WEISS-S"),
        ("Ngo\u{302} Đặng", "Ṣ", "NGO-DANG-S"),
        ("Saint-Étienne", " Noël", "SAINT-ETIENNE-N"),
        ("Łukasz/../x", "", "LUKASZ----X--"),
        ("王", "王", "---"),
        (" N’DIAYE 2 ", "'Ali", "N-DIAYE---A"),
        ("ﬁn", "ñ", "FIN-N"),
    ] {
        assert_eq!(
            file_name(birth, given, date),
            format!("rcp_questionnaire_{expected}_01042025.pdf"),
            "{birth} {given}"
        );
    }
}

#[test]
fn what_nobody_validated_is_not_authenticated() {
    for (is_validated, status) in [(true, "|AU||AV"), (false, "|DO||AV")] {
        let mut given = ReportFixture::new();
        given.is_validated = is_validated;
        let lines = given.lines();
        let txa = lines.iter().find(|line| line.starts_with("TXA|")).unwrap();
        assert!(txa.ends_with(status), "{txa}");
    }
}
