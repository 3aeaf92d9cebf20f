"""The picture in bench/README.md, made from the layers in pyproject.toml and the imports in bench/.

`.venv/bin/python -m tests.architecture` writes it; tests/test_architecture.py fails while it is out of date.
"""

import re
import tomllib
from collections.abc import Mapping, Set
from pathlib import Path

import grimp

from tests.conftest import ROOT

PAGE = ROOT / "bench" / "README.md"
BLOCK = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)


def layers() -> list[list[str]]:
    """Top-level modules of bench by layer, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["type"] == "layers" and each.get("containers") == ["bench"]]
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def imports() -> dict[str, set[str]]:
    """From each top-level module of bench to those that it imports, anywhere in it."""
    graph = grimp.build_graph("bench")
    modules = sorted(graph.find_children("bench"))
    for module in modules:
        graph.squash_module(module)
    return {
        module.removeprefix("bench."): {
            each.removeprefix("bench.") for each in graph.find_modules_directly_imported_by(module)
        }
        for module in modules
    }


def without_implied(edges: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """Without an import a -> c where a also imports some b that leads to c. `edges` have no cycle."""

    def reachable(module: str) -> set[str]:
        return set(edges[module]).union(*map(reachable, edges[module]))

    return {module: set(edges[module]).difference(*map(reachable, edges[module])) for module in edges}


def picture() -> str:
    """A mermaid flowchart: a box per layer, and an arrow per import that no others imply."""
    lines = ["flowchart TB"]
    for number, layer in enumerate(layers(), start=1):
        lines.append(f'  subgraph layer{number}[" "]')
        lines += [f'    {module}["{_label(ROOT / "bench" / module)}"]' for module in layer]
        lines.append("  end")
    for module, imported in without_implied(imports()).items():
        lines += [f"  {module} --> {each}" for each in sorted(imported)]
    return "\n".join(lines)


def _label(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else f"{path.name}.py"


def page() -> str:
    """bench/README.md with the picture as it should be."""
    return BLOCK.sub(lambda _: f"```mermaid\n{picture()}\n```", PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
