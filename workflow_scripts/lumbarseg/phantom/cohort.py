"""The phantom cohort: a sheet of patients with DICOM series, masks and the known motion between the scans.

Numerical packages are imported inside functions, because Snakemake calls `participant_ids` while it parses the workflow.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SESSION = "01"
COLUMNS = ("participant_id", "session_id", "t2w", "t1w", "mask", "age", "sex", "weight", "site")


def participant_ids(patients: int) -> list[str]:
    """Return the participant ids of a cohort: phantom01, phantom02 … (at least two digits)."""
    return [f"phantom{number:02d}" for number in range(1, patients + 1)]


def write_patient(folder: Path, number: int, seed: int, matrices: Sequence[int], slices: tuple[int, int]) -> str:
    """Write the series, mask and true motion of one patient.

    Args:
        folder: folder of the cohort.
        number: number of the patient, from 1.
        seed: seed of the cohort.
        matrices: image sizes to choose from, pixels.
        slices: minimum and maximum number of slices.

    Returns:
        The patient's row of the sheet, tab-separated.
    """
    from lumbarseg.phantom.patients import draw_patient
    from lumbarseg.phantom.series import write_mask, write_series, write_truth
    from lumbarseg.phantom.spine import build_spine

    participant = participant_ids(number)[-1]
    patient = draw_patient(number, participant, seed, matrices, slices)
    spine = build_spine(patient.body)
    for contrast in patient.sequences:
        write_series(folder / "dicom" / participant / contrast, patient, spine, contrast)
    mask = f"masks/{participant}_mask.nii.gz"
    write_mask(folder / mask, patient, spine)
    write_truth(folder / "truth" / f"{participant}_from-T1w_to-T2w.json", patient)
    series = [f"dicom/{participant}/{contrast}" for contrast in ("T2w", "T1w")]
    values = (participant, SESSION, *series, mask, patient.age, patient.sex, patient.weight, patient.site.name)
    return "\t".join(str(value) for value in values)


def write_cohort(
    folder: Path,
    patients: int,
    seed: int,
    matrices: Sequence[int],
    slices: tuple[int, int],
    processes: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> None:
    """Write a cohort from a parametric anatomy of the lumbar spine (see docs/phantom.md).

    The files under `folder` are: `dicom/<participant>/{T2w,T1w}/IM*.dcm`, `masks/<participant>_mask.nii.gz` (uint8 class ids
    0 … 11 on the grid that dcm2niix gives the T2w series), `truth/<participant>_from-T1w_to-T2w.json` (the 4×4 affine
    from world coordinates, RAS mm, of a point in the T1w image to those of the same anatomy in the T2w image), and
    finally `sessions.tsv`, whose paths are relative to `folder`.

    T1w has a grid of its own: matrix, field of view, slices, tilt, centre and storage order differ from those of T2w.

    A patient depends only on `seed`, `matrices`, `slices` and the patient's number.

    Args:
        folder: the folder, created if it is missing.
        patients: number of patients.
        seed: a non-negative integer.
        matrices: image sizes, pixels; each patient has one of them, preferably one near that of the site.
        slices: minimum and maximum number of slices of a series.
        processes: number of patients written in parallel.
        on_progress: called with the participant id of each finished patient.
    """
    from lumbarseg.atomic_io import atomic_write

    tasks = [(folder, number, seed, tuple(matrices), slices) for number in range(1, patients + 1)]
    rows: list[str] = []
    for participant, row in zip(participant_ids(patients), _rows(tasks, processes), strict=True):
        rows.append(row)
        if on_progress is not None:
            on_progress(participant)
    with atomic_write(folder / "sessions.tsv") as path:
        path.write_text("\n".join(["\t".join(COLUMNS), *rows]) + "\n", encoding="utf-8")


def _rows(tasks: list[tuple[Path, int, int, tuple[int, ...], tuple[int, int]]], processes: int) -> Iterator[str]:
    """Yield the rows of the sheet in order, as patients are finished."""
    if processes == 1:
        yield from (write_patient(*task) for task in tasks)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # forked, because a new interpreter cannot import a workflow's script
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(write_patient, *zip(*tasks, strict=True))
