//! Which nginx is installed, and what it can do.
//!
//! Why here: `http2 on` is unknown to one version and `listen ... http2` a warning in the next; modules are compiled in or
//! not. So the program is asked, never assumed.
//!
//! Never here: writing configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::edge::program::{find, run_and_wait};

/// What `nginx -V` says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nginx {
    pub version: Version,
    /// `--with-...` and further arguments of its build. Empty where only a version is known: then all is assumed to be there.
    pub built_with: Vec<String>,
    /// Directives that may stand once, and that another file than the site's has already.
    pub stated: Vec<String>,
}

/// `1.22.1`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// The first with `ssl_reject_handshake`, without which an unknown name gets a certificate.
    pub(crate) const OLDEST: Self = Self(1, 19, 4);
    /// The first with `http2 on`.
    const HTTP2_DIRECTIVE: Self = Self(1, 25, 1);

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse().ok());
        match (numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()) {
            (major, minor, patch, None) => Some(Self(major, minor, patch)),
            _ => None,
        }
    }

    pub(crate) fn has_http2_directive(self) -> bool {
        self >= Self::HTTP2_DIRECTIVE
    }
}

/// It would show a certificate to whoever asks for another name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("nginx {0} is too old: {oldest} or newer is needed to refuse unknown names", oldest = Version::OLDEST)]
pub(crate) struct TooOld(Version);

impl Nginx {
    /// One that is not installed here.
    pub(crate) fn of_version(version: Version) -> Result<Self, TooOld> {
        let nginx = Self { version, built_with: Vec::new(), stated: Vec::new() };
        if version < Version::OLDEST { Err(TooOld(version)) } else { Ok(nginx) }
    }

    /// Asks the installed program.
    pub(crate) fn ask(program: &Path) -> anyhow::Result<Self> {
        let asked = run_and_wait(&self::program(program), &["-V"]);
        let shown = program.display();
        let answer = asked.with_context(|| {
            format!("cannot run `{shown} -V`: install nginx, name it in `edge.nginx.program`, or give --nginx-version")
        })?;
        let Some(nginx) = Self::read(&answer.complaint) else {
            bail!("`{shown} -V` does not say which version it is: name nginx itself in `edge.nginx.program`")
        };
        if nginx.version < Version::OLDEST {
            return Err(TooOld(nginx.version).into());
        }
        Ok(nginx)
    }

    /// What it says when it is asked for `-V`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("nginx version: "))?;
        let number = line.split('/').nth(1)?.split_whitespace().next()?;
        let arguments =
            text.lines().find_map(|line| line.strip_prefix("configure arguments:")).unwrap_or_default();
        Some(Self {
            version: Version::parse(number)?,
            built_with: arguments.split_whitespace().map(str::to_owned).collect(),
            stated: Vec::new(),
        })
    }

    /// Whether it was built with a module, such as `http_realip_module`.
    pub(crate) fn has(&self, module: &str) -> bool {
        self.built_with.is_empty() || self.built_with.iter().any(|built| built == &format!("--with-{module}"))
    }
}

/// The program to run: a bare name is looked for, also where only root looks.
pub(crate) fn program(named: &Path) -> PathBuf {
    let bare = named.to_str().filter(|name| !name.contains('/'));
    bare.and_then(find).unwrap_or_else(|| named.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_of_itself() {
        let said = "nginx version: nginx/1.22.1 (Debian)\nbuilt with OpenSSL 3.0.11\nconfigure arguments: --with-cc-opt='-g -O2' --with-http_realip_module\n";
        let nginx = Nginx::read(said).unwrap();
        assert_eq!(nginx.version, Version(1, 22, 1));
        assert!(nginx.has("http_realip_module") && !nginx.has("http_gzip_static_module"));
        assert_eq!(
            Nginx::read("nginx version: openresty/1.25.3.2\n"),
            None,
            "four numbers are somebody else's"
        );
        assert!(Nginx::of_version(Version(1, 25, 1)).unwrap().has("anything"));
        assert!(Nginx::of_version(Version(1, 18, 0)).unwrap_err().to_string().contains("1.19.4 or newer"));
        for (version, directive) in
            [(Version(1, 22, 1), false), (Version(1, 25, 1), true), (Version(1, 30, 0), true)]
        {
            assert_eq!(version.has_http2_directive(), directive, "{version}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Nginx::ask(Path::new("/nowhere/nginx")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/nginx"), "{error}");
    }
}
