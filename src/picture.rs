//! Pictures that a report can show: PNG and JPEG, whole, and no larger than their place asks for.

use krilla::configure::{Archival, ConfigurationBuilder};
use krilla::error::KrillaError;
use krilla::geom::Size;
use krilla::image::Image;
use krilla::{Document, SerializeSettings};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Why a picture is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It has more pixels than its place may have: width and height.
    #[error("{0} × {1} pixels")]
    TooWide(u32, u32),
    /// It is no whole PNG or JPEG that PDF/A can hold.
    #[error("{0}")]
    NoPicture(String),
}

/// Reads a picture of at most so many pixels a side, and so many in all; its header is read before anything of it is
/// decoded, since a small file may be a picture of gigabytes.
pub fn read(bytes: Vec<u8>, widest: u32, most: u64) -> Result<Image, PictureError> {
    let size = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => png_size(&bytes),
        [0xFF, 0xD8, 0xFF, ..] => jpeg_size(&bytes),
        _ => Err("it is neither".to_owned()),
    };
    let (width, height) = size.map_err(PictureError::NoPicture)?;
    if width.max(height) > widest || u64::from(width) * u64::from(height) > most {
        return Err(PictureError::TooWide(width, height));
    }
    let image = match bytes.first() {
        Some(0x89) => Image::from_png(bytes.into(), false),
        _ => match whole_jpeg(&bytes) {
            Ok(Colours::Screen) => Image::from_jpeg(bytes.into(), false),
            Ok(Colours::Print) if u64::from(width) * u64::from(height) > MOST_OF_PRINT => {
                return Err(PictureError::TooWide(width, height));
            }
            Ok(Colours::Print) => for_screen(&bytes, (width, height)),
            Err(problem) => Err(problem),
        },
    };
    let image = image.map_err(PictureError::NoPicture)?;
    if image.size() != (width, height) {
        let problem = "its size is not the one that its header names";
        return Err(PictureError::NoPicture(problem.to_owned()));
    }
    match shown(image.clone()) {
        Ok(_) => Ok(image),
        Err(problem) => Err(PictureError::NoPicture(format!("{problem:?}"))),
    }
}

/// Width and height, as the header of a PNG names them: its first chunk.
fn png_size(bytes: &[u8]) -> Result<(u32, u32), String> {
    let number = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    match (bytes.get(12..16), number(16), number(20)) {
        (Some(b"IHDR"), Some(width), Some(height)) => Ok((width, height)),
        _ => Err("it is a PNG without a header".to_owned()),
    }
}

/// Width and height, as the header of a JPEG names them.
fn jpeg_size(bytes: &[u8]) -> Result<(u32, u32), String> {
    let any_size = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), any_size);
    decoder
        .decode_headers()
        .map_err(|error| error.to_string())?;
    let size = decoder.dimensions();
    let (width, height) = size.ok_or("it is a JPEG without a size")?;
    let small = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    Ok((small(width), small(height)))
}

/// A JPEG in the colours of print has at most so many pixels: it stands in the PDF as pixels, not as it came.
const MOST_OF_PRINT: u64 = 4_000_000;

/// What the pixels of a JPEG are given in.
enum Colours {
    /// Light: red, green and blue, or grey.
    Screen,
    /// Ink: cyan, magenta, yellow and black, which PDF/A holds only with a profile of the press.
    Print,
}

/// Decodes a JPEG, which a PDF holds as it came: only this shows that nothing of it is missing.
fn whole_jpeg(bytes: &[u8]) -> Result<Colours, String> {
    let options = DecoderOptions::default().set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode().map_err(|error| error.to_string())?;
    Ok(match decoder.input_colorspace() {
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => Colours::Print,
        _ => Colours::Screen,
    })
}

/// A JPEG in the colours of print, in those of the screen.
fn for_screen(bytes: &[u8], (width, height): (u32, u32)) -> Result<Image, String> {
    let pixels = screen_pixels(bytes)?;
    let count = u64::from(width) * u64::from(height) * 4;
    match u64::try_from(pixels.len()) {
        Ok(found) if found == count => Ok(Image::from_rgba8(pixels, width, height)),
        _ => Err("its pixels are not those of its size".to_owned()),
    }
}

/// The pixels of a JPEG in the colours of print: red, green, blue and no transparency each.
fn screen_pixels(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // With this mark four colours are written the other way round, which is what the decoder takes them for.
    if memchr::memmem::find(bytes, b"\xff\xee\x00\x0eAdobe").is_none() {
        return Err("nobody says how its colours of print are written".to_owned());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let pixels = JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode();
    let pixels = pixels.map_err(|error| error.to_string())?;
    let pixels = pixels.chunks_exact(3);
    Ok(pixels
        .flat_map(|pixel| pixel.iter().copied().chain([u8::MAX]))
        .collect())
}

/// The picture on a page of PDF/A: only this shows every reason why no report could have it.
fn shown(image: Image) -> Result<Vec<u8>, KrillaError> {
    let configuration = ConfigurationBuilder::new().with_archival_validator(Archival::A2_B);
    let mut document = Document::new_with(SerializeSettings {
        configuration: configuration.finish().unwrap_or_default(),
        ..SerializeSettings::default()
    });
    let mut page = document.start_page();
    let mut surface = page.surface();
    if let Some(size) = Size::from_wh(100.0, 100.0) {
        surface.draw_image(image, size);
    }
    surface.finish();
    page.finish();
    let midnight = krilla::metadata::DateTime::new(2000);
    document.set_metadata(krilla::metadata::Metadata::new().creation_date(midnight));
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of both ways to write them: red rises to the right, green downwards.
    #[test]
    fn colours_of_print_are_those_of_the_screen() {
        for name in ["print-cmyk.jpg", "print-ycck.jpg"] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/media/");
            let bytes = std::fs::read(format!("{folder}{name}")).unwrap();
            let pixels = screen_pixels(&bytes).unwrap();
            for (x, y, colour) in [
                (0, 0, [0, 0, 108]),
                (11, 0, [183, 0, 108]),
                (0, 7, [0, 179, 108]),
                (11, 7, [183, 179, 108]),
            ] {
                let at = (y * 12 + x) * 4;
                let found = &pixels[at..at + 3];
                let is_near = |(one, other): (&u8, &u8)| one.abs_diff(*other) < 12;
                assert!(
                    found.iter().zip(&colour).all(is_near),
                    "{name} {x} {y}: {found:?}"
                );
            }
            let unmarked: Vec<u8> = match memchr::memmem::find(&bytes, b"Adobe") {
                Some(at) => [&bytes[..at], b"Other", &bytes[at + 5..]].concat(),
                None => panic!("{name} has no mark"),
            };
            assert!(read(unmarked, 100, 1_000).is_err(), "{name}");
        }
    }
}
