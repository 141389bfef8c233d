"""A damaged entry of the compilation cache is dropped with one note, and compiled again; then all is well."""

import os
import subprocess
import sys

SCRIPT = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
from pinnwx.runtime import keep_compiled_code
keep_compiled_code()
import jax, jax.numpy as jnp
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(jax.jit(lambda x: jnp.sin(x @ x).sum())(jnp.ones((64, 64))))
"""


def test_damaged_entries_are_dropped_with_one_note(tmp_path):
    def run():
        environment = os.environ | {"PINNWX_CACHE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
        )
        notes = [line for line in done.stderr.splitlines() if "cache" in line or "arning" in line]
        return done.stdout, notes

    value, _ = run()
    entries = list(tmp_path.glob("*-cache"))
    assert entries
    for path in entries:
        content = bytearray(path.read_bytes())
        content[20:30] = b"garbage..."
        path.write_bytes(content)
    again, notes = run()
    assert again == value
    assert notes == [f"note: damaged code in the cache {tmp_path} is removed and compiled again"]
    assert run() == (value, [])
