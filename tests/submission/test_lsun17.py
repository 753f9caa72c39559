import errno
import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from salbench import submission, writing
from salbench.maps import quantise, resize
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.submission import SubmissionProblem, check, lsun17

SIZE = (480, 640)
IDS = [f"COCO_test2014_{i:012d}" for i in range(5)]


class Maps(SaliencyMethod):
    """A seeded float map per image, of `shape`; `broken` maps id -> exception."""

    name = "maps"

    def __init__(self, shape=SIZE, broken=()):
        self.shape, self.broken = shape, dict(broken)

    def predict(self, sample):
        assert sample.fixations is None
        if sample.id in self.broken:
            raise self.broken[sample.id]
        return np.random.default_rng(int(sample.id[-3:])).random(self.shape)


def samples(ids=IDS, size=SIZE):
    return [Sample(id, size, lambda: np.zeros((*size, 3), np.uint8), np.array([[1.0, 2.0]])) for id in ids]


def write(path, method=None, ids=IDS, **options):
    return submission.write(method or Maps(), samples(ids), path, runtime=Runtime(workers=2, progress=False), **options)


def faults(path, ids=IDS, **options):
    return check(path, samples(ids), **options).faults


def png(array=None, mode="L", size=(640, 480), format="PNG"):
    image = Image.new(mode, size, 7 if mode == "L" else None) if array is None else Image.fromarray(array)
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def good(ids=IDS):
    return [(f"{id}.png", png()) for id in ids]


def stored(path, id):
    with zipfile.ZipFile(path) as archive:
        return np.asarray(Image.open(io.BytesIO(archive.read(f"{id}.png"))))


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "maps.zip"
    summary = write(path)
    report = check(path, samples())
    assert (report.images, report.faults, report.remarks) == (5, [], [])
    assert (summary.images, summary.bytes) == (5, path.stat().st_size)
    assert str(summary) == f"{path}: 5 maps, {summary.bytes / 1e6:.1f} MB"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{id}.png" for id in IDS]
        assert archive.testzip() is None


@pytest.mark.parametrize("shape", [SIZE, (60, 80)])
def test_pixels_are_those_that_the_protocol_scores(tmp_path, shape):
    method = Maps(shape)
    write(tmp_path / "maps.zip", method)
    for sample in samples():
        expected = quantise(resize(method.predict(sample.blind()), SIZE, "bicubic"))
        np.testing.assert_array_equal(stored(tmp_path / "maps.zip", sample.id), expected)


def test_log_densities_are_exponentiated(tmp_path):
    method = Maps()
    method.output = "log_density"
    write(tmp_path / "maps.zip", method)
    first = samples()[0].blind()
    expected = np.exp(method.predict(first) - method.predict(first).max())
    np.testing.assert_array_equal(stored(tmp_path / "maps.zip", IDS[0]), quantise(expected))


def test_same_maps_give_the_same_bytes_in_the_order_of_the_split(tmp_path):
    ids = [IDS[k] for k in (3, 0, 4, 1, 2)]
    contents = set()
    for workers in (1, 4):
        path = tmp_path / f"{workers}.zip"
        submission.write(Maps(), samples(ids), path, runtime=Runtime(workers=workers, progress=False))
        contents.add(path.read_bytes())
    assert len(contents) == 1
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{id}.png" for id in ids]


def test_memory_is_bounded(tmp_path):
    """No image is begun before all but a window of those ahead of it are in the file."""
    begun, written = [], []

    class Watching(Maps):
        def predict(self, sample):
            begun.append(sample.id)
            return np.ones((3, 4))

    real = zipfile.ZipFile.writestr

    def watch(archive, info, content):
        written.append(info.filename)
        assert len(begun) - len(written) <= 4
        real(archive, info, content)

    ids = [f"{i:03d}" for i in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", watch)
        write(tmp_path / "maps.zip", Watching(), ids)
    assert len(written) == 40


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "maps.zip"
    path.write_bytes(b"old")
    write(path)
    assert check(path, samples()).images == 5


def test_a_failed_image_stops_and_is_named(tmp_path):
    method = Maps(broken={IDS[2]: OSError("no such map")})
    with pytest.raises(SubmissionProblem, match=f"{IDS[2]}: OSError: no such map.*Nothing was written; --partial"):
        write(tmp_path / "maps.zip", method)
    assert list(tmp_path.iterdir()) == []


def test_a_map_of_nan_is_a_failed_image(tmp_path):
    class Nan(Maps):
        def predict(self, sample):
            return np.full(SIZE, np.nan)

    with pytest.raises(SubmissionProblem, match=f"{IDS[0]}: ValueError: .*finite"):
        write(tmp_path / "maps.zip", Nan())


def test_partial_leaves_out_what_failed_and_says_so(tmp_path, warned):
    path = tmp_path / "maps.zip"
    summary = write(path, Maps(broken={IDS[2]: OSError("no such map")}), partial=True)
    assert summary.images == 4
    assert list(summary.failed) == [IDS[2]]
    assert summary.failed[IDS[2]].startswith("OSError: no such map")
    assert "PARTIAL: 1 images failed" in str(summary)
    assert any(f"left out 1 of 5 images, such as {IDS[2]}" in line for line in warned)
    report = check(path, samples(), partial=True)
    assert (report.images, report.faults) == (4, [])
    assert faults(path) == [f"1 of 5 maps are missing, such as {IDS[2]}.png"]


def test_partial_without_any_map_is_refused(tmp_path):
    with pytest.raises(SubmissionProblem, match="found none"):
        write(tmp_path / "maps.zip", Maps(broken={id: OSError("gone") for id in IDS}), partial=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [MethodUnavailable("needs weights"), MemoryError()])
def test_what_is_no_fault_of_an_image_stops_a_partial_submission_too(tmp_path, error):
    with pytest.raises(type(error)):
        write(tmp_path / "maps.zip", Maps(broken={IDS[1]: error}), partial=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [(zipfile.ZipFile, "writestr"), (writing.os, "fsync")])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, target):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "maps.zip"
    path.write_bytes(b"old")
    monkeypatch.setattr(*target, full)
    with pytest.raises(OSError, match="No space left"):
        write(path, partial=True)
    assert [p.name for p in tmp_path.iterdir()] == ["maps.zip"]
    assert path.read_bytes() == b"old"


def test_what_does_not_come_back_from_the_disk_is_not_given_the_name(tmp_path, monkeypatch):
    monkeypatch.setattr(lsun17, "member", lambda name: f"maps/{name}")
    with pytest.raises(SubmissionProblem, match="at the root"):
        write(tmp_path / "maps.zip")
    assert list(tmp_path.iterdir()) == []


def test_another_data_set_is_refused(tmp_path):
    mixed = [*samples(), *samples(["odd"], (600, 800))]
    with pytest.raises(SubmissionProblem, match="640 x 480; got 1 of 6 images of another size, the first odd of 800 x"):
        submission.write(Maps(), mixed, tmp_path / "maps.zip", runtime=Runtime(workers=1, progress=False))


def test_ids_that_are_no_file_names_are_refused(tmp_path):
    with pytest.raises(SubmissionProblem, match="plain file names, got 1 others such as 'a/b'"):
        write(tmp_path / "maps.zip", ids=["a/b", "c"])


def test_a_method_that_needs_fixations_is_refused(tmp_path):
    method = Maps()
    method.sees_fixations = True
    with pytest.raises(SubmissionProblem, match="maps: needs the fixations"):
        write(tmp_path / "maps.zip", method)


def test_maps_of_zeros_are_reported(tmp_path, warned):
    path = make_zip(tmp_path / "maps.zip", [*good(IDS[1:]), (f"{IDS[0]}.png", png(np.zeros(SIZE, np.uint8)))])
    report = check(path, samples())
    assert report.remarks == [f"1 of 5 maps are zero everywhere, such as {IDS[0]}.png"]
    assert report.faults == []

    class Zeros(Maps):
        def predict(self, sample):
            return np.zeros((3, 4))

    summary = write(path, Zeros())
    assert any("5 of 5 maps are zero everywhere" in line for line in warned)
    assert "5 of 5 maps are zero everywhere" in str(summary)


FAULTS = {
    "missing": (good(IDS[1:]), f"1 of 5 maps are missing, such as {IDS[0]}.png"),
    "empty": ([], "expected maps, found none"),
    "extra": ([*good(), ("readme.txt", b"hello")], "readme.txt: not an image of this split with .png"),
    "suffix": ([*good(IDS[1:]), (f"{IDS[0]}.PNG", png())], f"{IDS[0]}.PNG: not an image of this split"),
    "nested": ([(f"maps/{name}", content) for name, content in good()], f"maps/{IDS[0]}.png: expected all files at"),
    "folder": ([*good(), ("maps/", b"")], "maps/: expected all files at the root"),
    "width": ([*good(IDS[1:]), (f"{IDS[0]}.png", png(size=(480, 640)))], "640 x 480, got L 480 x 640"),
    "colour": ([*good(IDS[1:]), (f"{IDS[0]}.png", png(mode="RGB"))], "grey \\(L\\) 640 x 480, got RGB 640 x 480"),
    "16 bit": ([*good(IDS[1:]), (f"{IDS[0]}.png", png(np.ones(SIZE, np.uint16)))], "got I;16 640 x 480"),
    "jpeg": ([*good(IDS[1:]), (f"{IDS[0]}.png", png(format="JPEG"))], f"{IDS[0]}.png: .* PNG: cannot identify"),
    "truncated": ([*good(IDS[1:]), (f"{IDS[0]}.png", png()[:-60])], f"{IDS[0]}.png: .* PNG: .*truncated"),
    "bomb": ([*good(IDS[1:]), (f"{IDS[0]}.png", bytes(2**20 + 1))], "unpacks to 1048577 bytes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_says_what_is_wrong(tmp_path, fault):
    members, message = FAULTS[fault]
    found = faults(make_zip(tmp_path / "maps.zip", members))
    assert any(re.search(message, each) for each in found), found


def test_every_damage_has_a_message_of_its_own():
    assert len({message for _, message in FAULTS.values()}) == len(FAULTS) >= 10


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"missing"}))
def test_a_partial_submission_may_only_miss_maps(tmp_path, fault):
    members, message = FAULTS[fault]
    assert any(re.search(message, each) for each in faults(make_zip(tmp_path / "maps.zip", members), partial=True))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_every_fault_is_found_in_one_pass(tmp_path):
    members = [("a.txt", b""), *good(IDS[:1]), *good(IDS[:1]), (f"{IDS[1]}.png", png(mode="RGB")), ("x/y.png", b"")]
    assert faults(make_zip(tmp_path / "maps.zip", members)) == [
        f"3 of 5 maps are missing, such as {IDS[2]}.png",
        f"{IDS[0]}.png: 2 times",
        "x/y.png: expected all files at the root, without folders",
        "a.txt: not an image of this split with .png",
        f"{IDS[1]}.png: expected 8-bit grey (L) 640 x 480, got RGB 640 x 480",
    ]


def test_a_changed_byte_is_found(tmp_path):
    path = tmp_path / "maps.zip"
    write(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (fault,) = faults(path)
    assert "cannot be unpacked: Bad CRC-32" in fault


def test_what_is_no_zip_is_found(tmp_path):
    path = tmp_path / "maps.zip"
    with pytest.raises(SubmissionProblem, match="no such file"):
        check(path, samples())
    write(path)
    path.write_bytes(path.read_bytes()[:-100])
    (fault,) = faults(path)
    assert fault.startswith("expected a zip archive")


def test_an_error_lists_the_first_faults():
    assert (
        submission._first([f"fault {n}" for n in range(9)]) == "fault 0; fault 1; fault 2; fault 3; fault 4; and 4 more"
    )


def test_an_unknown_format(tmp_path):
    with pytest.raises(ValueError, match="format: expected one of lsun17, lsun15, tuebingen, got 'lsun'"):
        write(tmp_path / "maps.zip", format="lsun")
