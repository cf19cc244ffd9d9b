"""The paper's figures and ours. Each function takes data frames or arrays and gives a matplotlib figure."""

from lumbarseg.figures.boxes import box_plots
from lumbarseg.figures.cases import Case, case_comparison, choose_cases
from lumbarseg.figures.curves import iou_against_networks, learning_curves, reliability_diagrams, threshold_curves
from lumbarseg.figures.errors import error_maps
from lumbarseg.figures.matrices import confusion_matrices, patient_overview, rank_stability
from lumbarseg.figures.networks import network_diagram
from lumbarseg.figures.quality import SessionImages, registration_overview, session_quality
from lumbarseg.figures.search import search_results
from lumbarseg.figures.slices import LabelledSlice, Preprocessing, labelled_slices, preprocessing_steps
from lumbarseg.figures.stored import restore_slices, store_slices
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
    "confusion_matrices",
    "error_maps",
    "iou_against_networks",
    "labelled_slices",
    "learning_curves",
    "network_diagram",
    "patient_overview",
    "preprocessing_steps",
    "rank_stability",
    "registration_overview",
    "reliability_diagrams",
    "restore_slices",
    "save_figure",
    "save_picture",
    "search_results",
    "session_quality",
    "store_slices",
    "threshold_curves",
    "uncertainty_maps",
]
