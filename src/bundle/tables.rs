//! Reads the tables of a safetensors file in place and checks their rows.

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as StoredDtype, TensorView};

use super::limits;
use crate::table::{Bytes, Dtype, Rows, Table};

/// How far a row's length may be from 1.
const LENGTH_TOLERANCE: f64 = 0.01;

/// How many numbers are converted to f32 at a time.
const BLOCK: usize = 256;

/// An open safetensors file. Every error is one sentence without the file's name.
pub(super) struct Tables<'a> {
    bytes: &'a Bytes,
    tensors: SafeTensors<'a>,
}

impl<'a> Tables<'a> {
    /// Reads the header. Refuses tensors other than `allowed` (and the `_scale` of each), because a misspelt optional
    /// tensor would otherwise be ignored silently.
    pub fn open(bytes: &'a Bytes, allowed: &[&str]) -> Result<Self, String> {
        let header = bytes.get(..8).and_then(|head| head.try_into().ok()).map(u64::from_le_bytes);
        match header {
            Some(length) if length <= limits::TABLES_HEADER_BYTES => {}
            Some(length) => {
                let max = limits::TABLES_HEADER_BYTES;
                return Err(format!("its header claims {length} bytes, but at most {max} are allowed"));
            }
            None => return Err("it is truncated; copy or download it again".into()),
        }
        let broken = |e| format!("it is not a readable safetensors file ({e}); export or download it again");
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        for name in tensors.names() {
            if !allowed.contains(&name.strip_suffix("_scale").unwrap_or(name)) {
                let shown = name.escape_debug();
                return Err(format!("tensor `{shown}` is not known in this file; docs/bundle.md lists the tensors"));
            }
        }
        Ok(Self { bytes, tensors })
    }

    /// Returns whether the file has tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// Returns the shape of tensor `name`.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        Ok(self.tensor(name)?.shape().to_vec())
    }

    /// Returns embedding rows of the given shape, after a check that they are finite and of length 1 within 1%.
    pub fn embeddings(&self, name: &str, shape: &[usize]) -> Result<Table, String> {
        let table = self.rows(name, shape)?;
        check_lengths(&table, check_unit).map_err(|problem| format!("{name} {problem}"))?;
        Ok(table)
    }

    /// Returns rows of the given shape, after a check that they are finite and not longer than `max_length`.
    pub fn bounded(&self, name: &str, shape: &[usize], max_length: f64) -> Result<Table, String> {
        let table = self.rows(name, shape)?;
        check_lengths(&table, |row, squared| check_bounded(row, squared, max_length))
            .map_err(|problem| format!("{name} {problem}"))?;
        Ok(table)
    }

    /// Returns a list of U32 numbers.
    pub fn counts(&self, name: &str, length: usize) -> Result<Vec<u32>, String> {
        let view = self.tensor(name)?;
        if view.dtype() != StoredDtype::U32 {
            return Err(format!("{name} is {:?}; it must be U32", view.dtype()));
        }
        expect_shape(name, view.shape(), &[length])?;
        Ok(view.data().as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    /// Returns rows of the given shape without checking their numbers.
    fn rows(&self, name: &str, shape: &[usize]) -> Result<Table, String> {
        let (width, outer) = shape.split_last().ok_or("an embedding table needs a width")?;
        let count = outer.iter().product();
        let view = self.tensor(name)?;
        expect_shape(name, view.shape(), shape)?;
        let scale_name = format!("{name}_scale");
        let (dtype, scale) = match view.dtype() {
            StoredDtype::F32 => (Dtype::F32, None),
            StoredDtype::F16 => (Dtype::F16, None),
            StoredDtype::I8 => {
                let scale = self.f32_tensor(&scale_name, outer)?;
                (Dtype::I8, Some(self.in_place(&scale)?))
            }
            other => return Err(format!("{name} is {other:?}; a table is F32, F16 or I8")),
        };
        if dtype != Dtype::I8 && self.has(&scale_name) {
            return Err(format!("{scale_name} belongs to an I8 table, but {name} is {dtype:?}; remove it"));
        }
        let data = self.in_place(&view)?;
        Table::new(count, *width, dtype, data, scale).map_err(|problem| format!("{name}: {problem}"))
    }

    /// Returns F32 numbers of the given shape as a table, after a check that they are finite.
    pub fn numbers(&self, name: &str, shape: &[usize]) -> Result<Table, String> {
        let view = self.f32_tensor(name, shape)?;
        let (width, outer) = shape.split_last().ok_or("a table needs a width")?;
        let data = self.in_place(&view)?;
        let table = Table::new(outer.iter().product(), *width, Dtype::F32, data, None)
            .map_err(|problem| format!("{name}: {problem}"))?;
        if let Rows::F32(numbers) = table.data()
            && let Some(at) = numbers.iter().position(|x| !x.is_finite())
        {
            return Err(format!("{name} row {} holds {}; export the tables again", at / width, numbers[at]));
        }
        Ok(table)
    }

    /// Returns a list of F32 numbers, after a check that they are finite.
    pub fn list(&self, name: &str, length: usize) -> Result<Vec<f32>, String> {
        match self.numbers(name, &[length])?.data() {
            Rows::F32(numbers) => Ok(numbers.to_vec()),
            _ => Err(format!("{name} is not F32")),
        }
    }

    /// Returns tensor `name`.
    fn tensor(&self, name: &str) -> Result<TensorView<'a>, String> {
        self.tensors.tensor(name).map_err(|_| format!("tensor `{name}` is missing; export the tables again"))
    }

    /// Returns tensor `name`, after a check of its type and shape.
    fn f32_tensor(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, String> {
        let view = self.tensor(name)?;
        if view.dtype() != StoredDtype::F32 {
            return Err(format!("{name} is {:?}; it must be F32", view.dtype()));
        }
        expect_shape(name, view.shape(), shape)?;
        Ok(view)
    }

    /// Returns the view's bytes, which share the file's storage.
    fn in_place(&self, view: &TensorView<'_>) -> Result<Bytes, String> {
        let data = view.data();
        let start = (data.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        let whole = start.checked_add(data.len()).and_then(|end| self.bytes.slice(start..end));
        whole.ok_or_else(|| "its data is outside the file; copy or download it again".into())
    }
}

/// Checks the shape of a tensor.
fn expect_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), String> {
    if found != expected {
        return Err(format!("{name} has shape {found:?}, but {expected:?} was expected; export the tables again"));
    }
    Ok(())
}

/// Calls `check` with each row's index and squared length. This reads every number of the table once, so it is written
/// to run at memory speed.
///
/// # Errors
/// Returns the first problem, as a text that follows the table's name.
fn check_lengths(table: &Table, check: impl Fn(usize, f64) -> Result<(), String>) -> Result<(), String> {
    let width = table.width();
    match table.data() {
        Rows::F32(data) => check_each(data, width, sum_squares, check),
        Rows::F16(data) => check_each(data, width, sum_squares_f16, check),
        Rows::I8(data, scale) => {
            for (i, (row, scale)) in data.chunks_exact(width.max(1)).zip(scale).enumerate() {
                if !scale.is_finite() || *scale <= 0.0 {
                    return Err(format!("row {i} has scale {scale}; scales must be positive; export the tables again"));
                }
                check(i, f64::from(sum_squares_i8(row)) * f64::from(*scale) * f64::from(*scale))?;
            }
            Ok(())
        }
    }
}

fn check_each<T>(
    data: &[T],
    width: usize,
    sum: impl Fn(&[T]) -> f32,
    check: impl Fn(usize, f64) -> Result<(), String>,
) -> Result<(), String> {
    let mut rows = data.chunks_exact(width.max(1)).enumerate();
    rows.try_for_each(|(i, row)| check(i, f64::from(sum(row))))
}

/// Checks that a row is finite and of length 1 within 1%.
fn check_unit(row: usize, squared: f64) -> Result<(), String> {
    // A number that is not finite makes the sum not finite, and fails here too.
    let length = squared.sqrt();
    if (length - 1.0).abs() <= LENGTH_TOLERANCE {
        return Ok(());
    }
    if !squared.is_finite() {
        return Err(format!("row {row} is not finite (NaN or infinity); export the tables again"));
    }
    Err(format!("row {row} has length {length:.3}; rows must be normalised to length 1; export the tables again"))
}

/// Checks that a row is finite and not longer than `max_length`.
fn check_bounded(row: usize, squared: f64, max_length: f64) -> Result<(), String> {
    // A number that is not finite makes the length not finite, and fails here too.
    if squared.sqrt() <= max_length {
        return Ok(());
    }
    Err(format!("row {row} is longer than {max_length}, or not finite (NaN or infinity); export the tables again"))
}

/// Adds squares in sixteen partial sums, so that the compiler can use vector registers.
fn sum_squares(row: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let mut blocks = row.chunks_exact(16);
    for block in &mut blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += x * x;
        }
    }
    let rest: f32 = blocks.remainder().iter().map(|x| x * x).sum();
    sums.iter().sum::<f32>() + rest
}

fn sum_squares_f16(row: &[f16]) -> f32 {
    let mut buffer = [0f32; BLOCK];
    let mut sum = 0.0;
    for block in row.chunks(BLOCK) {
        let numbers = &mut buffer[..block.len()];
        block.convert_to_f32_slice(numbers);
        sum += sum_squares(numbers);
    }
    sum
}

/// Adds squares. The sum is at most 4,096 * 128 * 128 = 2^26, which fits into i32.
fn sum_squares_i8(row: &[i8]) -> i32 {
    row.iter().map(|x| i32::from(*x) * i32::from(*x)).sum()
}

/// Reads bytes as a file of tables. Only for fuzzing.
#[cfg(fuzzing)]
pub fn fuzz_tables(bytes: &[u8]) {
    let bytes = Bytes::copy_of(bytes);
    let names = ["category", "words", "weights", "phrases"];
    let tables = match Tables::open(&bytes, &names) {
        Ok(tables) => tables,
        Err(problem) => return assert!(!problem.contains('\n'), "several lines: {problem}"),
    };
    for name in names {
        let Ok(shape) = tables.shape(name) else { continue };
        let length = shape.iter().try_fold(1usize, |n, dim| n.checked_mul(*dim)).unwrap_or(0);
        let _ = (tables.embeddings(name, &shape).is_ok(), tables.bounded(name, &shape, 2.0).is_ok());
        let _ = (tables.counts(name, length).is_ok(), tables.numbers(name, &shape).is_ok());
        let _ = tables.list(name, length).is_ok();
    }
}
