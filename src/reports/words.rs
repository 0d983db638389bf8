//! The words of codes, roles and null flavours, and what of a concept has any.

use crate::model::questionnaire::Concept;

/// Whether a text is only a reference to a place of the document that is not there. `#2 nodules` is none.
pub(super) fn leads_nowhere(text: &str) -> bool {
    text.starts_with('#') && !text.contains(char::is_whitespace)
}

/// Whether a coded element is shown in its own words; of the others, keys of the statement say what they say.
pub(super) fn is_shown(concept: &Concept) -> bool {
    match concept.role.as_str() {
        "value" => concept.text.is_some() || concept.null_flavor.is_some(),
        "code/translation" => concept.words().is_some(),
        "value/translation" => concept.words().is_some() || concept.code.is_some(),
        "code"
        | "priorityCode"
        | "interpretationCode"
        | "methodCode"
        | "targetSiteCode"
        | "statusCode"
        | "languageCode"
        | "confidentialityCode"
        | "realmCode" => false,
        role if role.ends_with("/translation") => false,
        "consumable/code" | "product/code" => false,
        _ => concept.words().is_some() || concept.code.is_some() || concept.null_flavor.is_some(),
    }
}

/// What a coded element says that neither its own key nor its row does: what was written before it was coded, and its
/// words in another system.
pub(super) fn further_words(concept: &Concept) -> impl Iterator<Item = &str> {
    let written = concept.text.as_deref();
    let said = match concept.role.ends_with("/translation") {
        true => [concept.words(), written],
        false if is_shown(concept) => [None, None],
        // A state is told by its code.
        false if concept.role == "statusCode" => [concept.words(), written],
        false => [None, written],
    };
    let is_code = |said: &&str| {
        let code = concept.code.as_deref();
        code.is_some_and(|code| code.eq_ignore_ascii_case(said))
    };
    let said = said.into_iter().flatten();
    said.filter(move |said| !leads_nowhere(said) && !is_code(said))
}

/// The caption of a coded element that has no key of its own.
pub(super) fn caption(role: &str) -> &str {
    match role {
        "routeCode" => "Voie",
        "approachSiteCode" => "Voie d’abord",
        "administrationUnitCode" => "Forme",
        "effectiveTime/event" => "Moment",
        "consumable/formCode" | "product/formCode" => "Forme",
        "statusCode" => "Statut",
        "effectiveTime" => "Date",
        "targetSiteCode" => "Localisation",
        "methodCode" => "Méthode",
        "interpretationCode" => "Interprétation",
        "priorityCode" => "Priorité",
        "doseQuantity" => "Dose",
        "rateQuantity" => "Débit",
        "maxDoseQuantity" => "Dose maximale",
        "repeatNumber" => "Répétitions",
        "sequenceNumber" => "Ordre",
        "priorityNumber" => "Priorité",
        "pauseQuantity" => "Pause",
        _ => "Précision",
    }
}

/// What a null flavour means (HL7 v3, `NullFlavor`).
pub(super) fn absence(flavor: &str) -> String {
    let words = match flavor {
        "NI" => "Non renseigné",
        "UNK" => "Inconnu",
        "ASKU" => "Demandé, réponse inconnue",
        "NAV" => "Pas encore disponible",
        "NASK" => "Non demandé",
        "MSK" => "Masqué",
        "NA" => "Sans objet",
        "NP" => "Valeur non transmise",
        "OTH" => "Autre",
        "UNC" => "Non codé",
        "DER" => "À déduire",
        "INV" => "Non valable",
        "NINF" => "Moins l’infini",
        "PINF" => "Plus l’infini",
        "QS" => "Quantité suffisante",
        "TRC" => "Traces",
        other => return format!("Non renseigné ({other})"),
    };
    words.to_owned()
}

/// Whether two cells are the same, signs and decimal marks included; only the first letter may be a capital or none.
pub(super) fn same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.chars(), other.chars());
    match (one.next(), other.next()) {
        (None, None) => true,
        (Some(first), Some(second)) => {
            first.to_lowercase().eq(second.to_lowercase()) && one.as_str() == other.as_str()
        }
        _ => false,
    }
}
