//! Threads that share the tasks of one operator, and memory of which each task writes its own part.
//!
//! A frame is about 90 short operators, each 20 us to 1 ms long, so handing out work must cost about a microsecond:
//! workers spin for a moment between operators before they sleep, and the caller never waits for a worker that has not
//! started. With one thread no worker is started, and tasks run on the caller.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

/// The start of the name of every worker thread of the encoder.
pub(crate) const WORKER_NAME: &str = "bike-edge-net";

/// The most threads to compute with.
pub(crate) const MAX_THREADS: usize = 256;

/// How many times a worker looks for new work before it sleeps: about 50 us.
const SPINS: u32 = 1500;

// The bits of `JobState::state`: the number of workers inside, whether others may still enter, and the job's number.
const INSIDE: u64 = 0xffff_ffff;
const OPEN: u64 = 1 << 32;
const NUMBER: u64 = 1 << 33;

/// A task and how many times it runs.
type Job = (*const (dyn Fn(usize) + Sync), usize);

/// What the caller and the workers of a pool share.
struct JobState {
    /// See [`INSIDE`], [`OPEN`] and [`NUMBER`].
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// The next task to run.
    next: AtomicUsize,
    /// How many workers sleep or are about to.
    asleep: AtomicUsize,
    stop: AtomicBool,
    failed: AtomicBool,
}

// SAFETY: `job` is written only while no worker is inside and none can enter (see `ThreadPool::run`), and read only by
// workers that are inside. The closure it points to is Sync.
unsafe impl Sync for JobState {}
// SAFETY: the pointer in `job` is only followed under the protocol above, whichever thread owns the structure.
unsafe impl Send for JobState {}

/// A fixed set of worker threads; see the module's description.
pub(crate) struct ThreadPool {
    shared: Arc<JobState>,
    workers: Vec<(Thread, JoinHandle<()>)>,
    busy: Mutex<()>,
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreadPool({})", self.threads())
    }
}

impl ThreadPool {
    /// Starts a pool of `threads`, including the caller's; 0 counts as 1.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(JobState {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        });
        let mut pool = Self { shared, workers: Vec::new(), busy: Mutex::new(()) };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let handle = std::thread::Builder::new().name(format!("{WORKER_NAME}-{i}")).spawn(move || shared.work())?;
            pool.workers.push((handle.thread().clone(), handle));
        }
        Ok(pool)
    }

    /// Returns the number of threads that take part, including the caller's.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` once for each i in 0..tasks, on any of the threads in any order, and returns when all are done.
    /// Within a task, or while another thread uses the pool, the tasks run one after another on the caller.
    ///
    /// # Panics
    /// When a task panics.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let guard = match (self.workers.is_empty() || tasks < 2, self.busy.try_lock()) {
            (false, Ok(guard)) => guard,
            _ => return (0..tasks).for_each(task),
        };
        let shared = &*self.shared;
        // SAFETY: only the lifetime is changed. No worker touches the closure after `close` below has returned, and
        // `close` runs before this function returns or unwinds.
        let erased: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task) };
        let state = shared.state.load(Ordering::Relaxed);
        // SAFETY: the last job was closed and all workers have left it, so no thread reads the cell now.
        unsafe { *shared.job.get() = Some((erased, tasks)) };
        shared.next.store(0, Ordering::Relaxed);
        shared.state.store((state & !(NUMBER - 1)).wrapping_add(NUMBER) | OPEN, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            self.workers.iter().for_each(|(thread, _)| thread.unpark());
        }
        let closed = JobCloser(shared);
        shared.take_tasks(task, tasks);
        drop(closed);
        drop(guard);
        if shared.failed.swap(false, Ordering::Relaxed) {
            panic!("a task of the encoder's threads failed");
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for (thread, handle) in self.workers.drain(..) {
            thread.unpark();
            // A worker's panic was logged when it happened.
            let _ = handle.join();
        }
    }
}

/// Closes the job when dropped: no more workers may enter, and the drop waits for those inside.
struct JobCloser<'a>(&'a JobState);

impl Drop for JobCloser<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.0.state.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            // If there are fewer free cores than threads, the worker that this waits for may need this core.
            if spins > SPINS { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl JobState {
    /// Runs tasks until none is left.
    fn take_tasks(&self, task: &(dyn Fn(usize) + Sync), tasks: usize) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            task(i);
        }
    }

    /// Runs a worker: enters one job after another until the pool stops.
    fn work(&self) {
        let mut done = 0;
        while let Some(number) = self.enter(done) {
            done = number;
            // SAFETY: this worker is inside, so the cell is not written and the closure is alive.
            if let Some((task, tasks)) = unsafe { *self.job.get() } {
                // SAFETY: as above.
                let task = unsafe { &*task };
                if catch_unwind(AssertUnwindSafe(|| self.take_tasks(task, tasks))).is_err() {
                    self.failed.store(true, Ordering::Relaxed);
                }
            }
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for a job other than number `done` and enters it. Returns `None` when the pool stops.
    fn enter(&self, done: u64) -> Option<u64> {
        let mut spins = 0;
        loop {
            let state = self.state.load(Ordering::SeqCst);
            let number = state / NUMBER;
            if state & OPEN != 0 && number != done {
                if self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return Some(number);
                }
                continue;
            }
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            // Announce the sleep first, then check once more: a job that was opened before the announcement is found
            // here, and the caller of one that is opened later finds the announcement and wakes this thread.
            self.asleep.fetch_add(1, Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            if (state & OPEN == 0 || state / NUMBER == done) && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
            spins = 0;
        }
    }
}

/// A mutable slice whose parts are written by different tasks.
pub(crate) struct SharedSlice<'a> {
    start: *mut f32,
    len: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: callers of `part` and `block` guarantee that parts in use do not overlap.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    /// Borrows `slice` for the lifetime of this value.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// Returns the numbers `start..start + len`.
    ///
    /// # Safety
    /// No other reference to any of these numbers is alive.
    ///
    /// # Panics
    /// When they are not all inside the slice.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: inside the slice by the assertion; not shared, by the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// Returns `rows` rows of `width` numbers, the first one at `start`, `stride` apart.
    ///
    /// # Safety
    /// No other reference to any of these numbers is alive while the block is.
    ///
    /// # Panics
    /// When they are not all inside the slice, or rows overlap.
    pub(crate) unsafe fn block(&self, start: usize, stride: usize, rows: usize, width: usize) -> Block<'_> {
        assert!(width <= stride && (rows == 0 || start + (rows - 1) * stride + width <= self.len));
        Block { start: self.start.wrapping_add(start), stride, rows, width, owner: PhantomData }
    }
}

/// Rows of a [`SharedSlice`] that only one task writes.
pub(crate) struct Block<'a> {
    start: *mut f32,
    stride: usize,
    rows: usize,
    width: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl Block<'_> {
    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the count of numbers in a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Returns the distance from one row to the next, in numbers.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Returns a pointer to the first number. Rows may be written through it as long as the block lives.
    pub(crate) fn start(&mut self) -> *mut f32 {
        self.start
    }

    /// Returns one row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: inside the slice and not shared, by the contract of `SharedSlice::block`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [0, 1, 2, 5] {
            let pool = ThreadPool::new(threads).unwrap();
            for tasks in [0, 1, 2, 7, 100] {
                for _ in 0..200 {
                    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(tasks, &|i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn a_task_can_run_tasks_on_its_own_pool() {
        let pool = ThreadPool::new(3).unwrap();
        let count = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(5, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(count.into_inner(), 20);
    }

    #[test]
    fn a_task_that_panics_fails_the_run_and_leaves_the_pool_usable() {
        let pool = ThreadPool::new(2).unwrap();
        for _ in 0..20 {
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|i| assert_ne!(i, 5, "meant to fail"))));
            assert!(outcome.is_err());
            let count = AtomicUsize::new(0);
            pool.run(8, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 8);
        }
    }
}
