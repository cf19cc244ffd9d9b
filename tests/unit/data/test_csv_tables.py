"""Tables are read back as they were written."""

import pandas as pd
import pytest

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv


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
