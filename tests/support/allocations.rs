//! Counts the allocations of a piece of code on its own thread, and the bytes that the whole process has allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

/// Allocations of a piece of code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocations {
    /// Their number, including growth.
    pub count: usize,
    /// Size of the largest one in bytes.
    pub largest: usize,
}

thread_local! {
    static COUNTED: Cell<Allocations> = const { Cell::new(Allocations { count: 0, largest: 0 }) };
}

/// Runs `work` and returns its allocations.
pub fn count(work: impl FnOnce()) -> Allocations {
    COUNTED.set(Allocations::default());
    work();
    COUNTED.get()
}

/// Bytes that the whole process has allocated and not freed.
static ALLOCATED: AtomicI64 = AtomicI64::new(0);

/// Returns the bytes that the whole process has allocated and not freed.
pub fn allocated_bytes() -> i64 {
    ALLOCATED.load(Ordering::Relaxed)
}

fn add(bytes: usize, sign: i64) {
    ALLOCATED.fetch_add(sign * bytes as i64, Ordering::Relaxed);
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn record(bytes: usize) {
        // A thread that is ending has no counter any more, and nobody reads it.
        let _ = COUNTED.try_with(|counted| {
            let Allocations { count, largest } = counted.get();
            counted.set(Allocations { count: count + 1, largest: largest.max(bytes) });
        });
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::record(layout.size());
        add(layout.size(), 1);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::record(layout.size());
        add(layout.size(), 1);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::record(new_size);
        add(new_size, 1);
        add(layout.size(), -1);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(layout.size(), -1);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
