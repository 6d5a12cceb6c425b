//! Counts what a piece of code allocates, on its own thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

/// What was allocated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocations {
    /// How many times, growing included.
    pub count: usize,
    /// Bytes of the largest single one.
    pub largest: usize,
}

thread_local! {
    static SEEN: Cell<Allocations> = const { Cell::new(Allocations { count: 0, largest: 0 }) };
}

/// Runs `work` and says what it allocated.
pub fn count(work: impl FnOnce()) -> Allocations {
    SEEN.set(Allocations::default());
    work();
    SEEN.get()
}

/// Bytes that the whole process holds.
static HELD: AtomicI64 = AtomicI64::new(0);

/// Bytes that the whole process holds now.
pub fn held() -> i64 {
    HELD.load(Ordering::Relaxed)
}

fn hold(bytes: usize, sign: i64) {
    HELD.fetch_add(sign * bytes as i64, Ordering::Relaxed);
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn note(bytes: usize) {
        // A thread that is ending has no counter left; nobody asks it.
        let _ = SEEN.try_with(|seen| {
            let Allocations { count, largest } = seen.get();
            seen.set(Allocations { count: count + 1, largest: largest.max(bytes) });
        });
    }
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        hold(layout.size(), 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        hold(layout.size(), 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::note(new_size);
        hold(new_size, 1);
        hold(layout.size(), -1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(layout.size(), -1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
