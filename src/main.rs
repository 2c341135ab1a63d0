//! The `aqueduct` binary: see `aqueduct --help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aqueduct::cli::main()
}
