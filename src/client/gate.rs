//! The gate of lanes over sockets.

use crate::clock::Mono;
use crate::net::stream::LONGEST_WAIT;
use crate::net::together::Together;
use crate::os::clock;
use crate::probe::lanes::Gate;

impl Gate for Together {
    fn wait(&mut self, until: Mono, ready: &mut Vec<usize>) -> Mono {
        let until = until.min(clock::now() + LONGEST_WAIT);
        match Together::wait(self, until, ready) {
            Ok(at) => at,
            Err(error) => {
                log::error!("cannot wait: {error}");
                clock::sleep_until(until)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::client::evidence::Asked;
    use crate::client::{EchoCodec, Extras, StreamLink};
    use crate::net::{Dialer, listen};
    use crate::os::socket::ConnectOptions;
    use crate::probe::lanes::{Lane, run_lanes};
    use crate::probe::{Control, Delivery, Order, Outcome, Output, Plan, Tracker, outlet};

    const LANES: usize = 8;
    const PACKETS: u64 = 25;

    struct NoOrders;

    impl Control for NoOrders {
        fn order(&mut self) -> Option<Order> {
            None
        }
    }

    /// A gate, and how often it was waited at.
    struct Counted<'gate>(&'gate mut Together, u32);

    impl Gate for Counted<'_> {
        fn wait(&mut self, until: Mono, ready: &mut Vec<usize>) -> Mono {
            self.1 += 1;
            Gate::wait(self.0, until, ready)
        }
    }

    fn echo_server() -> SocketAddr {
        let listener = listen::tcp(&["127.0.0.1".parse().unwrap()], 0).unwrap().remove(0);
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap();
        let echo = |stream: TcpStream| {
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = (&stream).read(&mut buffer) {
                if (&stream).write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
        };
        let accept = move || {
            for stream in listener.incoming().flatten() {
                thread::Builder::new().spawn(move || echo(stream)).unwrap();
            }
        };
        thread::Builder::new().spawn(accept).unwrap();
        address
    }

    /// Also with stamps, whose error queues end waits, and with payloads that
    /// do not fit into the socket at once.
    #[test]
    fn lanes_over_sockets_get_every_reply_and_do_not_spin() {
        let address = echo_server();
        let gate = &mut Together::new().unwrap();
        let lane = |place: usize| {
            let mut dialer = Dialer {
                addresses: vec![address],
                options: ConnectOptions::default(),
                timeout: Duration::from_secs(5),
            };
            let connected = dialer.connect().unwrap();
            let asked = Asked { parts: place.is_multiple_of(2), ..Asked::default() };
            let extras = Extras { asked, ..Extras::default() };
            let size = if place == 1 { 8 << 20 } else { 64 };
            let plan = Plan {
                frequency: Duration::from_millis(10),
                count: if place == 1 { 2 } else { PACKETS },
                duration: None,
                timeout: Duration::from_secs(20),
                reconnect: false,
                ..Plan::default()
            };
            let mut link = StreamLink::new(EchoCodec::new(size), dialer, connected, extras);
            link.join(gate.share(place)).unwrap();
            Lane::new(link, Tracker::new(plan, clock::now()))
        };
        let mut lanes: Vec<_> = (0..LANES).map(lane).collect();
        let (mut outlet, inlet) = outlet();
        let mut counted = Counted(gate, 0);
        let standings = run_lanes(&mut lanes, &mut counted, &mut outlet, &mut NoOrders);
        outlet.end(standings);
        let mut received = 0;
        while let Delivery::Batch(batch) = inlet.receive(Duration::ZERO) {
            let came = |output: &&Output| {
                matches!(output, Output::Sample(sample)
                    if matches!(sample.outcome, Outcome::Received { .. }))
            };
            received += batch.iter().filter(came).count() as u64;
        }
        assert_eq!(received, (LANES as u64 - 1) * PACKETS + 2);
        // Per packet a wait until it is due, one for its reply, some for stamps,
        // and one for each piece of the large ones.
        assert!(counted.1 < 20_000, "{} waits", counted.1);
    }
}
