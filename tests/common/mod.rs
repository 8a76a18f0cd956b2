//! What the integration tests share: real processes, real sockets, real files,
//! all gone when a test ends, however it ends.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests are the world outside: they use std's clock, sockets and threads"
)]

pub mod lab;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No command of these tests takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// The binary under test.
pub fn echotest() -> Command {
    Command::new(env!("CARGO_BIN_EXE_echotest"))
}

/// A directory of a test's own.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("echotest-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    /// A directory that is there already and goes with its parent.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the scratch directory");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child process that never outlives its test.
pub struct Process {
    pub child: Child,
    output: [Arc<Mutex<String>>; 2],
    readers: Vec<thread::JoinHandle<()>>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; 128 and the signal's number if it died of one.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

fn collect(from: impl Read + Send + 'static) -> (Arc<Mutex<String>>, thread::JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    let reader = thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (text, reader)
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, out_reader) = collect(child.stdout.take().expect("a pipe"));
        let (err, err_reader) = collect(child.stderr.take().expect("a pipe"));
        Self { child, output: [out, err], readers: vec![out_reader, err_reader] }
    }

    fn text(&self, which: usize) -> String {
        self.output[which].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn stdout(&self) -> String {
        self.text(0)
    }

    pub fn stderr(&self) -> String {
        self.text(1)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let done = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(done.expect("kill").success(), "kill -s {name} {pid}");
    }

    /// Waits for the end; a hang is a failure.
    pub fn finish(self) -> Ended {
        self.finish_within(PATIENCE)
    }

    /// The same of what takes longer.
    pub fn finish_within(mut self, patience: Duration) -> Ended {
        use std::os::unix::process::ExitStatusExt;
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("wait") {
                Some(status) => break status,
                None if began.elapsed() > patience => {
                    panic!("hangs; stdout {:?}, stderr {:?}", self.stdout(), self.stderr())
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let took = began.elapsed();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ended { status, stdout: self.stdout(), stderr: self.stderr(), took }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ended {
    let began = Instant::now();
    let mut ended = Process::start(echotest().args(arguments)).finish();
    ended.took = began.elapsed();
    ended
}

/// Waits until `condition` holds; `what` says what was waited for.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Our server, listening.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = echotest();
        command.args(["server", "--port", "0", "--bind", "127.0.0.1"]).args(arguments);
        Self::from(&mut command)
    }

    /// From a whole command line that says where it listens.
    pub fn from(command: &mut Command) -> Self {
        let process = Process::start(command);
        let mut address = None;
        eventually("the server listens", || {
            address = listening_on(&process.stderr());
            address.is_some()
        });
        Self { process, address: address.expect("an address") }
    }

    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream
    }

    /// Ends it with SIGTERM.
    pub fn stop(self) -> Ended {
        self.process.signal("TERM");
        self.process.finish()
    }
}

fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    rest.split_once(' ')?.0.parse().ok()
}

/// A scripted peer: serves each connection with `serve`, numbered from 1.
pub fn peer(serve: impl Fn(TcpStream, u32) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, stream) in (1..).zip(listener.incoming()) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream.expect("a connection"), number));
        }
    });
    address
}

/// Reads exactly one packet of `size`; `None` at the end.
pub fn packet(stream: &mut TcpStream, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    stream.read_exact(&mut bytes).ok().map(|()| bytes)
}

/// A client's run against `address`, with what it left.
#[derive(Debug)]
pub struct Run {
    pub ended: Ended,
    pub rows: Vec<Row>,
    pub log: String,
}

/// A row of the CSV.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub number: u64,
    pub timestamp: String,
    pub sent_ns: i64,
    pub received_ns: Option<i64>,
    /// As it stands there.
    pub rtt: String,
    /// Columns beyond the first five.
    pub more: Vec<String>,
}

impl Row {
    pub fn rtt_us(&self) -> Option<f64> {
        self.rtt.parse().ok()
    }

    pub fn rtt_ms(&self) -> Option<f64> {
        self.rtt_us().map(|us| us / 1e3)
    }
}

pub const HEADER: &str = "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us";

/// Reads a CSV of ours; every row must be whole.
pub fn rows(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).expect("a CSV");
    assert!(text.ends_with('\n'), "a cut row: {:?}", text.lines().last());
    let mut lines = text.lines();
    assert!(lines.next().expect("a header").starts_with(HEADER));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.split(',').collect();
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{line}"));
    Row {
        number: number(fields[0]).unsigned_abs(),
        timestamp: fields[1].to_owned(),
        sent_ns: number(fields[2]),
        received_ns: (!fields[3].is_empty()).then(|| number(fields[3])),
        rtt: fields[4].to_owned(),
        more: fields[5..].iter().map(|&field| field.to_owned()).collect(),
    }
}

/// The one file of a directory whose name ends so.
pub fn file(directory: &Path, end: &str) -> PathBuf {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let found: Vec<&PathBuf> =
        paths.iter().filter(|path| path.to_string_lossy().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{end} among {paths:?}");
    found[0].clone()
}

/// Runs a client of ours to its end.
pub fn client(address: SocketAddr, arguments: &[&str]) -> Run {
    let scratch = Scratch::new();
    let mut command = echotest();
    client_command(&mut command, address, &scratch, arguments);
    let ended = Process::start(&mut command).finish();
    left(ended, &scratch)
}

/// Adds a client's arguments.
pub fn client_command(
    command: &mut Command,
    address: SocketAddr,
    scratch: &Scratch,
    arguments: &[&str],
) {
    command.arg("client").arg(address.ip().to_string()).arg(address.port().to_string());
    command.arg("--log-dir").arg(scratch.path()).args(arguments);
}

/// What a client left in its directory.
pub fn left(ended: Ended, scratch: &Scratch) -> Run {
    let log = fs::read_to_string(file(scratch.path(), ".log")).expect("a log");
    Run { ended, rows: rows(&file(scratch.path(), "_timings.csv")), log }
}

/// What follows the beginning of element `place` of the array that comes next.
pub fn element(json: &str, place: usize) -> Option<&str> {
    let (_, inside) = json.split_once('[')?;
    let (mut depth, mut before) = (0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' if depth == 0 && before == place => return Some(&inside[at..]),
            '{' | '[' => depth += 1,
            ']' if depth == 0 => return None,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        before += usize::from(c == '}' && depth == 0);
    }
    None
}

/// A number out of our one-line JSON, by its path: `packets.sent`, `flows.0.flow`.
pub fn figure(json: &str, path: &str) -> Option<f64> {
    let mut rest = json;
    for key in path.split('.') {
        rest = match key.parse() {
            Ok(place) => element(rest, place)?,
            Err(_) => rest.split_once(&format!("\"{key}\":"))?.1,
        };
    }
    let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Whether a tool is there. In CI it must be; elsewhere the skip is loud.
pub fn have(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&paths)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|path| path.join(tool).is_file());
    there || missing(tool)
}

/// Whether this is root, which namespaces and mounts need.
pub fn root() -> bool {
    let uid = Command::new("id").arg("-u").output().expect("id").stdout;
    uid.starts_with(b"0\n") || missing("root")
}

fn missing(what: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI, and {what} is missing");
    skipped(&format!("for want of {what}"));
    false
}

/// A TWAMP control connection by hand, up to Server-Start.
pub fn twamp_control(server: &Server) -> TcpStream {
    let mut control = server.connect();
    heard(&mut control, 64);
    let mut set_up = vec![0; 164];
    set_up[3] = 1;
    control.write_all(&set_up).expect("sent");
    heard(&mut control, 48);
    control
}

/// So many bytes of an answer.
pub fn heard(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("an answer");
    bytes
}

/// Says that something is not tested, past the harness, which swallows what a test
/// that passes prints.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {why}");
}

/// Two namespaces with an impaired path between them (`tests/path.py`).
pub struct Impaired {
    helper: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub near: String,
    pub far: String,
}

impl Impaired {
    pub fn new(arguments: &[&str]) -> Option<Self> {
        if !(root() && have("python3") && have("ip")) {
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/path.py");
        let mut helper = Command::new("python3")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut answers = BufReader::new(helper.stdout.take().expect("a pipe"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", near, far] = words[..] else { panic!("path.py said {line:?}") };
        let (near, far) = (near.to_owned(), far.to_owned());
        let commands = helper.stdin.take();
        Some(Self { helper, commands, answers, near, far })
    }

    pub fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("a pipe");
        writeln!(commands, "{command}").expect("path.py listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, "ok\n", "{command}");
    }

    /// The binary, run in one of the namespaces.
    pub fn echotest_in(namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(env!("CARGO_BIN_EXE_echotest"));
        command
    }

    /// Our server on the far side.
    pub fn server(&self) -> Server {
        let mut command = Self::echotest_in(&self.far);
        Server::from(command.args(["server", "--port", "0", "--bind", "10.201.0.2"]))
    }

    /// A client on the near side, started.
    pub fn client(&self, server: &Server, scratch: &Scratch, arguments: &[&str]) -> Process {
        let mut command = Self::echotest_in(&self.near);
        client_command(&mut command, server.address, scratch, arguments);
        Process::start(&mut command)
    }
}

impl Drop for Impaired {
    fn drop(&mut self) {
        // The end of its standard input tells it to clean up.
        drop(self.commands.take());
        let _ = self.helper.wait();
    }
}
