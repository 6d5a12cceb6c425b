//! Errors. Each message is one sentence that names the file, field or setting and the remedy.

/// All errors, by cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An invalid argument.
    #[error("{0}")]
    Usage(String),
    /// An invalid value of a setting. The library names the setting by its key; the program names the flag or the line
    /// of the configuration.
    #[error("{setting}: {problem}; {remedy}")]
    Setting {
        /// The key, such as `tau`, or a path to it, such as `camera[0].roi`.
        setting: String,
        /// The problem with the value; names the value.
        problem: String,
        /// The remedy.
        remedy: String,
    },
    /// A clip, stream or list that cannot be read.
    #[error("{input}: {problem}")]
    Input {
        /// The file, URL or device as given, without credentials.
        input: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// A bundle that cannot be used.
    #[error("bundle {bundle}: {problem}")]
    Bundle {
        /// The bundle's folder or file.
        bundle: String,
        /// The file or field, the problem and the remedy.
        problem: String,
    },
    /// Output that cannot be written.
    #[error("{0}")]
    Output(String),
    /// The reader of the output closed the pipe, as `| head` does. Nothing is printed about it.
    #[error("the reader of the output closed the pipe")]
    PipeClosed,
    /// A bug in this crate or in a library; no input should cause it.
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
        Self::Input { input: input.into(), problem: in_one_line(problem.into()) }
    }

    /// Returns an [`Error::Bundle`].
    pub fn bundle(bundle: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Bundle { bundle: bundle.into(), problem: in_one_line(problem.into()) }
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
/// Joins the lines of a problem, which may quote a library.
fn in_one_line(problem: String) -> String {
    if problem.contains(['\n', '\r']) { problem.split_whitespace().collect::<Vec<_>>().join(" ") } else { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_that_quote_a_library_are_one_line() {
        let error = Error::input("a.jpg", "cannot be decoded: I/O error\n; an installed ffmpeg may help");
        assert_eq!(error.to_string(), "a.jpg: cannot be decoded: I/O error ; an installed ffmpeg may help");
    }
}
