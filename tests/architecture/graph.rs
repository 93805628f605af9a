//! Which file of the library uses which: by the items that its paths lead to, each in the file that defines it.
//! A re-export (`pub use`) is no use: it is looked through.

use super::scan::{self, Item, UseTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Files by their path under `src/`, without `.rs`.
pub(crate) struct Graph {
    /// Of each file, those that it uses, each with a path that says so.
    pub(crate) uses: BTreeMap<String, BTreeMap<String, String>>,
}

/// A module: a file, or a block inside one.
struct Module {
    file: String,
    parent: usize,
    children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    imports: Vec<UseTree>,
    /// Paths in the code beside its imports, and all words in it.
    paths: Vec<Vec<String>>,
    words: BTreeSet<String>,
}

const ROOT: usize = 0;

impl Module {
    /// Whether a path from here says itself that it leads into the crate.
    fn is_inside(&self, path: &[String]) -> bool {
        matches!(path[0].as_str(), "crate" | "self" | "super")
            || self.children.contains_key(&path[0])
    }
}

impl Graph {
    /// Reads the modules of `src/lib.rs` as they are without tests.
    pub(crate) fn of(src: &Path) -> Self {
        let mut modules = Vec::new();
        load(&mut modules, src, &src.join("lib.rs"), src, ROOT);
        let mut uses: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (from, module) in modules.iter().enumerate() {
            let used = uses.entry(module.file.clone()).or_default();
            for path in paths_used(module) {
                let to = resolve(&modules, from, &path, &mut BTreeSet::new());
                let to = to.map(|to| modules[to].file.clone());
                if let Some(file) = to.filter(|file| *file != module.file) {
                    used.entry(file).or_insert_with(|| path.join("::"));
                }
            }
        }
        Self { uses }
    }

    /// Files each of which uses, by way of the others, itself.
    pub(crate) fn cycles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .uses
            .keys()
            .map(|file| (file.as_str(), self.reached_from(file)))
            .collect();
        let mut cycles = BTreeSet::new();
        for (file, all) in reached.iter().filter(|(file, all)| all.contains(*file)) {
            let mates = all.iter().filter(|other| reached[*other].contains(file));
            cycles.insert(mates.map(|mate| (*mate).to_owned()).collect());
        }
        cycles.into_iter().collect()
    }

    fn reached_from<'a>(&'a self, file: &str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = self.uses[file].keys().map(String::as_str).collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(self.uses[next].keys().map(String::as_str));
            }
        }
        reached
    }
}

/// Adds the module in `file`, whose children are in `dir`.
fn load(modules: &mut Vec<Module>, src: &Path, file: &Path, dir: &Path, parent: usize) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.strip_prefix(src).unwrap().with_extension("");
    add(
        modules,
        src,
        scan::items(&text),
        (name.to_str().unwrap(), dir),
        parent,
    )
}

fn add(
    modules: &mut Vec<Module>,
    src: &Path,
    items: Vec<Item>,
    (file, dir): (&str, &Path),
    parent: usize,
) -> usize {
    let own = modules.len();
    modules.push(Module {
        file: file.to_owned(),
        parent,
        children: BTreeMap::new(),
        defined: BTreeSet::new(),
        imports: Vec::new(),
        paths: Vec::new(),
        words: BTreeSet::new(),
    });
    for item in items {
        match item {
            Item::Use(tree) => modules[own].imports.push(tree),
            Item::Path(path) => modules[own].paths.push(path),
            Item::Word(word) => drop(modules[own].words.insert(word)),
            Item::Definition(name) => drop(modules[own].defined.insert(name)),
            Item::Module(name, Some(inside)) => {
                let child = add(modules, src, inside, (file, &dir.join(&name)), own);
                modules[own].children.insert(name, child);
            }
            Item::Module(name, None) => {
                let beside = dir.join(format!("{name}.rs"));
                let below = dir.join(&name);
                let path = match beside.is_file() {
                    true => beside,
                    false => below.join("mod.rs"),
                };
                let child = load(modules, src, &path, &below, own);
                modules[own].children.insert(name, child);
            }
        }
    }
    own
}

/// Paths of imports that are for the module itself, of the code, and of re-exports that the code uses too.
fn paths_used(module: &Module) -> Vec<Vec<String>> {
    let is_for_itself = |tree: &&UseTree| {
        !tree.is_public
            || tree
                .name
                .as_ref()
                .is_some_and(|name| module.words.contains(name))
    };
    let imports = module.imports.iter().filter(is_for_itself);
    let paths = module.paths.iter().filter(|path| module.is_inside(path));
    imports
        .map(|tree| &tree.path)
        .chain(paths)
        .cloned()
        .collect()
}

/// The module that defines what `path` leads to from the module `from`; `None` outside of the crate.
fn resolve(
    modules: &[Module],
    from: usize,
    path: &[String],
    open: &mut BTreeSet<(usize, Vec<String>)>,
) -> Option<usize> {
    if !open.insert((from, path.to_vec())) {
        return None;
    }
    let mut at = from;
    for (i, segment) in path.iter().enumerate() {
        let module = &modules[at];
        match segment.as_str() {
            "crate" => at = ROOT,
            "self" => {}
            "super" => at = module.parent,
            "*" => return Some(at),
            name if module.children.contains_key(name) => at = module.children[name],
            name if module.defined.contains(name) => return Some(at),
            name => {
                let rest = &path[i + 1..];
                let imported = module.imports.iter().filter(|tree| tree.gives(name));
                let found = imported
                    .filter(|tree| tree.name.is_some() || module.is_inside(&tree.path))
                    .map(|tree| tree.path_to(name, rest))
                    .find_map(|path| resolve(modules, at, &path, open));
                // A name that is not found in a module of the crate is made by a macro there.
                return found.or((i > 0).then_some(at));
            }
        }
    }
    Some(at)
}
