//! Each thing that a statement can say, on small bodies of one statement.

use roxmltree::Document;

use super::*;

fn read_in(entries: &str) -> Questionnaire {
    let xml = format!(
        "<ClinicalDocument xmlns=\"urn:hl7-org:v3\" xmlns:xsi=\"{XSI}\"><component><structuredBody><component><section>\
         <text><content ID=\"t\">told</content></text>{entries}</section></component></structuredBody></component></ClinicalDocument>"
    );
    super::read(Document::parse(&xml).unwrap().root_element()).unwrap()
}

/// The statement of an observation with this inside.
fn observation(inside: &str) -> Statement {
    let mut read = read_in(&format!(
        "<entry><observation classCode=\"OBS\" moodCode=\"EVN\">{inside}</observation></entry>"
    ));
    read.sections.remove(0).statements.remove(0)
}

fn text(it: &Option<String>) -> &str {
    it.as_deref().unwrap_or_default()
}

#[test]
fn a_value_is_read_by_its_type() {
    for (xml, value, code, unit, null_flavor, is_kept) in [
        (
            "<value xsi:type='CD' code='A' displayName='Aa' codeSystem='1'/>",
            "Aa",
            "A",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='CD' code='A' codeSystem='1'/>",
            "A",
            "A",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='CE'><originalText>Oo</originalText></value>",
            "Oo",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='CD'><originalText><reference value='#t'/></originalText></value>",
            "told",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='CD'><originalText><reference value='#u'/></originalText></value>",
            "#u",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='CD' nullFlavor='NA'/>",
            "",
            "",
            "",
            "NA",
            false,
        ),
        (
            "<value xsi:type='CD' nullFlavor='OTH'><originalText>Oo</originalText></value>",
            "Oo",
            "",
            "",
            "OTH",
            false,
        ),
        (
            "<value xsi:type='n:PQ' xmlns:n='urn:hl7-org:v3' value='1.5' unit='mg'/>",
            "1.5",
            "",
            "mg",
            "",
            false,
        ),
        (
            "<value xsi:type='PQ' value='1' unit='g'><translation value='1000' code='mg'/></value>",
            "1",
            "",
            "g",
            "",
            true,
        ),
        ("<value xsi:type='INT' value='7'/>", "7", "", "", "", false),
        (
            "<value xsi:type='BL' value='true'/>",
            "true",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='MO' value='3' currency='EUR'/>",
            "3",
            "",
            "EUR",
            "",
            false,
        ),
        (
            "<value xsi:type='TS' value='20250401'/>",
            "2025-04-01",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='TS' value='20250401123000.5-0300'/>",
            "2025-04-01T12:30:00.5-03:00",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='IVL_TS'><low value='2025'/></value>",
            "≥ 2025",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='IVL_PQ'><low value='1' unit='g'/><high value='2' unit='g'/></value>",
            "1 – 2",
            "",
            "g",
            "",
            true,
        ),
        (
            "<value xsi:type='IVL_PQ'><low value='1' unit='mg'/><high value='2' unit='g'/></value>",
            "1 mg – 2 g",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='IVL_PQ'><high value='2' unit='g'/></value>",
            "≤ 2",
            "",
            "g",
            "",
            true,
        ),
        (
            "<value xsi:type='IVL_PQ'><center value='2' unit='g'/></value>",
            "2",
            "",
            "g",
            "",
            true,
        ),
        (
            "<value xsi:type='RTO'><numerator value='1' unit='mg'/><denominator value='2' unit='d'/></value>",
            "1 mg / 2 d",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='ST'> a\n b </value>",
            "a b",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='ED'><reference value='#t'/></value>",
            "told",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='ED' representation='B64'>AAAA</value>",
            "",
            "",
            "",
            "",
            false,
        ),
        (
            "<value xsi:type='ED'>a<thumbnail>b</thumbnail></value>",
            "a",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='SLIST_PQ'><origin value='0' unit='s'/><digits>1 2</digits></value>",
            "1 2 (origine 0 s)",
            "",
            "",
            "",
            true,
        ),
        ("<value value='3'/>", "3", "", "", "", false),
        ("<value/>", "", "", "", "", false),
        (
            "<value xsi:type='CD' code='A' displayName='Aa'/><value xsi:type='CD' code='B' displayName='Bb'/>",
            "Aa; Bb",
            "A",
            "",
            "",
            false,
        ),
    ] {
        let read = observation(xml);
        assert_eq!(text(&read.value), value, "{xml}");
        assert_eq!(text(&read.value_code), code, "{xml}");
        assert_eq!(text(&read.unit), unit, "{xml}");
        assert_eq!(text(&read.null_flavor), null_flavor, "{xml}");
        assert_eq!(read.other.is_some(), is_kept, "{xml}: {:?}", read.other);
    }
}

#[test]
fn a_time_is_a_point_or_an_interval() {
    for (xml, time, written, is_kept) in [
        (
            "<effectiveTime value='20250401'/>",
            "2025-04-01",
            "20250401",
            false,
        ),
        ("<effectiveTime value='2025'/>", "2025", "2025", false),
        (
            "<effectiveTime value='202504'/>",
            "2025-04",
            "202504",
            false,
        ),
        (
            "<effectiveTime value='2025040112'/>",
            "2025-04-01T12:00",
            "2025040112",
            false,
        ),
        (
            "<effectiveTime value='202504011230+0200'/>",
            "2025-04-01T12:30+02:00",
            "202504011230+0200",
            false,
        ),
        ("<effectiveTime value='soon'/>", "soon", "soon", false),
        (
            "<effectiveTime><low value='20250401'/></effectiveTime>",
            "2025-04-01/..",
            "20250401/..",
            false,
        ),
        (
            "<effectiveTime><high value='20250401'/></effectiveTime>",
            "../2025-04-01",
            "../20250401",
            false,
        ),
        (
            "<effectiveTime><low value='2024'/><high value='2025'/></effectiveTime>",
            "2024/2025",
            "2024/2025",
            false,
        ),
        (
            "<effectiveTime><low value='2024'/><high nullFlavor='NA'/></effectiveTime>",
            "2024/..",
            "2024/..",
            true,
        ),
        (
            "<effectiveTime><low value='2024' inclusive='false'/></effectiveTime>",
            ">2024/..",
            "2024/..",
            true,
        ),
        (
            "<effectiveTime><low value='2024'/><high value='202503' inclusive='0'/></effectiveTime>",
            "2024/<2025-03",
            "2024/202503",
            true,
        ),
        (
            "<effectiveTime><low value='2024' inclusive='true'/><high nullFlavor='UNK' inclusive='false'/></effectiveTime>",
            "2024/..",
            "2024/..",
            true,
        ),
        (
            "<effectiveTime><low value='2024'/><width value='3' unit='d'/></effectiveTime>",
            "2024/..",
            "2024/..",
            true,
        ),
        (
            "<effectiveTime><center value='2024'/></effectiveTime>",
            "2024",
            "2024",
            true,
        ),
        (
            "<effectiveTime xsi:type='PIVL_TS'><period value='3' unit='d'/></effectiveTime>",
            "",
            "",
            true,
        ),
        (
            "<effectiveTime value='2024'/><effectiveTime xsi:type='PIVL_TS'><period value='3' unit='d'/></effectiveTime>",
            "2024",
            "2024",
            true,
        ),
        ("<effectiveTime nullFlavor='NAV'/>", "", "", false),
    ] {
        let read = observation(xml);
        assert_eq!(text(&read.time), time, "{xml}");
        assert_eq!(text(&read.time_written), written, "{xml}");
        assert_eq!(read.other.is_some(), is_kept, "{xml}: {:?}", read.other);
    }
    let read = observation("<effectiveTime nullFlavor='NAV'/>");
    assert_eq!(read.null_flavors["effectiveTime"], "NAV");
}

#[test]
fn code_and_value_both_say_why_they_are_absent() {
    for code in [
        "<code nullFlavor='UNK'/>",
        "<code nullFlavor='UNK'><originalText>Stade</originalText></code>",
        "<code code='1' nullFlavor='UNK'/>",
    ] {
        for value in [
            "<value xsi:type='CD' nullFlavor='NA'/>",
            "<value xsi:type='PQ' nullFlavor='NA'/>",
            "<value xsi:type='ST' nullFlavor='NA'/>",
            "<value nullFlavor='NA'/>",
            "<value xsi:type='CD' nullFlavor='NA'><originalText>sans</originalText></value>",
        ] {
            let read = observation(&format!("{code}{value}"));
            let all = read.null_flavor.iter().chain(read.null_flavors.values());
            let all: Vec<&str> = all.map(String::as_str).collect();
            assert!(
                all.contains(&"UNK") && all.contains(&"NA"),
                "{code}{value}: {all:?}"
            );
        }
    }
    let read = observation(
        "<code nullFlavor='UNK'><originalText>Stade</originalText></code>\
         <value xsi:type='PQ' nullFlavor='NA'/><value xsi:type='PQ' nullFlavor='MSK'/>",
    );
    assert_eq!(read.null_flavors["value"], "NA");
    assert!(read.other.unwrap().contains("MSK"));
}

#[test]
fn a_place_has_its_own_side() {
    let side =
        |name: &str, value: &str| format!("<qualifier><name {name}/><value {value}/></qualifier>");
    for (qualifiers, laterality) in [
        (String::new(), ""),
        (
            side("code='20228-3'", "code='G' displayName='gauche'"),
            "gauche",
        ),
        (side("code='272741003'", "code='7771000'"), "7771000"),
        (
            side("displayName='Latéralité'", "displayName='Unilatéral'"),
            "Unilatéral",
        ),
        (side("code='X'", "displayName='Droite'"), "Droite"),
        (side("code='X'", "displayName='médial'"), ""),
        (
            side("code='X'", "displayName='médial'")
                + &side("code='20228-3'", "displayName='droit'"),
            "droit",
        ),
    ] {
        let read = observation(&format!(
            "<targetSiteCode code='S' displayName='Sein'>{qualifiers}</targetSiteCode>"
        ));
        let site = read.site.unwrap();
        assert_eq!((text(&site.code), text(&site.label)), ("S", "Sein"));
        assert_eq!(text(&site.laterality), laterality, "{qualifiers}");
    }
    let two = format!(
        "<targetSiteCode code='A'/><targetSiteCode code='B'>{}</targetSiteCode>",
        side("code='20228-3'", "displayName='droit'")
    );
    let read = observation(&two);
    assert_eq!(read.site.unwrap().laterality, None);
    assert_eq!(text(&read.more_sites[0].laterality), "droit");
}

#[test]
fn what_stands_on_a_statement_is_read() {
    let read = read_in(
        "<entry typeCode='DRIV'><procedure classCode='PROC' moodCode='INT' negationInd='true' nullFlavor='NI'>\
         <id root='1' extension='2'/><code code='C' displayName='Cc' codeSystem='9' codeSystemName='N' codeSystemVersion='7'/>\
         <text mediaType='text/xml'><reference value='#t'/></text><statusCode code='active'/>\
         <priorityCode><originalText>1</originalText></priorityCode><priorityCode code='U' displayName='urgent'/>\
         <methodCode code='M' displayName='Mm'/><interpretationCode code='H' displayName='haut'/><repeatNumber value='2'/>\
         <entryRelationship typeCode='SUBJ' inversionInd='true'><act classCode='ACT' moodCode='EVN'/></entryRelationship>\
         <entryRelationship typeCode='COMP'><negationThing/></entryRelationship></procedure></entry>",
    );
    let statement = &read.sections[0].statements[0];
    assert_eq!(statement.kind, "procedure");
    assert_eq!(text(&statement.mood), "INT");
    assert!(statement.negated);
    assert_eq!(text(&statement.null_flavor), "NI");
    assert_eq!((text(&statement.code), text(&statement.label)), ("C", "Cc"));
    assert_eq!(statement.codes[0].system_version.as_deref(), Some("7"));
    assert_eq!(text(&statement.text), "told");
    assert_eq!(text(&statement.status), "active");
    assert_eq!(text(&statement.priority), "1; urgent");
    assert_eq!(text(&statement.method), "Mm");
    assert_eq!(text(&statement.interpretation), "haut");
    assert_eq!(statement.quantities[0].value, "2");
    assert_eq!(statement.ids, ["1^2"]);
    assert_eq!(text(&statement.relation), "DRIV");
    let inner = &statement.statements[0];
    assert_eq!((text(&inner.relation), inner.inverted), ("SUBJ", true));
    assert_eq!(
        text(&statement.other),
        "<entryRelationship typeCode='COMP'><negationThing/></entryRelationship>"
    );
}

#[test]
fn amounts_and_rhythms_are_read_in_every_form() {
    for (xml, role, value, unit) in [
        (
            "<doseQuantity value='5' unit='mg'/>",
            "doseQuantity",
            "5",
            "mg",
        ),
        (
            "<doseQuantity><low value='50' unit='mg'/><high value='75' unit='mg'/></doseQuantity>",
            "doseQuantity",
            "50 – 75",
            "mg",
        ),
        (
            "<maxDoseQuantity><numerator value='3' unit='g'/><denominator value='1' unit='d'/></maxDoseQuantity>",
            "maxDoseQuantity",
            "3 g / 1 d",
            "",
        ),
        (
            "<repeatNumber><low value='4'/></repeatNumber>",
            "repeatNumber",
            "≥ 4",
            "",
        ),
        (
            "<quantity value='30' unit='{tablet}'/>",
            "quantity",
            "30",
            "{tablet}",
        ),
        (
            "<effectiveTime xsi:type='PIVL_TS'><period value='3' unit='wk'/></effectiveTime>",
            "effectiveTime/period",
            "3",
            "wk",
        ),
        (
            "<referenceRange><observationRange><value xsi:type='IVL_PQ'><low value='1' unit='g'/><high value='2' unit='g'/></value></observationRange></referenceRange>",
            "referenceRange",
            "1 – 2",
            "g",
        ),
    ] {
        let statement = observation(xml);
        let [quantity] = &statement.quantities[..] else {
            panic!("{xml}: {:?}", statement.quantities);
        };
        assert_eq!(
            (&*quantity.role, &*quantity.value, text(&quantity.unit)),
            (role, value, unit),
            "{xml}"
        );
    }
    let rhythm = "<effectiveTime xsi:type='PIVL_TS'><period value='8' unit='h'/></effectiveTime>";
    let period = "<effectiveTime xsi:type='IVL_TS'><low value='20250101'/></effectiveTime>";
    for xml in [format!("{rhythm}{period}"), format!("{period}{rhythm}")] {
        let statement = observation(&xml);
        assert_eq!(text(&statement.time), "2025-01-01/..");
        assert_eq!(statement.quantities.len(), 1);
    }
    let values = observation(
        "<value xsi:type='PQ' value='1' unit='mm'/><value xsi:type='PQ' value='2' unit='cm'/>",
    );
    assert_eq!(
        (text(&values.value), text(&values.unit)),
        ("1 mm; 2 cm", "")
    );
}

#[test]
fn a_person_and_a_product_are_named() {
    let read = observation(
        "<author><time value='20250401'/><assignedAuthor><id root='1' extension='2'/><code code='P' displayName='Pneumologue'/>\
         <assignedPerson><name><prefix>DR</prefix><given>Paul</given><family>SOUFFLE</family></name></assignedPerson>\
         <representedOrganization><name>CHU</name></representedOrganization></assignedAuthor></author>\
         <participant typeCode='DEV'><participantRole><playingDevice><code code='D' displayName='Scanner'/></playingDevice>\
         <scopingEntity><desc>Radio</desc></scopingEntity></participantRole></participant>\
         <performer nullFlavor='UNK'/>\
         <consumable><manufacturedProduct><manufacturedMaterial><code code='L01' displayName='cisplatine'/><name>CIS</name>\
         </manufacturedMaterial></manufacturedProduct></consumable>",
    );
    let author = &read.participants[0];
    assert_eq!(author.name.as_deref(), Some("SOUFFLE Paul"));
    assert_eq!(author.label.as_deref(), Some("Pneumologue"));
    assert_eq!(author.organization.as_deref(), Some("CHU"));
    assert_eq!(author.time.as_deref(), Some("2025-04-01"));
    assert_eq!(author.ids, ["1^2"]);
    let device = &read.participants[1];
    assert_eq!(
        (device.label.as_deref(), device.name.as_deref()),
        (Some("Scanner"), None)
    );
    assert_eq!(device.organization.as_deref(), Some("Radio"));
    assert_eq!(read.null_flavors["performer"], "UNK");
    let product = read.consumable.unwrap();
    assert_eq!(
        (text(&product.code), text(&product.label)),
        ("L01", "cisplatine")
    );
    assert_eq!(product.name.as_deref(), Some("CIS"));
}

#[test]
fn what_is_not_understood_is_kept_as_written() {
    for xml in [
        "<x:a xmlns:x='urn:x' b='1'>c</x:a>",
        "<unheardOf b='1'/>",
        "<code code='A' other='1'/>",
        "<code code='A'>text</code>",
        "<value xsi:type='CD' code='A'><qualifier><value code='V'><qualifier/></value></qualifier></value>",
        "<value xsi:type='CD' code='A'><translation code='B'><translation code='C'/></translation></value>",
        "<id root='1' assigningAuthorityName='A'/>",
        "<reference typeCode='REFR'><externalDocument classCode='DOC' moodCode='EVN'/></reference>",
    ] {
        let read = observation(xml);
        assert_eq!(text(&read.other), xml);
    }
    let read = observation("<statusCode code='active' displayName='actif'/>");
    assert_eq!((text(&read.status), text(&read.other)), ("active", ""));
    assert_eq!(read.codes[0].label.as_deref(), Some("actif"));
}

#[test]
fn the_deepest_document_can_be_stored_and_read_back() {
    // ClinicalDocument, component, structuredBody, component and section stand around; each level has two elements.
    let depth = (super::super::MAX_DEPTH - 6) / 2;
    let open = "<entryRelationship><act classCode='ACT' moodCode='EVN'>";
    let close = "</act></entryRelationship>";
    let deep = format!(
        "<entry><act classCode='ACT' moodCode='EVN'>{}<code code='A'/>{}</act></entry>",
        open.repeat(depth - 1),
        close.repeat(depth - 1)
    );
    let xml = format!(
        "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><component><structuredBody><component><section>{deep}</section>\
         </component></structuredBody></component></ClinicalDocument>"
    );
    let read = super::super::parse(xml.as_bytes())
        .unwrap()
        .questionnaire
        .unwrap();
    let filled = crate::model::questionnaire::FilledQuestionnaire {
        facility: crate::model::identifiers::FacilityId::new("demo"),
        case: crate::model::identifiers::CaseId::new("C"),
        number: 1,
        filled_by: Some(crate::model::identifiers::ContentHash::of(b"")),
        by_hand: None,
        time: None,
        questionnaire: read,
    };
    let json = serde_json::to_string(&filled).unwrap();
    assert!(json.contains("\"code\":\"A\""));
    assert_eq!(
        serde_json::from_str::<crate::model::questionnaire::FilledQuestionnaire>(&json).unwrap(),
        filled
    );
}

#[test]
fn what_is_no_text_is_kept_as_such() {
    for (xml, kind, base64, reference) in [
        (
            "<value xsi:type='ED' mediaType='image/png' representation='B64'>AA AA\n</value>",
            "image/png",
            "AAAA",
            "",
        ),
        (
            "<value mediaType='image/jpeg'>AAAA</value>",
            "image/jpeg",
            "AAAA",
            "",
        ),
        (
            "<value mediaType='image/gif'><reference value='scan.gif'/></value>",
            "image/gif",
            "",
            "scan.gif",
        ),
    ] {
        let media = observation(xml).media.unwrap();
        assert_eq!(text(&media.media_type), kind, "{xml}");
        assert_eq!(text(&media.base64), base64, "{xml}");
        assert_eq!(text(&media.reference), reference, "{xml}");
    }
    for xml in [
        "<value xsi:type='ED'><reference value='#t'/></value>",
        "<value xsi:type='ED' mediaType='text/plain'>AAAA</value>",
        "<value xsi:type='ED' representation='B64'/>",
    ] {
        assert_eq!(observation(xml).media, None, "{xml}");
    }
}

/// An interval says whether its bounds are in it, as a value and as a dose.
#[test]
fn bounds_that_are_not_included_are_told() {
    let (in_it, out) = ("", " inclusive='false'");
    for (low, high, told) in [
        (Some(out), None, "> 1"),
        (Some(" inclusive='true'"), None, "≥ 1"),
        (None, Some(out), "< 2"),
        (None, Some(" inclusive='0'"), "< 2"),
        (Some(in_it), Some(in_it), "1 – 2"),
        (Some(in_it), Some(out), "≥ 1 et < 2"),
        (Some(out), Some(in_it), "> 1 et ≤ 2"),
        (Some(out), Some(out), "> 1 et < 2"),
    ] {
        let low = low.map(|it| format!("<low value='1' unit='mg'{it}/>"));
        let high = high.map(|it| format!("<high value='2' unit='mg'{it}/>"));
        let ends = [low, high].into_iter().flatten().collect::<String>();
        let value = format!("<value xsi:type='IVL_PQ'>{ends}</value>");
        assert_eq!(text(&observation(&value).value), told, "{ends}");
        let dose = observation(&format!("<doseQuantity>{ends}</doseQuantity>"));
        assert_eq!(dose.quantities[0].value, told, "{ends}");
    }
    for (low, told) in [(in_it, "30"), (out, "> 30")] {
        let offset = format!("<offset><low value='30' unit='min'{low}/></offset>");
        let when = format!(
            "<effectiveTime value='2024'/><effectiveTime><event code='AC'/>{offset}</effectiveTime>"
        );
        let read = observation(&when);
        let mut quantities = read.quantities.iter();
        let found = quantities.find(|it| it.role == "effectiveTime/offset");
        assert_eq!(found.unwrap().value, told);
    }
    let read = observation(
        "<performer><time><low value='2024'/><high value='2025' inclusive='false'/></time>\
         <assignedEntity><id root='1'/><assignedPerson><name>A B</name></assignedPerson></assignedEntity></performer>",
    );
    assert_eq!(text(&read.participants[0].time), "2024/<2025");
}

#[test]
fn values_of_several_parts_keep_them_apart() {
    for (xml, told) in [
        (
            "<value xsi:type='AD'><streetAddressLine>7 rue Haute</streetAddressLine><city>Lyon</city></value>",
            "7 rue Haute Lyon",
        ),
        (
            "<value xsi:type='PN'><given>Paul</given><family>DURAND</family></value>",
            "Paul DURAND",
        ),
        (
            "<value xsi:type='ON'>CHU <prefix>H</prefix></value>",
            "CHU H",
        ),
        (
            "<value xsi:type='II' root='1.2.3' extension='LAME-778'/>",
            "LAME-778",
        ),
        (
            "<value xsi:type='SLIST_PQ'><origin value='0' unit='mV'/><scale value='0.5' unit='mV'/><digits>1 2 3</digits></value>",
            "1 2 3 (origine 0 mV) (échelle 0.5 mV)",
        ),
        (
            "<value xsi:type='PQ' nullFlavor='OTH'><translation value='3' unit='cp'/></value>",
            "3",
        ),
    ] {
        assert_eq!(text(&observation(xml).value), told, "{xml}");
    }
    let name = observation(
        "<performer><assignedEntity><id root='1'/><assignedPerson><name><prefix>Dr</prefix><suffix>X</suffix></name></assignedPerson></assignedEntity></performer>",
    );
    assert_eq!(text(&name.participants[0].name), "Dr X");
    let address = observation(
        "<performer><assignedEntity><id root='1'/><assignedPerson><name><family nullFlavor='UNK'/><given nullFlavor='UNK'/><suffix>DR</suffix></name></assignedPerson></assignedEntity></performer>",
    );
    assert_eq!(address.participants[0].name, None);
}

/// As a time of a statement and as a value of one.
#[test]
fn each_part_of_a_rhythm_is_read() {
    let pivl = "<period value='21' unit='d'/>";
    for (kind, inside, told) in [
        ("PIVL_TS", pivl.to_owned(), vec!["period 21 d"]),
        (
            "PIVL_TS",
            format!("<phase><low value='20261215'/><high value='20270315'/></phase>{pivl}"),
            vec!["period 21 d", " 2026-12-15/2027-03-15 "],
        ),
        (
            "PIVL_TS",
            format!("<phase><low value='20261215'/><width value='2' unit='h'/></phase>{pivl}"),
            vec!["period 21 d", "width 2 h", " 2026-12-15/.. "],
        ),
        (
            "EIVL_TS",
            "<event code='ACM'/><offset><low value='30' unit='min'/></offset>".to_owned(),
            vec!["offset 30 min", "event ACM"],
        ),
        (
            "EIVL_TS",
            "<event code='PC'/><offset><low value='1' unit='h'/><high value='2' unit='h'/></offset>"
                .to_owned(),
            vec!["offset 1 – 2 h", "event PC"],
        ),
        (
            "SXPR_TS",
            format!("<comp xsi:type='PIVL_TS'>{pivl}</comp><comp xsi:type='EIVL_TS'><event code='HS'/></comp>"),
            vec!["period 21 d", "event HS"],
        ),
    ] {
        for element in ["effectiveTime", "value"] {
            let statement = observation(&format!("<{element} xsi:type='{kind}'>{inside}</{element}>"));
            let quantities = statement.quantities.iter().map(|it| {
                let role = it.role.trim_start_matches("effectiveTime");
                format!("{} {} {}", role.trim_start_matches('/'), it.value, text(&it.unit))
            });
            let events = statement.codes.iter().filter(|it| it.role.ends_with("/event"));
            let events = events.map(|it| format!("event {}", text(&it.code)));
            let found: Vec<String> = quantities.chain(events).collect();
            assert_eq!(found, told, "{element} {inside}");
        }
    }
}

/// An amount keeps its own value whatever stands in it, and has that of its translation where it has none.
#[test]
fn an_amount_that_is_translated_keeps_its_value() {
    let translation = "<translation value='500' unit='mg' code='x' codeSystem='1.2'/>";
    for role in ["doseQuantity", "rateQuantity", "quantity"] {
        for (attributes, inside, value, unit) in [
            ("value='1' unit='g'", translation, "1", "g"),
            (
                "value='1' unit='g'",
                "<originalText>un</originalText>",
                "1",
                "g",
            ),
            ("nullFlavor='OTH'", translation, "500", "mg"),
            (
                "",
                "<low value='1' unit='g'/><high value='2' unit='g'/><translation code='x'/>",
                "1 – 2",
                "g",
            ),
        ] {
            let read = observation(&format!("<{role} {attributes}>{inside}</{role}>"));
            let [quantity] = &read.quantities[..] else {
                panic!("{role} {attributes} {inside}: {:?}", read.quantities);
            };
            assert_eq!(
                (&*quantity.role, &*quantity.value, text(&quantity.unit)),
                (role, value, unit)
            );
            assert!(text(&read.other).contains(inside));
        }
    }
}

#[test]
fn a_negation_is_read_wherever_and_however_it_is_written() {
    for (written, is_negated) in [
        ("true", true),
        ("True", true),
        ("TRUE", true),
        ("1", true),
        (" yes ", true),
        ("false", false),
        ("FALSE", false),
        ("0", false),
        ("no", false),
        ("", false),
    ] {
        let own = format!("negationInd='{written}'");
        let of_value = format!("s:valueNegationInd='{written}'");
        for (entry, statement, relation, component) in [
            (&*own, "", "", ""),
            ("", &*own, "", ""),
            ("", &*of_value, "", ""),
            ("", "", &*own, ""),
            ("", "", "", &*own),
        ] {
            let read = read_in(&format!(
                "<entry {entry}><observation xmlns:s='urn:hl7-org:sdtc' classCode='OBS' moodCode='EVN' {statement}>\
                 <entryRelationship {relation}><organizer classCode='BATTERY' moodCode='EVN'><component {component}>\
                 <observation classCode='OBS' moodCode='EVN'/></component></organizer></entryRelationship>\
                 </observation></entry>"
            ));
            let outer = &read.sections[0].statements[0];
            let organizer = &outer.statements[0];
            let told = [outer, organizer, &organizer.statements[0]].map(|it| it.negated);
            let meant = [
                !entry.is_empty() || !statement.is_empty(),
                !relation.is_empty(),
                !component.is_empty(),
            ];
            assert_eq!(told, meant.map(|it| it && is_negated), "{written:?}");
        }
    }
}

/// A time that is taken out of the others is none of them, wherever it stands.
#[test]
fn a_time_that_is_taken_out_is_not_the_time() {
    let main = "<effectiveTime value='20250801'/>";
    for (inside, told) in [
        (
            "xsi:type='IVL_TS' operator='E'><low value='20250810'/><high value='20250820'/>",
            "E: 2025-08-10/2025-08-20",
        ),
        (
            "xsi:type='IVL_TS' operator='E'><low value='20250810'/><width value='7' unit='d'/>",
            "E: 2025-08-10/.. | 7 d",
        ),
        (
            "xsi:type='PIVL_TS' operator='E'><period value='7' unit='d'/>",
            "E: 7 d",
        ),
        (
            "xsi:type='SXCM_TS' operator='E' value='20250810'>",
            "E: 2025-08-10",
        ),
        (
            "xsi:type='EIVL_TS' operator='E'><event code='HS'/>",
            "E: HS",
        ),
        ("operator='X' value='20250810'>", "X: 2025-08-10"),
        (
            "xsi:type='SXPR_TS'><comp operator='E' value='20250810'/>",
            "E: 2025-08-10",
        ),
        (
            "xsi:type='SXPR_TS' operator='E'><comp value='20250810'/><comp value='20250812'/>",
            "E: 2025-08-10 | 2025-08-12",
        ),
        ("operator='A' value='20250810'>", "A: 2025-08-10"),
        ("operator='H' value='20250810'>", "H: 2025-08-10"),
        ("operator='P' value='20250810'>", "P: 2025-08-10"),
        ("operator='I' value='20250810'>", ": 2025-08-10"),
    ] {
        let beside = format!("<effectiveTime {inside}</effectiveTime>");
        let mut orders = vec![format!("{main}{beside}")];
        if !told.starts_with(':') {
            orders.push(format!("{beside}{main}"));
        }
        for xml in orders {
            let read = observation(&xml);
            assert_eq!(text(&read.time), "2025-08-01", "{xml}");
            let [first] = &read.quantities[..] else {
                panic!("{xml}: {:?}", read.quantities);
            };
            let parts = [first].into_iter().chain(&first.with);
            let parts = parts.map(|it| format!("{} {}", it.value, text(&it.unit)));
            let parts: Vec<String> = parts.map(|it| it.trim().to_owned()).collect();
            let found = format!("{}: {}", text(&first.operator), parts.join(" | "));
            assert_eq!(found, told, "{xml}");
        }
    }
}

/// An interval has its other bound where that is certain; else it says both of what it was given.
#[test]
fn an_interval_with_a_width_is_told_whole() {
    let part =
        |role: &str, value: &str, unit: &str| format!("<{role} value='{value}' unit='{unit}'/>");
    for (parts, told, unit) in [
        ([("low", "2", "mg"), ("width", "3", "mg")], "2 – 5", "mg"),
        (
            [("low", "0.1", "mg"), ("width", "0.2", "mg")],
            "0.1 – 0.3",
            "mg",
        ),
        ([("width", "3", "mg"), ("high", "5", "mg")], "2 – 5", "mg"),
        (
            [("width", "3", "mg"), ("high", "2.50", "mg")],
            "-0.5 – 2.50",
            "mg",
        ),
        (
            [("center", "10", "mg"), ("width", "3", "mg")],
            "8.5 – 11.5",
            "mg",
        ),
        (
            [("low", "2", "g"), ("width", "3", "mg")],
            "≥ 2 g, étendue 3 mg",
            "",
        ),
        (
            [("width", "3", "mg"), ("high", "5", "g")],
            "≤ 5 g, étendue 3 mg",
            "",
        ),
        (
            [("center", "1e3", "mg"), ("width", "3", "mg")],
            "1e3 mg, étendue 3 mg",
            "",
        ),
    ] {
        let inside: String = parts
            .iter()
            .map(|(role, value, unit)| part(role, value, unit))
            .collect();
        let value = observation(&format!("<value xsi:type='IVL_PQ'>{inside}</value>"));
        assert_eq!(
            (text(&value.value), text(&value.unit)),
            (told, unit),
            "{inside}"
        );
        for role in ["doseQuantity", "rateQuantity"] {
            let read = observation(&format!("<{role}>{inside}</{role}>"));
            let dose = &read.quantities[0];
            assert_eq!((&*dose.value, text(&dose.unit)), (told, unit), "{inside}");
        }
    }
    let excluded = "<low value='2' unit='mg' inclusive='false'/><width value='3' unit='mg'/>";
    let read = observation(&format!("<value xsi:type='IVL_PQ'>{excluded}</value>"));
    assert_eq!(text(&read.value), "> 2 et ≤ 5");
    let times = "<low value='20250101'/><width value='7' unit='d'/>";
    let read = observation(&format!("<value xsi:type='IVL_TS'>{times}</value>"));
    assert_eq!(text(&read.value), "≥ 2025-01-01, étendue 7 d");
}

#[test]
fn what_was_written_conditions_and_places_in_a_row_are_read() {
    let read = read_in(
        "<entry><organizer classCode='BATTERY' moodCode='EVN'><component><sequenceNumber value='2'/>\
         <substanceAdministration classCode='SBADM' moodCode='RQO'>\
         <approachSiteCode code='B'/><targetSiteCode code='T' displayName='sein'><originalText>sein gauche</originalText></targetSiteCode>\
         <consumable><manufacturedProduct><manufacturedMaterial><code code='M' displayName='m'><originalText>m 2,5 mg</originalText></code>\
         </manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></component></organizer></entry>",
    );
    let given = &read.sections[0].statements[0].statements[0];
    assert_eq!(text(&given.site.as_ref().unwrap().text), "sein gauche");
    assert_eq!(text(&given.consumable.as_ref().unwrap().text), "m 2,5 mg");
    assert_eq!(
        (&*given.quantities[0].role, &*given.quantities[0].value),
        ("sequenceNumber", "2")
    );
    for (criterion, told, unit) in [
        (
            "<code code='N' displayName='Neutrophiles'/><value xsi:type='IVL_PQ'><low value='1.5' unit='10*9/L'/></value>",
            "Neutrophiles ≥ 1.5",
            "10*9/L",
        ),
        (
            "<code code='F' displayName='Fièvre'/><value xsi:type='BL' value='true'/>",
            "Fièvre oui",
            "",
        ),
        (
            "<code code='P' displayName='Stade'/><value xsi:type='CD' code='3' displayName='III'/>",
            "Stade III",
            "",
        ),
        ("<code code='P' displayName='Douleur'/>", "Douleur", ""),
    ] {
        let read = observation(&format!(
            "<precondition><criterion>{criterion}</criterion></precondition>"
        ));
        let quantity = &read.quantities[0];
        assert_eq!(quantity.role, "precondition/criterion");
        assert_eq!((&*quantity.value, text(&quantity.unit)), (told, unit));
    }
}

/// How a time is joined to others is told of a value, and of the only time of a statement; that an interval bounds a
/// rhythm is what it always does.
#[test]
fn how_a_time_is_joined_to_others_is_told() {
    let bounds = "<low value='20250103'/><high value='20250107'/>";
    for (xml, told) in [
        (
            format!("<value xsi:type='IVL_TS' operator='E'>{bounds}</value>"),
            "sauf 2025-01-03 – 2025-01-07",
        ),
        (
            "<value xsi:type='SXCM_TS' operator='E' value='20250103'/>".to_owned(),
            "sauf 2025-01-03",
        ),
        (
            "<value xsi:type='SXCM_TS' operator='A' value='20250103'/>".to_owned(),
            "seulement 2025-01-03",
        ),
        (
            "<value xsi:type='SXCM_TS' operator='P' value='20250103'/>".to_owned(),
            "opérateur P : 2025-01-03",
        ),
        (
            "<value xsi:type='SXCM_TS' operator='I' value='20250103'/>".to_owned(),
            "2025-01-03",
        ),
    ] {
        assert_eq!(text(&observation(&xml).value), told, "{xml}");
    }
    for operator in ["E", "A", "P", "H"] {
        let xml = format!(
            "<effectiveTime xsi:type='IVL_TS' operator='{operator}'>{bounds}</effectiveTime>"
        );
        let read = observation(&xml);
        assert_eq!(read.time, None, "{xml}");
        assert_eq!(text(&read.quantities[0].operator), operator);
    }
    let read = observation(&format!(
        "<effectiveTime xsi:type='PIVL_TS'><period value='8' unit='h'/></effectiveTime>\
         <effectiveTime xsi:type='IVL_TS' operator='A'>{bounds}</effectiveTime>"
    ));
    assert_eq!(text(&read.time), "2025-01-03/2025-01-07");
}

#[test]
fn a_yes_is_read_however_it_is_written() {
    for (written, read) in [
        ("1", "true"),
        ("0", "false"),
        ("TRUE", "true"),
        ("False", "false"),
        ("2", "2"),
    ] {
        let xml = format!("<value xsi:type='BL' value='{written}'/>");
        assert_eq!(text(&observation(&xml).value), read);
    }
    let number = observation("<value xsi:type='INT' value='1'/>");
    assert_eq!(text(&number.value), "1");
}

#[test]
fn an_amount_of_money_keeps_its_currency_and_a_ratio_what_it_has() {
    let eur = "currency='EUR'";
    let mg = "<numerator value='2' unit='mg'/>";
    for (parts, told, unit) in [
        (
            format!("<low value='5' {eur}/><high value='10' {eur}/>"),
            "5 – 10",
            "EUR",
        ),
        (
            format!("<numerator value='2' {eur}/><denominator value='1' unit='d'/>"),
            "2 EUR / 1 d",
            "",
        ),
        (
            format!("{mg}<denominator nullFlavor='UNK'/>"),
            "2 mg / ?",
            "",
        ),
        (
            "<numerator nullFlavor='UNK'/><denominator value='1' unit='d'/>".to_owned(),
            "? / 1 d",
            "",
        ),
    ] {
        let read = observation(&format!("<value>{parts}</value>"));
        assert_eq!((text(&read.value), text(&read.unit)), (told, unit));
    }
}

/// What has no key of its own is told in words, with where it stands; what has none is told to be there.
#[test]
fn what_has_no_key_of_its_own_is_told_in_words() {
    let external = |inside: &str| {
        format!("<reference><externalDocument>{inside}</externalDocument></reference>")
    };
    for (xml, told) in [
        (
            "<x:a xmlns:x='urn:x' b='1'>c <x:d>e</x:d></x:a>".to_owned(),
            "a/@b=-; a=c; a/d=e",
        ),
        ("<unheardOf b='en clair'/>".to_owned(), "unheardOf/@b=en clair"),
        ("<unheardOf/>".to_owned(), ""),
        ("<code code='A'>texte</code>".to_owned(), "code=texte"),
        (
            "<value xsi:type='CD' code='A'><qualifier><value code='V'><qualifier><name displayName='N'/>\
             <value code='W'/></qualifier></value></qualifier></value>"
                .to_owned(),
            "value/qualifier/value/qualifier/name=N; value/qualifier/value/qualifier/value=W",
        ),
        (
            "<value xsi:type='CD' code='A'><translation code='B'><translation code='C' displayName='D'/>\
             </translation></value>"
                .to_owned(),
            "value/translation/translation=D",
        ),
        (
            "<value xsi:type='PQ' value='1' unit='g'><translation value='1000' code='mg'/></value>".to_owned(),
            "value/translation=1000 mg",
        ),
        (
            "<value xsi:type='PPD_PQ' value='1' distributionType='N'><standardDeviation value='2'/></value>"
                .to_owned(),
            "value/@distributionType=N; value/standardDeviation=2",
        ),
        (
            "<effectiveTime><low value='2025'/><high nullFlavor='UNK'/></effectiveTime>".to_owned(),
            "effectiveTime/high=(UNK)",
        ),
        (
            "<effectiveTime xsi:type='PIVL_TS' alignment='DW'><period value='1' unit='d'/></effectiveTime>".to_owned(),
            "effectiveTime/@alignment=DW",
        ),
        ("<effectiveTime value='20250101'/>".to_owned(), ""),
        ("<value xsi:type='IVL_PQ'><low value='1'/></value>".to_owned(), ""),
        ("<value xsi:type='ED'>a<thumbnail>b</thumbnail></value>".to_owned(), "value/thumbnail=-"),
        (
            external("<id root='1' extension='CR-1'/><code code='C' displayName='Compte rendu'/>\
                <text><reference value='https://x.example/1'/></text>"),
            "reference/externalDocument/code=Compte rendu; \
             reference/externalDocument/text=https://x.example/1; reference/id=CR-1",
        ),
        (external("<id root='1' extension='CR-1'/>"), "reference=CR-1"),
        (external("<id root='1'/>"), "reference=-"),
        (
            "<specimen><specimenRole><specimenPlayingEntity><quantity value='3' unit='mL'/><desc>à jeun</desc>\
             </specimenPlayingEntity></specimenRole></specimen>"
                .to_owned(),
            "specimen/specimenRole/specimenPlayingEntity/quantity=3 mL; \
             specimen/specimenRole/specimenPlayingEntity/desc=à jeun",
        ),
        (
            "<value xsi:type='CD' code='A'><qualifier inverted='true'><name code='N'/></qualifier></value>".to_owned(),
            "value/qualifier/@inverted=true",
        ),
        (
            "<value xsi:type='CD' code='A'><qualifier inverted='false'><name code='N'/></qualifier></value>".to_owned(),
            "",
        ),
        (
            "<independentInd value='false'/><performer><assignedEntity><addr><city>Brest</city></addr><assignedPerson>\
             <name><prefix>Dr</prefix><family>F</family></name></assignedPerson></assignedEntity></performer>"
                .to_owned(),
            "performer/assignedEntity/assignedPerson/name/family=F",
        ),
        (
            "<text>un</text><text>deux</text>".to_owned(),
            "text=deux",
        ),
        (
            "<participant typeCode='LOC' negationInd='true'><participantRole><playingEntity><name>Bloc</name>\
             </playingEntity></participantRole></participant>"
                .to_owned(),
            "NON participant/participantRole/playingEntity/name=Bloc",
        ),
        ("<targetSiteCode code='A' negationInd='1'/>".to_owned(), "NON targetSiteCode=A"),
    ] {
        let read = observation(&xml);
        let further = read.further.iter().map(|it| {
            let denied = if it.negated { "NON " } else { "" };
            let flavor = it.null_flavor.as_ref().map(|it| format!("({it})"));
            let said = flavor.or(it.text.clone()).unwrap_or("-".to_owned());
            format!("{denied}{}={said} {}", it.place, text(&it.unit)).trim_end().to_owned()
        });
        let further = further.collect::<Vec<_>>().join("; ");
        assert_eq!(further, told, "{xml}");
    }
}

/// A negation outside of the statements is told where it stands, and what it denies is not told without it.
#[test]
fn a_negation_is_kept_wherever_it_stands() {
    for xml in [
        "<participant negationInd='true'><participantRole><playingEntity><name>N</name></playingEntity>\
         </participantRole></participant>",
        "<consumable negationInd='true'><manufacturedProduct><manufacturedMaterial><name>N</name>\
         </manufacturedMaterial></manufacturedProduct></consumable>",
        "<precondition negationInd='true'><criterion><code displayName='N'/></criterion></precondition>",
        "<referenceRange negationInd='true'><observationRange><text>N</text></observationRange></referenceRange>",
        "<targetSiteCode negationInd='true' displayName='N'/>",
        "<doseQuantity negationInd='true' value='1'/>",
    ] {
        let read = observation(xml);
        assert!(
            read.participants.is_empty() && read.consumable.is_none(),
            "{xml}"
        );
        assert!(read.quantities.is_empty() && read.site.is_none(), "{xml}");
        assert!(
            !read.further.is_empty() && read.further.iter().all(|it| it.negated),
            "{xml}"
        );
    }
    assert!(observation("<value xsi:type='ST' negationInd='true'>a</value>").negated);
    let around = "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><component><structuredBody><component negationInd='true'>\
         <section/></component><component><section negationInd='1'/></component></structuredBody></component>\
         </ClinicalDocument>";
    let read = super::read(Document::parse(around).unwrap().root_element()).unwrap();
    for section in read.sections {
        assert!(section.further.iter().any(|it| it.negated));
    }
}

/// Names and counts are the sender's: what is told of them stays small.
#[test]
fn what_has_no_key_of_its_own_takes_little_room() {
    let name = "n".repeat(10_000);
    let deep = format!(
        "{}x{}",
        format!("<{name}>").repeat(50),
        format!("</{name}>").repeat(50)
    );
    let read = observation(&format!("{deep}{}", "<other>x</other>".repeat(5_000)));
    assert!(read.further.iter().all(|it| it.place.len() < 300));
    assert_eq!(read.further.len(), 1_000);
    assert_eq!((read.further[1].number, read.further[9].number), (0, 8));
}

#[test]
fn amounts_of_a_relation_are_those_of_its_statement() {
    let inner =
        "<observation classCode='OBS' moodCode='EVN'><repeatNumber value='9'/></observation>";
    let read = observation(&format!(
        "<component><priorityNumber value='2'/><pauseQuantity value='3' unit='d'/>{inner}{inner}</component>"
    ));
    let told = |at: usize| {
        let amounts = read.statements[at].quantities.iter();
        let amounts = amounts.map(|it| format!("{} {} {}", it.role, it.value, text(&it.unit)));
        amounts.collect::<Vec<_>>().join("; ").replace(" ;", ";")
    };
    assert_eq!(
        told(0).trim_end(),
        "priorityNumber 2; pauseQuantity 3 d; repeatNumber 9"
    );
    assert_eq!(told(1).trim_end(), "priorityNumber 2; repeatNumber 9");
}
