//! Puts a bundle into the program.

#[path = "build/embed.rs"]
mod embed;

fn main() {
    if let Err(problem) = embed::embed() {
        println!("cargo::error={problem}");
        std::process::exit(1);
    }
}
