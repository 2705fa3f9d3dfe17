//! `wayside completions` and `wayside man`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::exit::{Failure, Outcome};
use super::output::Screen;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn perform(self) -> Result<Outcome, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "wayside", &mut script);
        show(&script)
    }
}

/// Prints the manual page: the program's, then one section for each command.
pub(super) fn man() -> Result<Outcome, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let below = clap_mangen::Man::new(below.clone());
        below.render_synopsis_section(&mut page)?;
        below.render_description_section(&mut page)?;
        below.render_options_section(&mut page)?;
    }
    show(&page)
}

fn show(bytes: &[u8]) -> Result<Outcome, Failure> {
    Screen::open().show(&String::from_utf8_lossy(bytes))?;
    Ok(Outcome::Found)
}
