"""Gathers the pages of the documentation in build/docs, and builds the site from them: `python scripts/docs_pages.py`.

The pages of docs/ are copied. The CLI reference comes from the commands, the Python reference from the docstrings, the
studies from experiments/README.md, pictures from experiments/results. What is written as it works in the repository is
rewritten for the site: links to those pictures, and blocks of mathematics, which become MathML. A link, an anchor or a
reference that leads nowhere fails, and so do a docstring that cannot be read and a page that fetches something from
elsewhere.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules

from latex2mathml.converter import convert

import pinnwx
from pinnwx.commands import reference as commands
from pinnwx.config import reference as config

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
PAGES = ROOT / "build" / "docs"  # what zensical.toml names
_FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?https?:[^>]*>")  # at view time
_UNREADABLE = "griffe: "  # begins a line about a docstring
PICTURES = "pictures"  # the folder of the site that holds those of RESULTS
_PICTURE = re.compile(r"(?<=\]\()(?:\.\./)*experiments/results/([\w-]+\.png)(?=\))")
_MATHEMATICS = re.compile(r"^```math\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_BOUNDS = re.compile(r"([\d.]+) \(([\d.]+)-([\d.]+)\)")
# The packages whose modules have a page in the Python reference, and what each is for.
PACKAGES = {
    "operators": "Discrete operators on the sphere: arrays in, arrays out.",
    "physics": "The terms of the equation, the winds and the time integration.",
    "model": "The state, the networks, one step and the rollout.",
    "training": "Losses, the curriculum, the wall-clock budget and checkpoints.",
    "forecasting": "A trained model on disk; forecasts as CF datasets; ensembles.",
    "verification": "Scores, baselines and confidence bounds.",
    "explaining": "Budgets and attributions of a forecast.",
    "compression": "Pruning and distillation.",
    "sources": "Where analyses come from: archives, stores, sources of your own.",
    "data": "Any file to canonical fields.",
}
_CLI = """# Command line

Each verb is also a function of `import pinnwx`. `--version` prints the version. `--debug`, before or after a verb,
shows tracebacks. [On a schedule](../how-to/schedule.md#exit-codes-for-a-scheduler) lists the exit codes, and
[What is refused](../refused.md) their reasons.

"""
_CONFIG = """# Configuration

A configuration is a TOML file. `pinnwx config template` prints one with every key. `pinnwx config schema` prints a JSON
schema, with which editors complete and check it. An unknown key, a wrong type or an impossible combination is refused.
All problems are listed at once. A configuration may also be the name of a packaged experiment, such as `quick`.

"""
FOUNDATIONS = ("grid", "variables", "constants", "errors", "settings", "files", "runtime")


def gather(folder: Path) -> None:
    """Fills the folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for path, text in generated_pages():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / PICTURES).mkdir()
    for picture in RESULTS.glob("*.png"):
        shutil.copy(picture, folder / PICTURES)
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(for_the_site(text, page.relative_to(folder).as_posix()), encoding="utf-8")


def generated_pages() -> Iterator[tuple[str, str]]:
    """(path, Markdown) of the pages that are not in docs/."""
    yield "reference/cli.md", _CLI + commands.reference()
    yield "reference/config.md", _CONFIG + config.reference()
    yield "studies.md", studies()
    for name, text in python_reference():
        yield f"reference/python/{name}.md", text


def for_the_site(markdown: str, path: str) -> str:
    """Links to pictures lead to their copies; mathematics becomes MathML; no value is parted from its bounds."""
    pictures = posixpath.relpath(PICTURES, posixpath.dirname(path) or ".")
    markdown = _PICTURE.sub(rf"{pictures}/\1", markdown)
    markdown = _MATHEMATICS.sub(lambda block: convert(block[1].strip(), display="block"), markdown)
    return _BOUNDS.sub("\\1\N{NO-BREAK SPACE}(\\2\N{NON-BREAKING HYPHEN}\\3)", markdown)


def python_reference() -> Iterator[tuple[str, str]]:
    """(page, Markdown) of the library, of each package, and of the modules below them."""
    homes: dict[str, str] = pinnwx._HOMES
    lines = ["# The library", "", "What `import pinnwx` offers. Each verb of the command line is a function here.", ""]
    for name in sorted(homes):
        lines += [f"::: {homes[name]}.{name}", "    options:", "      show_root_full_path: false", ""]
    yield "library", "\n".join(lines)
    for package, purpose in PACKAGES.items():
        yield package, _modules(f"pinnwx.{package}", purpose, list(_public_modules(ROOT / "pinnwx" / package)))
    below = [f"pinnwx.{name}" for name in FOUNDATIONS]
    yield "foundations", _modules("Foundations", "The geometry, the variables, the errors and the files.", below)


def studies() -> str:
    """experiments/README.md as a page of the site."""
    text = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    return text.replace("](results/", "](experiments/results/")


def _public_modules(folder: Path) -> Iterator[str]:
    """The modules below a package, those of packages inside it too, by their dotted names."""
    for each in sorted(iter_modules([str(folder)]), key=lambda module: module.name):
        if not each.name.startswith("_"):
            yield ".".join((*folder.relative_to(ROOT).parts, each.name))
            yield from _public_modules(folder / each.name)


def _modules(title: str, purpose: str, modules: list[str]) -> str:
    lines = [f"# {title}", "", purpose, ""]
    for module in modules:
        lines += [f"::: {module}", ""]
    return "\n".join(lines)


def main() -> int:
    """Gathers, builds and checks; the exit code."""
    gather(PAGES)
    built = subprocess.run(
        ["zensical", "build", "--strict", "--clean"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(built.stdout + built.stderr, end="")
    elsewhere = [
        f"{path.relative_to(ROOT)} fetches {match[0]}"
        for path in (ROOT / "site").rglob("*.html")
        for match in _FETCHED.finditer(path.read_text(encoding="utf-8"))
    ]
    print(*elsewhere, sep="\n")
    return built.returncode or int(_UNREADABLE in built.stdout + built.stderr or bool(elsewhere))


if __name__ == "__main__":
    sys.exit(main())
