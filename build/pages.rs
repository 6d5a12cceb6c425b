//! Shell completions and man pages from the command line's own definition.

use std::fmt::Write as _;
use std::path::Path;

use clap::{CommandFactory, ValueEnum as _};
use clap_complete::Shell;

#[path = "../src/cli/args/mod.rs"]
#[allow(dead_code, unused_imports)]
mod args;

/// Writes completions and pages into `out`, and `man_pages.rs`, a table of the pages.
pub fn generate(out: &Path) -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=src/cli/args");
    let mut command = args::Cli::command();
    for shell in Shell::value_variants() {
        if matches!(shell, Shell::Bash | Shell::Zsh | Shell::Fish) {
            clap_complete::generate_to(*shell, &mut command, "bike-edge", out)?;
        }
    }
    command.build();
    let mut table = String::from("/// Page name and roff text.\nconst MAN_PAGES: &[(&str, &str)] = &[\n");
    page(&command, "bike-edge", out, &mut table)?;
    table.push_str("];\n");
    std::fs::write(out.join("man_pages.rs"), table)
}

fn page(command: &clap::Command, name: &str, out: &Path, table: &mut String) -> std::io::Result<()> {
    let file = format!("{name}.1");
    let mut roff = Vec::new();
    let named: &'static str = Box::leak(name.to_owned().into_boxed_str());
    clap_mangen::Man::new(command.clone().name(named)).render(&mut roff)?;
    std::fs::write(out.join(&file), roff)?;
    let _ = writeln!(table, "    ({name:?}, include_str!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))),");
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        page(sub, &format!("{name}-{}", sub.get_name()), out, table)?;
    }
    Ok(())
}
