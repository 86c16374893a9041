//! The nginx that a site is written for, with what its other files say already.
//!
//! Why here: some directives of the `http` context may stand there once. Where Debian's file or another site has one, a second
//! would keep nginx from starting; where nobody has it, the site brings its own.
//!
//! Never here: writing.

use crate::config::edge::NginxFiles;
use crate::edge::check::reading::{Directive, Files, stated_elsewhere};
use crate::edge::nginx::{NAMES_HASH, Nginx};

/// Asks the program, and looks into the files.
pub(crate) fn nginx(files: &NginxFiles) -> anyhow::Result<Nginx> {
    let mut nginx = Nginx::ask(&files.program)?;
    nginx.stated = stated(files).iter().map(|line| line.name.clone()).collect();
    Ok(nginx)
}

/// Lines about the tables of names in other files than the site's. Files that cannot be read are nginx's to complain of.
pub(super) fn stated(files: &NginxFiles) -> Vec<Directive> {
    let tree = Files::on_disk(&files.main_file).ok().and_then(|all| all.tree().ok()).unwrap_or_default();
    stated_elsewhere(&tree, &NAMES_HASH, &files.site_file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_other_files_say_is_known_and_the_site_s_own_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let files = NginxFiles {
            program: "nginx".into(),
            main_file: dir.path().join("nginx.conf"),
            site_file: dir.path().join("sites/site.conf"),
        };
        fs::create_dir(dir.path().join("sites")).unwrap();
        assert!(stated(&files).is_empty(), "there is nothing");
        let names = || stated(&files).into_iter().map(|line| line.name).collect::<Vec<_>>();
        fs::write(&files.main_file, "events {}\nhttp {\n include sites/*.conf;\n}\n").unwrap();
        fs::write(&files.site_file, "server_names_hash_bucket_size 128;\n").unwrap();
        assert!(names().is_empty());
        fs::write(dir.path().join("sites/other.conf"), "server_names_hash_max_size 1024;\n").unwrap();
        assert_eq!(names(), ["server_names_hash_max_size"]);
    }
}
