"""What the process asks of the machine."""

import os
import subprocess
import sys

import jax
import pytest

from pinnwx.runtime import compiler_options

# Page faults of a thread that fills 100 MiB three times over, after a first time that any setting has to pay for.
FAULTS = """
import resource, threading
from pinnwx.runtime import keep_freed_memory

def fill(times):
    for _ in range(times):
        b"x" * (100 * 2**20)

def in_a_thread(times):
    thread = threading.Thread(target=fill, args=(times,))
    thread.start()
    thread.join()

kept = keep_freed_memory()
in_a_thread(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
in_a_thread(3)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: str) -> tuple[bool, int]:
    environment = {**os.environ, "PINNWX_KEEP_MEMORY": keep}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_kept_for_every_thread():
    kept, few = faults("1")
    if not kept:
        pytest.skip("the C library is not glibc")
    assert few < 1000
    switched_off, many = faults("0")
    assert not switched_off
    assert many > 10 * few


def test_an_unknown_option_of_the_compiler_is_left_out(monkeypatch: pytest.MonkeyPatch):
    assert compiler_options() == ({"xla_cpu_use_fusion_emitters": False} if jax.default_backend() == "cpu" else {})
    compile_plainly = jax.jit

    def without_it(function, compiler_options):
        return compile_plainly(function, compiler_options={"no_such_option": False})

    monkeypatch.setattr(jax, "jit", without_it)
    compiler_options.cache_clear()
    assert compiler_options() == {}
    compiler_options.cache_clear()
