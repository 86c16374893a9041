//! No circles among the modules of a crate.
//!
//! Why here: modules that import each other can only be understood, tested and moved together. A module and what lies in
//! it count as one; edges are judged between neighbours under the same parent.
//!
//! Never here: test modules. They may look at everything.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Path, bare, paths};
use super::{Fault, File};

type Module = Vec<String>;
/// Which module names which neighbour, and one path by which it does.
type Edges = BTreeMap<Module, BTreeMap<Module, String>>;

pub(crate) fn check(files: &[File]) -> Vec<Fault> {
    let mut crates: BTreeMap<&str, Vec<(Module, &File)>> = BTreeMap::new();
    for file in files {
        if let Some((source, module)) = module_of(&file.path) {
            crates.entry(source).or_default().push((module, file));
        }
    }
    crates.into_iter().flat_map(|(source, modules)| circles(source, &modules)).collect()
}

/// The source folder of a file and its module path; `None` for files that are no modules of a crate.
fn module_of(path: &str) -> Option<(&str, Module)> {
    let inside = path.find("/src/").map(|at| at + "/src/".len())?;
    let (source, file) = path.split_at(inside);
    let module = file.strip_suffix(".rs")?;
    let mut module: Module = module.split('/').map(str::to_owned).collect();
    if module.first().is_some_and(|first| first == "bin") {
        return None;
    }
    if module.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&module.join("/").as_str())
    {
        module.pop();
    }
    Some((source, module))
}

fn circles(source: &str, modules: &[(Module, &File)]) -> Vec<Fault> {
    let known: BTreeSet<&Module> = modules.iter().map(|(module, _)| module).collect();
    let mut edges = Edges::new();
    for (module, file) in modules {
        if module.iter().any(|part| part == "tests") {
            continue;
        }
        for path in paths(&bare(&file.text)) {
            let target = resolve(module, &path, &known);
            if let Some((from, to)) = target.and_then(|target| neighbours(module, &target)) {
                let witness = format!("{} names {}", module.join("::"), path.segments.join("::"));
                edges.entry(from).or_default().entry(to).or_insert(witness);
            }
        }
    }
    let mut faults = Vec::new();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        circle(start, &edges, &mut Vec::new(), &mut done, source, &mut faults);
    }
    faults
}

/// The module that a path names: the longest beginning of it that is one.
fn resolve(module: &Module, path: &Path, known: &BTreeSet<&Module>) -> Option<Module> {
    if path.inline.iter().any(|part| part == "tests") {
        return None;
    }
    let mut at: Module = module.iter().chain(&path.inline).cloned().collect();
    let mut segments = path.segments.iter().peekable();
    if segments.next_if(|s| *s == "crate").is_some() {
        at.clear();
    }
    while segments.next_if(|s| *s == "super").is_some() {
        at.pop()?;
    }
    at.extend(segments.cloned());
    while !known.contains(&at) {
        at.pop()?;
    }
    Some(at)
}

/// The two modules under one parent that an import ties together; `None` within one branch.
fn neighbours(from: &Module, to: &Module) -> Option<(Module, Module)> {
    let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let head = |module: &Module| module.get(..=shared).map(<[String]>::to_vec);
    Some((head(from)?, head(to)?))
}

fn circle(
    module: &Module,
    edges: &Edges,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
    source: &str,
    faults: &mut Vec<Fault>,
) {
    if let Some(at) = way.iter().position(|m| m == module) {
        let round: Vec<&Module> = way.iter().skip(at).chain([module]).collect();
        let names: Vec<String> = round.iter().map(|m| m.join("::")).collect();
        let steps = round.iter().zip(round.iter().skip(1));
        let why: Vec<&str> = steps.filter_map(|(a, b)| Some(edges.get(*a)?.get(*b)?.as_str())).collect();
        let what = format!("imports run in a circle: {} ({})", names.join(" -> "), why.join("; "));
        faults.push(Fault::new(source.to_owned(), what));
        return;
    }
    if done.contains(module) {
        return;
    }
    way.push(module.clone());
    for next in edges.get(module).into_iter().flat_map(BTreeMap::keys) {
        circle(next, edges, way, done, source, faults);
    }
    way.pop();
    done.insert(module.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        check(&files.iter().map(file).collect::<Vec<_>>()).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn a_circle_of_neighbours_is_found_once() {
        let said = faults(&[
            ("crates/x/src/lib.rs", "mod a; mod b; mod c;"),
            ("crates/x/src/a.rs", "use crate::b::B;"),
            ("crates/x/src/b/mod.rs", "mod inner;"),
            ("crates/x/src/b/inner.rs", "fn f() { crate::c::go() }"),
            ("crates/x/src/c.rs", "use super::{a::A, std};"),
        ]);
        let why = "a names crate::b::B; b::inner names crate::c::go; c names super::a::A";
        assert_eq!(said, [format!("imports run in a circle: a -> b -> c -> a ({why})")]);
    }

    #[test]
    fn one_way_and_within_one_branch_is_fine() {
        assert!(
            faults(&[
                ("crates/x/src/lib.rs", "mod a; mod b; pub struct Root; use a::A;"),
                ("crates/x/src/a.rs", "use crate::b::B; use super::Root; mod c; use c::C;"),
                ("crates/x/src/a/c.rs", "use super::A; use crate::b;"),
                (
                    "crates/x/src/b.rs",
                    "// use crate::a::A;\n#[cfg(test)] mod tests { use super::*; use crate::a::A; }"
                ),
                ("crates/x/src/b/tests.rs", "use crate::a::A;"),
            ])
            .is_empty()
        );
    }
}
