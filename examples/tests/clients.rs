//! The usual clients of the protocols that the examples claim, as they come: with their defaults, by their own programs.
//! One that is not installed is a failure that names its package; `cargo xtask test` installs them where it may.

mod support;

use std::process::{Command, Output, Stdio};
use support::Program;

const RESP: &str = env!("CARGO_BIN_EXE_resp");
const HTTP: &str = env!("CARGO_BIN_EXE_http");

/// Runs a program to its end.
fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("{program} is missing: install the package {package}")
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[track_caller]
fn text(output: &Output) -> String {
    let both = [&*output.stdout, b"\n", &*output.stderr].concat();
    let text = String::from_utf8_lossy(&both).replace('\r', "\n");
    assert!(output.status.success(), "{text}");
    text
}

fn port(program: &Program) -> String {
    program.address.port().to_string()
}

#[test]
fn redis_benchmark_runs_all_of_its_tests() {
    let resp = Program::start(RESP);
    let arguments = ["-p", &port(&resp), "-n", "200", "-c", "5", "-q"];
    let output = run("redis-benchmark", "redis-tools", &arguments);
    let said = text(&output);
    assert!(!said.contains("Error"), "{said}");
    for test in [
        "PING_MBULK",
        "GET",
        "RPOP",
        "HSET",
        "SPOP",
        "ZPOPMIN",
        "LRANGE_600",
        "MSET",
    ] {
        assert!(said.contains(test), "{test} is missing: {said}");
    }
}

#[test]
fn redis_cli_speaks_both_versions() {
    let resp = Program::start(RESP);
    let port = port(&resp);
    let ask = |version: &str, words: &[&str]| {
        let arguments = [&["-p", &port, version], words].concat();
        text(&run("redis-cli", "redis-tools", &arguments))
            .trim()
            .to_owned()
    };
    for version in ["-2", "-3"] {
        assert_eq!(ask(version, &["SET", "key", "a value"]), "OK");
        assert_eq!(ask(version, &["GET", "key"]), "a value");
        assert_eq!(ask(version, &["GET", "nothing"]), "");
        ask(version, &["HSET", "hash", "f", "v"]);
        let pairs = ask(version, &["HGETALL", "hash"]);
        assert_eq!(pairs.split_whitespace().collect::<Vec<_>>(), ["f", "v"]);
        assert!(ask(version, &["NOSUCH"]).contains("ERR unknown command 'NOSUCH'"));
    }
}

#[test]
fn redis_py_works_with_its_defaults() {
    const SCRIPT: &str = "
import sys
try:
    import redis
except ImportError:
    print('no redis-py')
    sys.exit(0)
for options in ({}, {'protocol': 2}, {'protocol': 3}, {'client_name': 'me', 'decode_responses': True}):
    try:
        r = redis.Redis(host='127.0.0.1', port=int(sys.argv[1]), **options)
    except TypeError:
        continue
    text = (lambda t: t) if options.get('decode_responses') else (lambda t: t.encode())
    assert r.ping() is True
    r.flushall()
    assert r.set('key', 'value') is True
    assert r.get('key') == text('value')
    assert r.get('nothing') is None
    assert r.hset('hash', mapping={'f': 'v'}) == 1
    assert r.hgetall('hash') == {text('f'): text('v')}, r.hgetall('hash')
    assert r.sadd('set', 'a', 'b') == 2
    assert set(r.smembers('set')) == {text('a'), text('b')}
    assert r.rpush('list', 'x', 'y') == 2
    assert r.lrange('list', 0, -1) == [text('x'), text('y')]
    assert r.rpop('list') == text('y')
    assert r.zadd('sorted', {'a': 1, 'b': 2.5}) == 2
    assert [tuple(p) for p in r.zpopmin('sorted', 2)] == [(text('a'), 1.0), (text('b'), 2.5)]
    with r.pipeline(transaction=False) as pipe:
        assert pipe.incr('n').incr('n').execute() == [1, 2]
    try:
        r.get('list')
        sys.exit('no error')
    except redis.ResponseError as error:
        assert 'WRONGTYPE' in str(error) or 'wrong kind' in str(error), error
print('done', redis.__version__)
";
    let resp = Program::start(RESP);
    let output = run("python3", "python3", &["-c", SCRIPT, &port(&resp)]);
    let said = text(&output);
    assert!(
        !said.contains("no redis-py"),
        "redis-py is missing: install the package python3-redis"
    );
    assert!(said.contains("done"), "{said}");
}

#[test]
fn curl_reads_the_page_in_every_version() {
    let http = Program::start(HTTP);
    let url = format!("http://{}/", http.address);
    for options in [&["--http1.1"][..], &["--http1.0"], &["-H", "Connection: close"]] {
        let arguments = [&["--silent", "--show-error", "--fail", &url, &url], options].concat();
        let output = run("curl", "curl", &arguments);
        assert_eq!(text(&output).trim(), "Hello, world!Hello, world!", "{options:?}");
    }
    let head = run("curl", "curl", &["--silent", "--head", &url]);
    assert!(text(&head).contains("Content-Length: 13"));
}

#[test]
fn ab_counts_no_failure() {
    let http = Program::start(HTTP);
    let url = format!("http://{}/", http.address);
    for options in [&[][..], &["-k"], &["-i"]] {
        let arguments = [options, &["-q", "-n", "200", "-c", "5", &url]].concat();
        let output = run("ab", "apache2-utils", &arguments);
        let said = text(&output);
        let number = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.trim().to_owned())
        };
        assert_eq!(number("Complete requests:").as_deref(), Some("200"), "{said}");
        assert_eq!(number("Failed requests:").as_deref(), Some("0"), "{said}");
        assert_eq!(number("Non-2xx responses:"), None, "{said}");
        if options == ["-k"] {
            assert_eq!(number("Keep-Alive requests:").as_deref(), Some("200"), "{said}");
        }
    }
}

#[test]
fn wrk_counts_no_error() {
    let http = Program::start(HTTP);
    let url = format!("http://{}/", http.address);
    let output = run(
        "wrk",
        "wrk",
        &["--duration", "1", "--connections", "8", "--threads", "1", &url],
    );
    let said = text(&output);
    assert!(said.contains("requests in"), "{said}");
    for wrong in ["Non-2xx", "Socket errors"] {
        assert!(!said.contains(wrong), "{said}");
    }
}

#[test]
fn h2load_counts_no_failure() {
    let http = Program::start(HTTP);
    let url = format!("http://{}/", http.address);
    let arguments = ["--h1", "-n", "400", "-c", "5", "-m", "4", &url];
    let said = text(&run("h2load", "nghttp2-client", &arguments));
    for fine in [
        "400 succeeded, 0 failed, 0 errored, 0 timeout",
        "status codes: 400 2xx, 0 3xx, 0 4xx, 0 5xx",
    ] {
        assert!(said.contains(fine), "{said}");
    }
}

/// Python's parser is another one than curl's.
#[test]
fn http_client_of_python_keeps_its_connection() {
    const SCRIPT: &str = "
import http.client, sys
c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
for method, status, length in (('GET', 200, 13), ('HEAD', 200, 0), ('POST', 405, 19), ('GET', 200, 13)):
    c.request(method, '/', body=b'hello' if method == 'POST' else None)
    r = c.getresponse()
    assert (r.status, len(r.read())) == (status, length), (method, r.status)
    assert c.sock is not None, 'the connection was closed'
print('done')
";
    let http = Program::start(HTTP);
    let output = run("python3", "python3", &["-c", SCRIPT, &port(&http)]);
    assert!(text(&output).contains("done"));
}
