"""A short part of the pairs; all of them: python tests/campaign/together.py"""


def test_a_few(run_part):
    assert "| all " in run_part("together", "--pairs", 1, "--commands", "run,edit")
