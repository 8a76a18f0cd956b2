//! TWAMP's control messages: what is read is written as it was, but for what the RFC
//! has a reader ignore.
#![no_main]

use echotest::wire::twamp_control::{
    self as control, COMMAND, GREETING, Greeting, REQUEST, Request, SERVER_START, SET_UP,
};
use libfuzzer_sys::fuzz_target;

fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|place| bytes.get(place).copied().unwrap_or(0))
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(greeting) = Greeting::read(&sized::<GREETING>(bytes)) {
        assert_eq!(Greeting::read(&greeting.emit()), Some(greeting));
    }
    if let Some(mode) = control::read_set_up(&sized::<SET_UP>(bytes)) {
        assert_eq!(control::read_set_up(&control::emit_set_up(mode)), Some(mode));
    }
    if let Some(start) = control::ServerStart::read(&sized::<SERVER_START>(bytes)) {
        assert_eq!(control::ServerStart::read(&start.emit()), Some(start));
    }
    if let Some(request) = Request::read(&sized::<REQUEST>(bytes)) {
        let _ = request.emit();
    }
    if let Some(answer) = control::AcceptSession::read(&sized::<SERVER_START>(bytes)) {
        assert_eq!(control::AcceptSession::read(&answer.emit()), Some(answer));
    }
    if let Some(accept) = control::read_start_ack(&sized::<COMMAND>(bytes)) {
        assert_eq!(control::read_start_ack(&control::emit_start_ack(accept)), Some(accept));
    }
});
