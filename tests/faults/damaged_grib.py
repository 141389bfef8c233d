"""Opens damaged copies of GRIB messages; for the tests, in a process of its own.

python damaged_grib.py FOLDER SEED COUNT     FOLDER holds whole messages; prints how many were opened and refused
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
from grib_files import iterated

from pinnwx.data.open import open_data
from pinnwx.errors import DataError


def damage(content: bytes, draw: random.Random) -> bytes:
    """Cut off somewhere, or with a few bits turned, most of them before the data."""
    if draw.random() < 0.2:
        return content[: draw.randrange(1, len(content))]
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        last = len(damaged) if draw.random() < 0.3 else min(200, len(damaged))
        damaged[draw.randrange(4, last)] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def main(folder: Path, seed: int, count: int) -> None:
    contents = [path.read_bytes() for path in sorted(folder.glob("*.message"))]
    draw, path, ends = random.Random(seed), folder / "damaged.grib", {"opened": 0, "refused": 0}
    for _ in range(count):
        content = damage(draw.choice(contents), draw)
        path.write_bytes(content)
        try:
            found = open_data(path)
        except DataError as error:
            ends["refused"] += 1
            lines = str(error).splitlines()
            if len(lines) != 1:
                raise AssertionError(f"a message of {len(lines)} lines") from error
            continue
        ends["opened"] += 1
        (name,) = found.data_vars
        wanted = np.sort(iterated(content)[2].astype(np.float32))
        np.testing.assert_allclose(np.sort(found[name].values.ravel()), wanted, rtol=1e-6, err_msg=content.hex())
    print(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
