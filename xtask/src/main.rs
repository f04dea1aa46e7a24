//! The chores of this workspace: `cargo xtask --help` lists them.

mod chores;
mod command;
mod fuzz;
mod install;
mod packages;
mod published;
mod python;
mod targets;
mod test;

use anyhow::Result;
use command::Invocation;
use install::Flavour;
use std::path::PathBuf;
use std::process::ExitCode;

mod flags {
    use super::PathBuf;

    xflags::xflags! {
        /// The chores of this workspace.
        cmd xtask {
            /// Everything that must pass: installs what it needs, ends in one summary
            cmd test {
                /// Only this step; may be repeated
                repeated --only step: String
                /// List the steps
                optional --list
            }
            /// Fuzz every target, or one
            cmd fuzz {
                /// Name of a file in fuzz/targets, without its .rs
                optional target: String
                /// How long each target runs (default 60)
                optional --seconds seconds: u64
            }
            /// Simulate many seeds, or one
            cmd sim {
                /// How many seeds (default: what the tests say)
                optional --seeds count: u64
                /// Replay this one
                optional --seed seed: u64
            }
            /// Model-check the lock-free modules
            cmd loom {
                /// How many preemptions per execution (default 2)
                optional --preemptions count: u32
            }
            /// Count the instructions and system calls of a message on each hot path, and compare
            /// them with crates/sim/costs.txt
            cmd costs {
                /// Write that file anew
                optional --write
            }
            /// Plant listed defects, one after the other; the model checker, the simulator, the
            /// count of costs or the comparison with libzmq must notice each
            cmd mutants {
                /// Only those for loom, sim, costs or capi
                optional suite: String
            }
            /// Run the tests under a sanitizer; needs the nightly toolchain
            cmd sanitize {
                /// address or thread
                required sanitizer: String
            }
            /// Build libzmq.so.5, and install it with its headers, pkg-config and CMake files
            cmd install {
                /// The folder whose include and lib it goes to
                required --prefix dir: PathBuf
                /// Without optimisation
                optional --debug
            }
            /// Licences and advisories of what we depend on; needs cargo-deny
            cmd deny {}
        }
    }
}

fn main() -> ExitCode {
    match run(flags::Xtask::from_env_or_exit()) {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("xtask: {reason:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: flags::Xtask) -> Result<ExitCode> {
    use flags::XtaskCmd::{Costs, Deny, Fuzz, Install, Loom, Mutants, Sanitize, Sim, Test};
    match flags.subcommand {
        Test(flags) if flags.list => {
            test::list();
            Ok(())
        }
        // Its last line is the summary, whatever the result.
        Test(flags) => return test::run(&flags.only),
        Fuzz(flags) => {
            packages::install(&["g++"])?;
            fuzz::run(flags.target.as_deref(), flags.seconds.unwrap_or(60)).map(|_| ())
        }
        Sim(flags) => chores::sim(flags.seeds, flags.seed)?.check("the simulation"),
        Loom(flags) => {
            chores::loom(flags.preemptions.unwrap_or(chores::LOOM_PREEMPTIONS))?.check("loom")
        }
        Costs(flags) => {
            packages::install(&["valgrind"])?;
            chores::costs(flags.write)?.check("the comparison of costs")
        }
        Mutants(mutants) => chores::mutants(mutants.suite.as_deref()),
        Sanitize(flags) => chores::sanitize(&flags.sanitizer)?.check("the sanitizer"),
        Install(flags) => {
            let flavour = if flags.debug { Flavour::Debug } else { Flavour::Optimised };
            install::install(&flags.prefix, flavour)
        }
        Deny(_) => Invocation::cargo(&["deny", "check"])
            .run()?
            .check("cargo deny (cargo install cargo-deny)"),
    }?;
    Ok(ExitCode::SUCCESS)
}
