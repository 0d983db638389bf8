//! The HL7 message that carries a report's PDF: `MDM^T02` or `ORU^R01` (SPEC 8).
//!
//! The PDF may be large, so the message is made as an [`Envelope`]: the text before and after the
//! base64 of the PDF. [`super::batch`] puts the PDF in between while it writes.

use std::str::FromStr;

use chrono::NaiveDate;

/// Which message carries the report (`reports.format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `MDM^T02`, medical document management (HL7 v2.5, chapter 9).
    MdmT02,
    /// `ORU^R01`, observation result (HL7 v2.5, chapter 7).
    OruR01,
}

/// A physician with the national number: XCN in PV1-7, TXA-10 and OBR-16.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Physician {
    /// RPPS, as it is to be sent.
    pub rpps: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
}

/// Who issued the IPP: the components of PID-3.4 (HD).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authority {
    /// HD.1, the name of the authority.
    pub namespace: String,
    /// HD.2, its OID.
    pub oid: String,
    /// HD.3, `ISO` where there is an OID.
    pub oid_type: String,
}

/// The patient's address, PID-11.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// PID-11.1.
    pub street: String,
    /// PID-11.3.
    pub city: String,
    /// PID-11.5.
    pub postal_code: String,
    /// PID-11.6.
    pub country: String,
}

/// A field of `MDM^T02` that can hold the lead physician (`reports.lead`): one whose type is XCN
/// and which the message does not use for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadField {
    segment: &'static str,
    field: usize,
}

const LEAD_FIELDS: [LeadField; 7] = {
    const fn at(segment: &'static str, field: usize) -> LeadField {
        LeadField { segment, field }
    }
    [
        at("TXA", 10),
        at("TXA", 5),
        at("TXA", 9),
        at("TXA", 11),
        at("PV1", 8),
        at("PV1", 9),
        at("PV1", 17),
    ]
};

impl Default for LeadField {
    /// `TXA-10`.
    fn default() -> Self {
        LEAD_FIELDS[0]
    }
}

/// A position that cannot hold the lead physician.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot hold the lead physician; one of TXA-10, TXA-5, TXA-9, TXA-11, PV1-8, PV1-9, PV1-17 can"
)]
pub struct NoLeadField(String);

impl FromStr for LeadField {
    type Err = NoLeadField;

    fn from_str(text: &str) -> Result<Self, NoLeadField> {
        LEAD_FIELDS
            .into_iter()
            .find(|lead| {
                text.split_once('-').is_some_and(|(segment, field)| {
                    segment.eq_ignore_ascii_case(lead.segment) && field.parse() == Ok(lead.field)
                })
            })
            .ok_or_else(|| NoLeadField(text.to_owned()))
    }
}

/// Everything that the message says about a report, in the order of its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportMessage {
    /// `MDM^T02` or `ORU^R01`.
    pub format: Format,
    /// MSH-12: `2.5` or `2.7`.
    pub version: String,
    /// MSH-3, also the namespace of the ids in TXA-12, TXA-13 and OBR-3.
    pub sending_application: String,
    /// MSH-4.
    pub sending_facility: String,
    /// MSH-5.
    pub receiving_application: String,
    /// MSH-6.
    pub receiving_facility: String,
    /// The time of this version's `complete`, `yyyymmddHHMMSS`, in the facility's time zone.
    pub time: String,
    /// MSH-10: `<facility>-<report number>-<version>`.
    pub control_id: String,
    /// PID-3.1.
    pub ipp: String,
    /// PID-3.4.
    pub authority: Authority,
    /// PID-5.1.
    pub birth_name: String,
    /// PID-5.2.
    pub given_name: String,
    /// PID-7: `yyyymmdd`, or only its year, or year and month.
    pub birth_date: String,
    /// PID-8: `M` or `F`.
    pub sex: String,
    /// PID-11.
    pub address: Option<Address>,
    /// PID-13.1.
    pub phone: Option<String>,
    /// PID-19, the social security number; `NC` (not communicated) without one.
    pub nss: Option<String>,
    /// PV1-7, and OBR-16 in an ORU.
    pub submitter: Option<Physician>,
    /// The session's lead physician, else the case's.
    pub lead: Option<Physician>,
    /// Where an MDM carries the lead; an ORU has OBR-32.
    pub lead_field: LeadField,
    /// TXA-12.3 or OBR-3.1: the same for all versions of the report.
    pub document_id: String,
    /// TXA-13.3 or OBR-4.2.
    pub session_label: String,
    /// TXA-16, OBX-3.2 and OBX-5.1, see [`file_name`].
    pub file_name: String,
    /// OBR-2 of an ORU.
    pub case_id: String,
}

/// The text of a message before and after the base64 of its PDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// From `MSH` up to and including the separator before the base64.
    pub prefix: String,
    /// From the separator after the base64 to the last segment end.
    pub suffix: String,
}

/// The message of a report, without its PDF.
pub fn envelope(message: &ReportMessage) -> Envelope {
    let mut prefix = String::new();
    for segment in segments(message) {
        prefix.push_str(&segment.to_text());
        prefix.push('\r');
    }
    let file_name = escape(&message.file_name);
    prefix.push_str(&format!("OBX|1|ED|CR^{file_name}||{file_name}^^CR^Base64^"));
    let suffix = format!("||||||F|||{}\r", escape(&message.time));
    Envelope { prefix, suffix }
}

/// All segments before the OBX with the PDF.
fn segments(message: &ReportMessage) -> Vec<Segment> {
    let time = escape(&message.time);
    let mut segments = vec![header(message, &time)];
    if message.format == Format::MdmT02 {
        segments.push(Segment::new("EVN").with(1, "T02").with(2, &time));
    }
    segments.push(patient(message));
    segments.push(
        Segment::new("PV1")
            .with(1, "1")
            .with(2, "O")
            .with(7, physician(message.submitter.as_ref())),
    );
    match message.format {
        Format::MdmT02 => {
            segments.push(document(message, &time));
            let lead = message.lead_field;
            for segment in &mut segments {
                if segment.name == lead.segment {
                    segment.set(lead.field, physician(message.lead.as_ref()));
                }
            }
        }
        Format::OruR01 => segments.push(order(message, &time)),
    }
    segments
}

/// MSH-17 to 19 say France, UTF-8 and, as the documentation's sample, `FRA` for the language.
fn header(message: &ReportMessage, time: &str) -> Segment {
    let message_type = match message.format {
        Format::MdmT02 => "MDM^T02^MDM_T02",
        Format::OruR01 => "ORU^R01^ORU_R01",
    };
    Segment::new("MSH")
        .with(2, "^~\\&")
        .with(3, escape(&message.sending_application))
        .with(4, escape(&message.sending_facility))
        .with(5, escape(&message.receiving_application))
        .with(6, escape(&message.receiving_facility))
        .with(7, time)
        .with(9, message_type)
        .with(10, escape(&message.control_id))
        .with(11, "P")
        .with(12, escape(&message.version))
        .with(17, "FRA")
        .with(18, "UTF-8")
        .with(19, "FRA")
}

fn patient(message: &ReportMessage) -> Segment {
    let Authority {
        namespace,
        oid,
        oid_type,
    } = &message.authority;
    let authority = [namespace, oid, oid_type]
        .map(|part| escape(part))
        .join("&");
    let address = message.address.clone().unwrap_or_default();
    let phone = match &message.phone {
        Some(phone) => format!("{}^PRN^CP", escape(phone)),
        None => "^^^".to_owned(),
    };
    let nss = message.nss.as_deref().unwrap_or("NC");
    Segment::new("PID")
        .with(1, "1")
        .with(
            3,
            format!(
                "{}^^^{}^PI",
                escape(&message.ipp),
                authority.trim_end_matches('&')
            ),
        )
        .with(
            5,
            format!(
                "{}^{}",
                escape(&message.birth_name),
                escape(&message.given_name)
            ),
        )
        .with(7, escape(&message.birth_date))
        .with(8, escape(&message.sex))
        .with(
            11,
            format!(
                "{}^^{}^^{}^{}",
                escape(&address.street),
                escape(&address.city),
                escape(&address.postal_code),
                escape(&address.country)
            ),
        )
        .with(13, phone)
        .with(19, escape(nss))
        .with(23, "")
}

fn document(message: &ReportMessage, time: &str) -> Segment {
    let namespace = escape(&message.sending_application);
    Segment::new("TXA")
        .with(1, "1")
        .with(2, "CR")
        .with(3, "PDF")
        .with(4, time)
        .with(6, time)
        .with(7, time)
        .with(8, time)
        .with(
            12,
            format!("FRCP_ID^{namespace}^{}^UIID", escape(&message.document_id)),
        )
        .with(
            13,
            format!("RCP_NAME^{namespace}^{}^L", escape(&message.session_label)),
        )
        .with(16, escape(&message.file_name))
        .with(17, "AU")
        .with(19, "AV")
}

fn order(message: &ReportMessage, time: &str) -> Segment {
    let namespace = escape(&message.sending_application);
    Segment::new("OBR")
        .with(1, "1")
        .with(2, escape(&message.case_id))
        .with(3, format!("{}^{namespace}", escape(&message.document_id)))
        .with(4, format!("FRCP^{}", escape(&message.session_label)))
        .with(7, time)
        .with(16, physician(message.submitter.as_ref()))
        .with(25, "F")
        .with(32, physician_name(message.lead.as_ref()))
}

/// The authority of RPPS numbers, as the CI-SIS writes it.
const RPPS_AUTHORITY: [&str; 3] = ["ASIP-SANTE-PS", "1.2.250.1.71.4.2.1", "ISO"];

/// XCN (HL7 v2.5, 2.A.88); nothing for nobody.
fn physician(physician: Option<&Physician>) -> String {
    physician.map_or_else(String::new, |physician| {
        format!(
            "{}^{}^{}^^^^^^{}^D^^^RPPS",
            escape(&physician.rpps),
            escape(&physician.family),
            escape(&physician.given),
            RPPS_AUTHORITY.join("&"),
        )
    })
}

/// NDL (HL7 v2.5, 2.A.47), whose first component holds the person in subcomponents.
fn physician_name(physician: Option<&Physician>) -> String {
    physician.map_or_else(String::new, |physician| {
        format!(
            "{}&{}&{}&&&&&&{}",
            escape(&physician.rpps),
            escape(&physician.family),
            escape(&physician.given),
            RPPS_AUTHORITY.join("&"),
        )
    })
}

/// A segment whose fields, encoded already, are set by their HL7 number.
struct Segment {
    name: &'static str,
    fields: Vec<String>,
}

impl Segment {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            fields: Vec::new(),
        }
    }

    fn with(mut self, number: usize, value: impl Into<String>) -> Self {
        self.set(number, value.into());
        self
    }

    fn set(&mut self, number: usize, value: String) {
        if self.fields.len() < number {
            self.fields.resize(number, String::new());
        }
        if let Some(field) = number
            .checked_sub(1)
            .and_then(|index| self.fields.get_mut(index))
        {
            *field = value;
        }
    }

    /// MSH-1 is the separator itself, so the fields of MSH are written from its second.
    fn to_text(&self) -> String {
        let written = if self.name == "MSH" { 1 } else { 0 };
        let mut text = self.name.to_owned();
        for field in self.fields.iter().skip(written) {
            text.push('|');
            text.push_str(field);
        }
        text
    }
}

/// Text as HL7 asks (HL7 v2.5, 2.7): delimiters as their escapes, line ends as `\.br\`, other
/// control characters in hexadecimal.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '|' => escaped.push_str("\\F\\"),
            '^' => escaped.push_str("\\S\\"),
            '&' => escaped.push_str("\\T\\"),
            '~' => escaped.push_str("\\R\\"),
            '\\' => escaped.push_str("\\E\\"),
            '\r' => {
                characters.next_if_eq(&'\n');
                escaped.push_str("\\.br\\");
            }
            '\n' => escaped.push_str("\\.br\\"),
            control if control.is_ascii_control() => {
                escaped.push_str(&format!("\\X{:02X}\\", u32::from(control)));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// The report's file name: `rcp_questionnaire_<BIRTH NAME>-<first letter of the given
/// name>_<ddmmyyyy>.pdf`, the date being that of the `complete` (SPEC 8).
pub fn file_name(birth_name: &str, given_name: &str, completed: NaiveDate) -> String {
    let initial = fold(given_name).chars().find(char::is_ascii_alphabetic);
    format!(
        "rcp_questionnaire_{}-{}_{}.pdf",
        fold(birth_name.trim()),
        initial.unwrap_or('-'),
        completed.format("%d%m%Y")
    )
}

/// Letters as ASCII capitals without their marks, everything else as `-`.
fn fold(text: &str) -> String {
    text.chars()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_uppercase)
        .fold(String::new(), |mut folded, letter| {
            match letter {
                'A'..='Z' => folded.push(letter),
                other => folded.push_str(
                    FOLDED
                        .iter()
                        .find(|(letters, _)| letters.contains(other))
                        .map_or("-", |(_, ascii)| ascii),
                ),
            }
            folded
        })
}

/// The marks of a letter that was sent decomposed.
fn is_combining_mark(character: char) -> bool {
    ('\u{300}'..='\u{36F}').contains(&character)
}

/// The capitals of the Latin blocks that French civil status and its neighbours use.
const FOLDED: [(&str, &str); 27] = [
    ("ÀÁÂÃÄÅĀĂĄǍȀȂẠẢẤẦẨẪẬẮẰẲẴẶ", "A"),
    ("Æ", "AE"),
    ("Ḃ", "B"),
    ("ÇĆĈĊČ", "C"),
    ("ÐĎĐḌ", "D"),
    ("ÈÉÊËĒĔĖĘĚȄȆẸẺẼẾỀỂỄỆ", "E"),
    ("Ƒ", "F"),
    ("ĜĞĠĢǦ", "G"),
    ("ĤĦḤ", "H"),
    ("ÌÍÎÏĨĪĬĮİǏỈỊ", "I"),
    ("Ĳ", "IJ"),
    ("Ĵ", "J"),
    ("ĶǨ", "K"),
    ("ĹĻĽĿŁ", "L"),
    ("ÑŃŅŇŊ", "N"),
    ("ÒÓÔÕÖØŌŎŐƠǑǪỌỎỐỒỔỖỘỚỜỞỠỢ", "O"),
    ("Œ", "OE"),
    ("ŔŖŘ", "R"),
    ("ŚŜŞŠȘṢ", "S"),
    ("ẞ", "SS"),
    ("ŢŤŦȚṬ", "T"),
    ("Þ", "TH"),
    ("ÙÚÛÜŨŪŬŮŰŲƯǓỤỦỨỪỬỮỰ", "U"),
    ("ŴẀẂẄ", "W"),
    ("ÝŶŸỲỴỶỸ", "Y"),
    ("ŹŻŽẒ", "Z"),
    ("ʼ’", "-"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with every datum, modelled on the documentation's example.
    fn full() -> ReportMessage {
        ReportMessage {
            format: Format::MdmT02,
            version: "2.5".into(),
            sending_application: "ROFIM".into(),
            sending_facility: "ROFIM".into(),
            receiving_application: "AXIGATE".into(),
            receiving_facility: "AXIGATE".into(),
            time: "20250401130502".into(),
            control_id: "demo-3840-1".into(),
            ipp: "2100054546".into(),
            authority: Authority {
                namespace: "CHU IPP".into(),
                ..Authority::default()
            },
            birth_name: "DUPONZZZ".into(),
            given_name: "FFFICTIF".into(),
            birth_date: "19341010".into(),
            sex: "M".into(),
            address: None,
            phone: None,
            nss: None,
            submitter: Some(Physician {
                rpps: "10102078838".into(),
                family: "Audrey".into(),
                given: "Médecin".into(),
            }),
            lead: None,
            lead_field: LeadField::default(),
            document_id: "67da8696f56896e0720d8bcf".into(),
            session_label: "3C - Dermatologie - Oncologie cutanée".into(),
            file_name: "rcp_questionnaire_DUPONZZZ-F_01042025.pdf".into(),
            case_id: "59384".into(),
        }
    }

    fn lead() -> Option<Physician> {
        Some(Physician {
            rpps: "10100094977".into(),
            family: "Ferry".into(),
            given: "Jules".into(),
        })
    }

    /// The lines of a message with the PDF left out.
    fn lines(message: &ReportMessage) -> Vec<String> {
        let Envelope { prefix, suffix } = envelope(message);
        let text = format!("{prefix}{suffix}");
        let text = text.strip_suffix('\r').unwrap();
        text.split('\r').map(str::to_owned).collect()
    }

    #[test]
    fn mdm_is_the_documentation_example_field_by_field() {
        assert_eq!(
            lines(&full()),
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
    fn patient_and_lead_where_they_are_known() {
        let mut message = full();
        message.authority = Authority {
            namespace: "CHU".into(),
            oid: "1.2.250.1.999.1".into(),
            oid_type: "ISO".into(),
        };
        message.address = Some(Address {
            street: "1 rue de l'Église".into(),
            city: "Marseille".into(),
            postal_code: "13005".into(),
            country: "FRA".into(),
        });
        message.phone = Some("+33612345678".into());
        message.nss = Some("134101305500112".into());
        message.lead = lead();
        let lines = lines(&message);
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
        for (position, segment, field) in [("TXA-5", 4, 5), ("PV1-8", 3, 8), ("pv1-17", 3, 17)] {
            let mut message = full();
            message.lead = lead();
            message.lead_field = position.parse().unwrap();
            let lines = lines(&message);
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
        for wrong in ["TXA-12", "PV1-7", "TXA", "TXA-", "OBX-5", "", "TXA-10.1"] {
            assert!(wrong.parse::<LeadField>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn oru_has_an_order_instead_of_event_and_document() {
        let mut message = full();
        message.format = Format::OruR01;
        message.version = "2.7".into();
        message.lead = lead();
        let lines = lines(&message);
        let names: Vec<_> = lines.iter().map(|line| &line[..3]).collect();
        assert_eq!(names, ["MSH", "PID", "PV1", "OBR", "OBX"]);
        assert!(lines[0].contains("|ORU^R01^ORU_R01|demo-3840-1|P|2.7|||||FRA|UTF-8|FRA"));
        assert_eq!(
            lines[3],
            "OBR|1|59384|67da8696f56896e0720d8bcf^ROFIM|FRCP^3C - Dermatologie - Oncologie cutanée|||20250401130502|||||||||10102078838^Audrey^Médecin^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^RPPS|||||||||F|||||||10100094977&Ferry&Jules&&&&&&ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO"
        );
    }

    #[test]
    fn nobody_is_an_empty_field() {
        let mut message = full();
        message.submitter = None;
        assert_eq!(lines(&message)[3], "PV1|1|O|||||");
        message.format = Format::OruR01;
        let lines = lines(&message);
        let fields: Vec<_> = lines[3].split('|').collect();
        assert_eq!((fields[16], fields[25], fields[32]), ("", "F", ""));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            escape("a|b^c&d~e\\f\r\ng\nh\ri\u{b}\tœ"),
            r"a\F\b\S\c\T\d\R\e\E\f\.br\g\.br\h\.br\i\X0B\\X09\œ"
        );
        let mut message = full();
        message.session_label = "RCP ORL|VADS\rEVN|".into();
        assert_eq!(lines(&message).len(), 6);
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
}
