//! Another program, run to its end in the background.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use super::check;

unsafe extern "C" {
    /// This process's environment.
    static environ: *const *mut libc::c_char;
}

/// The lowest priority that there is.
const NICE: libc::c_int = 19;

/// A process group of its own, and no signal blocked as they are in threads beside the
/// one that measures.
#[allow(clippy::cast_possible_truncation, reason = "two low bits")]
const FLAGS: libc::c_short =
    (libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGMASK) as libc::c_short;

/// Runs a program, which is looked for in `PATH`, with these words, and waits for it:
/// its exit status, or 128 and the signal that ended it. It is in a process group of its
/// own, so that Ctrl-C for this program does not reach it, and gets the processor when
/// nobody else wants it, as the calling thread does from then on. It reads nothing,
/// and what it prints is gone; its errors are shown.
///
/// # Errors
///
/// It cannot be started.
pub fn run<'word>(words: impl Iterator<Item = &'word str>) -> io::Result<i32> {
    let words = words.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let name = words.first().map_or(ptr::null(), |name| name.as_ptr());
    let mut arguments: Vec<*mut libc::c_char> =
        words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    arguments.push(ptr::null_mut());
    // SAFETY: takes numbers only; lowering one's own priority needs no right.
    unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, NICE) };
    let mut actions = MaybeUninit::uninit();
    let actions = actions.as_mut_ptr();
    // SAFETY: valid for the call, which fills it.
    unsafe { libc::posix_spawn_file_actions_init(actions) };
    for descriptor in 0..2 {
        let null = c"/dev/null".as_ptr();
        // SAFETY: filled above; the name is copied.
        unsafe {
            libc::posix_spawn_file_actions_addopen(actions, descriptor, null, libc::O_RDWR, 0)
        };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid for the call, which fills it.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: valid for the call, which fills it.
    unsafe { libc::posix_spawnattr_init(attributes) };
    // SAFETY: filled above.
    unsafe { libc::posix_spawnattr_setflags(attributes, FLAGS) };
    // SAFETY: both are filled above; the mask is copied.
    unsafe { libc::posix_spawnattr_setsigmask(attributes, none.as_ptr()) };
    let mut child = 0;
    // SAFETY: the environment is null or ends with null, and nobody changes it.
    let environment = unsafe { environ };
    // SAFETY: both structures are filled above; the words end with null and live on.
    let status = unsafe {
        libc::posix_spawnp(
            &raw mut child,
            name,
            actions,
            attributes,
            arguments.as_ptr(),
            environment,
        )
    };
    // Attributes hold nothing that could be given back.
    // SAFETY: filled above and not used any more.
    unsafe { libc::posix_spawn_file_actions_destroy(actions) };
    if status != 0 {
        return Err(io::Error::from_raw_os_error(status));
    }
    let mut ended = 0;
    loop {
        // SAFETY: `ended` is written; the child is our own and nobody else waits for it.
        match check(unsafe { libc::waitpid(child, &raw mut ended, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            waited => break waited,
        }
    }?;
    Ok(if libc::WIFEXITED(ended) { libc::WEXITSTATUS(ended) } else { 128 + libc::WTERMSIG(ended) })
}
