use super::*;

const MS: u64 = 1_000_000;

fn machine(count: u64, most: usize) -> Independent {
    let plan = Plan {
        frequency: Duration::from_millis(10),
        count,
        duration: None,
        timeout: Duration::from_millis(100),
        ..Plan::default()
    };
    Independent::new(plan, Mono(0), most, true)
}

fn reply(machine: &mut Independent, at: u64, number: u64) {
    let single = Single { number, sent: None, ended: Ended::Received, detail: Detail::None };
    machine.on_arrival(Arrival { at: Mono(at * MS), what: What::Single(single) });
}

/// Steps until something is to be waited for, and sends what is to be sent.
fn play(machine: &mut Independent) -> (Vec<Output>, Option<Mono>) {
    let mut outputs = Vec::new();
    loop {
        let step = machine.step();
        outputs.append(machine.outputs());
        match step {
            Step::Report => {}
            Step::Send(_) => {
                let now = machine.now();
                machine.on_sent(now);
            }
            Step::Receive(until) => {
                // Right after a send the wait is a look.
                if until > machine.now() {
                    return (outputs, Some(until));
                }
            }
            Step::Finish => return (outputs, None),
            Step::Act(act) => panic!("{act:?}"),
        }
    }
}

fn numbers(outputs: &[Output]) -> Vec<(u64, bool)> {
    let row = |event: &Output| match event {
        Output::Sample(sample) => Some((sample.number, sample.rtt().is_some())),
        _ => None,
    };
    outputs.iter().filter_map(row).collect()
}

#[test]
fn rows_keep_probe_order_whatever_order_replies_come_in() {
    let mut machine = machine(3, 9);
    for now in [0, 10, 20] {
        machine.on_time(Mono(now * MS));
        play(&mut machine);
    }
    reply(&mut machine, 21, 3);
    reply(&mut machine, 22, 2);
    let (outputs, _) = play(&mut machine);
    assert_eq!(numbers(&outputs), []);
    assert!(outputs.contains(&Output::Notice(Notice::Reordered { at: Mono(22 * MS), number: 2 })));
    reply(&mut machine, 23, 1);
    let (outputs, wait) = play(&mut machine);
    assert_eq!(numbers(&outputs), [(1, true), (2, true), (3, true)]);
    assert_eq!(wait, None, "all sent, all answered");
}

#[test]
fn a_probe_is_given_up_at_its_own_time_out_and_the_schedule_does_not_wait() {
    let mut machine = machine(20, 99);
    let mut outputs = Vec::new();
    for now in 0..200 {
        machine.on_time(Mono(now * MS));
        outputs.extend(play(&mut machine).0);
        if now % 10 == 5 && now > 10 {
            reply(&mut machine, now, now / 10 + 1);
        }
    }
    machine.on_time(Mono(400 * MS));
    outputs.extend(play(&mut machine).0);
    let rows = numbers(&outputs);
    assert_eq!(rows.len(), 20);
    assert_eq!(rows.iter().filter(|(_, received)| !received).count(), 1, "{rows:?}");
    assert_eq!(rows[0], (1, false));
    let late: Vec<_> = outputs
        .iter()
        .filter_map(|event| match event {
            Output::Sample(sample) => Some(sample.sent.0 - sample.due.0),
            _ => None,
        })
        .collect();
    assert!(late.iter().all(|&late| late == 0), "{late:?}");
}

#[test]
fn second_and_late_replies_are_told_and_change_no_row() {
    let mut machine = machine(4, 9);
    play(&mut machine);
    reply(&mut machine, 1, 1);
    machine.on_time(Mono(10 * MS));
    play(&mut machine);
    reply(&mut machine, 11, 2);
    reply(&mut machine, 12, 2);
    let (outputs, _) = play(&mut machine);
    assert!(outputs.contains(&Output::Notice(Notice::Duplicate {
        at: Mono(12 * MS),
        number: 2,
        sequence: None
    })));
    machine.on_time(Mono(20 * MS));
    play(&mut machine);
    machine.on_time(Mono(30 * MS));
    play(&mut machine);
    machine.on_time(Mono(121 * MS));
    play(&mut machine);
    reply(&mut machine, 122, 3);
    let (outputs, _) = play(&mut machine);
    assert!(outputs.contains(&Output::Notice(Notice::TooLate {
        at: Mono(122 * MS),
        number: 3,
        sequence: None
    })));
    reply(&mut machine, 123, 77);
    assert_eq!(play(&mut machine).0, [], "a number never sent is nothing");
}

#[test]
fn no_more_are_under_way_than_allowed() {
    let mut machine = machine(0, 2);
    machine.on_time(Mono(50 * MS));
    play(&mut machine);
    assert_eq!(machine.outstanding(), 2);
    reply(&mut machine, 51, 1);
    play(&mut machine);
    assert_eq!(machine.outstanding(), 2);
    machine.leave();
    let (outputs, wait) = play(&mut machine);
    assert_eq!((numbers(&outputs).len(), wait), (2, None));
}

#[test]
fn where_something_was_lost_copies_of_the_last_probe_ask_for_the_reflectors_count() {
    let mut machine = machine(2, 9).reflected();
    play(&mut machine);
    reply(&mut machine, 1, 1);
    assert_eq!(numbers(&play(&mut machine).0), [(1, true)]);
    machine.on_time(Mono(10 * MS));
    play(&mut machine);
    machine.on_time(Mono(120 * MS));
    // Probe 2 is lost; its copy is under way.
    let (outputs, wait) = play(&mut machine);
    assert_eq!(numbers(&outputs), [(2, false)]);
    assert_eq!(wait, Some(Mono(220 * MS)));
    reply(&mut machine, 121, 2);
    play(&mut machine);
    machine.on_time(Mono(221 * MS));
    let (outputs, _) = play(&mut machine);
    let counted = |output: &Output| matches!(output, Output::Notice(Notice::Counted { .. }));
    assert!(outputs.iter().any(counted), "{outputs:?}");
    machine.leave();
    assert_eq!(play(&mut machine).1, None, "who leaves does not wait");
}
