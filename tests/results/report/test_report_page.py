"""What stands in a report, for studies of every kind."""

import html
import json
import re
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState, create_trial
from PIL import Image
from results.report.studies import KINDS, NAME, conditional, new_study, trial, tuned
from slowly import slowly

from docclf.results.report.page import Thumbnails, write_report


def written(study: optuna.Study, folder: Path) -> str:
    return write_report(study, None, output=folder / "report.html").read_text(encoding="utf-8")


def data(text: str, element: str) -> Any:
    """JSON of a script element; not the JSON of Python, which takes NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found = re.search(rf'<script type="application/json" id="{element}">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1], parse_constant=refuse)


def figures(text: str) -> dict[str, Any]:
    return {figure["key"]: figure for figure in data(text, "figures")}


def first_screen(text: str) -> str:
    return re.sub(r"<[^>]+>", " ", text.partition("<h1>")[2].partition("<main")[0])


HEADLINES = {
    "no trial": "No trial has begun yet",
    "one trial": "No trial beats the baseline: value 0.",
    "none finished": "No trial has come to its end yet",
    "all pruned": "Every trial was pruned",
    "all failed": "Every trial failed",
    "running": "Trial 4 is the best so far: value 0.",
    "two objectives": "trials are on the Pareto front",
    "conditional": "Trial 11 is the best: value 0.610",
    "some are heads": "Trial 4 is the best: value 0.540",
    "not finite": "Trial 5 is the best: value inf",
    "minimized": "Trial 3 is the best: value 0.",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_of_every_kind_has_a_report_with_its_headline_and_all_its_trials(kind: str, tmp_path: Path) -> None:
    study = KINDS[kind]()
    text = written(study, tmp_path)
    assert HEADLINES[kind] in text.partition("<h1>")[2].partition("</h1>")[0]
    table = data(text, "rows")
    assert [row[0] for row in table["rows"]] == [t.number for t in study.trials]
    assert all(len(row) == len(table["columns"]) for row in table["rows"])
    assert len(text.encode()) < 6e6
    assert text.count("plotly.js v") <= 1
    places = set(re.findall(r'id="plot-([\w-]+)"', text))
    assert places == figures(text).keys()


@pytest.mark.parametrize(
    ("kind", "shown", "not_shown"),
    [
        ("one trial", {"history-0", "pruning"}, {"importance-0", "parallel"}),
        ("all pruned", {"history-0", "pruning", "slice-0"}, {"importance-0", "parallel"}),
        ("all failed", set(), {"history-0", "pruning", "slice-0"}),
        ("running", {"history-0", "importance-0", "parallel", "slice-2"}, {"front-0-1"}),
        ("two objectives", {"front-0-1", "history-1", "importance-1", "parallel"}, {"pruning"}),
    ],
)
def test_pictures_are_shown_where_there_is_something_to_show(
    kind: str, shown: set[str], not_shown: set[str], tmp_path: Path
) -> None:
    keys = figures(written(KINDS[kind](), tmp_path)).keys()
    assert shown <= keys
    assert not not_shown & keys


def test_the_line_of_the_best_so_far_never_falls_and_ends_at_the_best(tmp_path: Path) -> None:
    study = new_study([trial(i) for i in range(30)])
    line = figures(written(study, tmp_path))["history-0"]["data"][0]
    assert line["y"] == sorted(line["y"])
    assert line["y"][-1] == study.best_value and study.best_trial.number in line["x"]
    down = new_study([trial(i) for i in range(30)], ["minimize"])
    line = figures(written(down, tmp_path))["history-0"]["data"][0]
    assert line["y"] == sorted(line["y"], reverse=True) and line["y"][-1] == down.best_value


def test_values_that_are_not_finite_are_gaps_in_pictures_and_words_in_the_table(tmp_path: Path) -> None:
    text = written(KINDS["not finite"](), tmp_path)
    table = data(text, "rows")
    assert table["rows"][5][2] == [None, "inf"] and table["rows"][7][2] == [None, "-inf"]
    history = figures(text)["history-0"]["data"]
    assert None not in [y for trace in history for y in trace["y"]]


def test_processes_one_after_the_other_are_one_worker_at_once(tmp_path: Path) -> None:
    trials = [trial(i) for i in range(6)]
    start, end = trials[0].datetime_start, trials[0].datetime_complete
    assert start is not None and end is not None
    for i, made in enumerate(trials):
        made.set_user_attr("owner", f"gpu-box:{i}:1")
        made.datetime_start, made.datetime_complete = start + i * (end - start), start + (i + 1) * (end - start)
    assert "<dt>at once</dt><dd>1<small>worker," in written(new_study(trials), tmp_path)
    trials[3].datetime_start = trials[2].datetime_start
    assert "<dt>at once</dt><dd>2<small>workers," in written(new_study(trials), tmp_path)


def test_importances_find_what_matters(tmp_path: Path) -> None:
    bars = figures(written(new_study([trial(i) for i in range(60)]), tmp_path))["importance-0"]
    assert bars["layout"]["yaxis"]["ticktext"][-1] == "optimizer.lr", "the longest is on top, which is the last"
    assert bars["data"][0]["x"][-1] > 0.8
    text = written(new_study([trial(i) for i in range(400)]), tmp_path)
    assert figures(text)["importance-0"]["layout"]["yaxis"]["ticktext"][-1] == "optimizer.lr"
    assert "By fANOVA from 200 of the 400 finished trials." in text


@pytest.mark.parametrize("n", [2, 3, 7])
def test_of_few_trials_the_best_is_called_so(n: int, tmp_path: Path) -> None:
    lines = figures(written(new_study([trial(i) for i in range(n)]), tmp_path))["parallel"]["data"]
    assert [trace["name"] for trace in lines] == ["others", "best"]
    assert [trace["y"].count(None) for trace in lines] == [n - 1, 1], "a gap after each line"


def test_the_documented_command_plots_the_importances_of_the_report(tmp_path: Path) -> None:
    study = new_study([trial(i) for i in range(30)])
    text = written(study, tmp_path)
    bars, plotted = (figures(text)["importance-0"]["data"][0]["x"], _plotted(study))
    assert "By fANOVA from 30 finished trials." in text
    assert bars == pytest.approx(plotted), "of both the longest is the last"


def _plotted(study: optuna.Study) -> list[float]:
    """Lengths of the bars by the command of docs/how-to/looking.md."""
    looking = (Path(__file__).parents[3] / "docs" / "how-to" / "looking.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^figure = (.*plot_param_importances.*)$", looking, re.MULTILINE)
    names = {"optuna": optuna, "FanovaImportanceEvaluator": FanovaImportanceEvaluator}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = eval(command, names, {"result": SimpleNamespace(study=study)})
    return [float(x) for x in figure.data[0].x]


def test_parameters_of_a_condition_have_slices_of_their_own(tmp_path: Path) -> None:
    text = written(new_study([conditional(i) for i in range(12)]), tmp_path)
    titles = re.findall(r'<h3 id="slice-\d-title">(.*?)</h3>', text)
    assert set(titles) == {"model", "optimizer.lr [model=swin_tiny]", "optimizer.lr [model=mobilenet]"}
    assert "Left out: 2 parameters that not every finished trial has." in text
    row = data(text, "rows")["rows"][0]
    assert row.count(None) >= 1, "a trial has not the other model's learning rate"


def test_parameters_that_heads_do_not_have_are_judged_by_the_trials_that_have_them(tmp_path: Path) -> None:
    text = written(new_study([tuned(i) for i in range(24)]), tmp_path)
    drawn = figures(text)
    bars = drawn["importance-0"]["layout"]["yaxis"]["ticktext"]
    assert set(bars) == {"optimizer.lr", "optimizer.weight_decay", "data.image_size"}
    assert "from 16 finished trials" in text
    assert "Left out: 8 trials without optimizer.lr, optimizer.weight_decay." in text
    assert text.count("8 of 24 trials do not have it.") == 2
    lines = [trace["y"] for trace in drawn["parallel"]["data"]]
    low, _ = drawn["parallel"]["layout"]["yaxis"]["range"]
    assert min(y for trace in lines for y in trace if y is not None) > low and "passes below the axes" in text
    assert sum(y is not None and y < 0 for trace in lines for y in trace) == 16, "8 heads lack two parameters each"
    rows = data(text, "rows")
    place = [column["name"] for column in rows["columns"]].index("tune")
    assert [row[place] for row in rows["rows"][:3]] == ["head", "all", "all"] and rows["rows"][0][place + 1] is None


def test_the_first_screen_has_verdict_interval_cost_and_commands(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    (folder / "best").mkdir()
    text = write_report(study, folder, command="cd here && python go_on").read_text(encoding="utf-8")
    screen = " ".join(first_screen(text).split())
    assert f"Trial {study.best_trial.number} beats the baseline by +0." in screen
    assert "95 % interval +0." in screen
    assert "Expected on as many other pages of the kind: 0.740 (95 % interval 0.600 to 0.850)." in screen
    assert "8 complete, 4 pruned" in screen
    for command in ("python -m docclf.train --config-dir", "cd here &amp;&amp; python go_on"):
        assert command in screen
    assert 'data-command="cd here &amp;&amp; python go_on"' in text


def test_hostile_names_are_escaped_wherever_they_stand(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    text = write_report(study, folder).read_text(encoding="utf-8")
    assert "<script>window.hacked" not in text and "<img src=x" not in text
    assert "&lt;script&gt;window.hacked = 1&lt;/script&gt;" in text
    assert NAME.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in text
    ticks = figures(text)["confusion-winner"]["layout"]["xaxis"]["ticktext"]
    assert ticks[0] == "계약서" and ticks[1].startswith("&lt;script&gt;"), "Plotly reads HTML in its texts"
    for made in folder.glob("*/index.html"):
        assert "<img src=x" not in made.read_text(encoding="utf-8")


def test_no_name_ends_the_script_that_holds_it(tmp_path: Path) -> None:
    name = "</script><script>window.hacked = 3</script><!--"
    made = create_trial(value=1.0, params={name: 0.5}, distributions={name: FloatDistribution(0, 1)})
    path = write_report(new_study([made, made]), None, objectives=[name], output=tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert "<script>window" not in text
    assert [column["name"] for column in data(text, "rows")["columns"]].count(name) == 2


@pytest.mark.parametrize("letter", ["x", "영", *slowly("\u202e", "\x1b", "<")])
def test_long_names_are_cut_and_none_turns_what_stands_beside_it(letter: str, tmp_path: Path) -> None:
    """A study of another program, whose parameters, choices and objectives are called what its author likes."""
    name = f"start {letter}" + 10_000 * letter
    space = {name: FloatDistribution(0, 1), f"b{name}": CategoricalDistribution([name, "b"])}
    trials = [
        create_trial(value=i / 9, params={name: i / 9, f"b{name}": (name, "b")[i % 2]}, distributions=space)
        for i in range(9)
    ]
    study = new_study(trials, study_name=f"start {letter}" + 400 * letter)
    for made in study.trials:
        (tmp_path / str(made.number)).mkdir()
    path = write_report(study, tmp_path, objectives=[name])
    pages = [path, *tmp_path.glob("*/index.html")]
    assert len(pages) == 10
    for text in (page.read_text(encoding="utf-8") for page in pages):
        assert not re.search("[\u202e\x1b]", text)
        words = re.sub(r"<script.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
        told = re.findall(r"<(?:h[1-4]|t[hd]|title|caption)\b[^>]*>(.*?)</(?:h[1-4]|t[hd]|title|caption)>", words)
        lengths = [len(html.unescape(part)) for part in told if "start" in part]
        assert lengths and max(lengths) < 300
        shown = letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        assert shown * 30 in html.unescape(words) and shown * 1000 not in html.unescape(words)
    assert max(len(column["name"]) for column in data(path.read_text(encoding="utf-8"), "rows")["columns"]) == 60


def test_a_command_is_never_cut(tmp_path: Path) -> None:
    command = f"key={'x' * 5000}"
    text = write_report(new_study([trial(0)]), tmp_path, command=command).read_text(encoding="utf-8")
    assert text.count("x" * 5000) == 2, "to read and to copy"


def test_class_scores_confusions_and_pairs_are_those_of_the_finalists(search: tuple[optuna.Study, Path]) -> None:
    from sklearn.metrics import confusion_matrix, f1_score

    from docclf.results.reading import read_predictions

    study, folder = search
    text = write_report(study, folder).read_text(encoding="utf-8")
    found = figures(text)
    for name, number in (("winner", 1), ("baseline", 0)):
        oof = read_predictions(folder / "finalists" / str(number) / "oof.csv")
        labels = np.array([int(target) for target in oof.targets])
        counts = confusion_matrix(labels, oof.predicted)
        shares = counts / counts.sum(axis=1, keepdims=True)
        assert np.allclose(found[f"confusion-{name}"]["data"][0]["z"], shares, atol=1e-3)
        f1 = f1_score(labels, oof.predicted, average=None)
        trace = found["classes"]["data"][2 if name == "winner" else 1]
        assert np.allclose(sorted(trace["x"]), sorted(f1), atol=1e-4)
    wrong = counts_of_mistakes(folder / "finalists" / "1" / "oof.csv")
    assert [int(n) for n in re.findall(r"(\d+) pages?, \d+ % of the class", text)] == wrong[:6]


def counts_of_mistakes(path: Path) -> list[int]:
    from docclf.results.reading import read_predictions

    oof = read_predictions(path)
    pairs = [(t, int(p)) for t, p in zip(oof.targets, oof.predicted, strict=True) if int(t) != int(p)]
    return sorted((pairs.count(pair) for pair in set(pairs)), reverse=True)


def test_pages_have_thumbnails_while_they_are_there(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    pages = folder.parents[1] / "pages"
    text = write_report(study, folder).read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text, "of a folder that only the search's folder names"
    text = write_report(study, folder, pages=pages).read_text(encoding="utf-8")
    pictures = re.findall(r'src="(data:image/jpeg;base64,[^"]+)"', text)
    assert len(pictures) >= 3
    assert sum(map(len, pictures)) < 1.1e6
    (folder.parents[1] / "pages").rename(folder.parents[1] / "moved")
    text = write_report(study, folder, pages=pages).read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text
    assert "taken for" in text, "the pairs are still told"


def test_thumbnails_take_about_a_megabyte_at_most(tmp_path: Path) -> None:
    for page in range(200):
        noise = np.random.default_rng(page).integers(0, 255, (168, 168, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{page}.bmp")
    thumbnails = Thumbnails(tmp_path)
    sizes = [len(thumbnails(f"{page}.bmp")) for page in range(200)]
    assert sizes[0] > 5000 and sizes[-1] == 0
    assert 0.9e6 < sum(sizes) < 1.1e6


def test_a_report_is_whole_or_not_there_at_all(
    search: tuple[optuna.Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = search
    path = write_report(study, folder)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_report(study, folder)
    assert path.read_bytes() == before
    assert not list(folder.glob(".report*")), "nothing is left beside it"


@pytest.mark.slow
def test_five_thousand_trials_with_their_folders_take_20_seconds_and_10_megabytes(tmp_path: Path) -> None:
    from optuna.trial import TrialState

    folder = tmp_path / "long"
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.FAIL]
    trials = [trial(i, states[i % 4]) for i in range(5000)]
    for number in range(len(trials)):
        (folder / str(number)).mkdir(parents=True)
    study = new_study(trials)
    start = time.process_time()
    path = write_report(study, folder)
    assert time.process_time() - start < 20
    assert path.stat().st_size < 10e6
    assert (folder / "4999" / "index.html").is_file()


def test_scores_that_cannot_be_compared_are_in_the_table_and_in_no_picture(tmp_path: Path) -> None:
    """Of a merged study, some may be of other data."""
    marked = {"not_comparable": True}
    alike = [*(trial(i) for i in range(9)), trial(9, TrialState.PRUNED)]
    study = new_study([*alike, trial(10, user_attrs=marked), trial(11, TrialState.PRUNED, user_attrs=marked)])
    text = written(study, tmp_path)
    assert [row[0] for row in data(text, "rows")["rows"] if row[-1] == "not comparable"] == [10, 11]
    points = [trace for trace in figures(text)["history-0"]["data"] if trace["mode"] == "markers"]
    assert {x for trace in points for x in trace["x"]} == {*range(10)}
    assert "By fANOVA from 9 finished trials." in text and "9 finished trials as lines" in text
    assert "value of 10 trials against" in text and "after each step of 10 trials" in text


def chip(text: str) -> str:
    return re.findall(r'<span class="chip [a-z]+">([^<]*)</span>', text)[0]


@pytest.mark.parametrize(("kind", "said"), [("minimized", "not re-evaluated"), ("two objectives", "no verdict")])
def test_a_report_without_a_verdict_says_so_and_not_that_the_search_has_finished(
    kind: str, said: str, tmp_path: Path
) -> None:
    assert chip(written(KINDS[kind](), tmp_path)) == said


def test_trials_that_paused_are_not_said_to_be_pruned(tmp_path: Path) -> None:
    for budget, said in (({"budget": 3}, "Every trial is paused"), ({}, "Every trial was pruned")):
        text = written(new_study([trial(i, TrialState.PRUNED, user_attrs=budget) for i in range(3)]), tmp_path)
        assert f"<h1>{said}</h1>" in text and "Try hydra/sweeper/pruner=none, or more trials." in text


def test_finalists_that_were_scored_in_another_way_or_interrupted_are_not_among_those_that_count(
    search: tuple[optuna.Study, Path],
) -> None:
    study, folder = search
    finalists = optuna.load_study(study_name=f"{NAME}-finalists", storage=f"sqlite:///{folder / 'study.db'}")
    finalists.add_trials(
        [
            trial(2, user_attrs={"finalist": "0 seed=2"}, values=[0.987]),
            trial(3, TrialState.FAIL, user_attrs={"finalist": "0 seed=1", "interrupted": "signal"}),
            trial(4, TrialState.RUNNING, user_attrs={"finalist": "1 seed=2"}),
        ]
    )
    text = write_report(study, folder).read_text(encoding="utf-8")
    shown = text.partition('<table id="finalists">')[2].partition("</table>")[0]
    assert "<caption>Finalists, re-evaluated on other folds</caption>" in shown
    assert "0.987" not in shown and "failed" not in shown and shown.count("<tr") - 1 == 3 and "running" in shown
    assert 0.987 not in [cell for row in data(text, "rows")["rows"] for cell in row]


def test_what_was_interrupted_is_no_failure(tmp_path: Path) -> None:
    cut_off = {"cause": "stopped by the search's timeout", "interrupted": "timeout"}
    text = written(new_study([trial(0), trial(1, TrialState.FAIL, user_attrs=cut_off)]), tmp_path)
    assert "Why trials failed" not in text and "1 interrupted" in text
    text = written(new_study([trial(0), trial(1, TrialState.FAIL, user_attrs={"cause": "too large"})]), tmp_path)
    assert "Why trials failed" in text and "too large" in text
