//! The flags that override settings, in groups. Each flag names the key of its setting; ranges and defaults come from
//! the spec that defines the setting.

/// A flag that gives the value of a setting.
#[derive(Debug)]
pub struct Flag {
    /// The path of the setting's key. The section `camera` is that of the input.
    pub(super) key: &'static str,
    /// Without `--`.
    pub(super) name: &'static str,
    pub(super) value: ValueKind,
    pub(super) help: &'static str,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum ValueKind {
    /// A number, shown under this name.
    Number(&'static str),
    /// A text, shown under this name.
    Text(&'static str),
    /// A path.
    Path(&'static str),
    /// A number or text from a list.
    OneOf(&'static str, &'static [&'static str]),
    /// Names separated by commas.
    Names,
    /// Names separated by commas, or a file.
    NamesOrFile,
    /// Texts; the flag may be given several times.
    Several(&'static str),
    /// Nothing: the flag sets this value.
    Switch(bool),
}

/// Flags under a common heading.
#[derive(Debug)]
pub struct FlagGroup {
    pub(super) heading: &'static str,
    pub(super) flags: &'static [Flag],
}

const fn flag(key: &'static str, name: &'static str, value: ValueKind, help: &'static str) -> Flag {
    Flag { key, name, value, help }
}

/// The model and its categories.
pub const MODEL: FlagGroup = FlagGroup {
    heading: "Model",
    flags: &[
        flag(
            "model.bundle",
            "bundle",
            ValueKind::Path("BUNDLE"),
            "Bundle folder or packed file; `embedded` is the one inside this program",
        ),
        flag(
            "model.categories",
            "categories",
            ValueKind::NamesOrFile,
            "Categories to choose from instead of the bundle's: names separated by commas, or a file with one name per \
             line, or a CSV file with the columns id,name. A name can be any phrase of the bundle's lexicon, or any text \
             if the bundle has a text tower (see `bundle inspect`) [default: the bundle's]",
        ),
        flag(
            "model.background",
            "background",
            ValueKind::Names,
            "Names, separated by commas, of what counts as \"nothing of interest\". They never start an event; in streams they \
             are always scored beside the categories. Any name that --categories accepts [default: the bundle's]",
        ),
        flag(
            "model.scoring",
            "scoring",
            ValueKind::OneOf("HOW", &["share", "independent"]),
            "What a confidence is compared with: all categories, so that confidences add up to 1 (`share`), or the background \
             alone, so that other categories do not change it and several can be high at once (`independent`) [default: \
             share]",
        ),
        flag(
            "model.window",
            "window",
            ValueKind::Number("T"),
            "Frames in a window (T). A bundle with a temporal header may support only one value [default: the bundle's]",
        ),
        flag(
            "model.lambda",
            "lambda",
            ValueKind::Number("X"),
            "Weight of the video branch relative to the attribute branch, 0 to 1; 1 ignores attributes [default: the bundle's]",
        ),
        flag(
            "model.attributes",
            "attributes",
            ValueKind::OneOf("HOW", &["auto", "tower", "composer", "mean"]),
            "How the sentence of a window's attributes is encoded: by the bundle's text `tower` (exact; runs for each new \
             set of phrases), by its `composer` or by the `mean` of the phrases (fast approximations), or as the bundle \
             specifies (`auto`)",
        ),
        flag(
            "model.tau",
            "tau",
            ValueKind::Number("X"),
            "Temperature of concept spotting; a smaller value trusts fewer frames [default: the bundle's]",
        ),
        flag(
            "model.threads",
            "threads",
            ValueKind::Number("N"),
            "CPU threads for the model [default: one per core, at most 4]",
        ),
        flag(
            "model.device",
            "device",
            ValueKind::OneOf("DEVICE", &["auto", "cpu", "cuda", "metal"]),
            "Device that encodes frames. `auto` uses a GPU if this build supports it and it works, else the CPU. Builds \
             support only the CPU unless they have a GPU feature (docs/devices.md)",
        ),
    ],
};

/// How often a stream is sampled.
pub const STRIDE: FlagGroup = FlagGroup {
    heading: "Sampling",
    flags: &[flag(
        "model.stride_s",
        "stride",
        ValueKind::Number("SECONDS"),
        "Seconds between sampled frames [default: the bundle's, else 10 / T]",
    )],
};

/// How the frames of a clip are sampled.
pub const SAMPLING: FlagGroup = FlagGroup {
    heading: "Sampling",
    flags: &[
        flag(
            "sampling.views",
            "views",
            ValueKind::Number("V"),
            "Temporal views: the clip is sampled this many times and the scores are averaged",
        ),
        flag(
            "sampling.crops",
            "crops",
            ValueKind::Number("1|3"),
            "Crops per temporal view: 1 (centre) or 3 (left, right, centre)",
        ),
        flag(
            "sampling.dense",
            "dense",
            ValueKind::Switch(true),
            "Sample densely: T frames spread over 128 consecutive frames, instead of over the whole clip",
        ),
    ],
};

/// How pictures are read and cropped.
pub const PICTURE: FlagGroup =
    FlagGroup { heading: "Picture", flags: &[ROI, MASK, ROTATE, FIT, SPOOL_LIMIT, MATRIX, IO_TIMEOUT] };

/// How the pictures of a camera are read.
pub const CAMERA_PICTURE: FlagGroup = FlagGroup { heading: "Picture", flags: &[ROI, MASK, ROTATE, MATRIX, IO_TIMEOUT] };

const ROI: Flag = flag(
    "camera.roi",
    "roi",
    ValueKind::Text("X,Y,W,H"),
    "Analyse only this region, in pixels of the upright picture [default: all of it]",
);

const MASK: Flag = flag(
    "camera.masks",
    "mask",
    ValueKind::Several("X,Y,W,H"),
    "Paint this rectangle black before anything else reads the picture, in pixels of the upright picture. Can be \
     given several times",
);

const ROTATE: Flag = flag(
    "camera.rotate",
    "rotate",
    ValueKind::OneOf("DEGREES", &["0", "90", "180", "270"]),
    "Rotate the picture clockwise",
);

const FIT: Flag = flag(
    "camera.fit",
    "fit",
    ValueKind::OneOf("HOW", &["crop", "pad", "stretch"]),
    "How a picture becomes square: `crop` the centre as BIKE does, `pad` it, or `stretch` it",
);

const SPOOL_LIMIT: Flag = flag(
    "camera.spool_limit",
    "spool-limit",
    ValueKind::Text("SIZE"),
    "Largest temporary file for a clip from a pipe, such as 512M or 2G",
);

const MATRIX: Flag = flag(
    "camera.matrix",
    "matrix",
    ValueKind::OneOf("MATRIX", &["bt601", "bt709", "bt2020"]),
    "Matrix from YUV to RGB, for input that states none or a wrong one (y4m never states one) [default: as stated, else \
     bt601]",
);

const IO_TIMEOUT: Flag = flag(
    "camera.timeout_s",
    "io-timeout",
    ValueKind::Number("SECONDS"),
    "Seconds without data after which reading an input fails and a live source is reopened; for a V4L2 camera at most 5",
);

/// Which part of a stream's pictures is analysed.
pub const FOLLOW: FlagGroup = FlagGroup {
    heading: "Picture",
    flags: &[
        flag(
            "camera.follow",
            "follow",
            ValueKind::OneOf("HOW", &["off", "region", "both"]),
            "Look where something moves: analyse the moving `region` in place of the whole picture, or `both`, each with its \
             own window and events",
        ),
        flag(
            "camera.follow_regions",
            "follow-regions",
            ValueKind::Number("N"),
            "Largest number of moving regions, 1 to 4; each costs as much as a picture",
        ),
        flag(
            "camera.follow_min_share",
            "follow-min-share",
            ValueKind::Number("X"),
            "Smallest side of a region as a share of the shorter side of the picture, 0.1 to 1",
        ),
    ],
};

/// The mode of a camera.
pub const CAMERA: FlagGroup = FlagGroup {
    heading: "Camera",
    flags: &[
        flag(
            "camera.format",
            "camera-format",
            ValueKind::OneOf("FORMAT", &["mjpeg", "yuyv", "nv12", "yu12", "rgb3", "bgr3"]),
            "Pixel format [default: the cheapest to read]",
        ),
        flag(
            "camera.size",
            "camera-size",
            ValueKind::Text("WxH"),
            "Picture size [default: the smallest whose shorter side has at least 480 pixels]",
        ),
        flag(
            "camera.rate",
            "camera-rate",
            ValueKind::Number("N"),
            "Frames per second; the nearest rate is used [default: the lowest of at least 15]",
        ),
    ],
};

/// When a category becomes an event.
pub const EVENTS: FlagGroup = FlagGroup {
    heading: "Events",
    flags: &[
        flag(
            "events.on",
            "on",
            ValueKind::Number("X"),
            "Smoothed confidence at which an event starts, 0 to 1 [default: 0.28 for shares of 77 or more \
             categories and up to 1 for fewer, 0.5 for independent confidences]",
        ),
        flag(
            "events.off",
            "off",
            ValueKind::Number("X"),
            "Smoothed confidence below which an event ends [default: 0.7 of --on]",
        ),
        SMOOTHING,
        flag(
            "events.min_length_s",
            "min-length",
            ValueKind::Number("SECONDS"),
            "Seconds that an event must last before it is reported",
        ),
        flag(
            "events.cool_down_s",
            "cool-down",
            ValueKind::Number("SECONDS"),
            "Seconds after an event during which no other event of its category starts",
        ),
        flag(
            "events.update_s",
            "update",
            ValueKind::Number("SECONDS"),
            "Seconds between updates of an open event; 0 for none",
        ),
        flag(
            "events.gap_s",
            "gap",
            ValueKind::Number("SECONDS"),
            "Seconds without a frame after which open events end [default: 10, or 4 strides if that is longer]",
        ),
    ],
};

/// The event settings that matter for calibration.
pub const SMOOTHED_LEVELS: FlagGroup = FlagGroup { heading: "Events", flags: &[SMOOTHING] };

const SMOOTHING: Flag = flag(
    "events.smoothing_s",
    "smoothing",
    ValueKind::Number("SECONDS"),
    "Time constant of the smoothing of confidences",
);

/// When a frame is not encoded.
pub const GATE: FlagGroup = FlagGroup {
    heading: "Gate",
    flags: &[flag(
        "gate.enabled",
        "no-gate",
        ValueKind::Switch(false),
        "Encode every frame, even if the picture has not changed, is dark or has a single colour. Such pictures are then \
         scored like others",
    )],
};

/// Groups in which a flag is looked up by its key; together they have every flag. Groups for single commands repeat
/// some of these flags.
pub(super) const ALL_GROUPS: [&FlagGroup; 8] = [&MODEL, &STRIDE, &SAMPLING, &PICTURE, &FOLLOW, &CAMERA, &EVENTS, &GATE];
