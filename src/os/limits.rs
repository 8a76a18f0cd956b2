//! What the kernel grants this process.

use std::io;

use super::check;

/// Raises the limit of open files as far as it goes without privilege and
/// tells it: every client of the server is one.
///
/// # Errors
///
/// What `getrlimit` or `setrlimit` says.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call to write to.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is valid for the call to read.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    #[allow(clippy::useless_conversion, reason = "the type differs between targets")]
    Ok(u64::from(limit.rlim_cur))
}
