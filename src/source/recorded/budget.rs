//! Limits the work on a file to its size, so that a small file cannot take hours.

/// Work that any file may cause, in units of about a nanosecond: samples of pictures that are written or moved.
const FREE_WORK: u64 = 1 << 30;
/// Work per byte that is read. No format needs more for real pictures: a run of LZW (GIF) or Deflate (PNG) is at most
/// about 2,700 or 1,032 times as long as its code.
const WORK_PER_BYTE: u64 = 4_096;
/// How often the data of a file may be used: some files share the data of identical pictures.
const MAX_USES: u64 = 2;

/// Counts the work of a reader against the bytes that it has read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WorkBudget {
    work: u64,
}

impl WorkBudget {
    /// Adds `work`, samples of pictures, after `read` bytes of the file in all. The error is a sentence without the
    /// input's name.
    pub(super) fn spend(&mut self, work: u64, read: u64) -> Result<(), String> {
        self.work = self.work.saturating_add(work);
        if self.work <= FREE_WORK.saturating_add(read.saturating_mul(WORK_PER_BYTE)) {
            return Ok(());
        }
        Err(format!(
            "needs far more work than {read} bytes of real pictures would; it is damaged or made to waste time"
        ))
    }
}

/// Checks that a file of `length` bytes can contain `claimed` things of at least a byte each (`what`). The error is a
/// sentence without the input's name.
pub(super) fn check_claim(what: &str, claimed: u64, length: u64) -> Result<(), String> {
    if claimed <= length.saturating_mul(MAX_USES) {
        return Ok(());
    }
    Err(format!("claims {claimed} {what} in a file of {length} bytes; it is damaged or made to waste time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_limited_by_the_bytes_that_were_read() {
        let mut budget = WorkBudget::default();
        assert!(budget.spend(FREE_WORK, 0).is_ok());
        assert!(budget.spend(4_096, 1).is_ok());
        assert!(budget.spend(1, 1).expect_err("too much").contains("1 bytes"));
        assert!(budget.spend(u64::MAX, u64::MAX).is_ok(), "nothing overflows");
    }

    #[test]
    fn a_file_cannot_claim_more_than_it_contains() {
        assert!(check_claim("pictures", 200, 100).is_ok());
        assert!(
            check_claim("pictures", 201, 100).expect_err("too many").contains("201 pictures in a file of 100 bytes")
        );
    }
}
