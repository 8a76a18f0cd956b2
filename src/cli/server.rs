//! `echotest server`.

use std::net::TcpListener;

use super::Status;
use super::error::Failure;
use super::matches::Matches;
use crate::net::listen;
use crate::os::limits;
use crate::os::signals::{self, Signal};
use crate::server::{Limits, SERVICES, Service, serve};

/// Descriptors that the server needs besides its clients.
const SPARE_FILES: u64 = 32;

/// Listens and serves until told to stop.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    let service = service(matches)?;
    let limits = limits_of(matches, service);
    let port = matches.whole("port").and_then(|port| u16::try_from(port).ok());
    let listeners = listen::tcp(&matches.addresses("bind"), port.unwrap_or(service.port))?;
    signals::watch(Signal::Interrupt)?;
    signals::watch(Signal::Terminate)?;
    announce(&listeners, service);
    check_open_files(&limits);
    serve(&listeners, service, &limits)?;
    Ok(Status::Good)
}

fn service(matches: &Matches) -> Result<&'static Service, Failure> {
    const ALL: &[Service] = &SERVICES;
    let name = matches.positional_at(0).unwrap_or(ALL[0].name);
    ALL.iter().find(|service| service.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|service| service.name).collect();
        let names = names.join(", ");
        matches.usage(format!("PROTOCOL {name:?}: accepted is {names}")).into()
    })
}

/// What the options allow clients.
fn limits_of(matches: &Matches, service: &Service) -> Limits {
    let number = |name| matches.whole(name).and_then(|number| usize::try_from(number).ok());
    let idle = matches.seconds("idle-timeout").unwrap_or(service.idle_timeout);
    Limits {
        max_clients: number("max-clients").unwrap_or(1),
        max_per_host: number("max-per-host").unwrap_or(1),
        idle_timeout: Some(idle).filter(|span| !span.is_zero()),
    }
}

fn check_open_files(limits: &Limits) {
    let wanted = u64::try_from(limits.max_clients).unwrap_or(u64::MAX).saturating_add(SPARE_FILES);
    match limits::raise_open_files() {
        Ok(granted) if granted < wanted => log::warn!(
            "only {granted} files may be open, too few for --max-clients {}; raise 'ulimit -n'",
            limits.max_clients
        ),
        Ok(_) => {}
        Err(error) => log::warn!("cannot tell how many files may be open: {error}"),
    }
}

fn announce(listeners: &[TcpListener], service: &Service) {
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            log::info!("listening on {address} ({})", service.name);
        }
    }
}
