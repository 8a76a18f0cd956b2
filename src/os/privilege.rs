//! Giving up what a server does not need once it listens: the superuser's account,
//! capabilities, new privileges (`capabilities(7)`), the file system (`landlock(7)`).

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::check;

/// A user of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    user: libc::uid_t,
    group: libc::gid_t,
}

/// Room for the strings of an entry of the user database.
const ENTRY: usize = 16 << 10;

impl Account {
    /// The user of this name; none if there is none such.
    pub fn named(name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut strings = vec![0; ENTRY];
        let mut found = std::ptr::null_mut();
        // SAFETY: `name` ends with a zero, `entry` and `strings` are valid for writing
        // their whole lengths, and `found` for the pointer.
        let failed = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                strings.as_mut_ptr(),
                strings.len(),
                &raw mut found,
            )
        };
        if failed != 0 || found.is_null() {
            return None;
        }
        // SAFETY: it was found, so that the entry is filled.
        let entry = unsafe { entry.assume_init() };
        Some(Self { user: entry.pw_uid, group: entry.pw_gid })
    }

    /// Whether it is the superuser.
    pub fn is_root(self) -> bool {
        self.user == 0
    }

    /// Makes this process that user's, in all of its threads, for good.
    ///
    /// # Errors
    ///
    /// What the kernel says, for example that this process has no right to it.
    pub fn become_it(self) -> io::Result<()> {
        // SAFETY: no groups are read from the null pointer.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: takes a number only.
        check(unsafe { libc::setgid(self.group) })?;
        // SAFETY: takes a number only.
        check(unsafe { libc::setuid(self.user) })?;
        Ok(())
    }
}

/// Whether this process is the superuser's.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and gives a number.
    unsafe { libc::geteuid() == 0 }
}

/// `_LINUX_CAPABILITY_VERSION_3` (`linux/capability.h`).
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Gives up all capabilities of this thread and of those that it starts.
///
/// # Errors
///
/// What `capset` says.
pub fn drop_capabilities() -> io::Result<()> {
    // Version and, as 0, this thread.
    let header = [CAPABILITY_VERSION, 0];
    // Effective, permitted and inheritable, in two halves.
    let none = [0_u32; 6];
    // SAFETY: both are valid for the call, of the lengths that the version asks for.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// No program that this thread starts gets privileges from its file.
///
/// # Errors
///
/// What `prctl` says.
pub fn no_new_privileges() -> io::Result<()> {
    const YES: libc::c_ulong = 1;
    const NO: libc::c_ulong = 0;
    // SAFETY: takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, YES, NO, NO, NO) })?;
    Ok(())
}

/// Everything that the first version of landlock knows of files and directories,
const EVERYTHING: u64 = (1 << 13) - 1;
/// and of that what may be done to a file: to execute, write and read it.
const OF_FILES: u64 = 0b111;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: libc::c_int = 1;

/// `struct landlock_path_beneath_attr` (`linux/landlock.h`).
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    place: i32,
}

/// Keeps this thread, and those that it starts, from opening, making or removing any
/// file that is not one of `places` or beneath one; what is open stays so. False:
/// this kernel cannot.
///
/// # Errors
///
/// A place that cannot be opened, or what the kernel says.
pub fn confine(places: &[&Path]) -> io::Result<bool> {
    let (rules, size) = (std::ptr::from_ref(&EVERYTHING), size_of::<u64>());
    // SAFETY: the rules are the one number that says what is ruled, of that size.
    let set = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, rules, size, 0) };
    let Ok(set @ 0..) = i32::try_from(set) else { return Ok(false) };
    // SAFETY: the descriptor is new and nobody else's.
    let set = unsafe { OwnedFd::from_raw_fd(set) };
    for place in places {
        let opened = File::open(place)?;
        let allowed = if opened.metadata()?.is_dir() { EVERYTHING } else { OF_FILES };
        let rule = Beneath { allowed, place: opened.as_raw_fd() };
        let (set, rule) = (set.as_raw_fd(), std::ptr::from_ref(&rule));
        // SAFETY: both descriptors are open, and the rule is valid for the call.
        let added =
            unsafe { libc::syscall(libc::SYS_landlock_add_rule, set, PATH_BENEATH, rule, 0) };
        if added != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: takes a descriptor that is open and a number.
    let held = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, set.as_raw_fd(), 0) };
    if held == 0 { Ok(true) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name() {
        assert!(Account::named("root").unwrap().is_root());
        assert_eq!(Account::named("nobody of this name"), None);
        assert_eq!(Account::named("a\0b"), None);
    }

    #[test]
    fn a_confined_thread_opens_what_is_beneath_and_nothing_else() {
        let directory =
            std::env::temp_dir().join(format!("echotest-confined-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let inside = directory.join("file");
        let outside = std::env::temp_dir().join(format!("echotest-outside-{}", std::process::id()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                no_new_privileges().unwrap();
                if confine(&[&directory, Path::new("/dev/null")]).unwrap() {
                    std::fs::write("/dev/null", "x").unwrap();
                    std::fs::write(&inside, "x").unwrap();
                    std::fs::remove_file(&inside).unwrap();
                    assert!(std::fs::write(&outside, "x").is_err());
                    assert!(File::open("/etc/passwd").is_err());
                }
            });
        });
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(confine(&[Path::new("/no/such/directory")]).is_err());
    }
}
