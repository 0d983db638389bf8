//! The batch: one XML file with every report, each an HL7 message in base64 (interface.md 8).
//!
//! A report's PDF is read, encoded into its message and the message encoded into the file as one
//! stream, so a batch of any size needs a few kilobytes of memory.

use std::io::{self, Read, Write};

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::message::Envelope;

/// Why a batch could not be written. What was written so far is no batch and must be discarded.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A report, counted from 1, could not be opened or read to its end.
    #[error("report {position} of the batch cannot be read: {source}; check the documents folder")]
    Report {
        /// Which report of the batch.
        position: usize,
        /// What the source of the report said.
        source: io::Error,
    },
    /// The batch itself could not be written.
    #[error("the batch cannot be written: {0}; check the space and rights of the outbox")]
    Write(#[from] io::Error),
}

/// Writes the batch of these reports, in their order; each is the envelope of its message and its
/// PDF. Without any report the file is `<message/>`.
pub fn write<W: Write>(
    out: W,
    reports: impl Iterator<Item = io::Result<(Envelope, Box<dyn Read>)>>,
) -> Result<(), BatchError> {
    let mut xml = Writer::new(out);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    new_line(&mut xml)?;
    let mut reports = (1..).zip(reports).peekable();
    if reports.peek().is_none() {
        xml.write_event(Event::Empty(BytesStart::new("message")))?;
    } else {
        xml.write_event(Event::Start(BytesStart::new("message")))?;
        new_line(&mut xml)?;
        for (position, report) in reports {
            let (envelope, pdf) =
                report.map_err(|source| BatchError::Report { position, source })?;
            xml.write_event(Event::Start(BytesStart::new("content")))?;
            // The base64 alphabet holds nothing that XML would want escaped.
            message(xml.get_mut(), position, &envelope, pdf)?;
            xml.write_event(Event::End(BytesEnd::new("content")))?;
            new_line(&mut xml)?;
        }
        xml.write_event(Event::End(BytesEnd::new("message")))?;
    }
    new_line(&mut xml)?;
    xml.into_inner().flush()?;
    Ok(())
}

fn new_line<W: Write>(xml: &mut Writer<W>) -> io::Result<()> {
    xml.write_event(Event::Text(BytesText::from_escaped("\n")))
}

/// One message in base64 on one line, the PDF inside it in base64 of its own.
fn message<W: Write>(
    out: &mut W,
    position: usize,
    envelope: &Envelope,
    mut pdf: impl Read,
) -> Result<(), BatchError> {
    let mut message = EncoderWriter::new(WholeWriter(out), &STANDARD);
    message.write_all(envelope.prefix.as_bytes())?;
    let mut embedded = EncoderWriter::new(WholeWriter(&mut message), &STANDARD);
    // Not `io::copy`: a source that cannot be read and a full disk need different help.
    let mut buffer = [0; 8192];
    loop {
        let read = match pdf.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(BatchError::Report { position, source }),
        };
        embedded.write_all(buffer.get(..read).unwrap_or_default())?;
    }
    embedded.finish()?;
    drop(embedded);
    message.write_all(envelope.suffix.as_bytes())?;
    message.finish()?;
    Ok(())
}

/// Takes each write whole. After a short one, `EncoderWriter` answers the next write with
/// `Ok(0)`, which `write_all` takes for a writer that is full.
struct WholeWriter<W>(W);

impl<W: Write> Write for WholeWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    fn report(prefix: &str, pdf: Vec<u8>, suffix: &str) -> io::Result<(Envelope, Box<dyn Read>)> {
        Ok((
            Envelope {
                prefix: prefix.into(),
                suffix: suffix.into(),
            },
            Box::new(io::Cursor::new(pdf)),
        ))
    }

    #[test]
    fn no_report_is_an_empty_message() {
        let mut out = Vec::new();
        write(&mut out, std::iter::empty()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<message/>\n"
        );
    }

    #[test]
    fn reports_come_back_whole_and_in_order() {
        // Sizes around the groups of three of base64 and around the copy buffer.
        let sizes = [0, 1, 2, 3, 57, 8191, 8192, 8193, 200_000];
        let pdf = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>();
        let mut out = Vec::new();
        write(
            &mut out,
            sizes
                .iter()
                .map(|size| report(&format!("MSH|é{size}|"), pdf(*size), "||F\r")),
        )
        .unwrap();

        let text = String::from_utf8(out).unwrap();
        let tree = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(tree.root_element().tag_name().name(), "message");
        let contents: Vec<_> = tree
            .root_element()
            .children()
            .filter(|node| node.is_element())
            .collect();
        assert_eq!(contents.len(), sizes.len());
        for (content, size) in contents.iter().zip(sizes) {
            assert_eq!(content.tag_name().name(), "content");
            let line = content.text().unwrap();
            assert!(!line.contains(char::is_whitespace));
            let message = String::from_utf8(STANDARD.decode(line).unwrap()).unwrap();
            let embedded = message
                .strip_prefix(&format!("MSH|é{size}|"))
                .and_then(|rest| rest.strip_suffix("||F\r"))
                .unwrap();
            assert_eq!(STANDARD.decode(embedded).unwrap(), pdf(size));
        }
    }

    #[test]
    fn a_writer_that_takes_little_at_a_time_gets_everything() {
        struct ShortWriter(Vec<u8>);
        impl Write for ShortWriter {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let sip = bytes.get(..7).unwrap_or(bytes);
                self.0.extend_from_slice(sip);
                Ok(sip.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let reports = || [report("MSH|", vec![7; 5000], "\r")].into_iter();
        let (mut sip, mut whole) = (ShortWriter(Vec::new()), Vec::new());
        write(&mut sip, reports()).unwrap();
        write(&mut whole, reports()).unwrap();
        assert_eq!(sip.0, whole);
    }

    #[test]
    fn an_unreadable_report_is_named() {
        let reports = [
            report("MSH|", vec![1, 2, 3], "\r"),
            Err(io::Error::from(io::ErrorKind::NotFound)),
        ];
        let error = write(Vec::new(), reports.into_iter()).unwrap_err();
        assert!(matches!(error, BatchError::Report { position: 2, .. }));

        struct FailingReader;
        impl Read for FailingReader {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("torn"))
            }
        }
        let broken: io::Result<(Envelope, Box<dyn Read>)> = report("MSH|", Vec::new(), "\r")
            .map(|(envelope, _)| (envelope, Box::new(FailingReader) as Box<dyn Read>));
        let error = write(Vec::new(), [broken].into_iter()).unwrap_err();
        assert!(matches!(error, BatchError::Report { position: 1, .. }));
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_report() {
        struct FullWriter;
        impl Write for FullWriter {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let reports = [report("MSH|", vec![1, 2, 3], "\r")];
        assert!(matches!(
            write(FullWriter, reports.into_iter()),
            Err(BatchError::Write(_))
        ));
    }
}
