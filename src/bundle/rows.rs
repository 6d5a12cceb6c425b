//! Checks over all rows of a table. They read every number once, so they are written to run at memory speed.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::table::{Rows, Table};

/// How far a row's length may be from 1.
const LENGTH_TOLERANCE: f64 = 0.01;

/// Numbers turned to f32 at a time.
const BLOCK: usize = 256;

/// What is wrong with a row, to follow the table's name.
///
/// # Errors
/// The first row that is not finite or not of length 1 within 1%.
pub(super) fn check_unit(table: &Table) -> Result<(), String> {
    check_lengths(table, check_length)
}

/// As [`check_unit`], for rows that may be shorter, and as long as `most`.
///
/// # Errors
/// The first row that is not finite or longer.
pub(super) fn check_bounded(table: &Table, most: f64) -> Result<(), String> {
    check_lengths(table, |row, squared| {
        // A number that is not finite makes the length not finite, and fails here too.
        if squared.sqrt() <= most {
            return Ok(());
        }
        Err(format!("row {row} is longer than {most}, or not finite (NaN or infinity); export the tables again"))
    })
}

/// Hands each row's number and squared length to `check`.
fn check_lengths(table: &Table, check: impl Fn(usize, f64) -> Result<(), String>) -> Result<(), String> {
    let width = table.width();
    match table.data() {
        Rows::F32(data) => each(data, width, sum_squares, check),
        Rows::F16(data) => each(data, width, sum_squares_f16, check),
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

fn each<T>(
    data: &[T],
    width: usize,
    sum: impl Fn(&[T]) -> f32,
    check: impl Fn(usize, f64) -> Result<(), String>,
) -> Result<(), String> {
    let mut rows = data.chunks_exact(width.max(1)).enumerate();
    rows.try_for_each(|(i, row)| check(i, f64::from(sum(row))))
}

fn check_length(row: usize, squared: f64) -> Result<(), String> {
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

/// Sixteen partial sums, so that the compiler can use vector registers.
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

/// At most 4,096 * 128 * 128 = 2^26, so i32 holds it.
fn sum_squares_i8(row: &[i8]) -> i32 {
    row.iter().map(|x| i32::from(*x) * i32::from(*x)).sum()
}

/// Checks a category's own word weights: not negative, and together with the shared ones equal for every category.
///
/// # Errors
/// The first category whose weights are not so.
pub(super) fn check_weights(weight: &Table, shared: &[f32]) -> Result<(), String> {
    let Rows::F32(numbers) = weight.data() else { return Err("word_weight is not F32".into()) };
    let common: f64 = shared.iter().map(|x| f64::from(*x)).sum();
    let mut first = None;
    for (k, row) in numbers.chunks_exact(weight.width().max(1)).enumerate() {
        if let Some(negative) = row.iter().find(|x| **x < 0.0) {
            return Err(format!("word_weight row {k} holds {negative}; weights must not be negative"));
        }
        let sum = common + row.iter().map(|x| f64::from(*x)).sum::<f64>();
        let expected = *first.get_or_insert(sum);
        if sum <= 0.0 || !sum.is_finite() || (sum - expected).abs() > 1e-3 * expected {
            return Err(format!(
                "word_weight row {k} sums to {sum:.3} with shared_weight and row 0 to {expected:.3}; the sums must be \
                 positive and equal; export the tables again"
            ));
        }
    }
    Ok(())
}
