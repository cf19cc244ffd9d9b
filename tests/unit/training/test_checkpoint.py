"""The state of a training on disk: the best epoch, its file, and damaged files."""

import shutil
import zipfile

import numpy as np
import pytest

from factories.training import tiny_task, train
from lumbarseg.errors import InputError
from lumbarseg.training.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def trained(sessions, tmp_path_factory):
    """The folder of a finished training of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    train(sessions, folder, epochs=1)
    return folder


@pytest.fixture
def state(trained, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(trained, tmp_path / "state")


@pytest.mark.parametrize(("column", "best"), [("val_accuracy", 2), ("val_patch_iou", 4)])
def test_record_epoch_keeps_the_first_epoch_with_the_greatest_value(tmp_path, column, best):
    task = tiny_task()
    checkpoint = Checkpoint(tmp_path, {}, [task])
    values = {"val_accuracy": [np.nan, 0.7, 0.7, 0.6, 0.7], "val_patch_iou": [np.nan, 0.1, 0.2, 0.5, 0.5]}
    for number in range(5):
        row = {"epoch": number + 1} | {name: series[number] for name, series in values.items()}
        checkpoint.record_epoch([row], column)
        assert checkpoint.best_file(task).is_file()
    assert [file.name for file in checkpoint.folder.glob("*.keras")] == [f"best-U1-epoch-{best}.keras"]
    again = Checkpoint(tmp_path, {}, [task])
    assert again.restore() == 5
    assert again.best_file(task) == checkpoint.best_file(task)
    np.testing.assert_equal(again.histories, checkpoint.histories)


def test_checkpoint_of_another_training_is_another_folder(tmp_path):
    folders = {Checkpoint(tmp_path, {"learning_rate": rate}, [tiny_task()]).folder for rate in (0.1, 0.2, 0.1)}
    assert len(folders) == 2


def truncate(file):
    file.write_bytes(file.read_bytes()[:1000])


def flip_a_byte(file):
    with zipfile.ZipFile(file) as archive:
        place = max(archive.infolist(), key=lambda part: part.file_size).header_offset + 500
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def remove(file):
    file.unlink()


@pytest.mark.parametrize(
    ("pattern", "damage", "found"),
    [
        ("state.npz", truncate, "not a zip file"),
        ("best-U1-epoch-1.keras", truncate, "not a zip file"),
        ("best-U1-epoch-1.keras", flip_a_byte, "checksum of"),
        ("best-U1-epoch-1.keras", remove, "No such file"),
    ],
)
def test_restore_refuses_damaged_state_and_leaves_it_as_it_is(sessions, state, pattern, damage, found):
    (file,) = state.glob(f"state-*/{pattern}")
    damage(file)
    left = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    message = rf"{pattern}: the state of .* is damaged \(.*{found}.*remove .* to train from the first epoch"
    with pytest.raises(InputError, match=message):
        train(sessions, state, epochs=2)
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == left
