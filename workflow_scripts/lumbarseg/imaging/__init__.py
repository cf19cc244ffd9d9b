"""Images: DICOM conversion, masks, registration, normalisation and quality control."""
