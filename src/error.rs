//! Errors: one clear sentence each, which names the file, field or setting and the remedy.

/// What went wrong, grouped by who can fix it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// A setting whose value cannot be used. The library names the setting by its key; the program shows it as the flag
    /// or the line of the configuration that gave the value.
    #[error("{setting}: {problem}; {remedy}")]
    Setting {
        /// The key, such as `tau`, or a path to it, such as `camera[0].roi`.
        setting: String,
        /// What is wrong with the value; names the value.
        problem: String,
        /// What to give instead.
        remedy: String,
    },
    /// A clip, stream or list that cannot be read.
    #[error("{input}: {problem}")]
    Input {
        /// The file, address or device as it was given, credentials removed.
        input: String,
        /// What is wrong with it and what would help.
        problem: String,
    },
    /// A bundle that cannot be used.
    #[error("bundle {bundle}: {problem}")]
    Bundle {
        /// The bundle's folder or file.
        bundle: String,
        /// The file or field, what is wrong with it and what would help.
        problem: String,
    },
    /// Something that could not be written.
    #[error("{0}")]
    Output(String),
    /// The reader of the output closed the pipe, as `| head` does. Nothing is printed about it.
    #[error("the reader of the output closed the pipe")]
    PipeClosed,
    /// A defect of this crate or of a library, which no input should be able to cause.
    #[error("internal error: {0}; please report it with the command that led to it")]
    Internal(String),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an [`Error::Setting`].
    pub fn setting(setting: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// Puts the key of an [`Error::Setting`] into a section: `roi` within `camera[0]` becomes `camera[0].roi`. Other
    /// errors are returned unchanged.
    pub fn within(self, section: &str) -> Self {
        match self {
            Self::Setting { setting, problem, remedy } => {
                Self::Setting { setting: format!("{section}.{setting}"), problem, remedy }
            }
            other => other,
        }
    }

    /// Returns an [`Error::Input`].
    pub fn input(input: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input { input: input.into(), problem: problem.into() }
    }

    /// Returns an [`Error::Bundle`].
    pub fn bundle(bundle: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Bundle { bundle: bundle.into(), problem: problem.into() }
    }

    /// Returns the process exit code: 2 usage, 3 input, 4 bundle, 5 output, 70 internal.
    /// Code 1 is for commands that finished but found failures (`eval`, some of several inputs).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Setting { .. } => 2,
            Self::Input { .. } => 3,
            Self::Bundle { .. } => 4,
            Self::Output(_) => 5,
            Self::PipeClosed => 0,
            Self::Internal(_) => 70,
        }
    }
}
