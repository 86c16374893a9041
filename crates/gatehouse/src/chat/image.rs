//! Images as data URLs: read from the page, written back to it and to the gateway.
//!
//! Why here: what enters the store must be one of four picture formats by its own first bytes, so that nothing that is
//! really a page or a script can come back out.
//!
//! Never here: fetching. An address is not an image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::Image;

use super::bounds;
use super::failure::ApiError;

pub(super) fn read(data_url: &str) -> Result<Image, ApiError> {
    const SHAPE: &str = "An image must be a PNG, JPEG, WebP or GIF picture.";
    let rest = data_url.strip_prefix("data:").ok_or_else(|| ApiError::bad_request(SHAPE))?;
    let (_, text) = rest.split_once(";base64,").ok_or_else(|| ApiError::bad_request(SHAPE))?;
    if text.len() > bounds::IMAGE_BYTES.div_ceil(3) * 4 {
        return Err(ApiError::too_large("An image may have at most 5 MiB."));
    }
    let bytes = STANDARD.decode(text).map_err(|_| ApiError::bad_request(SHAPE))?;
    let media_type = media_type(&bytes).ok_or_else(|| ApiError::bad_request(SHAPE))?;
    Ok(Image { media_type: media_type.to_owned(), bytes })
}

pub(super) fn data_url(image: &Image) -> String {
    format!("data:{};base64,{}", image.media_type, STANDARD.encode(&image.bytes))
}

/// By the file's own signature; what the page claims is not asked.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_enter_and_keep_their_own_type() {
        let png = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3];
        let url = format!("data:text/html;base64,{}", STANDARD.encode(png));
        let image = read(&url).unwrap();
        assert_eq!((image.media_type.as_str(), image.bytes.as_slice()), ("image/png", png.as_slice()));
        assert_eq!(read(&data_url(&image)).unwrap(), image);
        for bad in [
            "https://example.com/a.png",
            "data:image/png,plain",
            "data:image/png;base64,%%%",
            &format!("data:image/png;base64,{}", STANDARD.encode("<svg onload=alert(1)>")),
        ] {
            assert_eq!(read(bad).unwrap_err().status, 400, "{bad}");
        }
        let big = format!("data:image/png;base64,{}", "A".repeat(bounds::IMAGE_BYTES * 2));
        assert_eq!(read(&big).unwrap_err().status, 413);
    }
}
