"""`import pinnwx` is light, and offers the verbs."""

import subprocess
import sys

import pytest

import pinnwx

VERBS = {"check", "compress", "demo", "evaluate", "explain", "export", "forecast", "plot", "report", "train", "verify"}
HEAVY = ("jax", "flax", "numpy", "xarray", "matplotlib", "diffrax", "optax", "orbax")


@pytest.mark.parametrize("module", ["pinnwx", "pinnwx.cli"])
def test_importing_it_does_not_import_jax(module):
    """So `pinnwx --help` answers at once."""
    program = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_the_verbs_are_functions_of_the_package():
    for name in VERBS:
        function = getattr(pinnwx, name)
        assert callable(function)
        assert function.__name__ == name
        assert function.__doc__
    assert set(dir(pinnwx)) >= VERBS | {"point", "open_data", "load_config", "Grid", "Scores", "__version__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = pinnwx.predict


def test_the_version_is_said_once():
    from importlib.metadata import version

    assert pinnwx.__version__ == version("pinnwx")
