//! Tables of a safetensors file, used where they lie.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as StoredDtype, TensorView};

use super::{limits, rows};
use crate::table::{Bytes, Dtype, Rows, Table};

/// An opened safetensors file. Every error is one sentence without the file's name.
pub(super) struct Tables<'a> {
    bytes: &'a Bytes,
    tensors: SafeTensors<'a>,
}

impl<'a> Tables<'a> {
    /// Reads the header. Tensors other than `known` (and the `_scale` of each) are refused: a misspelt optional one
    /// would otherwise be left out without a word.
    pub fn open(bytes: &'a Bytes, known: &[&str]) -> Result<Self, String> {
        let header = bytes.get(..8).and_then(|head| head.try_into().ok()).map(u64::from_le_bytes);
        match header {
            Some(length) if length <= limits::TABLES_HEADER_BYTES => {}
            Some(length) => {
                let most = limits::TABLES_HEADER_BYTES;
                return Err(format!("its header claims {length} bytes, and {most} are the most allowed"));
            }
            None => return Err("it is cut short; copy or download it again".into()),
        }
        let broken = |e| format!("it is not a readable safetensors file ({e}); export or download it again");
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        for name in tensors.names() {
            if !known.contains(&name.strip_suffix("_scale").unwrap_or(name)) {
                let shown = name.escape_debug();
                return Err(format!("tensor `{shown}` is not known; docs/bundle.md lists what this file can hold"));
            }
        }
        Ok(Self { bytes, tensors })
    }

    /// True where tensor `name` is there.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// The shape of tensor `name`.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        Ok(self.tensor(name)?.shape().to_vec())
    }

    /// Embedding rows of the given shape, checked to be finite and of length 1 within 1%.
    pub fn embeddings(&self, name: &str, shape: &[usize]) -> Result<Table, String> {
        let table = self.rows(name, shape)?;
        rows::check_unit(&table).map_err(|fault| format!("{name} {fault}"))?;
        Ok(table)
    }

    /// Rows of the given shape, checked to be finite and not longer than `most`.
    pub fn bounded(&self, name: &str, shape: &[usize], most: f64) -> Result<Table, String> {
        let table = self.rows(name, shape)?;
        rows::check_bounded(&table, most).map_err(|fault| format!("{name} {fault}"))?;
        Ok(table)
    }

    /// A list of U32 numbers.
    pub fn counts(&self, name: &str, length: usize) -> Result<Vec<u32>, String> {
        let view = self.tensor(name)?;
        if view.dtype() != StoredDtype::U32 {
            return Err(format!("{name} is {:?}; it must be U32", view.dtype()));
        }
        expect_shape(name, view.shape(), &[length])?;
        Ok(view.data().as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    /// Rows of the given shape, whatever they hold.
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
            return Err(format!("{scale_name} goes with an I8 table, and {name} is {dtype:?}; take it out"));
        }
        let data = self.in_place(&view)?;
        Table::new(count, *width, dtype, data, scale).map_err(|problem| format!("{name}: {problem}"))
    }

    /// F32 numbers of the given shape as a table of rows, finite.
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

    /// A short list of F32 numbers, finite.
    pub fn list(&self, name: &str, length: usize) -> Result<Vec<f32>, String> {
        match self.numbers(name, &[length])?.data() {
            Rows::F32(numbers) => Ok(numbers.to_vec()),
            _ => Err(format!("{name} is not F32")),
        }
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'a>, String> {
        self.tensors.tensor(name).map_err(|_| format!("tensor `{name}` is missing; export the tables again"))
    }

    fn f32_tensor(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, String> {
        let view = self.tensor(name)?;
        if view.dtype() != StoredDtype::F32 {
            return Err(format!("{name} is {:?}; it must be F32", view.dtype()));
        }
        expect_shape(name, view.shape(), shape)?;
        Ok(view)
    }

    /// The view's bytes, sharing the file's storage.
    fn in_place(&self, view: &TensorView<'_>) -> Result<Bytes, String> {
        let data = view.data();
        let start = (data.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        let whole = start.checked_add(data.len()).and_then(|end| self.bytes.slice(start..end));
        whole.ok_or_else(|| "its data lies outside the file; copy or download it again".into())
    }
}

fn expect_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), String> {
    if found != expected {
        return Err(format!("{name} has shape {found:?}, and {expected:?} was expected; export the tables again"));
    }
    Ok(())
}
