import pytest

from salbench.redaction import without_folders


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/me/data/a.png: no such file", "a.png: no such file"),
        ("expected a file in '/home/me/my data' and \"/mnt/b.npy\"", "expected a file in 'my data' and \"b.npy\""),
        ("ValueError: ~/data/a.png is empty (see /tmp/b/c.txt)", "ValueError: a.png is empty (see c.txt)"),
        ("found none in /a/b c/d, because /tmp/x/e has s2", "found none in d, because e has s2"),
        (r"C:\Users\me\a.png: no such file", "a.png: no such file"),
        (r"\\server\me\a.png: no such file", "a.png: no such file"),
        ("day/a: expected 3 / 4 of https://example.org/a/b", "day/a: expected 3 / 4 of https://example.org/a/b"),
        ("expected shape (3, 4), got (5, 6)", "expected shape (3, 4), got (5, 6)"),
    ],
)
def test_folders_are_left_out(text, kept):
    assert without_folders(text) == kept
