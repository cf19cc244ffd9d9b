"""Registration of T1w to T2w (Section 3.1.1), by FSL FLIRT as in the paper, or by ITK where FSL is not installed.

Slices of the lumbar spine are thick (3.6–6 mm) and fine in plane (0.4–1 mm), and the two contrasts are displaced by
millimetres. Both engines therefore start at the header geometry and use mutual information (Mattes et al. 2003,
doi 10.1109/TMI.2003.809072; FLIRT: Jenkinson et al. 2002, doi 10.1006/nimg.2002.1132). The result is checked: a failed
registration is off by centimetres, and the header geometry is the better choice then.

Each engine returns a 4×4 affine from fixed to moving points (RAS, mm). Matrix, image and report are made from it.
"""
