//! Parse, dispatch, exit status.

use std::process::ExitCode;

use echotest::cli::error::Failure;
use echotest::cli::{self, Status};
use echotest::record::journal;

fn main() -> ExitCode {
    let result = cli::run(std::env::args_os().skip(1).collect());
    if let Err(failure) = &result
        && !matches!(failure, Failure::Told)
    {
        journal::show(&format!("echotest: {failure}\n"));
    }
    journal::close();
    match result {
        Ok(Status::Good) => ExitCode::SUCCESS,
        Ok(Status::Bad) => ExitCode::from(1),
        Ok(Status::Incomplete) => ExitCode::from(2),
        Err(failure) => ExitCode::from(failure.exit_status()),
    }
}
