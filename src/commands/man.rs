//! `completions` and `man`: generate shell completions and man pages from the definition of the command line.

use std::io::Write;
use std::process::ExitCode;

use bike_edge::output::output_error;
use bike_edge::{Error, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell as Generator;
use clap_mangen::Man;

use crate::cli::{Cli, Shell};

/// Prints the completions of a shell.
pub fn print_completions(shell: Shell) -> Result<ExitCode> {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(generator, &mut Cli::command(), "bike-edge", &mut text);
    print(&bash_labels(text))
}

/// Makes the labels of the bash completions consistent: clap_complete writes the hyphen of the program's name in two
/// ways.
fn bash_labels(text: Vec<u8>) -> Vec<u8> {
    String::from_utf8(text)
        .map_or_else(|e| e.into_bytes(), |text| text.replace("bike__subcmd__edge", "bike__edge").into())
}

/// Prints the man page of the program or of one of its commands.
pub fn print_page(command: &str) -> Result<ExitCode> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let named = match command {
        "" => program,
        name => find(&program, name)?.clone(),
    };
    let text = page(named).map_err(|e| Error::Internal(format!("the man page cannot be generated: {e}")))?;
    print(&text)
}

/// Finds a command, or the command of a group such as `camera-list`.
fn find<'a>(program: &'a Command, name: &str) -> Result<&'a Command> {
    let mut nested = program.get_subcommands().flat_map(|group| std::iter::once(group).chain(group.get_subcommands()));
    let named = |command: &&Command| page_name(command).strip_prefix("bike-edge-").is_some_and(|page| page == name);
    nested.find(named).ok_or_else(|| {
        let names: Vec<_> = program.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect();
        Error::Usage(format!("man {name}: there is no such command; the commands are {}", names.join(", ")))
    })
}

fn page_name(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).replace(' ', "-")
}

/// Renders a page. Text after the options, such as examples, keeps its lines.
fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let examples = command.get_after_help().map(ToString::to_string);
    let name: &'static str = Box::leak(page_name(&command).into_boxed_str());
    let has_commands = command.get_subcommands().any(|command| command.get_name() != "help");
    let man = Man::new(command.name(name).version(env!("CARGO_PKG_VERSION")).after_help(""));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(examples) = examples {
        writeln!(text, ".SH NOTES\n.nf")?;
        for line in examples.lines() {
            // A dot or quote at the start of a line, and every backslash and hyphen, are special in roff.
            writeln!(text, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
        }
        writeln!(text, ".fi")?;
    }
    man.render_version_section(&mut text)?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<ExitCode> {
    std::io::stdout().lock().write_all(text).map_err(output_error)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_the_bash_completions_has_its_case() {
        let mut text = Vec::new();
        clap_complete::generate(Generator::Bash, &mut Cli::command(), "bike-edge", &mut text);
        let text = String::from_utf8(bash_labels(text)).unwrap();
        let states: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")).collect();
        assert!(states.len() > 10);
        for state in states.iter().map(|state| state.trim_end_matches('"')).filter(|state| !state.is_empty()) {
            assert!(text.lines().any(|line| line.trim() == format!("{state})")), "{state} has no case");
        }
    }

    #[test]
    fn every_command_has_a_page_with_its_examples_line_by_line() {
        let mut program = Cli::command();
        program.build();
        for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
            assert!(find(&program, command.get_name()).is_ok(), "{}", command.get_name());
        }
        let text = String::from_utf8(page(find(&program, "watch").unwrap().clone()).unwrap()).unwrap();
        assert!(text.contains("bike\\-edge\\-watch") || text.contains("bike-edge-watch"), "{text}");
        assert!(text.contains("\n\\&  bike\\-edge watch clip.mp4 \\-\\-on 0.5 \\-\\-min\\-length 3\n"), "{text}");
        assert!(find(&program, "camera-list").is_ok());
        assert!(find(&program, "nothing").is_err());
    }
}
