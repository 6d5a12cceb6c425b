//! Errors: one clear sentence each, naming the file, field or flag and the remedy.

use std::process::ExitCode;

/// What went wrong, sorted by whose hands the remedy is in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or argument that cannot be used.
    #[error("{0}")]
    Usage(String),
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
    /// The reader of our output has gone, as `| head` does; nothing is said about it.
    #[error("the reader of the output has gone")]
    PipeClosed,
    /// A fault of ours, or of a library, that no input should be able to cause.
    #[error("internal fault: {0}; please report it with the command that led to it")]
    Internal(String),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Input`].
    pub fn input(input: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input { input: input.into(), problem: problem.into() }
    }

    /// An [`Error::Bundle`].
    pub fn bundle(bundle: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Bundle { bundle: bundle.into(), problem: problem.into() }
    }

    /// The process exit code: 2 usage, 3 input, 4 bundle, 5 output, 70 internal.
    /// Code 1 is left for commands that worked but found failures (`eval`, some of several inputs).
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Input { .. } => 3,
            Self::Bundle { .. } => 4,
            Self::Output(_) => 5,
            Self::PipeClosed => 0,
            Self::Internal(_) => 70,
        })
    }
}
