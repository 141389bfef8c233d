"""Gathers the pages of the documentation in build/docs, and builds the site from them: `python scripts/docs_pages.py`.

The pages of docs/ are copied. The CLI reference comes from the commands, the Python reference from the docstrings, the
studies from experiments/README.md, pictures from experiments/results. What is written as it works in the repository is
rewritten for the site: links to those pictures, and blocks of mathematics, which become MathML. A link, an anchor or a
reference that leads nowhere fails, and so do a docstring that cannot be read and a page that fetches something from
elsewhere.
"""

from __future__ import annotations

import inspect
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args, get_origin, get_type_hints

import typer
from latex2mathml.converter import convert
from typer.models import ArgumentInfo, OptionInfo

import pinnwx
from pinnwx.commands.app import app
from pinnwx.config.reference import reference

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
_TYPES = {str: "text", int: "number", float: "number", Path: "path"}  # of options
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
    yield "reference/cli.md", "\n".join(cli_reference())
    yield "reference/config.md", _CONFIG + reference()
    yield "studies.md", studies()
    for name, text in python_reference():
        yield f"reference/python/{name}.md", text


def for_the_site(markdown: str, path: str) -> str:
    """Links to pictures lead to their copies; mathematics becomes MathML; no value is parted from its bounds."""
    pictures = posixpath.relpath(PICTURES, posixpath.dirname(path) or ".")
    markdown = _PICTURE.sub(rf"{pictures}/\1", markdown)
    markdown = _MATHEMATICS.sub(lambda block: convert(block[1].strip(), display="block"), markdown)
    return _BOUNDS.sub("\\1\N{NO-BREAK SPACE}(\\2\N{NON-BREAKING HYPHEN}\\3)", markdown)


def cli_reference() -> Iterator[str]:
    """Every verb with its arguments and options, as Markdown."""
    yield from (_CLI, "| verb | does |", "| --- | --- |")
    verbs = list(verbs_of(app, "pinnwx"))
    for name, function in verbs:
        summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        yield f"| [`{name.removeprefix('pinnwx ')}`](#{name.replace(' ', '-')}) | {summary} |"
    yield ""
    for name, function in verbs:
        yield from _verb(name, function)


def verbs_of(group: typer.Typer, name: str) -> Iterator[tuple[str, Callable]]:
    """(name, function) of every verb of a typer application."""
    for command in group.registered_commands:
        if command.callback is not None:
            yield f"{name} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from verbs_of(inner.typer_instance, f"{name} {inner.name}")


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


def _verb(name: str, function: Callable) -> Iterator[str]:
    hints, arguments, options = get_type_hints(function, include_extras=True), [], []
    for parameter in inspect.signature(function).parameters.values():
        kind, *extras = get_args(hints[parameter.name])
        info = next(each for each in extras if isinstance(each, ArgumentInfo | OptionInfo))
        spelling = _spelling(parameter.name, kind, info)
        if isinstance(info, ArgumentInfo) and parameter.default is not inspect.Parameter.empty:
            spelling = f"[{spelling}]"
        row = f"| `{spelling}` | {_default(parameter)} | {info.help or ''} |"
        (arguments if isinstance(info, ArgumentInfo) else options).append(row)
    usage = " ".join([name, *(row.split("`")[1] for row in arguments), *(["[OPTIONS]"] if options else [])])
    yield from (f"## {name}", "", inspect.getdoc(function) or "", "", "```sh", usage, "```", "")
    if arguments or options:
        yield from ("| argument or option | default | meaning |", "| --- | --- | --- |", *arguments, *options)
    yield ""


def _spelling(name: str, kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    """An argument as NAME, an option as --name <type>; what may be repeated has dots."""
    base = next((each for each in (kind, *get_args(kind)) if isinstance(each, type)), str)
    inner = next((each for each in get_args(kind) if get_origin(each) is list), kind)
    many = "..." if get_origin(inner) is list else ""
    if isinstance(info, ArgumentInfo):
        return (info.metavar or name.upper()) + many
    option = next(iter(info.param_decls or ()), f"--{name.replace('_', '-')}")
    return option if base is bool else f"{option} {info.metavar or f'<{_TYPES.get(base, base.__name__)}>'}"


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    return "" if parameter.default in (None, False, (), "") else f"`{parameter.default}`"


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
