//! Who we are to the broker, and how messages call that without giving secrets away.

use std::path::Path;

use async_nats::ConnectOptions;

use super::Error;
use super::settings::{Settings, at_home};

/// Puts who we are into the options.
pub(super) async fn identify(
    mut options: ConnectOptions,
    settings: &Settings,
    embedded: Option<(String, Option<String>)>,
) -> Result<ConnectOptions, Error> {
    if let Some(file) = &settings.creds {
        let text = readable(file, "credentials file").await?;
        options = options
            .credentials(&text)
            .map_err(|e| Error::Settings(format!("credentials file {}: {e}", file.display())))?;
    }
    if let Some(nkey) = &settings.nkey {
        let seed = if is_seed(nkey) {
            nkey.clone()
        } else {
            let text = readable(&at_home(nkey), "nkey file").await?;
            let seed = text.lines().map(str::trim).find(|l| l.starts_with('S')).map(str::to_owned);
            seed.ok_or_else(|| Error::Settings(format!("nkey file {nkey} holds no seed (a line that begins with S)")))?
        };
        options = options.nkey(seed);
    }
    match (&settings.user, embedded) {
        (Some(user), _) => {
            options = options.user_and_password(user.clone(), settings.password.clone().unwrap_or_default());
        }
        (None, Some((user, Some(password)))) => options = options.user_and_password(user, password),
        // As other NATS clients read it: a user name alone is a token.
        (None, Some((token, None))) => options = options.token(token),
        (None, None) => {}
    }
    if let Some(token) = &settings.token {
        options = options.token(token.clone());
    }
    Ok(options)
}

/// Reads a file that a setting names.
pub(super) async fn readable(file: &Path, what: &str) -> Result<String, Error> {
    let text = tokio::fs::read_to_string(file).await;
    text.map_err(|e| Error::Settings(format!("{what} {} cannot be read: {e}", file.display())))
}

/// The credentials and the settings they come from, as the object of a sentence. `context` is the context they were taken from.
pub(super) fn shown(settings: &Settings, context: Option<&str>) -> String {
    let (what, key) = if let Some(file) = &settings.creds {
        (format!("the credentials file {}", file.display()), "nats.creds")
    } else if let Some(nkey) = &settings.nkey {
        let what = if is_seed(nkey) { "the nkey".to_owned() } else { format!("the nkey in file {nkey}") };
        (what, "nats.nkey")
    } else if settings.token.is_some() {
        ("the token".to_owned(), "nats.token")
    } else if let Some(user) = &settings.user {
        (format!("user {user:?} with this password"), "nats.user, nats.password")
    } else if settings.urls.iter().any(|url| url.contains('@')) {
        return "the credentials in its address (nats.urls)".to_owned();
    } else if let Some(cert) = &settings.tls.cert {
        (format!("the client certificate {}", cert.display()), "nats.tls.cert")
    } else {
        return "a client without credentials (nats.user, nats.token, nats.nkey or nats.creds)".to_owned();
    };
    match context {
        Some(context) => format!("{what} (context {context:?})"),
        None => format!("{what} ({key})"),
    }
}

/// An nkey seed itself rather than the path of a file with one.
fn is_seed(nkey: &str) -> bool {
    nkey.starts_with('S') && !nkey.contains(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_called_by_their_setting_and_not_by_their_secret() {
        let plain = Settings::url("nats://127.0.0.1:4222");
        let token = Settings { token: Some("s3cret".into()), ..plain.clone() };
        let user = Settings { user: Some("ann".into()), password: Some("s3cret".into()), ..plain.clone() };
        let nkey = Settings { nkey: Some("SUS3CRET".into()), ..plain.clone() };
        assert_eq!(shown(&token, None), "the token (nats.token)");
        assert_eq!(shown(&token, Some("prod")), "the token (context \"prod\")");
        assert_eq!(shown(&user, None), "user \"ann\" with this password (nats.user, nats.password)");
        assert_eq!(shown(&nkey, None), "the nkey (nats.nkey)");
        assert_eq!(shown(&Settings::url("nats://u:s3cret@host"), None), "the credentials in its address (nats.urls)");
        assert!(shown(&plain, None).contains("without credentials"));
    }
}
