//! Room for server names in nginx's tables.
//!
//! Why here: nginx keeps all names in one table whose cells take names of up to 46 characters. A longer one, as clouds give to
//! their machines, keeps it from starting; some hundred names make it warn.
//!
//! Never here: what the names are for.

use super::Nginx;
use super::writer::Writer;
use crate::edge::site::Site;

/// The directives; each may stand once in the `http` context.
pub(crate) const DIRECTIVES: [&str; 2] = [BUCKET, TABLE];
const BUCKET: &str = "server_names_hash_bucket_size";
const TABLE: &str = "server_names_hash_max_size";
/// nginx's own sizes, on most processors.
const BUCKET_BYTES: usize = 64;
const TABLE_CELLS: usize = 512;
/// A pointer; everything in a cell is aligned to it.
const WORD: usize = 8;

/// What nginx has to be told, unless another file tells it already: a second line of the kind is an error.
pub(super) fn room(site: &Site, nginx: &Nginx, out: &mut Writer) {
    let lines = [(BUCKET, bucket(site), BUCKET_BYTES), (TABLE, table(site), TABLE_CELLS)];
    let missing = lines
        .iter()
        .filter(|(name, needed, usual)| needed > usual && !nginx.stated.iter().any(|stated| stated == name));
    let mut any = false;
    for (name, needed, _) in missing {
        if !any {
            out.comment("For long names, or many.");
        }
        any = true;
        out.line(format_args!("{name} {needed}"));
    }
    if any {
        out.gap();
    }
}

/// Bytes of a cell that takes the longest name.
fn bucket(site: &Site) -> usize {
    let longest = site.names.iter().map(|name| name.as_str().len()).max().unwrap_or_default();
    // A pointer, the name with its length, and the pointer that ends the cell.
    let cell = WORD + (longest + 2).next_multiple_of(WORD) + WORD;
    cell.next_power_of_two()
}

fn table(site: &Site) -> usize {
    site.names.len().saturating_mul(4).next_power_of_two()
}
