#!/usr/bin/env python3
"""Checks the shape of the source tree.

1. No circle between the files of a crate: a file may not use a file that uses it, directly or over others.
2. src/ has no file outside a folder but lib.rs and error.rs.
3. No file in src/ or kernels/src/ has more than 450 lines.

A file uses another when a path in it (`use crate::a::B`, `super::f()`, `child::C`) ends at an item that the other file
defines. Re-exports (`pub use`) are followed to that file; a re-export that the file itself does not use is no use.
Tests (`#[cfg(test)]`, tests.rs) and comments are left out. Calls of methods are not seen: a method's file counts only
where a path names its type.

    .ci/circles.py            check this repository
    .ci/circles.py --graph    print what uses what as well
    .ci/circles.py --check    check the checker on small planted crates
"""

import argparse
import collections
import pathlib
import re
import sys
import tempfile
import tomllib

MOST_LINES = 450
AT_THE_ROOT = {"lib.rs", "error.rs"}

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<raw>b?r(?P<hash>\#*)".*?"(?P=hash))
    |(?P<string>[bc]?"(?:[^"\\]|\\.)*")
    |(?P<char>b?'(?:[^'\\\n]|\\(?:x..|u\{[^}]*\}|.))')
    |(?P<life>'[A-Za-z_]\w*)
    |(?P<word>(?:r\#)?[A-Za-z_]\w*)
    |(?P<number>\d[\w.]*?(?=\.\.|[^\w.]|$))
    |(?P<path>::)
    |(?P<mark>.)""",
    re.X | re.S,
)
ITEMS = {"fn", "struct", "enum", "trait", "type", "const", "static", "union"}
KEYWORDS = {"as", "async", "await", "break", "continue", "dyn", "else", "extern", "for", "if", "impl", "in", "let", "loop",
            "match", "move", "mut", "pub", "ref", "return", "unsafe", "where", "while", "use", "mod", *ITEMS}


def without_comments(text):
    """The text without block comments, which nest."""
    out, depth, at = [], 0, 0
    for match in re.finditer(r'/\*|\*/|"(?:[^"\\]|\\.)*"|//[^\n]*', text, re.S):
        if depth == 0:
            out.append(text[at:match.start()])
        token = match.group()
        if token == "/*":
            depth += 1
        elif token == "*/" and depth > 0:
            depth -= 1
        elif depth == 0:
            out.append(token)
        at = match.end()
    if depth == 0:
        out.append(text[at:])
    return "".join(out)


def tokens(text):
    """Words, `::` and marks; literals become a mark that is never part of a path."""
    out = []
    for match in TOKEN.finditer(without_comments(text)):
        kind = match.lastgroup
        if kind in ("word", "path", "mark"):
            out.append(match.group().removeprefix("r#"))
        elif kind in ("raw", "string"):
            out.append('"' + match.group().strip('br#"'))
        elif kind not in ("space", "hash"):
            out.append("'")
    return out


def closing(tokens, at):
    """The index behind the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(tokens)):
        if tokens[i] in "([{":
            depth += 1
        elif tokens[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(tokens)


def end_of_item(tokens, at):
    """The index behind the item that begins at `at`: its `;`, or its block."""
    is_use = "use" in tokens[at:at + 5]
    while at < len(tokens):
        if tokens[at] == ";":
            return at + 1
        if tokens[at] in "([{":
            block = tokens[at] == "{"
            at = closing(tokens, at)
            if block and not is_use:
                return at
        elif tokens[at] in ")]},":
            return at
        else:
            at += 1
    return at


class Module:
    """A module: its file, what it defines, what it imports and re-exports, and which paths it names."""

    def __init__(self, file, parent, name):
        self.file, self.parent, self.name = file, parent, name
        self.items = set()
        self.children = collections.defaultdict(list)
        # Name to paths; several with features that exclude each other, or a function and a module of one name.
        self.aliases = collections.defaultdict(list)
        self.globs = []
        # Leaves of `use`: (path, name, whether it is a re-export). Paths in code.
        self.leaves, self.paths, self.words = [], [], set()

    def root(self):
        module = self
        while module.parent:
            module = module.parent
        return module

    def all(self):
        yield self
        for children in self.children.values():
            for child in children:
                yield from child.all()

    def folder(self):
        """Where the files of child modules lie."""
        inline = []
        module = self
        while module.parent and module.file == module.parent.file:
            inline.insert(0, module.name)
            module = module.parent
        at = module.file.parent if module.parent is None or module.file.name == "mod.rs" else module.file.with_suffix("")
        return at.joinpath(*inline)


def read(file, parent, name):
    """The module of a file, and those below it."""
    module = Module(file, parent, name)
    parse(module, tokens(file.read_text()))
    return module


def parse(module, code):
    at, depth, path_attribute = 0, 0, None
    while at < len(code):
        token = code[at]
        if token == "#" and code[at + 1:at + 2] in (["["], ["!"]):
            start = at + 1 + (code[at + 1] == "!")
            end = closing(code, start)
            inside = code[start + 1:end - 1]
            at = end
            if inside[:2] == ["cfg", "("] and "test" in inside and "not" not in inside:
                if code[start - 1] == "!":
                    return
                while code[at:at + 2] == ["#", "["]:
                    at = closing(code, at + 1)
                at = end_of_item(code, at)
            elif inside[:2] == ["path", "="]:
                path_attribute = inside[2][1:]
            continue
        if token == "use" and (at == 0 or code[at - 1] not in ("::", "<", "+", ",")):
            end = end_of_item(code, at)
            start = at - 1
            public = at > 0 and (code[at - 1] == "pub" or code[at - 1] == ")")
            leaves = []
            tree(code[at + 1:end - 1], [], leaves)
            for path, name in leaves:
                if path[-1] == "*":
                    module.globs.append((path[:-1], public))
                else:
                    module.leaves.append((path, name, public))
                    module.aliases[name].append(path)
            at = end
            continue
        if depth == 0 and token == "mod" and at + 2 < len(code):
            name, mark = code[at + 1], code[at + 2]
            if mark == ";":
                if path_attribute:
                    file = module.file.parent / path_attribute
                else:
                    file = module.folder() / f"{name}.rs"
                    if not file.exists():
                        file = module.folder() / name / "mod.rs"
                if file.exists() and file.name != "tests.rs":
                    module.children[name].append(read(file.resolve(), module, name))
                path_attribute = None
                at += 3
                continue
            if mark == "{":
                end = closing(code, at + 2)
                child = Module(module.file, module, name)
                module.children[name].append(child)
                parse(child, code[at + 3:end - 1])
                at = end
                continue
        if depth == 0 and token == "macro_rules" and code[at + 1] == "!":
            module.items.add(code[at + 2])
            at += 3
            continue
        if depth == 0 and token in ITEMS and at + 1 < len(code) and re.fullmatch(r"\w+", code[at + 1]):
            name = code[at + 1]
            if name not in KEYWORDS:
                module.items.add(name)
                at += 2
                continue
        if token in "({[":
            depth += 1
        elif token in ")}]":
            depth -= 1
        if re.fullmatch(r"[A-Za-z_]\w*", token) and token not in KEYWORDS and (at == 0 or code[at - 1] not in ("::", ".")):
            path = [token]
            while code[at + 1:at + 2] == ["::"] and re.fullmatch(r"[A-Za-z_]\w*", code[at + 2] if at + 2 < len(code) else ""):
                path.append(code[at + 2])
                at += 2
            module.words.add(path[0])
            if len(path) > 1:
                module.paths.append(path)
        elif token == "$" and code[at + 1:at + 3] == ["crate", "::"]:
            at += 1
            continue
        at += 1


def tree(code, prefix, leaves):
    """The leaves of a `use`: pairs of path and name."""
    path, at = list(prefix), 0
    while at < len(code):
        token = code[at]
        if token == "{":
            inside, start, depth = code[at + 1:closing(code, at) - 1], 0, 0
            for i, t in enumerate([*inside, ","]):
                if t == "{":
                    depth += 1
                elif t == "}":
                    depth -= 1
                elif t == "," and depth == 0:
                    if i > start:
                        tree(inside[start:i], path, leaves)
                    start = i + 1
            return
        if token == "as":
            leaves.append((path, code[at + 1]))
            return
        if token == "self" and path:
            break
        if token != "::":
            path.append(token)
        at += 1
    leaves.append((path, path[-1]))


def modules_and_files(module, path, seen=frozenset()):
    """What a path names from within a module: modules, and the files of items."""
    if not path:
        return [module], set()
    key = (id(module), tuple(path))
    if key in seen:
        return [], set()
    seen = seen | {key}
    first, rest = path[0], path[1:]
    if first == "crate":
        return walk([module.root()], rest, seen)
    if first == "self":
        return walk([module], rest, seen)
    if first == "super":
        return walk([module.parent] if module.parent else [], rest, seen)
    return walk([module], path, seen)


def walk(modules, path, seen):
    if not path:
        return modules, set()
    found, files = [], set()
    for module in modules:
        name, rest = path[0], path[1:]
        if name == "super":
            more, in_files = walk([module.parent] if module.parent else [], rest, seen)
            found, files = found + more, files | in_files
            continue
        if name in module.items:
            files.add(module.file)
            if not rest:
                # A module of the same name may be meant as well, but then the path goes on.
                continue
        targets = list(module.children.get(name, []))
        for alias in module.aliases.get(name, []):
            # Not itself: `use half;`.
            if alias != [name]:
                more, in_files = modules_and_files(module, alias, seen)
                targets += more
                files |= in_files
        if not targets or not (rest or files):
            for glob, _ in module.globs:
                for target in modules_and_files(module, glob, seen)[0]:
                    if target is not module and (id(target), tuple(path)) not in seen:
                        more, in_files = walk([target], path[:1], seen | {(id(target), tuple(path))})
                        targets += more
                        files |= in_files
        if targets and rest:
            more, in_files = walk(targets, rest, seen)
            found += more
            # The path goes on in the module: an item of the same name was not meant.
            files = in_files if more or in_files else files
        else:
            found += targets
    return found, files


def graph(root):
    """What each file uses: `{file: {file: names}}`."""
    uses = collections.defaultdict(lambda: collections.defaultdict(set))
    for module in root.all():
        named = [(path, True) for path in module.paths]
        for path, name, public in module.leaves:
            # In a re-export only what this file says itself is a use; children of an inline module count as this file.
            if not public or name in module.words:
                named.append((path, False))
        for glob, public in module.globs:
            if not public:
                named += [([*glob, word], False) for word in module.words]
        for path, _ in named:
            for file in modules_and_files(module, path)[1]:
                if file != module.file:
                    uses[module.file][file].add(path[-1])
    return uses


def circles(uses):
    """A shortest circle through each file that is on one, each circle once."""
    found = {}
    for start in sorted(uses):
        came = {start: None}
        queue = collections.deque([start])
        while queue:
            file = queue.popleft()
            if start in uses.get(file, ()):
                circle = [file]
                while came[circle[-1]]:
                    circle.append(came[circle[-1]])
                found.setdefault(frozenset(circle), circle[::-1])
                break
            for other in sorted(uses.get(file, ())):
                if other not in came:
                    came[other] = file
                    queue.append(other)
    return sorted(found.values(), key=len)


def roots(top):
    """The root files of every crate below a folder."""
    for manifest in sorted(top.rglob("Cargo.toml")):
        if {"target", ".git"} & set(manifest.relative_to(top).parts):
            continue
        package = tomllib.loads(manifest.read_text())
        files = [manifest.parent / "src" / name for name in ("lib.rs", "main.rs")]
        files += sorted((manifest.parent / "src" / "bin").glob("*.rs"))
        targets = [package.get("lib", {}), *package.get("bin", [])]
        files += [manifest.parent / target["path"] for target in targets if "path" in target]
        yield from dict.fromkeys(file.resolve() for file in files if file.exists())


def check(top, show=False):
    """Everything that is wrong below a folder, as lines."""
    top = top.resolve()
    name = lambda file: str(file.relative_to(top)) if file.is_relative_to(top) else str(file)
    wrong = []
    for root in roots(top):
        uses = graph(read(root, None, "crate"))
        if show:
            for file in sorted(uses):
                for other, names in sorted(uses[file].items()):
                    print(f"{name(file)} -> {name(other)}  ({', '.join(sorted(names))})")
        for circle in circles(uses):
            line = f"circle of {len(circle)}: {name(circle[0])}"
            for file, other in zip(circle, circle[1:] + circle[:1]):
                names = sorted(uses[file][other])
                line += f"\n    uses {name(other)} for {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
            wrong.append(line)
    for file in sorted((top / "src").glob("*")):
        if file.is_file() and file.name not in AT_THE_ROOT:
            wrong.append(f"{name(file)} lies outside a folder: only {' and '.join(sorted(AT_THE_ROOT))} may")
    for folder in ("src", "kernels/src"):
        for file in sorted((top / folder).rglob("*.rs")):
            lines = len(file.read_text().splitlines())
            if lines > MOST_LINES:
                wrong.append(f"{name(file)} has {lines} lines, at most {MOST_LINES} are allowed")
    return wrong


PLANTED = [
    ("no circle", 0, {
        "lib.rs": "mod a; mod b; pub use a::A; pub use b::b;",
        "a.rs": "//! crate::b::b\npub struct A; /* crate::b::b() */ const S: &str = \"crate::b::b\";\n"
                "#[cfg(test)]\nmod tests { use crate::b; fn f() { b::b(); } }",
        "b.rs": "use crate::A;\npub fn b() -> A { A }",
    }),
    ("a circle by use", 1, {
        "lib.rs": "mod a; mod b;",
        "a.rs": "use crate::b::b; pub struct A;\nfn f() { b() }",
        "b.rs": "use super::a::{self, A as Other};\npub fn b() { let _ = Other; }",
    }),
    ("a circle by paths in code", 1, {
        "lib.rs": "mod a; mod b;",
        "a.rs": "pub struct A; fn f() -> usize { crate::b::b() }",
        "b.rs": "use crate::a;\npub fn b() -> usize { size_of::<a::A>() }",
    }),
    ("a circle over re-exports", 1, {
        "lib.rs": "mod a; mod b; pub use a::inner::A; pub use b::*;",
        "a/mod.rs": "pub mod inner;",
        "a/inner.rs": "use crate::b; pub struct A; pub fn g() { b() }",
        "b.rs": "use crate::A; pub fn b() { let _ = A; }",
    }),
    ("a parent and its child", 1, {
        "lib.rs": "mod a;",
        "a/mod.rs": "mod child; pub struct A; pub fn f() { child::g() }",
        "a/child.rs": "use super::*; pub fn g() { let _ = A; }",
    }),
    ("a parent that only re-exports", 0, {
        "lib.rs": "mod a;",
        "a/mod.rs": "mod child; mod other; pub use child::g; pub use other::A;",
        "a/child.rs": "use super::A; pub fn g() { let _ = A; }",
        "a/other.rs": "pub struct A;",
    }),
    ("a long file", 1, {"lib.rs": "mod a;", "a/mod.rs": "\n" * 451}),
    ("a file at the root", 1, {"lib.rs": "mod a;", "a.rs": ""}),
]


def self_check():
    for what, count, files in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            top = pathlib.Path(folder)
            (top / "Cargo.toml").write_text("[package]\nname = 'planted'\n")
            for file, text in files.items():
                path = top / "src" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            wrong = check(top)
            if what != "a file at the root":
                wrong = [line for line in wrong if "lies outside" not in line]
            if len(wrong) != count:
                sys.exit(f"the checker finds {len(wrong)} faults in {what}, not {count}: {wrong}")
    print(f"the checker finds what was planted in {len(PLANTED)} crates")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--graph", action="store_true", help="print what uses what")
    arguments.add_argument("--check", action="store_true", help="check the checker")
    arguments.add_argument("top", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    options = arguments.parse_args()
    if options.check:
        self_check()
    else:
        wrong = check(options.top, options.graph)
        print("\n".join(wrong) if wrong else "no circle, no file too long, none outside its folder")
        sys.exit(1 if wrong else 0)
