//! What grows in a CDA document.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Dropped, Part, sent};
use crate::support::session;

const MEETING: &str = include_str!("../../fixtures/cda/meeting.xml");

/// The document, with this where `at` stands.
fn meeting(at: &str, by: &str) -> Dropped {
    assert!(MEETING.contains(at), "{at}");
    sent("a.xml", MEETING.replacen(at, by, 1))
}

/// The document with this before the end of its first section's entries.
fn in_section(inside: &str) -> Dropped {
    let at = "<entry typeCode=\"DRIV\">";
    meeting(at, &format!("{inside}{at}"))
}

/// The document with this in the narrative of its first section.
fn in_text(inside: &str) -> Dropped {
    let at = "<footnote ID=\"fn\">";
    meeting(at, &format!("{inside}{at}"))
}

/// The document with this in its first statement.
fn in_statement(inside: &str) -> Dropped {
    let at = "<statusCode code=\"completed\"/>";
    meeting(at, &format!("{at}{inside}"))
}

fn after_role(inside: &str) -> Dropped {
    let at = "<addr nullFlavor=\"NAV\"/>";
    meeting(at, &format!("{inside}{at}"))
}

fn many(count: usize, make: impl Fn(usize) -> String) -> String {
    (0..count).map(make).collect()
}

/// A message of a patient, by its head.
fn message(number: usize, ipp: &str) -> String {
    format!(
        "MSH|^~\\&|EHR|HOSPITAL|||20250404100000||ORU^R01^ORU_R01|{number}|P|2.5|||||FR|UTF-8|FRA\r\
         PID|1||{ipp}^^^CHU-X^PI||LE GOFF^Rose^^^^^L||19600214|F\r"
    )
}

/// The document of a case and a patient, in an OBX.
fn carried(number: usize, ipp: &str) -> String {
    let document = MEETING
        .replace("CASE-77", &format!("CASE-{number}"))
        .replace("\"DOC-1\"", &format!("\"DOC-{number}\""))
        .replace("P-77", ipp);
    let content = STANDARD.encode(document);
    format!("OBX|{number}|ED|{number}^a.xml||^TEXT^XML^Base64^{content}||||||F\r")
}

pub fn parts() -> Vec<Part> {
    let statements = |count| {
        in_section(&many(count, |n| {
            format!(
                "<entry><observation classCode=\"OBS\" moodCode=\"EVN\"><code code=\"{n}\" codeSystem=\"1.2\"/><value xsi:type=\"PQ\" value=\"{n}\" unit=\"mm\"/></observation></entry>"
            )
        }))
    };
    // Elements, texts and instructions are bounded together; these stay below.
    let parts = vec![
        Part::new("CDA: documents in messages, each of a new patient", "accepted", |count| {
            sent("a.hl7", many(count, |n| {
                let ipp = format!("P-{n}");
                message(n, &ipp) + &carried(n, &ipp)
            }))
        })
        .most(3_500)
        .each(),
        Part::new("CDA: documents in one message, each of a case", "accepted", |count| {
            sent("a.hl7", message(1, "P-1") + &many(count, |n| carried(n + 1, "P-1")))
        }).most(999),
        Part::new("CDA: paragraphs", "accepted", |count| in_text(&"<paragraph>x</paragraph>".repeat(count))),
        Part::new("CDA: line breaks", "accepted", |count| in_text(&"x<br/>".repeat(count))),
        Part::new("CDA: items of a list", "accepted", |count| in_text(&format!("<list>{}</list>", "<item>x</item>".repeat(count)))),
        Part::new("CDA: rows of a table", "accepted", |count| in_text(&format!("<table><tbody>{}</tbody></table>", "<tr><td>x</td></tr>".repeat(count)))).most(90_000),
        Part::new("CDA: cells of a row", "accepted", |count| in_text(&format!("<table><tbody><tr>{}</tr></tbody></table>", "<td>x</td>".repeat(count)))),
        Part::new("CDA: empty cells of a row", "accepted", |count| in_text(&format!("<table><tbody><tr>{}</tr></tbody></table>", "<td/>".repeat(count)))),
        Part::new("CDA: comments between cells", "accepted", |count| in_text(&format!("<table><tbody><tr>{}</tr></tbody></table>", "<!-- x --><td/>".repeat(count)))),
        Part::new("CDA: length of the narrative, in hundreds", "accepted", |count| in_text(&"word ".repeat(count * 20))),
        Part::new("CDA: length of a word, in hundreds", "accepted", |count| in_text(&"x".repeat(count * 100))),
        Part::new("CDA: length of a title", "accepted", |count| meeting("Motif &amp; question", &"word ".repeat(count))),
        Part::new("CDA: sections", "accepted", |count| {
            let at = "<component>\n        <section>\n          <code code=\"18776-5\"";
            meeting(at, &format!("{}{at}", "<component><section><title>x</title></section></component>".repeat(count)))
        }).most(70_000),
        Part::new("CDA: statements", "accepted", statements).most(50_000),
        Part::new("", "", statements).most(50_000).checked("`check` of a CDA with statements"),
        Part::new("CDA: statements of what was written by hand", "updated", |count| {
            in_section(&many(count, |n| {
                format!(
                    "<entry><observation classCode=\"OBS\" moodCode=\"EVN\"><code code=\"H\" codeSystem=\"1.2\"/><value xsi:type=\"PQ\" value=\"{n}\" unit=\"mm\"/></observation></entry>"
                )
            }))
        })
        .most(50_000)
        .after(|_| {
            let entries = many(400, |n| format!(r#",{{"code":"H","label":"L","value":"none {n}"}}"#));
            let entries = entries.trim_start_matches(',');
            let form = format!(
                r#"{{"command":"questionnaire","facility":"demo","case":"CASE-77","sections":[{{"label":"S","entries":[{entries}]}}]}}"#
            );
            vec![vec![sent("m.xml", MEETING)], vec![super::desk("q.json", form)]]
        }),
        Part::new("CDA: statements that refer to one text", "accepted", |count| {
            in_section(&"<entry><act classCode=\"ACT\" moodCode=\"EVN\"><text><reference value=\"#row-1\"/></text></act></entry>".repeat(count))
        }).most(70_000),
        Part::new("CDA: statements that each refer to a text", "accepted", |count| {
            let texts = many(count, |n| format!("<content ID=\"t{n}\">text {n}</content>"));
            let text = String::from_utf8(in_text(&texts).content).unwrap();
            let statements = many(count, |n| format!("<entry><act classCode=\"ACT\" moodCode=\"EVN\"><text><reference value=\"#t{n}\"/></text></act></entry>"));
            let at = "<entry typeCode=\"DRIV\">";
            sent("a.xml", text.replacen(at, &format!("{statements}{at}"), 1))
        }).most(48_000),
        Part::new("CDA: references that lead nowhere", "accepted", |count| {
            in_section(&many(count, |n| format!("<entry><act classCode=\"ACT\" moodCode=\"EVN\"><text><reference value=\"#gone{n}\"/></text></act></entry>")))
        }).most(70_000),
        Part::new("CDA: references to nested texts, length in hundreds", "accepted", |count| {
            let open = many(80, |n| format!("<content ID=\"n{n}\">"));
            let text = format!("{open}{}{}", "word ".repeat(count * 20), "</content>".repeat(80));
            let text = String::from_utf8(in_text(&text).content).unwrap();
            let statements = many(80, |n| format!("<entry><act classCode=\"ACT\" moodCode=\"EVN\"><text><reference value=\"#n{n}\"/></text></act></entry>"));
            let at = "<entry typeCode=\"DRIV\">";
            sent("a.xml", text.replacen(at, &format!("{statements}{at}"), 1))
        }),
        Part::new("CDA: references of one statement", "accepted", |count| {
            in_section(&format!("<entry><act classCode=\"ACT\" moodCode=\"EVN\"><text>{}</text></act></entry>", "<reference value=\"#scan\"/>".repeat(count)))
        }),
        Part::new("CDA: values of a statement", "accepted", |count| in_statement(&"<value xsi:type=\"INT\" value=\"1\"/>".repeat(count))),
        Part::new("CDA: ids of a statement", "accepted", |count| in_statement(&many(count, |n| format!("<id root=\"1.2.{n}\"/>")))),
        Part::new("CDA: codes of a statement", "accepted", |count| in_statement(&many(count, |n| format!("<priorityCode code=\"{n}\" codeSystem=\"1.2\"/>")))),
        Part::new("CDA: sites of a statement", "accepted", |count| in_statement(&many(count, |n| format!("<targetSiteCode code=\"{n}\" codeSystem=\"1.2\"/>")))),
        Part::new("CDA: translations of a code", "accepted", |count| {
            in_statement(&format!("<methodCode code=\"1\" codeSystem=\"1.2\">{}</methodCode>", "<translation code=\"1\" codeSystem=\"1.2\"/>".repeat(count)))
        }),
        Part::new("CDA: qualifiers of a code", "accepted", |count| {
            in_statement(&format!("<methodCode code=\"1\" codeSystem=\"1.2\">{}</methodCode>", "<qualifier><name code=\"1\"/><value code=\"2\"/></qualifier>".repeat(count)))
        }),
        Part::new("CDA: participants of a statement", "accepted", |count| {
            in_statement(&"<performer><assignedEntity><id root=\"1.2\" extension=\"3\"/></assignedEntity></performer>".repeat(count))
        }).most(95_000),
        Part::new("CDA: ids of a participant", "accepted", |count| {
            in_statement(&format!("<performer><assignedEntity>{}</assignedEntity></performer>", "<id root=\"1.2\" extension=\"3\"/>".repeat(count)))
        }),
        Part::new("CDA: names of a participant", "accepted", |count| {
            in_statement(&format!("<performer><assignedEntity><id root=\"1\"/><representedOrganization>{}</representedOrganization></assignedEntity></performer>", "<name>x</name>".repeat(count)))
        }),
        Part::new("CDA: codes of a consumable", "accepted", |count| {
            in_statement(&format!("<consumable><manufacturedProduct>{}</manufacturedProduct></consumable>", "<code code=\"1\" codeSystem=\"1.2\"/>".repeat(count)))
        }),
        Part::new("CDA: elements that nothing is known of", "accepted", |count| in_statement(&"<x:y xmlns:x=\"urn:x\">z</x:y>".repeat(count))),
        Part::new("CDA: statements in one relation", "accepted", |count| {
            in_statement(&format!("<entryRelationship>{}</entryRelationship>", "<act classCode=\"ACT\" moodCode=\"EVN\"/>".repeat(count)))
        }),
        Part::new("CDA: elements in each other", "rejected", |count| in_text(&format!("{}{}", "<content>".repeat(count), "</content>".repeat(count)))),
        Part::new("CDA: elements with 1,000 attributes", "accepted", |count| {
            let attributes = many(990, |n| format!(" a{n}=\"\""));
            in_statement(&format!("<z{attributes}/>").repeat(count))
        })
        .most(1_000),
        Part::new("CDA: ids of the patient", "accepted", |count| after_role(&many(count, |n| format!("<id root=\"1.9.{n}\" extension=\"{n}\"/>")))),
        Part::new("CDA: parts of an address", "accepted", |count| after_role(&format!("<addr><streetName>x</streetName>{}</addr>", "<houseNumber>1</houseNumber><streetAddressLine>1</streetAddressLine><additionalLocator>x</additionalLocator>".repeat(count)))).most(50_000),
        Part::new("CDA: given names of the submitter", "accepted", |count| {
            meeting("<given>Julie</given>", &many(count, |n| format!("<given>N{n}</given>")))
        }),
        Part::new("CDA: addresses of the patient", "accepted", |count| after_role(&"<addr><streetAddressLine>x</streetAddressLine></addr>".repeat(count))).most(95_000),
        Part::new("CDA: telecoms of the patient", "accepted", |count| after_role(&"<telecom value=\"tel:0240000001\" use=\"WP\"/>".repeat(count))),
        Part::new("CDA: names of the patient", "accepted", |count| {
            meeting("<name><given>Rose Marie</given>", &format!("<name><given>Rose Marie</given>{}", "<given>x</given>".repeat(count)))
        }),
        Part::new("CDA: qualifiers of a name", "accepted", |count| meeting("qualifier=\"SP CL\"", &format!("qualifier=\"SP {}CL\"", "XX ".repeat(count)))),
        Part::new("CDA: physicians", "accepted", |count| {
            let at = "<participant typeCode=\"RESP\">";
            meeting(at, &format!("{}{at}", "<participant typeCode=\"CON\"><associatedEntity classCode=\"PROV\"/></participant>".repeat(count)))
        }),
        Part::new("CDA: events", "accepted", |count| {
            let at = "<documentationOf>";
            meeting(at, &format!("{}{at}", "<documentationOf><serviceEvent><code code=\"1\"/></serviceEvent></documentationOf>".repeat(count)))
        }).most(95_000),
        Part::new("CDA: ids of the encounter", "accepted", |count| {
            let at = "<encompassingEncounter>";
            meeting(at, &format!("{at}{}", many(count, |n| format!("<id root=\"1.9\" extension=\"X{n}\"/>"))))
        })
        .after(|_| vec![vec![super::desk("s.csv", session("S-1", "2025-04-15", "THORAX"))]]),
        Part::new("CDA: ids of the encounter, beside as many sessions", "accepted", |count| {
            let at = "<encompassingEncounter>";
            meeting(at, &format!("{at}{}", many(count, |n| format!("<id root=\"1.9\" extension=\"X{n}\"/>"))))
        })
        .after(|count| vec![vec![super::desk::sessions(count, |_| "2025-04-15".to_owned())]]),
    ];
    let in_full = |part: Part| Part {
        fixed_mb: 384,
        ..part
    };
    parts.into_iter().map(in_full).collect()
}
