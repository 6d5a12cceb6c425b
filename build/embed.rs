//! Packs the bundle to embed into `OUT_DIR/bundle.tar`, after comparing its files with its manifest.
//!
//! The bundle is that of `BIKE_EDGE_BUNDLE` (a folder or packed file), else models/demo. What else can be wrong with
//! a bundle is found when the binary opens it, as with any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Deserialize;
use sha2::{Digest, Sha256};

#[path = "../src/bundle/archive.rs"]
mod archive;

/// Where to find another bundle.
const VARIABLE: &str = "BIKE_EDGE_BUNDLE";

#[derive(Deserialize)]
struct Manifest {
    files: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    bytes: u64,
    sha256: String,
}

/// Checks and packs the bundle.
///
/// # Errors
/// One sentence with what is wrong and the remedy.
pub fn embed() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let variable = |name| env::var_os(name).map(PathBuf::from);
    let root = variable("CARGO_MANIFEST_DIR").ok_or("cargo did not say where the sources are")?;
    let out = variable("OUT_DIR").ok_or("cargo did not say where to write")?;
    let bundle = root.join(variable(VARIABLE).filter(|path| path != Path::new("")).unwrap_or("models/demo".into()));
    // For a folder this covers all that is in it.
    println!("cargo::rerun-if-changed={}", bundle.display());
    let shown = bundle.display();
    let files = read(&bundle).map_err(|problem| {
        format!("the bundle to embed, {shown}: {problem}; set {VARIABLE} to a bundle's folder or packed file")
    })?;
    let packed = pack(&files).map_err(|e| format!("the bundle to embed, {shown}: it cannot be packed ({e})"))?;
    let target = out.join("bundle.tar");
    fs::write(&target, packed).map_err(|e| format!("{}: it cannot be written ({e})", target.display()))
}

/// The manifest, the model card if there is one, and the listed files.
fn read(bundle: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let packed = if bundle.is_file() { Some(fs::read(bundle).map_err(|e| e.to_string())?) } else { None };
    let entries = packed.as_ref().map(|packed| archive::list(packed, 64)).transpose()?;
    let find = |name: &str| -> Result<Vec<u8>, String> {
        let missing = || format!("{name} is missing");
        match (&packed, &entries) {
            (Some(packed), Some(entries)) => {
                let (_, range) = entries.iter().find(|(entry, _)| entry == name).ok_or_else(missing)?;
                Ok(packed[range.clone()].to_vec())
            }
            _ => fs::read(bundle.join(name)).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => missing(),
                _ => format!("{name} cannot be read ({e})"),
            }),
        }
    };
    let manifest = find("bundle.toml")?;
    let text = std::str::from_utf8(&manifest).map_err(|_| "bundle.toml is not UTF-8")?;
    let listed: Manifest =
        toml::from_str(text).map_err(|e| format!("bundle.toml: {}", e.message().replace('\n', " ")))?;
    let mut files = vec![("bundle.toml".to_owned(), manifest)];
    if !listed.files.contains_key("README.md")
        && let Ok(card) = find("README.md")
    {
        files.push(("README.md".to_owned(), card));
    }
    for (name, entry) in &listed.files {
        if !archive::is_plain_name(name) {
            return Err(format!("bundle.toml lists `{}`, which is not a plain file name", name.escape_debug()));
        }
        let data = find(name)?;
        check(name, entry, &data)?;
        files.push((name.clone(), data));
    }
    Ok(files)
}

fn check(name: &str, entry: &Entry, data: &[u8]) -> Result<(), String> {
    if data.len() as u64 != entry.bytes {
        return Err(format!("{name} has {} bytes, and bundle.toml says {}", data.len(), entry.bytes));
    }
    let hash: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    if !hash.eq_ignore_ascii_case(&entry.sha256) {
        return Err(format!("{name} has another sha256 than bundle.toml says"));
    }
    Ok(())
}

fn pack(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut writer = archive::Writer::new(Vec::new());
    for (name, data) in files {
        writer.append(name, data.len() as u64, data.as_slice())?;
    }
    writer.finish()
}
