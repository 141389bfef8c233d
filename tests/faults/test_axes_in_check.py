"""`check` says of each file which coordinate it takes for which axis."""

from gridded import fields, on_levels, write
from verbs import pinnwx


def test_check_lists_what_was_taken_for_an_axis(tmp_path):
    write(on_levels("isobaric3", [50000.0, 85000.0], {"units": "Pa"}), tmp_path / "t.nc")
    write(fields().rename(time="valid_time"), tmp_path / "x.nc")
    ended = pinnwx("check", "--data", tmp_path, "--json", tmp_path / "check.json")
    lines = [line.strip() for line in ended.out.splitlines() if line.strip().startswith("axes:")]
    assert lines == [
        "axes: time from time: 2020-01-01T00:00Z to 2020-01-01T18:00Z; pressure levels 50000 to 85000 Pa (isobaric3); "
        "latitude from lat (9); longitude from lon (9)",
        "axes: time from valid_time: 2020-01-01T00:00Z to 2020-01-01T18:00Z; latitude from lat (9); "
        "longitude from lon (9)",
    ]
    assert '"axes": [' in (tmp_path / "check.json").read_text()
