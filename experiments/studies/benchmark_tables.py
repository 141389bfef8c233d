"""The tables of `experiments.studies.benchmark` from its stored figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.studies.harness import markdown_table

REFERENCE_GRID = "64 x 128"


def tables(figures: Mapping[str, Any]) -> str:
    """The text and tables of the parts that are stored, as Markdown."""
    parts: tuple[tuple[str, Callable[[Any], list[str]]], ...] = (
        ("machine", machine_text),
        ("models", model_table),
        ("operators", operator_text),
        ("scaling", scaling_table),
        ("precomputed", precomputed_table),
        ("memory", memory_table),
    )
    return "\n".join(line for part, write in parts if part in figures for line in write(figures[part])) + "\n"


def machine_text(machine: Mapping[str, float]) -> list[str]:
    return [
        f"Measured on {machine['cores']} CPU cores that reach {machine['copy']:.0f} GB/s in a plain copy, "
        f"{machine['convolution']:.0f} GFLOP/s in a 3 x 3 convolution of 64 channels and {machine['product']:.0f} "
        "GFLOP/s in a product of 1024 x 1024 matrices.\n"
    ]


def model_table(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = []
    for name, entry in models.items():
        stages = entry["stages"]
        rates = ", ".join(f"{steps}: {stage['sample_steps_per_second']:.0f}" for steps, stage in stages.items())
        gigaflops = ", ".join(f"{stage['gigaflops']:.0f}" for stage in stages.values())
        compiling = sum(stage["compiling"] for stage in stages.values())
        one, fifty = entry["ten_days_1"]["median"], entry["ten_days_50"]["median"]
        rows.append([name, rates, gigaflops, f"{compiling:.0f}", f"{one:.2f}", f"{fifty:.1f}"])
    rate_title = "training, sample-steps/s by rollout length"
    titles = ["model", rate_title, "GFLOP/s in products", "compiling s", "ten days s", "of 50 members s"]
    return [*markdown_table(titles, rows), ""]


def operator_text(operators: Mapping[str, Mapping[str, float]]) -> list[str]:
    parts = [
        f"{name} {entry['copies']:.1f} ({entry['gigabytes_per_second']:.1f} GB/s)"
        for name, entry in operators.items()
        if name != "copy"
    ]
    return [
        "One flux divergence at 721 x 1440, float32, in copies of the array, and the bytes of its field, winds and "
        f"result a second, where the copy moves {operators['copy']['gigabytes_per_second']:.1f} GB/s: "
        f"{', '.join(parts)}.\n"
    ]


def scaling_table(grids: Mapping[str, Mapping[str, Any]]) -> list[str]:
    def seconds_per_cell(entry: Mapping[str, Any], kind: str) -> float:
        return entry[kind]["median"] / entry["cells"]

    rows = []
    for name, entry in grids.items():
        ratios = [
            seconds_per_cell(entry, kind) / seconds_per_cell(grids[REFERENCE_GRID], kind)
            for kind in ("operator", "training")
        ]
        rows.append([name, *(f"{ratio:.2f}" for ratio in ratios)])
    titles = ["grid", "operator step, per cell", "training step, per cell"]
    return [*markdown_table(titles, rows), "", f"Relative to {REFERENCE_GRID}.\n"]


def precomputed_table(steps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = [name for name in next(iter(steps.values())) if name != "before"]
    rows = [
        [f"{hours} h", *(f"{1000 * step[name]['median']:.0f}" for name in names), f"{step['before']:.0f}"]
        for hours, step in steps.items()
    ]
    text = (
        "Milliseconds of an update of one step, with and without `training.precompute_transport`. The machine was "
        "slower than for the other parts:"
    )
    return [text, "", *markdown_table(["step", *names, "seconds before training"], rows), ""]


def memory_table(peaks: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [
        [f"{label}, MiB", *(f"{peak:,.0f}" for peak in row.values())]
        for label, row in (("steps stored", peaks["stored"]), ("steps recomputed", peaks["anew"]))
    ]
    caption = "Peak memory of a process that computes the gradient of a batch of 4, compiling included.\n"
    return [*markdown_table(["steps of the rollout", *peaks["stored"]], rows), "", caption]
