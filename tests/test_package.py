"""`import pinnwx` is light, and offers the verbs."""

import importlib
import subprocess
import sys

import pytest

import pinnwx

HEAVY = ("jax", "flax", "xarray", "matplotlib", "diffrax", "optax", "orbax", "scipy")
LIGHT = {"pinnwx": "numpy", "pinnwx.commands.main": "numpy", "pinnwx.jobs.status": "", "pinnwx.jobs.models": ""}


@pytest.mark.parametrize(("module", "unneeded"), LIGHT.items(), ids=LIGHT)
def test_importing_it_does_not_import_jax(module, unneeded):
    """So `pinnwx --help` answers at once, and a look at a run costs little on a schedule."""
    program = f"import sys, {module}; print([name for name in {(*HEAVY, unneeded)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_forecast_does_without_what_few_need():
    """diffrax is for its own solvers, zarr for stores: together a second of every start."""
    program = "import sys, pinnwx.jobs.forecast; print([name for name in ('diffrax', 'zarr') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_verbs_are_functions_of_the_package():
    """Each verb of the command line is one, of the same name; `config` prints what `pinnwx.config` has."""
    from pinnwx.commands.reference import verbs

    names = [verb.__name__ for name, verb in verbs() if not name.startswith("config ")]
    assert {"forecast_series", "prune", "distill", "rollback"} <= set(names)
    for name in names:
        function = getattr(pinnwx, name)
        assert function.__name__ == name
        assert function.__doc__


def test_every_name_that_is_offered_is_there():
    for name in pinnwx.__all__:
        assert getattr(pinnwx, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = pinnwx.predict


def test_the_version_is_said_once():
    from importlib.metadata import version

    assert pinnwx.__version__ == version("pinnwx")


@pytest.mark.parametrize("name", ["operators", "physics"])
def test_the_operators_and_the_physics_stand_on_their_own(name):
    package = importlib.import_module(f"pinnwx.{name}")
    assert all(callable(getattr(package, each)) for each in package.__all__)
    assert set(package.__all__) == set(dir(package))
