//! Which module of the daemon uses which: without a cycle, and as ARCHITECTURE.md shows it.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// What these put together is no module of its own.
const ROOTS: [&str; 2] = ["lib", "main"];

fn graph() -> Graph {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut graph = Graph::new();
    for file in files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let module = inside.components().next().unwrap().as_os_str();
        let module = module.to_str().unwrap().trim_end_matches(".rs").to_owned();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let is_test = name == "tests" || name.ends_with("_tests");
        if ROOTS.contains(&module.as_str()) || is_test {
            continue;
        }
        let used = used_by(&product_code(&fs::read_to_string(&file).unwrap()));
        let arrows = graph.entry(module.clone()).or_default();
        arrows.extend(used.into_iter().filter(|used| *used != module));
    }
    graph
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                found.extend(files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Without comments, and without the tests at the end of a file.
fn product_code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_test = line.trim() == "#[cfg(test)]";
        if is_test && lines.peek().is_some_and(|next| next.starts_with("mod tests {")) {
            break;
        }
        code.push_str(line.split("//").next().unwrap());
        code.push('\n');
    }
    code
}

/// The modules that are named after `crate::`, be it one or several in braces.
fn used_by(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        // A visibility is no use.
        if code[..start].ends_with("in ") {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(first_names(list)),
            None => used.extend([name(rest)]),
        }
    }
    used.remove("");
    used
}

/// The names at the outer level of a list in braces, up to its end.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0_usize, Vec::new(), true);
    for (index, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !character.is_whitespace() => {
                names.push(name(&list[index..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    text[..end.unwrap_or(text.len())].to_owned()
}

/// The modules, each after all that it uses; or those of which none can be the next.
fn from_the_bottom(graph: &Graph) -> Result<Vec<&String>, Vec<&String>> {
    let mut order: Vec<&String> = Vec::new();
    while order.len() < graph.len() {
        let placed: BTreeSet<&String> = order.iter().copied().collect();
        let mut rest = graph.iter().filter(|(module, _)| !placed.contains(module));
        match rest.find(|(_, used)| used.iter().all(|used| placed.contains(used))) {
            Some((module, _)) => order.push(module),
            None => return Err(graph.keys().filter(|module| !placed.contains(module)).collect()),
        }
    }
    Ok(order)
}

/// As it stands in ARCHITECTURE.md.
fn drawn(graph: &Graph, order: &[&String]) -> String {
    let width = order.iter().map(|module| module.len()).max().unwrap_or_default();
    let lines = order.iter().rev().map(|module| {
        let used: Vec<&str> = graph[*module].iter().map(String::as_str).collect();
        let line = format!("{module:width$} → {}", used.join(", "));
        line.trim_end_matches([' ', '→']).to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn modules_make_no_cycle_and_are_as_drawn() {
    let graph = graph();
    for (module, used) in &graph {
        for used in used {
            assert!(
                graph.contains_key(used),
                "{module} uses {used}, which is no module"
            );
        }
    }
    let order = from_the_bottom(&graph).unwrap_or_else(|cycle| panic!("a cycle among {cycle:?}"));
    let drawn = drawn(&graph, &order);
    println!("{drawn}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&format!("```text\n{drawn}\n```")),
        "ARCHITECTURE.md shows other arrows than these:\n{drawn}"
    );
}

fn arrows(used: &[&str]) -> BTreeSet<String> {
    used.iter().copied().map(String::from).collect()
}

#[test]
fn a_cycle_is_found() {
    let mut graph = Graph::from([
        ("top".to_owned(), arrows(&["left", "right"])),
        ("left".to_owned(), arrows(&["bottom"])),
        ("right".to_owned(), arrows(&["left"])),
        ("bottom".to_owned(), arrows(&[])),
    ]);
    assert_eq!(
        from_the_bottom(&graph).unwrap(),
        ["bottom", "left", "right", "top"]
    );
    graph.insert("bottom".to_owned(), arrows(&["right"]));
    assert_eq!(
        from_the_bottom(&graph).unwrap_err(),
        ["bottom", "left", "right", "top"]
    );
}

#[test]
fn uses_are_read() {
    let code = "use crate::{a::{b, c}, d, e::F};\nuse crate::g;\npub(in crate::h) fn f() -> crate::i::J {}";
    assert_eq!(used_by(code), arrows(&["a", "d", "e", "g", "i"]));
}
