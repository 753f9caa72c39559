"""Values of options, and the objects that are made of options."""

from argparse import ArgumentTypeError, _SubParsersAction
from dataclasses import fields
from pathlib import Path

import pytest

from salbench import cli
from salbench.cli import _options, _values
from salbench.runtime import Runtime


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (_values.words, "a, b,,c ", ["a", "b", "c"]),
        (_values.words, 'a,b:"c d,e", f="g,h"', ["a", 'b:"c d,e"', 'f="g,h"']),
        (_values.words, 'a",b', ['a"', "b"]),
        (_values.positive, "3", 3),
        (_values.seed, "0", 0),
        (_values.seeds, "0,1, 2", [0, 1, 2]),
        (_values.probability, "0.25", 0.25),
        (_values.probabilities, "0, 0.25,1", [0.0, 0.25, 1.0]),
        (_values.numbers, "-0.2,1e-1", [-0.2, 0.1]),
        (_values.loss_weights, "kl=1, cc=0.5", {"kl": 1.0, "cc": 0.5}),
        (_values.loss_weights, "kl=0", {"kl": 0.0}),
    ],
)
def test_values(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (_values.positive, "0", "expected a whole number above 0, got '0'"),
        (_values.positive, "1.5", "expected a whole number above 0, got '1.5'"),
        (_values.seed, "-1", "expected a whole number, 0 or above, got '-1'"),
        (_values.seeds, "0,", "expected a whole number, 0 or above, got ''"),
        (_values.probability, "1.1", "expected a probability from 0 to 1, got '1.1'"),
        (_values.probability, "nan", "expected a probability from 0 to 1, got 'nan'"),
        (_values.probabilities, "0.5,2", "expected a probability from 0 to 1, got '2'"),
        (_values.numbers, "1;2", "expected numbers separated by commas, got '1;2'"),
        (_values.loss_weights, "kl", "expected NAME=WEIGHT separated by commas"),
        (_values.loss_weights, "kl=1,cc=-1", "no weight below 0"),
        (_values.loss_weights, "kl=inf", "got 'kl=inf'"),
    ],
)
def test_wrong_values(parse, text, message):
    with pytest.raises(ArgumentTypeError, match=message):
        parse(text)


def test_a_home_folder_is_expanded_where_a_shell_does_not(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.parser().parse_args(["run", "--out=~/r"]).out == tmp_path / "r"


def test_every_verb_that_opens_data_sets_has_a_choice_for_fixations_off_the_image():
    actions = {name: parser._option_string_actions for name, parser in verb_parsers().items()}
    with_data = {name for name, options in actions.items() if "--data-root" in options}
    assert with_data == {name for name, options in actions.items() if "--off-image" in options}
    assert {"run", "fit", "show", "edit", "ablate"} <= with_data


def verb_parsers():
    (verbs,) = (action for action in cli.parser()._actions if isinstance(action, _SubParsersAction))
    return verbs.choices


class TestRuntime:
    def made(self, *words):
        return _options.runtime(cli.parser().parse_args(words))

    def test_options_reach_it(self):
        words = "--workers 3 --batch-size 5 --seed 7 --weights-root w --backbone b --init random"
        expected = Runtime(workers=3, batch_size=5, seed=7, weights_root=Path("w"), backbone="b", init="random")
        assert self.made("run", *words.split()) == expected

    @pytest.mark.parametrize("verb", ["run", "submit --methods lite", "features", "edit", "study", "speed"])
    def test_defaults_are_those_of_runtime(self, verb):
        assert self.made(*verb.split()) == Runtime()

    def test_the_batches_of_a_training_are_not_those_of_predictions(self):
        assert self.made("fit", "--methods", "lite", "--batch-size", "4") == Runtime()

    def test_every_shared_option_is_a_field(self):
        assert set(_options._RUNTIME) <= {field.name for field in fields(Runtime)}

    def test_a_device_that_does_not_exist_is_an_error(self):
        with pytest.raises(ValueError, match="device"):
            self.made("run", "--device", "warp")
