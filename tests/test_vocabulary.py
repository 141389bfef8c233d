"""Names in the package use the field's standard terms, never the home-made words that they replaced."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pinnwx

ROOT = Path(pinnwx.__file__).parent

# Home-made names and the standard terms that replaced them; each line is one row of related names.
REPLACED = {
    "Carried": "TransportedFields", "affected": "updated", "among_all": "scatter_to_state",
    "couplings": "coupling_steps", "differentiated": "backpropagate",
    "Frame": "View", "Frames": "Views", "FramedNetwork": "MultiViewNetwork", "framed_closure": "multi_view_closure",
    "frames": "views", "mirror": "hemispheric_symmetry", "mirror_signs": "equator_parity",
    "folding": "space_to_depth", "folded": "space_to_depth", "unfolded": "depth_to_space", "coarsen": "patch_size",
    "Committee": "DeepEnsemble", "committee": "deep_ensemble", "members_of": "networks_of",
    "warmup_share": "warmup_fraction", "teacher_share": "teacher_fraction", "taught_share": "teacher_fraction",
    "final_share": "final_fraction", "learning_rate_share": "learning_rate_factor",
    "DrivenEdge": "LateralBoundary", "driving": "lateral_boundary", "is_driven": "has_lateral_boundary",
    "driven_edge": "boundary_width", "driving_archive": "lateral_boundary_archive",
    "Usual": "Climatology", "ModelClimatology": "Climatology", "Scales": "Normalisation",
    "mean_days": "mean_relaxation_days", "mean_kept": "mean_decay",
    "Lessons": "WindowSampler", "lessons": "sampling", "Mixture": "BatchSampler", "Material": "FineTuningWindows",
    "material": "fine_tuning_windows", "refit": "fine_tune", "Refitted": "FineTuned", "watch": "early_stopping",
    "taught": "teacher_trajectories", "trajectories": "teacher_trajectories", "disturbed": "perturbed",
    "disturbance": "perturbation_scale", "DISTURBANCE": "PERTURBATION_SCALE", "look": "input_convolution",
    "ORDERS": "CRITERIA", "listener": "capture_activations", "hear": "capture", "_mend": "fine_tune",
    "observe": "to_fields", "expansion": "wind_divergence", "slab": "slice_axis",
    "outflow": "flux_divergence_from_faces",
    "Piece": "SourceField", "piece": "source_field", "pieces": "source_fields",
    "Survey": "Inventory", "survey": "inventory", "surveyed": "scan_files",
    "assembled": "merge_fields", "portable": "export",
    "Trained": "TrainedModel", "load_trained": "TrainedModel.load", "save_trained": "TrainedModel.save",
    "untrained": "TrainedModel.initialise", "resized": "TrainedModel.with_config",
    "Forecasting": "ForecastJob", "maker": "predictor",
    "Verdict": "PromotionReport", "judge": "compare_candidate", "judged_leads": "comparison_leads",
    "DAYS_OF_GATE": "MINIMUM_PROMOTION_DAYS", "Report": "Progress", "UPDATES_PER_REPORT": "UPDATES_PER_TURN",
}  # fmt: skip
# Words that say nothing of what a variable holds; its noun says more.
VAGUE = {"told", "found", "made", "seen", "asked", "kept", "given", "said"}


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines or uses, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.Attribute(attr=name) | ast.Name(id=name):
                yield name, node.lineno
            case ast.keyword(arg=str(name)):
                yield name, node.value.lineno
            case ast.ImportFrom(module=module, names=aliases):
                yield from ((part, node.lineno) for part in (module or "").split("."))
                yield from ((alias.name, node.lineno) for alias in aliases)


def test_no_name_is_a_replaced_word():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name} (use {REPLACED[name]})"
        for path in sorted(ROOT.rglob("*.py"))
        for name, line in names_in(ast.parse(path.read_text(encoding="utf-8")))
        if name in REPLACED
    ]
    assert not found, "\n".join(found)


def test_variables_carry_the_noun_of_what_they_hold():
    vague = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted(ROOT.rglob("*.py"))
        for name, line in names_in(ast.parse(path.read_text(encoding="utf-8")))
        if name in VAGUE
    ]
    assert not vague, "\n".join(vague)


def test_each_kind_of_name_is_seen():
    text = "from m.Carried import x\nclass a:\n  def b(self, c): self.d = e = f(g=1)\n"
    assert {name for name, _ in names_in(ast.parse(text))} >= {"Carried", "a", "b", "c", "d", "e", "f", "g"}
