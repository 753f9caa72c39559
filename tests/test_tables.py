"""Tables come from files alone: bold, direction, intervals, the ceiling apart, claimed beside measured."""

import csv
import io
import json
from dataclasses import replace

import pytest

from salbench import registry, results, tables
from salbench.identity import Identity
from salbench.metrics import METRICS

FACTS = {"method": "a", "dataset": "toy", "fingerprint": "f", "protocol": "tuebingen", "protocol_version": 1}


def result(label, value, **changes):
    """A result whose every metric is `value` with the interval value - 0.01 .. value + 0.03."""
    metrics = {name: {"mean": value, "low": value - 0.01, "high": value + 0.03, "n": 5} for name in METRICS}
    plain = results.Result(
        identity=Identity(FACTS | {"method": label}), metrics=metrics, output="map", ceiling=False, gaze="eye tracker",
        n_images=5, n_failed=0, n_without_fixations=0, n_resized=0, zero_share=0.0, failures={}, seconds=1.0,
    )  # fmt: skip
    return replace(plain, **changes)


def save(out, *found):
    for r in found:
        results.write(r, [], out)


def line(text, name):
    (found,) = [row for row in text.splitlines() if row.startswith(f"| {name} ")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_best_is_bold_in_each_direction_and_the_ceiling_is_last_and_never_bold(tmp_path):
    save(tmp_path, result("low", 0.2), result("high", 0.7), result("top", 0.9, ceiling=True))
    text = tables.dataset_table(tmp_path, "toy")
    names = ["method", *METRICS]
    low, high, top = (dict(zip(names, line(text, n), strict=True)) for n in ("low", "high", r"top (ceiling)"))
    for name, metric in METRICS.items():
        assert ("**" in high[name]) == metric.higher_is_better
        assert ("**" in low[name]) == (not metric.higher_is_better)
        assert "**" not in top[name]
    assert low["kl"] == "**0.200** ±0.020"
    assert text.index("| high ") < text.index("| low ") < text.index("| top (ceiling)")
    assert "auc ↑" in text
    assert "kl ↓" in text


def test_what_the_methods_explain_of_the_ceiling(tmp_path):
    """ig is zero for the baseline, so its ratio to the ceiling's is a part of what can be explained."""
    save(tmp_path, result("low", -0.2), result("high", 0.6), result("silent", 0.6, metrics=dict.fromkeys(METRICS)))
    assert "Explained" not in tables.dataset_table(tmp_path, "toy")
    save(tmp_path, result("top", 0.8, ceiling=True))
    notes = tables.dataset_table(tmp_path, "toy").splitlines()
    assert "- Explained information, ig divided by that of top: high 75%, low -25%." in notes
    assert sum("Explained" in note for note in notes) == 1
    assert "- cc of top: what a perfect prediction is expected to reach on so few observers." in notes
    assert sum("perfect prediction" in note for note in notes) == 1


@pytest.mark.parametrize("highest", [0.0, -0.1])
def test_a_ceiling_no_better_than_the_baseline_explains_nothing(tmp_path, highest):
    save(tmp_path, result("a", 0.2), result("top", highest, ceiling=True))
    assert "Explained" not in tables.dataset_table(tmp_path, "toy")


def test_a_ceiling_without_a_value_has_no_note(tmp_path):
    save(tmp_path, result("a", 0.2), result("top", 0.9, ceiling=True, metrics=dict.fromkeys(METRICS)))
    text = tables.dataset_table(tmp_path, "toy")
    assert "Explained" not in text
    assert "perfect prediction" not in text


def test_what_was_trained_on_these_images_comes_after_the_ranked_ones_and_is_never_bold(tmp_path):
    save(tmp_path, result("good", 0.6), result("knows", 0.9, n_seen=4))
    text = tables.dataset_table(tmp_path, "toy")
    assert "**" not in "".join(line(text, "knows (trained on 4 of these images)"))
    assert "**0.600**" in line(text, "good")[1]
    assert text.index("| good ") < text.index("| knows ")
    assert "(trained on N of these images): not a test, so not ranked." in text
    save(tmp_path, result("knows", 0.9))
    assert "trained on" not in tables.dataset_table(tmp_path, "toy")


def test_ties_as_printed_are_both_bold(tmp_path):
    save(tmp_path, result("a", 0.50001), result("b", 0.50002))
    text = tables.dataset_table(tmp_path, "toy")
    assert "**0.500**" in line(text, "a")[1]
    assert "**0.500**" in line(text, "b")[1]


def test_a_method_with_failed_images_gets_no_mean(tmp_path):
    save(tmp_path, result("good", 0.6), result("bad", 0.99, n_failed=2, failures={"1": "x", "2": "y"}))
    text = tables.dataset_table(tmp_path, "toy")
    assert line(text, "bad (incomplete, 2 of 5 failed)")[1:] == ["–"] * len(METRICS)
    assert "**0.600**" in line(text, "good")[1]
    assert "0.99" not in text


def test_protocols_and_contents_of_a_data_set_are_never_in_one_table(tmp_path):
    save(tmp_path, result("a", 0.5))
    other = result("b", 0.6)
    save(tmp_path, replace(other, identity=Identity(other.identity.facts | dict(protocol="mit"))))
    third = result("c", 0.7)
    save(tmp_path, replace(third, identity=Identity(third.identity.facts | dict(fingerprint="g"))))
    text = tables.dataset_table(tmp_path, "toy")
    assert text.count("| method") == 3
    assert text.count("protocol tuebingen v1") == 2
    assert text.count("protocol mit v1") == 1


def test_notes_say_what_a_reader_must_know(tmp_path):
    save(tmp_path, result("a", 0.5, zero_share=0.25, n_resized=5))
    text = tables.dataset_table(tmp_path, "toy")
    assert "fewer images" not in text
    assert "a: 25% of its pixels are exactly zero, which raises kl" in text


def with_fewer(found, **numbers):
    """The result with other numbers of images in the means of some metrics."""
    cells = {name: found.metrics[name] | {"n": n} if n else None for name, n in numbers.items()}
    return replace(found, metrics=found.metrics | cells)


def test_without_fixations_the_metrics_that_need_them_are_left_out_and_named(tmp_path):
    needing = ["auc", "auc_judd", "auc_borji", "sauc", "nss", "ig"]
    cell = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 5}

    def of_densities(label, value, **changes):
        metrics = {name: None if name in needing else cell | {"mean": value} for name in METRICS}
        return result(label, 0.5, metrics=metrics, n_without_fixations=5, **changes)

    save(tmp_path, of_densities("low", 0.2), of_densities("high", 0.7))
    text = tables.dataset_table(tmp_path, "toy")
    assert "| method | cc ↑" in " ".join(text.split())
    assert "nss ↑" not in text
    assert text.index("| high ") < text.index("| low ")
    note = "- This data set has densities but no fixations, which these need: auc, auc_judd, auc_borji, sauc, nss, ig."
    assert note in text.splitlines()
    assert "nss" in tables.dataset_table(tmp_path, "toy", metrics=["nss"])
    save(tmp_path, result("all_failed", 0.2, metrics=dict.fromkeys(METRICS), n_failed=5))
    assert note in tables.dataset_table(tmp_path, "toy")


def test_a_data_set_with_fixations_whose_images_all_failed_keeps_its_columns(tmp_path):
    save(tmp_path, result("all_failed", 0.2, metrics=dict.fromkeys(METRICS), n_failed=5))
    assert "nss ↑" in tables.dataset_table(tmp_path, "toy")


def test_what_the_data_set_notes_is_said_once(tmp_path):
    save(tmp_path, *(result(label, 0.2, dataset_notes=["Of 9 fixations, 2 were left out."]) for label in "ab"))
    assert tables.dataset_table(tmp_path, "toy").count("- Of 9 fixations, 2 were left out.") == 1


def test_how_many_images_are_in_a_mean_is_said_once_for_all_rows(tmp_path):
    save(tmp_path, *(with_fewer(result(name, 0.5), auc=3, nss=3, cc=4) for name in ("a", "b")))
    save(tmp_path, with_fewer(result("top", 0.9, ceiling=True), auc=3, nss=3, cc=None))
    text = tables.dataset_table(tmp_path, "toy")
    assert text.count("fewer images") == 1
    assert "- Means over fewer images: auc, nss: 3 of 5; cc: 4 of 5.\n" in text


def test_rows_whose_means_are_over_other_images_are_named(tmp_path):
    save(tmp_path, with_fewer(result("a", 0.5), auc=4, nss=2), with_fewer(result("b", 0.5), auc=4))
    text = tables.dataset_table(tmp_path, "toy")
    assert "- Means over fewer images: auc: 4 of 5.\n" in text
    assert "- a: Means over fewer images: nss: 2 of 5.\n" in text
    assert text.count("fewer images") == 2


def test_rows_and_columns_in_the_order_asked_for(tmp_path):
    save(tmp_path, result("a", 0.2), result("b", 0.5), result("top", 0.9, ceiling=True), result("c", 0.4))
    chosen = {"methods": ["top", "a", "b"], "metrics": ["nss", "auc"]}
    text = tables.dataset_table(tmp_path, "toy", **chosen)
    rows = [row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")]
    assert rows == ["method", "top (ceiling)", "a", "b"]
    assert line(text, "b") == ["b", "**0.500** ±0.020", "**0.500** ±0.020"]
    assert "nss ↑" in text
    assert "ig" not in text.split("- ", 1)[1].split()  # no note on a column that is not shown
    assert tables.dataset_table(tmp_path, "toy", "csv", **chosen).startswith("method,nss,nss_low,nss_high,auc,")
    with pytest.raises(tables.TableProblem, match=r"unknown row 'd'\. Known: a, b, c, top"):
        tables.dataset_table(tmp_path, "toy", methods=["a", "d"])
    with pytest.raises(tables.TableProblem, match=r"unknown metric 'acu'\. Did you mean 'auc'"):
        tables.dataset_table(tmp_path, "toy", metrics=["acu"])


def test_a_row_that_failed_stays_until_other_rows_are_chosen(tmp_path):
    save(tmp_path, result("a", 0.2), result("bad", 0.5, n_failed=1, failures={"x": "no"}))
    text = tables.dataset_table(tmp_path, "toy")
    assert "| bad (incomplete, 1 of 5 failed) " in text
    assert "choose other rows with: salbench table --methods NAMES" in text
    assert "incomplete" not in tables.dataset_table(tmp_path, "toy", methods=["a"])


def test_an_interval_at_a_bound_prints_its_longer_side(tmp_path):
    """0.98 within [0.90, 1] is not 0.98 ±0.05, whose lower end is 0.93. NSS has no bounds."""
    cell = {"mean": 0.98, "low": 0.90, "high": 1.0, "n": 5}
    save(tmp_path, result("a", 0.5, metrics=dict.fromkeys(METRICS) | {"auc": cell, "nss": cell}), result("b", 0.5))
    text = tables.dataset_table(tmp_path, "toy")
    cells = dict(zip(["method", *METRICS], line(text, "a"), strict=True))
    assert (cells["auc"], cells["nss"]) == ("**0.980** ±0.080", "**0.980** ±0.050")
    assert "- auc: an interval is cut off at the metric's bound; its ± is the longer side.\n" in text
    save(tmp_path, result("a", 0.5))
    assert "cut off" not in tables.dataset_table(tmp_path, "toy")


def test_untrained_networks_are_left_out_and_named_once(tmp_path):
    save(tmp_path, result("a", 0.5), result("b", 0.6))
    save(tmp_path, result("net+random-init", 0.99, untrained=True), result("other", 0.99, untrained=True))
    text = tables.dataset_table(tmp_path, "toy")
    assert "0.99" not in text
    assert "**0.600**" in line(text, "b")[1]
    assert text.count("Left out because their weights are random: net+random-init, other.") == 1
    assert "net" not in tables.dataset_table(tmp_path, "toy", "csv")


def test_untrained_networks_alone_make_no_table(tmp_path):
    save(tmp_path, result("net+random-init", 0.99, untrained=True))
    with pytest.raises(tables.TableProblem, match=r"found only some with random weights\. A run makes them"):
        tables.dataset_table(tmp_path, "toy")
    untrained = result("b", 0.7, untrained=True)
    save(tmp_path, result("a", 0.5), replace(untrained, identity=Identity(FACTS | {"method": "b", "protocol": "mit"})))
    assert tables.dataset_table(tmp_path, "toy").count("| method") == 1


def test_simulated_gaze_is_said_in_the_title(tmp_path):
    save(tmp_path, result("b", 0.5, gaze="simulated"))
    assert "SIMULATED gaze" in tables.dataset_table(tmp_path, "toy").splitlines()[0]


def test_csv_holds_full_precision_and_parses(tmp_path):
    save(tmp_path, result("a", 1 / 3), result("b", 0.1, metrics=dict.fromkeys(METRICS)))
    rows = list(csv.DictReader(io.StringIO(tables.dataset_table(tmp_path, "toy", "csv"))))
    assert float(rows[0]["auc"]) == 1 / 3
    assert float(rows[0]["kl_high"]) == 1 / 3 + 0.03
    assert rows[1]["auc"] == ""


def test_latex_escapes_names_and_keeps_columns(tmp_path):
    save(tmp_path, result("spectral_residual", 0.5), result("from_folder+a&b", 0.4))
    text = tables.dataset_table(tmp_path, "toy", "latex")
    body = [row for row in text.splitlines() if row.rstrip().endswith(r"\\")]
    assert r"spectral\_residual" in text
    assert r"from\_folder+a\&b" in text
    assert {row.replace(r"\&", "").count("&") for row in body} == {len(METRICS)}
    assert all(row.startswith("%") for row in text.splitlines() if "bootstrap" in row)


def test_measured_rows_stand_beneath_the_papers(tmp_path):
    """Published weights and a training without augmentation beneath one row, each with what it was trained on."""
    for name, notes in (("unisal", ["published."]), ("unisal+plain", []), ("unisal+aug", ["trained with edits."])):
        r = result(name, 0.55, notes=notes)
        save(tmp_path, replace(r, identity=Identity(r.identity.facts | dict(dataset="salicon_val", protocol="augsal"))))
    text = tables.paper_table("table2", tmp_path)
    names = [row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")]
    claimed = names.index("UNISAL (paper)")
    assert names[claimed : claimed + 5] == [
        "UNISAL (paper)",
        "unisal (measured on salicon_val, augsal)",
        "unisal+plain (measured on salicon_val, augsal)",
        "UNISAL + augmentation (paper)",
        "unisal+aug (measured on salicon_val, augsal)",
    ]
    measured = next(row for row in text.splitlines() if "unisal+aug (measured" in row)
    assert "±0.020" in measured
    assert "**" not in measured
    assert "- unisal: published.\n" in text
    assert "- unisal+aug: trained with edits.\n" in text


def test_what_the_server_measured_stands_beside_what_we_measured_on_the_validation_set(tmp_path, monkeypatch):
    monkeypatch.setenv("SALBENCH_WEIGHTS", str(tmp_path / "weights"))
    r = result("simplenet", 0.55)
    save(tmp_path, replace(r, identity=Identity(r.identity.facts | dict(dataset="salicon_val", protocol="lsun17"))))
    text = tables.paper_table("table1", tmp_path)
    claimed, measured = (line for line in text.splitlines() if line.startswith(("| SimpleNet", "| simplenet")))
    assert claimed.startswith("| SimpleNet (paper) ")
    assert measured.startswith("| simplenet (measured on salicon_val, lsun17) ")
    assert "no run of these methods" not in text
    told = "- UNISAL: unisal has no weights; download weights_best.pth from https://github.com/rdroste/unisal into "
    assert f"{told}{tmp_path / 'weights' / 'unisal'} (see" in text
    assert "salicon_val yet" in tables.paper_table("table1", tmp_path / "nothing")


def test_the_papers_rows_stand_beside_runs_of_its_data_set_and_protocol(tmp_path):
    r = result("uniform", 0.5)
    save(tmp_path, replace(r, identity=Identity(r.identity.facts | dict(dataset="salicon_val", protocol="augsal"))))
    text = tables.dataset_table(tmp_path, "salicon_val")
    assert "TempSAL (paper, table2)" in text
    assert "(paper): claimed by the paper" in text
    save(tmp_path, replace(r, identity=Identity(r.identity.facts | dict(dataset="salicon_val", protocol="mit"))))
    assert "(paper" not in tables.dataset_table(tmp_path, "salicon_val")


def test_the_papers_numbers_are_those_of_the_paper(shared):
    columns = {"AUC": "auc_judd", "sAUC": "sauc", "KL": "kl", "NSS": "nss", "CC": "cc", "SIM": "sim"}
    for name, file in (("table1", "table1_salicon_test.csv"), ("table2", "table2_salicon_val.csv")):
        ours = {row["model"]: row["values"] for row in json.loads((tables.PAPER / f"{name}.json").read_text())["rows"]}
        claimed = {}
        with open(shared / "paper" / file, newline="") as source:
            for row in csv.DictReader(source):
                model = row.pop("model")
                for column, value in row.items():
                    label = f"{model} + augmentation" if column.endswith("_aug") else model
                    claimed.setdefault(label, {})[columns[column.removesuffix("_aug")]] = float(value)
        assert ours == claimed


def test_every_system_of_the_first_table_can_run():
    """The system of the paper itself comes with weights for another backbone."""
    rows = json.loads((tables.PAPER / "table1.json").read_text())["rows"]
    assert all(row["methods"] for row in rows)
    names = tables.paper_methods("table1")
    assert len(names) == 12
    assert [name for name in names if not registry.get(name).checkpoints] == ["diffusion_readout"]


def test_no_results_says_how_to_make_some(tmp_path):
    with pytest.raises(tables.TableProblem, match=r"A run makes them: salbench run --dataset osie"):
        tables.dataset_table(tmp_path, "osie")


def test_an_unknown_table_is_told(tmp_path):
    with pytest.raises(tables.TableProblem, match=r"table1, table2, got 'table9'"):
        tables.paper_table("table9", tmp_path)


def test_a_change_has_its_sign_a_star_where_it_is_sure_and_is_bold_where_that_is_a_gain():
    def cells(mean, p):
        return {name: {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "p": p} for name in METRICS}

    rows = [tables.Row("up", cells(0.1, 0.01), signed=True), tables.Row("down", cells(-0.1, 0.01), signed=True)]
    rows += [tables.Row("unsure", cells(0.2, 0.06), signed=True), tables.Row("tiny", cells(-0.0003, 0.01), signed=True)]
    text = tables.render("changes", rows, METRICS, [], "md")
    names = ["method", *METRICS]
    up, down, unsure = (dict(zip(names, line(text, n), strict=True)) for n in ("up", "down", "unsure"))
    assert (up["nss"], down["nss"], unsure["nss"]) == ("**+0.100** ±0.010*", "-0.100 ±0.010*", "+0.200 ±0.010")
    tiny = dict(zip(names, line(text, "tiny"), strict=True))
    assert (tiny["nss"], tiny["kl"]) == ("-0.000 ±0.010*", "**-0.000** ±0.010*")
    assert (up["kl"], down["kl"], unsure["kl"]) == ("+0.100 ±0.010*", "**-0.100** ±0.010*", "+0.200 ±0.010")
