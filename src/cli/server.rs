//! `echotest server`, by hand, from systemd, from inetd, or as a daemon.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use super::Status;
use super::error::Failure;
use super::matches::Matches;
use crate::net::datagram;
use crate::net::listen::{self, Passed};
use crate::net::notify::Notifier;
use crate::os::detach::{Detached, detach};
use crate::os::limits;
use crate::os::poll::MAX_WATCHED;
use crate::os::signals::{self, Signal};
use crate::server::closing::Reflectors;
use crate::server::light::{self, LightLimits};
use crate::server::ping::Losses;
use crate::server::seats::Seats;
use crate::server::twamp::{MAX_SESSIONS, MAX_SESSIONS_PER_HOST, TwampHost};
use crate::server::{Limits, SERVICES, Service, Settings, serve, serve_one};

/// Descriptors that the server needs besides its clients.
const SPARE_FILES: u64 = 32;

/// Listens and serves until told to stop.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    let service = service(matches)?;
    let limits = limits_of(matches);
    let settings = settings(matches, service)?;
    if matches.flag("inetd") {
        return inetd(matches, service, settings);
    }
    let readiness = if matches.flag("daemon") {
        match detach()? {
            Detached::Parent { ready: true } => return Ok(Status::Good),
            Detached::Parent { ready: false } => return Err(Failure::Told),
            Detached::Child(readiness) => Some(readiness),
        }
    } else {
        None
    };
    let Sockets { listeners, datagrams } = sockets(matches, service)?;
    let pid_file =
        matches.text("pid-file").map(|path| PidFile::take(matches, &path)).transpose()?;
    signals::watch(Signal::Interrupt)?;
    signals::watch(Signal::Terminate)?;
    if readiness.is_some() || matches.text("log-file").is_some() {
        signals::watch(Signal::HangUp)?;
    }
    announce(&listeners, &datagrams, service);
    check_open_files(&limits);
    let TwampHost { closing, seats, limits: bounds, .. } = &settings.twamp;
    let light = datagrams.into_iter().map(|socket| light::start(socket, *bounds, closing.clone()));
    let reflectors = Reflectors {
        closing: closing.clone(),
        sessions: seats.clone(),
        light: light.collect::<io::Result<_>>()?,
    };
    let notifier = Notifier::from_env();
    notifier.ready(&format!("serving {}", service.name));
    if let Some(readiness) = readiness {
        readiness.ready()?;
    }
    let ended = serve(listeners, service, &limits, settings, notifier)?;
    reflectors.close();
    log::info!("stopped, {ended} sessions had to be ended");
    drop(pid_file);
    Ok(Status::Good)
}

fn inetd(
    matches: &Matches,
    service: &'static Service,
    settings: Settings,
) -> Result<Status, Failure> {
    let stream = matches.inherited()?;
    serve_one(stream, service, settings).map_err(|source| NotConnected { source })?;
    Ok(Status::Good)
}

/// Standard input is a socket without a peer.
#[derive(Debug)]
struct NotConnected {
    source: io::Error,
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "--inetd: standard input is no connected TCP socket (xinetd: wait = no; \
             systemd: Accept=yes and StandardInput=socket)",
        )
    }
}

impl std::error::Error for NotConnected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Where the server is reached.
struct Sockets {
    listeners: Vec<TcpListener>,
    /// For reflecting without a control connection.
    datagrams: Vec<UdpSocket>,
}

/// Those that systemd passed, else those that the options name.
fn sockets(matches: &Matches, service: &Service) -> Result<Sockets, Failure> {
    if let Some(Passed { listeners, datagrams }) = listen::passed()? {
        if !datagrams.is_empty() && !service.has_light {
            return Err(UnwantedDatagrams { service: service.name }.into());
        }
        return Ok(Sockets { listeners, datagrams });
    }
    let addresses = matches.addresses("bind");
    if addresses.len() > MAX_WATCHED {
        return Err(matches.usage(format!("--bind: at most {MAX_WATCHED} addresses")).into());
    }
    let port = matches.whole("port").and_then(|port| u16::try_from(port).ok());
    let listeners = listen::tcp(&addresses, port.unwrap_or(service.port))?;
    // Also where any port will do, TCP's and UDP's are the same.
    let datagrams = if service.has_light { datagram::beside(&listeners)? } else { Vec::new() };
    Ok(Sockets { listeners, datagrams })
}

/// A UDP socket was passed to a protocol of TCP alone.
#[derive(Debug)]
struct UnwantedDatagrams {
    service: &'static str,
}

impl fmt::Display for UnwantedDatagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a UDP socket was passed, and {} is served over TCP alone", self.service)
    }
}

impl std::error::Error for UnwantedDatagrams {}

fn service(matches: &Matches) -> Result<&'static Service, Failure> {
    const ALL: &[Service] = &SERVICES;
    let name = matches.positional_at(0).unwrap_or(ALL[0].name);
    ALL.iter().find(|service| service.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|service| service.name).collect();
        let names = names.join(", ");
        matches.usage(format!("PROTOCOL {name:?}: accepted is {names}")).into()
    })
}

/// Options that one protocol alone has, by its name.
const OWN_OPTIONS: [(&str, &str); 7] = [
    ("loss", "ping"),
    ("seed", "ping"),
    ("test-ports", "twamp"),
    ("max-sessions", "twamp"),
    ("max-sessions-per-host", "twamp"),
    ("max-rate", "twamp"),
    ("ref-wait", "twamp"),
];

/// The chance of a played loss, if the user names none.
const USUAL_LOSS: f64 = 20.0;

/// What the options say of sessions.
fn settings(matches: &Matches, service: &Service) -> Result<Settings, Failure> {
    let misplaced = OWN_OPTIONS
        .iter()
        .find(|(option, owner)| matches.times(option) > 0 && *owner != service.name);
    if let Some((option, owner)) = misplaced {
        return Err(matches.usage(format!("--{option} is for 'server {owner}' alone")).into());
    }
    let idle = matches.seconds("idle-timeout").unwrap_or(service.idle_timeout);
    let losses = Losses::new(matches.percent("loss").unwrap_or(USUAL_LOSS), matches.whole("seed"));
    let idle_timeout = Some(idle).filter(|span| !span.is_zero());
    Ok(Settings {
        idle_timeout,
        busy_poll: matches.flag("busy-poll"),
        losses,
        twamp: twamp_host(matches),
    })
}

/// What the options say of test sessions.
fn twamp_host(matches: &Matches) -> TwampHost {
    let usual = TwampHost::default();
    let number = |name, usual| {
        let given = matches.whole(name).and_then(|number| usize::try_from(number).ok());
        given.unwrap_or(usual)
    };
    let ports = matches.ports("test-ports");
    TwampHost {
        seats: Seats::new(
            number("max-sessions", MAX_SESSIONS),
            number("max-sessions-per-host", MAX_SESSIONS_PER_HOST),
        ),
        ports_are_binding: ports.is_some(),
        ports: ports.unwrap_or(usual.ports),
        limits: LightLimits {
            ref_wait: matches.seconds("ref-wait").unwrap_or(usual.limits.ref_wait),
            rate: matches.whole("max-rate").unwrap_or(usual.limits.rate),
        },
        ..usual
    }
}

/// How many clients the options allow.
fn limits_of(matches: &Matches) -> Limits {
    let number = |name| matches.whole(name).and_then(|number| usize::try_from(number).ok());
    Limits {
        max_clients: number("max-clients").unwrap_or(1),
        max_per_host: number("max-per-host").unwrap_or(1),
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
        // A service manager may forbid asking, and has set the limit then.
        Err(error) => log::debug!("cannot tell how many files may be open: {error}"),
    }
}

fn announce(listeners: &[TcpListener], datagrams: &[UdpSocket], service: &Service) {
    for address in listeners.iter().flat_map(TcpListener::local_addr) {
        log::info!("listening on {address} ({})", service.name);
    }
    for address in datagrams.iter().flat_map(UdpSocket::local_addr) {
        log::info!("listening on {address} (UDP, {} light)", service.name);
    }
}

/// A pid file that cannot be had.
#[derive(Debug)]
enum PidFileError {
    /// A living server holds it.
    Held { path: PathBuf, pid: String },
    /// What the system said.
    Io { path: PathBuf, source: io::Error },
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, pid } => write!(
                f,
                "another server (process {pid}) holds {}; stop it, or name another --pid-file",
                path.display()
            ),
            Self::Io { path, .. } => write!(f, "cannot write the pid file {}", path.display()),
        }
    }
}

impl std::error::Error for PidFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// Holds this process's number, locked while it lives: a file that a killed
/// server left has no lock and is taken over.
struct PidFile {
    path: PathBuf,
    _locked: File,
}

impl PidFile {
    fn take(matches: &Matches, path: &str) -> Result<Self, PidFileError> {
        let path = matches.directory().join(path);
        Self::lock(&path).map(|file| Self { path: path.clone(), _locked: file })
    }

    fn lock(path: &Path) -> Result<File, PidFileError> {
        let failed = |source| PidFileError::Io { path: path.to_owned(), source };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim().to_owned();
                return Err(PidFileError::Held { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(file)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}
