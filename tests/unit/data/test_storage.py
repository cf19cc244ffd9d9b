"""Array files: chunk-wise reading, and rejection of broken files."""

import re
from zlib import crc32

import blosc2
import numpy as np
import pytest

from lumbarseg.data.storage import open_array, write_array
from lumbarseg.errors import InputError


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5, 32, 32, 2), "float32"), ((5, 32, 32), "uint8"), ((1, 32, 32), "uint8"), ((0, 32, 32, 2), "float32")],
)
def test_open_array_reads_written_arrays_by_item_and_slice(tmp_path, shape, dtype):
    array = (np.random.default_rng(1).normal(size=shape) * 50).astype(dtype)
    write_array(tmp_path / "deep" / "patches.b2nd", array)
    opened = open_array(tmp_path / "deep" / "patches.b2nd")
    assert opened.shape == shape
    assert opened.dtype == dtype
    assert len(opened) == shape[0]
    for index in range(shape[0]):
        assert type(opened[index]) is np.ndarray
        np.testing.assert_array_equal(opened[index], array[index])
    np.testing.assert_array_equal(opened[1:4], array[1:4])
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "patches.b2nd"]


def test_write_array_stores_one_chunk_per_item(tmp_path):
    write_array(tmp_path / "patches.b2nd", np.zeros((7, 64, 64, 2), "float32"))
    assert open_array(tmp_path / "patches.b2nd").chunks == (1, 64, 64, 2)


def test_write_array_accepts_non_contiguous_arrays(tmp_path):
    array = np.arange(4 * 6 * 8, dtype="float32").reshape(4, 6, 8)[:, ::-1].transpose(0, 2, 1)
    write_array(tmp_path / "patches.b2nd", array)
    np.testing.assert_array_equal(open_array(tmp_path / "patches.b2nd")[:], array)


def test_write_array_is_reproducible_and_compresses(tmp_path):
    array = np.rint(np.random.default_rng(0).normal(size=(4, 64, 64, 2)) * 300).astype("float32") / 300
    for name in ("a", "b"):
        write_array(tmp_path / f"{name}.b2nd", array)
    assert (tmp_path / "a.b2nd").read_bytes() == (tmp_path / "b.b2nd").read_bytes()
    assert (tmp_path / "a.b2nd").stat().st_size < 0.8 * array.nbytes


def test_open_array_rejects_unusable_files_in_one_sentence(tmp_path):
    write_array(tmp_path / "whole.b2nd", np.random.default_rng(0).normal(size=(4, 64, 64)))
    whole = (tmp_path / "whole.b2nd").read_bytes()
    (tmp_path / "cut.b2nd").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.b2nd").touch()
    (tmp_path / "text.b2nd").write_text("no array " * 1000)
    for name in ("none", "cut", "empty", "text"):
        with pytest.raises(InputError, match=rf"{name}\.b2nd: [^\n]*array file[^\n]*; [^\n]*$"):
            open_array(tmp_path / f"{name}.b2nd")


def test_open_array_finds_every_flipped_bit_that_changes_a_value(tmp_path):
    array = np.rint(np.random.default_rng(0).normal(size=(3, 16, 16, 2)) * 300).astype("float32") / 300
    write_array(tmp_path / "whole.b2nd", array)
    whole = (tmp_path / "whole.b2nd").read_bytes()
    places = np.random.default_rng(1).permutation(8 * len(whole))[:400]
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "damaged.b2nd").write_bytes(damaged)
        try:
            opened = open_array(tmp_path / "damaged.b2nd")
            found = np.stack([opened[index] for index in range(len(opened))])
        except InputError as error:
            assert re.fullmatch(
                rf"{tmp_path}/damaged\.b2nd: [^\n]*; delete it and run .*`snakemake patch`[^\n]*", str(error)
            )
            refused += 1
        else:
            np.testing.assert_array_equal(found, array)
    assert refused > 350


def test_open_array_verifies_an_item_once(tmp_path, monkeypatch):
    write_array(tmp_path / "whole.b2nd", np.arange(5 * 64, dtype="float32").reshape(5, 64))
    opened = open_array(tmp_path / "whole.b2nd")
    summed = []
    monkeypatch.setattr("lumbarseg.data.storage._checksum", lambda item: summed.append(item) or crc32(item))
    for _ in range(3):
        opened[3]
        opened[2:4]
    assert len(summed) == 2


def test_open_array_rejects_files_without_checksums(tmp_path):
    blosc2.asarray(np.zeros((4, 8)), urlpath=str(tmp_path / "old.b2nd"), mode="w")
    with pytest.raises(InputError, match=r"old\.b2nd: array file has no checksums; delete it and run the stage"):
        open_array(tmp_path / "old.b2nd")
