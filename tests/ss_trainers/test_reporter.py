import io
import json
import math

from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ss_trainers.reporter import METRICS_FILE, Reporter


def lines(folder):
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]


def scalars(folder, name):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def test_each_iteration_is_a_line_of_json_and_a_point_in_tensorboard(tmp_path):
    with Reporter(tmp_path, total=2) as reporter:
        reporter.report(1, {"return": 0.5, "kl": 0.1})
        reporter.report(2, {"return": 0.75})
    assert lines(tmp_path) == [{"iteration": 1, "return": 0.5, "kl": 0.1}, {"iteration": 2, "return": 0.75}]
    assert scalars(tmp_path, "return") == [(1, 0.5), (2, 0.75)]


def test_a_line_is_on_the_disk_as_soon_as_it_is_reported(tmp_path):
    with Reporter(tmp_path) as reporter:
        reporter.report(1, {"return": 0.5})
        assert len(lines(tmp_path)) == 1


def test_numbers_that_json_does_not_know_are_null(tmp_path):
    with Reporter(tmp_path) as reporter:
        reporter.report(1, {"a": math.nan, "b": math.inf, "c": 1.0})
    assert lines(tmp_path) == [{"iteration": 1, "a": None, "b": None, "c": 1.0}]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    with Reporter(tmp_path) as reporter:
        for iteration in range(1, 5):
            reporter.report(iteration, {"return": float(iteration)})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"iteration": 5, "ret')  # killed while it wrote
    with Reporter(tmp_path, iteration=2) as reporter:
        reporter.report(3, {"return": 30.0})
    assert [line["return"] for line in lines(tmp_path)] == [1.0, 2.0, 30.0]
    assert scalars(tmp_path, "return") == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_the_bar_shows_how_far_the_run_is_and_the_chosen_metrics():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Reporter(total=8, iteration=2, console=console) as reporter:
        reporter.report(3, {"success": 0.25, "gradient_norm": 9.0})
    text = console.file.getvalue()
    assert "3/8" in text and "success 0.25" in text
    assert "gradient_norm" not in text


def test_without_folder_and_console_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Reporter() as reporter:
        reporter.report(1, {"return": 0.5})
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
