//! Names of what lies in a session's folder.

/// The page of a session.
pub(super) const PAGE: &str = "index.html";
/// A folder that has no name of its own yet.
pub(super) const NEW: &str = ".new";
/// A name is cut to so many characters, and to so many bytes: two of them and a number are a name that every file
/// system takes.
const LONGEST_NAME: usize = 60;
const LONGEST_IN_BYTES: usize = 100;

/// Text as a part of a name: its letters and digits, and `-` for everything between them.
pub(super) fn readable(text: &str, otherwise: &str) -> String {
    let mut name = String::new();
    for letter in text.chars().take(LONGEST_NAME) {
        match letter.is_alphanumeric() {
            true if name.len() + letter.len_utf8() > LONGEST_IN_BYTES => break,
            true => name.push(letter),
            false if name.is_empty() || name.ends_with('-') => {}
            false => name.push('-'),
        }
    }
    match name.trim_end_matches('-') {
        "" => otherwise.to_owned(),
        name => name.to_owned(),
    }
}
