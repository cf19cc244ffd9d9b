"""Array files: chunk-wise reading, and rejection of broken files."""

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
