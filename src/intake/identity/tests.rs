use super::compare::{Agreement, compare, is_surely};
use super::ipp::{IppRead, ipp};
use super::patient::{new_patient, update};
use super::*;
use crate::intake::testing::World;
use crate::model::identifiers::Ipp;
use crate::model::outcome::Location;
use crate::model::patient::Patient;

const NIR: &str = "ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO";

fn refused<T>(result: Result<T, Refusal>) -> String {
    match result {
        Ok(_) => "taken".to_owned(),
        Err(refusal) => format!(
            "{} {}",
            refusal.reason.code(),
            refusal.place.unwrap_or_default().shown
        ),
    }
}

fn codes(warnings: &[Warning]) -> Vec<&'static str> {
    warnings.iter().map(|warning| warning.code.code()).collect()
}

/// Reads the demographics of a PID that has these fields.
fn read(fields: &[(usize, &str)]) -> Result<(Demographics, Vec<Warning>), Refusal> {
    let mut pid = vec![""; 41];
    pid[0] = "PID";
    for (number, value) in fields {
        pid[*number] = value;
    }
    let bytes = format!(
        "MSH|^~\\&|||||20250401||ADT^A28|1|P|2.5\r{}\r",
        pid.join("|")
    );
    let message = Message::parse(bytes.as_bytes()).unwrap();
    let mut warnings = Vec::new();
    let demographics = demographics(
        &message.first("PID").unwrap(),
        Some(&message),
        &World::new().facility,
        &mut warnings,
        &mut Trail::off(),
    )?;
    Ok((demographics, warnings))
}

fn known() -> Patient {
    let (demographics, _) = read(&[(5, "MARTIN^Léa^^^^^L"), (7, "19700102"), (8, "F")]).unwrap();
    let ipp = IppRead {
        ipp: Ipp::new("P-1"),
        authority: None,
        untyped: false,
        foreign: false,
        place: SourceLocation::Element(""),
    };
    new_patient(
        &World::new().facility,
        &ipp,
        demographics,
        &mut Trail::off(),
    )
    .unwrap()
}

#[test]
fn the_ipp_is_the_facilitys() {
    let ins = format!("279035121518989^^^{NIR}^INS");
    let untyped_ins = format!("279035121518989^^^{NIR}");
    for (identifiers, authority, expected) in [
        ("1^^^CHU&1.2&ISO^PI", None, "1"),
        ("1^^^CHU^PI", Some("OTHER"), "1"),
        (" 1 ^^^^PI", None, "1"),
        ("7^^^X^AN~1^^^^PI", None, "1"),
        ("1^^^A^PI~2^^^B^PI", Some("B"), "2"),
        ("1^^^A&1.2&ISO^PI~2^^^B&1.3&ISO^PI", Some("1.3"), "2"),
        ("1^^^A^PI~1^^^B^PI", None, "1"),
        ("1^^^A^PI~2^^^B^PI", None, "ambiguous-ipp PID-3"),
        ("1^^^A^PI~2^^^B^PI", Some("C"), "ambiguous-ipp PID-3"),
        ("1^^^B^PI~2^^^B^PI", Some("B"), "ambiguous-ipp PID-3"),
        ("^^^A^PI~2^^^B^PI", None, "2"),
        ("\"\"^^^A^PI", None, "missing-ipp PID-3"),
        ("2345^^^LIS", None, "2345 untyped"),
        (&format!("2345~{ins}"), None, "2345 untyped"),
        (&format!("{untyped_ins}~2345"), None, "2345 untyped"),
        (&untyped_ins, None, "missing-ipp PID-3"),
        (&ins, None, "missing-ipp PID-3"),
        ("1~2", None, "missing-ipp PID-3"),
        ("1^^^^AN", None, "missing-ipp PID-3"),
        ("^^^^PI", None, "missing-ipp PID-3"),
        ("", None, "missing-ipp PID-3"),
    ] {
        let mut facility = World::new().facility;
        facility.ipp_authority = authority.map(str::to_owned);
        let bytes = format!("MSH|^~\\&|\rPID|1||{identifiers}\r");
        let message = Message::parse(bytes.as_bytes()).unwrap();
        let result = ipp(&message.first("PID").unwrap(), &facility, &mut Trail::off());
        let found = match result {
            Ok(read) if read.untyped => format!("{} untyped", read.ipp),
            Ok(read) => read.ipp.to_string(),
            refused_ => refused(refused_),
        };
        assert_eq!(found, expected, "{identifiers}");
    }
}

#[test]
fn the_place_and_authority_of_the_ipp_are_kept() {
    let message = Message::parse(b"MSH|^~\\&|\rPID|1||9^^^X^AN~1^^^CHU&1.2&ISO^PI\r").unwrap();
    let read = ipp(
        &message.first("PID").unwrap(),
        &World::new().facility,
        &mut Trail::off(),
    )
    .unwrap();
    let authority = read.authority.unwrap();
    assert_eq!(
        (
            authority.namespace.as_str(),
            authority.universal_id.as_str(),
            authority.universal_id_type.as_str()
        ),
        ("CHU", "1.2", "ISO")
    );
    assert_eq!(Location::from(read.place).shown, "PID-3(2).1");
    assert_eq!(Location::from(read.place).erl.unwrap(), "PID^1^3^2^1");
}

#[test]
fn an_ins_has_a_valid_key() {
    for (identifiers, expected, warned) in [
        (
            format!("279035121518989^^^{NIR}^INS"),
            Some("279035121518989"),
            0,
        ),
        (
            format!("1^^^^PI~279035121518989^^^{NIR}"),
            Some("279035121518989"),
            0,
        ),
        (format!("279035121518988^^^{NIR}^INS"), None, 1),
        (
            format!("279035121518988^^^{NIR}~279035121518989^^^{NIR}"),
            Some("279035121518989"),
            1,
        ),
        (format!("^^^{NIR}^INS"), None, 0),
        ("279035121518989^^^CHU^INS".to_owned(), None, 0),
    ] {
        let (demographics, warnings) = read(&[(3, &identifiers), (32, "VALI")]).unwrap();
        let ins = demographics.ins.given();
        assert_eq!(
            ins.as_ref().map(|ins| ins.value.as_str()),
            expected,
            "{identifiers}"
        );
        assert!(ins.is_none_or(|ins| ins.oid == "1.2.250.1.213.1.4.8"));
        assert_eq!(
            codes(&warnings),
            vec!["ins-invalid"; warned],
            "{identifiers}"
        );
    }
}

#[test]
fn names_are_told_by_their_type() {
    for (names, birth, usual, given, birth_given) in [
        ("MARTIN^Léa^^^^^L", "MARTIN", "MARTIN", "Léa", "Léa"),
        (
            "MARTIN^Léa^^^^^D~DUPONT^Léa Marie^^^^^L",
            "DUPONT",
            "MARTIN",
            "Léa",
            "Léa Marie",
        ),
        (
            "DUPONT^Léa^^^^^L~MARTIN^^^^^^D",
            "DUPONT",
            "MARTIN",
            "Léa",
            "Léa",
        ),
        ("MARTIN^Léa", "MARTIN", "MARTIN", "Léa", "Léa"),
        (
            "MARTIN^Léa~DUPONT^Lili^^^^^D",
            "MARTIN",
            "DUPONT",
            "Lili",
            "Léa",
        ),
        (
            "MARTIN&de&^Léa^^^^^L",
            "MARTIN&de",
            "MARTIN&de",
            "Léa",
            "Léa",
        ),
        (
            "DE MARTIN&de&MARTIN&&DUPONT^Léa^^^^^L",
            "DE MARTIN",
            "DE MARTIN",
            "Léa",
            "Léa",
        ),
        ("A&B^Léa^^^^^L~C&D^Lili^^^^^D", "A&B", "C&D", "Lili", "Léa"),
        (" O\\T\\K ^ Léa ^^^^^L", "O&K", "O&K", "Léa", "Léa"),
    ] {
        let fields = [(5, names), (7, "1970"), (8, "M")];
        let patient = read(&fields).and_then(|(demographics, _)| {
            let ipp = IppRead {
                ipp: Ipp::new("1"),
                authority: None,
                untyped: false,
                foreign: false,
                place: SourceLocation::Element(""),
            };
            new_patient(
                &World::new().facility,
                &ipp,
                demographics,
                &mut Trail::off(),
            )
        });
        let patient = patient.unwrap();
        assert_eq!(patient.birth_name, birth, "{names}");
        assert_eq!(patient.usual_name, usual, "{names}");
        assert_eq!(patient.given_name, given, "{names}");
        assert_eq!(
            patient.birth_given_name.as_deref(),
            Some(birth_given),
            "{names}"
        );
    }
    for names in [
        "MARTIN^Léa^^^^^D",
        "MARTIN^Léa~MARTIN^Lili",
        "MARTIN^Léa^^^^^M",
        "",
    ] {
        let (demographics, _) = read(&[(5, names)]).unwrap();
        assert_eq!(demographics.birth_name, FieldUpdate::Absent, "{names}");
    }
}

#[test]
fn an_update_keeps_names_that_stood_apart() {
    let mut known = known();
    known.usual_name = "DUPONT".to_owned();
    known.given_name = "Lili".to_owned();
    let ipp = IppRead {
        ipp: known.ipp.clone(),
        authority: None,
        untyped: false,
        foreign: false,
        place: SourceLocation::Element(""),
    };
    let (said, _) = read(&[(5, "MARTEL^Léna^^^^^L")]).unwrap();
    let updated = update(&known, &ipp, said).unwrap();
    assert_eq!(
        (updated.birth_name.as_str(), updated.usual_name.as_str()),
        ("MARTEL", "DUPONT")
    );
    assert_eq!(
        (
            updated.given_name.as_str(),
            updated.birth_given_name.as_deref()
        ),
        ("Lili", Some("Léna"))
    );
    let (said, _) = read(&[(5, "MARTEL^\"\"^^^^^L")]).unwrap();
    assert_eq!(update(&known, &ipp, said).unwrap().birth_given_name, None);
    let (said, _) = read(&[(5, "MARTEL^\"\"^^^^^L~\"\"^\"\"^^^^^D")]).unwrap();
    assert_eq!(refused(update(&known, &ipp, said)), "missing-field PID-5.2");
}

#[test]
fn dates_of_birth_may_be_partial() {
    for (sent, expected) in [
        ("19730416", "1973-04-16"),
        ("19501104000000", "1950-11-04"),
        ("197304", "1973-04"),
        ("1973", "1973"),
    ] {
        let (demographics, _) = read(&[(7, sent)]).unwrap();
        assert_eq!(
            demographics.birth_date.given().unwrap().to_string(),
            expected
        );
    }
    for sent in ["19730230", "16/04/1973", "73", "unknown"] {
        assert_eq!(refused(read(&[(7, sent)])), "invalid-date PID-7.1");
    }
}

#[test]
fn the_phone_number_is_chosen_by_its_kind() {
    let fixed = "0142515151^PRN^PH";
    let mobile = "0612345678^PRN^CP";
    let work = "0142515152^WPN^PH";
    for (telecoms, expected) in [
        (format!("{fixed}~{mobile}"), "+33612345678"),
        (format!("{work}~{fixed}"), "+33142515151"),
        (work.to_owned(), "+33142515152"),
        (format!("0612345679^WPN^CP~{fixed}"), "+33142515151"),
        ("0142515151".to_owned(), "+33142515151"),
        ("0142515151^PRN".to_owned(), "+33142515151"),
        (format!("0142515151~{mobile}"), "+33612345678"),
        ("^PRN^CP^^33^6^12345678".to_owned(), "+33612345678"),
        ("^PRN^PH^^^01^42515151".to_owned(), "+33142515151"),
        ("^WPN^PH^^^^^^^^^0546442221".to_owned(), "+33546442221"),
        (format!("^PRN^CP~{fixed}"), "+33142515151"),
        (format!("nothing^PRN^FX~{fixed}"), "+33142515151"),
        (format!("1234^WPN^PH~{fixed}"), "+33142515151"),
        ("0692123456^PRN^CP".to_owned(), "+262692123456"),
        (format!("\"\"^PRN^CP~{fixed}"), "+33142515151"),
        ("\"\"^PRN^CP".to_owned(), "erased"),
        ("\"\"".to_owned(), "erased"),
        ("a@b.fr".to_owned(), "nothing"),
        ("^NET^Internet^a@b.fr".to_owned(), "nothing"),
        ("^^^^^".to_owned(), "nothing"),
        (String::new(), "nothing"),
        (format!("1234^PRN^CP~{fixed}"), "invalid-phone PID-13.1"),
        (format!("{fixed}~1234^PRN^CP"), "invalid-phone PID-13(2).1"),
        ("^PRN^CP^^^^^^^^^1234".to_owned(), "invalid-phone PID-13.12"),
        ("^PRN^CP^^33^6^1".to_owned(), "invalid-phone PID-13.7"),
    ] {
        let found = match read(&[(13, &telecoms)]) {
            Ok((demographics, _)) => match demographics.phone {
                FieldUpdate::Given(phone) => phone.as_str().to_owned(),
                FieldUpdate::Delete => "erased".to_owned(),
                FieldUpdate::Absent => "nothing".to_owned(),
            },
            refusal => refused(refusal),
        };
        assert_eq!(found, expected, "{telecoms}");
    }
}

#[test]
fn the_email_is_told_by_its_kind() {
    for (telecoms, expected) in [
        ("^NET^Internet^a@b.fr", "a@b.fr"),
        ("^PRN^Internet^a@b.fr", "a@b.fr"),
        ("^NET^^a@b.fr", "a@b.fr"),
        ("^NET^X.400^a@b.fr", "a@b.fr"),
        ("0142515151^PRN^PH~^^^a@b.fr", "a@b.fr"),
        ("a@b.fr", "a@b.fr"),
        ("a@b.fr^NET", "a@b.fr"),
        ("^NET^Internet~^NET^Internet^c@d.fr", "c@d.fr"),
        ("^NET^Internet^\"\"", "erased"),
        ("\"\"", "erased"),
        ("0142515151^PRN^PH^a@b.fr", "nothing"),
        ("^NET^Internet", "nothing"),
        ("^NET^Internet^a@b", "invalid-email PID-13.4"),
        ("^NET^Internet^nobody", "invalid-email PID-13.4"),
        ("0142515151^PRN^PH~a@b", "invalid-email PID-13(2).1"),
    ] {
        let found = match read(&[(13, telecoms)]) {
            Ok((demographics, _)) => match demographics.email {
                FieldUpdate::Given(email) => email.as_str().to_owned(),
                FieldUpdate::Delete => "erased".to_owned(),
                FieldUpdate::Absent => "nothing".to_owned(),
            },
            refusal => refused(refusal),
        };
        assert_eq!(found, expected, "{telecoms}");
    }
}

#[test]
fn a_name_is_not_cut_where_an_entity_stands() {
    for (name, family, given) in [
        ("O&apos;BRIEN^Anne", "O'BRIEN", "Anne"),
        ("D&#39;ARC^Ren&eacute;e", "D'ARC", "Renée"),
        ("D&#x27;ARC&D&#x27;&ARC^Anne", "D'ARC", "Anne"),
        (
            "DE LA TOUR&DE LA&TOUR^Jean&Pierre",
            "DE LA TOUR",
            "Jean&Pierre",
        ),
        ("A\\T\\B^Anne", "A&B", "Anne"),
    ] {
        let (demographics, _) = read(&[(5, &format!("{name}^^^^^L"))]).unwrap();
        let found = [demographics.birth_name, demographics.birth_given_name];
        let expected = [family, given].map(|it| FieldUpdate::Given(it.to_owned()));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn an_address_is_whole_or_not_kept() {
    let birth_place = "^^Lyon^^69000^FRA^BDL";
    for (addresses, expected, warned) in [
        (
            "1 rue X^^Paris^^75001^FRA^H".to_owned(),
            Some("1 rue X, 75001 Paris, FRA"),
            0,
        ),
        (
            "&rue X&1^^Paris^^75001^FRA".to_owned(),
            Some("1 rue X, 75001 Paris, FRA"),
            0,
        ),
        (
            "&rue X^^Paris^^75001^FRA^H".to_owned(),
            Some("rue X, 75001 Paris, FRA"),
            0,
        ),
        (
            format!("{birth_place}~1 rue X^^Paris^^75001^FRA^C"),
            Some("1 rue X, 75001 Paris, FRA"),
            0,
        ),
        (
            format!("2 rue Y^^Metz^^57000^FRA^O~{birth_place}~1 rue X^^Paris^^75001^FRA^H"),
            Some("1 rue X, 75001 Paris, FRA"),
            0,
        ),
        (
            "1 rue X&rue X&1^^Paris^^75001^FRA^H".to_owned(),
            Some("1 rue X, 75001 Paris, FRA"),
            0,
        ),
        (
            "1 rue A&B^^St&Malo^^35&000^FRA^H".to_owned(),
            Some("1 rue A&B, 35&000 St&Malo, FRA"),
            0,
        ),
        (
            "1 rue d&apos;Az&eacute;^^L&#39;Ha\u{ff}^^75001^FRA^H".to_owned(),
            Some("1 rue d'Azé, 75001 L'Ha\u{ff}, FRA"),
            0,
        ),
        (birth_place.to_owned(), None, 0),
        ("1 rue X^^Paris^^75001^^H".to_owned(), None, 1),
        ("^^^^^FRA^H".to_owned(), None, 1),
        ("^^^^^^H".to_owned(), None, 0),
        (String::new(), None, 0),
    ] {
        let (demographics, warnings) = read(&[(11, &addresses)]).unwrap();
        let found = demographics.address.given().map(|address| {
            format!(
                "{}, {} {}, {}",
                address.street, address.postal_code, address.city, address.country
            )
        });
        assert_eq!(found.as_deref(), expected, "{addresses}");
        assert_eq!(
            codes(&warnings),
            vec!["address-partial"; warned],
            "{addresses}"
        );
    }
    for addresses in ["\"\"", "\"\"^^\"\"^^\"\"^\"\""] {
        assert_eq!(
            read(&[(11, addresses)]).unwrap().0.address,
            FieldUpdate::Delete
        );
    }
}

#[test]
fn identities_are_compared_in_what_is_there() {
    use Agreement::{Contradicts, Differs, Same};
    for (name, date, sex, expected) in [
        ("MARTIN", "19700102", "F", Same),
        ("märtin", "1970", "F", Same),
        ("", "", "", Same),
        ("DUPONT", "19700102", "F", Differs(vec!["birth name"])),
        ("MARTIN", "197002", "F", Differs(vec!["date of birth"])),
        ("MARTIN", "", "M", Differs(vec!["sex"])),
        ("DUPONT", "", "M", Differs(vec!["birth name", "sex"])),
        ("DUPONT", "1971", "F", Contradicts),
    ] {
        let (demographics, _) =
            read(&[(5, &format!("{name}^^^^^^L")), (7, date), (8, sex)]).unwrap();
        assert_eq!(
            compare(&known(), &demographics.traits()),
            expected,
            "{name} {date} {sex}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_not_compared() {
    let message =
        Message::parse(b"MSH|^~\\&|\rPID|||||MARTIN^L\xC3\xA9a||unknown|U|||||1234\r").unwrap();
    let traits = traits(&message.first("PID").unwrap(), &mut Trail::off());
    assert_eq!(compare(&known(), &traits), Agreement::Same);
    assert_eq!(traits.birth_given_name.as_deref(), Some("Léa"));
    assert_eq!((traits.birth_date, traits.sex), (None, None));
    assert!(!is_surely(&known(), &traits));
}
