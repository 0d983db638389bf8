//! The mapping tables of the specification, row by row: each datum present, absent, in its other places, malformed.
//!
//! A row says which datum is looked at, what is exchanged in a whole message, and what is known of the datum then; or
//! the reason and the place of the refusal. Warnings follow behind `!`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use chrono::DateTime;
use rcpspool::cda;
use rcpspool::config::Config;
use rcpspool::hl7::Message;
use rcpspool::intake::{Context, DecisionResult, DeskContext, Stop, desk, route};
use rcpspool::listing::{self, Filter, Listing};
use rcpspool::store::{MemoryStore, PendingChanges, apply_all};
use serde_json::Value;

/// The datum (`patient.phone`), what is exchanged, and what is known then.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const ADT: &str = "MSH|^~\\&|EHR|CHU|RCP|DESK|20250401120000||ADT^A28^ADT_A05|1|P|2.5|||||FRA|UTF-8
PID|1||P-1^^^CHU^PI||MARTIN^Jeanne^^^^^L||19501104|F
PV1|1|O";

/// Section 3.
#[rustfmt::skip]
const PATIENT: &[Row] = &[
    // IPP | PID-3.1 where PID-3.5 = PI | required
    ("patient.ipp", &[("PID-3", "P-2^^^CHU^PI")], "P-2"),
    ("patient.ipp", &[("PID-3", "9^^^X^AN~P-2^^^CHU^PI")], "P-2"),
    ("patient.ipp", &[("PID-3", "P-2^^^A^PI~P-2^^^B^PI")], "P-2"),
    ("patient.ipp", &[("PID-3", "P-2^^^A^PI~P-3^^^B^PI")], "ambiguous-ipp PID-3"),
    ("patient.ipp", &[("PID-3", "P-2^^^CHU")], "P-2 !ipp-untyped"),
    ("patient.ipp", &[("PID-3", "P-2~P-3")], "missing-ipp PID-3"),
    ("patient.ipp", &[("PID-3", "P-2^^^X^AN")], "missing-ipp PID-3"),
    ("patient.ipp", &[("PID-3", "\"\"^^^CHU^PI")], "missing-ipp PID-3"),
    ("patient.ipp", &[("PID-3", "")], "missing-ipp PID-3"),
    // INS | PID-3.1 where PID-3.4 contains ASIP-SANTE-INS | no
    ("patient.ins", &[], "-"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-32", "VALI")], "279035121518989 1.2.250.1.213.1.4.8"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279032A12151849^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO"), ("PID-32", "VALI")], "279032A12151849 1.2.250.1.213.1.4.8"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279035121518988^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-32", "VALI")], "- !ins-invalid"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279035121518989^^^CHU^INS"), ("PID-32", "VALI")], "-"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-32", "PROV")], "- !ins-unverified"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS")], "- !ins-unverified"),
    ("patient.ins", &[("PID-3", "P-1^^^CHU^PI~279035121518989^^^ASIP-SANTE-INS-NIA&1.2.250.1.213.1.4.9&ISO^INS~279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-32", "VALI~HOMD")], "279035121518989 1.2.250.1.213.1.4.8"),
    // social security number | PID-19 | no
    ("patient.social_security_number", &[("PID-19", "250117512345678")], "250117512345678"),
    ("patient.social_security_number", &[], "-"),
    // given name | PID-5.2 where PID-5.7 = D, else L | required
    ("patient.given_name", &[("PID-5", "MARTIN^Jeanne^^^^^L~DUPONT^Jane^^^^^D")], "Jane"),
    ("patient.birth_given_name", &[("PID-5", "MARTIN^Jeanne^^^^^L~DUPONT^Jane^^^^^D")], "Jeanne"),
    ("patient.given_name", &[("PID-5", "MARTIN^^^^^^L~DUPONT^Jane^^^^^D")], "Jane"),
    ("patient.given_name", &[("PID-5", "MARTIN^Jeanne^^^^^L~DUPONT^^^^^^D")], "Jeanne"),
    ("patient.given_name", &[], "Jeanne"),
    ("patient.given_name", &[("PID-5", "MARTIN^^^^^^L")], "missing-field PID-5.2"),
    ("patient.given_name", &[("PID-5", "MARTIN^\"\"^^^^^L")], "missing-field PID-5.2"),
    // birth name | PID-5.1 where PID-5.7 = L | required
    ("patient.birth_name", &[("PID-5", "DUPONT^Jane^^^^^D~MARTIN^Jeanne^^^^^L")], "MARTIN"),
    ("patient.birth_name", &[("PID-5", "MARTIN^Jeanne")], "MARTIN"),
    ("patient.birth_name", &[("PID-5", "MARTIN^Jeanne^^^^^D")], "missing-field PID-5.1"),
    ("patient.birth_name", &[("PID-5", "^Jeanne^^^^^L")], "missing-field PID-5.1"),
    ("patient.birth_name", &[("PID-5", "")], "missing-field PID-5.2"),
    // usual name | PID-5.1 where PID-5.7 = D | else the birth name
    ("patient.usual_name", &[("PID-5", "MARTIN^Jeanne^^^^^L~DUPONT^Jane^^^^^D")], "DUPONT"),
    ("patient.usual_name", &[], "MARTIN"),
    // sex | PID-8.1 | M or F
    ("patient.sex", &[("PID-8", "M")], "M"),
    ("patient.sex", &[("PID-8", "F^female")], "F"),
    ("patient.sex", &[("PID-8", "U")], "sex-not-supported PID-8.1"),
    ("patient.sex", &[("PID-8", "")], "missing-field PID-8.1"),
    // date of birth | PID-7.1
    ("patient.birth_date", &[("PID-7", "19730416")], "1973-04-16"),
    ("patient.birth_date", &[("PID-7", "19501104000000")], "1950-11-04"),
    ("patient.birth_date", &[("PID-7", "195011")], "1950-11"),
    ("patient.birth_date", &[("PID-7", "1950")], "1950"),
    ("patient.birth_date", &[("PID-7", "04/11/1950")], "invalid-date PID-7.1"),
    ("patient.birth_date", &[("PID-7", "19500230")], "invalid-date PID-7.1"),
    ("patient.birth_date", &[("PID-7", "")], "missing-field PID-7.1"),
    // phone | PID-13 with 13.3 = CP, else PH: 13.1, else 13.12, else 13.5-13.7 | no
    ("patient.phone", &[("PID-13", "0142515151^PRN^PH~0612345678^PRN^CP")], "+33612345678"),
    ("patient.phone", &[("PID-13", "0142515151^PRN^PH")], "+33142515151"),
    ("patient.phone", &[("PID-13", "0142515151")], "+33142515151"),
    ("patient.phone", &[("PID-13", "0142515152^WPN^PH~0142515151^PRN^PH")], "+33142515151"),
    ("patient.phone", &[("PID-13", "0142515152^WPN^PH")], "+33142515152"),
    ("patient.phone", &[("PID-13", "^PRN^CP^^^^^^^^^0612345678")], "+33612345678"),
    ("patient.phone", &[("PID-13", "^PRN^CP^^33^6^12345678")], "+33612345678"),
    ("patient.phone", &[("PID-13", "0692123456^PRN^CP")], "+262692123456"),
    ("patient.phone", &[("PID-13", "061^PRN^CP")], "invalid-phone PID-13.1"),
    ("patient.phone", &[("PID-13", "061^PRN^PH~0612345678^PRN^CP")], "+33612345678"),
    ("patient.phone", &[], "-"),
    // e-mail | PID-13.4 where 13.3 = Internet or 13.2 = NET, or an untyped repetition with @ | no
    ("patient.email", &[("PID-13", "^PRN^Internet^j@example.fr")], "j@example.fr"),
    ("patient.email", &[("PID-13", "^NET^^j@example.fr")], "j@example.fr"),
    ("patient.email", &[("PID-13", "j@example.fr")], "j@example.fr"),
    ("patient.email", &[("PID-13", "^NET^Internet^j@example")], "invalid-email PID-13.4"),
    ("patient.email", &[("PID-13", "^NET^Internet^nobody")], "invalid-email PID-13.4"),
    ("patient.email", &[], "-"),
    // address | PID-11: street .1.1, else .1.3 + .1.2; city .3; postal code .5; country .6 | all or none
    ("patient.address", &[("PID-11", "1 rue A^^Paris^^75001^FRA^H")], "1 rue A, 75001 Paris, FRA"),
    ("patient.address", &[("PID-11", "&rue A&1^^Paris^^75001^FRA^H")], "1 rue A, 75001 Paris, FRA"),
    ("patient.address", &[("PID-11", "^^Metz^^^^BDL~2 rue B^^Lyon^^69001^FRA^C~1 rue A^^Paris^^75001^FRA^H")], "1 rue A, 75001 Paris, FRA"),
    ("patient.address", &[("PID-11", "^^Metz^^^^BDL~2 rue B^^Lyon^^69001^FRA^C")], "2 rue B, 69001 Lyon, FRA"),
    ("patient.address", &[("PID-11", "^^Metz^^57000^FRA^BDL")], "-"),
    ("patient.address", &[("PID-11", "1 rue A^^Paris^^75001^^H")], "- !address-partial"),
    ("patient.address", &[], "-"),
    // identity status | PID-32 | no
    ("patient.identity_status", &[("PID-32", "VALI")], "VALI"),
    ("patient.identity_status", &[], "-"),
    // physician, network | PV1-7, PV1-3.9 | no
    ("patient.physician", &[("PV1-7", "810100094977^DUPONT^Paul")], "10100094977"),
    ("patient.physician_name", &[("PV1-7", "810100094977^DUPONT^Paul")], "DUPONT Paul"),
    ("patient.physician", &[("PV1-7", "10100094978")], "10100094978 !rpps-invalid"),
    ("patient.physician", &[("PV1-7", "751234567^A^B^^^^^^^L^^^ADELI~10100094977^DUPONT^Paul^^^^^^^L^^^RPPS")], "10100094977"),
    ("patient.physician", &[("PV1-7", "751234567^A^B^^^^^^^L^^^ADELI")], "-"),
    ("patient.physician", &[], "-"),
    ("patient.network", &[("PV1-3", "WARD^^^^^^^^NET-1")], "NET-1"),
    ("patient.network", &[], "-"),
    // MSH-7, by which messages are ordered (section 9)
    ("patient.ipp", &[("MSH-7", "")], "missing-field MSH-7"),
    ("patient.ipp", &[("MSH-7", "yesterday")], "invalid-date MSH-7.1"),
    ("patient.ipp", &[("MSH-7", "20250401T120000")], "P-1 !time-untidy"),
    ("patient.ipp", &[("MSH-7", "20250401120000123+02")], "P-1 !time-untidy"),
    ("patient.ipp", &[("MSH-7", "20250401120000.123+02:00")], "P-1"),
    // intake.future is one day, and the clock of this test stands at 2026-01-01 00:00 UTC
    ("patient.ipp", &[("MSH-7", "20260102000000Z")], "P-1"),
    ("patient.ipp", &[("MSH-7", "20260102000001Z")], "future-time MSH-7.1"),
    ("patient.ipp", &[("MSH-7", "21990101")], "future-time MSH-7.1"),
    ("patient.birth_date", &[("PID-7", "19501104T000000")], "1950-11-04 !time-untidy"),
];

const SIU: &str = "MSH|^~\\&|EHR|CHU|RCP|DESK|20250401120000||SIU^S12^SIU_S12|1|P|2.5|||||FRA|UTF-8
SCH|F-1|C-1^EHR|||||||||^^^20250408140000
PID|1||P-1^^^CHU^PI||MARTIN^Jeanne^^^^^L||19501104|F
AIL|1||WARD^^^PATH-1^^^^^NET-1
AIP|1||10100094977^DUPONT^Paul
AIP|2||810102078838^CHEF^Marc";

/// Section 4.
#[rustfmt::skip]
const SCHEDULING: &[Row] = &[
    // case id | SCH-2.1 | yes
    ("case.id", &[("SCH-2", "59384^EHR")], "59384"),
    ("case.id", &[("SCH-2", "^EHR")], "missing-field SCH-2.1"),
    ("case.id", &[("SCH-2", "\"\"")], "missing-field SCH-2.1"),
    // submitter | AIP-3.1, 3.2, 3.3 of the AIP with AIP-1 = 1 | RPPS
    ("case.submitter", &[], "10100094977"),
    ("case.submitter_name", &[], "DUPONT Paul"),
    ("case.submitter", &[("AIP-1", ""), ("AIP(2)-1", "")], "10100094977"),
    ("case.submitter", &[("AIP-1", "2"), ("AIP(2)-1", "1")], "10102078838"),
    ("case.submitter", &[("AIP(2)-1", "1")], "10100094977 !aip-numbering"),
    ("case.lead", &[("AIP(2)-1", "1")], "10102078838 !aip-numbering"),
    ("case.submitter", &[("AIP-3", "10100094978")], "10100094978 !rpps-invalid"),
    ("case.submitter_name", &[("AIP-3", "10100094977")], "-"),
    ("case.submitter", &[("AIP-3", "^DUPONT")], "missing-field AIP-3.1"),
    ("case.submitter", &[("AIP-1", "3")], "missing-field AIP-1"),
    // lead physician | the same of the AIP with AIP-1 = 2 | no
    ("case.lead", &[], "10102078838"),
    ("case.lead_name", &[], "CHEF Marc"),
    ("case.lead", &[("AIP(2)-3", "12345")], "- !rpps-invalid"),
    ("case.lead", &[("AIP(2)-3", "3350000741/1234^CHEF^Marc^^^^^^^L^^^IDNPS")], "- !rpps-invalid"),
    ("case.lead", &[("AIP(2)-3", "12345^CHEF^Marc^^^^^^^L^^^RPPS")], "12345 !rpps-invalid"),
    ("case.submitter", &[("AIP-3", "AGENDA7^DUPONT^Paul")], "- !rpps-invalid"),
    ("case.submitter", &[("AIP-3", "7^A^B^^^^^^^L^^^EI~810100094977^DUPONT^Paul^^^^^^^L^^^IDNPS")], "10100094977"),
    ("case.lead", &[("AIP(2)-3", "")], "-"),
    ("case.lead", &[("AIP(2)-1", "3")], "10102078838 !aip-numbering"),
    ("case.lead", &[("AIP-1", "0"), ("AIP(2)-1", "1")], "10102078838 !aip-numbering"),
    // network id | AIL-3.9 | no; a created patient belongs to it
    ("case.network", &[], "NET-1"),
    ("patient.network", &[], "NET-1"),
    ("case.network", &[("AIL-3", "WARD^^^PATH-1")], "-"),
    // pathway or family id | AIL-3.4 | yes
    ("case.pathway", &[], "PATH-1"),
    ("case.session", &[], "S-1"),
    ("case.session", &[("AIL-3", "WARD^^^FAM-1")], "S-1"),
    ("case.pathway", &[("AIL-3", "WARD"), ("AIL(2)-3", "WARD^^^FAM-1"), ("AIL(3)-3", "WARD^^^PATH-1")], "FAM-1"),
    ("case.session", &[("AIL-3", "WARD^^^PATH-9")], "- !session-not-found"),
    ("case.pathway", &[("AIL-3", "WARD")], "missing-field AIL-3.4"),
    // session date | SCH-11.4; where empty TQ1-7, AIS-4 | yes
    ("case.date", &[], "2025-04-08"),
    ("case.date", &[("SCH-11", "^^^20250408235900-1000")], "2025-04-08"),
    ("case.date", &[("SCH-11", ""), ("TQ1-7", "20250408"), ("AIS-4", "20250409")], "2025-04-08"),
    ("case.date", &[("SCH-11", "\"\""), ("AIS-4", "202504080000")], "2025-04-08"),
    ("case.date", &[("SCH-11", "^^^20250408T140000+02:00")], "2025-04-08 !time-untidy"),
    ("case.date", &[("SCH-11", "^^^20250408140000Z")], "2025-04-08"),
    ("case.date", &[("SCH-11", ""), ("TQ1-7", "20250408140000000")], "2025-04-08 !time-untidy"),
    ("case.date", &[("MSH-7", "20260103")], "future-time MSH-7.1"),
    ("case.date", &[("SCH-11", "^^^202504")], "invalid-date SCH-11.4"),
    ("case.date", &[("SCH-11", "^^^soon"), ("TQ1-7", "20250408")], "invalid-date SCH-11.4"),
    ("case.date", &[("SCH-11", "")], "missing-field SCH-11.4"),
    // the PID of the scheduling flows
    ("case.ipp", &[], "P-1"),
    ("patient.phone", &[("PID-13", "0612345678^PRN^CP")], "+33612345678"),
    ("patient.phone", &[("PID-13", "061^PRN^CP")], "invalid-phone PID-13.1"),
    ("patient.email", &[("PID-13", "^NET^Internet^j@example")], "invalid-email PID-13.4"),
];

/// Section 5, on the document `fixtures/cda/meeting.xml`.
#[rustfmt::skip]
const CDA: &[Row] = &[
    // document code | LOINC 34794-8
    ("case.id", &[("code=\"34794-8\"", "code=\"11488-4\"")], "unsupported-document code"),
    // case id | inFulfillmentOf/order/id, else setId | yes
    ("case.id", &[], "CASE-77"),
    ("case.id", &[(r#"root="1.2.250.1.999.9" extension="CASE-77""#, r#"root="1.2.250.1.999.9""#)], "1.2.250.1.999.9"),
    ("case.id", &[(r#"<order><id root="1.2.250.1.999.9" extension="CASE-77"/></order>"#, "")], "DOC-1"),
    ("case.id", &[(r#"<order><id root="1.2.250.1.999.9" extension="CASE-77"/></order>"#, ""), (r#"<setId root="1.2.250.1.999.7" extension="DOC-1"/>"#, "")], "missing-field inFulfillmentOf/order/id"),
    // submitter | participant REFB, else the author | RPPS
    ("case.submitter", &[], "10100094977"),
    ("case.submitter_name", &[], "DEMANDE Julie"),
    ("case.submitter_name", &[("typeCode=\"REFB\"", "typeCode=\"IND\"")], "AUTEUR Anne"),
    ("case.submitter", &[(r#"extension="810100094977"/><associatedPerson>"#, r#"nullFlavor="UNK"/><associatedPerson>"#)], "missing-field participant[@typeCode='REFB']/associatedEntity/id"),
    ("case.submitter", &[(r#"extension="810100094977"/><associatedPerson>"#, r#"extension="1"/><associatedPerson>"#)], "- !rpps-invalid"),
    ("case.submitter", &[(r#"extension="810100094977"/><associatedPerson>"#, r#"extension="810100094978"/><associatedPerson>"#)], "810100094978 !rpps-invalid"),
    // lead physician | participant RESP, else legalAuthenticator | RPPS
    ("case.lead", &[], "10102078838"),
    ("case.lead_name", &[], "CHEF Marc"),
    ("case.lead_name", &[("typeCode=\"RESP\"", "typeCode=\"IND\"")], "SIGNATAIRE Louis"),
    ("case.lead", &[("typeCode=\"RESP\"", "typeCode=\"IND\""), ("<legalAuthenticator>", "<legalAuthenticator nullFlavor=\"NI\">")], "missing-field participant[@typeCode='RESP']/associatedEntity/id"),
    // network id | providerOrganization/id with the configured root | no
    ("case.network", &[], "PNEUMO"),
    ("patient.network", &[], "PNEUMO"),
    ("case.network", &[("root=\"1.2.250.1.999.3\"", "root=\"9\"")], "-"),
    // pathway, family or session | encompassingEncounter/id | at least one id
    ("case.pathway", &[], "THORAX"),
    ("case.session", &[], "S-1"),
    ("case.session", &[("extension=\"THORAX\"", "extension=\"X\"")], "- !session-not-found"),
    ("case.session", &[("extension=\"4401\"", "extension=\"FAM-1\""), ("THORAX\"/>", "X\"/>")], "S-1"),
    ("case.session", &[("extension=\"S-THORAX-15\"", "extension=\"S-1\"")], "S-1"),
    ("case.session", &[("extension=\"S-THORAX-15\"", "extension=\"S-2\"")], "S-1 !session-date-mismatch"),
    ("case.pathway", &[("<encompassingEncounter>", "<encompassingEncounter nullFlavor=\"NI\">")], "missing-field componentOf/encompassingEncounter/id"),
    // effectiveTime, by which documents are ordered
    ("case.date", &[("20250403101500+0200", "20990403101500+0200")], "future-time effectiveTime"),
    ("case.date", &[("20250403101500+0200", "20250403T101500+02:00")], "2025-04-15 !time-untidy"),
    ("case.date", &[("<low value=\"20250415140000+0200\"/></effectiveTime>\n", "<low value=\"20250415T140000+02:00\"/></effectiveTime>\n")], "2025-04-15 !time-untidy"),
    // session date | encompassingEncounter/effectiveTime, else serviceEvent 39 | yes
    ("case.date", &[], "2025-04-15"),
    ("case.date", &[("<effectiveTime><low value=\"20250415140000+0200\"/></effectiveTime>\n", "<effectiveTime value=\"20250415\"/>\n")], "2025-04-15"),
    ("case.date", &[("<effectiveTime><low value=\"20250415140000+0200\"/></effectiveTime>\n", "\n")], "2025-04-15"),
    ("case.date", &[("20250415140000+0200", "soon")], "invalid-date componentOf/encompassingEncounter/effectiveTime"),
    ("case.date", &[("<low value=\"20250415140000+0200\"/>", "")], "missing-field componentOf/encompassingEncounter/effectiveTime"),
    // IPP | patientRole/id, the only one that is no INS | yes
    ("case.ipp", &[], "P-77"),
    ("patient.ipp", &[], "P-77"),
    ("case.ipp", &[("nullFlavor=\"UNK\"/>\n      <id root=\"1.2.250.1.999.1\"", "extension=\"279035121518989\"/>\n      <id root=\"1.2.250.1.999.1\"")], "P-77"),
    ("case.ipp", &[("root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"", "root=\"9\" extension=\"P-78\"")], "ambiguous-ipp recordTarget/patientRole/id"),
    ("case.ipp", &[("<id root=\"1.2.250.1.999.1\" extension=\"P-77\"/>", "")], "missing-ipp recordTarget/patientRole/id"),
    // INS | the id with one of four roots | no
    ("patient.ins", &[], "-"),
    ("patient.ins", &[("root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"", "root=\"1.2.250.1.213.1.4.10\" extension=\"279035121518989\"")], "279035121518989 1.2.250.1.213.1.4.10"),
    ("patient.ins", &[("root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"", "root=\"1.2.250.1.213.1.4.2\" extension=\"279035121518989\"")], "-"),
    ("patient.ins", &[("root=\"1.2.250.1.213.1.4.8\" nullFlavor=\"UNK\"", "root=\"1.2.250.1.213.1.4.9\" extension=\"279035121518988\"")], "- !ins-invalid"),
    // given name | CL, else BR, else the first | yes
    ("patient.given_name", &[], "Rosie"),
    ("patient.given_name", &[("qualifier=\"CL\"", "qualifier=\"XX\"")], "Rose"),
    ("patient.given_name", &[("qualifier=\"CL\"", ""), ("<given qualifier=\"BR\">", "<given>")], "Rose Marie"),
    ("patient.given_name", &[("<given>Rose Marie</given><given qualifier=\"BR\">Rose</given><given qualifier=\"CL\">Rosie</given>", "")], "missing-field recordTarget/patientRole/patient/name/given"),
    // birth name | BR, or a single family without qualifier | yes
    ("patient.birth_name", &[], "LE GOFF"),
    ("patient.birth_name", &[("<family qualifier=\"BR\">LE GOFF</family><family qualifier=\"SP CL\">", "<family>")], "GARNIER"),
    ("patient.birth_name", &[("<family qualifier=\"BR\">", "<family>")], "missing-field recordTarget/patientRole/patient/name/family"),
    // usual name | CL, else SP, else the birth name
    ("patient.usual_name", &[], "GARNIER"),
    ("patient.usual_name", &[("SP CL", "SP")], "GARNIER"),
    ("patient.usual_name", &[("SP CL", "AC")], "LE GOFF"),
    // sex, birth date
    ("patient.sex", &[], "F"),
    ("patient.sex", &[("GenderCode code=\"F\"", "GenderCode code=\"UN\"")], "sex-not-supported recordTarget/patientRole/patient/administrativeGenderCode/@code"),
    ("patient.sex", &[("GenderCode code=\"F\"", "GenderCode nullFlavor=\"UNK\"")], "missing-field recordTarget/patientRole/patient/administrativeGenderCode/@code"),
    ("patient.birth_date", &[], "1960-02-14"),
    ("patient.birth_date", &[("19600214", "1960")], "1960"),
    ("patient.birth_date", &[("19600214", "14/02/1960")], "invalid-date recordTarget/patientRole/patient/birthTime/@value"),
    ("patient.birth_date", &[("<birthTime value=\"19600214\"/>", "")], "missing-field recordTarget/patientRole/patient/birthTime/@value"),
    // phone | tel: with use MC, else H/HP, else the first | no
    ("patient.phone", &[], "+33612345678"),
    ("patient.phone", &[("use=\"MC\"", "use=\"HP\"")], "+33612345678"),
    ("patient.phone", &[("use=\"MC\"", "")], "+33240000001"),
    ("patient.phone", &[("tel:0612345678", "tel:06")], "invalid-phone recordTarget/patientRole/telecom"),
    ("patient.phone", &[("tel:", "http:")], "-"),
    // e-mail | mailto: | no
    ("patient.email", &[], "rose.garnier@example.fr"),
    ("patient.email", &[("rose.garnier@example.fr", "rose@example")], "invalid-email recordTarget/patientRole/telecom"),
    ("patient.email", &[("mailto:", "fax:")], "-"),
    // address | use H, else the first without null flavour | all or none
    ("patient.address", &[], "3 Rue des Lilas, 44000 Nantes, FRANCE"),
    ("patient.address", &[("<addr use=\"H\">", "<addr>")], "3 Rue des Lilas, 44000 Nantes, FRANCE"),
    ("patient.address", &[("<houseNumber>3</houseNumber><streetNameType>Rue</streetNameType><streetName>des Lilas</streetName>", "<streetAddressLine>3 quai B</streetAddressLine>")], "3 quai B, 44000 Nantes, FRANCE"),
    ("patient.address", &[("<city>Nantes</city>", "")], "- !address-partial"),
    ("patient.address", &[("<addr use=\"H\">", "<addr nullFlavor=\"MSK\">")], "-"),
    // no social security number comes by CDA
    ("patient.social_security_number", &[], "-"),
    // the questionnaire
    ("case.has_questionnaire", &[], "true"),
    ("case.has_questionnaire", &[("structuredBody", "nonXMLBody")], "false !questionnaire-not-structured"),
];

const MDM: &str =
    "MSH|^~\\&|LAB|CHU|NET-1|DESK|20250402120000||MDM^T02^MDM_T02|1|P|2.5|||||FRA|UTF-8
PID|1||P-1^^^CHU^PI||MARTIN^Jeanne^^^^^L||19501104|F
ORC|NW|
OBR|1||A1^LAB
TXA|1|CR|PDF|||||||||D-9^LAB||||letter.pdf
OBX|1|ED|CR^Compte rendu||^^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F";

/// Section 6, once `fixtures/known` is taken in.
#[rustfmt::skip]
const DOCUMENTS: &[Row] = &[
    // patient | IPP as section 3, or a known INS | yes
    ("document.ipp", &[], "P-1"),
    ("document.ipp", &[("PID-3", "P-9^^^CHU^PI")], "P-1"),
    ("document.ipp", &[("MSH-7", "20260103")], "future-time MSH-7.1"),
    ("document.ipp", &[("MSH-7", "20250601T120000Z")], "P-1 !time-untidy"),
    ("document.ipp", &[("PID-3", "P-1^^^CHU")], "P-1 !ipp-untyped"),
    ("document.ipp", &[("PID-3", "P-1^^^CHU"), ("PID-7", "")], "unknown-patient PID-3.1"),
    ("document.ipp", &[("PID-3", "279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-32", "VALI")], "P-1"),
    ("document.ipp", &[("PID-3", "279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-32", "PROV")], "unknown-patient PID-3"),
    ("document.ipp", &[("PID-3", "P-2^^^CHU^PI~279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS"), ("PID-5", ""), ("PID-7", ""), ("PID-8", "")], "identity-mismatch PID-3"),
    ("document.ipp", &[("PID-3", "P-99^^^CHU^PI")], "unknown-patient PID-3.1"),
    ("document.ipp", &[("PID-3", "")], "missing-ipp PID-3"),
    ("document.ipp", &[("PID-5", "")], "P-1"),
    ("document.ipp", &[("PID-5", "AUTRE^Jeanne^^^^^L"), ("PID-7", "1970")], "identity-mismatch PID-5"),
    ("document.case", &[("PID-8", "M"), ("TXA-14", "C-1")], "- !identity-mismatch"),
    // case id | TXA-14.1 | no
    ("document.case", &[], "-"),
    ("document.case", &[("TXA-14", "C-1")], "C-1"),
    ("document.case", &[("TXA-14", "C-99")], "- !unknown-case"),
    ("document.case", &[("TXA-14", "C-1"), ("PID-3", "P-2^^^CHU^PI"), ("PID-5", ""), ("PID-7", ""), ("PID-8", "")], "case-patient-mismatch TXA-14.1"),
    // case hint | ORC-2.1, OBR-2.1 | no
    ("document.case", &[("ORC-2", "C-1^EHR")], "C-1"),
    ("document.case", &[("ORC-2", "O-7"), ("OBR-2", "C-1")], "C-1"),
    ("document.case", &[("ORC-2", "O-7")], "-"),
    ("document.case", &[("TXA-14", "C-99"), ("ORC-2", "C-1")], "- !unknown-case"),
    // network id | MSH-5.1 | no
    ("document.id", &[("MSH-5", "NET-9")], "*"),
    ("document.id", &[("MSH-5", "NET-2")], "* !network-mismatch"),
    // file | OBX-5.5 with OBX-5.4 = Base64, or bare base64 in OBX-5.1 | at least one
    ("document.type", &[], "pdf"),
    ("document.type", &[("OBX-5", "^^PDF^BASE64^JVBERi0xLjQKJSVFT0YK")], "pdf"),
    ("document.type", &[("OBX-5", "JVBERi0xLjQKJSVFT0YK")], "pdf"),
    ("document.type", &[("OBX-5", "any^thing^here^Base64^/9j/4AAQ/9k=")], "jpeg"),
    ("document.type", &[("OBX-5", "^^PDF^Base64^JVBERi0x\\.br\\LjQKJSVFT0YK")], "pdf"),
    ("document.type", &[("OBX-5", "^^PDF^Base64^JVBERi0xLjQKJSVFT0Y")], "pdf"),
    ("document.type", &[("OBX-5", "^^PDF^Base64^JVBERi0*LjQK")], "bad-base64 OBX-5.5"),
    ("document.type", &[("OBX-5", "^^PDF^Base64^JVBER")], "bad-base64 OBX-5.5"),
    ("document.type", &[("OBX-5", "^^PDF^Hex^255044462D")], "bad-base64 OBX-5.4"),
    ("document.type", &[("OBX-5", "^^PDF^Base64^UEsDBBQABgA=")], "document-type OBX-5.5"),
    ("document.type", &[("OBX-5", "")], "missing-field OBX-5.5"),
    ("document.type", &[("OBX-2", "TX")], "pdf !obx-type"),
    ("document.type", &[("OBX-2", "TX"), ("OBX-5", "Bonjour")], "missing-segment"),
    // file name | TXA-16, OBX-3.2, OBX-3.1; with an ending that fits | yes
    ("document.file_name", &[], "letter.pdf"),
    ("document.file_name", &[("TXA-16", "/tmp/../Lettre")], "tmp-Lettre.pdf"),
    ("document.file_name", &[("TXA-16", "")], "Compte rendu.pdf"),
    ("document.file_name", &[("TXA-16", ""), ("OBX-3", "CR")], "CR.pdf"),
    ("document.file_name", &[("TXA-16", "..."), ("OBX-3", "CR")], "document.pdf"),
    ("document.file_name", &[("TXA-16", ""), ("OBX-3", "")], "missing-field OBX-3.1"),
    // unique document id | the whole TXA-12, else OBR-3 + OBX-3.1 + OBX-4 | no
    ("document.version", &[], "1"),
    ("document.version", &[("TXA-12", "D-1")], "2"),
    ("document.version", &[("TXA-12", "D-1^LAB")], "1"),
    ("document.version", &[("TXA-12", "")], "1"),
    // status | OBX-11
    ("document.version", &[("TXA-12", "D-1"), ("OBX-11", "C")], "2"),
    ("document.version", &[("TXA-13", "D-1"), ("OBX-11", "C")], "2"),
    ("document.version", &[("TXA-13", "D-1")], "1"),
    ("document.version", &[("OBX-11", "C")], "1 !unknown-document"),
    ("document.deleted", &[("TXA-12", "D-1"), ("OBX-11", "D"), ("OBX-5", "")], "true"),
    ("document.deleted", &[("TXA-12", "D-1"), ("OBX-11", "W"), ("OBX-5", "")], "true"),
    ("document.deleted", &[("MSH-9", "MDM^T11"), ("TXA-13", "D-1"), ("OBX-11", "")], "true"),
    ("document.version", &[("MSH-9", "MDM^T10"), ("TXA-13", "D-1"), ("OBX-11", "")], "2"),
];

/// A facility with a store in memory; nothing touches a disk.
struct World {
    config: Config,
    store: MemoryStore,
}

impl World {
    /// S-1 on this date for this pathway or the family FAM-1, and S-2 on another day.
    fn with_sessions(date: &str, pathway: &str) -> Self {
        let text =
            "[[facility]]\nid = \"demo\"\n[facility.cda]\nnetwork_root = \"1.2.250.1.999.3\"\n";
        let world = Self {
            config: Config::from_text(text, Path::new("test.toml")).unwrap(),
            store: MemoryStore::default(),
        };
        let list = format!(
            "id,label,date,pathway_id,family_id\nS-1,RCP,{date},{pathway},FAM-1\nS-2,RCP,2025-05-20,PATH-2,\n"
        );
        world.list(list.as_bytes());
        world
    }

    /// What `fixtures/known` says.
    fn with_known() -> Self {
        let world = Self::with_sessions("2025-05-06", "NONE");
        world.list(include_bytes!("../fixtures/known/sessions.csv"));
        let messages = include_bytes!("../fixtures/known/messages.hl7");
        for message in rcpspool::hl7::split(messages).unwrap().messages {
            world.receive(message).unwrap();
        }
        world
    }

    fn list(&self, list: &[u8]) {
        let context = DeskContext {
            config: &self.config,
            time: DateTime::UNIX_EPOCH,
            now: DateTime::UNIX_EPOCH,
        };
        let decided = desk::decide_sessions(list, &PendingChanges::new(&self.store), &context);
        self.settle(decided).unwrap();
    }

    /// The codes of the warnings, or the reason and place of the refusal.
    fn receive(&self, message: &[u8]) -> Result<Vec<String>, String> {
        let message = Message::parse(message).unwrap();
        let view = PendingChanges::new(&self.store);
        self.settle(route::decide(&message, &view, &self.context()))
    }

    fn receive_cda(&self, document: &[u8]) -> Result<Vec<String>, String> {
        let cda = cda::parse(document).unwrap();
        let view = PendingChanges::new(&self.store);
        self.settle(route::decide_cda(document, &cda, &view, &self.context()))
    }

    fn context(&self) -> Context<'_> {
        Context {
            facility: &self.config.facilities[0],
            versions: &self.config.intake.versions,
            future: self.config.intake.future,
            now: DateTime::from_timestamp(1_767_225_600, 0).unwrap(),
        }
    }

    fn settle(&self, decided: DecisionResult<'_>) -> Result<Vec<String>, String> {
        match decided {
            Ok(decision) => {
                let changes = PendingChanges::new(&self.store)
                    .apply(&decision.changes)
                    .unwrap();
                apply_all(&self.store, &changes).unwrap();
                let codes = decision.warnings.iter();
                Ok(codes
                    .map(|warning| warning.code.code().to_owned())
                    .collect())
            }
            Err(Stop::Refused(refusal)) => {
                let place = refusal.place.map(|place| place.shown).unwrap_or_default();
                Err(format!("{} {place}", refusal.reason.code())
                    .trim()
                    .to_owned())
            }
            Err(Stop::View(error)) => panic!("{error}"),
        }
    }

    fn rows(&self, what: Listing) -> Vec<Value> {
        listing::list(what, &Filter::default(), &self.store, &self.config).unwrap()
    }
}

/// A datum as the tables write it: `-` for nothing.
fn written(value: &Value) -> String {
    let part = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(map) if map.contains_key("oid") => {
            format!("{} {}", part("value"), part("oid"))
        }
        Value::Object(_) => format!(
            "{}, {} {}, {}",
            part("street"),
            part("postal_code"),
            part("city"),
            part("country")
        ),
        other => other.to_string(),
    }
}

/// What is known of a datum once a message was received: of the record that the message changed, told by the others.
fn known(
    world: &World,
    datum: &str,
    before: &[Value],
    received: Result<Vec<String>, String>,
) -> String {
    let warnings = match received {
        Ok(warnings) => warnings,
        Err(refused) => return refused,
    };
    let (kind, key) = datum.split_once('.').unwrap();
    let rows = world.rows(kind_of(kind));
    let changed: Vec<&Value> = rows.iter().filter(|row| !before.contains(row)).collect();
    let [row] = &changed[..] else {
        panic!("{datum}: one {kind} has changed: {changed:#?}")
    };
    let warnings: String = warnings.iter().map(|code| format!(" !{code}")).collect();
    written(row.get(key).unwrap_or_else(|| panic!("no {datum}"))) + &warnings
}

fn kind_of(kind: &str) -> Listing {
    match kind {
        "patient" => Listing::Patients,
        "case" => Listing::Cases,
        "document" => Listing::Documents,
        other => panic!("no {other}"),
    }
}

/// A whole message with fields set, such as `AIP(2)-1`; a segment that is not there yet follows the others.
fn with(message: &str, exchanged: &[(&str, &str)]) -> String {
    let mut segments: Vec<Vec<String>> = message
        .lines()
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect();
    for (position, value) in exchanged {
        let (segment, field) = position.split_once('-').unwrap();
        let (name, occurrence) = match segment.split_once('(') {
            Some((name, number)) => (name, number.trim_end_matches(')').parse().unwrap()),
            None => (segment, 1),
        };
        // In MSH the separator is the first field.
        let place = field.parse::<usize>().unwrap() - usize::from(name == "MSH");
        let found = (0..segments.len())
            .filter(|index| segments[*index][0] == name)
            .nth(occurrence - 1);
        let index = found.unwrap_or_else(|| {
            segments.push(vec![name.to_owned()]);
            segments.len() - 1
        });
        let fields = &mut segments[index];
        fields.resize(fields.len().max(place + 1), String::new());
        fields[place] = (*value).to_owned();
    }
    let lines: Vec<String> = segments.iter().map(|fields| fields.join("|")).collect();
    lines.join("\r") + "\r"
}

/// Receives a row's message in a new world, and says where what is known differs from the row.
fn check(
    table: &[Row],
    world: impl Fn() -> World,
    receive: impl Fn(&World, &Row) -> Result<Vec<String>, String>,
) {
    let differing: Vec<String> = table
        .iter()
        .filter_map(|row| {
            let (datum, exchanged, expected) = row;
            let world = world();
            let (kind, _) = datum.split_once('.').unwrap();
            let before = world.rows(kind_of(kind));
            let found = known(&world, datum, &before, receive(&world, row));
            let is_any = expected.split(' ').next() == Some("*");
            let found = match found.split_once(' ') {
                _ if !is_any => found,
                Some((_, warnings)) => format!("* {warnings}"),
                None => "*".to_owned(),
            };
            (found != *expected).then(|| {
                format!("{datum} {exchanged:?}\n  expected {expected}\n  found    {found}")
            })
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn a_patient_is_read_as_the_table_says() {
    check(
        PATIENT,
        || World::with_sessions("2025-04-08", "PATH-1"),
        |world, (_, exchanged, _)| world.receive(with(ADT, exchanged).as_bytes()),
    );
}

#[test]
fn a_scheduling_by_siu_is_read_as_the_table_says() {
    check(
        SCHEDULING,
        || World::with_sessions("2025-04-08", "PATH-1"),
        |world, (_, exchanged, _)| world.receive(with(SIU, exchanged).as_bytes()),
    );
}

#[test]
fn a_cda_is_read_as_the_table_says() {
    let whole = include_str!("../fixtures/cda/meeting.xml");
    check(
        CDA,
        || World::with_sessions("2025-04-15", "THORAX"),
        |world, (_, exchanged, _)| {
            let document = exchanged
                .iter()
                .fold(whole.to_owned(), |document, (from, to)| {
                    assert!(document.contains(from), "{from}");
                    document.replace(from, to)
                });
            world.receive_cda(document.as_bytes())
        },
    );
}

#[test]
fn a_document_is_read_as_the_table_says() {
    check(DOCUMENTS, World::with_known, |world, (_, exchanged, _)| {
        world.receive(with(MDM, exchanged).as_bytes())
    });
}
