//! `echotest server`, by hand, from systemd, from inetd, or as a daemon.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use super::Status;
use super::error::{Failure, UsageError};
use super::habits;
use super::logging::Destination;
use super::matches::Matches;
use super::opt::Group;
use super::pid_file::PidFile;
use super::service_options::{Bounds, Listening, PlayedLoss, Reflecting, Running};
use crate::net::datagram;
use crate::net::listen::{self, Passed};
use crate::net::network::Allowed;
use crate::net::notify::Notifier;
use crate::os::detach::{Detached, detach};
use crate::os::limits;
use crate::os::poll::MAX_WATCHED;
use crate::os::privilege::{self, Account};
use crate::os::signals::{self, Signal};
use crate::server::closing::Reflectors;
use crate::server::light::{self, LightLimits};
use crate::server::ping::Losses;
use crate::server::seats::Seats;
use crate::server::service::{PING, TWAMP};
use crate::server::twamp::{MAX_SESSIONS, MAX_SESSIONS_PER_HOST, TwampHost};
use crate::server::{Limits, SERVICES, Service, Settings, serve, serve_one};

/// Descriptors that the server needs besides its clients.
const SPARE_FILES: u64 = 32;

/// `echotest server` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    service: &'static Service,
    addresses: Vec<IpAddr>,
    port: u16,
    limits: Limits,
    settings: Settings,
    running: Running,
    /// Under inetd, the one client.
    client: io::Result<Option<TcpStream>>,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let service = service(matches)?;
        let Listening { port, bind } = Listening::of(matches);
        if bind.len() > MAX_WATCHED {
            return Err(matches.usage(format!("--bind: at most {MAX_WATCHED} addresses")));
        }
        let Bounds { max_clients, max_per_host, .. } = Bounds::of(matches);
        let mut running = Running::of(matches);
        // A daemon leaves its directory.
        for path in [&mut running.pid_file, &mut running.log_file].into_iter().flatten() {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        Ok(Self {
            service,
            addresses: bind,
            port: port.unwrap_or(service.port),
            limits: Limits { max_clients, max_per_host },
            settings: settings(matches, service)?,
            running,
            client: matches.inherited(),
        })
    }

    fn log(&self) -> Destination {
        Destination {
            file: self.running.log_file.clone(),
            without_terminal: self.running.inetd || self.running.daemon,
            ..Destination::default()
        }
    }

    /// Listens and serves until told to stop, or serves the one client.
    fn run(self) -> Result<Status, Failure> {
        let Self { service, addresses, port, limits, settings, running, client } = self;
        if let Some(client) = client? {
            serve_one(client, service, settings).map_err(|source| NotConnected { source })?;
            return Ok(Status::Good);
        }
        let readiness = match running.daemon.then(detach).transpose()? {
            Some(Detached::Parent { ready: true }) => return Ok(Status::Good),
            Some(Detached::Parent { ready: false }) => return Err(Failure::Told),
            Some(Detached::Child(readiness)) => Some(readiness),
            None => None,
        };
        let Sockets { listeners, datagrams } = sockets(&addresses, port, service)?;
        let pid_file = running.pid_file.as_deref().map(PidFile::take).transpose()?;
        signals::watch(Signal::Interrupt)?;
        signals::watch(Signal::Terminate)?;
        if running.daemon || running.log_file.is_some() {
            signals::watch(Signal::HangUp)?;
        }
        let notifier = Notifier::from_env();
        check_open_files(&limits);
        give_up_rights(&running)?;
        announce(&listeners, &datagrams, service);
        let TwampHost { closing, seats, limits: bounds, .. } = &settings.twamp;
        let light = datagrams.into_iter().map(|socket| {
            light::start(socket, *bounds, Arc::clone(&settings.allowed), closing.clone())
        });
        let reflectors = Reflectors {
            closing: closing.clone(),
            sessions: seats.clone(),
            light: light.collect::<io::Result<_>>()?,
        };
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
fn sockets(addresses: &[IpAddr], port: u16, service: &Service) -> Result<Sockets, Failure> {
    if let Some(Passed { listeners, datagrams }) = listen::passed()? {
        if !datagrams.is_empty() && !service.has_light {
            return Err(UnwantedDatagrams { service: service.name }.into());
        }
        return Ok(Sockets { listeners, datagrams });
    }
    let listeners = listen::tcp(addresses, port)?;
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

fn service(matches: &Matches) -> Result<&'static Service, UsageError> {
    const ALL: &[Service] = &SERVICES;
    let name = matches.positional_at(0).unwrap_or(ALL[0].name);
    ALL.iter().find(|service| service.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|service| service.name).collect();
        let names = names.join(", ");
        let meant = if name.parse::<u16>().is_ok() {
            format!("; a port is an option: echotest server --port {name}")
        } else {
            let known = SERVICES.iter().map(|service| service.name);
            let near = habits::nearest(name, known);
            near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
        };
        matches.usage(format!("PROTOCOL {name:?}: accepted is {names}{meant}"))
    })
}

/// Groups of options that one protocol alone has.
const OWN_OPTIONS: [(Group, Service); 2] = [(PlayedLoss::GROUP, PING), (Reflecting::GROUP, TWAMP)];

/// What the options say of sessions.
fn settings(matches: &Matches, service: &Service) -> Result<Settings, UsageError> {
    for (group, owner) in OWN_OPTIONS.iter().filter(|(_, owner)| owner.name != service.name) {
        if let Some(option) = matches.given_of(group) {
            let owner = owner.name;
            return Err(matches.usage(format!("--{option} is for 'server {owner}' alone")));
        }
    }
    let Bounds { allow, idle_timeout, .. } = Bounds::of(matches);
    let idle = idle_timeout.unwrap_or(service.idle_timeout);
    let PlayedLoss { loss, seed } = PlayedLoss::of(matches);
    Ok(Settings {
        idle_timeout: Some(idle).filter(|span| !span.is_zero()),
        busy_poll: Running::of(matches).busy_poll,
        losses: Losses::new(loss, seed),
        allowed: Arc::new(Allowed(allow)),
        twamp: twamp_host(Reflecting::of(matches)),
        ..Settings::default()
    })
}

/// What the options say of test sessions.
fn twamp_host(given: Reflecting) -> TwampHost {
    let usual = TwampHost::default();
    TwampHost {
        seats: Seats::new(
            given.max_sessions.unwrap_or(MAX_SESSIONS),
            given.max_sessions_per_host.unwrap_or(MAX_SESSIONS_PER_HOST),
        ),
        ports: given.test_ports.unwrap_or(usual.ports),
        limits: LightLimits {
            ref_wait: given.ref_wait.unwrap_or(usual.limits.ref_wait),
            rate: given.max_rate.unwrap_or(usual.limits.rate),
            reflect_dscp: given.reflect_dscp,
        },
        ..usual
    }
}

/// A user of this host that there is not, or that this process may not be.
#[derive(Debug)]
struct NoUser {
    name: String,
    source: Option<io::Error>,
}

impl fmt::Display for NoUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why =
            if self.source.is_some() { "only root may change it" } else { "there is none such" };
        write!(f, "--user {}: {why}", self.name)
    }
}

impl std::error::Error for NoUser {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref()?)
    }
}

/// From now on it has its sockets and needs nothing else of this host: no right of
/// the superuser's, and no file but its log and its pid file.
fn give_up_rights(running: &Running) -> Result<(), Failure> {
    let files = [&running.log_file, &running.pid_file].map(Option::as_deref);
    let mut places: Vec<&Path> = files.into_iter().flatten().filter_map(Path::parent).collect();
    let keeps_files = !places.is_empty();
    if running.daemon {
        // What its standard streams become once it is ready.
        places.push(Path::new("/dev/null"));
    }
    if let Some(name) = &running.user {
        let none = |source| NoUser { name: name.clone(), source };
        let account = Account::named(name).ok_or_else(|| none(None))?;
        account.become_it().map_err(|error| none(Some(error)))?;
    } else if privilege::is_root() && !running.busy_poll {
        match Account::named("nobody").filter(|_| !keeps_files) {
            Some(nobody) => {
                nobody.become_it()?;
                log::info!("root no longer, but nobody; --user NAME chooses another");
            }
            None => log::info!("still root, without capabilities; --user NAME changes that"),
        }
        privilege::drop_capabilities()?;
    }
    privilege::no_new_privileges()?;
    if !privilege::confine(&places)? {
        log::debug!("this kernel cannot keep the server from opening files");
    }
    Ok(())
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
