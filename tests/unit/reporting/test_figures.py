"""Figures: nothing overlaps or is cut off, the data are drawn correctly, and the files are reproducible."""

import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.text import Text

from factories.reporting import report_study
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.contents import Entry, contents, report_settings
from lumbarseg.reporting.figures.box_plots import box_plots
from lumbarseg.reporting.figures.cases import case_comparison
from lumbarseg.reporting.figures.corrections import corrections_figure
from lumbarseg.reporting.figures.ensembles import iou_against_networks
from lumbarseg.reporting.figures.errors import error_kinds, error_maps
from lumbarseg.reporting.figures.examples import (
    labelled_slices,
    preprocessing_steps,
)
from lumbarseg.reporting.figures.learning import learning_curves
from lumbarseg.reporting.figures.matrices import confusion_matrices, patient_overview
from lumbarseg.reporting.figures.ranking import rank_stability
from lumbarseg.reporting.figures.search import search_results
from lumbarseg.reporting.figures.style import PAGE_WIDTH, checkerboard, coloured, grey_levels, save_figure
from lumbarseg.reporting.figures.thresholds import threshold_curves
from lumbarseg.reporting.registry import make
from lumbarseg.reporting.slices import Case, LabelledSlice, Preprocessing

NAMES = [
    "Background",
    "Vert",
    "Sacrum",
    "Int-Disc",
    "Spinal-Cavity",
    "SCT",
    "Epi-Fat",
    "IM-Fat",
    "Rper-Fat",
    "Nerve-Root",
    "Blood-Vessels",
    "Muscle",
]
EXPERIMENTS = [
    "FCN+TH",
    "U1+TH",
    "UMD+MAP",
    "UMD+TH",
    "E10+TCD+TH",
    "E12+NAD+TH",
    "E13+Arith+MAP",
    "E13+Geo+MAP",
    "E11+NAD+MAP",
    "E10+TCD+MAP",
    "UVDD+TH",
    "E12+Arith+MAP",
]
SPACING = (0.6, 0.6)
FIGURES = [entry for entry in contents(report_settings(report_study())) if entry.kind == "figure"]


def label_table(classes: int) -> LabelTable:
    return LabelTable(
        [
            {"id": i, "name": NAMES[i], "colour": f"#{i * 20:02x}{250 - i * 20:02x}{(i * 97) % 250:02x}"}
            for i in range(classes)
        ]
    )


def stripes(classes: int, shape: tuple[int, int] = (32, 24)) -> np.ndarray:
    return np.broadcast_to(np.arange(shape[1]) * classes // shape[1], shape).astype(np.uint8)


def made_up_results(experiments: list[str], classes: int) -> pd.DataFrame:
    keys = itertools.product(experiments, (1, 2), ("p1", "p2", "p3"), ("s1",), range(3), range(classes))
    columns = ["experiment", "fold", "participant_id", "session_id", "slice", "class_id"]
    frame = pd.DataFrame(keys, columns=columns)
    return frame.assign(iou=np.random.default_rng(4).uniform(0.3, 0.95, len(frame)))


def p_values_against(reference: str, experiments: list[str], classes: int, p_value: float = 0.01) -> pd.DataFrame:
    keys = itertools.product([e for e in experiments if e != reference], range(classes), ("slice", "patient"))
    frame = pd.DataFrame(keys, columns=["experiment", "class_id", "unit"])
    return frame.assign(reference=reference, p_value=p_value)


def texts(figure: Figure) -> list[Text]:
    """All texts that are drawn: tick labels only of ticks within the axis, nothing of axes that are off but the title."""
    figure.draw_without_rendering()
    of_ticks = {id(text) for tick in figure.findobj(Tick) for text in tick.findobj(Text)}
    shown = [text for text in figure.findobj(Text) if id(text) not in of_ticks]
    for axis in figure.findobj(Axis):
        if axis.axes.axison:
            low, high = sorted(axis.get_view_interval())
            shown += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    off = {id(text) for axes in figure.findobj(Axes) if not axes.axison for axis in axes._axis_map.values()
           for text in axis.findobj(Text)}  # fmt: skip
    return [text for text in shown if text.get_visible() and text.get_text().strip() and id(text) not in off]


def assert_legible(figure: Figure, smallest: float = 7) -> None:
    """No text meets another, none is cut off, none is smaller than 7 points, and the figure is not too wide."""
    assert figure.get_figwidth() <= PAGE_WIDTH + 1e-9
    shown = texts(figure)
    assert shown
    page = figure.bbox
    boxes = [text.get_window_extent() for text in shown]
    for text, box in zip(shown, boxes, strict=True):
        assert text.get_fontsize() >= smallest, text.get_text()
        assert page.x0 - 0.5 <= box.x0, text.get_text()
        assert box.x1 <= page.x1 + 0.5, text.get_text()
        assert page.y0 - 0.5 <= box.y0, text.get_text()
        assert box.y1 <= page.y1 + 0.5, text.get_text()
    corners = np.array([box.extents for box in boxes])
    overlaps = np.minimum(corners[:, None, 2:], corners[None, :, 2:]) - np.maximum(
        corners[:, None, :2], corners[None, :, :2]
    )
    for one, other in np.argwhere(np.triu(overlaps.min(axis=2) > 0.5, k=1)):
        raise AssertionError(f"{shown[one].get_text()!r} meets {shown[other].get_text()!r}")


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


# ---- nothing overlaps, also at the extremes --------------------------------------------------------------------------


@pytest.mark.parametrize("entry", FIGURES, ids=[entry.name for entry in FIGURES])
def test_declared_figures_are_made_from_metrics_and_legible(entry: Entry, results: Path) -> None:
    figure = make(entry.function, {name: str(results / path) for name, path in entry.files.items()}, entry.settings)
    # Boxes of networks have the size of their tensors' place in the U, and smaller text in them.
    assert_legible(figure, smallest=5.6 if entry.name.startswith("network_") else 7)


@pytest.mark.parametrize(("experiments", "classes"), [(6, 12), (12, 12), (12, 2), (1, 5)])
def test_box_plots_are_legible(experiments: int, classes: int) -> None:
    shown = EXPERIMENTS[:experiments]
    results = made_up_results(shown, classes)
    assert_legible(box_plots(results, p_values_against(shown[-1], shown, classes), shown, label_table(classes), 0.05))


@pytest.mark.parametrize(("experiments", "with_t1w", "classes"), [(3, True, 12), (6, False, 2), (12, True, 12)])
def test_case_comparison_is_legible(experiments: int, with_t1w: bool, classes: int) -> None:
    truth = stripes(classes)
    cases = [
        Case(
            name,
            truth * 9.0,
            truth * 1.0 if with_t1w else None,
            truth,
            dict.fromkeys(EXPERIMENTS[:experiments], truth),
            SPACING,
        )
        for name in ("best: sub-p001, slice 5", "median: sub-p002, slice 11", "worst: sub-p003, slice 1")
    ]
    assert_legible(case_comparison(cases, label_table(classes)))


@pytest.mark.parametrize(("classes", "with_t1w"), [(2, False), (12, True)])
def test_labelled_slices_and_preprocessing_steps_are_legible(classes: int, with_t1w: bool) -> None:
    truth = stripes(classes)
    image = truth + np.random.default_rng(1).normal(0, 0.1, truth.shape)
    t1w = image if with_t1w else None
    assert_legible(labelled_slices([LabelledSlice(image, t1w, truth, SPACING, "slice 5")] * 2, label_table(classes)))
    steps = Preprocessing(image, t1w, t1w, image, t1w, truth, SPACING, [0, 16, 32], [0, 16], 32)
    assert_legible(preprocessing_steps(steps, label_table(classes)))


@pytest.mark.parametrize(
    ("combiners", "ensembles"),
    [(["Arith"], 1), (["Geo", "NAD"], 3), (["Arith", "Geo", "NAD", "NCD", "NSD", "TAD", "TCD", "TSD"], 10)],
)
def test_iou_against_networks_is_legible(combiners: list[str], ensembles: int) -> None:
    sizes = {f"E{size}": size for size in range(4, 4 + ensembles)}
    names = [f"{e}+{c}+{labelling}" for e in sizes for c in combiners for labelling in ("MAP", "TH")] + ["UAMD+MAP"]
    values = np.random.default_rng(2).uniform(0.70, 0.76, len(names))
    averages = pd.DataFrame({"experiment": names, "mean": values, "sd": 0.004})
    assert_legible(iou_against_networks(averages, sizes))


@pytest.mark.parametrize(("measure", "topologies"), [("loss", 1), ("accuracy", 4), ("patch_iou", 13)])
def test_learning_curves_are_legible(measure: str, topologies: int) -> None:
    assert_legible(learning_curves(made_up_histories(topologies), measure))


@pytest.mark.parametrize(("models", "classes"), [(1, 2), (9, 12)])
def test_threshold_curves_are_legible(models: int, classes: int) -> None:
    assert_legible(threshold_curves(made_up_thresholds(EXPERIMENTS[:models], classes), label_table(classes)))


def made_up_histories(topologies: int) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    parts = []
    for place, fold in itertools.product(range(topologies), (1, 2, 3)):
        epochs = np.arange(1, 31)
        columns = {
            name: np.exp(-epochs / 9) + generator.normal(0.3, 0.02, 30)
            for name in ("loss", "val_loss", "accuracy", "val_accuracy", "val_patch_iou")
        }
        parts.append(pd.DataFrame({"topology": f"UVMD{place}", "fold": fold, "epoch": epochs, **columns}))
    return pd.concat(parts, ignore_index=True)


def made_up_thresholds(models: list[str], classes: int) -> pd.DataFrame:
    thresholds = np.arange(1, 20) / 20
    parts = [
        pd.DataFrame(
            {
                "model": model, "fold": fold, "class_name": name, "threshold": thresholds,
                "iou": 0.8 - (thresholds - 0.4) ** 2, "chosen": thresholds == 0.4,
            }
        )
        for model, fold, name in itertools.product(models, (1, 2, 3), NAMES[:classes])
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("experiments", "classes"), [(1, 2), (2, 5), (3, 12)])
def test_confusion_matrices_are_legible(experiments: int, classes: int) -> None:
    assert_legible(
        confusion_matrices(
            made_up_confusion(EXPERIMENTS[:experiments], classes), EXPERIMENTS[:experiments], label_table(classes)
        )
    )


@pytest.mark.parametrize(("experiments", "patients", "classes"), [(1, 1, 2), (6, 5, 12), (2, 70, 5)])
def test_patient_overview_is_legible(experiments: int, patients: int, classes: int) -> None:
    results = made_up_patients(EXPERIMENTS[:experiments], patients, classes)
    assert_legible(patient_overview(results, EXPERIMENTS[:experiments], label_table(classes)))


@pytest.mark.parametrize("experiments", [1, 5, 40])
def test_rank_stability_is_legible(experiments: int) -> None:
    assert_legible(rank_stability(made_up_ranking(experiments)))


@pytest.mark.parametrize(("cases", "classes"), [(1, 2), (3, 12)])
def test_error_maps_are_legible(cases: int, classes: int) -> None:
    truth = stripes(classes)
    case = Case("p012, slice 11, fold 3", truth * 1.0, None, truth, {"E12+NAD+TH": np.roll(truth, 2, 1)}, SPACING)
    assert_legible(error_maps([case] * cases, label_table(classes)))


def made_up_confusion(experiments: list[str], classes: int) -> pd.DataFrame:
    keys = itertools.product(experiments, (1, 2), range(classes), range(classes))
    frame = pd.DataFrame(keys, columns=["experiment", "fold", "true_class_id", "predicted_class_id"])
    return frame.assign(pixels=np.where(frame["true_class_id"] == frame["predicted_class_id"], 90, 10 // (classes - 1)))


def made_up_patients(experiments: list[str], patients: int, classes: int) -> pd.DataFrame:
    keys = itertools.product(experiments, (1, 2), [f"p{number:03d}" for number in range(patients)], range(classes))
    frame = pd.DataFrame(keys, columns=["experiment", "fold", "participant_id", "class_id"])
    return frame.assign(iou=np.random.default_rng(5).uniform(0.3, 0.95, len(frame)))


def made_up_ranking(experiments: int) -> pd.DataFrame:
    ranks = np.arange(1, experiments + 1)
    return pd.DataFrame(
        {
            "rank": ranks, "experiment": [f"E{13 - rank % 10}+Arith+MAP" for rank in ranks], "mean_iou": 0.75 - 0.001 * ranks,
            "sd": 0.002, "rank_low": np.maximum(ranks - 2, 1), "rank_high": ranks + 3, "best_fold_rank": ranks,
            "worst_fold_rank": ranks + 1,
        }
    )  # fmt: skip


# ---- what is drawn is what the data say ------------------------------------------------------------------------------


def test_box_plots_put_stars_over_the_experiments_that_differ_and_no_others() -> None:
    shown = EXPERIMENTS[:4]
    tested = p_values_against("UMD+TH", shown, 2, p_value=0.2)
    tested.loc[(tested["experiment"] == "U1+TH") & (tested["class_id"] == 1), "p_value"] = 0.049
    tested.loc[(tested["experiment"] == "FCN+TH") & (tested["unit"] == "patient"), "p_value"] = 0.001
    figure = box_plots(made_up_results(shown, 2), tested, shown, label_table(2), 0.05)
    stars = {
        (axes.get_title(), shown[round(text.xy[0])])
        for axes in figure.axes
        for text in axes.texts
        if text.get_text() == "*"
    }
    assert stars == {("Vert", "U1+TH")}


def test_box_plots_show_slices_averaged_over_folds() -> None:
    results = made_up_results(["U1+TH", "UMD+TH"], 2)
    figure = box_plots(
        results, p_values_against("UMD+TH", ["U1+TH", "UMD+TH"], 2), ["U1+TH", "UMD+TH"], label_table(2), 0.05
    )
    chosen = results[(results["experiment"] == "U1+TH") & (results["class_id"] == 1)]
    expected = np.median([rows["iou"].mean() for _, rows in chosen.groupby(["participant_id", "slice"])])
    medians = [line for line in panel(figure, "Vert").lines if len(set(line.get_ydata())) == 1]
    assert any(line.get_ydata()[0] == pytest.approx(expected) for line in medians)


def test_box_plots_leave_a_gap_for_an_experiment_without_results() -> None:
    shown = ["U1+TH", "E4+NAD+TH", "UMD+TH"]
    results = made_up_results(["U1+TH", "UMD+TH"], 2)
    figure = box_plots(results, p_values_against("UMD+TH", ["U1+TH", "UMD+TH"], 2), shown, label_table(2), 0.05)
    assert [label.get_text() for label in panel(figure, "Vert").get_xticklabels()] == shown


def test_case_comparison_prints_the_mean_iou_of_each_prediction() -> None:
    truth = np.zeros((20, 20), np.uint8)
    truth[:10] = 1
    half = truth.copy()
    half[:5] = 0
    case = Case("best", truth * 1.0, None, truth, {"U1+TH": half, "UMD+TH": truth, "FCN+TH": truth * 0}, SPACING)
    titles = [axes.get_title() for axes in case_comparison([case], label_table(2)).axes]
    assert {"U1+TH\nIoU 50.0 %", "UMD+TH\nIoU 100.0 %", "FCN+TH\nIoU 0.0 %"} <= set(titles)


def test_case_comparison_zooms_in_on_the_errors() -> None:
    truth = np.ones((100, 100), np.uint8)
    wrong = truth.copy()
    wrong[70:75, 20:25] = 0
    figure = case_comparison([Case("x", truth * 1.0, None, truth, {"U1+TH": wrong}, SPACING)], label_table(2))
    frame = panel(figure, "U1+TH").patches[0].get_bbox()
    assert frame.x0 <= 20 - 0.5 + 1e-9 <= 25 - 0.5 <= frame.x1
    assert frame.y0 <= 70 - 0.5 + 1e-9 <= 75 - 0.5 <= frame.y1


def test_iou_against_networks_orders_ensembles_by_size() -> None:
    averages = pd.DataFrame(
        {
            "experiment": ["E6+Arith+MAP", "E4+Arith+MAP", "UMD+TH", "U1+TH"],
            "mean": [0.76, 0.75, 0.74, 0.73],
            "sd": [0.01, 0.02, 0.0, 0.0],
        }
    )
    axes = panel(iou_against_networks(averages, {"E6": 6, "E4": 4}), "Model averaging")
    heights = [np.asarray(line.get_ydata(), float).tolist() for line in axes.lines]
    assert [74, 74] in heights  # the best network
    assert [75, 76] in heights
    assert "best network,\nUMD+TH" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4\nE4", "6\nE6"]


def test_iou_against_networks_draws_flip_with_the_averages() -> None:
    averages = pd.DataFrame({"experiment": ["E4+Arith+MAP", "E4+Flip+MAP", "E4+NAD+MAP"], "mean": 0.75, "sd": 0.01})
    figure = iou_against_networks(averages, {"E4": 4})
    lines = {axes.get_title(): {text.get_text() for text in axes.get_legend().get_texts()} for axes in figure.axes}
    assert lines == {"Model averaging": {"Arith+MAP", "Flip+MAP"}, "Stacking on scores": {"NAD+MAP"}}


def test_learning_curves_mark_the_first_epoch_of_highest_validation_accuracy() -> None:
    history = pd.DataFrame(
        {
            "topology": "U1", "fold": 1, "epoch": [1, 2, 3, 4], "loss": [4.0, 3, 2, 1], "val_loss": [5.0, 4, 3, 2],
            "accuracy": 0.5, "val_accuracy": [0.1, 0.8, 0.8, 0.3],
        }
    )  # fmt: skip
    marked = [line for line in panel(learning_curves(history, "loss"), "U1").lines if line.get_marker() == "o"]
    assert [tuple(line.get_xydata()[0]) for line in marked] == [(2, 4)]


def test_confusion_matrices_print_shares_of_the_true_class() -> None:
    shown = panel(confusion_matrices(made_up_confusion(["U1+TH"], 2), ["U1+TH"], label_table(2)), "U1+TH")
    assert {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in shown.texts} == {
        (0, 0): "90", (1, 1): "90", (1, 0): "10", (0, 1): "10",
    }  # fmt: skip


def test_patient_overview_puts_the_worst_patients_of_the_last_experiment_first() -> None:
    results = made_up_patients(["U1+TH", "UMD+TH"], 5, 3)
    figure = patient_overview(results, ["U1+TH", "UMD+TH"], label_table(3))
    targets = results[(results["experiment"] == "UMD+TH") & (results["class_id"] > 0)]
    order = targets.groupby("participant_id")["iou"].mean().sort_values().index.tolist()
    assert [label.get_text() for label in panel(figure, "U1+TH").get_yticklabels()] == order
    first = [text.get_text() for text in panel(figure, "UMD+TH").texts if round(text.get_position()[1]) == 0]
    worst = targets[targets["participant_id"] == order[0]].groupby("class_id")["iou"].mean()
    assert first == [f"{100 * value:.0f}" for value in [*worst, worst.mean()]]


def test_error_kinds_are_missed_false_or_another_class() -> None:
    truth = np.array([[0, 1, 1, 0, 2]], np.uint8)
    predicted = np.array([[0, 1, 0, 2, 1]], np.uint8)
    assert error_kinds(truth, predicted, background=0).tolist() == [[0, 0, 1, 2, 3]]


def test_coloured_uses_the_label_table_and_leaves_the_background_clear() -> None:
    classes = label_table(3)
    labels = np.array([[0, 1, 2]], np.uint8)
    image = np.array([[0.0, 5.0, 10.0]])
    painted = coloured(image, labels, classes, opacity=1)
    assert (painted[0, 0] == grey_levels(image)[0, 0]).all()
    assert painted[0, 1:] == pytest.approx(classes.colours()[1:] / 255)


def test_checkerboard_alternates_two_images() -> None:
    rising = np.broadcast_to(np.linspace(0, 1, 16), (16, 16))
    board = checkerboard(rising, 1 - rising, fields=4)
    assert (board[:4, :4] == grey_levels(rising)[:4, :4]).all()
    assert (board[:4, 4:8] == grey_levels(1 - rising)[:4, 4:8]).all()
    assert (board[4:8, :4] == grey_levels(1 - rising)[4:8, :4]).all()


def test_grey_levels_of_a_constant_image_are_black() -> None:
    assert (grey_levels(np.full((4, 4), 7.0)) == 0).all()


def test_search_results_marks_the_best_the_present_and_what_diverged() -> None:
    ranked = pd.DataFrame(
        {
            "topology": "U1", "optimiser": ["adam", "adam", "sgd"], "learning_rate": [0.1, 0.001, 1.0], "activation": "relu",
            "val_accuracy": [0.75, 0.65, np.nan], "diverged": [False, False, True], "best": [True, False, False],
            "present": [False, True, False],
        }
    )  # fmt: skip
    (axes,) = search_results(ranked).axes
    markers = [line.get_marker() for line in axes.lines]
    assert markers.count("x") == 1
    assert markers.count("s") == 1
    ring = next(line for line in axes.lines if line.get_markersize() == 9)
    assert ring.get_ydata()[0] == pytest.approx(75)


def test_corrections_figure_draws_each_class_and_the_mean_in_the_order_drawn() -> None:
    rows = [
        {"drawn": drawn, "participant_id": "p", "session_id": str(drawn), "drafted_by": "UD+TH of starter", "class_id": c,
         "iou": value, "changed_share": 0.1}
        for drawn, values in ((4, (0.9, 0.8, 0.6)), (1, (0.9, 0.4, np.nan)))
        for c, value in enumerate(values)
    ]  # fmt: skip
    (axes,) = corrections_figure(pd.DataFrame(rows), label_table(3)).axes
    vert, sacrum, mean = axes.lines
    assert vert.get_xydata().tolist() == [[1, 40], [4, 80]]
    assert np.isnan(sacrum.get_ydata()[0])
    assert mean.get_ydata().tolist() == pytest.approx([40, 70])


# ---- files -----------------------------------------------------------------------------------------------------------


def test_save_figure_writes_the_same_bytes_without_a_date(tmp_path: Path) -> None:
    for run in ("first", "second"):
        figure = learning_curves(made_up_histories(2), "loss")
        save_figure(figure, tmp_path / f"{run}.svg", tmp_path / f"{run}.png")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "first.svg").read_bytes()


def test_styled_ignores_and_keeps_the_users_matplotlib_settings() -> None:
    with matplotlib.rc_context({"font.size": 30, "axes.titlesize": 40}):
        assert_legible(learning_curves(made_up_histories(2), "loss"))
        assert matplotlib.rcParams["font.size"] == 30
