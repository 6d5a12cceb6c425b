//! Int8 weights packed for a kernel, in one block of memory per network, and their products with activations.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;
use tract_core::internal::*;

use super::choice::{kernel_named, supported_kernels};
use super::int8_convert::QuantisedMatrix;
use super::int8_kernel::{Kernel, MAX_TILE, Tile};
use super::level::{SimdLevel, by_level};
use super::threads::ThreadPool;

/// One block for the packed weights of a whole network: a single copy, page-aligned, in huge pages if the system has
/// them, and freed as a whole.
pub(crate) struct WeightArena {
    memory: MmapMut,
}

impl std::fmt::Debug for WeightArena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WeightArena({} bytes)", self.memory.len())
    }
}

impl WeightArena {
    /// The alignment of each matrix: a cache line.
    const ALIGN: usize = 64;

    /// Allocates `bytes`.
    fn new(bytes: usize) -> TractResult<Self> {
        let memory = MmapMut::map_anon(bytes.max(1)).context("no memory for packed weights")?;
        #[cfg(target_os = "linux")]
        if bytes >= 4 << 20 {
            // Only speed depends on it: fewer page walks while weights are streamed.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { memory })
    }
}

/// One weight matrix `[k, n]` inside a [`WeightArena`], as panels `[n / nr][k / kr][nr][kr]`, where `nr` and `kr`
/// are the columns and the depth that the kernel computes at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedWeights {
    k: usize,
    n: usize,
    nr: usize,
    kr: usize,
    start: usize,
    /// Whether any weight is -128, which the faster tiles do not take (see `Kernel::run`).
    full_range: bool,
    column_sums: Vec<i32>,
}

impl PackedWeights {
    /// Returns the bytes that a `[k, n]` matrix takes in an arena.
    fn bytes(kernel: &Kernel, k: usize, n: usize) -> usize {
        let bytes = k.next_multiple_of(kernel.kr) * n.next_multiple_of(kernel.nr);
        bytes.next_multiple_of(WeightArena::ALIGN)
    }

    /// Packs `weights`, row-major `[k, n]` in two's complement, into `store`, which is all zeros and starts at `start`
    /// in the arena. Column sums beyond n are 0.
    fn pack(
        level: SimdLevel,
        kernel: &Kernel,
        (k, n): (usize, usize),
        weights: &[u8],
        start: usize,
        store: &mut [u8],
    ) -> TractResult<Self> {
        ensure!(k > 0 && n > 0 && weights.len() == k * n, "{} weights are not a {k} by {n} matrix", weights.len());
        let (nr, kr) = (kernel.nr, kernel.kr);
        let (groups, panels) = (k.div_ceil(kr), n.div_ceil(nr));
        let mut column_sums = vec![0i32; panels * nr];
        let store = &mut store[..groups * kr * panels * nr];
        let lowest = lay_out(level, weights, n, (nr, kr), store, &mut column_sums);
        let full_range = lowest == i8::MIN;
        Ok(Self { k, n, nr, kr, start, full_range, column_sums })
    }

    /// Returns the rows of the matrix: the length of the vectors that it multiplies.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Returns the columns of the matrix.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Returns the number of panels; the last one is padded with zeros.
    pub(crate) fn panels(&self) -> usize {
        self.n.div_ceil(self.nr)
    }

    /// Returns the sum of each column, `panels * nr` of them.
    pub(crate) fn column_sums(&self) -> &[i32] {
        &self.column_sums
    }

    /// Computes `sums`, `[rows, nr]`: rows `first..first + rows` of `x` times panel `panel`.
    ///
    /// # Panics
    /// When a range lies outside, or `x` or the matrix was not laid out for `kernel`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn tile(
        &self,
        kernel: &Kernel,
        arena: &WeightArena,
        x: &QuantisedMatrix,
        panel: usize,
        first: usize,
        rows: usize,
        sums: &mut [i32],
    ) {
        let groups = self.k.div_ceil(self.kr);
        let bytes = groups * self.kr * self.nr;
        let weights = &arena.memory[self.start + panel * bytes..][..bytes];
        let (activations, stride) = x.rows(kernel, self.k, first, rows);
        assert!((1..=kernel.mr).contains(&rows) && sums.len() >= rows * kernel.nr);
        assert!((self.nr, self.kr) == (kernel.nr, kernel.kr));
        let start = weights.as_ptr().cast::<i8>();
        // Together the tiles of a panel prefetch the next panel; after the last panel of this layer comes the first
        // of the next layer.
        let lines = groups * 64;
        let part = first.div_ceil(kernel.mr) * lines;
        let next = if part < bytes { start.wrapping_add(bytes + part) } else { start };
        let tile = Tile { rows, activations: activations.as_ptr(), stride, groups, weights: start, next };
        // SAFETY: the slices and assertions above fulfil the contract. `x.rows` returns whole strides and, of the last
        // row, all `groups * kr` activations; `full_range` was determined when packing.
        unsafe { kernel.run(self.full_range, tile, sums.as_mut_ptr()) }
    }
}

/// Packs matrices of the given shapes `(k, n)` into one block of memory, in parallel on the pool's threads.
/// `weights(i)` returns the i-th matrix, row-major `[k, n]` in two's complement, and is called once.
///
/// # Errors
/// No memory, or an error of `weights`.
pub(crate) fn pack_all<'a>(
    level: SimdLevel,
    kernel: &Kernel,
    pool: &ThreadPool,
    shapes: &[(usize, usize)],
    weights: &(dyn Fn(usize) -> TractResult<Cow<'a, [u8]>> + Sync),
) -> TractResult<(WeightArena, Vec<PackedWeights>)> {
    let sizes: Vec<usize> = shapes.iter().map(|&(k, n)| PackedWeights::bytes(kernel, k, n)).collect();
    let mut arena = WeightArena::new(sizes.iter().sum())?;
    let (mut rest, mut start) = (&mut arena.memory[..], 0);
    let mut tasks = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (store, after) = rest.split_at_mut(size);
        tasks.push(Mutex::new((start, store, None)));
        (rest, start) = (after, start + size);
    }
    pool.run(tasks.len(), &|i| {
        // Each task runs once, so the lock is free and was never poisoned.
        if let Ok(mut task) = tasks[i].lock() {
            let (start, store, packed) = &mut *task;
            *packed = Some(weights(i).and_then(|w| PackedWeights::pack(level, kernel, shapes[i], &w, *start, store)));
        }
    });
    let packed = tasks.into_iter().map(|task| {
        let (_, _, packed) = task.into_inner().unwrap_or_else(PoisonError::into_inner);
        packed.context("a matrix was not packed")?
    });
    let packed = packed.collect::<TractResult<Vec<_>>>()?;
    Ok((arena, packed))
}

/// Rows that are packed together: they stay in the second-level cache while each panel reads its columns from them, and
/// each panel receives several hundred contiguous bytes.
const ROWS: usize = 32;

by_level! {
    /// Writes `weights`, `[k, n]`, to `store` as panels `[n / nr][k / kr][nr][kr]`, and their sums over k to `sums`, at
    /// least `[n]`. Returns the lowest weight.
    fn lay_out(weights: &[u8], n: usize, layout: (usize, usize), store: &mut [u8], sums: &mut [i32]) -> i8;
    avx512 = lay_out_rows, avx2 = lay_out_rows, base = lay_out_rows
}

#[inline(always)]
fn lay_out_rows(weights: &[u8], n: usize, (nr, kr): (usize, usize), store: &mut [u8], sums: &mut [i32]) -> i8 {
    let panel_bytes = store.len() / n.div_ceil(nr);
    let mut lowest = 0;
    for (i, rows) in weights.chunks(ROWS * n).enumerate() {
        for row in rows.chunks_exact(n) {
            lowest = lowest.min(add_row(row, sums));
        }
        for (panel, store) in store.chunks_exact_mut(panel_bytes).enumerate() {
            let columns = panel * nr..n.min((panel + 1) * nr);
            let cells = store[i * ROWS * nr..].chunks_exact_mut(kr * nr);
            for (rows, cells) in rows.chunks(kr * n).zip(cells) {
                match (kr, nr) {
                    (2, 16) => interleave::<2, 16>(rows, n, columns.clone(), cells),
                    (4, 16) => interleave::<4, 16>(rows, n, columns.clone(), cells),
                    (4, 64) => interleave::<4, 64>(rows, n, columns.clone(), cells),
                    (8, 8) => interleave::<8, 8>(rows, n, columns.clone(), cells),
                    (16, 4) => interleave::<16, 4>(rows, n, columns.clone(), cells),
                    _ => scatter(rows, n, kr, columns.clone(), cells),
                }
            }
        }
    }
    lowest
}

/// Adds a row to `sums` and returns its lowest weight.
#[inline(always)]
fn add_row(row: &[u8], sums: &mut [i32]) -> i8 {
    let mut lowest = 0i8;
    for (sum, w) in sums.iter_mut().zip(row) {
        let w = w.cast_signed();
        *sum += i32::from(w);
        lowest = lowest.min(w);
    }
    lowest
}

/// Writes `NR` columns of `KR` rows of `n` so that each column is contiguous. Smaller blocks go to [`scatter`].
#[inline(always)]
fn interleave<const KR: usize, const NR: usize>(
    rows: &[u8],
    n: usize,
    columns: std::ops::Range<usize>,
    store: &mut [u8],
) {
    let (cells, _) = store.as_chunks_mut::<KR>();
    if rows.len() != KR * n || columns.len() != NR || cells.len() != NR {
        return scatter(rows, n, KR, columns, store);
    }
    // With constant numbers of rows and columns this compiles to vector instructions.
    let rows: [&[u8]; KR] = std::array::from_fn(|i| &rows[i * n..][columns.clone()]);
    let rows: [[u8; NR]; KR] = rows.map(|row| std::array::from_fn(|c| row[c]));
    for (c, cell) in cells.iter_mut().enumerate() {
        *cell = std::array::from_fn(|i| rows[i][c]);
    }
}

/// Writes columns of at most `kr` rows of `n` so that each column is contiguous; missing rows stay zero.
fn scatter(rows: &[u8], n: usize, kr: usize, columns: std::ops::Range<usize>, store: &mut [u8]) {
    for (i, row) in rows.chunks_exact(n).enumerate() {
        for (cell, w) in store.chunks_exact_mut(kr).zip(&row[columns.clone()]) {
            cell[i] = *w;
        }
    }
}

/// The int8 product of one layer on one thread, for benchmarks: activations `[m, k]` times weights `[k, n]`, both
/// filled with pseudo-random numbers.
pub struct IntegerProduct {
    kernel: &'static Kernel,
    arena: WeightArena,
    weights: PackedWeights,
    x: QuantisedMatrix,
    m: usize,
}

impl IntegerProduct {
    /// Returns the names of the kernels that this processor can run, best first.
    pub fn kernels() -> Vec<&'static str> {
        supported_kernels().map(Kernel::name).collect()
    }

    /// Fills and packs the matrices.
    ///
    /// # Errors
    /// A sentence if this processor cannot run the kernel.
    pub fn new(kernel: &str, m: usize, k: usize, n: usize) -> Result<Self, String> {
        let kernel = kernel_named(kernel)?;
        let pool = ThreadPool::new(1).map_err(|e| e.to_string())?;
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        let weights: Vec<u8> = (0..k * n).map(|_| (next() as u8).max(1)).collect();
        let numbers: Vec<f32> = (0..m * k).map(|_| next() as f32 - 100.0).collect();
        let (arena, mut packed) = pack_all(SimdLevel::BASE, kernel, &pool, &[(k, n)], &|_| Ok(Cow::Borrowed(&weights)))
            .map_err(|e| e.to_string())?;
        let mut x = QuantisedMatrix::default();
        x.set(kernel, SimdLevel::BASE, &pool, &numbers, k);
        let weights = packed.pop().ok_or("nothing was packed")?;
        Ok(Self { kernel, arena, weights, x, m })
    }

    /// Computes all sums once and returns one that depends on the last tile.
    pub fn run(&self) -> i32 {
        let mut sums = [0i32; MAX_TILE];
        let tiles = self.m.div_ceil(self.kernel.mr);
        for panel in 0..self.weights.panels() {
            for tile in 0..tiles {
                let (first, last) = (tile * self.m / tiles, (tile + 1) * self.m / tiles);
                self.weights.tile(self.kernel, &self.arena, &self.x, panel, first, last - first, &mut sums);
            }
        }
        sums[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_where_its_kernel_reads_it() {
        let levels = [SimdLevel::BASE, SimdLevel::detect().at_most_avx2(), SimdLevel::detect()];
        let shapes = [(1, 1), (7, 5), (32, 16), (33, 64), (64, 130), (100, 67), (129, 192)];
        for (kernel, (k, n)) in supported_kernels().flat_map(|kernel| shapes.map(|shape| (kernel, shape))) {
            let weights: Vec<u8> = (0..k * n).map(|i| (i * 37 % 251) as u8).collect();
            let at = |row: usize, column: usize| {
                if row < k && column < n { weights[row * n + column].cast_signed() } else { 0 }
            };
            for level in levels {
                let mut store = vec![0; PackedWeights::bytes(kernel, k, n)];
                let packed = PackedWeights::pack(level, kernel, (k, n), &weights, 0, &mut store).unwrap();
                let groups = k.div_ceil(kernel.kr);
                for (i, &byte) in store[..packed.panels() * groups * kernel.nr * kernel.kr].iter().enumerate() {
                    let (cell, row) = (i / kernel.kr, i % kernel.kr);
                    let (group, column) = (cell / kernel.nr % groups, cell % kernel.nr);
                    let panel = cell / kernel.nr / groups;
                    let expected = at(group * kernel.kr + row, panel * kernel.nr + column);
                    assert_eq!(byte.cast_signed(), expected, "{} {level:?} {k}x{n} at {i}", kernel.name());
                }
                for (column, &sum) in packed.column_sums().iter().enumerate() {
                    let expected: i32 = (0..k).map(|row| i32::from(at(row, column))).sum();
                    assert_eq!(sum, expected, "{} {level:?} {k}x{n} column {column}", kernel.name());
                }
                let full = (0..k * n).any(|i| weights[i] == 128);
                assert_eq!(packed.full_range, full);
            }
        }
    }

    /// Returns a generator of pseudo-random integers that include the extremes.
    fn noise(seed: u64) -> impl FnMut() -> u8 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state >> 60 {
                0 => 0,
                1 => 255,
                2 => 128,
                3 => 127,
                _ => (state >> 24) as u8,
            }
        }
    }

    /// Computes a product with `kernel`, as `[m][n]`, corrected for the zero point of the stored activations.
    fn product(kernel: &'static Kernel, x: &[u8], m: usize, k: usize, w: &[i8], n: usize) -> Vec<i32> {
        let bytes: Vec<u8> = w.iter().map(|w| w.cast_unsigned()).collect();
        let weights = |_| Ok(Cow::Borrowed(bytes.as_slice()));
        let (arena, packed) =
            pack_all(SimdLevel::BASE, kernel, &ThreadPool::new(1).unwrap(), &[(k, n)], &weights).unwrap();
        let packed = &packed[0];
        let mut store = QuantisedMatrix::default();
        store.set_integers(kernel, x, m, k, 0);
        let mut out = vec![0; m * n];
        for panel in 0..packed.panels() {
            let mut sums = vec![0; kernel.mr * kernel.nr];
            for first in (0..m).step_by(kernel.mr) {
                let rows = kernel.mr.min(m - first);
                packed.tile(kernel, &arena, &store, panel, first, rows, &mut sums);
                for r in 0..rows {
                    for c in 0..kernel.nr.min(n - panel * kernel.nr) {
                        let column = panel * kernel.nr + c;
                        let correction = store.zero_point() * packed.column_sums()[column];
                        out[(first + r) * n + column] = sums[r * kernel.nr + c] - correction;
                    }
                }
            }
        }
        out
    }

    /// Computes the same product with plain loops.
    fn reference(x: &[u8], m: usize, k: usize, w: &[i8], n: usize) -> Vec<i32> {
        let mut out = vec![0; m * n];
        for i in 0..m {
            for p in 0..k {
                for j in 0..n {
                    out[i * n + j] += i32::from(x[i * k + p]) * i32::from(w[p * n + j]);
                }
            }
        }
        out
    }

    #[test]
    fn every_kernel_is_exact_on_edge_shapes() {
        for kernel in supported_kernels() {
            for m in [1, 2, 3, 5, 6, 7, 8, 50, 197] {
                for (k, n) in [(1, 1), (3, 5), (7, 64), (64, 65), (66, 63), (130, 33), (257, 17)] {
                    let mut next = noise((m * 1000 + k * 10 + n) as u64);
                    let x: Vec<u8> = (0..m * k).map(|_| next()).collect();
                    for full_range in [true, false] {
                        let w: Vec<i8> =
                            (0..k * n).map(|_| (next() as i8).max(if full_range { -128 } else { -127 })).collect();
                        let (expected, found) = (reference(&x, m, k, &w, n), product(kernel, &x, m, k, &w, n));
                        assert!(expected == found, "kernel {} on {m}x{k}x{n}, full range {full_range}", kernel.name());
                    }
                }
            }
            println!("kernel={} exact ok", kernel.name());
        }
    }

    #[test]
    fn extremes_neither_saturate_nor_overflow() {
        let (m, k, n) = (5, 3072, 9);
        for kernel in supported_kernels() {
            for x in [0u8, 1, 127, 128, 255] {
                for w in [-128i8, -127, 0, 127] {
                    let (x, w) = (vec![x; m * k], vec![w; k * n]);
                    assert!(product(kernel, &x, m, k, &w, n) == reference(&x, m, k, &w, n), "kernel {}", kernel.name());
                }
            }
        }
    }
}
