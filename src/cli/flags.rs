//! Flags that override settings. Each one names the key of its setting; ranges and defaults are those of the spec that
//! defines the setting.

use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::Path;

use bike_edge::{Error, Result};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint, value_parser};
use toml::{Table, Value};

use crate::config::builtin_default;

/// A flag that gives the value of a setting.
#[derive(Debug)]
pub struct Flag {
    /// The path of the setting's key. The section `camera` is that of the input.
    key: &'static str,
    /// Without `--`.
    name: &'static str,
    value: Form,
    help: &'static str,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// A number, shown under this name.
    Number(&'static str),
    /// A text, shown under this name.
    Text(&'static str),
    /// A path.
    Path(&'static str),
    /// A number or text out of a list.
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
    heading: &'static str,
    flags: &'static [Flag],
}

const fn flag(key: &'static str, name: &'static str, value: Form, help: &'static str) -> Flag {
    Flag { key, name, value, help }
}

/// The model and its categories.
pub const MODEL: FlagGroup = FlagGroup {
    heading: "Model",
    flags: &[
        flag(
            "model.bundle",
            "bundle",
            Form::Path("BUNDLE"),
            "Bundle folder or packed file; `embedded` is the one inside this program",
        ),
        flag(
            "model.categories",
            "categories",
            Form::NamesOrFile,
            "Categories to choose from instead of the bundle's: names separated by commas, or a file with one name per \
             line, or a CSV file with the columns id,name. A name can be any phrase of the bundle's lexicon, or any text \
             if the bundle has a text tower (see `bundle inspect`) [default: the bundle's]",
        ),
        flag(
            "model.window",
            "window",
            Form::Number("T"),
            "Frames in a window (T). A bundle with a temporal header may support only one value [default: the bundle's]",
        ),
        flag(
            "model.lambda",
            "lambda",
            Form::Number("X"),
            "Weight of the video branch against the attribute branch, 0 to 1; 1 ignores attributes [default: the bundle's]",
        ),
        flag(
            "model.attributes",
            "attributes",
            Form::OneOf("HOW", &["auto", "tower", "composer", "mean"]),
            "What makes the sentence of a window's attributes: the bundle's text `tower` (exact; runs for each new set of \
             phrases), its `composer` or the `mean` of the phrases (fast approximations), or what the bundle names (`auto`)",
        ),
        flag(
            "model.tau",
            "tau",
            Form::Number("X"),
            "Temperature of concept spotting; a smaller value trusts fewer frames [default: the bundle's]",
        ),
        flag(
            "model.threads",
            "threads",
            Form::Number("N"),
            "CPU threads for the model [default: one per core, at most 4]",
        ),
        flag(
            "model.device",
            "device",
            Form::OneOf("DEVICE", &["auto", "cpu", "cuda", "metal"]),
            "What encodes frames. `auto` uses a GPU if this build supports it and it works, else the CPU. Builds support \
             the CPU only unless made with a GPU feature (docs/devices.md)",
        ),
    ],
};

/// How often a stream is sampled.
pub const STRIDE: FlagGroup = FlagGroup {
    heading: "Sampling",
    flags: &[flag(
        "model.stride_s",
        "stride",
        Form::Number("SECONDS"),
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
            Form::Number("V"),
            "Temporal views: the clip is sampled this many times and the scores are averaged",
        ),
        flag("sampling.crops", "crops", Form::Number("1|3"), "Crops per view: 1 (centre) or 3 (left, right, centre)"),
        flag(
            "sampling.dense",
            "dense",
            Form::Switch(true),
            "Sample densely, T frames out of 128, instead of over the whole clip",
        ),
    ],
};

/// How pictures are read and cut.
pub const PICTURE: FlagGroup = FlagGroup {
    heading: "Picture",
    flags: &[
        flag(
            "camera.roi",
            "roi",
            Form::Text("X,Y,W,H"),
            "Analyse only this region, in pixels of the upright picture [default: all of it]",
        ),
        flag(
            "camera.masks",
            "mask",
            Form::Several("X,Y,W,H"),
            "Paint this rectangle black before anything else reads the picture, in pixels of the upright picture. Can be \
             given several times",
        ),
        flag(
            "camera.rotate",
            "rotate",
            Form::OneOf("DEGREES", &["0", "90", "180", "270"]),
            "Rotate the picture clockwise",
        ),
        flag(
            "camera.fit",
            "fit",
            Form::OneOf("HOW", &["crop", "pad", "stretch"]),
            "How a picture becomes square: `crop` the centre as BIKE does, `pad` it, or `stretch` it",
        ),
        flag(
            "camera.spool_limit",
            "spool-limit",
            Form::Text("SIZE"),
            "Largest temporary file for a clip from a pipe, such as 512M or 2G",
        ),
        flag(
            "camera.matrix",
            "matrix",
            Form::OneOf("MATRIX", &["bt601", "bt709", "bt2020"]),
            "Matrix from YUV to RGB, for files without a tag or with a wrong one; y4m has none [default: as tagged, else \
             bt601]",
        ),
        flag(
            "camera.timeout_s",
            "io-timeout",
            Form::Number("SECONDS"),
            "Seconds without a byte or frame after which a pipe, an address or ffmpeg counts as failed",
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
            Form::OneOf("FORMAT", &["mjpeg", "yuyv", "nv12", "yu12", "rgb3", "bgr3"]),
            "Pixel format [default: the cheapest to read]",
        ),
        flag(
            "camera.size",
            "camera-size",
            Form::Text("WxH"),
            "Picture size [default: the smallest of at least 480 lines]",
        ),
        flag(
            "camera.rate",
            "camera-rate",
            Form::Number("N"),
            "Frames per second; the nearest rate is used [default: the lowest of at least 15]",
        ),
    ],
};

/// When a category becomes an event.
pub const EVENTS: FlagGroup = FlagGroup {
    heading: "Events",
    flags: &[
        flag("events.on", "on", Form::Number("X"), "Smoothed confidence at which an event starts, 0 to 1"),
        flag("events.off", "off", Form::Number("X"), "Smoothed confidence below which it ends [default: 0.7 of --on]"),
        SMOOTHING,
        flag(
            "events.min_length_s",
            "min-length",
            Form::Number("SECONDS"),
            "How long an event must last before it is reported",
        ),
        flag(
            "events.cool_down_s",
            "cool-down",
            Form::Number("SECONDS"),
            "Time after an event in which no other event of its category starts",
        ),
        flag(
            "events.update_s",
            "update",
            Form::Number("SECONDS"),
            "Seconds between updates of an open event; 0 for none",
        ),
        flag(
            "events.gap_s",
            "gap",
            Form::Number("SECONDS"),
            "Seconds without a frame after which open events end [default: 10, or 4 strides if that is longer]",
        ),
        BACKGROUND,
    ],
};

/// The event settings that matter for calibration.
pub const SMOOTHED_LEVELS: FlagGroup = FlagGroup { heading: "Events", flags: &[SMOOTHING, BACKGROUND] };

const SMOOTHING: Flag =
    flag("events.smoothing_s", "smoothing", Form::Number("SECONDS"), "Time constant of the smoothing of confidences");

const BACKGROUND: Flag = flag(
    "events.background",
    "background",
    Form::Names,
    "Categories that mean \"nothing of interest\", separated by commas: they never start an event, and they end others \
     [default: the bundle's, those among the categories]",
);

/// When a frame is not encoded.
pub const GATE: FlagGroup = FlagGroup {
    heading: "Gate",
    flags: &[flag(
        "gate.enabled",
        "no-gate",
        Form::Switch(false),
        "Encode every frame, even if the picture has not changed, or is dark or of one colour",
    )],
};

const ALL_GROUPS: [&FlagGroup; 7] = [&MODEL, &STRIDE, &SAMPLING, &PICTURE, &CAMERA, &EVENTS, &GATE];

/// Returns the flag of a setting, such as `--tau` for `tau` or `model.tau`.
pub fn flag_of(setting: &str) -> Option<String> {
    // One flag serves names and a file of names.
    let setting = if setting.ends_with("categories_file") { "categories" } else { setting };
    let is_named =
        |flag: &&Flag| flag.key == setting || flag.key.rsplit_once('.').is_some_and(|(_, key)| key == setting);
    let flag = ALL_GROUPS.iter().flat_map(|group| group.flags).find(is_named)?;
    Some(format!("--{}", flag.name))
}

/// Replaces settings in backticks by their flags: `` `timeout_s` `` becomes `--io-timeout`, and `` `size = 1x1` `` becomes
/// `--camera-size 1x1`.
pub fn name_flags(text: &str) -> String {
    let keys = ALL_GROUPS.iter().flat_map(|group| group.flags).filter_map(|flag| flag.key.rsplit_once('.'));
    keys.fold(text.to_owned(), |text, (_, key)| {
        let Some(flag) = flag_of(key) else { return text };
        // A key without an underscore and without a value is a word that may mean something else.
        let text = if key.contains('_') { text.replace(&format!("`{key}`"), &flag) } else { text };
        let assignment = format!("`{key} = ");
        match text.split_once(&assignment).and_then(|(before, rest)| Some((before, rest.split_once('`')?))) {
            Some((before, (value, after))) => format!("{before}{flag} {value}{after}"),
            None => text,
        }
    })
}

/// The groups of a command.
pub trait FlagSet {
    /// In the order of `--help`.
    const GROUPS: &'static [&'static FlagGroup];
}

/// The settings flags of a command that were given.
#[derive(Clone, Debug)]
pub struct Overrides<S> {
    given: Vec<(&'static Flag, Vec<OsString>)>,
    set: PhantomData<S>,
}

impl<S: FlagSet> Overrides<S> {
    /// Returns the given values as a table of the configuration's keys.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value that is not UTF-8, or names that are not there.
    pub fn table(&self) -> Result<Table> {
        let mut table = Table::new();
        for (flag, values) in &self.given {
            let (section, key) = flag.key.split_once('.').unwrap_or(("", flag.key));
            let (key, value) = flag.value(key, values)?;
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(key.to_owned(), value);
            }
        }
        Ok(table)
    }
}

impl Flag {
    /// Converts the given values; the key differs for a list in a file.
    fn value(&self, key: &'static str, given: &[OsString]) -> Result<(&'static str, Value)> {
        let texts: Option<Vec<&str>> = given.iter().map(|text| text.to_str()).collect();
        let texts = texts.ok_or_else(|| Error::setting(self.key, "not valid UTF-8", "give a path or text in UTF-8"))?;
        let first = texts.first().copied().unwrap_or_default();
        let list = |names: &[&str]| Value::Array(names.iter().map(|name| Value::from(*name)).collect());
        Ok(match self.value {
            Form::Number(_) | Form::OneOf(..) => (key, number_or_text(first)),
            Form::Text(_) | Form::Path(_) => (key, first.into()),
            Form::Several(_) => (key, list(&texts)),
            Form::Switch(value) => (key, value.into()),
            Form::Names => (key, list(&split_names(first))),
            Form::NamesOrFile if Path::new(first).is_file() => ("categories_file", first.into()),
            Form::NamesOrFile => {
                let names = split_names(first);
                let is_path =
                    !first.contains(',') && (first.contains('/') || first.ends_with(".txt") || first.ends_with(".csv"));
                let problem = match (is_path, names.is_empty()) {
                    (true, _) => format!("there is no file {first}"),
                    (false, true) => format!("{first:?} contains no name"),
                    (false, false) => return Ok((key, list(&names))),
                };
                return Err(Error::setting(self.key, problem, "give names separated by commas, or a file"));
            }
        })
    }

    fn arg(&self, heading: &'static str) -> Arg {
        let arg = Arg::new(self.name).long(self.name).help_heading(heading).help(self.help_text());
        let arg = match self.value {
            Form::Number(name) => arg.value_name(name).allow_negative_numbers(true),
            Form::Text(name) => arg.value_name(name).allow_hyphen_values(true),
            Form::Path(name) => arg.value_name(name).value_hint(ValueHint::AnyPath),
            Form::OneOf(name, choices) => return arg.value_name(name).value_parser(choices.to_vec()),
            Form::Names => arg.value_name("A,B,C"),
            Form::NamesOrFile => arg.value_name("FILE|A,B,C").value_hint(ValueHint::FilePath),
            Form::Several(name) => arg.value_name(name).allow_hyphen_values(true).action(ArgAction::Append),
            Form::Switch(_) => return arg.action(ArgAction::SetTrue),
        };
        arg.value_parser(value_parser!(OsString))
    }

    /// Returns the help with the default, which comes from the spec unless the text names it.
    fn help_text(&self) -> String {
        match (builtin_default(self.key), self.value) {
            (Some(default), form) if !self.help.contains("[default") && !matches!(form, Form::Switch(_)) => {
                format!("{} [default: {default}]", self.help)
            }
            _ => self.help.to_owned(),
        }
    }

    fn given(&'static self, matches: &mut ArgMatches) -> Option<(&'static Self, Vec<OsString>)> {
        match self.value {
            Form::Switch(_) => matches.remove_one::<bool>(self.name).filter(|on| *on).map(|_| (self, Vec::new())),
            Form::OneOf(..) => matches.remove_one::<String>(self.name).map(|text| (self, vec![text.into()])),
            _ => matches.remove_many::<OsString>(self.name).map(|values| (self, values.collect())),
        }
    }
}

/// Numbers become TOML numbers, so that the spec checks type and range; anything else stays a text.
fn number_or_text(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}

fn split_names(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

impl<S: FlagSet> Args for Overrides<S> {
    fn augment_args(command: Command) -> Command {
        let groups = S::GROUPS.iter();
        let args = groups.flat_map(|group| group.flags.iter().map(|flag| flag.arg(group.heading)));
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: FlagSet> FromArgMatches for Overrides<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let flags = S::GROUPS.iter().flat_map(|group| group.flags);
        Ok(Self { given: flags.filter_map(|flag| flag.given(matches)).collect(), set: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandSettings;

    #[test]
    fn settings_are_found_by_key_and_path() {
        assert_eq!(flag_of("tau").as_deref(), Some("--tau"));
        assert_eq!(flag_of("events.min_length_s").as_deref(), Some("--min-length"));
        assert_eq!(flag_of("masks").as_deref(), Some("--mask"));
        assert_eq!(flag_of("model.categories_file").as_deref(), Some("--categories"));
        assert_eq!(flag_of("metrics.path"), None);
    }

    #[test]
    fn keys_in_backticks_become_flags() {
        assert_eq!(name_flags("no data; raise `timeout_s`"), "no data; raise --io-timeout");
        assert_eq!(name_flags("the line `on` has no name"), "the line `on` has no name");
        assert_eq!(
            name_flags("no `format = mjpeg` `size = 1x1`; see `list`"),
            "no --camera-format mjpeg --camera-size 1x1; see `list`"
        );
    }

    #[test]
    fn every_flag_names_its_default() {
        for group in ALL_GROUPS {
            for flag in group.flags.iter().filter(|flag| !matches!(flag.value, Form::Switch(_) | Form::Several(_))) {
                assert!(flag.help_text().contains("[default: "), "--{}", flag.name);
            }
        }
    }

    #[test]
    fn the_choices_of_a_flag_are_those_of_its_setting() {
        for flag in ALL_GROUPS.iter().flat_map(|group| group.flags) {
            let Form::OneOf(_, choices) = flag.value else { continue };
            let resolve = |choice: &str| {
                let (section, key) = flag.key.split_once('.').unwrap();
                let table = Table::from_iter([(key.to_owned(), number_or_text(choice))]);
                let flags = Table::from_iter([(section.to_owned(), Value::Table(table))]);
                CommandSettings::resolve(flags, None)
            };
            for choice in choices {
                assert!(resolve(choice).is_ok(), "--{} {choice}", flag.name);
            }
            let other = if choices.iter().all(|choice| choice.parse::<u32>().is_ok()) { "7" } else { "none of them" };
            let problem = resolve(other).unwrap_err().to_string();
            for choice in choices {
                assert!(problem.contains(choice), "--{}: {choice} is not in: {problem}", flag.name);
            }
        }
    }

    #[test]
    fn numbers_stay_numbers_and_texts_texts() {
        assert_eq!(number_or_text("2"), Value::Integer(2));
        assert_eq!(number_or_text(".5"), Value::Float(0.5));
        assert_eq!(number_or_text("two"), Value::String("two".into()));
    }
}
