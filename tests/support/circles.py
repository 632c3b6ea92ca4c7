"""Circles among the modules of a crate: each imports from the next, and the last from the first."""

import re

TESTS = re.compile(r"#\[cfg\(test\)\]\s*mod tests \{.*", re.DOTALL)


def expanded(path):
    """The paths that `a::{b, c::{d, e}}` stands for."""
    start = path.find("{")
    if start < 0:
        return [re.sub(r"\s+as\s+\w+", "", path).strip()]
    stem, depth, items = path[:start].strip(), 0, [""]
    for letter in path[start + 1 : path.rindex("}")]:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    return [stem + inner for item in items if item.strip() for inner in expanded(item.strip())]


def imports(folder):
    """The modules of a crate, each with those that it names by a path from `crate`, `super` or `self`."""
    files = {tuple(path.relative_to(folder).with_suffix("").parts): path for path in folder.rglob("*.rs")}
    modules = {name: path for name, path in files.items() if name != ("lib",) and "bin" not in name}
    found = {}
    for name, path in modules.items():
        text = re.sub(r"//.*$", "", TESTS.sub("", path.read_text()), flags=re.MULTILINE)
        used = [inner for group in re.findall(r"\buse\s+((?:crate|super|self)::[^;]+);", text) for inner in expanded(group)]
        used += re.findall(r"\b(?:crate|super|self)::[\w:]+", re.sub(r"\buse\s+[^;]+;", "", text))
        found[name] = {target for one in used if (target := module(modules, name, one)) and target != name}
    return found


def module(modules, name, path):
    """The module that a path in the module `name` leads to, or into."""
    parts = path.split("::")
    base = () if parts[0] == "crate" else name
    while parts and parts[0] in ("crate", "self", "super"):
        if parts.pop(0) == "super":
            base = base[:-1]
    full = (*base, *(part for part in parts if part != "self"))
    while full and full not in modules:
        full = full[:-1]
    return full


def circles(folder):
    """The modules that lead back to themselves, in one list for each circle."""
    edges = imports(folder)

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            for target in edges.get(waiting.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return seen

    reach = {name: reached(name) for name in edges}
    groups = {tuple(sorted(other for other in reach[name] if name in reach.get(other, ()))) for name in edges if name in reach[name]}
    return [["::".join(name) for name in group] for group in sorted(groups)]
