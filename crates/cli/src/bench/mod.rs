//! bench
use anyhow::Result;
#[derive(clap::Args)]
pub struct Args {}
#[derive(clap::Args)]
pub struct PartArgs {}
pub fn run(_a: Args) -> Result<()> {
    Ok(())
}
pub fn run_part(_a: PartArgs) -> Result<()> {
    Ok(())
}
