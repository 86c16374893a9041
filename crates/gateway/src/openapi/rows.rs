//! The route table as a client sees it: rows with equal path and method are one operation, which a header makes speak one
//! dialect or another.
//!
//! Never here: what an operation takes or gives.

use crate::routes::{ROUTES, Route};

/// Rows with equal path and method, in the table's order; never empty.
pub(super) type Rows = Vec<&'static Route>;

pub(super) fn operations() -> Vec<Rows> {
    let mut operations: Vec<Rows> = Vec::new();
    for route in ROUTES {
        let same = |rows: &&mut Rows| {
            rows.first().is_some_and(|first| first.path == route.path && first.method == route.method)
        };
        match operations.iter_mut().find(same) {
            Some(rows) => rows.push(route),
            None => operations.push(vec![route]),
        }
    }
    operations
}
