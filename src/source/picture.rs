//! A decoded picture as its decoder left it.

/// Time in seconds on the source's own clock; its first frame is at 0.
pub type Seconds = f64;

/// One frame of a clip or stream.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// 0-based, in display order, counting every frame of the source.
    pub index: u64,
    /// When it is shown.
    pub time: Seconds,
    /// What it shows.
    pub picture: Picture<'a>,
}

/// A picture as stored, and how to turn it to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Stored width in pixels, before rotation.
    pub width: u32,
    /// Stored height in pixels, before rotation.
    pub height: u32,
    /// Clockwise turn that makes it upright.
    pub rotation: Rotation,
    /// The pixels.
    pub pixels: Pixels<'a>,
}

/// Clockwise turn that makes a stored picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As stored.
    #[default]
    None,
    /// A quarter turn clockwise.
    Quarter,
    /// Upside down.
    Half,
    /// A quarter turn anticlockwise.
    ThreeQuarters,
}

impl Rotation {
    /// Both turns, one after the other.
    pub fn then(self, other: Self) -> Self {
        const TURNS: [Rotation; 4] = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];
        TURNS[(self as usize + other as usize) % 4]
    }
}

/// Pixel storage. Slices hold at least `stride * (rows - 1) + row bytes` bytes.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// Interleaved RGB, 8 bits.
    Rgb {
        /// Rows of R, G, B.
        data: &'a [u8],
        /// Bytes from row to row.
        stride: usize,
    },
    /// Planar YUV, 8 bits.
    Yuv {
        /// Luma, u and v planes; u and v are empty for [`Subsampling::Gray`].
        planes: [&'a [u8]; 3],
        /// Bytes from row to row, a plane.
        strides: [usize; 3],
        /// How the chroma planes are thinned.
        subsampling: Subsampling,
        /// True where luma spans 0..255, false for 16..235.
        full_range: bool,
        /// The matrix to RGB.
        matrix: Matrix,
    },
}

/// How chroma planes are thinned; odd sizes round up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsampling {
    /// Half width, half height.
    S420,
    /// Half width.
    S422,
    /// Full size.
    S444,
    /// No chroma.
    Gray,
}

/// Matrix between YUV and RGB. Untagged video is read as BT.601 whatever its size, as ffmpeg does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601.
    #[default]
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

impl Picture<'_> {
    /// Width and height after rotation.
    pub fn display_size(&self) -> (u32, u32) {
        match self.rotation {
            Rotation::None | Rotation::Half => (self.width, self.height),
            Rotation::Quarter | Rotation::ThreeQuarters => (self.height, self.width),
        }
    }
}
