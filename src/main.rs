//! Parse, dispatch, exit status.

use std::io::Write;
use std::process::ExitCode;

use echotest::cli::error::Failure;
use echotest::cli::{self, Status};

fn main() -> ExitCode {
    match cli::run(std::env::args_os().skip(1).collect()) {
        Ok(Status::Good) => ExitCode::SUCCESS,
        Ok(Status::Bad) => ExitCode::from(1),
        Err(failure) => {
            if !matches!(failure, Failure::Told) {
                // Where standard error is closed there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "echotest: {failure}");
            }
            ExitCode::from(failure.exit_status())
        }
    }
}
