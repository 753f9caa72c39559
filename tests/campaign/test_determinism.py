"""A small part of the campaign on determinism, and that it sees differences."""

from dataclasses import replace

import determinism
import pytest

ONE = b"id,auc,ig\na,0.5,\nb,0.25,1.0\n"


def test_threads_do_not_change_the_bytes(capsys):
    words = ["--limit", "1", "--methods", "spectral_residual,uniform", "--settings", "8 threads, 8 workers"]
    assert determinism.main(words) == 0
    assert "| 8 threads, 8 workers | classical | 2 of 2 " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("other", "far"),
    [
        (ONE, 0),
        (ONE.replace(b"0.25", b"0.255"), 0.005),
        (ONE.replace(b"b,", b"c,"), float("inf")),
        (ONE.replace(b"0.5,", b"0.5,1"), float("inf")),
        (ONE.replace(b"b,0.25,1.0\n", b""), float("inf")),
    ],
)
def test_difference(other, far):
    assert determinism.difference(ONE, other) == pytest.approx(far)


def test_faults():
    setting = replace(determinism.REFERENCE, same_bytes=("classical",))
    near, far = ONE.replace(b"0.25", b"0.2500001"), ONE.replace(b"0.25", b"0.26")

    def fault(setting, method, found):
        ((*_, said),) = determinism._rows(setting, {method: ONE}, {method: found})
        return said

    assert fault(setting, "uniform", ONE) == ""
    assert fault(setting, "uniform", near) == "not equal"
    assert fault(setting, "lite", near) == ""  # equal bytes are promised for classical methods only
    assert fault(setting, "lite", far) == "lite: too far"
    assert fault(determinism.REFERENCE, "uniform", far) == "uniform: too far"


def test_a_command_that_fails(tmp_path):
    setting = replace(determinism.REFERENCE, python="false")  # a command that fails at once
    with pytest.raises(RuntimeError, match="one thread, one worker: exit status 1; it printed: "):
        determinism.scores(setting, tmp_path / "out", "uniform", 1, 0)
