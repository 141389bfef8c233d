"""Settings: what a config may say, what is refused, and that the template tells the truth."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from synthetic import config, transport

from pinnwx.config import (
    MINIMUM_PROMOTION_DAYS,
    ClosureSettings,
    ModelSettings,
    Period,
    PhysicsSettings,
    Stage,
    TrainingSettings,
    Transport,
    experiments,
    load_config,
    parse_config,
)
from pinnwx.config.keys import INLINE, one_line, tables
from pinnwx.config.reference import json_schema, reference
from pinnwx.config.template import template
from pinnwx.errors import ConfigError, MissingInputError, UsageError
from pinnwx.model.build import transported_field
from pinnwx.physics.winds import parse_wind
from pinnwx.verification.significance import MINIMUM_BLOCKS

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
TEMPLATE = EXPERIMENTS / "template.toml"
SMALLEST = """
name = "small"
[data]
fields = ["msl", "vo850"]
train = { start = "2025-12-01", end = "2026-01-31" }
"""


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml: ")
    assert "\n" not in message
    return message


# --- the template, the schema, the packaged experiments ------------------------------------------------------------


def test_template_is_a_valid_config_and_the_file_is_its_output():
    assert parse_config(template()).name == "my_experiment"
    assert TEMPLATE.read_text(encoding="utf-8") == template()


def test_every_key_has_a_description():
    for table in tables():
        assert table.description, table.path
        for key in table.keys:
            assert key.description, (table.path, key.name)
    for inline in INLINE:
        assert all(field.description for field in inline.model_fields.values())


def test_template_shows_every_key_with_an_example_or_its_default():
    """Each table is read back; what is neither required nor an example is the default."""
    shown, compared = tomllib.loads(template()), 0
    for table in tables():
        part = shown
        for name in filter(None, table.path.split(".")):
            part = part[name]
        entries = part if table.is_array else [part]
        for key in table.keys:
            assert any(key.name in entry for entry in entries), (table.path, key.name)
            if not key.mark:
                default = key.field.get_default(call_default_factory=True)
                assert entries[0][key.name] == tomllib.loads(f"x = {one_line(default)}")["x"], (table.path, key.name)
                compared += 1
    assert compared > 25


def test_the_schema_accepts_what_is_accepted():
    schema = json.loads(json_schema())
    described = schema["$defs"]["TrainingSettings"]["properties"]["batch_size"]
    assert described["minimum"] == 1
    assert described["description"] == "Windows in one update."
    assert "validate" in schema["$defs"]["DataSettings"]["properties"]


def test_the_reference_has_type_limits_and_default_of_every_key():
    text = reference()
    assert "`patch_size` *one of `1`, `2`, `4`, default `2`*\n\n:   Cells in each direction" in text
    assert "`curriculum` *list of `{ steps, fraction, members }`" in text
    assert "`networks` *integer at least 1, at most 16, default `1`*" in text


def test_packaged_experiments_are_found_by_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert {"quick", "era5_hybrid"} <= set(experiments())
    assert load_config("quick") == load_config(EXPERIMENTS / "quick.toml")
    with pytest.raises(MissingInputError, match="no config file nothing, and no experiment of that name: era5_climode"):
        load_config("nothing")
    with pytest.raises(MissingInputError, match=r"no config file quick\.toml$"):
        load_config("quick.toml")


def test_the_wheel_has_all_of_them():
    project = tomllib.loads((EXPERIMENTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {included.get(f"experiments/{name}.toml") for name in experiments()} == {
        f"pinnwx/experiments/{name}.toml" for name in experiments()
    }


def test_the_gate_holds_out_as_many_days_as_bounds_need():
    assert MINIMUM_PROMOTION_DAYS == MINIMUM_BLOCKS
    settings = SMALLEST + "[retraining]\nleads = [24, 72]\nhold_out_days = "
    assert parse_config(settings + "12").retraining.leads == (24, 72)
    with pytest.raises(ConfigError, match="3 blocks of initial times, each as long as the lead, so at least 12 days"):
        parse_config(settings + "11")


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_bears_the_name_of_its_file(path):
    assert load_config(path).name == path.stem or path == TEMPLATE


# --- what is accepted ---------------------------------------------------------------------------------------------


def test_the_smallest_config_takes_all_defaults():
    config = parse_config(SMALLEST)
    assert config.model == ModelSettings()
    assert config.training == TrainingSettings()
    assert config.data.grid == "5.625deg"
    assert config.data.validate_ is None
    assert config.seed == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2025-12-01", "2025-12-01"),
        ("2025-12-01", "2025-12-31T18:00"),
        ("2025-12-01T00:00:00", "2025-12-01T06:00Z"),
        ("2025-12-01T00", "2026-01-01"),
    ],
)
def test_periods_in_iso_8601(start, end):
    assert Period(start=start, end=end).start == start


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2025-13-01", "2026-01-01", '.start: "2025-13-01" is not an ISO 8601 time'),
        ("2025-12-01", "tomorrow", '.end: "tomorrow" is not an ISO 8601 time'),
        ("2025-12-02", "2025-12-01", ": starts at 2025-12-02, after its end 2025-12-01"),
    ],
)
def test_periods_that_are_none(start, end, message):
    text = SMALLEST.replace("2025-12-01", start).replace("2026-01-31", end)
    assert f"data.train{message}" in problem(text)


@pytest.mark.parametrize(
    ("wind", "inputs"),
    [
        ("prognostic:850", ("u850", "v850")),
        ("prognostic:10m", ("u10", "v10")),
        ("rotational:vo850", ("vo850",)),
        ("geostrophic:z500", ("z500",)),
        ("geostrophic:msl", ("msl",)),
        ("none", ()),
    ],
)
def test_wind_names_the_fields_it_is_made_from(wind, inputs):
    assert parse_wind(wind).inputs == inputs


@pytest.mark.parametrize("wind", ["", "prognostic", "prognostic:u850", "rotational:850", "geostrophic:t850", "gale"])
def test_unknown_winds_are_refused(wind):
    with pytest.raises(ValidationError, match="is not one of prognostic:LEVEL"):
        Transport(field="q850", wind=wind)


def test_limited_fluxes_need_a_solver_that_keeps_signs():
    limited = Transport(field="q850", form="flux", scheme="limited")
    PhysicsSettings(transport=(limited,), solver="ssprk3")
    with pytest.raises(ValidationError, match="euler, heun or ssprk3, not diffrax:Tsit5"):
        PhysicsSettings(transport=(limited,), solver="diffrax:Tsit5")


def test_a_conserved_field_needs_limited_fluxes_and_no_source():
    Transport(field="q850", conserved=True, form="flux", scheme="limited")
    with pytest.raises(ValidationError, match='needs form = "flux" and scheme = "limited"'):
        Transport(field="q850", conserved=True)
    with pytest.raises(ValidationError, match="cannot be conserved"):
        Transport(field="vo850", conserved=True, form="flux", scheme="limited", absolute_vorticity=True)


def test_only_geopotential_and_pressure_are_in_balance_and_only_with_vorticity():
    Transport(field="vo500", balanced_field="z500")
    Transport(field="vo850", balanced_field="msl")
    for field, balance in (("t850", "z500"), ("vo500", "t500"), ("vo500", "u500")):
        with pytest.raises(ValidationError, match=f'balanced_field = "{balance}" of "{field}": only z500'):
            Transport(field=field, balanced_field=balance)


def test_vorticity_that_is_not_forecast_is_that_of_its_wind():
    def barotropic(**keys):
        return config(("u500", "v500", "z500"), physics=transport("vo500", **keys))

    transported = barotropic(wind="prognostic:500", balanced_field="z500").model.physics.transport[0]
    targets = transported_field(transported).targets
    assert targets(("u500", "v500", "z500")) == ("u500", "v500", "z500")
    targets = transported_field(barotropic(wind="geostrophic:z500").model.physics.transport[0]).targets
    assert targets(("u500", "v500", "z500")) == ("z500",)
    with pytest.raises(ConfigError, match='transport of "vo500" needs "vo500", which is not in data'):
        barotropic(wind="none")
    with pytest.raises(ConfigError, match='of "vo850": wind "prognostic:500" is of another level'):
        config(("u500", "v500"), physics=transport("vo850", wind="prognostic:500"))
    with pytest.raises(ConfigError, match='transport of "vo500" needs "z850"'):
        barotropic(wind="prognostic:500", balanced_field="z850")


def test_only_vorticity_has_an_absolute_kind():
    Transport(field="vo850", absolute_vorticity=True)
    with pytest.raises(ValidationError, match="absolute_vorticity = true is for vorticity"):
        Transport(field="t850", absolute_vorticity=True)


def test_a_radius_of_deformation_is_for_vorticity_that_something_follows():
    vorticity = {"field": "vo850", "wind": "prognostic:850", "deformation_radius": 1.5e6}
    assert not list(Transport(**vorticity).lacks(["u850", "v850"]))
    assert list(Transport(**vorticity).lacks(["u850", "v850", "vo850"])) == [
        " is a field of data.fields and nothing follows it; remove deformation_radius"
    ]
    with pytest.raises(ValidationError, match="deformation_radius is for vorticity"):
        Transport(field="t850", deformation_radius=1.5e6)
    with pytest.raises(ValidationError, match="greater than or equal to 100000"):
        Transport(**vorticity | {"deformation_radius": 1500})


def levels(**changes) -> PhysicsSettings:
    """Two levels that stretch each other, and the temperature of the layer between them."""
    tables = {
        "vo500": {"wind": "prognostic:500", "absolute_vorticity": True, "stretching": {"vo850": 1e6}},
        "vo850": {"wind": "prognostic:850", "absolute_vorticity": True, "stretching": {"vo500": 6e5}},
        "t850": {"wind": "prognostic:850", "layer": ("vo500", "vo850")},
    }
    transport = tuple(Transport(field=name, **table | changes.get(name, {})) for name, table in tables.items())
    return PhysicsSettings(transport=transport)


def test_levels_stretch_each_other():
    assert levels().transport[0].stretching == {"vo850": 1e6}
    with pytest.raises(
        ValidationError, match="stretching of vo850 by vo500 needs a table of vo500 with its stretching"
    ):
        levels(vo500={"stretching": {}})
    with pytest.raises(ValidationError, match="stretching of vo500 by vo700 needs a table of vo700"):
        levels(vo500={"stretching": {"vo850": 1e6, "vo700": 1e6}})
    with pytest.raises(ValidationError, match="stretching of vo500 by vo500"):
        levels(vo500={"stretching": {"vo500": 1e6, "vo850": 1e6}})
    with pytest.raises(ValidationError, match='stretching of vo500 needs form = "advective"'):
        levels(vo500={"form": "flux"})
    with pytest.raises(ValidationError, match="stretching is for vorticity"):
        levels(t850={"stretching": {"vo500": 1e6}})
    with pytest.raises(ValidationError, match="greater than or equal to 100000"):
        levels(vo500={"stretching": {"vo850": 1e3}})
    with pytest.raises(ValidationError, match="stretching of vo850 needs absolute_vorticity = true"):
        levels(vo850={"absolute_vorticity": False})
    with pytest.raises(ValidationError, match="balanced_field = z500 twice"):
        levels(vo500={"balanced_field": "z500"}, vo850={"balanced_field": "z500"})
    with pytest.raises(ValidationError, match="levels with stretching have the same wind"):
        levels(vo500={"wind": "geostrophic:msl"}, vo850={"wind": "geostrophic:msl"})
    vorticity = levels().transport[0]
    assert not list(vorticity.lacks(["u500", "v500"]))
    assert list(vorticity.lacks(["u500", "v500", "vo500"])) == [
        " is a field of data.fields, which has no stretching; remove stretching"
    ]


def test_a_layer_lies_between_two_transported_levels():
    with pytest.raises(ValidationError, match='layer of t850 needs a table of "vo1000"'):
        levels(t850={"layer": ("vo500", "vo1000")})
    for layer in (("vo850", "vo500"), ("vo500", "vo500"), ("z500", "z850")):
        with pytest.raises(ValidationError, match="is not vorticity of an upper and of a lower level"):
            levels(t850={"layer": layer})
    assert list(levels().transport[2].lacks(["t850", "u850", "v850", "vo850"])) == [
        ": vo850 of its layer is a field of data.fields, which no geopotential follows; remove layer"
    ]
    with pytest.raises(ValidationError, match="t850 does not lie in the layer from 300 to 500 hPa"):
        levels(t850={"layer": ("vo300", "vo500")})
    with pytest.raises(ValidationError, match="layer is for temperature"):
        levels(vo500={"layer": ("vo500", "vo850")})


def test_a_bare_end_date_includes_its_day():
    Period(start="2026-01-01T06:00", end="2026-01-01")
    with pytest.raises(ValidationError, match="after its end"):
        Period(start="2026-01-01T06:00", end="2026-01-01T00:00")


def test_variables_of_the_users_own():
    text = SMALLEST.replace('"msl"', '"ozone500", "tcw"') + (
        '[variables.ozone]\nunits = "kg kg-1"\nminimum = 0.0\nmaximum = 2e-5\non_pressure_levels = true\n'
        '[variables.tcw]\nunits = "kg m-2"\nminimum = 0\nmaximum = 100\nlong_name = "Total column water"\n'
        '[variables.vo]\nunits = "s-1"\nminimum = -1.0\nmaximum = 1.0\non_pressure_levels = true\n'
    )
    table = parse_config(text).variable_table()
    assert table["ozone"].long_name == "ozone"
    assert table["tcw"].maximum == 100
    assert table["vo"].maximum == 1.0  # the user's entry wins
    assert table["msl"].units == "Pa"


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("wind100", 'standard_name = "northward_wind"', ("northward", -1, False)),  # as v and v10
        ("wind100", 'vector = "northward"', ("northward", -1, False)),
        ("vo", "on_pressure_levels = true", (None, -1, False)),  # as the built-in entry that it replaces
        ("pv", 'standard_name = "ertel_potential_vorticity"\nequator_parity = -1', (None, -1, False)),
        ("q", "nonnegative = false", (None, 1, False)),
        ("dust", "nonnegative = true", (None, 1, True)),
        ("dust", "", (None, 1, False)),
    ],
)
def test_a_variable_of_the_users_own_says_what_it_is(name, keys, expected):
    own = f'[variables.{name}]\nunits = "1"\nminimum = -1.0\nmaximum = 1.0\n{keys}\n'
    entry = parse_config(SMALLEST.replace(', "vo850"', "") + own).variable_table()[name]
    assert (entry.vector, entry.equator_parity, entry.nonnegative) == expected


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addition", "path"),
    [
        ("sead = 1", "sead: Extra inputs"),
        ("[training]\nlearning_rat = 1e-3", "training.learning_rat: Extra inputs"),
        ('[training]\nbatch_size = "many"', "training.batch_size: Input should be a valid integer"),
        ("[training]\nlearning_rate = -1.0", "training.learning_rate: Input should be greater than 0"),
        ("[training]\nema_decay = 1.0", "training.ema_decay: Input should be less than 1"),
        ("[training]\ncurriculum = []", "training.curriculum: Tuple should have at least 1 item"),
        ("[training]\ncurriculum = [{ steps = 0, fraction = 1 }]", "training.curriculum.0.steps"),
        ("[training]\nfield_weights = { z500 = 2.0 }", 'training.field_weights: "z500" is not in data.fields'),
        (
            '[variables.dust]\nunits = "1"\nminimum = -2\nmaximum = -1\nnonnegative = true',
            "variables.dust: nonnegative = true excludes maximum = -1",
        ),
        ("[variables.pv]\nequator_parity = 0", "variables.pv.equator_parity: Input should be -1 or 1"),
        ("[model.closure]\npatch_size = 3", "model.closure.patch_size: Input should be 1, 2 or 4"),
        ("[model.closure]\nblocks = 2\nblock_widths = [[8, 16]]", "block_widths has 1 pairs for 2 blocks"),
        ("[model.physics]\ncourant_limit = 1.5", "model.physics.courant_limit: Input should be less than or equal"),
        ('[model]\nkind = "magic"', "model.kind: Input should be 'transport' or 'second_order'"),
        (
            '[[model.physics.transport]]\nfield = "msl"\nwind = "prognostic:850"',
            'model.physics.transport of "msl" needs "u850", which is not in data.fields',
        ),
        ('[[model.physics.transport]]\nfield = "q850"', 'needs "q850", which is not in data.fields'),
        (2 * '[[model.physics.transport]]\nfield = "msl"\n', "model.physics.transport: a field is transported twice"),
    ],
)
def test_problems_are_named_by_their_path(addition, path):
    assert path in problem(SMALLEST + addition if addition.startswith("[") else addition + SMALLEST)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"msl"', '"pressure"', 'data: unknown variable "pressure"'),
        ('"msl"', '"z"', 'data: variable "z" needs its pressure level in hPa, as in "z500"'),
        ('"msl"', '"vo850"', "data.fields: a name is repeated"),
        ('["msl", "vo850"]', "[]", "data.fields: Tuple should have at least 1 item"),
        ('"small"', '"a small one"', "name: String should match pattern"),
        ('name = "small"', "", "name: Field required"),
        ("[data]", '[data]\ngrid = "7deg"', 'data.grid: grid "7deg": 7 degrees do not divide 180'),
    ],
)
def test_wrong_values_are_named_by_their_path(old, new, message):
    assert message in problem(SMALLEST.replace(old, new))


def test_all_problems_are_told_at_once():
    message = problem(
        SMALLEST + "surprise = 1\n[training]\nbatch_size = 0\nminutes = 0\n[model.closure]\nwidth = 1.5\n"
    )
    for path in ("data.surprise", "training.batch_size", "training.minutes", "model.closure.width"):
        assert f"{path}: " in message
    assert message.count(";") == 3


ALL_AT_ONCE = """
name = "small"
[data]
fields = ["msl", "vo850", "presure", "vo850"]
levels = { t = 0 }
train = { start = "2026-01-31", end = "2025-12-01" }
[variables.ozone]
units = "1"
[model]
step_hours = 1e-300
[model.physics]
backpropagate = false
substeps = 0
[[model.physics.transport]]
field = "q850"
wind = "gale"
learned_wind = true
[[model.physics.transport]]
field = "t850"
wind = "prognostic:850"
conserved = true
absolute_vorticity = true
[model.closure]
width = -1
blocks = 2
block_widths = [[8, 16]]
experts_per_region = 3
[training]
batch_size = 0
field_weights = { z500 = 2.0 }
[retraining]
hold_out_days = "many"
leads = [6, 240]
[output.attributes]
model = "x"
"""


def test_what_does_not_agree_is_told_with_what_is_wrong_by_itself():
    """Each check is made though other values are wrong, even of its own table, unless it is about these."""
    told = problem(ALL_AT_ONCE)
    wrong_by_itself = (
        "data.levels.t: ", "variables.ozone.minimum: ", "variables.ozone.maximum: ", "model.step_hours: ",
        'model.physics.transport.0.wind: wind "gale" is not one of ', "model.physics.substeps: ",
        "model.closure.width: ", "training.batch_size: ", "retraining.hold_out_days: ",
    )  # fmt: skip
    do_not_agree = (
        'data: unknown variable "presure"', "data.fields: a name is repeated",
        *(f'model.physics.transport of "t850" needs "{name}"' for name in ("t850", "u850", "v850")),
        'training.field_weights: "z500" is not in data.fields', "data.train: starts at 2026-01-31, after its end",
        "model.physics: backpropagate = false excludes learned_wind", "model.physics.transport.1: a conserved field",
        "model.physics.transport.1: absolute_vorticity adds a source",
        "model.physics.transport.1: absolute_vorticity = true is for vort",
        "and 3 more",
    )  # fmt: skip
    places = [told.find(f": {each}" if each == wrong_by_itself[0] else f"; {each}") for each in wrong_by_itself]
    places += [told.find(f"; {each}") for each in do_not_agree]
    assert -1 not in places
    assert places == sorted(places)


def test_what_depends_on_a_wrong_value_is_not_told():
    """Neither of a name that may be of a variable that cannot be read, nor of fields that are none."""
    ozone = SMALLEST.replace('"msl"', '"ozone500", "presure"') + '[variables.ozone]\nunits = "1"\nminimum = 0\n'
    told = problem(ozone)
    assert "ozone500" not in told
    assert 'unknown variable "presure"' in told
    weighted = SMALLEST.replace('["msl", "vo850"]', "7") + "[training]\nfield_weights = { z500 = 2.0 }\n"
    assert "z500" not in problem(weighted)


@pytest.mark.parametrize("name", ["../small", "a/b", "a\\\\b", ".."])
def test_a_name_that_is_a_path_is_refused_as_usage(name):
    with pytest.raises(UsageError, match="leads out of its folder"):
        parse_config(SMALLEST.replace('"small"', f'"{name}"'))


@pytest.mark.parametrize(
    "addition",
    [
        "[model.closure]\nwidth = 100000", "[model.closure]\nblocks = 1000", "[training]\nbatch_size = 100000",
        "[model.physics]\nsubsteps = 100000", "[model.physics]\ncoupling_steps = 100000",
        "[training]\ncurriculum = [{ steps = 100000, fraction = 1 }]",
    ],
)  # fmt: skip
def test_sizes_are_bounded(addition):
    """A config may come from someone else: it cannot ask for more than a machine has."""
    assert "less than or equal to" in problem(SMALLEST + addition)


def test_a_grid_and_a_file_are_bounded(tmp_path):
    assert "not between 0.1 and 45" in problem(SMALLEST.replace("[data]", '[data]\ngrid = "0.01deg"'))
    (tmp_path / "big.toml").write_text("#" * 2**20 + "\n" + SMALLEST)
    with pytest.raises(ConfigError, match="more than the 262144"):
        load_config(tmp_path / "big.toml")


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(MissingInputError, match="no config file"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(MissingInputError, match="no config file"):
        load_config(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken.toml: not valid TOML"):
        load_config(broken)
    broken.write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="cannot be read as UTF-8 text"):
        load_config(broken)


def test_settings_cannot_be_changed_in_place():
    config = parse_config(SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.training.curriculum[0].steps = 2


# --- whatever is written, it is a Config or a ConfigError ---------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["msl", "z500", "u850", "none", "prognostic:850", "5.625deg", "2025-12-01", "flux", "limited"])
)  # fmt: skip
known_keys = st.sampled_from(
    sorted(
        {
            field.alias or name
            for m in (*(table.schema for table in tables()), Period, Stage)
            for name, field in m.model_fields.items()
        }
    )
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(known_keys | st.text(min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def to_toml(value) -> str:
    """A TOML inline value; what TOML cannot say (null) becomes an empty table."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08X}" for letter in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml(key)} = {to_toml(item)}" for key, item in value.items()) + "}"
    return "{}" if value is None else str(value)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(known_keys, anything, max_size=5), st.booleans())
def test_any_toml_gives_a_config_or_a_config_error(raw, with_smallest):
    if with_smallest:
        raw = tomllib.loads(SMALLEST) | {key: value for key, value in raw.items() if key not in ("name", "data")}
    text = "\n".join(f"{to_toml(key)} = {to_toml(value)}" for key, value in raw.items())
    tomllib.loads(text)
    try:
        config = parse_config(text)
    except ConfigError:
        return
    assert isinstance(config, BaseModel)
    assert config.data.fields


def test_a_narrower_network_is_narrower_everywhere():
    closure = ClosureSettings(
        width=64, blocks=2, fine_width=32, block_widths=((16, 48), (3, 8)), learned_wind_width=32
    ).narrower(16)
    assert (closure.width, closure.fine_width, closure.learned_wind_width) == (16, 8, 8)
    assert closure.block_widths == ((4, 12), (1, 2))
    assert ClosureSettings(width=64).narrower(16).block_widths is None
