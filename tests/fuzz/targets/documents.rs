//! The base64 of a document, what it holds, and its name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rcpspool::intake::{content, head};

fuzz_target!(|bytes: &[u8]| {
    let Ok(decoded) = content::decode_base64(bytes) else {
        return;
    };
    assert!(decoded.len() <= bytes.len());
    if let Some(kind) = content::content_type(&decoded) {
        let name = content::display_name(&String::from_utf8_lossy(&decoded), kind);
        assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0', '\n']));
    }
    let _ = head::CdaHead::read(&decoded);
});
