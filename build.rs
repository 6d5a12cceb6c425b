//! Puts a bundle into the binary, and makes completions and man pages of the command line.

#[path = "build/embed.rs"]
mod embed;
#[path = "build/pages.rs"]
mod pages;

fn main() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let pages = || pages::generate(&out).map_err(|e| format!("{}: {e}", out.display()));
    if let Err(problem) = embed::embed().and_then(|()| pages()) {
        println!("cargo::error={problem}");
        std::process::exit(1);
    }
}
