"""A short part of the kills; all of them: python tests/campaign/kills.py"""


def test_a_few(run_part):
    assert "| all " in run_part("kills", "--kills", 8, "--commands", "run,predict,edit,report")
