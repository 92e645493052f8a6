//! Requests that the server sends: downloads of recordings, and webhooks. Private addresses are out of reach unless they
//! are allowed, wherever a name or a redirection leads.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error as HttpError};

use crate::digest::hex;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a download may make no progress.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a webhook may take to answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a collector of metrics may take to answer; the server's end waits for it.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_REDIRECTS: u32 = 5;
const BLOCK: usize = 256 << 10;

/// Sends requests, to public addresses or to all.
#[derive(Debug, Clone)]
pub struct Outgoing {
    downloads: Agent,
    webhooks: Agent,
    /// Calls the collector of metrics, which whoever started the server has named, so that it may be anywhere.
    collector: Agent,
}

/// Resolves names, and leaves out private addresses. The connection is made to what it returns, so that a name cannot
/// mean another address a moment later.
#[derive(Debug)]
struct GuardedResolver {
    allows_private: bool,
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, HttpError> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        found.iter().filter(|address| self.allows_private || is_public(address.ip())).for_each(|address| {
            allowed.push(*address);
        });
        match allowed.is_empty() {
            true => {
                Err(HttpError::Io(io::Error::other("is a private address, which this server does not call")))
            }
            false => Ok(allowed),
        }
    }
}

/// Whether an address can be reached by everybody on the internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            let is_special = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_multicast()
                || address.is_documentation();
            // This network, shared addresses, protocol assignments, benchmarks, reserved.
            let is_reserved = a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
                || a >= 240;
            !is_special && !is_reserved
        }
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Addresses that stand for one of IPv4: mapped, compatible, NAT64 and 6to4.
    let embedded = match parts {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((high, low)),
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_public(IpAddr::from([a, b, c, d]));
    }
    // Only global unicast addresses, without those for documentation.
    parts[0] & 0xe000 == 0x2000 && !(parts[0] == 0x2001 && parts[1] == 0x0db8)
}

impl Outgoing {
    pub fn new(allows_private: bool) -> Self {
        let agent = |config: ureq::config::ConfigBuilder<ureq::typestate::AgentScope>,
                     allows_private: bool| {
            let config = config
                .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
                .http_status_as_error(false)
                // A proxy would resolve names for itself.
                .proxy(None)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .build();
            Agent::with_parts(config, DefaultConnector::default(), GuardedResolver { allows_private })
        };
        let downloads =
            Agent::config_builder().max_redirects(MAX_REDIRECTS).timeout_per_read(Some(READ_TIMEOUT));
        let webhooks = Agent::config_builder().max_redirects(0).timeout_global(Some(WEBHOOK_TIMEOUT));
        let collector = Agent::config_builder().max_redirects(0).timeout_global(Some(COLLECTOR_TIMEOUT));
        Self {
            downloads: agent(downloads, allows_private),
            webhooks: agent(webhooks, allows_private),
            collector: agent(collector, true),
        }
    }

    /// Sends metrics to a collector. The error says why they were not received.
    pub fn push(&self, url: &str, body: &str) -> Result<(), String> {
        let request = self.collector.post(url).header("content-type", "application/json");
        let response = request.send(body).map_err(|error| error.to_string())?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(format!("the collector answered with {}", response.status())),
        }
    }

    /// Downloads a recording of at most so many bytes. `goes_on` is asked again and again.
    pub fn download(
        &self,
        url: &str,
        path: &Path,
        most: u64,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<u64, String> {
        let too_large = || format!("`{url}` has more than {most} bytes");
        let response = self.downloads.get(url).call().map_err(|error| format!("`{url}`: {error}"))?;
        if !response.status().is_success() {
            return Err(format!("`{url}` was answered with {}", response.status()));
        }
        let mut body = response.into_body();
        if body.content_length().is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let written = |error: io::Error| format!("`{url}` cannot be stored: {error}");
        let mut file = File::create(path).map_err(written)?;
        let (mut reader, mut block, mut total) = (body.as_reader(), vec![0; BLOCK], 0);
        loop {
            let read = reader.read(&mut block).map_err(|error| format!("`{url}`: {error}"))?;
            if read == 0 {
                break;
            }
            total += read as u64;
            if total > most {
                return Err(too_large());
            }
            if !goes_on() {
                return Err("was cancelled".into());
            }
            file.write_all(&block[..read]).map_err(written)?;
        }
        file.sync_all().map_err(written)?;
        Ok(total)
    }

    /// Calls a webhook. The error says why it was not received.
    pub fn call(&self, url: &str, id: &str, body: &str, secret: Option<&[u8]>) -> Result<(), String> {
        let mut request = self
            .webhooks
            .post(url)
            .header("content-type", "application/json")
            .header("x-transcribe-delivery", id);
        if let Some(secret) = secret {
            request = request.header("x-transcribe-signature", signature(secret, body));
        }
        let response = request.send(body).map_err(|error| error.to_string())?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(format!("was answered with {}", response.status())),
        }
    }
}

/// Returns the signature of a body, as receivers compute it.
pub fn signature(secret: &[u8], body: &str) -> String {
    // A key of any length will do.
    let mac = Hmac::<Sha256>::new_from_slice(secret).map(|mut mac| {
        mac.update(body.as_bytes());
        mac.finalize().into_bytes()
    });
    format!("sha256={}", mac.map(|mac| hex(&mac)).unwrap_or_default())
}

/// Whether this is a URL that may be called at all.
pub fn is_web_address(url: &str) -> bool {
    let parsed: Option<Uri> = url.parse().ok();
    parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// Whether the server is reached through this address by the machine itself only.
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        let public = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"];
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn private_addresses_are_not_called_unless_that_is_allowed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let error = Outgoing::new(false).call(&url, "1", "{}", None).unwrap_err();
        assert!(error.contains("private address"), "{error}");
        let by_name = url.replace("127.0.0.1", "localhost");
        let error = Outgoing::new(false).call(&by_name, "1", "{}", None).unwrap_err();
        assert!(error.contains("private address"), "{error}");
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        Outgoing::new(true).call(&url, "42", "{\"a\":1}", Some(b"secret")).unwrap();
        let request = answer.join().unwrap().to_lowercase();
        assert!(request.contains("x-transcribe-delivery: 42"), "{request}");
        assert!(request.contains("x-transcribe-signature: sha256="), "{request}");
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn only_web_addresses_are_called() {
        assert!(is_web_address("https://host/talk.mp3"));
        for url in ["file:///etc/passwd", "ftp://host/", "host/talk.mp3", "", "http://"] {
            assert!(!is_web_address(url), "{url}");
        }
    }
}
