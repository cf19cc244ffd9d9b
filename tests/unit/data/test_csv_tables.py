"""Tables are read back as they were written."""

import pandas as pd
import pytest

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import TEXTS, read_csv
from lumbarseg.errors import InputError


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_read_csv_returns_what_write_csv_wrote(tmp_path, name):
    table = pd.DataFrame(
        {
            "participant_id": ["007", "NA"],
            "session_id": ["01", "null"],
            "class_name": ["NA", "7"],
            "iou": [None, 0.1 + 0.2],
        }
    )
    write_csv(tmp_path / name, table)
    pd.testing.assert_frame_equal(read_csv(tmp_path / name), table)


@pytest.mark.parametrize("name", TEXTS)
def test_read_csv_keeps_names_that_look_like_no_number_or_like_one(tmp_path, name):
    table = pd.DataFrame({name: ["nan", "NaN", "007", "1e3"], "iou": [0.5, None, 0.25, -1]})
    write_csv(tmp_path / "table.csv", table)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "table.csv"), table)


def test_read_csv_reads_missing_numbers_as_missing(tmp_path):
    (tmp_path / "table.csv").write_text("class_name,iou,fold\nnan,nan,1\n,,2\n")
    found = read_csv(tmp_path / "table.csv")
    assert found["class_name"].isna().tolist() == [False, True]
    assert found["iou"].dtype == float
    assert found["iou"].isna().all()
    assert found["fold"].tolist() == [1, 2]


def test_read_csv_rejects_damaged_tables_in_one_sentence(tmp_path):
    write_csv(tmp_path / "whole.csv.gz", pd.DataFrame({"fold": range(500)}))
    whole = (tmp_path / "whole.csv.gz").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], whole[:-6] + b"x" + whole[-5:], b"no gzip"):
        (tmp_path / "damaged.csv.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged\.csv\.gz: damaged table \(.*\); delete it and run"):
            read_csv(tmp_path / "damaged.csv.gz")
    with pytest.raises(InputError, match="damaged table"):
        read_csv(tmp_path / "whole.csv.gz", ["fold", "iou"])
