//! The processes of the HTTPS rows: nginx as a plain TLS proxy, the site that `gatehouse edge nginx` renders in front of a
//! gateway, and `gatehouse up` that ends TLS by itself.
//!
//! Why here: what people run at the edge is compared with the least that nginx could do, over the same certificate, the same
//! player and the same processor. They start when these rows are wanted, so that the other rows have the machine for themselves.
//!
//! Never here: a site of the benchmark's own. What is rendered is served; only the places of its files, the number of workers
//! and rates that one address with all the load would break are set.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::certificate::{Certificate, NAME};
use crate::house::{
    House, KEY, Programs, free_address, gateway_configuration, listens, nginx_configuration, text,
};
use crate::load::target::{self, Asks, Target};
use crate::machine::Running;

/// Columns of the table.
pub const NGINX: &str = "nginx";
pub const SITE: &str = "edge + gateway";
pub const UP: &str = "up";

/// Everything that ends TLS, and what stands behind it.
#[derive(Debug)]
pub struct Edge {
    pub targets: [Target; 3],
    // Ended in this order: who is asked first, first.
    nginx: Running,
    site: Running,
    gateway: Running,
    up: Running,
}

impl Edge {
    /// In front of the house's player.
    pub async fn start(house: &House) -> Result<Self> {
        let programs = &house.programs;
        let [player, ..] = &house.targets;
        let player = player.address;
        let folder = programs.folder.join("https");
        std::fs::create_dir_all(&folder)?;
        let certificate = Certificate::make(&folder)?;
        let (nginx, nginx_at) = nginx(programs, player, &certificate, &folder.join("nginx")).await?;
        let (site, gateway, site_at) = site(programs, player, &certificate, &folder.join("site")).await?;
        let (up, up_at) = up(programs, player, &certificate, &folder.join("up")).await?;
        let tls = Some(certificate.tls);
        let target = |name, address, asks, key| Target { name, address, asks, key, tls: tls.clone() };
        let targets = [
            target(NGINX, nginx_at, Asks::Ollama, None),
            target(SITE, site_at, Asks::OpenAi, Some(KEY.to_owned())),
            target(UP, up_at, Asks::OpenAi, Some(KEY.to_owned())),
        ];
        let mut edge = Self { targets, nginx, site, gateway, up };
        for target in &edge.targets {
            listens(target.address).await.with_context(|| format!("logs are in {}", folder.display()))?;
        }
        edge.check()?;
        Ok(edge)
    }

    pub fn check(&mut self) -> Result<()> {
        [&mut self.nginx, &mut self.site, &mut self.gateway, &mut self.up]
            .into_iter()
            .try_for_each(Running::check)
    }

    /// CPU seconds so far of everything that works for a target; the player is nobody's.
    pub fn cpu_s(&self, target: &str) -> Result<f64> {
        match target {
            NGINX => self.nginx.cpu_s(),
            SITE => Ok(self.site.cpu_s()? + self.gateway.cpu_s()?),
            _ => self.up.cpu_s(),
        }
    }

    /// The targets, beginning with another one each round.
    pub fn turn(&self, round: usize) -> impl Iterator<Item = &Target> {
        target::turn(&self.targets, round)
    }
}

/// The plain proxy of the other rows, with TLS.
async fn nginx(
    programs: &Programs,
    player: SocketAddr,
    certificate: &Certificate,
    folder: &Path,
) -> Result<(Running, SocketAddr)> {
    std::fs::create_dir_all(folder)?;
    let address = free_address().await?;
    let text = nginx_configuration(folder, address, player, Some(certificate));
    Ok((start_nginx(NGINX, programs, folder, &text)?, address))
}

/// The rendered site, and the gateway behind it: one configuration for both, as on a real machine.
async fn site(
    programs: &Programs,
    player: SocketAddr,
    certificate: &Certificate,
    folder: &Path,
) -> Result<(Running, Running, SocketAddr)> {
    std::fs::create_dir_all(folder)?;
    let (api, http, https) = (free_address().await?, free_address().await?, free_address().await?);
    let behind = json!({"trusted_proxies": ["127.0.0.1"]});
    let files = json!({
        "tls": "files",
        "certificate": certificate.chain,
        "certificate_key": certificate.key,
        "access_log": folder.join("access.log"),
        "nginx": {"program": programs.nginx},
    });
    let sections = json!({
        "gateway": with(gateway_configuration(api, free_address().await?, player), behind),
        "edge": with(edge_section(http, https), files),
    });
    let file = folder.join("gatehouse.yaml");
    std::fs::write(&file, sections.to_string())?;
    let options = ["gateway", "--config", text(&file)?];
    let log = folder.join("gateway.log");
    let gateway =
        Running::start("the gateway", programs.proxy_processor, &programs.gatehouse, &options, &log)?;
    listens(api).await.with_context(|| format!("see {}", log.display()))?;
    let rendered = kept_to(folder, rendered(programs, &file)?)?;
    Ok((start_nginx(SITE, programs, folder, &rendered)?, gateway, https))
}

/// One process with all of it. Its upstreams are named, so it looks for no model of its own.
async fn up(
    programs: &Programs,
    player: SocketAddr,
    certificate: &Certificate,
    folder: &Path,
) -> Result<(Running, SocketAddr)> {
    std::fs::create_dir_all(folder)?;
    let (api, page, http, https) =
        (free_address().await?, free_address().await?, free_address().await?, free_address().await?);
    let sections = json!({
        "gateway": gateway_configuration(api, free_address().await?, player),
        "chat": {
            "server": {"host": "127.0.0.1", "port": page.port()},
            "backend": {"api_base": format!("http://{api}/v1")},
        },
        "edge": edge_section(http, https),
    });
    let (file, data) = (folder.join("gatehouse.yaml"), folder.join("data"));
    std::fs::write(&file, sections.to_string())?;
    let (chain, key) = (text(&certificate.chain)?, text(&certificate.key)?);
    let files = ["--config", text(&file)?, "--data-dir", text(&data)?, "--tls-cert", chain, "--tls-key", key];
    let options = [&["up"][..], &files].concat();
    let log = folder.join("up.log");
    let up = Running::start(UP, programs.proxy_processor, &programs.gatehouse, &options, &log)?;
    Ok((up, https))
}

/// What both edges have in common. All of the load comes from one address, which is what rates count by.
fn edge_section(http: SocketAddr, https: SocketAddr) -> Value {
    json!({
        "domain": NAME,
        "http_listen": http.to_string(),
        "https_listen": https.to_string(),
        "page": {"address": "off"},
        "rates": {"requests_per_second": 100_000, "burst": 1_000_000, "connections": 65_535},
    })
}

/// One section with the keys of both.
fn with(mut section: Value, more: Value) -> Value {
    if let (Value::Object(section), Value::Object(more)) = (&mut section, more) {
        section.extend(more);
    }
    section
}

/// What `gatehouse edge nginx --whole` prints.
fn rendered(programs: &Programs, file: &Path) -> Result<String> {
    let printed = Command::new(&programs.gatehouse)
        .args(["edge", "nginx", "--whole", "--config", text(file)?])
        .output()
        .context("rendering the site")?;
    ensure!(printed.status.success(), "no site: {}", String::from_utf8_lossy(&printed.stderr));
    Ok(String::from_utf8(printed.stdout)?)
}

/// The same site with its files in the folder and one worker, as the plain proxy has.
fn kept_to(folder: &Path, mut site: String) -> Result<String> {
    let at = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {at}/tmp-{kind};\n"))
        .concat();
    for (written, ours) in [
        ("worker_processes auto;", "worker_processes 1;\ndaemon off;".to_owned()),
        ("/var/log/nginx/error.log", format!("{at}/nginx-error.log")),
        ("/run/nginx.pid", format!("{at}/nginx.pid")),
        ("http {\n", format!("http {{\n{temporary}")),
    ] {
        // What is not found would silently measure something else.
        ensure!(site.matches(written).count() == 1, "the rendered site does not hold {written:?} once");
        site = site.replace(written, &ours);
    }
    Ok(site)
}

fn start_nginx(
    name: &'static str,
    programs: &Programs,
    folder: &Path,
    configuration: &str,
) -> Result<Running> {
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let options = ["-p", text(folder)?, "-c", text(&file)?];
    Running::start(name, programs.proxy_processor, &programs.nginx, &options, &folder.join("nginx.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_written_otherwise_is_not_measured() {
        let site = "worker_processes auto;\nerror_log /var/log/nginx/error.log warn;\npid /run/nginx.pid;\nhttp {\n}\n";
        let kept = kept_to(Path::new("/f"), site.to_owned()).unwrap();
        assert!(
            kept.starts_with("worker_processes 1;\ndaemon off;\nerror_log /f/nginx-error.log warn;"),
            "{kept}"
        );
        assert!(
            kept.contains("pid /f/nginx.pid;\nhttp {\n    client_body_temp_path /f/tmp-client_body;\n"),
            "{kept}"
        );
        assert!(kept_to(Path::new("/f"), site.replace("auto", "2")).is_err());
    }
}
