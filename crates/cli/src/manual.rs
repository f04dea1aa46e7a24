//! Completions for shells and pages of the manual, both made from the argument parser's own tables.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// Prints what makes a shell complete this command's arguments.
#[derive(ClapArgs)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a page of the manual, or writes all of them.
#[derive(ClapArgs)]
pub struct ManualArgs {
    /// The page of this subcommand [default: that of oxmq]
    command: Option<String>,
    /// Write all the pages into this folder instead (oxmq.1, oxmq-push.1, …)
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    all: Option<PathBuf>,
}

/// `oxmq completions`.
pub fn completions(mut command: Command, args: CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "oxmq", &mut script);
    print(&script)
}

/// `oxmq manual`.
pub fn manual(command: Command, args: ManualArgs) -> Result<()> {
    // Fills in what subcommands inherit, such as their full names.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    if let Some(folder) = args.all {
        std::fs::create_dir_all(&folder)
            .and_then(|()| clap_mangen::generate_to(command, &folder))
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        return Ok(());
    }
    let page = match &args.command {
        None => command,
        Some(name) => {
            let mut visible = command.get_subcommands().filter(|command| !command.is_hide_set());
            let found = visible.find(|command| command.get_name() == name.as_str());
            found.with_context(|| format!("there is no subcommand {name}"))?.clone()
        }
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).context("standard output")
}
