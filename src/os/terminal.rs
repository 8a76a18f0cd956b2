//! How wide a terminal is.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// The columns of the terminal behind a descriptor; none if it is no terminal,
/// or does not know.
pub fn columns(descriptor: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and `size` is what this request writes to.
    let told = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    check(told).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
