//! The thread that measures allocates nothing per packet: counted by an allocator
//! that knows its thread.
#![allow(unsafe_code, reason = "an allocator is made of nothing else")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use echotest::cli;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

// SAFETY: all of it is the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What this thread allocates while it measures so many packets, with rows and
/// the byte comparison on.
fn allocations(packets: &str, directory: &str, more: &[&str]) -> u64 {
    let before = ALLOCATIONS.get();
    let fixed = ["loopback", "-c", packets, "--log-dir", directory, "--json"];
    let arguments = fixed.iter().chain(more).map(std::ffi::OsString::from).collect();
    let status = cli::run(arguments).expect("a run");
    assert_ne!(status, cli::Status::Bad);
    ALLOCATIONS.get() - before
}

#[test]
fn the_measuring_thread_allocates_nothing_per_packet() {
    let directory =
        std::env::temp_dir().join(format!("echotest-allocations-{}", std::process::id()));
    let name = directory.display().to_string();
    for more in [&["-i", "0"][..], &["-i", "0", "--timestamps", "kernel", "--tcp-info"]] {
        let few = allocations("1000", &name, more);
        let many = allocations("101000", &name, more);
        // What differs may be a few: a summary's text of another length, a look at
        // the kernel's counters each second.
        assert!(many < few + 1000, "{more:?}: {few} for 1,000 packets, {many} for 101,000");
    }
    std::fs::remove_dir_all(directory).expect("files of the runs");
}
