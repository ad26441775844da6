//! The binary: an allocator, and the command line.

use std::process::ExitCode;

use clap::Parser as _;
use shipwatch::cli::{self, Cli};

/// The store allocates much and in small pieces; this one takes that better than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(cli::run(Cli::parse())));
    done.unwrap_or_else(|error| cli::failed(&error))
}
