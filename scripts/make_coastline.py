"""Make pinnwx/reporting/coastline.csv: the world's coastlines, for maps drawn without a network.

    python scripts/make_coastline.py

Fetches the npm package world-atlas with `npm pack`; its land-110m.json is Natural Earth's 1:110 million land
(public domain) as TopoJSON. Writes longitude and latitude in degrees to a hundredth, lines apart by `nan,nan`.
"""

import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

PACKAGE = "world-atlas@2.0.2"
OUTPUT = Path(__file__).parent.parent / "pinnwx" / "reporting" / "coastline.csv"


def fetch() -> dict:
    """The TopoJSON document inside the package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            return json.load(archive.extractfile("package/land-110m.json"))


def split_at_date_line(points: np.ndarray) -> np.ndarray:
    """The same line with both sides of the date line, 180 E and 180 W, where it crosses."""
    for index in np.flatnonzero(np.abs(np.diff(points[:, 0])) > 180)[::-1]:
        (west, south), (east, north) = points[index : index + 2]
        side = 180 * np.sign(west)
        if width := east + 2 * side - west:
            latitude = south + (north - south) * (side - west) / width
            points = np.insert(points, index + 1, [[side, latitude], [-side, latitude]], axis=0)
    return points


def lines(topology: dict):
    """Each coastline as (points, 2), without the seams that polygons have at the date line and the south pole."""
    scale, translate = (np.asarray(topology["transform"][key]) for key in ("scale", "translate"))
    for arc in topology["arcs"]:
        points = np.cumsum(arc, axis=0) * scale + translate
        points = split_at_date_line(points)
        on_seam = (np.abs(points[:, 0]) > 179.99) | (points[:, 1] < -89.99)
        for piece in np.split(points, np.flatnonzero(on_seam[1:] & on_seam[:-1]) + 1):
            if len(piece) > 1:
                yield piece


def main() -> None:
    gap = np.full((1, 2), np.nan)
    table = np.concatenate([part for line in lines(fetch()) for part in (line, gap)])[:-1]
    np.savetxt(OUTPUT, table, fmt="%.2f", delimiter=",", header="longitude,latitude", comments="")
    print(f"{OUTPUT.name}: {len(table)} points, {OUTPUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
