//! Reading from pipes without waiting for ever.

use std::io::{self, Read};

/// Reads from a pipe, and gives up where nothing comes for a while.
pub(super) struct Patient<R> {
    from: R,
    patience_s: f64,
}

impl<R> Patient<R> {
    /// `patience_s`: seconds to wait for the next byte.
    pub fn new(from: R, patience_s: f64) -> Self {
        Self { from, patience_s }
    }
}

#[cfg(unix)]
impl<R: Read + std::os::fd::AsRawFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = libc::pollfd { fd: self.from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = (self.patience_s * 1e3).clamp(1.0, f64::from(i32::MAX)) as i32;
        // SAFETY: one valid pollfd, of a descriptor that `from` keeps open.
        match unsafe { libc::poll(&mut waiting, 1, millis) } {
            0 => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "nothing came for {} s; see to the program before the pipe, or raise --io-timeout",
                    self.patience_s
                ),
            )),
            1.. => self.from.read(buffer),
            // A signal is the caller's to pass over.
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(not(unix))]
impl<R: Read> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

/// Standard input without a buffer of its own, which would hide what is waiting.
#[cfg(unix)]
pub(super) type Stdin = std::fs::File;

/// Standard input.
#[cfg(not(unix))]
pub(super) type Stdin = io::Stdin;

/// Opens standard input.
#[cfg(unix)]
pub(super) fn stdin() -> io::Result<Stdin> {
    use std::os::fd::AsFd;
    io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from)
}

/// Opens standard input.
#[cfg(not(unix))]
pub(super) fn stdin() -> io::Result<Stdin> {
    Ok(io::stdin())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_silent_pipe_is_given_up_and_a_closed_one_ends() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut patient = Patient::new(reader, 0.02);
        writer.write_all(b"ab").unwrap();
        let mut two = [0; 2];
        patient.read_exact(&mut two).unwrap();
        let error = patient.read(&mut two).unwrap_err();
        assert!(error.kind() == io::ErrorKind::TimedOut && error.to_string().contains("--io-timeout"), "{error}");
        drop(writer);
        assert_eq!(patient.read(&mut two).unwrap(), 0);
    }
}
