"""The phantom cohort: a sheet of patients with DICOM series, masks and the known motion between the scans.

Numerical packages are imported where they are needed: a workflow asks for `participant_ids` while it is being read.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SESSION = "01"
COLUMNS = ("participant_id", "session_id", "t2w", "t1w", "mask", "age", "sex", "weight", "site")


def participant_ids(patients: int) -> list[str]:
    """Participant ids of a cohort: phantom01, phantom02 … (as many digits as it takes, two at least)."""
    return [f"phantom{number:02d}" for number in range(1, patients + 1)]


def write_patient(folder: Path, number: int, seed: int, matrices: Sequence[int], slices: tuple[int, int]) -> str:
    """Make one patient's series, mask and truth.

    Args:
        folder: of the cohort.
        number: 1, 2, 3 …
        seed: of the cohort.
        matrices: sides of the images to choose from, pixels.
        slices: least and greatest number of slices.

    Returns:
        The patient's row of the sheet, tab separated.
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
    progress: Callable[[str], None] | None = None,
) -> None:
    """Make a cohort from a parametric anatomy of the lumbar spine (see docs/phantom.md).

    Writes, under `folder`: `dicom/<participant>/{T2w,T1w}/IM*.dcm`, `masks/<participant>_mask.nii.gz` (uint8 class ids
    0 … 11 on the grid that dcm2niix gives the T2w series), `truth/<participant>_from-T1w_to-T2w.json` (a 4×4 matrix
    that takes the world coordinates, RAS mm, of a point in the T1w image to those of the same anatomy in the T2w
    image), and last `sessions.tsv`, whose paths are relative to `folder`.

    A patient depends on `seed`, `matrices`, `slices` and the patient's number alone.

    Args:
        folder: made where it is missing.
        patients: how many.
        seed: 0 or more.
        matrices: sides of the images, pixels; every patient gets one of them, by the liking of the site.
        slices: least and greatest number of slices of a series.
        processes: patients made at a time.
        progress: called with the participant id whenever a patient is done.
    """
    from lumbarseg.atomic_io import atomic_write

    tasks = [(folder, number, seed, tuple(matrices), slices) for number in range(1, patients + 1)]
    rows: list[str] = []
    for participant, row in zip(participant_ids(patients), _made(tasks, processes), strict=True):
        rows.append(row)
        if progress is not None:
            progress(participant)
    with atomic_write(folder / "sessions.tsv") as path:
        path.write_text("\n".join(["\t".join(COLUMNS), *rows]) + "\n", encoding="utf-8")


def _made(tasks: list[tuple[Path, int, int, tuple[int, ...], tuple[int, int]]], processes: int) -> Iterator[str]:
    """The rows of the sheet, in order, as patients get done."""
    if processes == 1:
        yield from (write_patient(*task) for task in tasks)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # forked, because a workflow's script cannot be imported again by a fresh interpreter
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(write_patient, *zip(*tasks, strict=True))
