//! Addresses of cameras, which may contain passwords, and the files and systemd credentials that contain them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use bike_edge::io::{HIDDEN, has_credentials, is_url, read_text, remember_suspicious_text, shown_address};
use bike_edge::{Error, Result};

/// Largest file that an address is read from, in bytes.
const MAX_SECRET: u64 = 4096;

/// Ends messages about a file with a URL.
const HINT: &str = "the file should contain one URL on one line";

/// The address of a camera: a device, a named pipe or a URL. Formatting it never prints credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(OsString);

impl Address {
    /// Creates an address from the text of a setting.
    pub fn new(text: impl Into<OsString>) -> Self {
        let text = text.into();
        remember_suspicious_text(&text.to_string_lossy());
        Self(text)
    }

    /// Returns the address with its credentials, to open it.
    pub fn reveal(&self) -> &OsStr {
        &self.0
    }

    /// Returns whether the address contains credentials.
    pub fn has_secrets(&self) -> bool {
        has_credentials(&self.0.to_string_lossy())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0.to_string_lossy();
        // A URL without its scheme may have a password.
        let suspicious = |text: &str| text.starts_with("//") || text.contains("://") || text.contains(['@', '=']);
        match !is_url(&address) && suspicious(&address) {
            true => f.write_str(HIDDEN),
            false => f.write_str(&shown_address(&address)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Where systemd credentials are read from.
pub enum Credentials {
    /// In this folder; `None` if there are none.
    Folder(Option<OsString>),
    /// Unavailable outside the service; placeholders are used.
    Placeholder,
}

impl Credentials {
    /// The systemd credentials of this process, from the folder that systemd names in its environment.
    pub fn of_service() -> Self {
        Self::Folder(std::env::var_os("CREDENTIALS_DIRECTORY"))
    }

    /// The credentials for a check of the configuration by any process.
    pub fn for_check() -> Self {
        match Self::of_service() {
            Self::Folder(None) => Self::Placeholder,
            folder => folder,
        }
    }
}

/// Reads the address in a file, which only its owner should be able to read.
///
/// # Errors
/// [`Error::Setting`] of `url_file`.
pub(super) fn read_address(path: &Path) -> Result<Address> {
    address_in(path).map_err(|problem| Error::setting("url_file", problem, HINT))
}

/// Reads the address in a credential that systemd passed to the service (`LoadCredential=` in the unit).
///
/// # Errors
/// [`Error::Setting`] of `url_credential`.
pub(super) fn read_credential(name: &str, credentials: &Credentials) -> Result<Address> {
    let key = "url_credential";
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        let problem = format!("`{}` is not the name of a credential", name.escape_debug());
        return Err(Error::setting(key, problem, "give the name in LoadCredential= of the unit"));
    }
    match credentials {
        Credentials::Folder(Some(folder)) => {
            address_in(&PathBuf::from(folder).join(name)).map_err(|problem| Error::setting(key, problem, HINT))
        }
        Credentials::Folder(None) => Err(Error::setting(
            key,
            "there is no $CREDENTIALS_DIRECTORY",
            format!("start the service with systemd and LoadCredential={name}:FILE, or use url_file"),
        )),
        Credentials::Placeholder => Ok(Address::new(format!("credential {name}, which only the service can read"))),
    }
}

fn address_in(path: &Path) -> Result<Address, String> {
    let text = read_text(path, MAX_SECRET, "it is no file with a URL").map_err(|e| format!("cannot be read: {e}"))?;
    // Editors of other systems put a mark at the start.
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(address), None) if address.starts_with(['"', '\'']) => {
            Err(format!("{} has quotes around its text; remove them", path.display()))
        }
        (Some(address), None) => Ok(Address::new(address)),
        _ => Err(format!("{} does not contain exactly one line", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_without_its_secrets() {
        let address = Address::new("rtsp://me:hush@cam/1?key=hush");
        assert!(address.has_secrets() && !Address::new("/dev/video0").has_secrets());
        assert_eq!(
            (address.to_string(), format!("{address:?}")),
            ("rtsp://cam/...".into(), "\"rtsp://cam/...\"".into())
        );
        assert_eq!(address.reveal(), "rtsp://me:hush@cam/1?key=hush");
    }

    #[test]
    fn an_address_comes_from_a_file_or_a_credential() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("front"), "\nrtsp://u:p@h/1\n").unwrap();
        std::fs::write(folder.path().join("two"), "rtsp://u:p@h/1\nrtsp://u:p@h/2\n").unwrap();
        std::fs::write(folder.path().join("long"), vec![b'x'; 5000]).unwrap();
        let own = Credentials::Folder(Some(folder.path().into()));
        assert_eq!(read_credential("front", &own).unwrap(), Address::new("rtsp://u:p@h/1"));
        for (name, expected) in [
            ("two", "exactly one line"),
            ("long", "5000 bytes"),
            ("../front", "not the name of a credential"),
            ("none", "cannot be read"),
        ] {
            let problem = read_credential(name, &own).unwrap_err().to_string();
            assert!(problem.contains(expected) && !problem.contains("u:p"), "{problem}");
        }
        let none = read_credential("front", &Credentials::Folder(None));
        assert!(none.unwrap_err().to_string().contains("LoadCredential=front"));
        let placeholder = |name| read_credential(name, &Credentials::Placeholder);
        assert!(placeholder("front").unwrap().to_string().contains("credential front"));
        assert!(placeholder("../front").is_err());
    }
}
