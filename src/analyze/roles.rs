//! Who is the client where no SYN says so: who asks, and is given back what it
//! said; else the ports, which is a guess.

use crate::wire::packet::TcpPacket;

/// How the two ends' roles are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// A SYN or its answer was seen.
    Handshake,
    /// The client's words came back from the server.
    Echo,
    /// The port that was asked for is the server's.
    Asked,
    /// Nothing says so: the lower port is taken for the server's.
    Guess,
}

impl Known {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Echo => "echo",
            Self::Asked => "port",
            Self::Guess => "guess",
        }
    }
}

/// Words that are remembered of each end.
const REMEMBERED: usize = 8;
/// Words that must have come back: one may be chance.
const ENOUGH: u32 = 2;

/// What both ends said first.
#[derive(Debug, Clone, Default)]
pub struct Words {
    said: [Vec<u64>; 2],
    /// How often each end has said what the other had said before it.
    echoed: [u32; 2],
}

impl Words {
    /// Takes in a packet of the end `own`, 0 or 1; gives the end that echoes, once
    /// that is known.
    pub fn echoes(&mut self, own: usize, packet: &TcpPacket<'_>) -> Option<usize> {
        if packet.data.is_empty() {
            return None;
        }
        let word = packet.data.iter().fold(u64::from(packet.segment.length), |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let other = 1 - own;
        if self.said[own].contains(&word) {
            return None;
        }
        self.echoed[own] += u32::from(self.said[other].contains(&word));
        if self.said[own].len() < REMEMBERED {
            self.said[own].push(word);
        }
        (self.echoed[own] >= ENOUGH && self.echoed[other] == 0).then_some(own)
    }

    /// The ends change places.
    pub fn turn_round(&mut self) {
        self.said.swap(0, 1);
        self.echoed.swap(0, 1);
    }

    /// Nothing more can be learnt.
    pub fn are_spent(&self) -> bool {
        self.said.iter().all(|said| said.len() == REMEMBERED)
    }
}
