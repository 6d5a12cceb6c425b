//! Threads that share the tasks of one operator.
//!
//! A frame is some 90 short operators, each 20 us to 1 ms, so handing out work must cost about a microsecond: workers
//! spin for a moment between operators before they sleep, and the caller never waits for a worker that has not begun.
//! With one thread nothing is started and tasks run where they are.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

use crate::encoder::caught::THREADS;

/// How long a worker looks for new work before it sleeps: about 50 us.
const SPINS: u32 = 1500;

/// State of a job: number of workers inside, whether others may still enter, and the job's number.
const INSIDE: u64 = 0xffff_ffff;
const OPEN: u64 = 1 << 32;
const NUMBER: u64 = 1 << 33;

type Job = (*const (dyn Fn(usize) + Sync), usize);

struct Shared {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    next: AtomicUsize,
    asleep: AtomicUsize,
    stop: AtomicBool,
    failed: AtomicBool,
}

// SAFETY: `job` is written only while no worker is inside and none can enter (see `Pool::run`), and read only by
// workers that are inside. The closure it points to is Sync.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only followed under the protocol above, whichever thread owns the structure.
unsafe impl Send for Shared {}

/// A fixed set of worker threads; see the module.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(Thread, JoinHandle<()>)>,
    busy: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.threads())
    }
}

impl Pool {
    /// A pool of `threads`, the caller's included; 0 counts as 1.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
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
            let handle = std::thread::Builder::new().name(format!("{THREADS}-{i}")).spawn(move || shared.work())?;
            pool.workers.push((handle.thread().clone(), handle));
        }
        Ok(pool)
    }

    /// Number of threads that take part, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` once for each i in 0..tasks, on any of the threads in any order, and returns when all are done.
    /// From within a task, or while another thread uses the pool, the tasks run one after another on the caller.
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
        // SAFETY: the last job was closed and left by all workers, so nobody reads the cell now.
        unsafe { *shared.job.get() = Some((erased, tasks)) };
        shared.next.store(0, Ordering::Relaxed);
        shared.state.store((state & !(NUMBER - 1)).wrapping_add(NUMBER) | OPEN, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            self.workers.iter().for_each(|(thread, _)| thread.unpark());
        }
        let closed = Closer(shared);
        shared.take_tasks(task, tasks);
        drop(closed);
        drop(guard);
        if shared.failed.swap(false, Ordering::Relaxed) {
            panic!("a task of the encoder's threads failed");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for (thread, handle) in self.workers.drain(..) {
            thread.unpark();
            // A worker's panic was reported when it happened.
            let _ = handle.join();
        }
    }
}

/// Closes the job when dropped: no worker may enter any more, and those inside are waited for.
struct Closer<'a>(&'a Shared);

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.0.state.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            // Where there are fewer free cores than threads, the one waited for may need this core.
            if spins > SPINS { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl Shared {
    fn take_tasks(&self, task: &(dyn Fn(usize) + Sync), tasks: usize) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            task(i);
        }
    }

    /// A worker's life.
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

    /// Waits for a job other than number `done` and enters it; None when the pool goes away.
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
            // Announce the sleep first, then look once more: a job opened before the announcement is seen here, one
            // opened after it finds the announcement and wakes this thread.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [0, 1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
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
    fn a_task_may_use_the_pool_itself() {
        let pool = Pool::new(3).unwrap();
        let count = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(5, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(count.into_inner(), 20);
    }

    #[test]
    fn a_failing_task_fails_the_run_and_leaves_the_pool_usable() {
        let pool = Pool::new(2).unwrap();
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
