"""Error-growth and training curves: what they show, what they leave out and what they refuse."""

import json

import numpy as np
import pytest

from pinnwx.errors import DataError, MissingInputError
from pinnwx.reporting.curves import plot_scores, plot_training, read_metrics, scores_figure, training_figure

LEADS = (6, 24, 72)


def make_scores(*names, **changes):
    """A scores table in which errors double from lead to lead."""
    return {
        "run": "demo",
        "scores": [
            {
                "variable": name, "lead_hours": lead, "n": 40,
                "rmse": 100.0 * 2**i, "rmse_low": 90.0 * 2**i, "rmse_high": 110.0 * 2**i,
                "persistence_rmse": 200.0 * 2**i, "climatology_rmse": 500.0, **changes,
            }
            for name in names or ("msl", "t2m")
            for i, lead in enumerate(LEADS)
        ],
    }  # fmt: skip


def make_metrics(count=60, **changes):
    return [
        {
            "update": i + 1, "wall_seconds": 6.0 * i, "loss": 0.5 * 0.97**i, "learning_rate": 1e-3,
            "stage_steps": 1 if i < 40 else 4, **changes,
        }
        for i in range(count)
    ]  # fmt: skip


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_a_panel_for_each_variable_in_display_units(tmp_path):
    figure = scores_figure(make_scores())
    pressure, temperature = figure.axes
    assert pressure.get_title() == "Mean sea level pressure"
    assert pressure.get_ylabel() == "RMSE [hPa]"
    assert temperature.get_ylabel() == "RMSE [K]"  # an error is a difference, never degrees Celsius
    np.testing.assert_allclose(lines(pressure)["model"].get_ydata(), [1, 2, 4])
    np.testing.assert_allclose(lines(pressure)["persistence"].get_ydata(), [2, 4, 8])
    np.testing.assert_allclose(lines(temperature)["climatology"].get_ydata(), [500, 500, 500])
    assert lines(pressure)["model"].get_xdata().tolist() == list(LEADS)
    assert figure.get_suptitle() == "Forecast error of demo, 40 forecasts"
    assert plot_scores(make_scores(), tmp_path / "scores.png").read_bytes()[:4] == b"\x89PNG"


def test_the_confidence_band_covers_its_bounds():
    (band,) = scores_figure(make_scores("msl")).axes[0].collections
    corners = band.get_paths()[0].vertices
    for lead, low, high in zip(LEADS, (0.9, 1.8, 3.6), (1.1, 2.2, 4.4), strict=True):
        heights = corners[corners[:, 0] == lead, 1]
        assert heights.min() == pytest.approx(low)
        assert heights.max() == pytest.approx(high)


def test_what_the_scores_lack_is_left_out():
    axes = scores_figure(make_scores("msl", climatology_rmse=None, rmse_low=None)).axes[0]
    assert not axes.collections
    assert set(lines(axes)) == {"model", "persistence"}


def test_leads_are_sorted_and_those_without_a_forecast_left_out():
    scores = make_scores("msl")
    scores["scores"] = scores["scores"][::-1]
    scores["scores"].append({"variable": "msl", "lead_hours": 120, "n": 0, "rmse": None})
    axes = scores_figure(scores).axes[0]
    assert lines(axes)["model"].get_xdata().tolist() == list(LEADS)


def test_a_variable_outside_the_table_is_drawn_under_its_name():
    axes = scores_figure(make_scores("ozone")).axes[0]
    assert axes.get_title() == "ozone"
    assert axes.get_ylabel() == "RMSE"


def test_panels_wrap_and_spare_ones_stay_empty():
    figure = scores_figure(make_scores("z500", "t850", "t2m", "msl", "u500"))
    assert len(figure.axes) == 8
    assert [axes.axison for axes in figure.axes] == [True] * 5 + [False] * 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_score_that_is_not_a_number_is_refused(value, tmp_path):
    scores = make_scores("msl")
    scores["scores"][1]["rmse"] = value
    with pytest.raises(DataError, match="rmse of msl at 24 h is not a finite number"):
        plot_scores(scores, tmp_path / "scores.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scores", [{}, {"scores": []}, make_scores("msl", n=0)])
def test_no_scores_are_refused(scores):
    with pytest.raises(DataError, match="nothing to draw"):
        scores_figure(scores)


def write_metrics(path, records, tail=""):
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail, encoding="utf-8")
    return path


def test_training_curve_shows_every_loss_and_the_stages(tmp_path):
    records = make_metrics()
    records[29]["validation_loss"] = 0.3
    records[59]["validation_loss"] = 0.2
    left, right = training_figure(records).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("update", "wall-clock time [min]")
    raw, smooth, validation, *stages = left.get_lines()
    np.testing.assert_allclose(raw.get_ydata(), [record["loss"] for record in records])
    assert smooth.get_label() == "training, running median"
    assert validation.get_xdata().tolist() == [30, 60]
    assert [stage.get_xdata()[0] for stage in stages] == [1, 41]
    assert [text.get_text() for text in left.texts] == ["1 step", "4 steps"]
    assert right.get_lines()[0].get_xdata()[-1] == pytest.approx(5.9)
    path = write_metrics(tmp_path / "metrics.jsonl", records)
    assert plot_training(path, tmp_path / "training.png").read_bytes()[:4] == b"\x89PNG"


def test_the_median_of_a_stage_knows_nothing_of_the_next():
    """Losses of rollouts of other lengths are other numbers: the curve breaks where a stage ends."""
    records = make_metrics()
    for record in records:
        record["loss"] = 0.1 if record["stage_steps"] == 1 else 0.9
    smooth = training_figure(records).axes[0].get_lines()[1]
    x, y = smooth.get_xdata(), smooth.get_ydata()
    np.testing.assert_allclose(y[x <= 40], 0.1)
    np.testing.assert_allclose(y[x >= 41], 0.9)
    assert np.isnan(y[40])
    assert len(y) == 61


def test_the_title_names_the_model():
    assert training_figure(make_metrics(), "demo").get_suptitle() == "Training of demo, 60 records"


def test_running_median_ignores_one_wild_update():
    records = make_metrics(loss=0.5, stage_steps=1)
    records[30]["loss"] = 1e6
    np.testing.assert_allclose(training_figure(records).axes[0].get_lines()[1].get_ydata(), 0.5)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
@pytest.mark.parametrize("fall", [0.05, 0.5, 1.1, 3.0, 8.0])
def test_the_axis_of_the_loss_has_numbers_to_read_it_by(scale, fall):
    records = make_metrics(300)
    for index, record in enumerate(records):
        record["loss"] = scale * 10 ** (-fall * index / 299)
    axes = training_figure(records).axes[0]
    low, high = axes.get_ylim()
    numbers = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 3 <= len(numbers) <= 12


def test_one_wild_loss_does_not_flatten_the_curve():
    records = make_metrics(300)
    records[7]["loss"] = 667909.0
    low, high = training_figure(records).axes[0].get_ylim()
    assert high < 1
    assert low > 0


def test_missing_keys_do_not_matter():
    records = [{"loss": 0.5}, {"loss": 0.4}, {"note": "resumed"}, {"loss": 0.3, "update": 9}]
    left, right = training_figure(records).axes
    assert left.get_lines()[0].get_xdata().tolist() == [0, 1, 9]
    assert not right.axison


def test_losses_that_are_not_finite_are_left_out_and_counted():
    records = make_metrics(10)
    records[4]["loss"] = float("nan")
    figure = training_figure(records)
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == 9
    assert "1 losses not finite" in figure.get_suptitle()
    with pytest.raises(DataError, match="none of 10 training records has a finite loss"):
        training_figure(make_metrics(10, loss=float("nan")))


def test_a_line_cut_short_by_a_crash_is_left_out_but_no_other(tmp_path):
    path = write_metrics(tmp_path / "metrics.jsonl", make_metrics(3), tail='{"update": 4, "lo')
    assert [record["update"] for record in read_metrics(path)] == [1, 2, 3]
    path.write_text('{"update": 1\n{"update": 2, "loss": 1.0}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1: not JSON"):
        read_metrics(path)
    path.write_text("[1, 2]\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: not a JSON object"):
        read_metrics(path)


def test_no_metrics_file_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="no training metrics"):
        plot_training(tmp_path / "metrics.jsonl", tmp_path / "training.png")
