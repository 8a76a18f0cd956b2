//! The server's options. `opt.rs` says how to add one.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::opt::{
    address, file, flag, network, number, options, percent, ports, seconds, seconds_or_zero, text,
};
use super::options::BUSY_POLL;
use crate::net::network::Network;
use crate::server::light::LightLimits;
use crate::server::twamp::{MAX_SESSIONS, MAX_SESSIONS_PER_HOST};
use crate::server::{SERVICES, Service};
use crate::wire::twamp_control::TEST_PORTS;

/// More clients or sessions than any one machine serves.
const MOST: u64 = 1 << 20;

/// What differs from protocol to protocol: `echo 7, measure 9900`.
fn by_service(text: impl Fn(&Service) -> String) -> String {
    let each = SERVICES.iter().map(|service| format!("{} {}", service.name, text(service)));
    each.collect::<Vec<_>>().join(", ")
}

options! {
    /// Where and how a server listens.
    Listening "Listening" {
        port: Option<u16> =
            number("port", 0, 65535, "port to listen on; 0 takes any free one (default: {})")
                .short('p')
                .defined(|| by_service(|service| service.port.to_string()));
        bind: Vec<IpAddr> = address(
            "bind",
            "address to listen on, repeatable (default: every address, IPv6 and IPv4)",
        )
        .repeatable();
    }
}

options! {
    /// What bounds a server.
    Bounds "Limits" {
        max_clients: usize = number(
            "max-clients",
            1,
            MOST,
            "clients served at once; one more is closed at once and logged",
        )
        .default("1024");
        max_per_host: usize =
            number("max-per-host", 1, MOST, "the same for one source address").default("256");
        allow: Vec<Network> = network(
            "allow",
            "whom it serves, repeatable (default: everybody); others are closed at once, unread",
        )
        .repeatable();
        idle_timeout: Option<Duration> = seconds_or_zero(
            "idle-timeout",
            "close a connection that is silent this long; 0 never (default: {})",
        )
        .defined(|| by_service(|service| service.idle_timeout.as_secs().to_string()));
    }
}

options! {
    /// How a server runs.
    Running "Running" {
        log_file: Option<PathBuf> =
            file("log-file", "FILE", "log there as well; opened again on SIGHUP");
        daemon: bool = DAEMON;
        pid_file: Option<PathBuf> =
            file("pid-file", "FILE", "written once listening, removed on a clean stop");
        user: Option<String> = text(
            "user",
            "NAME",
            "once listening, be this user (default where root starts it: nobody; root \
             without capabilities where a log or pid file is to be kept)",
        );
        inetd: bool = INETD;
        busy_poll: bool = BUSY_POLL;
    }
}

pub(super) const DAEMON: super::opt::Opt<bool> =
    flag("daemon", "leave the terminal; exit 0 once it listens");

/// Standard input, output and error are a client's.
pub(super) const INETD: super::opt::Opt<bool> =
    flag("inetd", "serve the one connected socket on standard input, then exit");

/// The chance of a played loss.
const USUAL_LOSS: &str = "20";

options! {
    /// The ping server's own.
    PlayedLoss "Ping" {
        loss: f64 = percent("loss", "chance that a message is answered LOST").default(USUAL_LOSS);
        seed: Option<u64> = number(
            "seed",
            0,
            u64::MAX,
            "makes the losses repeatable: they depend on N and the message's number alone",
        );
    }
}

options! {
    /// The TWAMP server's own.
    Reflecting "TWAMP" {
        test_ports: Option<RangeInclusive<u16>> = ports(
            "test-ports",
            "UDP ports of test sessions; clients' own wishes outside are not met (default {})",
        )
        .defined(|| format!("{}-{}", TEST_PORTS.start(), TEST_PORTS.end()));
        max_sessions: Option<usize> =
            number("max-sessions", 1, MOST, "test sessions at once (default {})")
                .defined(|| MAX_SESSIONS.to_string());
        max_sessions_per_host: Option<usize> = number(
            "max-sessions-per-host",
            1,
            MOST,
            "the same for one client's address (default {})",
        )
        .defined(|| MAX_SESSIONS_PER_HOST.to_string());
        max_rate: Option<u64> = number(
            "max-rate",
            1,
            1_000_000_000,
            "packets a second that one sender has reflected (default {})",
        )
        .defined(|| LightLimits::default().rate.to_string());
        reflect_dscp: bool =
            flag("reflect-dscp", "mark replies with the DSCP that packets came with");
        ref_wait: Option<Duration> =
            seconds("ref-wait", "end a test session that is silent this long (default {})")
                .defined(|| LightLimits::default().ref_wait.as_secs().to_string());
    }
}
