//! Where a camera is: an address may hold a password, and is never shown whole.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::source::redact;

/// Longest file that an address is read from, bytes.
const MAX_SECRET: u64 = 4096;

/// The folder of what systemd hands over, where there is one.
pub enum Credentials {
    /// This one; without one credentials cannot be had.
    Folder(Option<OsString>),
    /// As the service will be given them and whoever asks now is not.
    Later,
}

impl Credentials {
    /// As the service has them.
    pub fn of_service() -> Self {
        Self::Folder(std::env::var_os("CREDENTIALS_DIRECTORY"))
    }

    /// As they are known to someone who wants to know whether the service could start.
    pub fn of_anyone() -> Self {
        match Self::of_service() {
            Self::Folder(None) => Self::Later,
            handed => handed,
        }
    }
}

/// A device, file or address. Shows itself without credentials, whichever way it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(OsString);

impl Address {
    /// As it was written.
    pub fn new(text: impl Into<OsString>) -> Self {
        Self(text.into())
    }

    /// The first line of a file, which only its owner should be able to read.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let bytes = std::fs::metadata(path).map_err(|e| format!("{shown} cannot be read ({e})"))?.len();
        if bytes > MAX_SECRET {
            return Err(format!("{shown} has {bytes} bytes; it should hold one address on one line"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| format!("{shown} cannot be read ({e})"))?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match (lines.next(), lines.next()) {
            (Some(address), None) => Ok(Self(address.into())),
            _ => Err(format!("{shown} should hold one address on one line")),
        }
    }

    /// A credential that systemd handed over (LoadCredential= of the unit).
    pub(super) fn credential(name: &str, credentials: &Credentials) -> Result<Self, String> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(format!("`{}` is no credential's name", name.escape_debug()));
        }
        match credentials {
            Credentials::Folder(Some(folder)) => Self::read(&PathBuf::from(folder).join(name)),
            Credentials::Folder(None) => Err(format!(
                "there is no $CREDENTIALS_DIRECTORY; start the service by systemd with LoadCredential={name}:FILE, or \
                 use url_file"
            )),
            Credentials::Later => Ok(Self(format!("credential {name}, which only the service is handed").into())),
        }
    }

    /// With its credentials, to open it by.
    pub fn reveal(&self) -> &OsStr {
        &self.0
    }

    /// Whether it holds credentials.
    pub fn has_secrets(&self) -> bool {
        self.to_string() != self.0.to_string_lossy()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0.to_string_lossy()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let address = Address::new("rtsp://me:hush@cam/1?key=hush");
        assert!(address.has_secrets() && !Address::new("/dev/video0").has_secrets());
        assert_eq!(
            (address.to_string(), format!("{address:?}")),
            ("rtsp://cam/1?...".into(), "\"rtsp://cam/1?...\"".into())
        );
        assert_eq!(address.reveal(), "rtsp://me:hush@cam/1?key=hush");
    }

    #[test]
    fn an_address_comes_from_a_file_or_a_credential() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("front"), "\nrtsp://u:p@h/1\n").unwrap();
        std::fs::write(folder.path().join("two"), "rtsp://u:p@h/1\nrtsp://u:p@h/2\n").unwrap();
        std::fs::write(folder.path().join("long"), vec![b'x'; 5000]).unwrap();
        let handed = Credentials::Folder(Some(folder.path().into()));
        let credential = |name| Address::credential(name, &handed);
        assert_eq!(credential("front").unwrap(), Address::new("rtsp://u:p@h/1"));
        for (name, told) in [
            ("two", "one line"),
            ("long", "5000 bytes"),
            ("../front", "no credential's name"),
            ("none", "cannot be read"),
        ] {
            let problem = credential(name).unwrap_err();
            assert!(problem.contains(told) && !problem.contains("u:p"), "{problem}");
        }
        let none = Address::credential("front", &Credentials::Folder(None));
        assert!(none.unwrap_err().contains("LoadCredential=front"));
        let later = |name| Address::credential(name, &Credentials::Later);
        assert!(later("front").unwrap().to_string().contains("credential front"));
        assert!(later("../front").is_err());
    }
}
