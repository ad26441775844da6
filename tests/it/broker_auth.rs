//! Every way to say who we are to the broker works, and where the broker does not agree one line names the setting.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Bus, Nats, Shipwatch, exit_of, serve_command};

/// A command with variables, on a data folder of its own.
struct Serve {
    dir: TempDir,
    url: String,
}

impl Serve {
    fn on(nats: &Nats) -> Serve {
        Serve { dir: TempDir::new().unwrap(), url: nats.url() }
    }

    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = serve_command(&self.url, &self.dir.path().join("data"));
        for (name, value) in variables {
            command.env(format!("SHIPWATCH_NATS_{name}"), value);
        }
        command
    }

    /// With these variables it gets in and reads the stream.
    async fn gets_in(&self, variables: &[(&str, &str)]) {
        assert!(Shipwatch::ready(self.command(variables)).await.terminate().await.success());
    }

    /// With these variables it ends with this code and one line that holds all of `words`, and not what is secret.
    async fn is_refused(&self, variables: &[(&str, &str)], code: i32, words: &[&str]) {
        let (status, _, stderr) = exit_of(self.command(variables)).await;
        assert_eq!(status.code(), Some(code), "{stderr}");
        assert_eq!(stderr.lines().filter(|line| !line.contains(r#""level":"INFO""#)).count(), 1, "{stderr}");
        let line = stderr.lines().last().unwrap();
        for word in words {
            assert!(line.contains(word), "{word:?} in\n{line}");
        }
        assert!(!stderr.contains("s3cret"), "no secrets\n{stderr}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a file of a story.
fn file(dir: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn a_user_and_a_password() {
    let nats = Nats::with_config("authorization {user: ann, password: s3cret}\n").await;
    let serve = Serve::on(&nats);
    serve.gets_in(&[("USER", "ann"), ("PASSWORD", "s3cret")]).await;
    let refused = [nats.url(), "user \"ann\"".into(), "nats.password".into(), "authorization violation".into()];
    let refused = refused.each_ref().map(String::as_str);
    serve.is_refused(&[("USER", "ann"), ("PASSWORD", "s3cret?")], 1, &refused).await;
    serve.is_refused(&[], 1, &["without credentials", "nats.user", "nats.creds"]).await;
    let embedded = Serve { url: nats.url().replace("//", "//ann:s3cret!@"), ..Serve::on(&nats) };
    embedded.is_refused(&[], 1, &["the credentials in its address", "nats.urls"]).await;
}

#[tokio::test]
async fn credentials_that_are_taken_back_are_named_once_and_given_back_are_used() {
    let mut nats = Nats::with_config("authorization {user: ann, password: s3cret}\n").await;
    let serve = Serve::on(&nats);
    let mut service = Shipwatch::ready(serve.command(&[("USER", "ann"), ("PASSWORD", "s3cret")])).await;
    nats.configure("authorization {user: ann, password: another}\n");
    nats.restart().await;
    let words = ["\"level\":\"ERROR\"", "refuses user", "nats.password"];
    service.logged(&words).await;
    assert!(!service.is_ready().await);
    // The client tries on, which the broker counts as connections.
    nats.logged_times("authentication error", 4).await;
    assert_eq!(service.log().matches("refuses user").count(), 1, "{}", service.log());
    nats.configure("authorization {user: ann, password: s3cret}\n");
    nats.restart().await;
    service.wait_ready().await;
}

#[tokio::test]
async fn a_token() {
    let nats = Nats::with_config("authorization {token: s3cret}\n").await;
    let serve = Serve::on(&nats);
    serve.gets_in(&[("TOKEN", "s3cret")]).await;
    serve.is_refused(&[("TOKEN", "s3cret?")], 1, &[&nats.url(), "the token (nats.token)"]).await;
}

#[tokio::test]
async fn an_nkey() {
    let (known, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let config = format!("authorization {{users: [{{nkey: {}}}]}}\n", known.public_key());
    let nats = Nats::with_config(&config).await;
    let serve = Serve::on(&nats);
    let seed = file(&serve.dir, "known.nk", &format!("{}\n", known.seed().unwrap()));
    serve.gets_in(&[("NKEY", text(&seed))]).await;
    serve.gets_in(&[("NKEY", &known.seed().unwrap())]).await;
    let seed = file(&serve.dir, "stranger.nk", &stranger.seed().unwrap());
    serve.is_refused(&[("NKEY", text(&seed))], 1, &[&nats.url(), "the nkey in file", text(&seed), "nats.nkey"]).await;
    let seed = file(&serve.dir, "broken.nk", "SUs3cret");
    serve.is_refused(&[("NKEY", text(&seed))], 2, &[text(&seed), "nats.nkey", "seed is damaged"]).await;
}

#[tokio::test]
async fn a_context_of_the_nats_command_line() {
    let nats = Nats::with_config("authorization {token: s3cret}\n").await;
    let serve = Serve::on(&nats);
    let folder = serve.dir.path().join("nats/context");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, token) in [("right", "s3cret"), ("wrong", "s3cret?")] {
        std::fs::write(folder.join(format!("{name}.json")), json!({"token": token}).to_string()).unwrap();
    }
    let within = |name| {
        let mut command = serve.command(&[("CONTEXT", name)]);
        command.env("XDG_CONFIG_HOME", serve.dir.path());
        command
    };
    assert!(Shipwatch::ready(within("right")).await.terminate().await.success());
    let (status, _, stderr) = exit_of(within("wrong")).await;
    assert!(status.code() == Some(1) && stderr.contains("the token (context \"wrong\")"), "{stderr}");
}

/// A JWT as the broker reads it.
fn jwt(name: &str, subject: &KeyPair, issuer: &KeyPair, nats: &Value) -> String {
    let claims = json!({
        "jti": format!("{name}-of-this-story"), "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": nats,
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

/// A credentials file of a user whom `account` vouches for.
fn creds(user: &KeyPair, account: &KeyPair) -> String {
    let limits = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}});
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt("ann", user, account, &limits),
        user.seed().unwrap()
    )
}

#[tokio::test]
async fn a_credentials_file() {
    let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let all = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let none = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1});
    let account_of = |limits: &Value| json!({"type": "account", "version": 2, "limits": limits});
    let config = format!(
        "operator: {}\nsystem_account: {sys}\nresolver: MEMORY\nresolver_preload: {{{sys}: {}, {acc}: {}}}\n",
        jwt("operator", &operator, &operator, &json!({"type": "operator", "version": 2})),
        jwt("system", &system, &operator, &account_of(&none)),
        jwt("account", &account, &operator, &account_of(&all)),
        sys = system.public_key(),
        acc = account.public_key(),
    );
    let nats = Nats::with_config(&config).await;
    let serve = Serve::on(&nats);
    let right = file(&serve.dir, "right.creds", &creds(&KeyPair::new_user(), &account));
    serve.gets_in(&[("CREDS", text(&right))]).await;
    let wrong = file(&serve.dir, "wrong.creds", &creds(&KeyPair::new_user(), &KeyPair::new_account()));
    let words = [&nats.url(), "the credentials file", text(&wrong), "nats.creds"];
    serve.is_refused(&[("CREDS", text(&wrong))], 1, &words).await;
    let empty = file(&serve.dir, "empty.creds", "");
    serve.is_refused(&[("CREDS", text(&empty))], 2, &["credentials file", text(&empty)]).await;
}

/// A certificate authority and what it vouches for, as files.
struct Authority {
    issuer: Issuer<'static, rcgen::KeyPair>,
    ca: PathBuf,
}

impl Authority {
    fn new(dir: &TempDir, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = file(dir, &format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
        Authority { issuer: Issuer::new(params, key), ca }
    }

    /// The files of a certificate for this host name or address, and of its key.
    fn vouch(&self, dir: &TempDir, host: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (file(dir, &format!("{host}.pem"), &cert.pem()), file(dir, &format!("{host}.key"), &key.serialize_pem()))
    }
}

/// The `tls` block of a broker.
fn tls(cert: &(PathBuf, PathBuf), more: &str) -> String {
    format!("tls {{cert_file: \"{}\", key_file: \"{}\" {more}}}\n", cert.0.display(), cert.1.display())
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let dir = TempDir::new().unwrap();
    let (ours, other) = (Authority::new(&dir, "ours"), Authority::new(&dir, "other"));
    let nats = Nats::with_config(&tls(&ours.vouch(&dir, "127.0.0.1"), "")).await;
    let serve = Serve::on(&nats);
    serve.gets_in(&[("TLS_CA", text(&ours.ca))]).await;
    let words = [&nats.url(), "UnknownIssuer", "nats.tls.ca: ", text(&other.ca)];
    serve.is_refused(&[("TLS_CA", text(&other.ca))], 2, &words).await;
    serve.is_refused(&[], 2, &[&nats.url(), "UnknownIssuer", "nats.tls.ca: the system's"]).await;
    let none = file(&dir, "none.pem", "no certificate");
    serve.is_refused(&[("TLS_CA", text(&none))], 2, &[text(&none), "holds no certificate"]).await;
}

#[tokio::test]
async fn tls_with_a_certificate_for_another_name() {
    let dir = TempDir::new().unwrap();
    let ours = Authority::new(&dir, "ours");
    let nats = Nats::with_config(&tls(&ours.vouch(&dir, "broker.example"), "")).await;
    let words = ["TLS to", "not valid for name", "broker.example"];
    Serve::on(&nats).is_refused(&[("TLS_CA", text(&ours.ca))], 2, &words).await;
}

#[tokio::test]
async fn tls_with_a_certificate_of_ours() {
    let dir = TempDir::new().unwrap();
    let (ours, other) = (Authority::new(&dir, "ours"), Authority::new(&dir, "other"));
    let verify = format!("ca_file: \"{}\", verify: true", ours.ca.display());
    let nats = Nats::with_config(&tls(&ours.vouch(&dir, "127.0.0.1"), &format!(", {verify}"))).await;
    let serve = Serve::on(&nats);
    let (cert, key) = ours.vouch(&dir, "client.example");
    let ca = ("TLS_CA", text(&ours.ca));
    serve.gets_in(&[ca, ("TLS_CERT", text(&cert)), ("TLS_KEY", text(&key))]).await;
    serve.is_refused(&[ca], 2, &[&nats.url(), "ertificate", "nats.tls.cert: none"]).await;
    let (cert, key) = other.vouch(&dir, "stranger.example");
    let stranger = [ca, ("TLS_CERT", text(&cert)), ("TLS_KEY", text(&key))];
    serve.is_refused(&stranger, 2, &[&nats.url(), "nats.tls.cert: ", text(&cert)]).await;
}

#[tokio::test]
async fn tls_first_on_a_broker_that_greets_first_is_named() {
    let dir = TempDir::new().unwrap();
    let ours = Authority::new(&dir, "ours");
    let nats = Nats::with_config(&tls(&ours.vouch(&dir, "127.0.0.1"), "")).await;
    let first = [("TLS_CA", text(&ours.ca)), ("TLS_FIRST", "true")];
    Serve::on(&nats).is_refused(&first, 2, &[&nats.url(), "nats.tls.first: true"]).await;
}

/// A broker whose user `ann` may not publish to these subjects of the JetStream API.
async fn denying(subjects: &[&str]) -> Nats {
    let deny = json!(subjects);
    let user = format!("{{user: ann, password: s3cret, permissions: {{publish: {{deny: {deny}}}}}}}");
    Nats::with_config(&format!("authorization {{users: [{user}, {{user: root, password: s3cret}}]}}\n")).await
}

const ANN: [(&str, &str); 2] = [("USER", "ann"), ("PASSWORD", "s3cret")];
const ROOT: [(&str, &str); 2] = [("USER", "root"), ("PASSWORD", "s3cret")];

#[tokio::test]
async fn a_stream_that_may_not_be_created_is_named_with_the_command_for_it() {
    let nats = denying(&["$JS.API.STREAM.CREATE.>"]).await;
    let serve = Serve::on(&nats);
    let words = ["not allowed to create stream", "nats stream add shipwatch --subjects", "sh.keptn.>"];
    serve.is_refused(&ANN, 1, &words).await;
    // Made by somebody who may, it is used.
    serve.gets_in(&ROOT).await;
    serve.gets_in(&ANN).await;
}

#[tokio::test]
async fn a_consumer_that_may_not_be_created_is_named() {
    let nats = denying(&["$JS.API.CONSUMER.>"]).await;
    Serve::on(&nats).is_refused(&ANN, 1, &["not allowed to", "consumer", "\"shipwatch\""]).await;
}

#[tokio::test]
async fn streams_that_may_not_be_listed_are_named() {
    let nats = denying(&["$JS.API.STREAM.LIST"]).await;
    let serve = Serve::on(&nats);
    serve.is_refused(&ANN, 1, &["not allowed to list streams", "name the one to read (nats.stream, --stream)"]).await;
    serve.gets_in(&ROOT).await;
    let mut named = serve.command(&ANN);
    named.args(["--stream", "shipwatch"]);
    assert!(Shipwatch::ready(named).await.terminate().await.success());
}

#[tokio::test]
async fn a_named_stream_that_is_not_there_is_waited_for_with_the_command_for_it() {
    let nats = Nats::start().await;
    let serve = Serve::on(&nats);
    let mut command = serve.command(&[]);
    command.args(["--stream", "keptn"]);
    let mut service = Shipwatch::listening(command).await;
    service.logged(&["stream \\\"keptn\\\" does not exist", "nats stream add keptn --subjects"]).await;
    Bus::connect(&nats.url()).await.create_stream("keptn", &["sh.keptn.>"]).await;
    service.wait_ready().await;
}
