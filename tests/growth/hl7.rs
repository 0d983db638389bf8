//! What grows in HL7 messages and in files of them.

use super::{Dropped, Part, sent};
use crate::support::{document, patient, session, siu};

const HEADER: &str =
    "MSH|^~\\&|EHR|HOSPITAL|||20250401120000||ADT^A28^ADT_A05|1|P|2.5|||||FR|UTF-8|FRA\r";

fn one_session() -> Vec<Vec<Dropped>> {
    vec![vec![super::desk(
        "s.csv",
        session("S-1", "2031-04-08", "PATHWAY-1"),
    )]]
}

fn one_patient() -> Vec<Vec<Dropped>> {
    vec![vec![sent("p.hl7", patient("1", "20250401120000", ""))]]
}

/// So many separators lie between PID-9 and the fields that the standard does not know.
const AFTER_PID_39: usize = 31;

/// A patient whose PID has this after the sex, from PID-9 on, and these segments after it.
fn with_pid(pid: &str, after: &str) -> String {
    format!("{HEADER}PID|1||1^^^CHU-X^PI||MARTIN^JEANNE^^^^^L||19501104|F|{pid}\r{after}")
}

fn many(count: usize, make: impl Fn(usize) -> String) -> String {
    (0..count).map(make).collect()
}

/// A scheduling message with these segments after AIL and AIP.
fn scheduling(after: &str) -> String {
    siu("S12", "C1", "P1", "20250401120000", "20310408") + after
}

pub fn parts() -> Vec<Part> {
    let accepted = |count| {
        sent(
            "a.hl7",
            many(count, |n| patient(&format!("P{n}"), "20250401120000", "")),
        )
    };
    let refused = |count| {
        sent(
            "a.hl7",
            many(count, |n| {
                patient(&format!("P{n}"), "20250401120000", "").replace("|F|", "|X|")
            }),
        )
    };
    vec![
        Part::new("messages of a file, accepted", "accepted", accepted).each(),

        Part::new("messages of a file, all refused", "rejected", refused).each(),
        Part::new("", "", refused)
            .checked("`check` of messages, refused")
            .held(4),
        Part::new("messages of a file, as short as can be", "rejected", |count| {
            sent("a.hl7", "MSH|^~\\&|\r".repeat(count))
        })
        .each(),
        Part::new("messages of a file, all but one refused", "rejected", |count| {
            let first = patient("P", "20250401120000", "");
            let others = many(count - 1, |n| patient(&format!("P{n}"), "20250401120000", "").replace("|F|", "|X|"));
            sent("a.hl7", first + &others)
        })
        .held(4),
        Part::new("messages of a file, duplicates", "duplicate", |count| {
            sent("a.hl7", patient("P", "20250401120000", "").repeat(count + 1))
        })
        .most(99_999)
        .each(),
        Part::new("messages of a file, ignored", "ignored", |count| {
            sent("a.hl7", many(count, |n| patient(&format!("P{n}"), "20250401120000", "").replace("ADT^A28^ADT_A05", "ADT^A02")))
        })
        .each(),
        Part::new("messages of a file, each in an envelope", "accepted", |count| {
            sent("a.hl7", many(count, |n| {
                let message = patient(&format!("P{n}"), "20250401120000", "");
                format!("FHS|^~\\&|EHR\rBHS|^~\\&|EHR\r{message}BTS|1\rFTS|1\r")
            }))
        })
        .each(),
        Part::new("envelopes around nothing", "accepted", |count| {
            let envelope = "FHS|^~\\&|EHR\rBHS|^~\\&|EHR\rBTS|0\rFTS|1\r".repeat(count);
            sent("a.hl7", envelope + &patient("P", "20250401120000", ""))
        }),
        Part::new("new cases of one session", "accepted", |count| {
            sent("a.hl7", many(count, |n| siu("S12", &format!("C{n}"), &format!("P{n}"), "20250401120000", "20310408")))
        })
        .each()
        .after(|_| one_session()),
        Part::new("new cases without a session", "accepted", |count| {
            sent("a.hl7", many(count, |n| siu("S12", &format!("C{n}"), &format!("P{n}"), "20250401120000", "20310408")))
        })
        .each(),
        Part::new("new cases of one patient", "accepted", |count| {
            sent("a.hl7", many(count, |n| siu("S12", &format!("C{n}"), "P", "20250401120000", "20310408")))
        })
        .each()
        .after(|_| one_session()),
        Part::new("updates of one case", "updated", |count| {
            sent("a.hl7", many(count, |n| siu("S14", "C", "P", &format!("20250401120000.{n:06}"), "20310408")))
        })
        .each()
        .after(|_| {
            let mut before = one_session();
            before.push(vec![sent("c.hl7", siu("S12", "C", "P", "20250401110000", "20310408"))]);
            before
        }),
        Part::new("updates of one patient", "updated", |count| {
            sent("a.hl7", many(count, |n| patient("1", &format!("20250401120001.{n:06}"), &format!("06{:08}", n % 100_000))
                .replace("|F|", &format!("|F|{n}|"))
                .replace("JEANNE", &format!("JEANNE{}", n % 7))))
        })
        .after(|_| one_patient()),
        Part::new("merges (A40), one chain", "accepted", |count| {
            sent("a.hl7", many(count, |n| {
                patient(&format!("P{}", n + 1), &format!("20250401120001.{n:06}"), "")
                    .replace("ADT^A28^ADT_A05", "ADT^A40^ADT_A39")
                    + &format!("MRG|P{n}^^^CHU-X^PI\r")
            }))
        }),
        Part::new("pairs of one merge (A40)", "accepted", |count| {
            let pairs = many(count, |n| {
                format!("PID|1||S^^^CHU-X^PI||MARTIN^JEANNE^^^^^L||19501104|F\rMRG|P{n}^^^CHU-X^PI\r")
            });
            sent("a.hl7", HEADER.replace("ADT^A28^ADT_A05", "ADT^A40^ADT_A39") + &pairs)
        })
        .held(10),
        Part::new("segments of a message, unknown", "accepted", |count| {
            sent("a.hl7", with_pid("", &"ZZZ|1|a|b\r".repeat(count)))
        }),
        Part::new("segments of a message, unknown, each of another name", "accepted", |count| {
            let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
            sent("a.hl7", with_pid("", &many(count, |n| format!("Z{}{}|1\r", letter(n), letter(n / 26)))))
        }),
        Part::new("segments of a message, NTE", "accepted", |count| {
            sent("a.hl7", scheduling(&"NTE|1||text\r".repeat(count)))
        })
        .after(|_| one_session()),
        Part::new("segments of a message, AIP", "accepted", |count| {
            sent("a.hl7", scheduling(&many(count, |n| format!("AIP|{n}||10100094977^DUPONT^PAUL\r"))))
        })
        .after(|_| one_session()),
        Part::new("segments of a message, AIP, each of another number", "accepted", |count| {
            sent("a.hl7", scheduling(&many(count, |n| format!("AIP|{}||10100094977\r", n + 2))))
        })
        .quick([5_000, 40_000])
        .after(|_| one_session()),
        Part::new("segments of a message, AIP, without numbers", "accepted", |count| {
            let message = scheduling(&"AIP|||10100094977\r".repeat(count));
            sent("a.hl7", message.replace("AIP|1|", "AIP||"))
        })
        .quick([5_000, 40_000])
        .after(|_| one_session()),
        Part::new("segments of a message, AIL", "accepted", |count| {
            sent("a.hl7", scheduling(&many(count, |n| format!("AIL|{n}||8154^^^OTHER-{n}\r"))))
        })
        .after(|_| one_session()),
        Part::new("segments of a message, TQ1 and AIS", "accepted", |count| {
            sent("a.hl7", scheduling(&"TQ1|1|||||\rAIS|1\r".repeat(count)))
        })
        .after(|_| one_session()),
        Part::new("second patients in a message", "rejected", |count| {
            sent("a.hl7", with_pid("", &"PID|2||2^^^CHU-X^PI\r".repeat(count)))
        }),
        Part::new("empty lines of a message", "accepted", |count| {
            sent("a.hl7", with_pid("", &"\r\n".repeat(count)))
        }),
        Part::new("lines that continue no document", "rejected", |count| {
            sent("a.hl7", with_pid("", &"text\r".repeat(count)))
        }).most(12_000),
        Part::new("fields of a segment", "accepted", |count| sent("a.hl7", with_pid(&("|".repeat(AFTER_PID_39) + &"a|".repeat(count)), ""))).most(30_000),
        Part::new("repetitions of PID-3", "accepted", |count| {
            let ids = many(count, |n| format!("~X{n}^^^OTHER^XX"));
            sent("a.hl7", with_pid("", "").replace("^PI||", &format!("^PI{ids}||")))
        }).most(3_000),
        Part::new("repetitions of PID-3, each an IPP", "rejected", |count| {
            let ids = many(count, |n| format!("~X{n}^^^OTHER^PI"));
            sent("a.hl7", with_pid("", "").replace("^PI||", &format!("^PI{ids}||")))
        }).most(3_000),
        Part::new("repetitions of PID-3, each an INS", "accepted", |count| {
            let ids = "~250010199900133^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS".repeat(count);
            sent("a.hl7", with_pid("", "").replace("^PI||", &format!("^PI{ids}||")))
        }).most(850),
        Part::new("repetitions of PID-5", "accepted", |count| {
            let names = "~MARTIN^JEANNE^^^^^A".repeat(count);
            sent("a.hl7", with_pid("", "").replace("^L||", &format!("^L{names}||")))
        }).most(3_000),
        Part::new("repetitions of PID-11", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||{}", "1 rue X^^Paris^^75001^FRA^B~".repeat(count)), ""))
        }).most(2_000),
        Part::new("repetitions of PID-13", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||||{}", "0142515151^PRN^FX~".repeat(count)), ""))
        }).most(3_000),
        Part::new("repetitions of PID-13, each a phone", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||||{}", "0142515151^PRN^PH~".repeat(count)), ""))
        }).most(3_000),
        Part::new("components of a field", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||||{}", "^a".repeat(count)), ""))
        }).most(30_000),
        Part::new("subcomponents of a component", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||1 rue X{}^^Paris^^75001^FRA^H", "&a".repeat(count)), ""))
        }).most(30_000),
        Part::new("length of an address, in hundreds", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||1 rue {}^^Paris^^75001^FRA^H", "x".repeat(count * 100)), ""))
        }).most(600),
        Part::new("length of a name, in tens", "accepted", |count| {
            sent("a.hl7", with_pid("", "").replace("JEANNE", &"X".repeat(count * 10)))
        }).most(6_000),
        Part::new("length of a phone number", "rejected", |count| {
            sent("a.hl7", with_pid(&format!("||||{}^PRN^PH", "06".repeat(count)), ""))
        }).most(30_000),
        Part::new("length of an e-mail address", "rejected", |count| {
            sent("a.hl7", with_pid(&format!("||||^NET^Internet^{}@x.fr", "a".repeat(count)), ""))
        }).most(60_000),
        Part::new("length of an IPP", "accepted", |count| {
            sent("a.hl7", with_pid("", "").replace("||1^", &format!("||{}^", "1".repeat(count))))
        }).most(60_000),
        Part::new("escapes in a field", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||1 rue {}^^Paris^^75001^FRA^H", "\\T\\\\X41\\".repeat(count)), ""))
        }).most(7_000),
        Part::new("escapes in a field, without their end", "accepted", |count| {
            sent("a.hl7", with_pid(&format!("||1 rue {}^^Paris^^75001^FRA^H", "\\H".repeat(count)), ""))
        }).most(30_000),
        Part::new("letters that are not ASCII, in windows-1252", "accepted", |count| {
            let mut bytes = with_pid("||1 rue ", "").trim_end().as_bytes().to_vec();
            bytes.extend(b"\xe9e".repeat(count));
            bytes.extend(b"^^Paris^^75001^FRA^H\r");
            sent("a.hl7", bytes)
        }).most(30_000),
        Part::new("documents of a message", "accepted", |count| {
            let obx = many(count, |n| format!("OBX|{n}|ED|{n}^CR^LN||^AP^PDF^Base64^WA==||||||F\r"));
            sent("a.hl7", document("1", "20250401120000", "D", "X") + &obx)
        }).most(999)
        .after(|_| one_patient()),
        Part::new("documents of a message, of 20 kB each", "accepted", |count| {
            let content = "QUJD".repeat(5_000);
            let obx = many(count, |n| {
                format!("OBX|{n}|ED|{n}^CR^LN||^AP^PDF^Base64^JVBERi0x{content}||||||F\r")
            });
            sent("a.hl7", document("1", "20250401120000", "D", "%PDF-1") + &obx)
        })
        .most(999)
        .after(|_| one_patient()),
        Part::new("documents of a message, of one unique id", "accepted", |count| {
            let obx = "OBX|1|ED|11502-2^CR^LN||^AP^PDF^Base64^JVBERi0xLjQKJSVFT0YK||||||F\r".repeat(count);
            sent("a.hl7", document("1", "20250401120000", "D", "X") + &obx)
        }).most(999)
        .after(|_| one_patient()),
        Part::new("groups of a message, each with a document", "accepted", |count| {
            let obx = many(count, |n| format!("ORC|NW\rOBR|1||{n}^LAB|11502-2^CR^LN\rOBX|{n}|ED|{n}^CR^LN||^AP^PDF^Base64^WA==||||||F\r"));
            sent("a.hl7", document("1", "20250401120000", "D", "X") + &obx)
        }).most(999)
        .after(|_| one_patient()),
        Part::new("OBX that are no documents", "accepted", |count| {
            let obx = many(count, |n| format!("OBX|{n}|TX|{n}^CR^LN||text||||||F\r"));
            sent("a.hl7", document("1", "20250401120000", "D", "X") + &obx)
        })
        .after(|_| one_patient()),
        Part::new("lines of base64", "accepted", |count| {
            let lines = format!("\r\n{}", "QUJD".repeat(19)).repeat(count);
            sent("a.hl7", document("1", "20250401120000", "D", "").replace("Base64^", &format!("Base64^{lines}")))
        })
        .after(|_| one_patient()),
        Part::new("breaks in base64", "accepted", |count| {
            sent("a.hl7", document("1", "20250401120000", "D", "").replace("Base64^", &format!("Base64^{}", "QUJD\\.br\\".repeat(count))))
        })
        .after(|_| one_patient()),
        Part::new("documents of one patient, a message each", "accepted", |count| {
            sent("a.hl7", many(count, |n| document("1", "20250401120000", &format!("D{n}"), "X")))
        })
        .each()
        .after(|_| one_patient()),
        Part::new("notes of one patient without a unique id", "accepted", |count| {
            sent("a.hl7", many(count, |n| document("1", "20250401120000", &format!("D{n}"), "X").replace(&format!("||D{n}^LAB|"), "|||")))
        })
        .each()
        .after(|_| one_patient()),
        Part::new("documents that wait for one case", "accepted", |count| {
            sent("a.hl7", many(count, |n| document("1", "20250401120000", &format!("D{n}"), "X").replace("ORC|NW", "ORC|NW|C1")))
        })
        .each()
        .after(|_| one_patient()),
        Part::new("documents of one case", "accepted", |count| {
            sent("a.hl7", many(count, |n| document("P1", "20250401120000", &format!("D{n}"), "X").replace("ORC|NW", "ORC|NW|C1")))
        })
        .each()
        .after(|_| {
            let mut before = one_session();
            before.push(vec![sent("c.hl7", scheduling(""))]);
            before
        }),
        Part::new("versions of one document", "updated", |count| {
            sent("a.hl7", many(count, |n| document("1", &format!("20250401120000.{n:06}"), "D", &format!("X{n}"))))
        })
        .after(|_| one_patient()),
    ]
}
