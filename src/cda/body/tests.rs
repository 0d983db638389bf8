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
            true,
        ),
        (
            "<value xsi:type='ED'>a<thumbnail>b</thumbnail></value>",
            "ab",
            "",
            "",
            "",
            true,
        ),
        (
            "<value xsi:type='SLIST_PQ'><origin value='0' unit='s'/><digits>1 2</digits></value>",
            "1 2",
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
        filled_by: crate::model::identifiers::ContentHash::of(b""),
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
