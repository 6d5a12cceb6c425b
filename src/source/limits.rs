//! What any input may ask of memory.

/// Most pixels of a video frame: a little over 8K UHD (7680 x 4320).
pub(super) const MAX_VIDEO_PIXELS: u64 = 36_000_000;
/// Most pixels of an animated GIF, whose canvas is kept in RGBA more than once.
pub(super) const MAX_GIF_PIXELS: u64 = 1 << 24;
/// Most pixels of a still: today's phones make 50 million.
pub(super) const MAX_STILL_PIXELS: u64 = 64_000_000;

/// Says what is wrong with a picture size, if something is.
pub(super) fn check_size(width: u32, height: u32, max_pixels: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("its pictures are {width} x {height}, which is nothing to look at"));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(format!(
            "its pictures are {width} x {height}, more than the {} million pixels accepted here; scale it down first",
            max_pixels / 1_000_000
        ));
    }
    Ok(())
}
