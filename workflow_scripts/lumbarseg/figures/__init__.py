"""The paper's figures and ours. Each function takes data frames or arrays and gives a matplotlib figure."""

from lumbarseg.figures.boxes import box_plots
from lumbarseg.figures.cases import Case, case_comparison, choose_cases
from lumbarseg.figures.curves import iou_against_networks, learning_curves, reliability_diagrams, threshold_curves
from lumbarseg.figures.networks import network_diagram
from lumbarseg.figures.quality import SessionImages, registration_overview, session_quality
from lumbarseg.figures.search import search_results
from lumbarseg.figures.slices import LabelledSlice, Preprocessing, labelled_slices, preprocessing_steps
from lumbarseg.figures.style import save_figure, save_picture
from lumbarseg.figures.uncertainty import UncertainSlice, uncertainty_maps

__all__ = [
    "Case",
    "LabelledSlice",
    "Preprocessing",
    "SessionImages",
    "UncertainSlice",
    "box_plots",
    "case_comparison",
    "choose_cases",
    "iou_against_networks",
    "labelled_slices",
    "learning_curves",
    "network_diagram",
    "preprocessing_steps",
    "registration_overview",
    "reliability_diagrams",
    "save_figure",
    "save_picture",
    "search_results",
    "session_quality",
    "threshold_curves",
    "uncertainty_maps",
]
