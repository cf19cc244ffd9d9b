"""Tables are read back as they were written."""

import pandas as pd
import pytest

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv
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


def test_read_csv_rejects_damaged_tables_in_one_sentence(tmp_path):
    write_csv(tmp_path / "whole.csv.gz", pd.DataFrame({"fold": range(500)}))
    whole = (tmp_path / "whole.csv.gz").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], whole[:-6] + b"x" + whole[-5:], b"no gzip"):
        (tmp_path / "damaged.csv.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged\.csv\.gz: damaged table \(.*\); delete it and run"):
            read_csv(tmp_path / "damaged.csv.gz")
    with pytest.raises(InputError, match="damaged table"):
        read_csv(tmp_path / "whole.csv.gz", ["fold", "iou"])
